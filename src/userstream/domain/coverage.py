"""The completeness certificate of one account as a fold. Pure.

The venue's time is cut into spans that do not overlap. The rule:
- The certificate begins with the first thing known: the socket's opening, a gap's `since`, a repair's `since` or a snapshot's start.
- While a socket delivers, time is STREAM_ONLY: told by the stream, not yet compared with the venue's books. That span has no end.
- `GapOpened` makes everything from its `since` on KNOWN_GAP, also what was proven before: events may be missing there.
- `GapRepaired` makes what lies between its `since` and `until` REPAIRED and ends a gap that began in there; the stream's word counts again
  after `until`. A gap that began later stays open. What is older than its `read_since` nobody could read: it stays KNOWN_GAP for ever.
- `SnapshotTaken` makes what is STREAM_ONLY from its `read_since` on and before its `proven_until` PROVEN. It never touches a gap and never
  reaches before the beginning: what the stream told before anything could be read stays the stream's word. From its `lost_since` to its
  `read_since` everything is KNOWN_GAP, whatever the stream told: that can never be compared.
- A feed that is stopped or has failed ends the growing span; nothing is claimed until a socket opens again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from userstream.domain.events import Event, GapOpened, GapRepaired, SnapshotTaken, StreamChanged
from userstream.domain.words import StreamState


class CoverageState(StrEnum):
    PROVEN = "PROVEN"
    STREAM_ONLY = "STREAM_ONLY"
    KNOWN_GAP = "KNOWN_GAP"
    REPAIRED = "REPAIRED"


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Venue time from `since` to before `until` (ms); a span without `until` is growing."""

    since: int
    until: int | None
    state: CoverageState


CoverageEvent: TypeAlias = GapOpened | GapRepaired | SnapshotTaken | StreamChanged
COVERAGE_EVENTS: Final = (GapOpened, GapRepaired, SnapshotTaken, StreamChanged)

_DELIVERING: Final = frozenset({StreamState.SYNCING, StreamState.LIVE})
_ENDED: Final = frozenset({StreamState.STOPPED, StreamState.FAILED})
_FOREVER: Final = 1 << 62
_Piece: TypeAlias = tuple[int, int, CoverageState]


class Coverage(msgspec.Struct, frozen=True):
    """The spans of one account, oldest first, and the sequence of the last event that went in."""

    spans: tuple[Span, ...] = ()
    sequence: int = 0


def fold_coverage(coverage: Coverage, events: Iterable[Event]) -> Coverage:
    """Takes in an account's events in the order of its journal; those at or below the saved sequence, and other kinds, change nothing."""
    pieces = [(span.since, _FOREVER if span.until is None else span.until, span.state) for span in coverage.spans]
    sequence = coverage.sequence
    for event in events:
        if isinstance(event, COVERAGE_EVENTS) and event.sequence > sequence:
            pieces = _merge(_take_in(pieces, event))
            sequence = event.sequence
    spans = tuple(Span(since, None if until == _FOREVER else until, state) for since, until, state in pieces)
    return Coverage(spans, sequence)


def _take_in(pieces: list[_Piece], event: CoverageEvent) -> list[_Piece]:
    match event:
        case GapOpened(since=since):
            return _paint(pieces, since, _FOREVER, CoverageState.KNOWN_GAP)
        case GapRepaired(since=since, until=until, read_since=read_since):
            return _repair(pieces, since, until, read_since)
        case SnapshotTaken(started_time=started, proven_until=proven, read_since=since, lost_since=lost):
            begun = pieces or [(int(started), _FOREVER, CoverageState.STREAM_ONLY)]
            if 0 < lost < since:
                begun = _paint(begun, lost, since, CoverageState.KNOWN_GAP)
            return _paint(begun, min(since, proven), proven, CoverageState.PROVEN, over=CoverageState.STREAM_ONLY)
        case _:
            return _follow_stream(pieces, event.state, event.event_time or event.received_time)


def _follow_stream(pieces: list[_Piece], state: StreamState, when: int) -> list[_Piece]:
    growing = bool(pieces) and pieces[-1][1] == _FOREVER
    if state in _DELIVERING and not growing:
        begin = max(when, pieces[-1][1]) if pieces else when
        return [*pieces, (begin, _FOREVER, CoverageState.STREAM_ONLY)]
    if state in _ENDED and growing and pieces[-1][2] is CoverageState.STREAM_ONLY:
        since = pieces[-1][0]
        return [*pieces[:-1], (since, max(since, when), CoverageState.STREAM_ONLY)]
    return pieces


def _repair(pieces: list[_Piece], since: int, until: int, read_since: int) -> list[_Piece]:
    """A gap that began before `since` is another one, unless what nobody keeps any more lies right before it."""
    if until <= since:
        return pieces
    if pieces and pieces[0][0] >= since:  # before our care began nothing was ours to miss
        pieces = [(max(start, min(read_since, until)), end, state) for start, end, state in pieces]
    begun = pieces[-1][0] if pieces and pieces[-1][2] is CoverageState.KNOWN_GAP else None
    repaired = _paint(pieces, min(max(since, read_since), until), until, CoverageState.REPAIRED)
    if begun is None or begun >= until or (begun < since and read_since < since):
        return repaired
    return _paint(repaired, until, _FOREVER, CoverageState.STREAM_ONLY, over=CoverageState.KNOWN_GAP)


def _paint(pieces: Sequence[_Piece], since: int, until: int, state: CoverageState, over: CoverageState | None = None) -> list[_Piece]:
    """Gives [since, until) a state: all of it, or only what has the state `over`."""
    painted: list[_Piece] = [] if over is not None else [(since, until, state)]
    for start, end, old in pieces:
        if over is not None and old is not over:
            painted.append((start, end, old))
            continue
        painted += [(start, min(end, since), old), (max(start, until), end, old)]
        if over is not None:
            painted.append((max(start, since), min(end, until), state))
    return sorted(piece for piece in painted if piece[0] < piece[1])


def _merge(pieces: Iterable[_Piece]) -> list[_Piece]:
    merged: list[_Piece] = []
    for start, end, state in pieces:
        if start >= end:
            continue
        if merged and merged[-1][1] == start and merged[-1][2] is state:
            merged[-1] = (merged[-1][0], end, state)
        else:
            merged.append((start, end, state))
    return merged
