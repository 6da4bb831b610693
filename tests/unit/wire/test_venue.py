"""Where a session on a shared socket lives: half as long as on one of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import place
from userstream.wire.pacing import LONGEST_ROTATION_JITTER_MS, ROTATION_JITTER_SHARE
from userstream.wire.venue import shared_place

VENUE_LIMIT_MS = 24 * 3_600_000


@given(st.integers(min_value=1_000, max_value=86_000_000))
def test_no_line_outlives_what_a_socket_of_its_own_would(rotate_after_ms: int) -> None:
    own = place(rotate_after_ms=rotate_after_ms)
    shared = shared_place(own)
    longest_jitter_ms = min(shared.rotate_after_ms // ROTATION_JITTER_SHARE, LONGEST_ROTATION_JITTER_MS)
    oldest_when_it_joins = shared.rotate_after_ms
    assert oldest_when_it_joins + shared.rotate_after_ms + longest_jitter_ms <= rotate_after_ms * (1 + 1 / ROTATION_JITTER_SHARE)
    assert shared.account == own.account


def test_with_the_usual_settings_all_lines_are_replaced_before_the_venue_closes_the_socket() -> None:
    shared = shared_place(place())
    assert 2 * shared.rotate_after_ms + shared.rotate_after_ms // ROTATION_JITTER_SHARE < VENUE_LIMIT_MS - 30 * 60_000
