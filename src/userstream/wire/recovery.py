"""Reading the venue's books after a gap, and proving them complete: which questions are open, what their answers lead to.

A round asks everything since the watermark minus an overlap. Nothing is assumed from a missing answer; the round ends when all are in,
and only then moves the watermark, to the round's start minus the venue's lag. Pure: questions go out, answers come in.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from userstream.domain.account import Account, Doubt, PositionKey
from userstream.domain.events import BalanceSet, Filled, OrderChanged, PositionSet
from userstream.domain.words import STREAM
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis, OrderId, Symbol
from userstream.wire.question import (
    Answer,
    AskBalances,
    AskFills,
    AskMovements,
    AskOpenOrders,
    AskOrder,
    AskOrderFills,
    AskOrders,
    AskPositions,
    AskSettings,
    Question,
)

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
    """One reading of the books. `full` reads history and moves the watermark; otherwise it only compares registers. `cut`: the venue's
    history no longer reaches back to where ours ends."""

    def __init__(
        self, *, epoch: int, reason: str, full: bool, settings: bool, started: Millis, since: Millis, cut: bool, movements: bool
    ) -> None:
        self.epoch, self.reason, self.full, self.cut = epoch, reason, full, cut
        self.started, self.since = started, since
        self.weight = 0
        self.new_fills = 0
        self._asked: set[Question] = set()
        self._open: set[Question] = set()
        self._ready: list[Question] = []
        self._listed: dict[bool, set[tuple[Symbol, OrderId]]] = {False: set(), True: set()}
        self._traded: set[tuple[Symbol, str]] = set()
        self._histories: set[Symbol] = set()
        self._legs: dict[PositionKey, Decimal] = {}
        self._begin(settings, movements)

    def _begin(self, settings: bool, movements: bool) -> None:
        self._want(AskBalances())
        self._want(AskPositions())
        self._want(AskOrders(since=self.since, until=self.started))
        if settings:
            self._want(AskSettings())
        if not self.full:
            return
        for conditional in (False, True):
            self._want(AskOpenOrders(conditional=conditional))
        if movements and self.since + EDGE_MS < self.started:
            self._want(AskMovements(since=Millis(self.since + EDGE_MS), until=self.started))

    def _want(self, question: Question) -> None:
        if question not in self._asked:
            self._asked.add(question)
            self._open.add(question)
            self._ready.append(question)

    def take_ready(self) -> list[Question]:
        ready, self._ready = self._ready, []
        return ready

    @property
    def is_done(self) -> bool:
        return not self._open

    def close(self, question: Question) -> None:
        """No answer to this question will ever come (the venue does not know the order)."""
        self._open.discard(question)

    def take(self, question: Question, answer: Answer, account: Account) -> None:
        """Books an answer whose events are applied already, and adds the questions that follow from it."""
        for more in answer.more:
            self._want(more)
        self._traded.update(answer.traded)
        if isinstance(question, AskOpenOrders):
            self._note_open_orders(question, answer)
        self._legs |= {(event.symbol, event.position_side): event.amount for event in answer.events if isinstance(event, PositionSet)}
        self._open.discard(question)
        if self.full:
            self._follow_up(account, answer)

    def _note_open_orders(self, question: AskOpenOrders, answer: Answer) -> None:
        for event in answer.events:
            if isinstance(event, OrderChanged):
                self._listed[question.conditional].add((event.symbol, event.order_id))

    def _follow_up(self, account: Account, answer: Answer) -> None:
        for event in answer.events:
            if isinstance(event, OrderChanged) and event.triggered_order_id and event.triggered_order_id != "0":
                self._want_order(account, event.symbol, event.triggered_order_id)
            if isinstance(event, Filled):
                self._want_order(account, event.symbol, event.order_id)
            if isinstance(event, Filled) or (isinstance(event, OrderChanged) and event.filled_quantity):
                self._want_history(event.symbol)
        for symbol, _ in answer.traded:
            self._want_history(symbol)
        if any(isinstance(question, AskOpenOrders | AskOrders | AskMovements) for question in self._open):
            return
        for symbol in sorted(account.symbols()):
            if _is_active(account, symbol, self.since):
                self._want_history(symbol)
        self._ask_missing_orders(account)
        self._ask_unknown_conditionals(account)
        if not any(isinstance(question, AskFills) for question in self._open):
            self._ask_doubtful_orders(account)

    def _want_history(self, symbol: Symbol) -> None:
        if symbol not in self._histories:
            self._histories.add(symbol)
            self._want(AskFills(symbol=symbol, since=self.since, until=self.started))

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
        triggered = {order.triggered_order_id for order in account.orders.values() if order.conditional}
        for order in account.orders.values():
            changed = not order.conditional and order.original_type not in ("", order.order_type)
            if changed and order.order_id not in triggered and order.created_time >= self.since:
                self._want(AskOrders(since=self.since, until=self.started, symbol=order.symbol, conditional=True))

    def _ask_doubtful_orders(self, account: Account) -> None:
        for doubt in list(account.doubts):
            if doubt.subject == "order":
                self._want(_question_of_order(account, doubt.symbol, OrderId(doubt.key)))

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


def _is_active(account: Account, symbol: Symbol, since: Millis) -> bool:
    if any(key[0] == symbol and position.amount for key, position in account.positions.items()):
        return True
    if any(order.symbol == symbol for order in account.open_orders()):
        return True
    return any(fill.transaction_time >= since for fill in account.fills.get(symbol, {}).values())


def questions_of(account: Account, doubt: Doubt, since: Millis, until: Millis) -> list[Question]:
    """What settles a doubt with the fewest calls."""
    match doubt.subject:
        case "order":
            return [_question_of_order(account, doubt.symbol, OrderId(doubt.key))]
        case "position":
            return [AskFills(symbol=doubt.symbol, since=since, until=until), AskPositions()]
        case "tie":
            return [AskPositions() if doubt.symbol else AskBalances()]
        case _:
            return [AskSettings(), AskPositions()]


def _question_of_order(account: Account, symbol: Symbol, order_id: OrderId) -> Question:
    """Fewer fills than the order says: ask the fills. More, or no order at all: ask the order."""
    order = account.orders.get((symbol, order_id, False))
    if order is not None and account.fill_sums.get((symbol, order_id), ZERO) < order.filled_quantity:
        return AskOrderFills(symbol=symbol, order_id=order_id)
    return AskOrder(symbol=symbol, order_id=order_id, conditional=False)


def absent_keys(account: Account, answer: Answer, question: Question) -> list[PositionSet | BalanceSet]:
    """Registers of ours that a complete answer does not mention: those that hold something, and those in doubt."""
    doubtful = {(doubt.symbol, doubt.key) for doubt in account.doubts if doubt.subject in ("tie", "position")}
    if isinstance(question, AskPositions):
        told = {(event.symbol, event.position_side) for event in answer.events if isinstance(event, PositionSet)}
        return [position for key, position in account.positions.items() if key not in told and (position.amount or key in doubtful)]
    if isinstance(question, AskBalances):
        assets = {event.asset for event in answer.events if isinstance(event, BalanceSet)}
        balances = account.balances.items()
        return [balance for asset, balance in balances if asset not in assets and (balance.total or (Symbol(""), asset) in doubtful)]
    return []
