"""The dialect of margin as a whole: its calls, its addresses, its habits."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sim.kit import START
from tests.unit.sim.margin_kit import open_margin
from userstream.sim.dialects.binance_margin import VENUE
from userstream.sim.dialects.binance_spot import PRODUCT

DOCUMENTED = [
    "POST /sapi/v1/userListenToken",
    "POST /sapi/v1/margin/listen-key",
    "PUT /sapi/v1/margin/listen-key",
    "DELETE /sapi/v1/margin/listen-key",
    "POST /sapi/v1/margin/order",
    "DELETE /sapi/v1/margin/order",
    "GET /sapi/v1/margin/order",
    "GET /sapi/v1/margin/openOrders",
    "DELETE /sapi/v1/margin/openOrders",
    "GET /sapi/v1/margin/allOrders",
    "GET /sapi/v1/margin/myTrades",
    "GET /sapi/v1/margin/account",
    "GET /sapi/v1/margin/isolated/account",
    "POST /sapi/v1/margin/borrow-repay",
    "GET /sapi/v1/margin/borrow-repay",
    "GET /sapi/v1/margin/interestHistory",
    "POST /sapi/v1/asset/transfer",
]
NAMES = st.sampled_from(
    [
        "symbol",
        "side",
        "type",
        "quantity",
        "price",
        "orderId",
        "timeInForce",
        "asset",
        "amount",
        "isIsolated",
        "sideEffectType",
        "symbols",
        "isolatedSymbol",
        "toSymbol",
        "fromSymbol",
        "validity",
        "listenKey",
        "limit",
        "fromId",
        "startTime",
    ]
)
VALUES = st.sampled_from(
    [
        "BTCUSDT",
        "BTC",
        "USDT",
        "BUY",
        "LIMIT",
        "BORROW",
        "MAIN_MARGIN",
        "MARGIN_ISOLATED_MARGIN",
        "TRUE",
        "MARGIN_BUY",
        "1",
        "0",
        "-1",
        "80000",
        "1.5",
        "1e400",
        "x",
    ]
)


@pytest.mark.parametrize("call", DOCUMENTED)
def test_every_call_of_margin_is_there(call: str) -> None:
    method, path = call.split()
    assert (method, path) in PRODUCT.endpoints


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(call for call in PRODUCT.endpoints if call[1].startswith("/sapi/"))), st.dictionaries(NAMES, VALUES, max_size=8)
)
def test_no_request_breaks_the_exchange(call: tuple[str, str], parameters: dict[str, str]) -> None:
    found = open_margin().call(*call, **parameters)
    assert found.status in (200, 400, 401, 410)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["listenToken", "apiKey", "subscriptionId"]), st.one_of(st.none(), st.integers(), st.text(max_size=80)))
)
def test_no_subscription_breaks_the_socket(params: dict[str, object]) -> None:
    session = open_margin().hall.dialect.open_socket("/ws-api/v3", "", "127.0.0.1", START)
    assert session is not None
    request = {"id": 1, "method": "userDataStream.subscribe.listenToken", "params": params}
    [reply] = session.receive(msgspec.json.encode(request).decode(), START)
    assert b'"error"' in reply
    assert session.accounts == frozenset()


def test_the_addresses_are_those_of_spot_and_of_the_risk_stream() -> None:
    places = open_margin().hall.dialect.locations("http://h", "ws://h")
    assert (places.rest_url, places.ws_url, places.ws_api_url) == ("http://h", "ws://h/margin-stream", "ws://h/ws-api/v3")
    assert VENUE.has_listen_keys
    assert VENUE.premises == "binance-spot"


@pytest.mark.parametrize(
    ("path", "served"), [("/sapi/v1/margin/order", True), ("/ws/abc", True), ("/margin-stream/ws/abc", True), ("/fapi/v1/time", False)]
)
def test_the_paths_of_the_venue(path: str, served: bool) -> None:
    assert open_margin().hall.dialect.serves(path) is served
