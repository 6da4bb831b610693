"""What a process of ours sets for itself, tried in a process of its own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from userstream.entry.tuning import tune_interpreter
tune_interpreter()
print(gc.get_threshold()[0] > 10_000, gc.get_freeze_count() > 0, gc.isenabled())
"""


def test_old_objects_are_left_alone_and_the_collector_still_works() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == ["True"] * 3
