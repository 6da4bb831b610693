"""Time, waiting, tasks and chance of the real world. The only place that reads a clock, starts a task or draws a random number."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine

import structlog

from userstream.kernel.ids import Millis

_NANOS_OF_A_MILLI = 1_000_000
_log = structlog.stdlib.get_logger("userstream.tasks")


class SystemClock:
    """The `Clock` of a running program. Every method that waits, calls back or starts a task needs a running event loop."""

    # `now` and `wall` are read for every message: to name the type by a call would cost half as much again.

    def __init__(self) -> None:
        # The event loop itself keeps weak references only: an unowned task could vanish half way.
        self._tasks: set[asyncio.Task[None]] = set()
        self._task_failures = 0

    def now(self) -> Millis:
        """Milliseconds since an unknown start; never jumps, never runs backwards."""
        return time.monotonic_ns() // _NANOS_OF_A_MILLI  # type: ignore[return-value]

    def wall(self) -> Millis:
        """Milliseconds since 1970 (UTC) as this machine believes; may jump."""
        return time.time_ns() // _NANOS_OF_A_MILLI  # type: ignore[return-value]

    def call_at(self, when: Millis, callback: Callable[[], None]) -> LoopTimer:
        """Calls back once, at or after `when` (of `now`); at once, but never on the caller's stack, if that has passed."""
        return LoopTimer(self.now, when, callback)

    async def sleep(self, duration_ms: int) -> None:
        """Waits at least so many milliseconds; zero or less lets the others run once."""
        await asyncio.sleep(max(duration_ms, 0) / 1000)

    def spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        """Starts a task and holds on to it until it is done. An exception that ends it is logged, and stays in the task for its owner."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._part_with)
        return task

    def chance(self) -> float:
        """A number in [0, 1) for jitter; no source of secrets."""
        return random.random()

    @property
    def task_failures(self) -> int:
        """Tasks that were started here and ended with an exception."""
        return self._task_failures

    @property
    def running(self) -> int:
        """Tasks that were started here and are not done."""
        return len(self._tasks)

    def _part_with(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._task_failures += 1
            _log.error("a task ended with an exception", action="task_failed", task=task.get_name(), exc_info=error)


class LoopTimer:
    """One call-back on the running loop. Loops may fire early by a rounding: then it is set again for the rest."""

    __slots__ = ("_callback", "_handle", "_now", "_when")

    def __init__(self, now: Callable[[], Millis], when: Millis, callback: Callable[[], None]) -> None:
        self._now = now
        self._when = when
        self._callback = callback
        self._handle: asyncio.Handle | None = self._arm(now())

    def cancel(self) -> None:
        """The call-back does not come any more. Harmless when repeated or too late."""
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self, now: Millis) -> asyncio.Handle:
        loop = asyncio.get_running_loop()
        left_ms = self._when - now
        return loop.call_later(left_ms / 1000, self._fire) if left_ms > 0 else loop.call_soon(self._fire)

    def _fire(self) -> None:
        # A timer and its handle that still knew each other would be left to the garbage collector, which hardly ever looks at old ones.
        self._handle = None
        if (now := self._now()) < self._when:
            self._handle = self._arm(now)
        else:
            self._callback()
