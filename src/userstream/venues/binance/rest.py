"""The venue's REST language for one account: questions to signed calls, answers to facts and follow-up questions (Binance USD-M, 6.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, assert_never

import msgspec

from userstream.domain.events import NO_TIME, Event, Unrecognized
from userstream.domain.words import Source
from userstream.kernel.errors import RequestRefused, SettingsError
from userstream.kernel.ids import Millis, OrderId
from userstream.kernel.secret import Secret
from userstream.venues.binance.answers import Reading, read_row, read_rows
from userstream.venues.binance.drift import Drift
from userstream.venues.binance.errors import error_of, is_success
from userstream.venues.binance.rows import (
    AccountConfigRow,
    AlgoRow,
    BalanceRow,
    ClockRow,
    IncomeRow,
    OrderRow,
    PositionRow,
    SymbolConfigRow,
    TradeRow,
)
from userstream.venues.binance.signing import key_header, make_signer, signed_query
from userstream.venues.binance.words import FINISHED, TRADE_INCOMES
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
    AskSymbols,
    Question,
    Traits,
)
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.venue import AccountPlace

PAGE: Final = 1_000
DAY_MS: Final = 24 * 3600 * 1000
LONGEST_WINDOW_MS: Final = 7 * DAY_MS - 1_000
"""Orders want less than seven days between the two times, trades at most seven (Binance USD-M, 6.1)."""

HISTORY_DEPTH_MS: Final = 89 * DAY_MS
"""Fills are kept for three months; the three shortest months in a row have 89 days."""

UNFILLED_DEPTH_MS: Final = 3 * DAY_MS
"""An order that was cancelled or expired without a fill is told for three days (Binance USD-M, 6.1)."""


class Call(msgspec.Struct, frozen=True):
    """A read of the venue's books."""

    path: str
    weight: int
    parameters: dict[str, str] = {}

    @property
    def label(self) -> str:
        return f"GET {self.path}"


def call_of(question: Question) -> Call:
    """The call that asks it, with its weight per IP (Binance USD-M, 6.1)."""
    match question:
        case AskClock():
            return Call("/fapi/v1/time", 1)
        case AskBalances():
            return Call("/fapi/v3/balance", 5)
        case AskPositions():
            return Call("/fapi/v3/positionRisk", 5)
        case AskSettings(symbol_settings):
            return Call("/fapi/v1/symbolConfig" if symbol_settings else "/fapi/v1/accountConfig", 5)
        case AskOpenOrders(conditional):
            return Call("/fapi/v1/openAlgoOrders" if conditional else "/fapi/v1/openOrders", 40)
        case AskOrder(symbol, order_id, conditional):
            if conditional:
                return Call("/fapi/v1/algoOrder", 1, {"algoId": order_id})
            return Call("/fapi/v1/order", 1, {"symbol": symbol, "orderId": order_id})
        case AskOrders(conditional=conditional):
            return Call("/fapi/v1/allAlgoOrders" if conditional else "/fapi/v1/allOrders", 5, _orders_parameters(question))
        case AskFills():
            return Call("/fapi/v1/userTrades", 5, _fills_parameters(question))
        case AskOrderFills(symbol, order_id):
            times = _times(question.since, _window_end(question))
            return Call("/fapi/v1/userTrades", 5, {"symbol": symbol, "orderId": order_id, **times, "limit": str(PAGE)})
        case AskMovements():
            times = _times(question.since, _window_end(question))
            return Call("/fapi/v1/income", 30, {**times, "page": question.cursor or "1", "limit": str(PAGE)})
        case AskSymbols():
            raise RequestRefused("the books of the futures tell all symbols at once: their list is never asked")
        case _:
            assert_never(question)


def _times(since: Millis, until: Millis) -> dict[str, str]:
    return {"startTime": str(max(since, NO_TIME)), "endTime": str(max(until, NO_TIME))}


def _window_end(question: AskOrders | AskFills | AskOrderFills | AskMovements) -> Millis:
    """Where the first window ends that the venue takes. Of income the documents name no longest window: none is longer than the others."""
    return min(question.until, Millis(question.since + LONGEST_WINDOW_MS))


def _orders_parameters(question: AskOrders) -> dict[str, str]:
    symbol = {} if question.symbol is None else {"symbol": question.symbol}
    if question.cursor:
        return {**symbol, "algoId" if question.conditional else "orderId": question.cursor, "limit": str(PAGE)}
    return {**symbol, **_times(question.since, _window_end(question)), "limit": str(PAGE)}


def _fills_parameters(question: AskFills) -> dict[str, str]:
    # fromId and times exclude each other.
    place = {"fromId": question.cursor} if question.cursor else _times(question.since, _window_end(question))
    return {"symbol": question.symbol, **place, "limit": str(PAGE)}


def more_orders(question: AskOrders, rows: Sequence[OrderRow | AlgoRow]) -> tuple[Question, ...]:
    """What is still to be asked after a page of orders. Ids count per symbol, so without a symbol pages go on from the last time: an order
    may then be read twice, and only of more orders in one millisecond than a page holds could some be passed over."""
    full = len(rows) >= PAGE
    newest = max((row.created_time for row in rows), default=NO_TIME)
    if question.symbol is not None and full:
        following = str(max(row.algo_id if isinstance(row, AlgoRow) else row.order_id for row in rows) + 1)
        return (msgspec.structs.replace(question, cursor=following),) if newest <= question.until else ()
    if question.cursor:
        return ()
    since = max(newest, Millis(question.since + 1)) if full else _window_end(question)
    return (msgspec.structs.replace(question, since=since),) if question.since < since < question.until else ()


def more_fills(question: AskFills, rows: list[TradeRow]) -> tuple[Question, ...]:
    """What is still to be asked after a page of fills: after a full one by trade id up to the last time, else the next window."""
    if len(rows) >= PAGE:
        following = str(max(row.trade_id for row in rows) + 1)
        newest = max(row.time for row in rows)
        return (msgspec.structs.replace(question, cursor=following),) if newest <= question.until else ()
    end = _window_end(question)
    return (msgspec.structs.replace(question, since=end),) if not question.cursor and end < question.until else ()


def more_movements(question: AskMovements, found: int) -> tuple[Question, ...]:
    """What is still to be asked after a page of cash movements: the next page, else the next window."""
    if found >= PAGE:
        return (msgspec.structs.replace(question, cursor=str(int(question.cursor or "1") + 1)),)
    end = _window_end(question)
    return (msgspec.structs.replace(question, since=end, cursor=""),) if end < question.until else ()


class FuturesDialect:
    """USD-M's `RestDialect`. Owned by one account; holds the signer and the counts of unknown words."""

    def __init__(self, place: AccountPlace) -> None:
        """Raises SettingsError where the key cannot sign."""
        if place.credentials.api_secret is None:
            raise SettingsError("api_secret is missing: without it the stream can be read, but the venue's books cannot be asked")
        self._header = key_header(place.credentials.api_key)
        self._sign = make_signer(place.credentials.api_secret)
        self._hidden = (place.credentials.api_key, place.credentials.api_secret)
        self._drift = Drift(place.account, place.venue)

    def weight(self, question: Question) -> int:
        """Weight per IP (Binance USD-M, 6.1); signs nothing."""
        return call_of(question).weight

    def request(self, question: Question, venue_now: Millis) -> HttpRequest:
        """The call that asks it, signed for `venue_now` (the venue's ms) and good for five seconds."""
        call = call_of(question)
        if isinstance(question, AskClock):
            return HttpRequest(method="GET", target=Secret(call.path), label=call.label, weight=call.weight)
        target = Secret(f"{call.path}?{signed_query(call.parameters, self._sign, venue_now)}")
        return HttpRequest(method="GET", target=target, label=call.label, headers=(self._header,), weight=call.weight)

    def answer(self, question: Question, response: HttpResponse, as_of: Millis, received_time: Millis) -> Answer:
        """Reads the answer. Unknown words come as `Unrecognized` after the facts, once each. Raises the error that says how to react."""
        label = call_of(question).label
        if not is_success(response):
            raise error_of(response, label, repeatable=True, venue_now=as_of, hidden=self._hidden)
        answer = self._read(question, response.body, label, Reading(self._drift, label, as_of, received_time))
        if not self._drift.news:
            return answer
        return msgspec.structs.replace(answer, events=(*answer.events, *self._told(response.body, as_of, received_time)))

    def _told(self, body: bytes, as_of: Millis, received_time: Millis) -> Iterator[Unrecognized]:
        news, self._drift.news = self._drift.news, []
        for name, reason in news:
            told = self._drift.unrecognized(name, reason, body, as_of, received_time)
            yield msgspec.structs.replace(told, source=Source.SNAPSHOT, as_of=as_of)

    def history_depth_ms(self) -> int:
        """Three months (Binance USD-M, 6.1)."""
        return HISTORY_DEPTH_MS

    def unfilled_depth_ms(self) -> int:
        """Three days (Binance USD-M, 6.1)."""
        return UNFILLED_DEPTH_MS

    def traits(self) -> Traits:
        """Everything; the income history names the trades behind profit and commission."""
        return Traits()

    def _read(self, question: Question, body: bytes, label: str, reading: Reading) -> Answer:
        match question:
            case AskClock():
                return Answer(venue_time=read_row(body, ClockRow, label).server_time)
            case AskBalances():
                return Answer(events=tuple(map(reading.balance, read_rows(body, BalanceRow, label))))
            case AskPositions():
                return Answer(events=tuple(map(reading.position, read_rows(body, PositionRow, label))))
            case AskSettings(symbol_settings=True):
                return Answer(events=tuple(map(reading.symbol_config, read_rows(body, SymbolConfigRow, label))))
            case AskSettings():
                settings = reading.account_config(read_row(body, AccountConfigRow, label))
                return Answer(events=(settings,), more=(AskSettings(symbol_settings=True),))
            case AskOrderFills():
                return self._read_order_fills(question, read_rows(body, TradeRow, label), reading)
            case AskFills():
                return self._read_fills(question, read_rows(body, TradeRow, label), reading)
            case AskMovements():
                return self._read_movements(question, read_rows(body, IncomeRow, label), reading)
            case _:
                return self._read_orders(question, body, label, reading)

    def _read_orders(
        self, question: AskOpenOrders | AskOrder | AskOrders | AskSymbols, body: bytes, label: str, reading: Reading
    ) -> Answer:
        match question:
            case AskOpenOrders(conditional=True):
                return Answer(events=tuple(map(reading.conditional_order, read_rows(body, AlgoRow, label))))
            case AskOpenOrders():
                return Answer(events=tuple(map(reading.order, read_rows(body, OrderRow, label))))
            case AskOrder(conditional=True):
                return Answer(events=(reading.conditional_order(read_row(body, AlgoRow, label)),))
            case AskOrder():
                return Answer(events=(reading.order(read_row(body, OrderRow, label)),))
            case AskOrders(conditional=True):
                return self._read_conditional_orders(question, read_rows(body, AlgoRow, label), reading)
            case AskOrders():
                rows = read_rows(body, OrderRow, label)
                return Answer(events=tuple(map(reading.order, rows)), more=more_orders(question, rows))
            case AskSymbols():
                return Answer()
            case _:
                assert_never(question)

    def _read_conditional_orders(self, question: AskOrders, rows: list[AlgoRow], reading: Reading) -> Answer:
        """The list does not tell what was filled: those that are finished are asked for one by one (Binance USD-M, 6.1)."""
        finished = [AskOrder(row.symbol, OrderId(str(row.algo_id)), conditional=True) for row in rows if row.status == FINISHED]
        others = tuple(reading.conditional_order(row) for row in rows if row.status != FINISHED)
        return Answer(events=others, more=(*more_orders(question, rows), *finished))

    def _read_fills(self, question: AskFills, rows: list[TradeRow], reading: Reading) -> Answer:
        # Pages by trade id have no end of their own.
        fills = tuple(reading.fill(row) for row in rows if row.time <= question.until)
        return Answer(events=fills, more=more_fills(question, rows))

    def _read_order_fills(self, question: AskOrderFills, rows: list[TradeRow], reading: Reading) -> Answer:
        """After a window the next one; an order of more fills than a page holds: the symbol's history from there on tells the rest."""
        events: tuple[Event, ...] = tuple(map(reading.fill, rows))
        if len(rows) >= PAGE:
            following = str(max(row.trade_id for row in rows) + 1)
            return Answer(events=events, more=(AskFills(question.symbol, max(row.time for row in rows), question.until, following),))
        end = _window_end(question)
        more = (msgspec.structs.replace(question, since=end),) if end < question.until else ()
        return Answer(events=events, more=more)

    def _read_movements(self, question: AskMovements, rows: list[IncomeRow], reading: Reading) -> Answer:
        traded = dict.fromkeys((row.symbol, str(row.trade_id)) for row in rows if row.income_type in TRADE_INCOMES and _names_trade(row))
        moved = tuple(reading.movement(row) for row in rows if row.income_type not in TRADE_INCOMES)
        return Answer(events=moved, more=more_movements(question, len(rows)), traded=tuple(traded))


def _names_trade(row: IncomeRow) -> bool:
    return bool(row.symbol and row.trade_id)
