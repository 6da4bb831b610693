"""The feeder's process, from here; and how fast it is alone, so that nobody mistakes its limit for a client's.

`python -m benchmarks.feed COUNT` measures it with a reader that only counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mmap
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from picows import WSFrame, WSListener, WSTransport, ws_connect

ROOT = Path(__file__).parent.parent
LOOK_S = 0.005
QUIET_S = 30.0
WARM = 2_000


class Feeder:
    """A feeder with so many frames. Owned by its `async with`."""

    def __init__(self, frames: int, seed: int = 0) -> None:
        self._frames, self._seed = frames, seed

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "benchmarks.feeder", str(self._frames), str(self._seed)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        places = await self._read()
        self.rest_url, self.ws_url = str(places["rest_url"]), str(places["ws_url"])
        self._path = Path(str(places["times"]))
        self._file = self._path.open("r+b")
        self.times = memoryview(mmap.mmap(self._file.fileno(), 0)).cast("q")
        return self

    async def go(self, rate: int, count: int) -> None:
        """Sends the next `count` frames, `rate` a second (0: as fast as they are taken)."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"go {rate} {count}\n".encode())
        await self._process.stdin.drain()

    async def sent(self) -> None:
        """Waits until what the last `go` asked for is written."""
        await self._read()

    async def warm_up(self, count: int, handled: Callable[[], int]) -> None:
        """Sends `count` frames at an easy rate and waits until they are handled: caches, branches and buffers are as in a long run."""
        if count:
            await self.go(WARM, count)
            await self.sent()
            await all_of(handled, count)

    async def _read(self) -> dict[str, object]:
        assert self._process.stdout is not None
        answer: dict[str, object] = json.loads(await self._process.stdout.readline())
        return answer

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        await self._process.wait()
        self._file.close()
        self._path.unlink(missing_ok=True)


async def reached(handled: Callable[[], int], target: int) -> bool:
    """Waits until so many frames are handled; False when nothing more came for a long time."""
    last, since = handled(), time.monotonic()
    while (now := handled()) < target:
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > QUIET_S:
            return False
        await asyncio.sleep(LOOK_S)
    return True


async def all_of(handled: Callable[[], int], target: int) -> None:
    """As `reached`; ends the program when frames are missing, because no figure would mean anything."""
    if not await reached(handled, target):
        raise SystemExit(f"{target - handled():,} of {target:,} frames never came")


def quantiles(name: str, sent: Sequence[int], done: Sequence[int], begin: int) -> dict[str, float]:
    """Microseconds from the feeder's write to `done` (ns, 0: never), for the frames from `begin` on."""
    waits = sorted(done[place] - sent[place] for place in range(begin, len(done)) if done[place])
    if not waits:
        return {f"{name}_count": 0.0}
    return {
        f"{name}_p50_us": waits[len(waits) // 2] / 1000,
        f"{name}_p99_us": waits[len(waits) * 99 // 100] / 1000,
        f"{name}_max_us": waits[-1] / 1000,
        f"{name}_count": float(len(waits)),
    }


class _Counter(WSListener):
    """Reads frames and does nothing with them."""

    frames = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.frames += 1


async def run(frames: int, warm: int) -> dict[str, float]:
    """Frames a second that the feeder can write and the simplest reader can take."""
    async with Feeder(frames + warm) as feeder:
        counter = _Counter()
        transport, _ = await ws_connect(lambda: counter, f"{feeder.ws_url}/private/ws")
        await feeder.warm_up(warm, lambda: counter.frames)
        begun = time.perf_counter()
        await feeder.go(0, frames)
        await all_of(lambda: counter.frames, frames + warm)
        figures = {"frames_per_s": frames / (time.perf_counter() - begun)}
        transport.disconnect()
        return figures


def show(figures: dict[str, float], *, as_json: bool) -> None:
    """One line a figure, or all of them as one line of JSON."""
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:34} {value:12,.{1 if value >= 10 else 3}f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feed", description="How fast the feeder alone is.")
    parser.add_argument("count", type=int, nargs="?", default=200_000)
    parser.add_argument("--warm", type=int, default=2_000, help="frames before the clock starts")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    show(asyncio.run(run(given.count, given.warm)), as_json=given.json)
