"""How often a socket may be dialed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from userstream.kernel.ids import Millis
from userstream.wire.switchboard import DialPace

FIVE_MINUTES_MS = 300_000


def dials(pace: DialPace, now: int, until: int) -> list[int]:
    """When somebody dials who never gives up."""
    made = []
    while now < until:
        wait_ms = pace.wait_ms(Millis(now))
        if wait_ms == 0:
            made.append(now)
        else:
            now += wait_ms
    return made


def test_a_handful_is_free() -> None:
    assert dials(DialPace(200, Millis(0)), 0, 1) == [0] * DialPace.BURST


@given(st.integers(min_value=30, max_value=300), st.integers(min_value=0, max_value=10**9))
def test_no_five_minutes_see_more_than_allowed(limit: int, start: int) -> None:
    made = dials(DialPace(limit, Millis(start)), start, start + 3 * FIVE_MINUTES_MS)
    assert all(sum(at <= other < at + FIVE_MINUTES_MS for other in made) <= limit for at in made[:: max(1, len(made) // 20)])


@given(st.lists(st.integers(min_value=0, max_value=60_000), max_size=60))
def test_a_wait_that_is_kept_is_rewarded(pauses: list[int]) -> None:
    pace, now = DialPace(200, Millis(0)), 0
    for pause in pauses:
        now += pause
        if wait_ms := pace.wait_ms(Millis(now)):
            now += wait_ms
            assert pace.wait_ms(Millis(now)) == 0
