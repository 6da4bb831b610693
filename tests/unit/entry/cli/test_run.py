"""What `run` must tell a person however little the log says."""

from __future__ import annotations

import pytest

from tests.support.events import balance_set, margin_called
from userstream.domain.events import Event, GapOpened, GapRepaired, StreamChanged
from userstream.domain.words import StreamState
from userstream.entry.cli.run import BAD, DOUBTFUL, _weight_of
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
