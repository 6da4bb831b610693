"""Laws of the completeness certificate: it covers what was asked without seams, it is never whole where a fill is missing, and it accuses
nobody without a reason."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.machine import START, WALL_AHEAD_MS, Driver
from tests.support.records import some_event
from tests.support.truth import identity
from tests.unit.wire.test_machine_storm import QUIET_MS, STEPS, Steps, lived_through
from userstream.domain.certificate import COMPLETE, Certificate, IntervalState, certify
from userstream.domain.events import Event, SnapshotTaken, stamp
from userstream.domain.evidence import Evidence
from userstream.domain.reconciliation import reconcile
from userstream.kernel.ids import AccountId, Millis

ALICE = AccountId("alice")
BEGAN = Millis(START + WALL_AHEAD_MS)


def gathered(events: list[Event], *, heard: int, running: bool = True) -> Evidence:
    evidence = Evidence(ALICE)
    for event in events:
        evidence.take((event,))
        evidence.recall((event,))
    evidence.heard_until = evidence.gathered = Millis(heard)
    evidence.is_growing = running
    return evidence


def of_driver(driver: Driver) -> Evidence:
    return gathered(driver.facts, heard=driver.venue_now)


def state_at(certificate: Certificate, moment: int) -> IntervalState:
    [found] = [interval.state for interval in certificate.intervals if interval.since <= moment < interval.until]
    return found


# --- the form ---


def numbered(events: list[Event]) -> list[Event]:
    for sequence, event in enumerate(events, 1):
        stamp(event, sequence, None)
    return events


HISTORIES = st.lists(some_event("alice"), max_size=15).map(numbered)


@given(HISTORIES, st.integers(0, 70), st.integers(1, 70), st.integers(0, 70))
def test_intervals_cover_all_that_was_asked_and_neither_overlap_nor_repeat(
    events: list[Event], since: int, length: int, heard: int
) -> None:
    certificate = certify(gathered(events, heard=heard), Millis(since), Millis(since + length))
    assert (certificate.intervals[0].since, certificate.intervals[-1].until) == (since, since + length)
    assert all(interval.since < interval.until for interval in certificate.intervals)
    for before, after in pairwise(certificate.intervals):
        assert before.until == after.since
        assert before.state is not after.state


@given(HISTORIES, st.integers(0, 70), st.integers(1, 70), st.integers(1, 69))
def test_a_part_of_the_interval_gets_the_same_answer_as_the_whole(events: list[Event], since: int, length: int, cut: int) -> None:
    evidence = gathered(events, heard=40)
    whole = certify(evidence, Millis(since), Millis(since + length + 1))
    middle = since + 1 + (cut % length)
    parts = [certify(evidence, Millis(since), Millis(middle)), certify(evidence, Millis(middle), Millis(since + length + 1))]
    for moment in range(since, since + length + 1):
        assert state_at(whole, moment) is state_at(parts[moment >= middle], moment)
    for source in ("stream", "snapshot", "poll"):
        counts = [sum(interval.fills.get(source, 0) for interval in part.intervals) for part in (whole, *parts)]
        assert counts[0] == counts[1] + counts[2]


@given(HISTORIES, st.integers(0, 70))
def test_without_times_everything_known_is_asked(events: list[Event], heard: int) -> None:
    evidence = gathered(events, heard=heard)
    certificate = certify(evidence)
    spans = evidence.coverage.spans
    assert not spans or certificate.since == spans[0].since
    assert certificate.until >= heard
    assert certify(evidence) == certificate


@given(HISTORIES, st.integers(0, 70), st.integers(0, 40))
def test_what_was_told_last_reaches_no_further_than_somebody_listened(events: list[Event], heard: int, later: int) -> None:
    evidence = gathered(events, heard=heard, running=False)
    certificate = certify(evidence, Millis(0), Millis(200))
    spans = evidence.coverage.spans
    silent = max(heard, (spans[-1].until or 0) if spans else 0, 100 + later)
    assert state_at(certificate, silent) in (IntervalState.UNKNOWN, IntervalState.KNOWN_GAP)
    assert not certificate.is_whole


# --- the truth ---


def hold_complete_means_complete(driver: Driver, certificate: Certificate) -> None:
    """What was proven last may be off by as much as the clock; the next reading overlaps it."""
    sure = max(0, driver.account.proven_until - driver.laws.clock_error_ms)
    for fill in driver.truth.fills:
        if certificate.since <= fill.transaction_time < min(certificate.until, sure):
            assert state_at(certificate, fill.transaction_time) not in COMPLETE or identity(fill) in driver.laws.told, fill


@given(steps=STEPS, seed=st.integers(0, 2**32), pauses=st.lists(st.integers(1, 20_000), max_size=4))
@settings(max_examples=60)
def test_in_any_trouble_what_is_called_complete_lacks_no_fill(steps: Steps, seed: int, pauses: list[int]) -> None:
    driver = lived_through(steps, seed, 1)
    for pause in (0, *pauses):
        driver.run_for(pause)
        hold_complete_means_complete(driver, certify(of_driver(driver), Millis(BEGAN - 60_000), Millis(driver.venue_now + 1)))


@example(ahead=-55_250, before=3_388)  # the first reading proves up to the very beginning, and the audit comes late
@given(ahead=st.integers(-60_000, 100_000), before=st.integers(1, 50_000))
@settings(max_examples=60)
def test_however_wrong_our_clock_is_nothing_is_proven_of_the_time_before_the_beginning(ahead: int, before: int) -> None:
    driver = Driver()
    driver.venue_ahead_ms = ahead
    driver.truth.fill(driver.venue_now, driver.truth.place(driver.venue_now, quantity="0.1"), "0.1")
    driver.tell_nobody()
    driver.now = Millis(driver.now + before)
    driver.laws.began = Millis(driver.venue_now + driver.laws.clock_error_ms)
    driver.start().run_until_live().run_for(300_000)
    certificate = certify(of_driver(driver), Millis(BEGAN - 200_000), driver.venue_now)
    assert certificate.complete_since is not None
    hold_complete_means_complete(driver, certificate)


@given(steps=STEPS, seed=st.integers(0, 2**32), redundancy=st.sampled_from([1, 2]))
@settings(max_examples=60)
def test_after_quiet_the_certificate_is_whole_and_no_sum_fails(steps: Steps, seed: int, redundancy: int) -> None:
    driver = lived_through(steps, seed, redundancy)
    driver.run_for(QUIET_MS)
    evidence = of_driver(driver)
    assert reconcile(evidence) == []
    certificate = certify(evidence)
    assert certificate.is_whole, certificate
    assert certificate.proven_until == driver.account.proven_until
    assert sum(sum(interval.fills.values()) for interval in certificate.intervals) <= len(driver.laws.told)


@given(steps=STEPS, seed=st.integers(0, 2**32), pick=st.integers(0, 1_000), remembers=st.booleans())
@settings(max_examples=60)
def test_a_fill_that_vanishes_from_the_tables_is_found(steps: Steps, seed: int, pick: int, remembers: bool) -> None:
    driver = lived_through([*steps, (500, "trade", 0)], seed, 1)
    driver.run_for(QUIET_MS)
    evidence = Evidence(ALICE)
    evidence.take(driver.facts)
    name, fill = sorted(evidence.fills.items())[pick % len(evidence.fills)]
    del evidence.fills[name]
    if remembers:
        evidence.recall(driver.facts)
    evidence.heard_until = evidence.gathered = driver.venue_now
    certificate = certify(evidence, BEGAN)
    assert not certificate.is_whole
    assert state_at(certificate, fill.time) is IntervalState.KNOWN_GAP
    assert f"{name[0]}.{name[2]}" in {mismatch.key for mismatch in certificate.mismatches if mismatch.subject == "order"}


@given(steps=STEPS, seed=st.integers(0, 2**32))
@settings(max_examples=30)
def test_reading_the_books_again_changes_nothing(steps: Steps, seed: int) -> None:
    driver = lived_through(steps, seed, 1)
    driver.run_for(QUIET_MS)
    told, before = len(driver.facts), certify(of_driver(driver), BEGAN, Millis(BEGAN + 5_000))
    assert driver.machine.books is not None
    for _ in range(2):
        driver.machine.books.read_again("once more")
        driver.run_for(30_000)
    assert {type(fact) for fact in driver.facts[told:]} == {SnapshotTaken}
    assert certify(of_driver(driver), BEGAN, Millis(BEGAN + 5_000)).intervals == before.intervals
