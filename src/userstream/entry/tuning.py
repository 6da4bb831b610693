"""What a process of ours sets for itself, and a library must not set for others: the interpreter's habits."""

from __future__ import annotations

import gc
from typing import Final

YOUNG_OBJECTS: Final = 50_000


def tune_interpreter() -> None:
    """For a process that exists to follow accounts: the garbage collector, which finds nothing among events, looks less often and not at
    what was there from the start."""
    # Threads keep the interpreter's own interval of handing over: the store's hold it for less, and a shorter one stops the event loop in
    # the middle of its work at every step of a commit.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
