from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.kernel.ids import Millis
from userstream.wire.pacing import (
    GOOD_ERROR_MS,
    MINUTE_EDGE_MS,
    MINUTE_MS,
    RISK_RESERVE,
    WINDOWS_KEPT,
    Backoff,
    BudgetClock,
    Measurement,
    VenueClock,
    WeightBudget,
    jitter,
    life_ms,
)

NOON = Millis(1_760_000_040_000)
"""The beginning of a minute."""


def at(milliseconds: int) -> Millis:
    return Millis(NOON + milliseconds)


# --- the life of a socket ---


@pytest.mark.parametrize(("most_ms", "jitter_ms"), [(23 * 3_600_000, 1_800_000), (46_000, 1_000), (10, 1)])
def test_sockets_are_replaced_at_different_times_behind_their_age(most_ms: int, jitter_ms: int) -> None:
    lives = {life_ms(most_ms, seed, number) for seed in range(20) for number in range(5)}
    assert all(most_ms <= life < most_ms + jitter_ms for life in lives)
    assert len(lives) > 50 or jitter_ms == 1


# --- back-off ---


def test_no_failure_waits_not_at_all() -> None:
    assert Backoff().delay_ms(0) == 0
    assert Backoff().delay_ms(-1) == 0


@pytest.mark.parametrize(("failures", "longest"), [(1, 1_000), (2, 2_000), (3, 4_000), (6, 32_000), (7, 60_000), (1_000_000, 60_000)])
def test_waiting_doubles_up_to_the_cap_with_jitter_in_the_upper_half(failures: int, longest: int) -> None:
    delays = {Backoff(seed=seed).delay_ms(failures) for seed in range(50)}
    assert all(longest // 2 <= delay < longest for delay in delays)
    assert len(delays) > 25


def test_even_the_shortest_setting_waits() -> None:
    assert Backoff(first_delay_ms=0, max_delay_ms=0).delay_ms(3) == 1


def test_chance_comes_from_the_seed_alone() -> None:
    assert [jitter(3, number) for number in range(4)] == [jitter(3, number) for number in range(4)]
    assert jitter(3, 1) != jitter(4, 1)


# --- weight ---


def test_asks_are_granted_up_to_the_share_and_then_wait_for_the_next_minute() -> None:
    budget = WeightBudget(100)
    assert budget.limit == 100
    assert [budget.wait_ms(40, False, at(1_000)) for _ in range(3)] == [0, 0, 59_000]
    assert budget.used == 80
    assert budget.wait_ms(40, False, at(MINUTE_MS)) == 0
    assert (budget.used, budget.highest) == (40, 80)


def test_urgent_asks_may_use_the_reserve() -> None:
    budget = WeightBudget(100)
    budget.wait_ms(80, False, at(0))
    assert budget.wait_ms(1, False, at(0)) > 0
    assert budget.wait_ms(15, True, at(0)) == 0
    assert budget.wait_ms(1, True, at(0)) > 0


def test_the_reserve_is_for_risk_actions_alone() -> None:
    budget = WeightBudget(100, reserve=0.3)
    assert budget.reserve == 0.3
    assert budget.wait_ms(70, True, at(0)) == 0
    assert budget.wait_ms(1, False, at(0)) > 0 and budget.wait_ms(1, True, at(0)) > 0
    assert budget.wait_ms(30, True, at(0), vital=True) == 0
    assert budget.wait_ms(1, True, at(0), vital=True) > 0


def test_a_large_reserve_narrows_what_nobody_waits_for_too_and_a_larger_one_counts_from_now_on() -> None:
    budget = WeightBudget(100)
    budget.keep(0.01)
    assert budget.reserve == RISK_RESERVE
    budget.keep(0.5)
    assert budget.wait_ms(50, False, at(0)) == 0
    assert budget.wait_ms(1, True, at(0)) > 0


def test_even_a_small_budget_keeps_one_call_for_risk() -> None:
    budget = WeightBudget(5)
    assert budget.wait_ms(4, True, at(0)) == 0
    assert budget.wait_ms(1, True, at(0)) > 0
    assert budget.wait_ms(1, True, at(0), vital=True) == 0


def test_a_call_heavier_than_the_share_goes_alone() -> None:
    budget = WeightBudget(40)
    assert budget.wait_ms(60, False, at(0)) == 0
    assert budget.wait_ms(1, True, at(0)) > 0


def test_what_the_venue_counted_counts() -> None:
    budget = WeightBudget(100)
    budget.report(75, at(0))
    assert budget.wait_ms(10, False, at(0)) > 0
    budget.report(5, at(0))
    assert (budget.used, budget.highest) == (75, 75)


def test_a_lower_limit_counts_from_now_on_and_a_higher_one_does_not() -> None:
    budget = WeightBudget(100)
    budget.lower(50)
    budget.lower(70)
    assert budget.limit == 50
    assert budget.wait_ms(40, False, at(0)) == 0
    assert budget.wait_ms(5, False, at(0)) > 0


def test_a_clock_that_steps_back_over_the_minute_and_forward_again_grants_nothing_twice() -> None:
    budget = WeightBudget(100)
    assert budget.wait_ms(80, False, at(-1)) == 0
    assert budget.wait_ms(80, False, at(0)) == 0
    assert budget.wait_ms(1, False, at(-1)) == 1
    assert budget.wait_ms(1, False, at(0)) == MINUTE_MS


def test_what_the_venue_counted_while_its_clock_was_taken_for_a_later_one_does_not_fill_the_minutes_to_come() -> None:
    budget = WeightBudget(100, edge_ms=100)
    budget.report(75, at(MINUTE_MS + 10_000))
    budget.correct(at(MINUTE_MS + 10_000), at(40_000))
    assert (budget.used, budget.wait_ms(10, False, at(40_000))) == (75, 20_100)
    assert budget.wait_ms(80, False, at(MINUTE_MS + 100)) == 0


def test_what_the_venue_counted_while_its_clock_was_taken_for_an_earlier_one_is_used_of_the_minute_that_runs() -> None:
    budget = WeightBudget(100, edge_ms=100)
    budget.report(75, at(-5_000))
    budget.correct(at(-5_000), at(40_000))
    assert (budget.used, budget.wait_ms(10, False, at(40_000))) == (75, 20_100)


def test_a_clock_that_is_known_a_little_better_fills_no_new_minute() -> None:
    budget = WeightBudget(100, edge_ms=100)
    assert budget.wait_ms(80, False, at(-101)) == 0
    budget.correct(at(-101), at(-1))
    assert budget.wait_ms(1, False, at(-1)) == 101
    assert budget.wait_ms(80, False, at(100)) == 0


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(-10 * MINUTE_MS, 10 * MINUTE_MS)), max_size=20))
def test_however_often_the_clock_is_corrected_in_one_moment_no_more_is_granted_in_it(steps: list[tuple[int, int]]) -> None:
    budget, now, granted = WeightBudget(100, edge_ms=100), NOON, 0
    for weight, correction_ms in steps:
        granted += weight if budget.wait_ms(weight, False, now) == 0 else 0
        if abs(correction_ms) > 100:
            budget.correct(now, Millis(now + correction_ms))
            now = Millis(now + correction_ms)
    assert granted <= 80


def test_old_minutes_are_forgotten() -> None:
    budget = WeightBudget(100)
    for minute in range(2 * WINDOWS_KEPT):
        assert budget.wait_ms(80, False, at(minute * MINUTE_MS)) == 0
    assert budget.wait_ms(1, False, at((2 * WINDOWS_KEPT - 1) * MINUTE_MS)) == MINUTE_MS
    assert budget.wait_ms(1, False, at(0)) == 0


# --- the venue's clock ---


def test_before_the_first_sample_our_own_clock_must_do() -> None:
    clock = VenueClock(Millis(1_000), Millis(5_000_000))
    assert clock.at(Millis(1_500)) == 5_000_500
    assert not clock.is_measured


def test_the_sample_with_the_shortest_way_counts() -> None:
    clock = VenueClock(Millis(0), Millis(0))
    clock.sample(Millis(0), Millis(100), Millis(7_050))
    assert clock.at(Millis(0)) == 7_000
    clock.sample(Millis(200), Millis(1_200), Millis(9_999))
    assert clock.at(Millis(0)) == 7_000
    clock.sample(Millis(2_000), Millis(2_010), Millis(9_011))
    assert clock.at(Millis(0)) == 7_006


@given(st.integers(0, 4_000), st.integers(0, 4_000), st.integers(-100_000, 100_000))
def test_the_estimate_is_ahead_of_the_truth_by_no_more_than_it_says(outward_ms: int, back_ms: int, ahead_ms: int) -> None:
    clock, asked = VenueClock(Millis(0), Millis(0)), Millis(5_000)
    assert clock.error_ms == 0
    clock.sample(asked, Millis(asked + outward_ms + back_ms), Millis(asked + outward_ms + ahead_ms))
    assert clock.at(asked) - clock.error_ms <= asked + ahead_ms <= clock.at(asked) + clock.error_ms
    assert clock.error_ms <= (outward_ms + back_ms + 1) // 2


def test_of_equally_short_ways_the_newest_counts() -> None:
    clock = VenueClock(Millis(0), Millis(0))
    for number in range(3):
        clock.sample(Millis(number * 1_000), Millis(number * 1_000 + 10), Millis(number * 1_000 + 5 + number * 3))
    assert clock.at(Millis(0)) == 6


def test_old_samples_give_way() -> None:
    clock = VenueClock(Millis(0), Millis(0))
    clock.sample(Millis(0), Millis(0), Millis(100))
    for number in range(8):
        clock.sample(Millis(number), Millis(number + 20), Millis(number + 510))
    assert clock.at(Millis(0)) == 500


def test_a_doubted_clock_is_no_longer_measured_but_still_the_best_guess() -> None:
    clock = VenueClock(Millis(0), Millis(0))
    clock.sample(Millis(0), Millis(10), Millis(905))
    clock.doubt()
    assert (clock.is_measured, clock.at(Millis(0))) == (False, 900)
    clock.sample(Millis(0), Millis(1_000), Millis(2_500))
    assert (clock.is_measured, clock.at(Millis(0))) == (True, 2_000)
    doubted = clock.measurement
    clock.doubt()
    assert (doubted, clock.measurement) == (Measurement(ahead_ms=2_000, error_ms=500, measured_at=Millis(1_000)), None)


def test_a_measurement_is_as_old_as_the_sample_that_counts() -> None:
    clock = VenueClock(Millis(0), Millis(0))
    assert clock.measurement is None
    clock.sample(Millis(100), Millis(121), Millis(7_010))
    clock.sample(Millis(1_000), Millis(3_000), Millis(8_000))
    assert clock.measurement == Measurement(ahead_ms=6_900, error_ms=11, measured_at=Millis(121))


# --- the venue's clock that the budget counts by ---


def believed(*told: Measurement | None) -> int:
    """How far ahead the budget's clock is after all that; 0 is the guess."""
    clock = BudgetClock(WeightBudget(100, edge_ms=MINUTE_EDGE_MS), 0)
    for number, measurement in enumerate(told):
        clock.learn(measurement, Millis(1_000_000 + number))
    return clock.at(NOON) - NOON


def measured(ahead_ms: int, error_ms: int, measured_at: int) -> Measurement:
    return Measurement(ahead_ms, error_ms, Millis(measured_at))


def test_what_is_not_measured_moves_nothing() -> None:
    assert believed(None) == 0
    assert believed(measured(70, 10, 5), None) == 70


def test_anything_measured_is_better_than_a_guess_and_a_poor_one_gives_way_to_a_less_poor_one_alone() -> None:
    poor = measured(9_000, 5_000, 5)
    assert believed(poor) == 9_000
    assert believed(poor, measured(3_000, 5_000, 6)) == 9_000
    assert believed(poor, measured(3_000, 4_999, 6)) == 3_000
    assert believed(poor, measured(3_000, GOOD_ERROR_MS, 6)) == 3_000


@pytest.mark.parametrize(("error_ms", "ahead_ms"), [(GOOD_ERROR_MS, 3_000), (GOOD_ERROR_MS + 1, 70)])
def test_a_good_clock_gives_way_to_a_newer_good_one_alone(error_ms: int, ahead_ms: int) -> None:
    assert believed(measured(70, 10, 5), measured(3_000, error_ms, 6)) == ahead_ms


def test_what_was_measured_before_is_not_news_and_of_one_instant_the_best_counts() -> None:
    good = measured(70, 10, 5)
    assert believed(good, measured(3_000, 1, 4)) == 70
    assert believed(good, measured(3_000, 11, 5)) == believed(good, measured(3_000, 10, 5)) == 70
    assert believed(good, measured(3_000, 9, 5)) == 3_000


@given(st.lists(st.builds(measured, st.integers(-(10**6), 10**6), st.integers(0, 5_000), st.integers(0, 20)), min_size=1, max_size=12))
def test_told_again_in_whatever_order_measurements_change_nothing(told: list[Measurement]) -> None:
    last = believed(*sorted(told, key=lambda one: one.measured_at))
    assert believed(*sorted(told, key=lambda one: one.measured_at), *told, *reversed(told)) == last


def test_accounts_whose_clocks_lie_apart_do_not_carry_what_was_used_into_the_next_minutes() -> None:
    budget = WeightBudget(2_400, edge_ms=MINUTE_EDGE_MS)
    clock, well, badly = BudgetClock(budget, 0), measured(0, 20, 5), measured(3_000, 3_000, 6)
    granted = [0] * 10
    for now in range(NOON, NOON + 10 * MINUTE_MS, 500):
        for told in (well, badly):
            clock.learn(told, Millis(now))
            granted[(now - NOON) // MINUTE_MS] += 7 if budget.wait_ms(7, True, clock.at(Millis(now))) == 0 else 0
    assert granted == [1_680] * 10, "all that was asked for"


def test_a_jump_of_the_venues_clock_is_taken_over_once_though_others_have_not_asked_again() -> None:
    budget = WeightBudget(2_400, edge_ms=MINUTE_EDGE_MS)
    clock, before, after = BudgetClock(budget, 0), measured(0, 20, 5), measured(90_000, 20, 6)
    clock.learn(before, NOON)
    assert budget.wait_ms(2_000, True, clock.at(at(10_000))) == 0
    clock.learn(after, at(10_000))
    assert (budget.used, budget.wait_ms(400, True, clock.at(at(10_000)))) == (2_000, 22_000), "used of the minute that runs now"
    for since_ms in range(10_000, 40_000, 1_000):
        clock.learn(before, at(since_ms))
        clock.learn(after, at(since_ms))
    assert budget.wait_ms(2_200, True, clock.at(at(40_000))) == 0
