"""How much the accounts trade."""

from hypothesis import given
from hypothesis import strategies as st

from userstream.sim.books import Millis
from userstream.sim.pace import TradingPace

START = Millis(1_790_000_000_000)


@given(st.floats(1, 5000), st.lists(st.integers(1, 400), min_size=20, max_size=60), st.integers(0, 8))
def test_events_over_time_are_about_the_rate(rate: float, steps: list[int], events: int) -> None:
    pace, now, seen = TradingPace(rate, START), START, 0.0
    for step in steps:
        now = Millis(now + step)
        pace.grant(now)
        while pace.may_act:
            pace.spend(events)
            seen += max(events, 0.25)
    expected = rate * (now - START) / 1000
    assert abs(seen - expected) <= 1 + max(events, 1) + 0.01 * expected


def test_a_quiet_or_paused_exchange_never_acts() -> None:
    quiet = TradingPace(0.0, START)
    quiet.grant(Millis(START + 10_000))
    assert not quiet.may_act
    paused = TradingPace(100.0, START)
    paused.paused = True
    paused.grant(Millis(START + 10_000))
    paused.paused = False
    assert not paused.may_act


def test_a_long_sleep_is_not_caught_up() -> None:
    pace = TradingPace(100.0, START)
    pace.grant(Millis(START + 3_600_000))
    acts = 0
    while pace.may_act:
        pace.spend(1)
        acts += 1
    assert acts == 100
