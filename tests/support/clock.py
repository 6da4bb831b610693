"""A clock that only moves when a test turns it. Timers, sleepers and tasks then run in one fixed order."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable, Coroutine, Sized
from typing import Final

from userstream.kernel.ids import Millis

DEFAULT_START: Final = Millis(1_000_000)
DEFAULT_WALL: Final = Millis(1_760_000_000_000)
_MOST_TURNS: Final = 10_000


class ManualTimer:
    """One call-back of a `ManualClock`."""

    def __init__(self, when: Millis, number: int, callback: Callable[[], None]) -> None:
        self.when = when
        self.cancelled = False
        self._number = number
        self._callback = callback

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        self._callback()

    def __lt__(self, other: ManualTimer) -> bool:
        return (self.when, self._number) < (other.when, other._number)


class ManualClock:
    """The `Clock` of tests: starts at `start` (of `now`) and `wall`, both in milliseconds, and stands still in between.

    Of two timers for the same millisecond the earlier created runs first. Chance comes from `seed`.
    """

    def __init__(self, start: int = DEFAULT_START, wall: int = DEFAULT_WALL, seed: int = 1) -> None:
        self._now = Millis(start)
        self._wall_ahead = wall - start
        self._chance = random.Random(seed)
        self._timers: list[ManualTimer] = []
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: list[tuple[str, BaseException]] = []

    def now(self) -> Millis:
        return self._now

    def wall(self) -> Millis:
        return Millis(self._now + self._wall_ahead)

    def chance(self) -> float:
        return self._chance.random()

    def call_at(self, when: Millis, callback: Callable[[], None]) -> ManualTimer:
        timer = ManualTimer(when, next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        if when <= self._now:
            asyncio.get_running_loop().call_soon(self._run_due)
        return timer

    async def sleep(self, duration_ms: int) -> None:
        if duration_ms <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        timer = self.call_at(Millis(self._now + duration_ms), lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    def spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        """Starts a task on the real loop; what ends it unexpectedly is kept in `failures` with the task's name."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._part_with)
        return task

    @property
    def task_failures(self) -> int:
        return len(self.failures)

    @property
    def running(self) -> list[str]:
        """Names of the tasks that were started here and are not done."""
        return sorted(task.get_name() for task in self._tasks)

    @property
    def next_due(self) -> Millis | None:
        """When the next timer or sleeper wants to run."""
        while self._timers and self._timers[0].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0].when if self._timers else None

    async def advance(self, duration_ms: int) -> None:
        """Moves on from timer to timer; all that a timer wakes has run before the next one is due."""
        target = Millis(self._now + duration_ms)
        await self.settle()
        while (due := self.next_due) is not None and due <= target:
            self._now = max(self._now, due)
            heapq.heappop(self._timers).fire()
            await self.settle()
        self._now = target

    async def advance_until(self, reached: Callable[[], bool], *, limit_ms: int) -> None:
        """Moves on from timer to timer until `reached()`; fails when that takes more than `limit_ms`."""
        target = self._now + limit_ms
        await self.settle()
        while not reached():
            due = self.next_due
            if due is None or due > target:
                raise AssertionError(f"not reached within {limit_ms} ms; tasks: {self.running}; failures: {self.failures}")
            await self.advance(max(due - self._now, 0))

    async def settle(self) -> None:
        """Lets every task run until all wait for something."""
        loop = asyncio.get_running_loop()
        # The ready queue of asyncio's own loop says when nothing is left to run; of others a good number of turns is all we have.
        ready: Sized | None = getattr(loop, "_ready", None)
        for turn in range(_MOST_TURNS):
            await asyncio.sleep(0)
            if len(ready) == 0 if ready is not None else turn >= 100:
                return
        raise AssertionError(f"the tasks never come to rest: {self.running}")

    def jump_wall(self, delta_ms: int) -> None:
        """Sets the wall clock forward or back, as a time server does; `now` stays."""
        self._wall_ahead += delta_ms

    def _run_due(self) -> None:
        while (due := self.next_due) is not None and due <= self._now:
            heapq.heappop(self._timers).fire()

    def _part_with(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append((task.get_name(), error))
