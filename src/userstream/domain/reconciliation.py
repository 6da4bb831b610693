"""Do the parts of the evidence agree? Orders against their fills, legs against their fills, the journal against the tables. Pure.

Arithmetic cannot know why it fails, so it never mends: each disagreement becomes a `Mismatch` whose `cause` says which sum found it, with
the venue time in which it must lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from userstream.domain.account import PositionKey
from userstream.domain.checks import PositionWatch
from userstream.domain.events import Mismatch, PositionSet
from userstream.domain.evidence import Evidence, KnownFill, KnownOrder, OrderName
from userstream.domain.registers import ABSENT_POSITION
from userstream.domain.words import PositionSide, Source
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis, Symbol

BY_ORDER: Final = "the order's own filled quantity"
BY_LEG: Final = "the amounts that the venue told of the leg"
BY_JOURNAL: Final = "the journal"
SIDES: Final = frozenset(str(side) for side in PositionSide)

Step: TypeAlias = PositionSet | Mismatch | KnownFill


class Finding(msgspec.Struct, frozen=True):
    """A disagreement, found in venue time from `since` to before `until` (ms). `lacks_fill`: a fill of that time must be missing."""

    mismatch: Mismatch
    since: Millis
    until: Millis
    lacks_fill: bool


def reconcile(evidence: Evidence) -> list[Finding]:
    """Every disagreement, oldest first."""
    found = [*_check_journal(evidence), *_check_orders(evidence), *_check_legs(evidence)]
    return sorted(found, key=lambda finding: (finding.since, finding.mismatch.subject, finding.mismatch.key))


def _finding(
    evidence: Evidence, subject: str, key: str, sides: tuple[str, str], cause: str, span: tuple[int, int], *, lacks_fill: bool
) -> Finding:
    ours, theirs = sides
    since, until = Millis(span[0]), Millis(span[1])
    mismatch = Mismatch(
        account=evidence.account,
        venue=evidence.venue,
        received_time=evidence.heard_until,
        source=Source.REPLAY,
        subject=subject,
        key=key,
        ours=ours,
        theirs=theirs,
        since=since,
        cause=cause,
    )
    return Finding(mismatch, since, until, lacks_fill)


# --- the journal against the tables ---


def _check_journal(evidence: Evidence) -> Iterator[Finding]:
    for (symbol, trade_id, order_id), fill in evidence.missing.items():
        key, when = f"{symbol}.{trade_id}.{order_id}", fill.transaction_time
        sides = ("no row", f"{fill.side} {fill.quantity} at {fill.price}")
        yield _finding(evidence, "fill", key, sides, BY_JOURNAL, (when, when + 1), lacks_fill=True)


# --- orders ---


def _check_orders(evidence: Evidence) -> Iterator[Finding]:
    fills: dict[OrderName, list[KnownFill]] = {}
    for (symbol, _, order_id), fill in evidence.fills.items():
        fills.setdefault((symbol, order_id), []).append(fill)
    for name, order in evidence.orders.items():
        known = fills.pop(name, [])
        if evidence.is_cut and not _began_in(evidence, name):
            continue
        total = sum((fill.quantity for fill in known), ZERO)
        if total != order.filled_quantity:
            span = _where_it_lacks(evidence, name, order, known)
            sides = (f"fills of {total}", str(order.filled_quantity))
            yield _finding(evidence, "order", ".".join(name), sides, BY_ORDER, span, lacks_fill=total < order.filled_quantity)
    for name, orphans in ({} if evidence.is_cut else fills).items():
        times = [fill.time for fill in orphans]
        sides = (f"fills of {sum((fill.quantity for fill in orphans), ZERO)}", "not known")
        yield _finding(evidence, "order", ".".join(name), sides, BY_ORDER, (min(times), max(times) + 1), lacks_fill=False)


def _began_in(evidence: Evidence, name: OrderName) -> bool:
    steps = evidence.growth.get(name, [])
    return bool(steps) and not steps[0][1]


def _where_it_lacks(evidence: Evidence, name: OrderName, order: KnownOrder, known: list[KnownFill]) -> tuple[int, int]:
    """The first step of the order's growth that its fills do not explain lies after the last one that they do."""
    since: int = order.created_time
    for time, filled in sorted(evidence.growth.get(name, ())):
        if sum((fill.quantity for fill in known if fill.time <= time), ZERO) < filled:
            return min(since, time), time + 1
        since = max(since, time)
    return min(since, order.time), order.time + 1


# --- legs ---


def _check_legs(evidence: Evidence) -> Iterator[Finding]:
    """As far back as the journal still knows what was told of a leg, and up to the amount that the tables hold."""
    steps: dict[PositionKey, list[Step]] = {}
    for word in evidence.words:
        if (leg := _leg_of(word)) is not None:
            steps.setdefault(leg, []).append(word)
    for (symbol, _, _), fill in evidence.fills.items():
        if fill.position_side is not None and (symbol, fill.position_side) in steps:
            steps[symbol, fill.position_side].append(fill)
    for leg, told in steps.items():
        history = _LegHistory()
        for step in sorted(told, key=_sequence_of):
            history.follow(step)
        if history.disagrees_with(evidence.legs.get(leg, ZERO)):
            sides, span = (str(history.expected), str(evidence.legs.get(leg, ZERO))), (history.agreed, history.disagreed + 1)
            yield _finding(evidence, "position", ".".join(leg), sides, BY_LEG, span, lacks_fill=True)


def _leg_of(word: PositionSet | Mismatch) -> PositionKey | None:
    if isinstance(word, PositionSet):
        return (word.symbol, word.position_side)
    symbol, _, side = word.key.rpartition(".")
    return (Symbol(symbol), PositionSide(side)) if side in SIDES else None


def _sequence_of(step: Step) -> int:
    return step.sequence


class _LegHistory:
    """One leg's checksum from the first word that is known of it. `agreed`, `disagreed`: the last word that added up, and the first of
    those behind it that do not."""

    def __init__(self) -> None:
        self.agreed, self.disagreed = Millis(0), Millis(0)
        self._watch: PositionWatch | None = None
        self._before: list[KnownFill] = []
        self._newest = Millis(0)

    @property
    def expected(self) -> Decimal:
        return ZERO if self._watch is None else self._watch.expected

    def follow(self, step: Step) -> None:
        match step:
            case KnownFill():
                self._add(step)
            case PositionSet():
                self._weigh()
                self._hear(step)
            case Mismatch(resolved=False) if self._watch is not None:
                self._watch.accept()  # it was told, and sums went on from the venue's word

    def _add(self, fill: KnownFill) -> None:
        if self._watch is None:
            self._before.append(fill)
            return
        self._newest = max(self._newest, fill.time)
        self._watch.add_fill(fill.time, fill.signed_quantity)

    def _hear(self, word: PositionSet) -> None:
        since, until = word.transaction_time, word.event_time if word.reason == ABSENT_POSITION else None
        if self._watch is not None:
            self._watch.tell(since, word.amount, until)
            self._newest = max(self._newest, since)
            return
        self._watch, self.agreed, self._newest = PositionWatch(word.amount, since, until), since, since
        for fill in self._before:
            self._add(fill)

    def _weigh(self) -> None:
        """Each fill has had its time to follow the word that was told with it."""
        if self._watch is None or self._watch.in_doubt:
            self.disagreed = self.disagreed or self._newest
        else:
            self.agreed, self.disagreed = self._newest, Millis(0)

    def disagrees_with(self, amount: Decimal) -> bool:
        """Whether the sum from an exact beginning does not give the amount that the leg has now."""
        if self._watch is None:
            return False
        self._weigh()
        self._watch.tell(self._newest, amount)
        self.disagreed = self.disagreed or self._newest
        return self._watch.in_doubt and self._watch.is_exact
