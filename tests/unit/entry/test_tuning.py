"""What a process of ours sets for itself, tried in a process of its own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from userstream.entry.tuning import tune_interpreter
tune_interpreter()
print(*gc.get_threshold(), gc.get_freeze_count() > 0, gc.isenabled())
"""
LIBRARY_HABIT = 700


def test_little_is_looked_at_at_a_time_old_objects_are_left_alone_and_the_collector_still_works() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30)
    young, turns, middle, frozen, enabled = done.stdout.split()
    assert LIBRARY_HABIT < int(young) <= 5_000, "a look at the young ones stops the event loop"
    assert int(young) * int(turns) <= 50_000, "so does one at those that were young before"
    assert int(turns) * int(middle) >= 5_000, "a look at everything is rare"
    assert (frozen, enabled) == ("True", "True")
