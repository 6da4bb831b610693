"""Reading the venue's books after a gap, and proving them complete: which questions are open, what their answers lead to.

A round asks everything since the watermark minus an overlap. Nothing is assumed from a missing answer; the round ends when all are in,
and only then moves the watermark, to the round's start minus the venue's lag. Pure: questions go out, answers come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import msgspec

from userstream.domain.account import Account, Doubt, PositionKey
from userstream.domain.events import NO_TIME, BalanceSet, Event, Filled, LiabilityChanged, OrderChanged, OrderListChanged, PositionSet
from userstream.domain.fold import newest_time
from userstream.domain.order_lists import unsettled_lists
from userstream.domain.orders import is_short
from userstream.domain.registers import debts_read, paid_debt
from userstream.domain.words import STREAM
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis, OrderId, Symbol
from userstream.wire.holdings import MOST_SEARCHED, Holdings
from userstream.wire.question import (
    Answer,
    AskBalances,
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

MOST_DOUBLINGS: Final = 20
"""Waits that grow do so no further: 2 ** 20 times any of them is longer than any process lives."""

NOTHING_DEEPER: Final[Mapping[Symbol, Millis]] = MappingProxyType({})
LISTS: Final = frozenset({AskOpenOrders, AskOrders, AskMovements})
"""What names symbols and orders: until all of them are told, nobody knows which others to ask for."""

EDGE_MS: Final = 1_000
"""The cash history may stamp a trade slightly later than the fill: it is read a little less far back than the fills it must explain."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How careful recovery is. All in milliseconds.

    lag_ms: a REST answer includes everything older than this. overlap_ms: read again beyond that, for errors of the clock estimate.
    audit_ms: how often balances and positions are compared. history_ms: how often history is read in full. backfill_ms: how far before
    the first start fills are read. longest_retry_ms: how long a question that found no answer waits at most before it is asked again,
    unless the venue advised a time.
    """

    lag_ms: int = 5_000
    overlap_ms: int = 10_000
    margin_ms: int = 250
    audit_ms: int = 120_000
    history_ms: int = 1_800_000
    poll_ms: int = 30_000
    backfill_ms: int = 0
    order_doubt_ms: int = 500
    position_doubt_ms: int = 2_000
    longest_retry_ms: int = 20_000


class Round:
    """One reading of the books. `full` reads history and moves the watermark; otherwise it only compares registers. `lost_since`: where
    ours ends, if the venue's history no longer reaches back to there (else 0). `refused`: what the venue would not answer. `deeper`:
    symbols whose fills are read from farther back, because one of them is missing. `unexplained`: wallets that do not follow from fills.
    `one_by_one`: a question waits for the answer to the one before, so that others' events may come in between."""

    def __init__(
        self,
        *,
        epoch: int,
        reason: str,
        full: bool,
        settings: bool,
        started: Millis,
        since: Millis,
        traits: Traits,
        holdings: Holdings,
        lost_since: Millis = NO_TIME,
        asked_time: Millis = NO_TIME,
        deeper: Mapping[Symbol, Millis] = NOTHING_DEEPER,
        orders: Sequence[OrderChanged] = (),
        symbols: Sequence[Symbol] = (),
    ) -> None:
        """`orders`: those of ours to ask one by one, because nothing told their end; a full round finds them by the venue's list.
        `symbols`: those whose past orders are asked from the start, where the venue tells past orders by symbol."""
        self.epoch, self.reason, self.full = epoch, reason, full
        self.started, self.since, self.lost_since, self.asked_time = started, since, lost_since, asked_time
        self.asks_settings, self.weight, self.one_by_one = settings, 0, False
        self.refused: list[Question] = []
        self.unexplained: tuple[str, ...] = ()
        self.created: dict[tuple[Symbol, OrderId], Millis] = {}
        self._asked: set[Question] = set()
        self._open: set[Question] = set()
        self._ready: list[Question] = []
        self._listed: dict[bool, set[tuple[Symbol, OrderId]]] = {False: set(), True: set()}
        self._listed_lists: set[str] = set()
        self._traded: set[tuple[Symbol, str]] = set()
        self._histories: set[Symbol] = set()
        self._legs: dict[PositionKey, Decimal] = {}
        self._deeper = deeper
        self._traits, self._holdings = traits, holdings
        self._searches = traits.by_symbol and not traits.movements
        self._searched = 0
        self._begin(settings)
        for symbol in symbols:
            self._want(AskOrders(since=self.since, until=self.started, symbol=symbol))
        for order in orders:
            self._want(AskOrder(symbol=order.symbol, order_id=order.order_id, conditional=order.conditional))

    def _begin(self, settings: bool) -> None:
        traits = self._traits
        self._want(AskBalances())
        if traits.positions:
            self._want(AskPositions())
        if not traits.by_symbol:
            self._want(AskOrders(since=self.since, until=self.started))
        if settings and traits.settings:
            self._want(AskSettings())
        if self.full or traits.audits_list_orders:
            for conditional in (False, True) if traits.conditional_orders else (False,):
                self._want(AskOpenOrders(conditional=conditional))
        if not self.full:
            return
        for symbol in traits.symbols:
            self._want_history(symbol)
        if traits.movements and self.since + EDGE_MS < self.started:
            self._want(AskMovements(since=Millis(self.since + EDGE_MS), until=self.started))
        for symbol in self._deeper:
            self._want_history(symbol)

    def _want(self, question: Question) -> None:
        if question not in self._asked and self._is_ours(question):
            self._asked.add(question)
            self._open.add(question)
            self._ready.append(question)

    def _is_ours(self, question: Question) -> bool:
        symbol = getattr(question, "symbol", None)
        return symbol is None or not self._traits.only_symbols or symbol in self._traits.symbols

    def take_ready(self) -> list[Question]:
        """What is to be asked now: `one_by_one` the next question, once none is on its way; else all."""
        on_its_way = len(self._open) - len(self._ready)
        most = max(0, 1 - on_its_way) if self.one_by_one else len(self._ready)
        ready, self._ready = self._ready[:most], self._ready[most:]
        return ready

    @property
    def is_done(self) -> bool:
        return not self._open

    def close(self, question: Question, account: Account) -> None:
        """No answer to this question will ever come (the venue does not know the order)."""
        self._open.discard(question)
        if self.full:
            self._follow_up(account, Answer())

    def refuse(self, question: Question, account: Account) -> None:
        """The venue does not answer this question: what it would have told stays unread."""
        self.refused.append(question)
        self.close(question, account)

    def take(self, question: Question, answer: Answer, account: Account) -> None:
        """Books an answer whose events are applied already, and adds the questions that follow from it."""
        for more in answer.more:
            self._want(more)
        self._traded.update(answer.traded)
        if answer.pairs:
            self._holdings.learn(answer.pairs, self.since)
        if isinstance(question, AskOpenOrders):
            self._note_open_orders(question, answer)
        if isinstance(question, AskOrderLists):
            self._listed_lists |= {event.order_list_id for event in answer.events if isinstance(event, OrderListChanged)}
        for event in answer.events:
            if type(event) is PositionSet:
                self._legs[event.symbol, event.position_side] = event.amount
        self._open.discard(question)
        if self.full:
            self._follow_up(account, answer)
        elif isinstance(question, AskOpenOrders):
            self._ask_missing_orders(account)

    def _note_open_orders(self, question: AskOpenOrders, answer: Answer) -> None:
        for event in answer.events:
            if isinstance(event, OrderChanged):
                self._listed[question.conditional].add((event.symbol, event.order_id))

    def _follow_up(self, account: Account, answer: Answer) -> None:
        for event in answer.events:
            if isinstance(event, OrderChanged):
                self._follow_order(account, event)
                if event.filled_quantity:
                    self._want_history(event.symbol)
            elif isinstance(event, Filled):
                self._want_order(account, event.symbol, event.order_id)
                self._want_history(event.symbol)
        for symbol, _ in answer.traded:
            self._want_history(symbol)
        if any(type(question) in LISTS for question in self._open):
            return
        for symbol in sorted(account.symbols() | self._holdings.symbols):
            if symbol not in self._histories or self._traits.by_symbol:
                self._want_history_of_busy(account, symbol)
        self._ask_missing_orders(account)
        self._ask_unknown_conditionals(account)
        self._ask_order_lists(account)
        if not any(isinstance(question, AskFills) for question in self._open):
            self._ask_doubtful_orders(account)
        if self._searches and not self._open:
            self._search()

    def _want_history_of_busy(self, account: Account, symbol: Symbol) -> None:
        is_busy = _is_active(account, symbol, self.since) or (self._traits.by_symbol and _has_orders(account, symbol, self.since))
        if is_busy or self._searches:
            self._want_history(symbol)

    def _search(self) -> None:
        """All was answered: where balances moved otherwise than the fills tell, a symbol that nobody knew of may have been traded."""
        if not self._traits.only_symbols:
            self._search_others()
        if not self._open:
            self.unexplained = self._holdings.end_reading()

    def _search_others(self) -> None:
        if self._holdings.lacks_pairs(self.since):
            self._want(AskSymbols())
        found = self._holdings.candidates(self.since, self._histories, MOST_SEARCHED - self._searched)
        self._searched += len(found)
        for symbol in found:
            if self._holdings.is_first:  # nothing says that any was traded, and a list of orders may cost twenty times as much
                self._want_fills(symbol)
            else:
                self._want_history(symbol)  # an order tells what was filled of it, should the history of fills lack that

    def _follow_order(self, account: Account, event: OrderChanged) -> None:
        if event.created_time and not event.conditional:
            self.created[event.symbol, event.order_id] = event.created_time  # no stream tells it
        if event.triggered_order_id and event.triggered_order_id != "0":
            self._want_order(account, event.symbol, event.triggered_order_id)

    def _want_history(self, symbol: Symbol) -> None:
        self._want_fills(symbol)
        if self._traits.by_symbol:
            self._want(AskOrders(since=self.since, until=self.started, symbol=symbol))

    def _want_fills(self, symbol: Symbol) -> None:
        if symbol not in self._histories:
            self._histories.add(symbol)
            since = min(self.since, self._deeper.get(symbol, self.since))
            self._want(AskFills(symbol=symbol, since=since, until=self.started))

    def _want_order(self, account: Account, symbol: Symbol, order_id: OrderId) -> None:
        if (symbol, order_id, False) not in account.orders:
            self._want(AskOrder(symbol=symbol, order_id=order_id, conditional=False))

    def _ask_missing_orders(self, account: Account) -> None:
        """An open order that the venue does not list may be filled, cancelled or younger than the list: ask, never assume."""
        for order in list(account.open_orders()):
            if (order.symbol, order.order_id) not in self._listed[order.conditional] and order.transaction_time <= self.started:
                self._want(AskOrder(symbol=order.symbol, order_id=order.order_id, conditional=order.conditional))

    def _ask_unknown_conditionals(self, account: Account) -> None:
        """An order whose type was another at first comes from a conditional one. Where that is not known, it was placed and triggered
        since, and no list of open orders tells it any more."""
        if any(isinstance(question, AskOrder) and question.conditional for question in self._open):
            return
        plain = (order for order in account.orders.values() if not order.conditional)
        changed = [order for order in plain if order.original_type not in ("", order.order_type)]
        triggered = {order.triggered_order_id for order in account.orders.values() if order.conditional} if changed else set()
        for order in changed:
            if order.order_id not in triggered and order.created_time >= self.since:
                self._want(AskOrders(since=self.since, until=self.started, symbol=order.symbol, conditional=True))

    def _ask_order_lists(self, account: Account) -> None:
        """Lists of ours that are open, and those that only an order names: one question tells all that are still open, the others are asked
        one by one, because a list may have come and gone while nobody listened."""
        unsettled = unsettled_lists(account) if self._traits.order_lists else set()
        if unsettled:
            self._want(AskOrderLists())
        if AskOrderLists() in self._asked and AskOrderLists() not in self._open:
            for order_list_id in sorted(unsettled - self._listed_lists):
                self._want(AskOrderList(order_list_id))

    def _ask_doubtful_orders(self, account: Account) -> None:
        for doubt in list(account.doubts):
            if doubt.subject == "order":
                self._want(_question_of_order(account, doubt.symbol, OrderId(doubt.key), self.since, self.started))

    def asked_fills_of(self, order: OrderChanged) -> bool:
        """Whether the order lacked fills, so that they were asked for by themselves."""
        asked = (question for question in self._asked if isinstance(question, AskOrderFills))
        return any((question.symbol, question.order_id) == (order.symbol, order.order_id) for question in asked)

    def finds_difference(self, facts: Iterable[Event], before: int) -> bool:
        """Whether an audit's answer tells of something that should have been told before this venue time."""
        if self.full:
            return False
        return any(_is_old(fact, before) for fact in facts) or (self._searches and self.is_done and self._holdings.weigh(before))

    def amount_of(self, leg: PositionKey) -> Decimal:
        """What the books said of a leg; one that they do not mention is flat."""
        return self._legs.get(leg, ZERO)

    def unknown_trades(self, account: Account) -> list[tuple[Symbol, str]]:
        """Trades that the cash history names and no fill explains, or only the stream's fast first copy without its fee: history is not
        complete while there is one."""
        known = {(symbol, key[0]) for symbol, fills in account.fills.items() for key, fill in fills.items() if not _is_half_told(fill)}
        return sorted(self._traded - known)


def _is_half_told(fill: Filled) -> bool:
    return fill.fee is None and fill.source is STREAM


def orders_in_turn(account: Account, turn: int, most: int, *, quiet_since: Millis) -> list[OrderChanged]:
    """At most so many of the orders that we hold as open, other ones in each turn: an end that no socket told shows nowhere else until all
    of history is read."""
    quiet = [order for order in account.open_orders() if order.transaction_time < quiet_since]
    first = turn * most % max(1, len(quiet))
    return (quiet[first:] + quiet[:first])[:most]


def symbols_in_care(account: Account, traits: Traits) -> list[Symbol]:
    """The symbols whose past orders every reading asks, where the venue tells them by symbol and its cash history names the others: those
    with an order or a fill in memory, or a leg that is not flat."""
    if not (traits.by_symbol and traits.movements):
        return []
    legs = {key[0] for key, position in account.positions.items() if position.amount}
    return sorted(legs | {key[0] for key in account.orders} | set(account.fills))


def _is_active(account: Account, symbol: Symbol, since: Millis) -> bool:
    if any(key[0] == symbol and position.amount for key, position in account.positions.items()):
        return True
    if any(order.symbol == symbol for order in account.open_orders()):
        return True
    return any(fill.transaction_time >= since for fill in account.fills.get(symbol, {}).values())


def _has_orders(account: Account, symbol: Symbol, since: Millis) -> bool:
    return any(order.symbol == symbol and order.transaction_time >= since for order in account.orders.values())


def _is_old(fact: Event, before: int) -> bool:
    """Whether a register's new value is as old as the venue's lag: then the stream should have told it."""
    return isinstance(fact, PositionSet | BalanceSet) and fact.transaction_time <= before


def questions_of(account: Account, doubt: Doubt, since: Millis, until: Millis) -> list[Question]:
    """What settles a doubt with the fewest calls."""
    match doubt.subject:
        case "order":
            return [_question_of_order(account, doubt.symbol, OrderId(doubt.key), since, until)]
        case "position":
            return [AskFills(symbol=doubt.symbol, since=since, until=until), AskPositions()]
        case "tie":
            return [AskPositions() if doubt.symbol else AskBalances()]
        case _:
            return [AskSettings(), AskPositions()]


def _question_of_order(account: Account, symbol: Symbol, order_id: OrderId, since: Millis, until: Millis) -> Question:
    """Fewer fills than the order says: ask those in our care, of an order whose age nobody told those since `since`; once that is
    disputed, all. More, or no order at all: ask the order."""
    order = account.orders.get((symbol, order_id, False))
    if order is not None and is_short(account, order):
        if order.created_time or ("order", f"{symbol}.{order_id}") in account.mismatches:
            since = max(order.created_time, account.began or since)
        return AskOrderFills(symbol=symbol, order_id=order_id, since=min(since, until), until=until)
    return AskOrder(symbol=symbol, order_id=order_id, conditional=False)


def absent_keys(account: Account, answer: Answer, question: Question) -> list[PositionSet | BalanceSet]:
    """Registers of ours that a complete answer does not mention: those that hold something, and those in doubt."""
    if isinstance(question, AskPositions):
        told = {(event.symbol, event.position_side) for event in answer.events if isinstance(event, PositionSet)}
        doubtful = _doubtful(account)
        return [position for key, position in account.positions.items() if key not in told and (position.amount or key in doubtful)]
    if isinstance(question, AskBalances):
        assets = {event.asset for event in answer.events if isinstance(event, BalanceSet)}
        balances, doubtful = account.balances.items(), _doubtful(account)
        return [balance for asset, balance in balances if asset not in assets and (balance.total or (Symbol(""), asset) in doubtful)]
    return []


def absent_debts(account: Account, answer: Answer, question: Question, as_of: Millis, received_time: Millis) -> list[Event]:
    """What was owed at an earlier reading, also that of an earlier process, and is not listed any more: it is paid."""
    if not isinstance(question, AskBalances):
        return []
    told = {event.asset for event in answer.events if isinstance(event, LiabilityChanged)}
    return [paid_debt(debt, as_of, received_time) for debt in debts_read(account) if debt.asset not in told]


def _doubtful(account: Account) -> set[tuple[Symbol, str]]:
    return {(doubt.symbol, doubt.key) for doubt in account.doubts if doubt.subject in ("tie", "position")}


def forgettable(account: Account, read_until: Millis, policy: Policy) -> Millis:
    """What ended before this venue time may leave memory: it was read, and nothing older comes any more. What the venue dates later than
    all that is known is never taken for forgotten, even while the time it states runs ahead of its books."""
    return Millis(max(0, min(read_until, newest_time(account)) - 2 * policy.overlap_ms))
