"""The dialect as a whole: its table of calls, its sockets, and what it shares with USD-M (Binance COIN-M, 1.3, 2.1, 4.2, 6.6)."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sim.coinm_kit import LIMIT, SYMBOL, CoinmDesk, open_coinm, owner
from tests.unit.sim.kit import START, Desk, open_house, sign
from userstream.sim.dialects.binance_coinm import PRODUCT, VENUE
from userstream.sim.dialects.binance_futures_calls import Security
from userstream.sim.limits import LimitSettings
from userstream.sim.venue import Call

DOCUMENTED = [
    "GET /dapi/v1/ping",
    "GET /dapi/v1/time",
    "GET /dapi/v1/exchangeInfo",
    "GET /dapi/v1/balance",
    "GET /dapi/v1/account",
    "GET /dapi/v1/positionRisk",
    "GET /dapi/v1/positionSide/dual",
    "POST /dapi/v1/positionSide/dual",
    "GET /dapi/v1/openOrders",
    "GET /dapi/v1/openOrder",
    "GET /dapi/v1/order",
    "GET /dapi/v1/allOrders",
    "GET /dapi/v1/userTrades",
    "GET /dapi/v1/income",
    "GET /dapi/v1/forceOrders",
    "GET /dapi/v1/leverageBracket",
    "GET /dapi/v2/leverageBracket",
    "GET /dapi/v1/openAlgoOrders",
    "POST /dapi/v1/algoOrder",
    "DELETE /dapi/v1/algoOrder",
    "POST /dapi/v1/order",
    "PUT /dapi/v1/order",
    "DELETE /dapi/v1/order",
    "POST /dapi/v1/batchOrders",
    "DELETE /dapi/v1/allOpenOrders",
    "POST /dapi/v1/leverage",
    "POST /dapi/v1/marginType",
    "POST /dapi/v1/listenKey",
    "PUT /dapi/v1/listenKey",
    "DELETE /dapi/v1/listenKey",
]


@pytest.mark.parametrize("call", DOCUMENTED)
def test_every_documented_call_is_there(call: str) -> None:
    method, path = call.split()
    assert (method, path) in PRODUCT.endpoints


def test_what_changes_something_needs_a_key_that_may_trade() -> None:
    for (method, path), endpoint in PRODUCT.endpoints.items():
        if method != "GET":
            assert endpoint.security is (Security.KEY if path.endswith("listenKey") else Security.TRADE)


def test_every_method_of_the_socket_is_a_call() -> None:
    assert all(call in PRODUCT.endpoints for call in PRODUCT.methods.values())


NAMES = st.sampled_from(["symbol", "side", "type", "quantity", "price", "orderId", "timeInForce", "pair", "leverage", "limit", "fromId"])
VALUES = st.sampled_from([SYMBOL, "BTCUSD", "BUY", "LIMIT", "1", "0", "-1", "80000.0", "1.5", "", "1e400", "x"])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(PRODUCT.endpoints)), st.dictionaries(NAMES, VALUES, max_size=8))
def test_no_request_breaks_the_exchange(call: tuple[str, str], parameters: dict[str, str]) -> None:
    found = open_coinm().call(*call, **parameters)
    assert found.status in (200, 400, 401)


# --- sockets -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/dstream/ws/{}", "/ws/{}"])
def test_a_key_in_the_path_opens_a_raw_stream(path: str) -> None:
    desk = open_coinm()
    desk.listen(path.format(desk.open_key()))
    desk.limit()
    assert desk.heard_types() == ["ORDER_TRADE_UPDATE"]


def test_the_combined_stream_names_the_key() -> None:
    desk = open_coinm()
    key = desk.open_key()
    desk.listen("/dstream/stream", f"streams={key}")
    desk.limit()
    [event] = desk.heard()
    assert event["stream"] == key


def test_a_subscription_by_frame_delivers() -> None:
    desk = open_coinm()
    lane = desk.listen("/dstream/ws")
    lane.session.receive(msgspec.json.encode({"method": "SUBSCRIBE", "params": [desk.open_key()], "id": 1}).decode(), desk.clock.now())
    desk.hall.hub.refile(lane)
    desk.limit()
    assert "ORDER_TRADE_UPDATE" in desk.heard_types()


def test_the_strict_reading_of_usdm_addresses_is_not_for_this_venue() -> None:
    desk = open_coinm(strict=True).stream()
    desk.limit()
    assert desk.heard_types() == ["ORDER_TRADE_UPDATE"]


@pytest.mark.parametrize("path", ["/dstream", "/dstream/private/ws/x", "/private/ws/x", "/dstreamws/x"])
def test_other_addresses_are_no_sockets(path: str) -> None:
    desk = open_coinm()
    assert desk.hall.dialect.open_socket(path, "", "127.0.0.1", START) is None


def test_the_places_of_the_venue() -> None:
    found = open_coinm().hall.dialect.locations("http://host:1", "ws://host:1")
    assert (found.rest_url, found.ws_url, found.ws_api_url) == ("http://host:1", "ws://host:1/dstream", "ws://host:1/ws-dapi/v1")


def test_a_repeated_post_gives_the_same_key_and_a_put_without_one_is_1125() -> None:
    desk = open_coinm()
    assert desk.send("PUT", "/dapi/v1/listenKey").code == -1125
    assert desk.open_key() == desk.open_key()
    assert desk.send("DELETE", "/dapi/v1/listenKey").body == {}


def test_an_order_over_the_websocket_api() -> None:
    desk = open_coinm()
    lane = desk.listen("/ws-dapi/v1")
    params: dict[str, object] = {**LIMIT, "apiKey": desk.listing.api_key, "timestamp": START}
    text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    request = {"id": "1", "method": "order.place", "params": params | {"signature": sign(desk.listing.api_secret, text)}}
    [reply] = lane.session.receive(msgspec.json.encode(request).decode(), desk.clock.now())
    assert b'"status":200' in reply
    assert b'"pair":"BTCUSD"' in reply
    assert b'"interval":"MINUTE","intervalNum":1,"limit":1200,"count":1' in reply


# --- trading -------------------------------------------------------------------------------------------------------------


def test_placing_answers_without_averages() -> None:
    found = open_coinm().market()
    assert isinstance(found.body, dict)
    assert (found["status"], found["pair"], found["cumQty"]) == ("FILLED", "BTCUSD", "12")
    assert not {"avgPrice", "cumQuote", "cumBase"} & set(found.body)


@pytest.mark.parametrize("missing", ["price", "quantity"])
def test_an_amendment_needs_both_price_and_quantity(missing: str) -> None:
    desk = open_coinm()
    wish = {"symbol": SYMBOL, "orderId": desk.limit()["orderId"], "side": "BUY", "price": "79000.0", "quantity": "10"}
    del wish[missing]
    assert desk.call("PUT", "/dapi/v1/order", **wish).code == -1102


def test_open_orders_of_an_unknown_contract_are_an_error() -> None:
    assert open_coinm().get("/dapi/v1/openOrders", symbol="BTCUSDT").code == -1121


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"quantity": "1.5"}, -4023),
        ({"quantity": "0"}, -4003),
        ({"price": "80000.05"}, -4014),
        ({"type": "STOP_MARKET"}, -4120),
        ({"quantity": "900000"}, -2019),
        ({"timeInForce": "GTX", "price": "83000.0"}, -5022),
    ],
)
def test_orders_that_break_a_rule(wish: dict[str, object], code: int) -> None:
    assert open_coinm().limit(**wish).code == code


def test_a_row_of_history_shows_coins() -> None:
    desk = open_coinm()
    order_id = desk.fill()
    row = desk.get("/dapi/v1/order", symbol=SYMBOL, orderId=order_id).body
    assert isinstance(row, dict)
    assert (row["avgPrice"], row["cumBase"], row["executedQty"]) == ("80000.00000000", "0.01500000", "12")
    assert "cumQuote" not in row


def test_weights_follow_the_tables() -> None:
    paths = {"account": 5, "balance": 1, "positionRisk": 1, "openOrders": 40, "income": 20, "forceOrders": 50}
    for path, weight in paths.items():
        assert open_coinm().get(f"/dapi/v1/{path}").headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


# --- what it shares with USD-M -------------------------------------------------------------------------------------------


def both(**changes: object) -> tuple[Desk, CoinmDesk]:
    house, clock, _ = open_house(venues=("binance-usdm", VENUE.name), accounts=1, **changes)
    return Desk(house, clock, "paper-1"), CoinmDesk(house, clock, "paper-2")


def test_weight_is_one_budget() -> None:
    usdm, coinm = both()
    usdm.get("/fapi/v3/balance")
    assert coinm.get("/dapi/v1/account").headers["X-MBX-USED-WEIGHT-1M"] == "10"


def test_orders_of_one_owner_are_counted_together() -> None:
    usdm, coinm = both(limits=LimitSettings(orders_per_10s=2))
    assert [usdm.limit().status, coinm.limit().status, coinm.limit().status] == [200, 200, 429]
    assert usdm.limit().code == -1015


def test_the_mode_changed_over_one_product_is_read_over_the_other() -> None:
    usdm, coinm = both()
    assert coinm.call("POST", "/dapi/v1/positionSide/dual", dualSidePosition="true").status == 200
    assert usdm.get("/fapi/v1/positionSide/dual").body == {"dualSidePosition": True}
    coinm.limit(positionSide="LONG")
    assert usdm.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="false").code == -4067


def test_a_socket_path_belongs_to_the_venue_that_gave_the_key() -> None:
    usdm, coinm = both()
    assert coinm.house.hall_at(f"/ws/{coinm.open_key()}") is coinm.hall
    assert coinm.house.hall_at("/stream", {}, f"streams={coinm.open_key()}") is coinm.hall
    assert usdm.house.hall_at(f"/private/ws/{usdm.open_key()}") is usdm.hall
    assert coinm.house.hall_at("/dstream/ws/unknown") is coinm.hall


def test_each_venue_answers_below_its_own_paths() -> None:
    usdm, coinm = both()
    call = Call(method="GET", path="/dapi/v1/time")
    assert usdm.house.hall_at(call.path) is coinm.hall
    assert usdm.house.hall_at("/fapi/v1/time") is usdm.hall


def test_accounts_of_other_owners_stay_apart() -> None:
    house, clock, _ = open_house(venues=("binance-usdm", VENUE.name), accounts=2)
    assert house.accounts == ("paper-1", "paper-2", "paper-3", "paper-4")
    first, third, fourth = (Desk(house, clock, f"paper-{number}") for number in (1, 3, 4))
    first.contracts.set_hedge_mode("paper-1", True, START)
    assert third.contracts.settings("paper-3").hedge_mode
    assert not fourth.contracts.settings("paper-4").hedge_mode


def test_the_demo_traders_live_by_themselves() -> None:
    desk = open_coinm(owner(), rate=50.0).stream()
    for _ in range(60):
        desk.pass_time(500)
    assert {"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"} <= set(desk.heard_types())
    assert len(desk.contracts.fills(desk.account)) > 5
