"""The futures products' REST language for one account: questions to signed calls, answers to facts and follow-up questions (Binance
USD-M, 6.1; Binance COIN-M, 6.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import msgspec

from userstream.domain.events import NO_TIME, Event
from userstream.kernel.errors import RequestRefused
from userstream.kernel.ids import Millis, OrderId
from userstream.venues.binance.answers import Reading, read_row, read_rows
from userstream.venues.binance.products import HISTORY_DEPTH_MS, LONGEST_WINDOW_MS, UNFILLED_DEPTH_MS, USD_M, FuturesProduct, Read, Reads
from userstream.venues.binance.rows import (
    AccountConfigRow,
    AccountRow,
    AlgoRow,
    BalanceRow,
    ClockRow,
    IncomeRow,
    ModeRow,
    OrderRow,
    PositionRow,
    SymbolConfigRow,
    TradeRow,
)
from userstream.venues.binance.signed_books import SignedBooks
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
    AskOrderList,
    AskOrderLists,
    AskOrders,
    AskPositions,
    AskSettings,
    AskSymbols,
    Question,
    Traits,
)
from userstream.wire.venue import AccountPlace


def read_of(question: Question, reads: Reads) -> Read:
    """Where it is asked, and what that weighs per address (Binance USD-M, 6.1)."""
    match question:
        case AskClock():
            return reads.clock
        case AskBalances():
            return reads.balances
        case AskPositions():
            return reads.positions
        case AskSettings():
            return reads.symbol_settings if question.symbol_settings else reads.modes
        case AskOpenOrders():
            return reads.conditional_open_orders if question.conditional else reads.open_orders
        case AskOrder():
            return reads.conditional_order if question.conditional else reads.order
        case AskOrders():
            return reads.conditional_orders if question.conditional else reads.orders
        case AskFills() | AskOrderFills():
            return reads.fills
        case AskMovements():
            return reads.movements
        case AskSymbols():
            raise RequestRefused("the cash history of the futures names the symbols: their list is never asked")
        case AskOrderLists() | AskOrderList():
            raise RequestRefused("orders of the futures do not hang on each other: there are no lists to be asked")
        case _:
            assert_never(question)


def parameters_of(question: Question, product: FuturesProduct) -> dict[str, str]:
    """What is said beside where it is asked."""
    match question:
        case AskOrder(symbol, order_id, conditional):
            return {"algoId": order_id} if conditional else {"symbol": symbol, "orderId": order_id}
        case AskOrders():
            return _orders_parameters(question, product)
        case AskFills():
            return _fills_parameters(question, product)
        case AskOrderFills(symbol, order_id):
            times = _times(question.since, _window_end(question))
            return {"symbol": symbol, "orderId": order_id, **times, "limit": str(product.fills_page)}
        case AskMovements():
            times = _times(question.since, _window_end(question))
            return {**times, "page": question.cursor or "1", "limit": str(product.movements_page)}
        case _:
            return {}


def _times(since: Millis, until: Millis) -> dict[str, str]:
    return {"startTime": str(max(since, NO_TIME)), "endTime": str(max(until, NO_TIME))}


def _window_end(question: AskOrders | AskFills | AskOrderFills | AskMovements) -> Millis:
    """Where the first window ends that the venue takes. Of income the documents name no longest window: none is longer than the others."""
    return min(question.until, Millis(question.since + LONGEST_WINDOW_MS))


def _orders_parameters(question: AskOrders, product: FuturesProduct) -> dict[str, str]:
    symbol = {} if question.symbol is None else {"symbol": question.symbol}
    limit = str(product.orders_page)
    if question.cursor:
        return {**symbol, "algoId" if question.conditional else "orderId": question.cursor, "limit": limit}
    return {**symbol, **_times(question.since, _window_end(question)), "limit": limit}


def _fills_parameters(question: AskFills, product: FuturesProduct) -> dict[str, str]:
    # fromId and times exclude each other.
    place = {"fromId": question.cursor} if question.cursor else _times(question.since, _window_end(question))
    return {"symbol": question.symbol, **place, "limit": str(product.fills_page)}


def more_orders(question: AskOrders, rows: Sequence[OrderRow | AlgoRow], page: int) -> tuple[Question, ...]:
    """What is still to be asked after a page of orders. Ids count per symbol, so without a symbol pages go on from the last time: an order
    may then be read twice, and only of more orders in one millisecond than a page holds could some be passed over."""
    full = len(rows) >= page
    newest = max((row.created_time for row in rows), default=NO_TIME)
    if question.symbol is not None and full:
        following = str(max(row.algo_id if isinstance(row, AlgoRow) else row.order_id for row in rows) + 1)
        return (msgspec.structs.replace(question, cursor=following),) if newest <= question.until else ()
    if question.cursor:
        return ()
    since = max(newest, Millis(question.since + 1)) if full else _window_end(question)
    return (msgspec.structs.replace(question, since=since),) if question.since < since < question.until else ()


def more_fills(question: AskFills, rows: list[TradeRow], page: int) -> tuple[Question, ...]:
    """What is still to be asked after a page of fills: after a full one by trade id up to the last time, else the next window."""
    if len(rows) >= page:
        following = str(max(row.trade_id for row in rows) + 1)
        newest = max(row.time for row in rows)
        return (msgspec.structs.replace(question, cursor=following),) if newest <= question.until else ()
    end = _window_end(question)
    return (msgspec.structs.replace(question, since=end),) if not question.cursor and end < question.until else ()


def more_movements(question: AskMovements, found: int, page: int) -> tuple[Question, ...]:
    """What is still to be asked after a page of cash movements: the next page, else the next window."""
    if found >= page:
        return (msgspec.structs.replace(question, cursor=str(int(question.cursor or "1") + 1)),)
    end = _window_end(question)
    return (msgspec.structs.replace(question, since=end, cursor=""),) if end < question.until else ()


class FuturesDialect(SignedBooks):
    """A futures product's `RestDialect`."""

    def __init__(self, place: AccountPlace, product: FuturesProduct = USD_M) -> None:
        """Raises SettingsError where the key cannot sign."""
        self._product = product
        self._traits = Traits(by_symbol=product.orders_by_symbol, symbols=place.symbols if product.orders_by_symbol else ())
        super().__init__(place, "without it the stream can be read, but the venue's books cannot be asked")

    def _read_of(self, question: Question) -> Read:
        return read_of(question, self._product.reads)

    def _parameters_of(self, question: Question) -> Mapping[str, str]:
        return parameters_of(question, self._product)

    def history_depth_ms(self) -> int:
        """Three months (Binance USD-M, 6.1)."""
        return HISTORY_DEPTH_MS

    def unfilled_depth_ms(self) -> int:
        """Three days (Binance USD-M, 6.1)."""
        return UNFILLED_DEPTH_MS

    def traits(self) -> Traits:
        """Everything, past orders of COIN-M by symbol; the income history names the trades behind profit and commission."""
        return self._traits

    def _read(self, question: Question, body: bytes, label: str, as_of: Millis, received_time: Millis) -> Answer:
        reading = Reading(self._drift, label, as_of, received_time)
        match question:
            case AskClock():
                return Answer(venue_time=read_row(body, ClockRow, label).server_time)
            case AskBalances():
                return Answer(events=tuple(map(reading.balance, read_rows(body, BalanceRow, label))))
            case AskPositions():
                rows = read_rows(body, PositionRow, label)
                return Answer(events=tuple(reading.position(row) for row in rows if self._is_leg(row)))
            case AskSettings():
                return self._read_settings(question, body, label, reading)
            case AskOrderFills():
                return self._read_order_fills(question, read_rows(body, TradeRow, label), reading)
            case AskFills():
                return self._read_fills(question, read_rows(body, TradeRow, label), reading)
            case AskMovements():
                return self._read_movements(question, read_rows(body, IncomeRow, label), reading)
            case _:
                return self._read_orders(question, body, label, reading)

    def _is_leg(self, row: PositionRow) -> bool:
        """Of a product that lists every symbol, those never traded are left out: what is missing is flat all the same."""
        return bool(not self._product.tells_all_legs or row.amount or row.update_time)

    def _read_settings(self, question: AskSettings, body: bytes, label: str, reading: Reading) -> Answer:
        in_account = self._product.settings_in_account
        if question.symbol_settings:
            if in_account:
                return Answer(events=tuple(reading.account_settings(read_row(body, AccountRow, label))))
            return Answer(events=tuple(map(reading.symbol_config, read_rows(body, SymbolConfigRow, label))))
        modes = read_row(body, ModeRow if in_account else AccountConfigRow, label)
        return Answer(events=(reading.account_config(modes),), more=(AskSettings(symbol_settings=True),))

    def _read_orders(self, question: Question, body: bytes, label: str, reading: Reading) -> Answer:
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
            case _:
                assert isinstance(question, AskOrders), "no other question has a call"
                rows = read_rows(body, OrderRow, label)
                return Answer(events=tuple(map(reading.order, rows)), more=more_orders(question, rows, self._product.orders_page))

    def _read_conditional_orders(self, question: AskOrders, rows: list[AlgoRow], reading: Reading) -> Answer:
        """The list does not tell what was filled: those that are finished are asked for one by one (Binance USD-M, 6.1)."""
        finished = [AskOrder(row.symbol, OrderId(str(row.algo_id)), conditional=True) for row in rows if row.status == FINISHED]
        others = tuple(reading.conditional_order(row) for row in rows if row.status != FINISHED)
        return Answer(events=others, more=(*more_orders(question, rows, self._product.orders_page), *finished))

    def _read_fills(self, question: AskFills, rows: list[TradeRow], reading: Reading) -> Answer:
        # Pages by trade id have no end of their own.
        fills = tuple(reading.fill(row) for row in rows if row.time <= question.until)
        return Answer(events=fills, more=more_fills(question, rows, self._product.fills_page))

    def _read_order_fills(self, question: AskOrderFills, rows: list[TradeRow], reading: Reading) -> Answer:
        """After a window the next one; an order of more fills than a page holds: the symbol's history from there on tells the rest."""
        events: tuple[Event, ...] = tuple(map(reading.fill, rows))
        if len(rows) >= self._product.fills_page:
            following = str(max(row.trade_id for row in rows) + 1)
            return Answer(events=events, more=(AskFills(question.symbol, max(row.time for row in rows), question.until, following),))
        end = _window_end(question)
        more = (msgspec.structs.replace(question, since=end),) if end < question.until else ()
        return Answer(events=events, more=more)

    def _read_movements(self, question: AskMovements, rows: list[IncomeRow], reading: Reading) -> Answer:
        traded = dict.fromkeys((row.symbol, str(row.trade_id)) for row in rows if row.income_type in TRADE_INCOMES and _names_trade(row))
        moved = tuple(reading.movement(row) for row in rows if row.income_type not in TRADE_INCOMES)
        return Answer(events=moved, more=more_movements(question, len(rows), self._product.movements_page), traded=tuple(traded))


def _names_trade(row: IncomeRow) -> bool:
    return bool(row.symbol and row.trade_id)
