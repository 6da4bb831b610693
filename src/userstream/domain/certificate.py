"""The completeness certificate of one account for an interval of venue time: what is proven, what is only told, what is missing. Pure.

The ledger of spans (`domain.coverage`) says what was read; arithmetic (`domain.reconciliation`) may take that back where a sum fails; what
neither speaks of is UNKNOWN. The intervals cover all that was asked, without seams.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import pairwise
from operator import itemgetter
from typing import Final, TypeAlias

import msgspec

from userstream.domain.coverage import Span
from userstream.domain.events import Mismatch, public_form
from userstream.domain.evidence import Evidence
from userstream.domain.reconciliation import BY_JOURNAL, Finding, reconcile
from userstream.kernel.ids import AccountId, Millis, VenueName


class IntervalState(StrEnum):
    """PROVEN: equal to the venue's own history. REPAIRED: it was missing, and was read from the venue's history afterwards. STREAM_ONLY:
    told by the stream, not yet compared. KNOWN_GAP: something may be missing, or is. UNKNOWN: nobody listened, nobody read."""

    PROVEN = "PROVEN"
    REPAIRED = "REPAIRED"
    STREAM_ONLY = "STREAM_ONLY"
    KNOWN_GAP = "KNOWN_GAP"
    UNKNOWN = "UNKNOWN"


HOLES: Final = frozenset({IntervalState.KNOWN_GAP, IntervalState.UNKNOWN})
COMPLETE: Final = frozenset({IntervalState.PROVEN, IntervalState.REPAIRED})
FEEDS_WITHOUT_FILLS: Final = frozenset({"binance-margin-risk"})
"""Venues that tell no fills of their accounts: a certificate of theirs has nothing to prove."""

FLIGHT_MS: Final = 5_000
"""While an account runs, a sum gets so long to add up: the venue's books may lag as much behind its stream."""

_Piece: TypeAlias = tuple[int, int, IntervalState]


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Venue time from `since` to before `until` (ms), and how many fills of it are known, by the way they were learned."""

    since: Millis
    until: Millis
    state: IntervalState
    fills: dict[str, int] = {}

    @property
    def is_hole(self) -> bool:
        """Whether a fill may be missing in it: KNOWN_GAP or UNKNOWN."""
        return self.state in HOLES


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What can be said of an account between `since` and `until` (venue time, ms).

    intervals: oldest first, without seams. mismatches: all open ones that the account's care told (when it noticed says nothing about when
    they began), and those that arithmetic finds in the interval (`cause` says which sum). is_growing: whether the account runs, so that
    the last interval grows.
    """

    account: AccountId
    venue: VenueName
    since: Millis
    until: Millis
    intervals: tuple[Interval, ...]
    mismatches: tuple[Mismatch, ...]
    is_growing: bool

    @property
    def holes(self) -> tuple[Interval, ...]:
        """The intervals in which a fill may be missing: KNOWN_GAP or UNKNOWN. Where no fills are told, time before the account began and
        after it ended lacks none."""
        lived = self.intervals
        if self.venue in FEEDS_WITHOUT_FILLS:
            known = [number for number, interval in enumerate(lived) if interval.state is not IntervalState.UNKNOWN]
            lived = lived[known[0] : known[-1] + 1] if known else ()
        return tuple(interval for interval in lived if interval.is_hole)

    @property
    def is_whole(self) -> bool:
        """No hole and no open mismatch. What only the stream told, nobody has contradicted."""
        return not self.holes and not self.mismatches

    @property
    def complete_since(self) -> Millis | None:
        """Since when every fill is known to be in, up to `proven_until`; None while a hole lies behind the last proof."""
        since = None
        for interval in self.intervals:
            if interval.state in COMPLETE:
                since = interval.since if since is None else since
            elif interval.is_hole:
                since = None
        return since

    @property
    def proven_until(self) -> Millis | None:
        """Up to where every fill since `complete_since` is known to be in."""
        complete = [interval.until for interval in self.intervals if interval.state in COMPLETE]
        return complete[-1] if complete and self.complete_since is not None else None


def certify(evidence: Evidence, since: Millis | None = None, until: Millis | None = None) -> Certificate:
    """What the evidence says of an interval. Without `since` from the first thing known, without `until` up to the last (where that lies
    before `since`: up to the moment the evidence was gathered). Raises ValueError for an interval that does not end after it begins."""
    end = _end_of_knowledge(evidence)
    asked_since = _begin_of_knowledge(evidence, end) if since is None else since
    asked_until = until if until is not None else end if asked_since < end else evidence.gathered
    if asked_since >= asked_until:
        raise ValueError(f"the interval from {asked_since} to {asked_until} (ms) must end after it begins")
    findings = [found for found in reconcile(evidence) if not _is_in_flight(found, evidence)]
    return Certificate(
        account=evidence.account,
        venue=evidence.venue,
        since=asked_since,
        until=asked_until,
        intervals=tuple(_intervals(evidence, findings, asked_since, asked_until)),
        mismatches=(
            *evidence.disputes.open.values(),
            *(found.mismatch for found in findings if found.since < asked_until and asked_since < found.until),
        ),
        is_growing=evidence.is_growing,
    )


def _is_in_flight(found: Finding, evidence: Evidence) -> bool:
    """Whether the account runs and the sum may still add up: the messages of one execution come one after the other."""
    return evidence.is_growing and found.mismatch.cause != BY_JOURNAL and found.until > evidence.heard_until - FLIGHT_MS


def _end_of_knowledge(evidence: Evidence) -> Millis:
    spans = evidence.coverage.spans
    last = (spans[-1].until or spans[-1].since + 1) if spans else 1
    return max(evidence.heard_until, Millis(last))


def _begin_of_knowledge(evidence: Evidence, end: Millis) -> Millis:
    spans = evidence.coverage.spans
    if spans:
        return Millis(spans[0].since)
    return min((fill.time for fill in evidence.fills.values() if fill.time < end), default=Millis(end - 1))


def _intervals(evidence: Evidence, findings: Iterable[Finding], since: Millis, until: Millis) -> Iterator[Interval]:
    counts = _FillCounts(evidence)
    for begin, end, state in _states(evidence, findings, since, until):
        yield Interval(since=Millis(begin), until=Millis(end), state=state, fills=counts.between(begin, end))


def _states(evidence: Evidence, findings: Iterable[Finding], since: int, until: int) -> list[_Piece]:
    """What each moment of the interval is, as pieces without seams whose neighbours differ."""
    known = [piece for span in evidence.coverage.spans if (piece := _piece_of(span, evidence, until)) is not None]
    lacking = [(found.since, found.until) for found in findings if found.lacks_fill] + evidence.disputes.lost
    gaps = [(begin, end, IntervalState.KNOWN_GAP) for begin, end in _joined(lacking)]
    edges = {edge for begin, end, _ in (*known, *gaps) for edge in (begin, end) if since < edge < until}
    pieces: list[_Piece] = []
    for begin, end in pairwise([since, *sorted(edges), until]):
        state = _state_at(gaps, begin) or _state_at(known, begin) or IntervalState.UNKNOWN
        if pieces and pieces[-1][2] is state:
            begin = pieces.pop()[0]
        pieces.append((begin, end, state))
    return pieces


def _piece_of(span: Span, evidence: Evidence, until: int) -> _Piece | None:
    """A span without end: a gap stays one; the stream's word reaches as far as somebody listened."""
    state = IntervalState(span.state)
    if span.until is not None:
        return (span.since, span.until, state)
    end = until if state is IntervalState.KNOWN_GAP else evidence.heard_until
    return (span.since, end, state) if span.since < end else None


def _joined(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(pieces):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif begin < end:
            joined.append((begin, end))
    return joined


def _state_at(pieces: Sequence[_Piece], moment: int) -> IntervalState | None:
    """Of disjoint pieces in order."""
    place = bisect_right(pieces, moment, key=itemgetter(0)) - 1
    return pieces[place][2] if place >= 0 and moment < pieces[place][1] else None


class _FillCounts:
    """How many fills were made in an interval, by source."""

    def __init__(self, evidence: Evidence) -> None:
        self._times: dict[str, list[int]] = {}
        for fill in evidence.fills.values():
            self._times.setdefault(fill.source, []).append(fill.time)
        for times in self._times.values():
            times.sort()

    def between(self, since: int, until: int) -> dict[str, int]:
        counts = {source: bisect_left(times, until) - bisect_left(times, since) for source, times in self._times.items()}
        return {source: count for source, count in sorted(counts.items()) if count}


def public_certificate(certificate: Certificate) -> dict[str, object]:
    """The certificate as other programs see it: times in ms, mismatches as events are written."""
    return {
        "account": certificate.account,
        "venue": certificate.venue,
        "since": certificate.since,
        "until": certificate.until,
        "is_whole": certificate.is_whole,
        "nothing_to_prove": certificate.venue in FEEDS_WITHOUT_FILLS,
        "is_growing": certificate.is_growing,
        "complete_since": certificate.complete_since,
        "proven_until": certificate.proven_until,
        "intervals": certificate.intervals,
        "holes": certificate.holes,
        "mismatches": [public_form(mismatch) for mismatch in certificate.mismatches],
    }
