"""Spot's REST language for one account: questions to signed calls, answers to facts and follow-up questions (Binance Spot, 6.2).

Past orders and fills are told for one symbol at a time, in windows of a day; nothing tells of cash that came and went.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from userstream.domain.events import NO_TIME
from userstream.kernel.errors import OrderNotFound, RequestRefused, UserStreamError
from userstream.kernel.ids import Millis
from userstream.venues.binance.answers import read_row, read_rows
from userstream.venues.binance.errors import refusal_of
from userstream.venues.binance.margin_risk import debt_facts
from userstream.venues.binance.products import Read
from userstream.venues.binance.rows import ClockRow
from userstream.venues.binance.signed_books import SignedBooks
from userstream.venues.binance.spot_answers import SpotReading
from userstream.venues.binance.spot_requests import check_not_retired
from userstream.venues.binance.spot_rows import TRADING, OrderListRow, RulesRow, SpotOrderRow, SpotTradeRow
from userstream.venues.binance.wallet_books import SPOT_BOOKS, WalletBooks
from userstream.wire.question import (
    Answer,
    AskBalances,
    AskClock,
    AskFills,
    AskOpenOrders,
    AskOrder,
    AskOrderFills,
    AskOrderList,
    AskOrderLists,
    AskOrders,
    AskSymbols,
    Pair,
    Question,
    Traits,
)
from userstream.wire.request import HttpResponse
from userstream.wire.venue import AccountPlace

PAGE: Final = 1_000
DAY_MS: Final = 24 * 3600 * 1000
LONGEST_WINDOW_MS: Final = DAY_MS - 1_000
"""At most 24 hours lie between the two times (Binance Spot, 6.2)."""

HISTORY_DEPTH_MS: Final = 365 * DAY_MS
"""The documents name no end of the fills' history: no more than a year is asked, a day and a symbol at a time."""

UNFILLED_DEPTH_MS: Final = 90 * DAY_MS
"""An order that was cancelled or expired without a fill is archived after 90 days (Binance Spot, 6.2)."""

NOT_KNOWN: Final[Mapping[type, tuple[int, ...]]] = MappingProxyType({AskOrder: (-2026,), AskOrderList: (-2026, -2018)})
"""What says that an order is archived. The documents that this was written from name no number for a list; -2018 is of the venue's own
pages."""

History: TypeAlias = AskOrders | AskFills


def read_of(question: Question, books: WalletBooks = SPOT_BOOKS) -> Read:
    """The call that asks it, with its weight per IP (Binance Spot, 6.2). Raises RequestRefused for what the product has not, and
    for symbols that are no part of the account."""
    symbol = getattr(question, "symbol", None)
    if books.only and symbol not in (None, books.only):
        raise RequestRefused(f"{books.title} of {books.only} cannot be asked about {symbol}")
    match question:
        case AskClock():
            return Read("/api/v3/time", 1, of_host=books.margin_pairs)
        case AskSymbols():
            return Read("/api/v3/exchangeInfo", 20, of_host=books.margin_pairs)
        case AskBalances():
            return books.account
        case AskOpenOrders(conditional=False):
            return books.open_orders
        case AskOrder(conditional=False):
            return books.order
        case AskOrders(symbol=symbol, conditional=False) if symbol is not None:
            return books.orders
        case AskOrderLists():
            return books.order_lists
        case AskOrderList():
            return books.order_list
        case AskFills():
            return books.fills
        case AskOrderFills():
            return books.order_fills
        case _:
            raise RequestRefused(f"{books.title} cannot be asked {type(question).__name__}")


def parameters_of(question: Question, books: WalletBooks) -> Mapping[str, str]:
    """What is said beside where it is asked, of a question that the product has."""
    said = books.parameters
    match question:
        case AskBalances():
            return books.account_parameters
        case AskOrder(symbol, order_id):
            return {"symbol": symbol, "orderId": order_id, **said}
        case AskOrders(symbol=symbol):
            assert symbol is not None, "past orders are told by symbol"
            return {"symbol": symbol, **_place("orderId", question, books.orders_page), **said}
        case AskOrderList(order_list_id):
            return {"orderListId": order_list_id, **books.open_orders_parameters}
        case AskFills(symbol):
            return {"symbol": symbol, **_place("fromId", question, PAGE), **said}
        case AskOrderFills(symbol, order_id):
            # Times are not allowed beside an order id; without an id to begin at, the venue may tell the newest ones only.
            return {"symbol": symbol, "orderId": order_id, "fromId": "0", "limit": str(PAGE), **said}
        case _:
            return books.open_orders_parameters


def _place(id_name: str, question: History, page: int) -> dict[str, str]:
    """Ids and times exclude each other."""
    if question.cursor:
        return {id_name: question.cursor, "limit": str(page)}
    since, until = max(question.since, NO_TIME), max(_window_end(question), NO_TIME)
    return {"startTime": str(since), "endTime": str(until), "limit": str(page)}


def _window_end(question: History) -> Millis:
    return min(question.until, Millis(question.since + LONGEST_WINDOW_MS))


def more_pages(question: History, found: int, newest_id: int, newest_time: Millis, page: int = PAGE) -> tuple[Question, ...]:
    """What is still to be asked after a page: from the first day on that told anything, by id up to the last time; else the next day."""
    if question.cursor or found:
        is_over = newest_time > question.until or (found < page and (bool(question.cursor) or _window_end(question) >= question.until))
        return () if is_over else (msgspec.structs.replace(question, cursor=str(newest_id + 1)),)
    end = _window_end(question)
    return (msgspec.structs.replace(question, since=end),) if question.since < end < question.until else ()


class SpotDialect(SignedBooks):
    """The `RestDialect` of Spot and margin."""

    def __init__(self, place: AccountPlace, books: WalletBooks = SPOT_BOOKS) -> None:
        """Raises SettingsError where the key cannot sign, and for settings of the retired listen keys."""
        super().__init__(place, "without it neither the stream nor the venue's books can be asked")
        check_not_retired(place)
        self._books = books
        self._traits = Traits(
            positions=False,
            settings=False,
            conditional_orders=False,
            movements=False,
            by_symbol=True,
            symbols=place.symbols,
            only_symbols=bool(books.only),
            order_lists=True,
            orders_of_an_audit=0,
            audits_list_orders=True,
        )

    def traits(self) -> Traits:
        """No positions, no settings, no conditional orders beside the others, no cash history; the past by symbol."""
        return self._traits

    def _read_of(self, question: Question) -> Read:
        return read_of(question, self._books)

    def _parameters_of(self, question: Question) -> Mapping[str, str]:
        return parameters_of(question, self._books)

    def _refused(self, question: Question, response: HttpResponse, error: UserStreamError, as_of: Millis, received_time: Millis) -> Answer:
        """An order that is archived is not found: the futures mean another thing by the same number (Binance Spot, 3.3). A list that the
        venue does not know is gone."""
        refusal = refusal_of(response.body)
        if refusal is not None and refusal.code in NOT_KNOWN.get(type(question), ()):
            error = OrderNotFound(str(error))
        if isinstance(question, AskOrderList) and isinstance(error, OrderNotFound):
            reading = SpotReading(self._drift, self._read_of(question).label, as_of, received_time)
            return Answer(events=(reading.gone_list(question.order_list_id),))
        raise error

    def history_depth_ms(self) -> int:
        """A year (Binance Spot, 6.2)."""
        return HISTORY_DEPTH_MS

    def unfilled_depth_ms(self) -> int:
        """90 days (Binance Spot, 6.2)."""
        return UNFILLED_DEPTH_MS

    def _read(self, question: Question, body: bytes, label: str, as_of: Millis, received_time: Millis) -> Answer:
        reading = SpotReading(self._drift, label, as_of, received_time)
        match question:
            case AskClock():
                return Answer(venue_time=read_row(body, ClockRow, label).server_time)
            case AskSymbols():
                return Answer(pairs=tuple(self._pairs_of(read_row(body, RulesRow, label))))
            case AskBalances():
                row = read_row(body, self._books.account_kind, label).account
                # Spot's wallets name no debts.
                return Answer(events=(*reading.account(row), *debt_facts(reading, row.balances)))
            case AskOpenOrders():
                return Answer(events=tuple(map(reading.spot_order, read_rows(body, SpotOrderRow, label))))
            case AskOrder():
                return Answer(events=(reading.spot_order(read_row(body, SpotOrderRow, label)),))
            case AskOrders():
                return self._read_orders(question, read_rows(body, SpotOrderRow, label), reading)
            case AskOrderLists():
                return Answer(events=tuple(map(reading.order_list, read_rows(body, OrderListRow, label))))
            case AskOrderList():
                return Answer(events=(reading.order_list(read_row(body, OrderListRow, label)),))
            case AskFills():
                return self._read_fills(question, read_rows(body, SpotTradeRow, label), reading)
            case _:
                assert isinstance(question, AskOrderFills), "no other question has a call"
                return self._read_order_fills(question, read_rows(body, SpotTradeRow, label), reading)

    def _pairs_of(self, rules: RulesRow) -> Iterator[Pair]:
        """Those that the account may trade: the venue refuses to tell of others."""
        for row in rules.symbols:
            if row.has_margin or not self._books.margin_pairs:
                yield Pair(row.symbol, row.base, row.quote, row.status == TRADING)

    def _read_orders(self, question: AskOrders, rows: list[SpotOrderRow], reading: SpotReading) -> Answer:
        newest_id = max((row.order_id for row in rows), default=0)
        newest_time = max((row.created_time for row in rows), default=NO_TIME)
        return Answer(
            events=tuple(map(reading.spot_order, rows)),
            more=more_pages(question, len(rows), newest_id, newest_time, self._books.orders_page),
        )

    def _read_fills(self, question: AskFills, rows: list[SpotTradeRow], reading: SpotReading) -> Answer:
        # Pages by trade id have no end of their own.
        fills = tuple(reading.spot_fill(row) for row in rows if row.time <= question.until)
        newest_id = max((row.trade_id for row in rows), default=0)
        newest_time = max((row.time for row in rows), default=NO_TIME)
        return Answer(events=fills, more=more_pages(question, len(rows), newest_id, newest_time))

    def _read_order_fills(self, question: AskOrderFills, rows: list[SpotTradeRow], reading: SpotReading) -> Answer:
        """An order of more fills than a page holds: the symbol's history from there on tells the rest."""
        fills = tuple(reading.spot_fill(row) for row in rows if question.since <= row.time <= question.until)
        if len(rows) < PAGE:
            return Answer(events=fills)
        newest = max(rows, key=lambda row: row.trade_id)
        return Answer(events=fills, more=(AskFills(question.symbol, newest.time, question.until, str(newest.trade_id + 1)),))
