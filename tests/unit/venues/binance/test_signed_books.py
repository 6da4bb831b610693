"""Every product's books: whatever can be asked is one call with a weight and a signature, whatever cannot is refused before it is sent."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from tests.unit.venues.binance.kit import API_KEY, API_SECRET, RECEIVED, answer, place, refusal
from userstream.domain.events import Unrecognized
from userstream.domain.words import Source
from userstream.kernel.errors import RequestRefused, RetryLater, SettingsError
from userstream.kernel.ids import Millis, OrderId, Symbol
from userstream.kernel.secret import Secret
from userstream.venues.binance import COINM, MARGIN, SPOT, USDM
from userstream.venues.binance.signed_books import PUBLIC
from userstream.wire.question import (
    AskBalances,
    AskClock,
    AskFills,
    AskMovements,
    AskOpenOrders,
    AskOrder,
    AskOrderFills,
    AskOrderList,
    AskOrderLists,
    AskOrders,
    AskPositions,
    AskSettings,
    AskSymbols,
    Question,
    RestDialect,
)
from userstream.wire.venue import Credentials, VenueSpec

NOW = Millis(1_790_000_000_000)
SINCE = Millis(NOW - 60_000)
BTC, ONE = Symbol("BTCUSDT"), OrderId("1")
SHARED: tuple[Question, ...] = (
    *(AskClock(), AskBalances(), AskOpenOrders(conditional=False), AskOrder(BTC, ONE, conditional=False)),
    *(AskOrders(SINCE, NOW, symbol=BTC), AskFills(BTC, SINCE, NOW), AskOrderFills(BTC, ONE, SINCE, NOW)),
)
OF_FUTURES: tuple[Question, ...] = (
    *(AskPositions(), AskSettings(), AskSettings(symbol_settings=True), AskMovements(SINCE, NOW), AskOpenOrders(conditional=True)),
    *(AskOrder(BTC, ONE, conditional=True), AskOrders(SINCE, NOW, symbol=BTC, conditional=True)),
)
OF_WALLETS: tuple[Question, ...] = (AskSymbols(), AskOrderLists(), AskOrderList("7"))
HAS = [
    *((spec, SHARED + OF_FUTURES, OF_WALLETS) for spec in (USDM, COINM)),
    *((spec, SHARED + OF_WALLETS, OF_FUTURES) for spec in (SPOT, MARGIN)),
]
NAMES = [spec.name for spec, *_ in HAS]


def dialect(spec: VenueSpec) -> RestDialect:
    return spec.make_dialect(place(venue=spec.name, endpoints=spec.real))


@pytest.mark.parametrize(("spec", "asked", "refused"), HAS, ids=NAMES)
def test_what_can_be_asked_is_one_call_that_is_signed_to_the_last_byte(
    spec: VenueSpec, asked: tuple[Question, ...], refused: tuple[Question, ...]
) -> None:
    books = dialect(spec)
    for question in asked:
        call = books.request(question, NOW)
        path, _, query = call.target.reveal().partition("?")
        assert (call.method, call.label, call.weight) == ("GET", f"GET {path}", books.weight(question))
        assert call.weight > 0 and API_SECRET not in repr(call) and API_KEY not in repr(call)
        assert call.of_host is (path.startswith("/api/") and spec is MARGIN), "what margin asks of Spot's host counts there"
        if isinstance(question, PUBLIC):
            assert (query, call.headers) == ("", ())
            continue
        said, _, signature = query.rpartition("&signature=")
        assert signature == hmac.new(API_SECRET.encode(), said.encode(), hashlib.sha256).hexdigest()
        assert f"timestamp={NOW}" in said.split("&")
        assert [header[0] for header in call.headers] == ["X-MBX-APIKEY"]


@pytest.mark.parametrize(("spec", "asked", "refused"), HAS, ids=NAMES)
def test_what_the_product_has_not_is_refused_before_anything_is_sent(
    spec: VenueSpec, asked: tuple[Question, ...], refused: tuple[Question, ...]
) -> None:
    books = dialect(spec)
    for question in refused:
        for ask in (
            lambda question=question: books.weight(question),
            lambda question=question: books.request(question, NOW),
            lambda question=question: books.answer(question, answer([]), NOW, RECEIVED),
        ):
            with pytest.raises(RequestRefused):
                ask()


@pytest.mark.parametrize("spec", [USDM, COINM, SPOT, MARGIN], ids=NAMES)
def test_without_a_secret_people_are_told_what_they_cannot_do(spec: VenueSpec) -> None:
    with pytest.raises(SettingsError, match=r"^api_secret is missing: without it "):
        spec.make_dialect(place(venue=spec.name, endpoints=spec.real, credentials=Credentials(api_key=Secret("key"))))


def test_a_new_word_is_told_once_as_of_the_reading() -> None:
    row = {
        "symbol": "ETHUSDT",
        "orderId": 17,
        "clientOrderId": "a",
        "price": "1",
        "origQty": "1",
        "executedQty": "0",
        "cummulativeQuoteQty": "0",
        "status": "BRAND_NEW",
        "type": "LIMIT",
        "side": "BUY",
        "time": 1,
        "updateTime": 2,
    }
    books = dialect(SPOT)
    order, news = books.answer(AskOpenOrders(conditional=False), answer([row]), NOW, RECEIVED).events
    assert isinstance(news, Unrecognized) and news.name == "word GET /api/v3/openOrders.status=BRAND_NEW"
    assert (news.source, news.as_of, news.received_time) == (Source.SNAPSHOT, NOW, RECEIVED)
    assert books.answer(AskOpenOrders(conditional=False), answer([row]), NOW, RECEIVED).events == (order,)


@pytest.mark.parametrize("spec", [USDM, COINM, SPOT, MARGIN], ids=NAMES)
def test_a_refusal_says_how_to_react_and_hides_the_key(spec: VenueSpec) -> None:
    with pytest.raises(RetryLater) as caught:
        dialect(spec).answer(AskBalances(), refusal(-1003, f"too many of {API_KEY}", 429, retry_after="7"), NOW, RECEIVED)
    assert caught.value.after_ms == 7_000
    assert API_KEY not in str(caught.value)
