"""What is known of one account's past, gathered from its tables and its journal, so that the two can be compared. Pure.

`take` is what the tables would take in: each fill once, the newest copy of an order or a leg. `recall` is what the journal remembers on
top: how an order grew, what was told of a leg, and which fills were told that the tables must hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from userstream.domain.account import PositionKey
from userstream.domain.coverage import COVERAGE_EVENTS, Coverage, fold_coverage
from userstream.domain.events import Event, FillCompleted, Filled, FilledBefore, Mismatch, OrderChanged, PositionSet, SnapshotTaken
from userstream.domain.registers import ABSENT_POSITION
from userstream.domain.words import PositionSide, Side
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol, VenueName

FillName: TypeAlias = tuple[Symbol, str, OrderId]
OrderName: TypeAlias = tuple[Symbol, OrderId]
SIDES: Final = frozenset(str(side) for side in PositionSide)


class KnownFill(msgspec.Struct, frozen=True, gc=False):
    """A fill as the tables hold it. `quantity` is 0 where they do not know it; `time` is the venue's (ms)."""

    side: Side | None
    position_side: PositionSide | None
    quantity: Decimal
    time: Millis
    source: str
    sequence: int

    @property
    def signed_quantity(self) -> Decimal:
        """How the fill changes its leg: short is negative."""
        return self.quantity if self.side is Side.BUY else -self.quantity


class KnownOrder(msgspec.Struct, frozen=True, gc=False):
    """An order as the tables hold it; `created_time` is 0 where nobody said it."""

    filled_quantity: Decimal
    created_time: Millis
    time: Millis
    sequence: int


class LegWord(msgspec.Struct, frozen=True, gc=False):
    """What was told of a leg at `time`: its amount; None when a disagreement was told, after which sums go on from the word before.
    `is_exact`: the amount is that of this very time, and not of some moment after it."""

    amount: Decimal | None
    time: Millis
    is_exact: bool


class Disputes:
    """Which mismatches are open: told and not resolved. They outlive the run of the program that told them: what is open survives a
    restart, and is resolved once it is explained."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str], Mismatch] = {}
        self.lost: list[tuple[Millis, Millis]] = []

    def take(self, event: Event) -> None:
        match event:
            case Mismatch(subject=subject, key=key):
                if event.resolved:
                    self.open.pop((subject, key), None)
                else:
                    self.open[subject, key] = event
                    self.lost += lost_history(event)
            case _:
                pass


class Evidence:
    """All of one account that its certificate rests on.

    heard_until: up to here (ms) the stream's word can be believed where it has no end: now, while the account runs; else the moment of
    its last record. gathered: when the evidence was gathered (ms, our clock). is_growing: whether the account runs right now.
    is_cut: the beginning of the account's history is not in here, so that an order's first fills may be missing without a reason.
    """

    def __init__(self, account: AccountId, coverage: Coverage | None = None) -> None:
        self.account = account
        self.venue = VenueName("")
        self.coverage = coverage or Coverage()
        self.fills: dict[FillName, KnownFill] = {}
        self.orders: dict[OrderName, KnownOrder] = {}
        self.legs: dict[PositionKey, Decimal] = {}
        self.disputes = Disputes()
        self.filled_before: dict[OrderName, FilledBefore] = {}
        self.growth: dict[OrderName, list[tuple[Millis, Decimal]]] = {}
        self.words: dict[PositionKey, list[LegWord]] = {}
        self.missing: dict[FillName, Filled] = {}
        self.heard_until = self.gathered = Millis(0)
        self.is_growing = self.is_cut = False

    def take(self, events: Iterable[Event]) -> None:
        """What the tables would take in, in the order of the journal."""
        for event in events:
            self.venue = event.venue or self.venue
            match event:
                case Filled():
                    self._take_fill(event)
                case FillCompleted():
                    self._complete(event)
                case OrderChanged(conditional=False):
                    known = KnownOrder(event.filled_quantity, event.created_time, event.transaction_time, event.sequence)
                    self.orders[event.symbol, event.order_id] = known
                case PositionSet():
                    self.legs[event.symbol, event.position_side] = event.amount
                case _:
                    self.disputes.take(event)
                    if isinstance(event, COVERAGE_EVENTS):
                        self.coverage = fold_coverage(self.coverage, (event,))

    def _take_fill(self, event: Filled) -> None:
        name = (event.symbol, event.trade_id, event.order_id)
        if name not in self.fills:
            self.fills[name] = KnownFill(
                event.side, event.position_side, event.quantity, event.transaction_time, str(event.source), event.sequence
            )

    def _complete(self, event: FillCompleted) -> None:
        name = (event.symbol, event.trade_id, event.order_id)
        known = self.fills.get(name)
        if known is not None and known.position_side is None:
            self.fills[name] = msgspec.structs.replace(known, position_side=event.position_side)

    def recall(self, events: Iterable[Event]) -> None:
        """What the journal remembers; after the tables were taken in, and in the order of the journal."""
        for event in events:
            match event:
                case Filled():
                    self._recall_fill(event)
                case OrderChanged(conditional=False):
                    self._recall_growth(event)
                case PositionSet(symbol=symbol, position_side=side):
                    word = LegWord(event.amount, event.transaction_time, event.reason != ABSENT_POSITION)
                    self.words.setdefault((symbol, side), []).append(word)
                case Mismatch(subject="position", resolved=False) if (leg := leg_of(event)) is not None:
                    self.words.setdefault(leg, []).append(LegWord(None, event.since, True))
                case SnapshotTaken(filled_before=anchors):
                    self.filled_before |= {(anchor.symbol, anchor.order_id): anchor for anchor in anchors}
                case _:
                    pass

    def explained_quantity(self, name: OrderName, fills: Iterable[KnownFill]) -> Decimal:
        """How much of an order its known fills explain, with what was filled of it before anybody cared."""
        anchor = self.filled_before.get(name)
        cared = [fill.quantity for fill in fills if anchor is None or fill.time >= anchor.before]
        return sum(cared, ZERO if anchor is None else anchor.quantity)

    def _recall_fill(self, event: Filled) -> None:
        name = (event.symbol, event.trade_id, event.order_id)
        if name not in self.fills:
            self.missing[name] = event

    def _recall_growth(self, event: OrderChanged) -> None:
        steps = self.growth.setdefault((event.symbol, event.order_id), [])
        if not steps or steps[-1][1] != event.filled_quantity:
            steps.append((event.transaction_time, event.filled_quantity))


def leg_of(mismatch: Mismatch) -> PositionKey | None:
    """The leg that a mismatch of positions is about."""
    symbol, _, side = mismatch.key.rpartition(".")
    return (Symbol(symbol), PositionSide(side)) if side in SIDES else None


def lost_history(mismatch: Mismatch) -> list[tuple[Millis, Millis]]:
    """The venue time that nobody can read any more: between what we had read and what the venue still keeps."""
    since, _, kept = mismatch.key, *mismatch.theirs.rpartition(" ")[1:]
    if mismatch.subject != "history" or not (since.isdecimal() and kept.isdecimal()):
        return []
    return [(Millis(int(since)), Millis(int(kept)))]
