import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from userstream.kernel.ids import Millis
from userstream.ports import Clock


async def test_it_is_a_clock_that_stands_still() -> None:
    clock: Clock = ManualClock(500, wall=9_000)
    await asyncio.sleep(0.001)
    assert (clock.now(), clock.wall()) == (500, 9_000)


async def test_both_clocks_move_together_until_the_wall_is_set() -> None:
    clock = ManualClock(500, wall=9_000)
    await clock.advance(250)
    clock.jump_wall(-1_000)
    assert (clock.now(), clock.wall()) == (750, 8_250)


@given(st.lists(st.integers(0, 50), max_size=30))
def test_timers_run_in_order_of_time_then_of_creation(delays: list[int]) -> None:
    async def run() -> list[tuple[int, int]]:
        clock = ManualClock(0)
        seen: list[tuple[int, int]] = []

        def note(number: int) -> None:
            seen.append((clock.now(), number))

        for number, delay in enumerate(delays):
            clock.call_at(Millis(delay), lambda number=number: note(number))  # type: ignore[misc]
        await clock.advance(50)
        return seen

    assert asyncio.run(run()) == sorted((delay, number) for number, delay in enumerate(delays))


async def test_what_a_timer_wakes_runs_before_the_next_timer() -> None:
    clock = ManualClock(0)
    seen: list[tuple[str, int]] = []

    async def sleeper(name: str, pauses: list[int]) -> None:
        for pause in pauses:
            await clock.sleep(pause)
            for _ in range(5):
                await asyncio.sleep(0)
            seen.append((name, clock.now()))

    clock.spawn(sleeper("a", [10, 10]), "a")
    clock.spawn(sleeper("b", [15, 5]), "b")
    await clock.advance(19)
    assert seen == [("a", 10), ("b", 15)]
    await clock.advance(1)
    assert seen[2:] == [("a", 20), ("b", 20)]
    assert clock.running == []


async def test_a_timer_for_now_or_the_past_needs_no_turning() -> None:
    clock, fired = ManualClock(100), asyncio.Event()
    clock.call_at(Millis(40), fired.set)
    assert not fired.is_set()
    await clock.settle()
    assert fired.is_set()


async def test_cancelled_timers_and_sleepers_leave_nothing_due() -> None:
    clock = ManualClock(0)
    timer = clock.call_at(Millis(5), lambda: pytest.fail("was cancelled"))
    task = clock.spawn(clock.sleep(7), "sleeper")
    await clock.settle()
    timer.cancel()
    assert [clock.next_due] == [7]
    task.cancel()
    await clock.advance(10)
    assert clock.next_due is None
    assert not clock.running
    assert not clock.failures


async def test_a_failed_task_is_kept_with_its_name() -> None:
    clock = ManualClock()

    async def work() -> None:
        raise LookupError("empty")

    clock.spawn(work(), "shelf")
    await clock.settle()
    [(name, error)] = clock.failures
    assert name == "shelf"
    assert isinstance(error, LookupError)


async def test_advance_until_stops_at_the_timer_that_did_it() -> None:
    clock = ManualClock(0)
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(clock.now())
        clock.call_at(Millis(clock.now() + 20), tick)

    clock.call_at(Millis(20), tick)
    await clock.advance_until(lambda: len(ticks) == 3, limit_ms=100)
    assert clock.now() == 60
    with pytest.raises(AssertionError, match="not reached within 100 ms"):
        await clock.advance_until(lambda: len(ticks) == 30, limit_ms=100)


async def test_tasks_that_never_rest_are_reported() -> None:
    clock = ManualClock()

    async def spin() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    task = clock.spawn(spin(), "spinner")
    with pytest.raises(AssertionError, match="spinner"):
        await clock.settle()
    task.cancel()


async def test_chance_repeats_with_the_seed() -> None:
    first, again, other = ManualClock(seed=7), ManualClock(seed=7), ManualClock(seed=8)
    drawn = [first.chance() for _ in range(5)]
    assert drawn == [again.chance() for _ in range(5)]
    assert drawn != [other.chance() for _ in range(5)]
