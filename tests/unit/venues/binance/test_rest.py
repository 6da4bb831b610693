"""Questions to calls, answers to follow-up questions: against a small book of orders and trades that pages like the venue."""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import API_KEY, API_SECRET, RECEIVED, answer, place, refusal, the_only
from tests.unit.venues.binance.test_answers import ALGO, AS_OF, BALANCE, FUNDING, ORDER, POSITION, TRADE, changed
from userstream.domain.account import Account
from userstream.domain.events import AccountConfigChanged, BalanceMoved, BalanceSet, Event, Filled, OrderChanged, PositionSet, Unrecognized
from userstream.domain.fold import apply
from userstream.domain.words import Source
from userstream.kernel.errors import (
    AuthenticationError,
    ClockSkewed,
    DecodeError,
    OrderNotFound,
    RetryLater,
    SettingsError,
)
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol
from userstream.kernel.secret import Secret
from userstream.venues.binance.products import COIN_M, DAY_MS, LONGEST_WINDOW_MS, USD_M, FuturesProduct
from userstream.venues.binance.rest import FuturesDialect
from userstream.venues.binance.signing import make_signer
from userstream.wire.question import (
    Answer,
    AskBalances,
    AskClock,
    AskFills,
    AskMovements,
    AskOpenOrders,
    AskOrder,
    AskOrderFills,
    AskOrders,
    AskPositions,
    AskSettings,
    Question,
    Traits,
)
from userstream.wire.request import HttpResponse
from userstream.wire.venue import Credentials

NOW = Millis(1_790_000_000_000)
SINCE, UNTIL = Millis(NOW - 3_600_000), NOW
BTC = Symbol("BTCUSDT")


def dialect(product: FuturesProduct = USD_M) -> FuturesDialect:
    return FuturesDialect(place(venue=product.name), product)


def parameters(question: Question, product: FuturesProduct = USD_M) -> dict[str, str]:
    """The call's own parameters, without those of every signed call."""
    query = dialect(product).request(question, NOW).target.reveal().partition("?")[2]
    return {name: value for name, value in parse_qsl(query) if name not in ("recvWindow", "timestamp", "signature")}


def read(question: Question, response: HttpResponse, product: FuturesProduct = USD_M) -> Answer:
    return dialect(product).answer(question, response, AS_OF, RECEIVED)


@pytest.mark.parametrize(
    ("question", "path", "weight", "told"),
    [
        (AskClock(), "/fapi/v1/time", 1, {}),
        (AskBalances(), "/fapi/v3/balance", 5, {}),
        (AskPositions(), "/fapi/v3/positionRisk", 5, {}),
        (AskSettings(), "/fapi/v1/accountConfig", 5, {}),
        (AskSettings(symbol_settings=True), "/fapi/v1/symbolConfig", 5, {}),
        (AskOpenOrders(conditional=False), "/fapi/v1/openOrders", 40, {}),
        (AskOpenOrders(conditional=True), "/fapi/v1/openAlgoOrders", 40, {}),
        (AskOrder(BTC, OrderId("77"), False), "/fapi/v1/order", 1, {"symbol": "BTCUSDT", "orderId": "77"}),
        (AskOrder(BTC, OrderId("77"), True), "/fapi/v1/algoOrder", 1, {"algoId": "77"}),
        (AskOrders(SINCE, UNTIL), "/fapi/v1/allOrders", 5, {"startTime": str(SINCE), "endTime": str(UNTIL), "limit": "1000"}),
        (
            AskOrders(SINCE, UNTIL, BTC),
            "/fapi/v1/allOrders",
            5,
            {"symbol": "BTCUSDT", "startTime": str(SINCE), "endTime": str(UNTIL), "limit": "1000"},
        ),
        (AskOrders(SINCE, UNTIL, BTC, "78"), "/fapi/v1/allOrders", 5, {"symbol": "BTCUSDT", "orderId": "78", "limit": "1000"}),
        (
            AskFills(BTC, SINCE, UNTIL),
            "/fapi/v1/userTrades",
            5,
            {"symbol": "BTCUSDT", "startTime": str(SINCE), "endTime": str(UNTIL), "limit": "1000"},
        ),
        (AskFills(BTC, SINCE, UNTIL, "5"), "/fapi/v1/userTrades", 5, {"symbol": "BTCUSDT", "fromId": "5", "limit": "1000"}),
        (
            AskOrderFills(BTC, OrderId("77"), SINCE, UNTIL),
            "/fapi/v1/userTrades",
            5,
            {"symbol": "BTCUSDT", "orderId": "77", "startTime": str(SINCE), "endTime": str(UNTIL), "limit": "1000"},
        ),
        (
            AskMovements(SINCE, UNTIL),
            "/fapi/v1/income",
            30,
            {"startTime": str(SINCE), "endTime": str(UNTIL), "page": "1", "limit": "1000"},
        ),
        (
            AskMovements(SINCE, UNTIL, "3"),
            "/fapi/v1/income",
            30,
            {"startTime": str(SINCE), "endTime": str(UNTIL), "page": "3", "limit": "1000"},
        ),
    ],
)
def test_each_question_is_its_call(question: Question, path: str, weight: int, told: dict[str, str]) -> None:
    request = dialect().request(question, NOW)
    assert (request.method, request.target.reveal().partition("?")[0], request.label) == ("GET", path, f"GET {path}")
    assert (request.weight, request.may_repeat, request.body) == (weight, True, None)
    assert parameters(question) == told


def test_calls_are_signed_for_the_venues_time_and_name_the_key_in_the_header() -> None:
    request = dialect().request(AskBalances(), NOW)
    query = request.target.reveal().partition("?")[2]
    payload = f"recvWindow=5000&timestamp={NOW}"
    assert query == f"{payload}&signature={make_signer(Secret(API_SECRET))(payload)}"
    assert [(name, value.reveal()) for name, value in request.headers] == [("X-MBX-APIKEY", API_KEY)]
    assert API_KEY not in repr(request) and "signature" not in repr(request)


def test_the_clock_is_asked_without_a_name() -> None:
    request = dialect().request(AskClock(), NOW)
    assert (request.target.reveal(), request.headers) == ("/fapi/v1/time", ())


@pytest.mark.parametrize("question", [AskOrders(Millis(-5), Millis(-1)), AskFills(BTC, Millis(-5), Millis(-1))])
def test_no_time_is_before_the_epoch(question: Question) -> None:
    told = parameters(question)
    assert (told["startTime"], told["endTime"]) == ("0", "0")


MONTH_AGO = Millis(NOW - 30 * DAY_MS)


@pytest.mark.parametrize("question", [AskOrders(MONTH_AGO, NOW), AskFills(BTC, MONTH_AGO, NOW), AskMovements(MONTH_AGO, NOW)])
def test_no_window_is_longer_than_the_venue_takes(question: Question) -> None:
    told = parameters(question)
    assert int(told["endTime"]) - int(told["startTime"]) == LONGEST_WINDOW_MS < 7 * DAY_MS


def test_the_facts_of_each_answer() -> None:
    def facts(question: Question, body: bytes) -> list[type[Event]]:
        given_answer = read(question, answer(body))
        assert all((event.source, event.as_of) == (Source.SNAPSHOT, AS_OF) for event in given_answer.events)
        return [type(event) for event in given_answer.events]

    assert facts(AskBalances(), b"[%b,%b]" % (BALANCE, BALANCE)) == [BalanceSet, BalanceSet]
    assert facts(AskPositions(), b"[%b]" % POSITION) == [PositionSet]
    assert facts(AskOpenOrders(conditional=False), b"[%b]" % ORDER) == [OrderChanged]
    assert facts(AskOpenOrders(conditional=True), b"[%b]" % ALGO) == [OrderChanged]
    assert facts(AskOrder(BTC, OrderId("1"), False), ORDER) == [OrderChanged]
    assert facts(AskOrder(BTC, OrderId("1"), True), ALGO) == [OrderChanged]
    assert facts(AskOrderFills(BTC, OrderId("1"), SINCE, UNTIL), b"[%b]" % TRADE) == [Filled]
    assert facts(AskMovements(SINCE, UNTIL), b"[%b]" % FUNDING) == [BalanceMoved]
    assert facts(AskBalances(), b"[]") == []


def test_a_weight_is_known_before_anything_is_signed() -> None:
    for question in (AskClock(), AskBalances(), AskOpenOrders(conditional=True), AskMovements(SINCE, UNTIL)):
        assert dialect().weight(question) == dialect().request(question, NOW).weight


def test_the_venue_keeps_what_was_filled_for_months_and_what_was_not_for_days() -> None:
    assert dialect().unfilled_depth_ms() == 3 * DAY_MS < dialect().history_depth_ms() == 89 * DAY_MS


def test_finished_conditional_orders_are_asked_for_one_by_one() -> None:
    waiting, finished = changed(ALGO, algoId=1), changed(ALGO, algoId=2, algoStatus="FINISHED")
    told = read(AskOrders(SINCE, UNTIL, BTC, conditional=True), answer(b"[%b,%b]" % (waiting, finished)))
    assert the_only(OrderChanged, told.events).order_id == "1"
    assert told.more == (AskOrder(BTC, OrderId("2"), conditional=True),)


def test_the_clocks_answer_is_the_venues_time() -> None:
    assert read(AskClock(), answer({"serverTime": 1790000000010})) == Answer(venue_time=Millis(1790000000010))


def test_settings_are_asked_in_two_places() -> None:
    first = read(AskSettings(), answer({"canTrade": True, "dualSidePosition": True, "multiAssetsMargin": False}))
    assert the_only(AccountConfigChanged, first.events).hedge_mode is True
    assert first.more == (AskSettings(symbol_settings=True),)
    second = read(first.more[0], answer([{"symbol": "BTCUSDT", "marginType": "ISOLATED", "leverage": 5}]))
    assert the_only(AccountConfigChanged, second.events).leverage == 5
    assert second.more == ()


def test_the_income_history_names_trades_and_moves_the_rest() -> None:
    rows = [
        changed(FUNDING, incomeType="COMMISSION", tradeId="5200001"),
        changed(FUNDING, incomeType="REALIZED_PNL", tradeId="5200001"),
        changed(FUNDING, incomeType="COMMISSION", tradeId=5200002),
        changed(FUNDING, incomeType="COMMISSION", tradeId=""),
        changed(FUNDING, incomeType="COMMISSION", tradeId="9", symbol=""),
        changed(FUNDING, incomeType="COMMISSION_REBATE", tradeId="5200001"),
        FUNDING,
    ]
    told = read(AskMovements(SINCE, UNTIL), answer(b"[%b]" % b",".join(rows)))
    assert told.traded == ((BTC, "5200001"), (BTC, "5200002"))
    assert [event.reason for event in told.events if isinstance(event, BalanceMoved)] == ["commission_rebate", "funding_fee"]


def test_unknown_words_come_after_the_facts_once() -> None:
    asker = dialect()
    body = answer(b"[%b]" % changed(FUNDING, incomeType="STARDUST"))
    first, second = (asker.answer(AskMovements(SINCE, UNTIL), body, AS_OF, RECEIVED) for _ in range(2))
    assert [type(event) for event in first.events] == [BalanceMoved, Unrecognized]
    told = the_only(Unrecognized, first.events)
    assert (told.name, told.source) == ("word GET /fapi/v1/income.incomeType=STARDUST", Source.SNAPSHOT)
    assert [type(event) for event in second.events] == [BalanceMoved]


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (refusal(-2015, status=401), AuthenticationError),
        (refusal(-1021), ClockSkewed),
        (refusal(-1003, status=429, retry_after="3"), RetryLater),
        (refusal(-1007, status=503), RetryLater),
        (refusal(-2013), OrderNotFound),
        (answer(b"no route", 0), RetryLater),
        (answer(b"<html>", 200), RetryLater),
        (answer(b"<html>", 403), RetryLater),
        (answer({"239999": "maintenance"}, 200), RetryLater),
        (answer({"orderId": 1}), DecodeError),
    ],
)
def test_what_is_no_answer_says_how_to_react(response: HttpResponse, error: type[Exception]) -> None:
    with pytest.raises(error, match="GET /fapi/v1/order") as caught:
        read(AskOrder(BTC, OrderId("77"), False), response)
    assert type(caught.value) is error


def test_a_ban_is_measured_on_the_venues_clock() -> None:
    with pytest.raises(RetryLater) as caught:
        read(AskBalances(), refusal(-1003, f"banned until {AS_OF + 4_000}", 418))
    assert caught.value.after_ms == 4_000


def test_secrets_of_the_account_are_not_in_the_venues_words() -> None:
    with pytest.raises(AuthenticationError) as caught:
        read(AskBalances(), refusal(-2014, f"bad key {API_KEY} with {API_SECRET}", 401))
    assert API_KEY not in str(caught.value) and API_SECRET not in str(caught.value)


def test_what_cannot_be_asked_is_said_at_the_door() -> None:
    with pytest.raises(SettingsError, match="api_secret is missing"):
        FuturesDialect(place(credentials=Credentials(api_key=Secret(API_KEY))))
    with pytest.raises(SettingsError, match="api_secret"):
        FuturesDialect(place(credentials=Credentials(api_key=Secret(API_KEY), api_secret=Secret("-----BEGIN"))))


def test_what_recovery_may_count_on() -> None:
    assert dialect().history_depth_ms() == 89 * DAY_MS
    assert dialect().traits() == Traits()


class Venue:
    """Trades, orders and incomes of a symbol, answered in pages as the documents say (Binance USD-M, 6.1)."""

    def __init__(self, times: list[int], product: FuturesProduct = USD_M) -> None:
        self.times, self.product = sorted(times), product
        self.asked = 0

    def rows(self, told: dict[str, str], id_name: str) -> list[tuple[int, int]]:
        limit = int(told["limit"])
        rows = list(enumerate(self.times, start=100))
        if id_name in told:
            assert "startTime" not in told
            rows = [row for row in rows if row[0] >= int(told[id_name])]
        elif "startTime" in told:
            start, end = int(told["startTime"]), int(told["endTime"])
            assert end - start < 7 * DAY_MS
            rows = [row for row in rows if start <= row[1] <= end]
        first = (int(told.get("page", "1")) - 1) * limit
        return rows[first : first + limit]

    def answer(self, question: Question) -> HttpResponse:
        self.asked += 1
        assert self.asked < 60, "the questions do not end"
        told = parameters(question, self.product)
        match question:
            case AskOrders():
                rows = [changed(ORDER, orderId=number, time=time, updateTime=time) for number, time in self.rows(told, "orderId")]
            case AskMovements():
                rows = [changed(FUNDING, tranId=number, time=time) for number, time in self.rows(told, "-")]
            case AskOrderFills():
                rows = [changed(TRADE, id=number, time=time) for number, time in self.rows(told, "-")]
            case _:
                rows = [changed(TRADE, id=number, time=time) for number, time in self.rows(told, "fromId")]
        return answer(b"[%b]" % b",".join(rows))

    def ask_all(self, question: Question) -> list[Event]:
        """Asks until nothing more is to be asked; no question twice."""
        asked: set[Question] = set()
        waiting, found = [question], []
        while waiting:
            current = waiting.pop()
            assert current not in asked
            asked.add(current)
            given_answer = read(current, self.answer(current), self.product)
            found += list(given_answer.events)
            waiting += given_answer.more
        return found


def ids_between(venue: Venue, since: int, until: int) -> list[str]:
    return [str(number) for number, time in enumerate(venue.times, start=100) if since <= time <= until]


def ids_of(events: list[Event]) -> set[str]:
    fills = {event.trade_id for event in events if isinstance(event, Filled)}
    return fills | {event.order_id for event in events if isinstance(event, OrderChanged)}


PRODUCTS = pytest.mark.parametrize("product", [USD_M, COIN_M], ids=lambda product: str(product.name))
HISTORIES = st.lists(st.integers(NOW - 40 * DAY_MS, NOW + DAY_MS), max_size=12)
STEPS = st.integers(0, 40 * DAY_MS)


@PRODUCTS
@settings(max_examples=40)
@given(times=HISTORIES, since=STEPS)
def test_every_fill_order_and_movement_of_a_long_time_is_found(product: FuturesProduct, times: list[int], since: int) -> None:
    start = Millis(NOW - since)
    moved = Venue(times, product).ask_all(AskMovements(start, NOW))
    found = {event.movement_id.rpartition(":")[2] for event in moved if isinstance(event, BalanceMoved)}
    assert sorted(found, key=int) == ids_between(Venue(times), start, NOW)
    venue = Venue(times, product)
    assert sorted(ids_of(venue.ask_all(AskFills(BTC, start, NOW))), key=int) == ids_between(venue, start, NOW)
    for symbol in (BTC,) if product.orders_by_symbol else (None, BTC):
        venue = Venue(times, product)
        assert sorted(ids_of(venue.ask_all(AskOrders(start, NOW, symbol))), key=int) == ids_between(venue, start, NOW)


@pytest.mark.parametrize("spread_ms", [50, 500_000])
def test_full_pages_lead_on_to_the_last_one(spread_ms: int) -> None:
    """2500 happenings, several at one time, over minutes and over two weeks."""
    times = [NOW - spread_ms * (number // 3 * 3) for number in range(2_500)]
    start = Millis(min(times))
    for question in (AskFills(BTC, start, NOW), AskOrders(start, NOW, BTC), AskOrders(start, NOW)):
        venue = Venue(times)
        assert sorted(ids_of(venue.ask_all(question)), key=int) == ids_between(venue, start, NOW)


@pytest.mark.parametrize("spread_ms", [50, 500_000])
def test_small_pages_lead_on_to_the_last_one_as_well(spread_ms: int) -> None:
    times = [NOW - spread_ms * (number // 3 * 3) for number in range(2_500)]
    start = Millis(min(times))
    for question in (AskFills(BTC, start, NOW), AskOrders(start, NOW, BTC)):
        venue = Venue(times, COIN_M)
        assert sorted(ids_of(venue.ask_all(question)), key=int) == ids_between(venue, start, NOW)


def test_pages_by_id_stop_after_the_last_time_and_tell_nothing_beyond_it() -> None:
    times = [NOW - 10_000 + number for number in range(3_000)] + [NOW + 1_000_000 + number for number in range(2_000)]
    venue = Venue(times)
    found = venue.ask_all(AskFills(BTC, Millis(NOW - 10_000), NOW))
    assert len(found) == 3_000
    assert venue.asked == 4
    venue = Venue(times)
    assert len(ids_of(venue.ask_all(AskOrders(Millis(NOW - 10_000), NOW, BTC)))) >= 3_000
    assert venue.asked == 4


def test_more_orders_of_one_time_than_a_page_holds_do_not_stand_still() -> None:
    venue = Venue([NOW - 100] * 1_500 + [NOW - 50])
    assert len(ids_of(venue.ask_all(AskOrders(Millis(NOW - 100), NOW)))) == 1_001


def test_movements_come_page_by_page() -> None:
    venue = Venue([NOW - number for number in range(2_001)])
    found = venue.ask_all(AskMovements(Millis(NOW - 5_000), NOW))
    assert len({event.movement_id for event in found if isinstance(event, BalanceMoved)}) == 2_001
    assert venue.asked == 3


def test_an_order_of_more_fills_than_a_page_holds_is_read_on_in_the_symbols_history() -> None:
    venue = Venue([AS_OF - 3_000 + number for number in range(2_500)])
    question = AskOrderFills(BTC, OrderId("3300012345"), Millis(AS_OF - 60 * DAY_MS), AS_OF)
    assert len(ids_of(venue.ask_all(question))) == 2_500


def test_the_fills_of_an_order_are_asked_for_all_of_its_life_window_by_window() -> None:
    venue = Venue([AS_OF - day * DAY_MS for day in range(40, 0, -3)])
    question = AskOrderFills(BTC, OrderId("3300012345"), Millis(AS_OF - 40 * DAY_MS), AS_OF)
    assert len(ids_of(venue.ask_all(question))) == 14


@pytest.mark.parametrize("product", [USD_M, COIN_M], ids=["usdm", "coinm"])
def test_two_equal_movements_of_one_millisecond_are_two_once_the_cash_history_names_them(product: FuturesProduct) -> None:
    """The stream alone cannot tell the second from a doubled frame; the venue's books can."""
    account = Account(AccountId("alice"), product.name, lag_ms=5_000)
    moved = changed(FUNDING, symbol="", incomeType="TRANSFER", income="100")
    rows = b"[" + b",".join(changed(moved, tranId=number) for number in (1, 2)) + b"]"
    [first, second] = dialect(product).answer(AskMovements(SINCE, UNTIL), answer(rows), AS_OF, RECEIVED).events
    assert isinstance(first, BalanceMoved) and isinstance(second, BalanceMoved)
    streamed = msgspec.structs.replace(first, movement_id="", source=Source.STREAM, as_of=Millis(0))
    assert [apply(account, event, 1) is not None for event in (streamed, streamed)] == [True, False]
    news = [apply(account, event) for event in (first, second, first, second)]
    assert news == [None, second, None, None]
    assert sum(movement.delta for movement in account.movements) == 200
