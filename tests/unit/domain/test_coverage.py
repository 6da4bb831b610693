"""The certificate's rule, one sentence a test, and its laws."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import filled, gap_opened, gap_repaired, snapshot_taken, stream_changed
from tests.support.records import some_event
from userstream.domain.coverage import Coverage, CoverageState, fold_coverage
from userstream.domain.events import Event, GapOpened, stamp

PROVEN, STREAM_ONLY, KNOWN_GAP, REPAIRED = CoverageState
Told = list[tuple[int, int | None, str]]


def numbered(events: list[Event]) -> list[Event]:
    for sequence, event in enumerate(events, 1):
        stamp(event, sequence, None)
    return events


def spans_after(*events: Event) -> Told:
    return spans_of(fold_coverage(Coverage(), numbered(list(events))))


def spans_of(coverage: Coverage) -> Told:
    return [(span.since, span.until, str(span.state)) for span in coverage.spans]


LIVE: Final = stream_changed(state="syncing", event_time=100)


def test_nothing_is_claimed_before_a_socket_is_open() -> None:
    assert spans_after(stream_changed(state="connecting"), filled()) == []


def test_a_socket_alone_is_the_streams_word() -> None:
    assert spans_after(LIVE, stream_changed(state="live", event_time=120)) == [(100, None, STREAM_ONLY)]


def test_our_own_time_counts_where_the_venue_gave_none() -> None:
    assert spans_after(stream_changed(state="live", event_time=0, received_time=90)) == [(90, None, STREAM_ONLY)]


def test_a_snapshot_proves_what_lies_before_it_and_not_before_the_beginning() -> None:
    assert spans_after(LIVE, snapshot_taken(proven_until=150)) == [(100, 150, PROVEN), (150, None, STREAM_ONLY)]
    assert spans_after(LIVE, snapshot_taken(proven_until=90)) == [(100, None, STREAM_ONLY)]
    assert spans_after(LIVE, snapshot_taken(proven_until=0)) == [(100, None, STREAM_ONLY)]


def test_what_nobody_keeps_any_more_stays_a_gap_for_ever() -> None:
    lost = snapshot_taken(started_time=320, proven_until=310, read_since=250, lost_since=150)
    told = (LIVE, snapshot_taken(proven_until=150), gap_opened(since=160), lost, gap_repaired(since=160, until=305, read_since=250))
    later = snapshot_taken(started_time=410, proven_until=400, read_since=300)
    assert spans_after(*told, later) == [
        (100, 150, PROVEN),
        (150, 250, KNOWN_GAP),
        (250, 305, REPAIRED),
        (305, 400, PROVEN),
        (400, None, STREAM_ONLY),
    ]


def test_a_gap_that_nobody_can_read_any_more_ends_all_the_same() -> None:
    lost = snapshot_taken(started_time=320, proven_until=310, read_since=160, lost_since=150)
    told = (LIVE, snapshot_taken(proven_until=150), gap_opened(since=160), lost, gap_repaired(since=160, until=305, read_since=160))
    assert spans_after(*told) == [(100, 150, PROVEN), (150, 160, KNOWN_GAP), (160, 305, REPAIRED), (305, None, STREAM_ONLY)]


def test_a_snapshot_can_be_the_beginning() -> None:
    assert spans_after(snapshot_taken(started_time=110, proven_until=105)) == [(110, None, STREAM_ONLY)]


def test_proof_grows_with_each_snapshot_and_never_shrinks() -> None:
    grown = spans_after(LIVE, snapshot_taken(proven_until=150), snapshot_taken(proven_until=170), snapshot_taken(proven_until=160))
    assert grown == [(100, 170, PROVEN), (170, None, STREAM_ONLY)]


def test_a_gap_takes_proof_back_and_no_snapshot_closes_it() -> None:
    opened: list[Event] = [LIVE, snapshot_taken(proven_until=150), gap_opened(since=140)]
    assert spans_after(*opened) == [(100, 140, PROVEN), (140, None, KNOWN_GAP)]
    assert spans_after(*opened, snapshot_taken(proven_until=200)) == [(100, 140, PROVEN), (140, None, KNOWN_GAP)]


def test_a_repaired_gap_is_told_from_what_was_never_missing() -> None:
    told = spans_after(LIVE, gap_opened(since=140), gap_repaired(since=140, until=160), snapshot_taken(proven_until=180))
    assert told == [(100, 140, PROVEN), (140, 160, REPAIRED), (160, 180, PROVEN), (180, None, STREAM_ONLY)]


def test_a_repair_that_reaches_further_back_closes_the_gap_too() -> None:
    told = spans_after(LIVE, gap_opened(since=150), gap_opened(since=140), gap_repaired(since=140, until=170))
    assert told == [(100, 140, STREAM_ONLY), (140, 170, REPAIRED), (170, None, STREAM_ONLY)]


def test_a_gap_that_began_after_the_repair_stays_open() -> None:
    told = spans_after(LIVE, gap_opened(since=180), gap_repaired(since=140, until=160))
    assert told == [(100, 140, STREAM_ONLY), (140, 160, REPAIRED), (160, 180, STREAM_ONLY), (180, None, KNOWN_GAP)]


def test_the_part_of_a_gap_that_was_not_read_stays_a_gap() -> None:
    told = spans_after(LIVE, gap_opened(since=120), gap_repaired(since=140, until=160))
    assert told == [(100, 120, STREAM_ONLY), (120, 140, KNOWN_GAP), (140, 160, REPAIRED), (160, None, KNOWN_GAP)]


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_a_feed_that_ended_claims_nothing_until_the_next_socket(state: str) -> None:
    ended = [LIVE, stream_changed(state=state, event_time=130)]
    assert spans_after(*ended) == [(100, 130, STREAM_ONLY)]
    assert spans_after(*ended, snapshot_taken(proven_until=200)) == [(100, 130, PROVEN)]
    again = spans_after(*ended, stream_changed(state="live", event_time=170))
    assert again == [(100, 130, STREAM_ONLY), (170, None, STREAM_ONLY)]


def test_a_stop_does_not_end_a_gap() -> None:
    told = spans_after(LIVE, gap_opened(since=120), stream_changed(state="stopped", event_time=130))
    assert told == [(100, 120, STREAM_ONLY), (120, None, KNOWN_GAP)]


def test_a_clock_that_ran_back_makes_no_span_of_negative_length() -> None:
    assert spans_after(LIVE, stream_changed(state="stopped", event_time=50)) == []


def test_a_repair_of_nothing_changes_nothing() -> None:
    assert spans_after(LIVE, gap_opened(since=120), gap_repaired(since=120, until=110))[-1] == (120, None, KNOWN_GAP)


def test_a_gap_before_the_beginning_is_told() -> None:
    assert spans_after(gap_opened(since=50), gap_repaired(since=50, until=90)) == [(50, 90, REPAIRED), (90, None, STREAM_ONLY)]


told_events = st.lists(some_event("alice"), max_size=12).map(numbered)


@given(told_events)
def test_spans_never_overlap_and_neighbours_differ(events: list[Event]) -> None:
    spans = fold_coverage(Coverage(), events).spans
    for before, after in pairwise(spans):
        assert before.until is not None
        assert before.until <= after.since
        assert before.until < after.since or before.state is not after.state
    assert all(span.until is None or span.since < span.until for span in spans)


@given(told_events, st.integers(0, 12))
def test_the_fold_can_be_interrupted_and_repeated(events: list[Event], cut: int) -> None:
    whole = fold_coverage(Coverage(), events)
    part = fold_coverage(Coverage(), events[:cut])
    assert fold_coverage(part, events[cut:]) == whole
    assert fold_coverage(part, events) == whole
    assert fold_coverage(whole, events) == whole


@given(told_events, st.integers(1, 60))
def test_nothing_after_the_last_open_gap_is_called_complete(events: list[Event], since: int) -> None:
    gap = gap_opened(since=since)
    later = [
        msgspec.structs.replace(event) for event in events if not isinstance(event, GapOpened) and event.__class__.__name__ != "GapRepaired"
    ]
    spans = fold_coverage(Coverage(), numbered([*events, gap, *later])).spans
    assert all(span.state is KNOWN_GAP for span in spans if span.until is None or span.until > since)


def test_a_snapshot_proves_no_more_than_it_read() -> None:
    told = spans_after(LIVE, snapshot_taken(proven_until=150, read_since=120))
    assert told == [(100, 120, STREAM_ONLY), (120, 150, PROVEN), (150, None, STREAM_ONLY)]
    assert spans_after(LIVE, snapshot_taken(proven_until=150, read_since=160)) == [(100, None, STREAM_ONLY)]
