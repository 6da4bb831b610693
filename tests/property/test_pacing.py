"""Laws of trying again, of the request weight, and of the estimate of the venue's clock."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from userstream.kernel.ids import Millis
from userstream.wire.pacing import GOOD_ERROR_MS, MINUTE_EDGE_MS, MINUTE_MS, Backoff, BudgetClock, Measurement, VenueClock, WeightBudget

LIMIT = 2_400
EDGE_MS = 2_000


@given(st.integers(1, 10_000), st.integers(0, 300_000), st.integers(), st.integers(1, 10**6))
def test_a_delay_stays_within_its_bounds_and_its_frame_never_shrinks(first: int, more: int, seed: int, failures: int) -> None:
    backoff = Backoff(first_delay_ms=first, max_delay_ms=first + more, seed=seed)
    delay = backoff.delay_ms(failures)
    longest = min(first + more, first * 2 ** min(failures - 1, 40))
    assert max(1, longest // 2) <= delay <= max(1, longest)
    assert delay == backoff.delay_ms(failures)


asks = st.tuples(st.integers(0, 400), st.booleans(), st.integers(0, 20_000))
reports = st.tuples(st.just("report"), st.integers(0, LIMIT), st.just(0))


@given(st.lists(st.one_of(asks, asks, asks, reports), max_size=60), st.integers(0, MINUTE_MS))
def test_no_minute_of_the_venues_clock_is_granted_more_than_the_cap(steps: list[tuple[object, ...]], start: int) -> None:
    budget, now = WeightBudget(LIMIT), 1_760_000_000_000 + start
    granted: Counter[int] = Counter()
    plain: Counter[int] = Counter()
    for first, second, pause in steps:
        assert isinstance(pause, int)
        now += pause
        if first == "report" and isinstance(second, int):
            budget.report(second, Millis(now))
        elif isinstance(first, int) and isinstance(second, bool):
            wait_ms = budget.wait_ms(first, second, Millis(now))
            assert 0 <= wait_ms <= MINUTE_MS
            if wait_ms == 0:
                granted[now // MINUTE_MS] += first
                plain[now // MINUTE_MS] += 0 if second else first
                assert second or budget.used <= LIMIT * 0.8
    assert all(weight <= LIMIT * 0.95 for weight in granted.values())
    assert all(weight <= LIMIT * 0.8 for weight in plain.values())
    assert budget.highest >= max(granted.values(), default=0)


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(-20_000, 20_000)), max_size=60))
def test_a_clock_that_steps_back_and_forth_grants_no_minute_twice(steps: list[tuple[int, int]]) -> None:
    budget, now = WeightBudget(LIMIT), 1_760_000_000_000
    granted: Counter[int] = Counter()
    for weight, step in steps:
        now += step
        if budget.wait_ms(weight, False, Millis(now)) == 0:
            granted[now // MINUTE_MS] += weight
    assert all(total <= LIMIT * 0.8 for total in granted.values())


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 8_000), st.integers(-EDGE_MS, EDGE_MS)), max_size=100))
def test_no_minute_is_overspent_by_calls_that_arrive_in_another_than_they_were_granted_in(calls: list[tuple[int, int, int]]) -> None:
    budget, now = WeightBudget(LIMIT, edge_ms=EDGE_MS), 1_760_000_030_000
    arrived: Counter[int] = Counter()
    for weight, pause, way in calls:
        now += pause
        while wait_ms := budget.wait_ms(weight, True, Millis(now)):
            now += wait_ms
        arrived[(now + way) // MINUTE_MS] += weight
    assert all(weight <= LIMIT * 0.95 for weight in arrived.values())


@given(st.integers(0, LIMIT), st.integers(0, EDGE_MS - 1))
def test_an_answer_early_in_a_minute_may_tell_of_the_last_one(used: int, since_ms: int) -> None:
    budget = WeightBudget(LIMIT, edge_ms=EDGE_MS)
    minute = 1_760_000_040_000
    budget.report(used, Millis(minute + since_ms))
    assert budget.used == 0
    assert budget.wait_ms(1, False, Millis(minute + EDGE_MS)) == 0
    budget.report(used, Millis(minute + EDGE_MS))
    assert budget.used == max(used, 1)


@given(st.integers(0, 2_000), st.integers(0, MINUTE_MS), st.booleans())
def test_after_the_wait_the_same_ask_is_granted(weight: int, phase: int, urgent: bool) -> None:
    budget, now = WeightBudget(LIMIT), 1_760_000_040_000 + phase
    budget.report(LIMIT, Millis(now))
    wait_ms = budget.wait_ms(weight, urgent, Millis(now))
    assert wait_ms > 0
    if weight <= LIMIT * 0.8:
        assert budget.wait_ms(weight, urgent, Millis(now + wait_ms)) == 0


ways = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 2_000), st.integers(0, 100_000)), min_size=1, max_size=20)


@given(ways, st.integers(-(10**9), 10**9))
def test_the_estimate_is_off_by_half_of_the_shortest_recent_way_at_most(samples: list[tuple[int, int, int]], offset: int) -> None:
    clock, now = VenueClock(Millis(0), Millis(123_456)), 0
    for there, back, pause in samples:
        now += pause
        clock.sample(Millis(now), Millis(now + there + back), Millis(now + there + offset))
    shortest = min(there + back for there, back, _ in samples[-8:])
    assert abs(clock.at(Millis(now)) - (now + offset)) <= shortest / 2 + 1


# --- one budget, the clocks of many accounts ---

SLACK_MS = MINUTE_EDGE_MS + GOOD_ERROR_MS
"""What is used so near to a full minute may count in both of its windows."""

Clock = tuple[int, int]
"""How wrong it may be, and how wrong it is (ms)."""
Step = tuple[int, int, list[int], tuple[int, Clock] | None]
"""After a pause (ms) so much weight is asked for; who tells, in order, what it measured last; who has just measured anew."""


class CountingBudget(WeightBudget):
    """Counts how often what was used is taken over into another minute."""

    corrections = 0

    def correct(self, believed: Millis, venue_now: Millis) -> None:
        self.corrections += abs(venue_now - believed) > MINUTE_EDGE_MS
        super().correct(believed, venue_now)


class Address:
    """Accounts behind one address, each with what it measured last of the venue's clock, and what really arrived there."""

    def __init__(self, clocks: list[Clock], guess_ms: int) -> None:
        self.now, self.ahead_ms = 1_760_000_040_000, 0
        self.budget = CountingBudget(LIMIT, edge_ms=MINUTE_EDGE_MS)
        self.clock = BudgetClock(self.budget, guess_ms)
        self.measured = [self.measure(clock) for clock in clocks]
        self.used: list[tuple[int, int]] = []

    @property
    def venue_now(self) -> int:
        return self.now + self.ahead_ms

    def measure(self, clock: Clock) -> Measurement:
        """Wrong by no more than it says."""
        self.now += 1
        error_ms, off_ms = clock
        return Measurement(self.ahead_ms + max(-error_ms, min(off_ms, error_ms)), error_ms, Millis(self.now))

    def tell(self, *accounts: int) -> None:
        for account in accounts:
            self.clock.learn(self.measured[account % len(self.measured)], Millis(self.now))

    def spend(self, weight: int) -> bool:
        granted = self.budget.wait_ms(weight, True, self.clock.at(Millis(self.now)), vital=True) == 0
        if granted:
            self.used.append((self.venue_now, weight))
        return granted

    def used_around(self, minute: int) -> int:
        """What was really used in a minute of the venue's clock, or so near to it that it may have been."""
        begin, end = minute * MINUTE_MS - SLACK_MS, (minute + 1) * MINUTE_MS + SLACK_MS
        return sum(weight for arrived, weight in self.used if begin <= arrived < end)

    def live(self, steps: list[Step], since: int) -> None:
        """Asks on, and from the venue's minute `since` on holds in the middle of each that all of it is granted but what was used."""
        for pause_ms, weight, order, anew in steps:
            self.now += pause_ms
            if anew is not None:
                self.measured[anew[0] % len(self.measured)] = self.measure(anew[1])
            self.tell(*order)
            minute, phase = divmod(self.venue_now, MINUTE_MS)
            left = LIMIT - self.used_around(minute)
            if minute >= since and left > 0 and SLACK_MS <= phase < MINUTE_MS - SLACK_MS:
                assert self.spend(left), f"of a minute are left {left}, and not granted"
                since = minute + 1
            self.spend(weight)


good_clocks = st.integers(0, GOOD_ERROR_MS).flatmap(lambda error_ms: st.tuples(st.just(error_ms), st.integers(-error_ms, error_ms)))
accounts = st.integers(0, 4)
lives = st.lists(
    st.tuples(st.integers(1, 10_000), st.integers(0, 400), st.lists(accounts, max_size=4), st.none() | st.tuples(accounts, good_clocks)),
    min_size=15,
    max_size=50,
)


@given(st.lists(good_clocks, min_size=1, max_size=5), st.integers(-10 * MINUTE_MS, 10 * MINUTE_MS), st.integers(0, LIMIT), lives)
def test_whoever_tells_its_good_clock_of_each_minute_all_is_granted_but_what_was_used(
    clocks: list[Clock], guess_ms: int, used: int, steps: list[Step]
) -> None:
    address = Address(clocks, guess_ms)
    address.spend(used)
    address.tell(0)
    corrections = address.budget.corrections
    address.live(steps, since=address.venue_now // MINUTE_MS + 2)
    assert address.budget.corrections == corrections <= 1
    arrived: Counter[int] = Counter()
    for at, weight in address.used[1:]:
        arrived[at // MINUTE_MS] += weight
    assert all(weight <= LIMIT for weight in arrived.values())


@given(st.lists(good_clocks, min_size=1, max_size=5), lives, st.integers(-10 * MINUTE_MS, 10 * MINUTE_MS), good_clocks, lives)
def test_a_jump_of_the_venues_clock_costs_a_minute_and_no_more_however_long_others_do_not_ask_again(
    clocks: list[Clock], steps: list[Step], jump_ms: int, anew: Clock, later_steps: list[Step]
) -> None:
    address = Address(clocks, 0)
    address.tell(0)
    address.live(steps, since=address.venue_now // MINUTE_MS)
    address.ahead_ms += jump_ms
    address.used.clear()
    address.spend(LIMIT // 2)
    address.measured[0] = address.measure(anew)
    corrections = address.budget.corrections
    address.tell(0)
    address.live(later_steps, since=address.venue_now // MINUTE_MS + 2)
    assert address.budget.corrections - corrections <= 1
