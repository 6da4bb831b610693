import asyncio
import gc
import weakref

import pytest
import structlog

from userstream.adapters.clock import LoopTimer, SystemClock
from userstream.kernel.ids import Millis
from userstream.ports import Clock


def test_it_is_a_clock() -> None:
    clock: Clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert first <= second
    assert all(0 <= clock.chance() < 1 for _ in range(100))
    assert clock.wall() > 1_700_000_000_000


async def test_a_timer_never_fires_before_its_time() -> None:
    clock = SystemClock()
    fired: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    when = Millis(clock.now() + 3)
    clock.call_at(when, lambda: fired.set_result(clock.now()))
    assert await fired >= when


async def test_a_loop_that_fires_early_is_asked_again() -> None:
    readings = iter([Millis(10), Millis(10), Millis(11), Millis(12)])
    # set at 10, fired early at 10, fired again at 11: the fourth reading is left over
    fired = asyncio.Event()
    LoopTimer(lambda: next(readings), Millis(11), fired.set)
    await asyncio.wait_for(fired.wait(), 5)
    assert list(readings) == [12]


async def test_a_timer_of_the_past_fires_at_once_but_not_on_the_callers_stack() -> None:
    clock, fired = SystemClock(), asyncio.Event()
    clock.call_at(Millis(clock.now() - 5_000), fired.set)
    assert not fired.is_set()
    await asyncio.sleep(0)
    assert fired.is_set()


async def test_a_timer_that_fired_is_gone_with_its_last_holder() -> None:
    """Its garbage waits for no collector."""

    class Bell:
        def __init__(self) -> None:
            self.rang = asyncio.Event()

        def ring(self) -> None:
            self.rang.set()

    clock, bell = SystemClock(), Bell()
    timer, rang, gone = clock.call_at(Millis(clock.now() + 1), bell.ring), bell.rang, weakref.ref(bell)
    gc.disable()
    try:
        del timer, bell
        await rang.wait()
        await asyncio.sleep(0)
        assert gone() is None
    finally:
        gc.enable()


async def test_a_cancelled_timer_stays_silent() -> None:
    clock, fired = SystemClock(), asyncio.Event()
    timer = clock.call_at(clock.now(), fired.set)
    timer.cancel()
    timer.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not fired.is_set()


@pytest.mark.parametrize("duration_ms", [-1, 0, 2])
async def test_sleep_takes_no_less_than_it_says(duration_ms: int) -> None:
    clock = SystemClock()
    before = clock.now()
    await clock.sleep(duration_ms)
    # one millisecond of rounding: both readings are cut to whole milliseconds
    assert clock.now() - before >= duration_ms - 1


async def test_a_task_has_its_name_and_is_held_until_it_is_done() -> None:
    clock, go = SystemClock(), asyncio.Event()

    async def work() -> None:
        await go.wait()

    task = clock.spawn(work(), "reader of alice")
    assert (task.get_name(), clock.running) == ("reader of alice", 1)
    go.set()
    await task
    await asyncio.sleep(0)
    assert clock.running == 0


async def test_the_exception_that_ends_a_task_is_logged_and_left_to_the_owner() -> None:
    clock = SystemClock()

    async def work() -> None:
        raise LookupError("the shelf is empty")

    with structlog.testing.capture_logs() as lines:
        task = clock.spawn(work(), "shelf")
        await asyncio.wait([task])
        await asyncio.sleep(0)
    [line] = lines
    assert (line["action"], line["task"], line["log_level"]) == ("task_failed", "shelf", "error")
    assert clock.task_failures == 1
    with pytest.raises(LookupError):
        await task


async def test_a_cancelled_task_is_no_failure() -> None:
    clock = SystemClock()
    with structlog.testing.capture_logs() as lines:
        task = clock.spawn(asyncio.Event().wait(), "waiter")  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert lines == []
    assert (clock.running, clock.task_failures) == (0, 0)
