"""The dialect as a whole: its table of calls, its paths, its sockets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sim.kit import START, open_desk, sign
from userstream.sim.dialects.binance_futures_calls import Security
from userstream.sim.dialects.binance_usdm import PRODUCT, VENUE
from userstream.sim.venue import Call

# What the recovery and trading chapters list, and what other clients call at their start.
DOCUMENTED = [
    "GET /fapi/v1/time",
    "GET /fapi/v1/exchangeInfo",
    "GET /fapi/v3/account",
    "GET /fapi/v2/account",
    "GET /fapi/v3/balance",
    "GET /fapi/v2/balance",
    "GET /fapi/v3/positionRisk",
    "GET /fapi/v2/positionRisk",
    "GET /fapi/v1/positionRisk",
    "GET /fapi/v1/symbolConfig",
    "GET /fapi/v1/accountConfig",
    "GET /fapi/v1/positionSide/dual",
    "GET /fapi/v1/multiAssetsMargin",
    "GET /fapi/v1/openOrders",
    "GET /fapi/v1/openOrder",
    "GET /fapi/v1/order",
    "GET /fapi/v1/allOrders",
    "GET /fapi/v1/userTrades",
    "GET /fapi/v1/income",
    "GET /fapi/v1/forceOrders",
    "GET /fapi/v1/leverageBracket",
    "GET /fapi/v1/commissionRate",
    "GET /fapi/v1/adlQuantile",
    "GET /fapi/v1/rateLimit/order",
    "GET /fapi/v1/openAlgoOrders",
    "GET /fapi/v1/algoOrder",
    "GET /fapi/v1/allAlgoOrders",
    "GET /fapi/v1/orderAmendment",
    "POST /fapi/v1/order",
    "PUT /fapi/v1/order",
    "DELETE /fapi/v1/order",
    "POST /fapi/v1/batchOrders",
    "PUT /fapi/v1/batchOrders",
    "DELETE /fapi/v1/batchOrders",
    "DELETE /fapi/v1/allOpenOrders",
    "POST /fapi/v1/countdownCancelAll",
    "POST /fapi/v1/algoOrder",
    "DELETE /fapi/v1/algoOrder",
    "DELETE /fapi/v1/algoOpenOrders",
    "POST /fapi/v1/leverage",
    "POST /fapi/v1/marginType",
    "POST /fapi/v1/positionMargin",
    "POST /fapi/v1/positionSide/dual",
    "POST /fapi/v1/multiAssetsMargin",
    "POST /fapi/v1/listenKey",
    "PUT /fapi/v1/listenKey",
    "DELETE /fapi/v1/listenKey",
    "GET /fapi/v1/ping",
    "GET /api/v3/ping",
    "GET /api/v3/time",
    "GET /fapi/v1/ticker/price",
    "GET /fapi/v1/ticker/bookTicker",
    "GET /fapi/v1/ticker/24hr",
    "GET /fapi/v1/premiumIndex",
    "GET /fapi/v1/depth",
]


@pytest.mark.parametrize("call", DOCUMENTED)
def test_every_documented_call_is_there(call: str) -> None:
    method, path = call.split()
    assert (method, path) in PRODUCT.endpoints


def test_what_changes_something_needs_a_key_that_may_trade() -> None:
    for (method, path), endpoint in PRODUCT.endpoints.items():
        if method != "GET":
            assert endpoint.security is (Security.KEY if path.endswith("listenKey") else Security.TRADE)


def test_an_unknown_path_or_method_is_named() -> None:
    found = open_desk().send("PATCH", "/fapi/v1/order")
    assert (found.status, found.code) == (404, -5000)
    assert "/fapi/v1/order" in str(found["msg"])


def test_header_names_of_any_case_and_the_bare_body_of_a_form() -> None:
    desk = open_desk()
    text = f"timestamp={START}"
    body = f"{text}&signature={sign(desk.listing.api_secret, text)}".encode()
    call = Call(method="GET", path="/fapi/v3/balance", body=body, headers={"x-mbx-apikey": desk.listing.api_key})
    assert desk.hall.dialect.answer(call, START).status == 200


@pytest.mark.parametrize(
    ("path", "served"),
    [
        ("/fapi/v1/anything", True),
        ("/private/ws/abc", True),
        ("/ws/abc", True),
        ("/ws", True),
        ("/stream", True),
        ("/api/v3/time", True),
        ("/ws-fapi/v1", True),
        ("/api/v3/account", False),
        ("/control", False),
        ("/", False),
    ],
)
def test_the_venue_lives_at_the_root_with_its_own_paths(path: str, served: bool) -> None:
    assert open_desk().hall.dialect.serves(path) is served


def test_locations_are_bases_that_clients_append_to() -> None:
    places = open_desk().hall.dialect.locations("http://127.0.0.1:1", "ws://127.0.0.1:1")
    assert (places.rest_url, places.ws_url, places.ws_api_url) == ("http://127.0.0.1:1", "ws://127.0.0.1:1", "ws://127.0.0.1:1/ws-fapi/v1")


def test_an_expired_listen_key_is_announced_to_its_own_sockets_only() -> None:
    desk = open_desk(listen_key_minutes=1)
    lane = desk.listen()
    other = desk.listen("/private/ws/somebody-elses-key")
    desk.pass_time(59_999)
    assert desk.heard(lane) == []
    desk.pass_time(1)
    [event] = desk.heard(lane)
    assert event["e"] == "listenKeyExpired"
    desk.limit()
    assert desk.heard(lane) == []
    assert desk.heard(other) == []


def test_the_venue_has_contracts_and_a_name() -> None:
    assert VENUE.name == "binance-usdm"
    assert {each.symbol for each in VENUE.instruments} >= {"BTCUSDT", "ETHUSDT"}


VALUES = st.one_of(
    st.sampled_from(
        ["BTCUSDT", "BUY", "SELL", "LIMIT", "MARKET", "STOP_MARKET", "CONDITIONAL", "GTC", "GTD", "true", "1", "0.01", "80000"]
    ),
    st.integers(-(2**70), 2**70).map(str),
    st.text(max_size=6),
)
NAMES = st.sampled_from(
    [
        *("symbol", "side", "type", "timeInForce", "quantity", "price", "orderId", "origClientOrderId", "limit", "fromId", "startTime"),
        *("endTime", "page", "leverage", "marginType", "amount", "algoType", "algoId", "clientAlgoId", "triggerPrice", "callbackRate"),
        *("dualSidePosition", "multiAssetsMargin", "countdownTime", "batchOrders", "orderIdList", "goodTillDate", "recvWindow", "feeBurn"),
    ]
)


@settings(max_examples=300)
@given(st.sampled_from(sorted(PRODUCT.endpoints)), st.dictionaries(NAMES, VALUES, max_size=8))
def test_whatever_is_asked_an_answer_of_the_venue_comes(call: tuple[str, str], parameters: dict[str, str]) -> None:
    found = open_desk().call(*call, **parameters)
    assert found.status in (200, 400)
    assert found.status == 200 or set(found.body) == {"code", "msg"}  # type: ignore[call-overload]
    assert found.status == 200 or found.code != -1000, "a rule without a code"
