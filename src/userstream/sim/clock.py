"""The paper exchange's time. The only file of the simulator that reads a clock, sleeps or starts a task."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Protocol

from userstream.sim.books import Millis


class ExchangeClock(Protocol):
    """The exchange's own time, in milliseconds since 1970. It never runs backwards."""

    def now(self) -> Millis: ...


class SystemClock:
    """The machine's time at the first look, from then on the machine's steady clock: a corrected machine clock cannot turn books back."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now(self) -> Millis:
        return Millis((time.monotonic_ns() + self._offset_ns) // 1_000_000)


async def pause(seconds: float) -> None:
    """Wait in real time; 0 lets the other tasks run once."""
    await asyncio.sleep(seconds)


def spawn(work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
    """Start a task. The caller owns it and ends it."""
    return asyncio.create_task(work, name=name)
