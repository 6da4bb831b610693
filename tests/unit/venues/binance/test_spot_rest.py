"""Spot's REST language: the calls, the pages, the answers; a venue of a few lines tells whether pages lose or double anything."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.events import order_changed
from tests.unit.venues.binance.kit import ALICE, RECEIVED, answer, refusal
from tests.unit.venues.binance.spot_kit import VENUE_TIME, spot_place, with_secret
from userstream.domain.account import Account
from userstream.domain.events import AccountConfigChanged, BalanceSet, Filled, OrderChanged, OrderListChanged
from userstream.domain.fold import apply
from userstream.domain.order_lists import unsettled_lists
from userstream.domain.words import OrderStatus, Side, Source
from userstream.kernel.errors import AuthenticationError, ClockSkewed, DecodeError, OrderNotFound, RequestRefused, RetryLater, SettingsError
from userstream.kernel.ids import Millis, OrderId, Symbol, VenueName
from userstream.venues.binance.spot_rest import DAY_MS, PAGE, SpotDialect, read_of
from userstream.wire.question import (
    Answer,
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
    Pair,
    Question,
    Traits,
)

ETH: Final = Symbol("ETHUSDT")
LIST: Final[Mapping[str, object]] = {
    "orderListId": 2001,
    "contingencyType": "OCO",
    "listStatusType": "ALL_DONE",
    "listOrderStatus": "ALL_DONE",
    "listClientOrderId": "list-9",
    "transactionTime": 1790000001202,
    "symbol": "ETHUSDT",
    "orders": [
        {"symbol": "ETHUSDT", "orderId": 17001, "clientOrderId": "a1"},
        {"symbol": "ETHUSDT", "orderId": 17002, "clientOrderId": "a2"},
    ],
}
OPEN_LIST: Final = {**LIST, "listStatusType": "EXEC_STARTED", "listOrderStatus": "EXECUTING"}
UNTIL: Final = VENUE_TIME
SINCE: Final = Millis(UNTIL - 60_000)
ORDER: Final[Mapping[str, object]] = {
    "symbol": "ETHUSDT",
    "orderId": 17,
    "orderListId": -1,
    "clientOrderId": "svc7-s-41",
    "price": "2875.10",
    "origQty": "1.5",
    "executedQty": "0.5",
    "cummulativeQuoteQty": "1437.55",
    "status": "PARTIALLY_FILLED",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "BUY",
    "stopPrice": "0.0",
    "icebergQty": "0.0",
    "time": 1789999990000,
    "updateTime": 1790000001202,
    "isWorking": True,
    "workingTime": 1789999990000,
    "origQuoteOrderQty": "0.0",
    "selfTradePreventionMode": "EXPIRE_MAKER",
}
TRADE: Final[Mapping[str, object]] = {
    "symbol": "ETHUSDT",
    "id": 77001,
    "orderId": 17,
    "orderListId": -1,
    "price": "2875.1",
    "qty": "0.5",
    "quoteQty": "1437.55",
    "commission": "0.0005",
    "commissionAsset": "ETH",
    "time": 1790000001202,
    "isBuyer": True,
    "isMaker": True,
    "isBestMatch": True,
}


def dialect(**fields: object) -> SpotDialect:
    return SpotDialect(spot_place(**fields))


def read(question: Question, body: object) -> Answer:
    return dialect().answer(question, answer(body), VENUE_TIME, RECEIVED)


def parameters(question: Question) -> dict[str, str]:
    query = parse_qs(urlsplit(dialect().request(question, VENUE_TIME).target.reveal()).query)
    return {name: values[0] for name, values in query.items() if name not in ("recvWindow", "timestamp", "signature")}


@pytest.mark.parametrize(
    ("question", "path", "weight"),
    [
        (AskClock(), "/api/v3/time", 1),
        (AskSymbols(), "/api/v3/exchangeInfo", 20),
        (AskBalances(), "/api/v3/account", 20),
        (AskOpenOrders(conditional=False), "/api/v3/openOrders", 80),
        (AskOrder(ETH, OrderId("17"), False), "/api/v3/order", 4),
        (AskOrders(SINCE, UNTIL, ETH), "/api/v3/allOrders", 20),
        (AskFills(ETH, SINCE, UNTIL), "/api/v3/myTrades", 20),
        (AskOrderFills(ETH, OrderId("17"), SINCE, UNTIL), "/api/v3/myTrades", 5),
    ],
)
def test_calls_and_their_weights(question: Question, path: str, weight: int) -> None:
    request = dialect().request(question, VENUE_TIME)
    assert request.label == f"GET {path}" and request.target.reveal().partition("?")[0] == path
    assert request.weight == dialect().weight(question) == weight
    is_public = isinstance(question, AskClock | AskSymbols)
    assert ("signature=" in request.target.reveal()) is bool(request.headers) is not is_public


@pytest.mark.parametrize(
    "question",
    [
        AskPositions(),
        AskSettings(),
        AskMovements(SINCE, UNTIL),
        AskOpenOrders(conditional=True),
        AskOrder(ETH, OrderId("1"), True),
        AskOrders(SINCE, UNTIL),
    ],
)
def test_what_spot_has_not_is_not_asked(question: Question) -> None:
    with pytest.raises(RequestRefused, match="Spot cannot be asked"):
        read_of(question)


def test_a_list_is_told_as_the_stream_tells_it() -> None:
    [one] = dialect().answer(AskOrderList("2001"), answer(LIST), VENUE_TIME, RECEIVED).events
    assert one == OrderListChanged(
        account=ALICE,
        venue=VenueName("binance-spot"),
        event_time=Millis(1790000001202),
        received_time=RECEIVED,
        source=Source.SNAPSHOT,
        as_of=VENUE_TIME,
        symbol=ETH,
        order_list_id="2001",
        status="all_done",
        order_ids=(OrderId("17001"), OrderId("17002")),
        client_order_list_id="list-9",
        contingency="oco",
        update="all_done",
        transaction_time=Millis(1790000001202),
    )
    assert dialect().answer(AskOrderLists(), answer([LIST]), VENUE_TIME, RECEIVED).events == (one,)


@pytest.mark.parametrize("code", [-2013, -2026, -2018])
def test_a_list_that_the_venue_does_not_know_any_more_is_no_trouble_and_ends_with_its_orders(code: int) -> None:
    [gone] = dialect().answer(AskOrderList("2001"), refusal(code), VENUE_TIME, RECEIVED).events
    account = Account(ALICE, VenueName("binance-spot"), lag_ms=5_000)
    then = Millis(VENUE_TIME - 5_001)
    [list_event] = dialect().answer(AskOrderList("2001"), answer({**OPEN_LIST, "transactionTime": then}), then, RECEIVED).events
    apply(account, list_event)
    for number in ("17001", "17002"):
        assert apply(account, gone) is None and unsettled_lists(account) == {"2001"}, "an order of it may be open"
        apply(account, order_changed(symbol=ETH, order_id=number, status="canceled", order_list_id="2001", transaction_time=then))
    ended = apply(account, gone)
    assert isinstance(ended, OrderListChanged)
    assert (ended.symbol, ended.status, ended.order_ids, ended.contingency) == (ETH, "all_done", ("17001", "17002"), "oco")
    assert unsettled_lists(account) == set()


def test_traits_and_depths() -> None:
    told = dialect(symbols=(ETH,)).traits()
    assert told == Traits(
        positions=False,
        settings=False,
        conditional_orders=False,
        movements=False,
        by_symbol=True,
        symbols=(ETH,),
        order_lists=True,
        orders_of_an_audit=0,
        audits_list_orders=True,
    )
    assert dialect().history_depth_ms() == 365 * DAY_MS and dialect().unfilled_depth_ms() == 90 * DAY_MS


def test_an_order_with_its_fills_is_asked_without_times() -> None:
    question = AskOrderFills(ETH, OrderId("17"), SINCE, UNTIL)
    assert parameters(question) == {"symbol": "ETHUSDT", "orderId": "17", "fromId": "0", "limit": "1000"}


@pytest.mark.parametrize(("fields", "words"), [({"credentials": with_secret(None)}, "api_secret"), ({"events": ("x",)}, "events")])
def test_what_cannot_be_is_refused_at_the_door(fields: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        dialect(**fields)


# --- answers ---


def test_the_account_tells_all_wallets_and_whether_it_may_trade() -> None:
    body = {"canTrade": False, "updateTime": 1790000001202, "uid": 1, "balances": [{"asset": "USDT", "free": "812.10", "locked": "40.00"}]}
    wallet, setting = read(AskBalances(), body).events
    assert isinstance(wallet, BalanceSet) and isinstance(setting, AccountConfigChanged)
    assert (wallet.total, wallet.available, wallet.transaction_time) == (Decimal("852.10"), Decimal("812.10"), 1790000001202)
    assert (wallet.source, wallet.as_of, wallet.received_time) == (Source.SNAPSHOT, VENUE_TIME, RECEIVED)
    assert setting.can_trade is False


def test_an_order_is_read_as_the_stream_tells_it() -> None:
    [order] = read(AskOrder(ETH, OrderId("17"), False), ORDER).events
    assert isinstance(order, OrderChanged)
    assert (order.status, order.filled_quantity, order.average_price) == (OrderStatus.PARTIALLY_FILLED, Decimal("0.5"), Decimal("2875.1"))
    assert (order.transaction_time, order.created_time, order.order_list_id, order.iceberg_quantity) == (
        1790000001202,
        1789999990000,
        "",
        None,
    )


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"cummulativeQuoteQty": "-1"}, "average_price", None),
        ({"executedQty": "0", "cummulativeQuoteQty": "0"}, "average_price", None),
        ({"status": "PENDING_NEW", "orderListId": 2001}, "order_list_id", "2001"),
        ({"status": "EXPIRED_IN_MATCH", "preventedMatchId": 3, "preventedQuantity": "1.0"}, "prevented_match_id", "3"),
        ({"status": "EXPIRED", "expiryReason": "OCO_TRIGGER"}, "reason", "oco trigger"),
        ({"type": "LIMIT_MAKER"}, "post_only", True),
        ({"icebergQty": "0.1"}, "iceberg_quantity", Decimal("0.1")),
        ({"trailingDelta": 25}, "callback_rate", Decimal("0.25")),
        ({"trailingDelta": 25, "trailingTime": 5}, "activated", True),
    ],
)
def test_what_only_some_orders_have(fields: dict[str, object], name: str, value: object) -> None:
    [order] = read(AskOpenOrders(conditional=False), [{**ORDER, **fields}]).events
    assert getattr(order, name) == value


def test_a_new_word_is_told_after_the_facts() -> None:
    order, told = read(AskOpenOrders(conditional=False), [{**ORDER, "type": "MOON"}]).events
    assert getattr(order, "order_type", "") == "moon"
    assert getattr(told, "name", "") == "word GET /api/v3/openOrders.type=MOON"


def test_a_fill_has_its_fee_in_whatever_asset() -> None:
    [fill] = read(AskFills(ETH, SINCE, Millis(1790000001202)), [TRADE]).events
    assert isinstance(fill, Filled)
    assert (fill.trade_id, fill.order_id, fill.side, fill.maker, fill.position_side) == ("77001", "17", Side.BUY, True, None)
    assert (fill.fee, fill.fee_asset) == (Decimal("0.0005"), "ETH")


def test_the_symbols_are_pairs_of_assets() -> None:
    body = {"timezone": "UTC", "symbols": [{"symbol": "ETHUSDT", "status": "TRADING", "baseAsset": "ETH", "quoteAsset": "USDT"}]}
    assert read(AskSymbols(), body).pairs == (Pair(ETH, "ETH", "USDT"),)


def test_suspended_symbols_and_those_without_margin_are_pairs_too() -> None:
    row = {"symbol": "ETHUSDT", "status": "BREAK", "baseAsset": "ETH", "quoteAsset": "USDT", "isMarginTradingAllowed": False}
    assert read(AskSymbols(), {"symbols": [row]}).pairs == (Pair(ETH, "ETH", "USDT", is_trading=False),)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-2026, OrderNotFound),
        (-2013, OrderNotFound),
        (-1121, RequestRefused),
        (-1021, ClockSkewed),
        (-2015, AuthenticationError),
        (-1003, RetryLater),
    ],
)
def test_refusals_say_how_to_react(code: int, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        dialect().answer(AskOrder(ETH, OrderId("17"), False), refusal(code), VENUE_TIME, RECEIVED)


def test_a_missing_field_is_named_with_its_call() -> None:
    with pytest.raises(DecodeError, match=r"GET /api/v3/account: field updateTime is missing"):
        read(AskBalances(), {"balances": []})


# --- pages ---


class Books:
    """Fills of one symbol, answered in pages as the documents say: windows of a day, or from an id on (Binance Spot, 6.2)."""

    def __init__(self, times: list[int]) -> None:
        self.times = sorted(times)
        self.calls = 0

    def rows(self, question: Question) -> list[dict[str, object]]:
        self.calls += 1
        asked = parameters(question)
        since, until = int(asked.get("startTime", 0)), int(asked.get("endTime", 1 << 60))
        assert until - since <= DAY_MS or "startTime" not in asked
        assert not ({"fromId", "orderId"} & asked.keys() and "startTime" in asked)
        first = int(asked.get("fromId", asked.get("orderId", 0)))
        found = [number for number, time in enumerate(self.times, 1) if number >= first and since <= time <= until][: int(asked["limit"])]
        if isinstance(question, AskOrders):
            return [{**ORDER, "orderId": number, "time": self.times[number - 1]} for number in found]
        return [{**TRADE, "id": number, "time": self.times[number - 1]} for number in found]

    def read_all(self, question: Question) -> list[str]:
        speaker, open_questions, told = dialect(), [question], list[str]()
        while open_questions:
            asked = open_questions.pop()
            answered = speaker.answer(asked, answer(self.rows(asked)), VENUE_TIME, RECEIVED)
            told += [str(getattr(event, "trade_id", "") or getattr(event, "order_id", "")) for event in answered.events]
            open_questions += answered.more
        return told


times = st.lists(st.integers(UNTIL - 5 * DAY_MS, UNTIL + DAY_MS), max_size=30)


@settings(max_examples=60)
@given(times=times, crowd=st.integers(0, 2_500), at=st.integers(UNTIL - 5 * DAY_MS, UNTIL), depth=st.integers(0, 5 * DAY_MS))
def test_pages_tell_every_fill_of_the_interval_once(times: list[int], crowd: int, at: int, depth: int) -> None:
    books, since = Books([*times, *[at] * crowd]), UNTIL - depth
    expected = [str(number) for number, time in enumerate(books.times, 1) if since <= time <= UNTIL]
    assert books.read_all(AskFills(ETH, Millis(since), UNTIL)) == expected


@settings(max_examples=30)
@given(times=times, depth=st.integers(0, 5 * DAY_MS))
def test_pages_tell_every_order_made_in_the_interval_once(times: list[int], depth: int) -> None:
    books, since = Books(times), UNTIL - depth
    told = books.read_all(AskOrders(Millis(since), UNTIL, ETH))
    expected = {str(number) for number, time in enumerate(books.times, 1) if since <= time <= UNTIL}
    assert expected <= set(told) and len(told) == len(set(told))


def test_a_quiet_symbol_costs_a_call_a_day_and_a_busy_one_a_call_a_page() -> None:
    quiet, busy = Books([]), Books([UNTIL - 5 * DAY_MS] * (PAGE * 2 + 1))
    quiet.read_all(AskFills(ETH, Millis(UNTIL - 5 * DAY_MS), UNTIL))
    busy.read_all(AskFills(ETH, Millis(UNTIL - 5 * DAY_MS), UNTIL))
    assert (quiet.calls, busy.calls) == (6, 3)


@pytest.mark.parametrize(("fills", "calls"), [(3, 1), (PAGE + 200, 2)])
def test_an_order_of_more_fills_than_a_page_goes_on_by_id(fills: int, calls: int) -> None:
    books = Books([SINCE] * fills)
    assert len(books.read_all(AskOrderFills(ETH, OrderId("17"), SINCE, UNTIL))) == fills
    assert books.calls == calls
