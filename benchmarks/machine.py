"""How fast this interpreter runs on this machine right now: a loop of its own, beside which the other figures can be read.

`python -m benchmarks.machine`. An interpreter built without profile-guided optimization runs it at about half the speed of one built with
it, and a virtual machine with busy neighbours may halve it again from one minute to the next.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.feed import show

ROUNDS = 5
ADDITIONS = 1_000_000


def measure() -> dict[str, float]:
    """Additions a second in a plain loop: the best and the worst of some rounds."""
    speeds = [ADDITIONS / _seconds() for _ in range(ROUNDS)]
    return {"best_per_s": max(speeds), "worst_per_s": min(speeds)}


def _seconds() -> float:
    begun, total = time.perf_counter(), 0
    for number in range(ADDITIONS):
        total += number
    return time.perf_counter() - begun


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machine", description="The speed of a plain loop.")
    parser.add_argument("--json", action="store_true")
    show(measure(), as_json=parser.parse_args().json)
