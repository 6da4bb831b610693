"""How long the disk takes for next to nothing, in a process of its own beside a benchmark: what nobody who waits for it can be faster than.

Started by `benchmarks.desk` as `python -m benchmarks.desk_disk FOLDER`; prints `{}`. Writes one page over an old one twenty times a second
and waits for the disk each time. Each line on stdin is answered with how long that took since the line before (ms).
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path
from typing import Final

PAUSE_S: Final = 0.05
PAGE: Final = bytes(4_096)
PAGES: Final = 256

wait_for_disk: Final = getattr(os, "fdatasync", os.fsync)


def figures_of(times: list[float]) -> dict[str, float]:
    ordered = sorted(times) or [0.0]
    return {"disk_p50_ms": ordered[len(ordered) // 2], "disk_p99_ms": ordered[len(ordered) * 99 // 100], "disk_max_ms": ordered[-1]}


def write_page(file: int, place: int) -> float:
    """How long it took (ms)."""
    begun = time.perf_counter()
    os.pwrite(file, PAGE, place * len(PAGE))
    wait_for_disk(file)
    return (time.perf_counter() - begun) * 1e3


def watch(path: Path) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(file, PAGE * PAGES, 0)  # what is written later makes it no longer: that would cost more
    os.fsync(file)
    print("{}", flush=True)
    times: list[float] = []
    number = 0
    while True:
        heard, _, _ = select.select([sys.stdin], [], [], PAUSE_S)
        if not heard:
            number += 1
            times.append(write_page(file, number % PAGES))
        elif not sys.stdin.readline():
            return
        else:
            print(json.dumps(figures_of(times)), flush=True)
            times.clear()


if __name__ == "__main__":
    watch(Path(sys.argv[1]) / "disk")
