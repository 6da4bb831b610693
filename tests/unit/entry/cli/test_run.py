"""What `run` must tell a person however little the log says."""

from __future__ import annotations

import msgspec
import pytest
import structlog

from tests.support.events import balance_set, margin_called
from userstream.domain.events import Event, GapOpened, GapRepaired, Mismatch, StreamChanged
from userstream.domain.words import StreamState
from userstream.entry.cli.run import BAD, DOUBTFUL, _report, _weight_of
from userstream.kernel.ids import AccountId, Millis, VenueName

ALICE, VENUE = AccountId("alice"), VenueName("binance-usdm")


def changed(state: StreamState) -> StreamChanged:
    return StreamChanged(account=ALICE, venue=VENUE, state=state, reason="a reason")


@pytest.mark.parametrize(
    ("event", "weight"),
    [
        (changed(StreamState.FAILED), BAD),
        (margin_called(), BAD),
        (margin_called(status="normal"), ""),
        (changed(StreamState.STALE), DOUBTFUL),
        (GapOpened(account=ALICE, venue=VENUE, since=Millis(1), reason="cut"), DOUBTFUL),
        (GapRepaired(account=ALICE, venue=VENUE, since=Millis(1), until=Millis(2), fills=0), ""),
        (changed(StreamState.LIVE), ""),
        (balance_set(), ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_person_must_hear_is_no_mere_information(event: Event, weight: str) -> None:
    assert _weight_of(event) == weight


def test_people_read_times_and_programs_numbers() -> None:
    opened = GapOpened(account=ALICE, venue=VENUE, since=Millis(1_790_000_001_202), reason="cut")
    repaired = GapRepaired(account=ALICE, venue=VENUE, since=opened.since, until=Millis(1_790_000_002_000), fills=1)
    mismatch = Mismatch(account=ALICE, venue=VENUE, subject="order", key="BTCUSDT.7", ours="fills of 1", theirs="2", since=opened.since)
    with structlog.testing.capture_logs() as entries:
        for event in (opened, repaired, changed(StreamState.LIVE), mismatch, msgspec.structs.replace(mismatch, resolved=True)):
            _report(event)
    assert [entry["event"] for entry in entries] == [
        "gap opened: events since 2026-09-21 14:13:21.202 UTC may be missing",
        "gap repaired: 2026-09-21 14:13:21.202 to 2026-09-21 14:13:22.000 UTC was read again, 1 fill found",
        "stream changed",
        "mismatch found: order BTCUSDT.7: ours fills of 1, theirs 2",
        "mismatch resolved: order BTCUSDT.7: ours fills of 1, theirs 2",
    ]
    assert (entries[0]["since"], entries[0]["reason"], entries[1]["until"], entries[1]["fills"]) == (opened.since, "cut", repaired.until, 1)
