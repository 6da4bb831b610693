"""Our whole way, socket to callback, with state, journal and tables: how many events a second, and how long each takes."""

from __future__ import annotations

import asyncio
import json
import mmap
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from userstream.domain.events import Event
from userstream.entry.bootstrap import AccountSettings, Application, credentials_of, start_application
from userstream.ports import Record
from userstream.runtime.live import LiveAccount

HERE = Path(__file__).parent


class Feeder:
    """The feeder's process, from here."""

    def __init__(self, frames: int, seed: int = 0) -> None:
        self._frames, self._seed = frames, seed

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "feeder.py"),
            str(self._frames),
            str(self._seed),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        places = await self._read()
        self.rest_url, self.ws_url = str(places["rest_url"]), str(places["ws_url"])
        self._path = Path(str(places["times"]))
        self._file = self._path.open("r+b")
        self.times = memoryview(mmap.mmap(self._file.fileno(), 0)).cast("q")
        return self

    async def go(self, rate: int, count: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"go {rate} {count}\n".encode())
        await self._process.stdin.drain()

    async def sent(self) -> None:
        await self._read()

    async def _read(self) -> dict[str, object]:
        assert self._process.stdout is not None
        answer: dict[str, object] = json.loads(await self._process.stdout.readline())
        return answer

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        await self._process.wait()
        self._path.unlink(missing_ok=True)


class Probe:
    """Notes when each frame was taken, called back and committed."""

    def __init__(self, frames: int) -> None:
        self.taken = [0] * frames
        self.called = [0] * frames
        self.committed = [0] * frames
        self.frames = self.commits = self.callbacks = 0
        self._place: dict[int, int] = {}

    def on_record(self, record: Record) -> None:
        if not record.frame or not record.connection or self.frames == len(self.taken):
            return
        self.taken[self.frames] = time.monotonic_ns()
        self._place[record.sequence] = self.frames
        self.frames += 1

    def on_event(self, event: Event) -> None:
        self.callbacks += 1
        place = self._place.get(event.sequence)
        if place is not None:
            self.called[place] = time.monotonic_ns()

    def on_commit(self, records: Sequence[Record]) -> None:
        now = time.monotonic_ns()
        for record in records:
            place = self._place.get(record.sequence)
            if place is not None:
                self.committed[place] = now
                self.commits += 1


async def run(frames: int, rate: int, *, probed: bool) -> dict[str, float]:
    """One run of the whole way. Figures: events (frames) a second, and microseconds from the feeder's write."""
    with tempfile.TemporaryDirectory() as folder:
        async with Feeder(frames) as feeder:
            application = await start_application(Path(folder) / "bench.db")
            try:
                return await _measure(application, feeder, frames, rate, probed)
            finally:
                await application.stop()


async def _measure(application: Application, feeder: Feeder, frames: int, rate: int, probed: bool) -> dict[str, float]:
    probe = Probe(frames)
    calls = 0

    def count(event: Event) -> None:
        nonlocal calls
        calls += 1

    account = await application.add(
        AccountSettings(
            name="bench",
            venue="binance-usdm",
            credentials=credentials_of("bench-key", None),
            rest_url=feeder.rest_url,
            ws_url=feeder.ws_url,
        ),
        on_record=probe.on_record if probed else None,
    )
    account.on(handler=probe.on_event if probed else count)
    if probed:
        application.journal.watch(probe.on_commit)
    await account.wait_ready(10)
    await asyncio.sleep(0.2)
    figures = await _time(application, account, feeder, frames, rate)
    return figures | (_latencies(probe, feeder.times, frames) if probed else {})


async def _time(application: Application, account: LiveAccount, feeder: Feeder, frames: int, rate: int) -> dict[str, float]:
    """Frames a second until the callback was called, until all was committed, until all stood in the tables."""
    begun = time.perf_counter()
    await feeder.go(rate, frames)
    while account.health.messages < frames:  # noqa: ASYNC110 - to be woken for each frame would be part of what is measured
        await asyncio.sleep(0.005)
    received = time.perf_counter() - begun
    await asyncio.sleep(0)
    called = time.perf_counter() - begun
    await application.journal.flush()
    committed = time.perf_counter() - begun
    if application.pump is not None:
        await application.pump.drain()
    tables = time.perf_counter() - begun
    return {
        "frames_per_s": frames / max(received, called),
        "committed_per_s": frames / committed,
        "in_tables_per_s": frames / tables,
    }


def _latencies(probe: Probe, sent: memoryview, frames: int) -> dict[str, float]:
    stages = {"callback": probe.called, "commit": probe.committed, "taken": probe.taken}
    figures: dict[str, float] = {}
    for name, times in stages.items():
        waits = sorted(done - sent[place] for place, done in enumerate(times[:frames]) if done)
        figures[f"{name}_p50_us"] = waits[len(waits) // 2] / 1000
        figures[f"{name}_p99_us"] = waits[len(waits) * 99 // 100] / 1000
        figures[f"{name}_max_us"] = waits[-1] / 1000
        figures[f"{name}_count"] = float(len(waits))
    return figures


if __name__ == "__main__":
    from userstream.entry.tuning import tune_interpreter

    tune_interpreter()
    rate = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    for name, value in asyncio.run(run(count, rate, probed=rate > 0)).items():
        print(f"{name:20} {value:12,.1f}")
