"""What an account remembers of busy minutes: bytes a frame that stay in memory, and what the garbage collector does meanwhile.

`python -m benchmarks.memory [--accounts 5] [--seconds 600] [--rate 10]`. Frames of the usual mix, `rate` a second and account, go through
each account's machine, whose clocks and whose venue's times go on as fast as the frames are taken; there is no socket and no journal. The
account has no secret, so that nothing is proven: what stays is what a busy account keeps until its history is read. The first run
counts bytes (tracemalloc), the second one, in which nothing is counted, times the collector's turns.
"""

from __future__ import annotations

import argparse
import gc
import re
import time
import tracemalloc
from collections.abc import Iterator
from typing import Final

from benchmarks.feed import show
from benchmarks.frames import START_MS, build_frames
from benchmarks.stages import _open_machine
from userstream.kernel.ids import Millis
from userstream.wire.feed import SendPing, SessionCall
from userstream.wire.machine import Machine
from userstream.wire.request import HttpResponse

FRAMES_A_MS: Final = 10 / 3
"""Of the usual mix, whose venue makes one step of its life each millisecond."""

TICK_MS: Final = 1_000
SECOND_MS: Final = 1_000
TIME: Final = re.compile(rb'"T":(\d{13})')
TIMES: Final = re.compile(rb'"([TE])":(\d{13})')

Figures = dict[str, float]
Busy = list[tuple[Machine, int]]


def stretched(frame: bytes, pace: float) -> bytes:
    """The frame with its times so far apart as `pace` frames a second make them; what lies between the two times of a frame stays."""
    found = TIME.search(frame)
    assert found is not None, frame
    shift = int((int(found[1]) - START_MS) * (FRAMES_A_MS * SECOND_MS / pace - 1))
    return TIMES.sub(lambda time_told: b'"%s":%d' % (time_told[1], int(time_told[2]) + shift), frame)


def feeds(accounts: int, seconds: int, rate: float) -> Iterator[tuple[int, list[bytes]]]:
    """The moments (ms since the beginning), and one new frame for each account at each."""
    count = int(seconds * rate)
    made = [iter(build_frames(count, seed)) for seed in range(accounts)]
    for number in range(count):
        yield int(number * SECOND_MS / rate), [stretched(next(frames), rate) for frames in made]


def open_socket(machine: Machine, connection: int) -> None:
    """What a venue and a shell do until an account is live."""
    at, wall = Millis(0), Millis(START_MS)
    for wish in machine.take_wishes():
        if isinstance(wish, SessionCall):
            key = HttpResponse(status=200, body=b'{"listenKey":"%s"}' % (b"k" * 64))
            machine.session_response(connection, wish.tag, key, at, wall)
    machine.connected(connection, at, wall)
    machine.take_wishes()


def tick(machine: Machine, now: Millis, wall: Millis) -> None:
    machine.tick(now, wall)
    for wish in machine.take_wishes():
        if isinstance(wish, SendPing):
            machine.pinged(wish.connection, now, wall)


def open_accounts(count: int) -> Busy:
    busy = [_open_machine() for _ in range(count)]
    for machine, connection in busy:
        open_socket(machine, connection)
    return busy


def drive(busy: Busy, seconds: int, rate: float) -> int:
    """Takes all frames; returns how many."""
    taken, next_tick = 0, 0
    for passed, frames in feeds(len(busy), seconds, rate):
        now, wall = Millis(passed), Millis(START_MS + passed)
        for (machine, connection), frame in zip(busy, frames, strict=True):
            machine.frame(connection, frame, now, wall)
            taken += 1
        if passed >= next_tick:
            next_tick = passed + TICK_MS
            for machine, _ in busy:
                tick(machine, now, wall)
    return taken


def measure_memory(accounts: int, seconds: int, rate: float) -> Figures:
    """Bytes that stay of each frame."""
    busy = open_accounts(accounts)
    gc.collect()
    tracemalloc.start()
    frames = drive(busy, seconds, rate)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"frame_bytes": kept / frames, "account_kb": kept / accounts / 1024, "frames": frames}


def measure_pauses(accounts: int, seconds: int, rate: float) -> Figures:
    """The collector's turns: how many of each generation, and the longest (ms)."""
    busy = open_accounts(accounts)
    begun, longest, turns = 0.0, [0.0, 0.0, 0.0], [0, 0, 0]

    def note(phase: str, told: dict[str, int]) -> None:
        nonlocal begun
        if phase == "start":
            begun = time.perf_counter()
            return
        generation = told["generation"]
        turns[generation] += 1
        longest[generation] = max(longest[generation], (time.perf_counter() - begun) * 1e3)

    gc.callbacks.append(note)
    try:
        drive(busy, seconds, rate)
    finally:
        gc.callbacks.remove(note)
    figures = {f"generation_{number}_turns": float(count) for number, count in enumerate(turns)}
    return figures | {f"generation_{number}_longest_ms": longest_ms for number, longest_ms in enumerate(longest)}


if __name__ == "__main__":
    from userstream.entry.tuning import tune_interpreter

    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="Bytes that stay of each frame of a busy account.")
    parser.add_argument("--accounts", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=600, help="of the accounts' time")
    parser.add_argument("--rate", type=float, default=10, help="frames a second and account")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    tune_interpreter()
    size = (given.accounts, given.seconds, given.rate)
    show(measure_memory(*size) | measure_pauses(*size), as_json=given.json)
