"""What a process of ours sets for itself, and a library must not set for others: the interpreter's habits."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Final, TypeVar

Result = TypeVar("Result")

HANDOVER_S: Final = 0.001
"""The thread that writes the journal asks for the interpreter a few times in each commit. With the usual five milliseconds, a commit beside
a busy stretch of the event loop waits several times as long as that stretch lasts."""

YOUNG_OBJECTS: Final = 2_500
"""So few are looked at in well below a millisecond, while they are still in the processor's caches; of 50,000 it takes 40 ms."""

YOUNG_TURNS: Final = 3
"""Of ten times as many a look takes 10 to 20 ms, every other second where five thousand frames a second come."""

MIDDLE_TURNS: Final = 3_000
"""A look at everything stops the event loop for as long as there are objects: about once an hour, for each look at the young
ones counts."""

YOUNG_LOOK_S: Final = 1.0
"""The collector counts how many objects there are more: where as many old ones go as new ones come, tens of thousands of young ones gather
until it looks, and then it takes 20 ms."""


def run_on_best_loop(work: Coroutine[object, object, Result], *, young_look_s: float = YOUNG_LOOK_S) -> Result:
    """As `asyncio.run`, on the event loop of uvloop where that is installed (extra `speed`): with hundreds of busy accounts the slowest
    percent of events is stored in half the time. The garbage collector looks at the young objects every `young_look_s` seconds."""
    with asyncio.Runner(loop_factory=find_loop()) as runner:
        _look_at_young(runner.get_loop(), young_look_s)
        return runner.run(work)


def _look_at_young(loop: asyncio.AbstractEventLoop, pause_s: float) -> None:
    gc.collect(1)
    loop.call_later(pause_s, _look_at_young, loop, pause_s)


def find_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop of a process of ours; None for Python's own."""
    if find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


def tune_interpreter() -> None:
    """For a process that exists to follow accounts: threads wait less for the interpreter; and the garbage collector, which finds nothing
    among events, looks less often, at little at a time, hardly ever at everything, and not at what was there from the start."""
    sys.setswitchinterval(HANDOVER_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_TURNS, MIDDLE_TURNS)
