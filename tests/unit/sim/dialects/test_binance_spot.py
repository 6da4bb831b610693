"""The dialect as a whole: its table of calls, its paths, its answers to anything."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sim.kit import START
from tests.unit.sim.spot_kit import SOCKET, VENUE, open_spot, part, rows
from userstream.sim.dialects import binance_spot
from userstream.sim.dialects.binance_spot import PRODUCT
from userstream.sim.dialects.binance_spot_calls import Security
from userstream.sim.venue import Call

# What the documents list for recovery and trading, and what other clients call at their start.
DOCUMENTED = [
    *("GET /api/v3/ping", "GET /api/v3/time", "GET /api/v3/exchangeInfo", "GET /api/v3/avgPrice", "GET /api/v3/depth"),
    *("GET /api/v3/ticker/price", "GET /api/v3/ticker/bookTicker", "GET /api/v3/ticker/24hr", "GET /api/v3/klines"),
    *("GET /api/v3/account", "GET /api/v3/account/commission", "GET /api/v3/rateLimit/order", "GET /sapi/v1/account/apiRestrictions"),
    *("GET /api/v3/order", "GET /api/v3/openOrders", "GET /api/v3/allOrders", "GET /api/v3/myTrades", "GET /api/v3/myPreventedMatches"),
    *("GET /api/v3/orderList", "GET /api/v3/openOrderList", "GET /api/v3/allOrderList", "GET /api/v3/myAllocations"),
    *("POST /api/v3/order", "POST /api/v3/order/test", "DELETE /api/v3/order", "DELETE /api/v3/openOrders"),
    *("POST /api/v3/order/cancelReplace", "PUT /api/v3/order/amend/keepPriority", "GET /api/v3/order/amendments"),
    *("POST /api/v3/orderList/oco", "POST /api/v3/orderList/oto", "POST /api/v3/orderList/otoco", "DELETE /api/v3/orderList"),
    "POST /api/v3/order/oco",
]


@pytest.mark.parametrize("call", DOCUMENTED)
def test_every_documented_call_is_there(call: str) -> None:
    method, path = call.split()
    assert (method, path) in PRODUCT.endpoints


def test_what_changes_something_needs_a_key_that_may_trade() -> None:
    by_key = {path for _, path in PRODUCT.endpoints if path.endswith(("userListenToken", "listen-key"))}
    retired = {path for _, path in PRODUCT.endpoints if "userDataStream" in path}
    for (method, path), endpoint in PRODUCT.endpoints.items():
        if method != "GET":
            wanted = Security.KEY if path in by_key else Security.NONE if path in retired else Security.TRADE
            assert endpoint.security is wanted


@pytest.mark.parametrize(
    ("path", "served"),
    [
        ("/api/v3/account", True),
        ("/api/v1/userDataStream", True),
        ("/ws-api/v3", True),
        ("/sapi/v1/account/apiRestrictions", True),
        ("/sapi/v1/margin/account", True),
        ("/margin-stream/ws/abc", True),
        ("/sapi/v1/lending/x", False),
        ("/fapi/v1/order", False),
        ("/ws/abc", False),
        ("/control", False),
    ],
)
def test_the_venue_lives_at_the_root_with_its_own_paths(path: str, served: bool) -> None:
    assert open_spot().hall.dialect.serves(path) is served


def test_locations_name_the_websocket_api() -> None:
    places = open_spot().hall.dialect.locations("http://127.0.0.1:1", "ws://127.0.0.1:1")
    assert (places.rest_url, places.ws_api_url) == ("http://127.0.0.1:1", "ws://127.0.0.1:1/ws-api/v3")


def test_an_unknown_path_or_method_is_named() -> None:
    found = open_spot().send("PATCH", "/api/v3/order")
    assert (found.status, found.code) == (404, -1000)
    assert "/api/v3/order" in str(found["msg"])


def test_only_json_sockets_are_opened() -> None:
    dialect = open_spot().hall.dialect
    assert dialect.open_socket(SOCKET, "responseFormat=sbe", "127.0.0.1", START) is None
    assert dialect.open_socket("/ws-api/v1", "", "127.0.0.1", START) is None
    assert dialect.open_socket(SOCKET, "responseFormat=json", "127.0.0.1", START) is not None


def test_answers_are_in_microseconds_on_request() -> None:
    desk = open_spot()
    headers = {"x-mbx-time-unit": "MICROSECOND"}
    assert desk.send("GET", "/api/v3/time")["serverTime"] == START
    call = Call(method="GET", path="/api/v3/time", headers=headers)
    assert desk.hall.dialect.answer(call, START).body == b'{"serverTime":%d}' % (START * 1000)


def test_the_habits_of_the_venue_are_its_own() -> None:
    venue = binance_spot.VENUE
    assert venue.name == VENUE
    assert (venue.ping_interval_s, venue.pong_deadline_s, venue.has_listen_keys) == (20, 60, False)
    assert {each.symbol for each in venue.instruments} >= {"BTCUSDT", "ETHUSDT", "BNBUSDT", "ETHBTC", "BNBBTC", "SOLUSDC"}


VALUES = st.one_of(
    st.sampled_from(
        [
            *("BTCUSDT", "BUY", "SELL", "LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "GTC", "IOC"),
            *("true", "1", "0.01", "80000", "82000", "STOP_ON_FAILURE", "ALLOW_FAILURE", "FULL", "ONLY_NEW", "NONE", "DECREMENT"),
        ]
    ),
    st.integers(-(2**70), 2**70).map(str),
    st.text(max_size=6),
)
NAMES = st.sampled_from(
    [
        *("symbol", "side", "type", "timeInForce", "quantity", "price", "orderId", "origClientOrderId", "limit", "fromId", "startTime"),
        *("endTime", "stopPrice", "trailingDelta", "icebergQty", "quoteOrderQty", "newClientOrderId", "newOrderRespType", "strategyType"),
        *(
            "cancelReplaceMode",
            "cancelOrderId",
            "cancelRestrictions",
            "newQty",
            "orderListId",
            "listClientOrderId",
            "recvWindow",
            "symbols",
        ),
        *("aboveType", "abovePrice", "belowType", "belowStopPrice", "workingType", "workingSide", "workingQuantity", "workingPrice"),
        *("pendingType", "pendingSide", "pendingQuantity", "selfTradePreventionMode", "preventedMatchId", "omitZeroBalances"),
    ]
)


@settings(max_examples=300)
@given(st.sampled_from(sorted(PRODUCT.endpoints)), st.dictionaries(NAMES, VALUES, max_size=10))
def test_whatever_is_asked_an_answer_of_the_venue_comes(call: tuple[str, str], parameters: dict[str, str]) -> None:
    found = open_spot().call(*call, **parameters)
    assert found.status in (200, 400, 409, 410)
    assert found.status == 200 or set(found.body) <= {"code", "msg", "data"}  # type: ignore[call-overload]
    assert found.status == 200 or found.code != -1000, "a rule without a code"


def test_rules_name_the_limits_and_every_pair_with_its_filters() -> None:
    rules = open_spot().send("GET", "/api/v3/exchangeInfo")
    assert [(row["rateLimitType"], row["interval"], row["limit"]) for row in rows(part({"r": rules.body}, "r"), "rateLimits")] == [
        ("REQUEST_WEIGHT", "MINUTE", 6000),
        ("ORDERS", "SECOND", 100),
        ("ORDERS", "DAY", 200_000),
        ("RAW_REQUESTS", "MINUTE", 300_000),
    ]
