"""Do the parts of the evidence agree? Orders against their fills, legs against their fills, the journal against the tables. Pure.

Arithmetic cannot know why it fails, so it never mends: each disagreement becomes a `Mismatch` whose `cause` says which sum found it, with
the venue time in which it must lie.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Final

import msgspec

from userstream.domain.account import PositionKey
from userstream.domain.events import Mismatch
from userstream.domain.evidence import Evidence, KnownFill, KnownOrder, LegWord, OrderName
from userstream.domain.words import Source
from userstream.kernel.amount import ZERO, plain_amount
from userstream.kernel.ids import Millis

BY_ORDER: Final = "the order's own filled quantity"
BY_LEG: Final = "the amounts that the venue told of the leg"
BY_JOURNAL: Final = "the journal"

MOST_WAYS: Final = 4_096
"""Where the fills of one millisecond could be inside or outside in more ways than these, any amount would do: nothing is said."""


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
        total = evidence.explained_quantity(name, known)
        if total != order.filled_quantity:
            span = _where_it_lacks(evidence, name, order, known)
            sides = (f"fills of {plain_amount(total)}", plain_amount(order.filled_quantity))
            yield _finding(evidence, "order", ".".join(name), sides, BY_ORDER, span, lacks_fill=total < order.filled_quantity)
    for name, orphans in ({} if evidence.is_cut else fills).items():
        times = [fill.time for fill in orphans]
        sides = (f"fills of {plain_amount(sum((fill.quantity for fill in orphans), ZERO))}", "not known")
        yield _finding(evidence, "order", ".".join(name), sides, BY_ORDER, (min(times), max(times) + 1), lacks_fill=False)


def _began_in(evidence: Evidence, name: OrderName) -> bool:
    steps = evidence.growth.get(name, [])
    return bool(steps) and not steps[0][1]


def _where_it_lacks(evidence: Evidence, name: OrderName, order: KnownOrder, known: list[KnownFill]) -> tuple[int, int]:
    """The first step of the order's growth that its fills do not explain lies after the last one that they do."""
    since: int = order.created_time
    for time, filled in sorted(evidence.growth.get(name, ())):
        if evidence.explained_quantity(name, [fill for fill in known if fill.time <= time]) < filled:
            return min(since, time), time + 1
        since = max(since, time)
    return min(since, order.time), order.time + 1


# --- legs ---


def _check_legs(evidence: Evidence) -> Iterator[Finding]:
    """As far back as the journal still knows what was told of a leg, and up to the amount that the tables hold."""
    fills: dict[PositionKey, list[KnownFill]] = {}
    for (symbol, _, _), fill in evidence.fills.items():
        if fill.position_side is not None:
            fills.setdefault((symbol, fill.position_side), []).append(fill)
    for leg, told in evidence.words.items():
        anchor, later = _anchor_of(told)
        if anchor is None:
            continue
        history, amount = _LegHistory(anchor, fills.get(leg, [])), evidence.legs.get(leg, ZERO)
        if not history.explains(amount):
            sides, span = (plain_amount(history.sum_of_all), plain_amount(amount)), history.where_it_fails(later)
            yield _finding(evidence, "position", ".".join(leg), sides, BY_LEG, span, lacks_fill=True)


def _anchor_of(words: Iterable[LegWord]) -> tuple[LegWord | None, list[LegWord]]:
    """The word from which on everything must add up, and those after it. A disagreement that was told already is behind us: sums went on
    from the venue's word."""
    anchor: LegWord | None = None
    later: list[LegWord] = []
    for word in words:
        if word.amount is None:
            if anchor is not None:
                anchor, later = (later or [anchor])[-1], []
        elif not word.is_exact:
            continue  # true of some moment, nobody knows which
        elif anchor is None or (not later and word.time == anchor.time):
            anchor = word
        else:
            later.append(word)
    return anchor, later


class _LegHistory:
    """An exact amount of one leg and the fills after it. Which fills of that very millisecond the amount includes is not known: any of
    them may be outside."""

    def __init__(self, anchor: LegWord, fills: Sequence[KnownFill]) -> None:
        self._amount, self._begun = anchor.amount or ZERO, anchor.time
        begun = anchor.time
        later = sorted((fill.time, fill.signed_quantity) for fill in fills if fill.time > begun)
        self._times = [time for time, _ in later]
        self._sums = [ZERO, *accumulate(quantity for _, quantity in later)]
        self._allowed = {ZERO}
        for quantity in [fill.signed_quantity for fill in fills if fill.time == begun]:
            if len(self._allowed) <= MOST_WAYS:
                self._allowed |= {total + quantity for total in self._allowed}

    @property
    def sum_of_all(self) -> Decimal:
        return self._amount + self._sums[-1]

    def explains(self, amount: Decimal, moment: Millis | None = None) -> bool:
        """Whether the fills up to a moment (all of them) give the amount."""
        if len(self._allowed) > MOST_WAYS:
            return True
        place = -1 if moment is None else bisect_right(self._times, moment)
        return amount - self._amount - self._sums[place] in self._allowed

    def where_it_fails(self, later: Iterable[LegWord]) -> tuple[int, int]:
        """From the last word that the fills explain to the first of those after it that they do not."""
        agreed, disagreed = self._begun, None
        for word in later:
            if self.explains(word.amount or ZERO, word.time):
                agreed, disagreed = word.time, None
            elif disagreed is None:
                disagreed = word.time
        end = max(agreed, disagreed if disagreed is not None else self._times[-1] if self._times else agreed)
        return agreed, end + 1
