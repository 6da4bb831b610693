"""Our whole way, socket to callback, with state, journal and tables: how many events a second, and how long each takes.

`python -m benchmarks.pipeline RATE COUNT`: RATE 0 is flat out, with nothing measured on the way; otherwise so many frames a second, with
the waiting time of each. `--no-tables`: state and journal only, as where the tables are another process's work.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.feed import Feeder, all_of, quantiles, show
from userstream.domain.events import Event
from userstream.entry.bootstrap import AccountSettings, Application, credentials_of, start_application
from userstream.ports import Record
from userstream.runtime.live import LiveAccount

SETTLED_S = 0.02


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

    def figures(self, sent: Sequence[int], begin: int) -> dict[str, float]:
        stages = {"callback": self.called, "commit": self.committed, "taken": self.taken}
        return {name: value for stage, done in stages.items() for name, value in quantiles(stage, sent, done, begin).items()}


class Tally:
    """The cheapest callback: how many there were, and when the last one was."""

    calls = 0
    last = 0.0

    def __call__(self, event: Event) -> None:
        self.calls += 1
        self.last = time.perf_counter()


async def run(frames: int, rate: int, *, probed: bool, tables: bool = True, warm: int = 0) -> dict[str, float]:
    """One run of the whole way, after `warm` frames that do not count. Figures: events (frames) a second, and microseconds from the
    feeder's write."""
    with tempfile.TemporaryDirectory() as folder:
        async with Feeder(frames + warm) as feeder:
            application = await start_application(Path(folder) / "bench.db")
            try:
                if not tables and application.pump is not None:
                    await application.pump.stop()
                    application.pump = None
                return await _measure(application, feeder, frames, rate, warm, probed)
            finally:
                await application.stop()


async def _measure(application: Application, feeder: Feeder, frames: int, rate: int, warm: int, probed: bool) -> dict[str, float]:
    probe, tally = Probe(frames + warm), Tally()
    settings = AccountSettings(
        name="bench",
        venue="binance-usdm",
        credentials=credentials_of("bench-key", None),
        rest_url=feeder.rest_url,
        ws_url=feeder.ws_url,
    )
    account = await application.add(settings, on_record=probe.on_record if probed else None)
    account.on(handler=probe.on_event if probed else tally)
    if probed:
        application.journal.watch(probe.on_commit)
    await account.wait_ready(10)
    await asyncio.sleep(0.2)
    await feeder.warm_up(warm, lambda: account.health.messages)
    await application.journal.flush()
    figures = await _time(application, account, feeder, frames, rate, warm, tally)
    return figures | (probe.figures(feeder.times, warm) if probed else {})


async def _time(
    application: Application, account: LiveAccount, feeder: Feeder, frames: int, rate: int, warm: int, tally: Tally
) -> dict[str, float]:
    """Frames a second until the callback was called, until all was committed, until all stood in the tables."""
    begun = time.perf_counter()
    await feeder.go(rate, frames)
    await all_of(lambda: account.health.messages, warm + frames)
    received = time.perf_counter() - begun
    await asyncio.sleep(0)
    await application.journal.flush()
    committed = time.perf_counter() - begun
    figures = {"frames_per_s": 0.0, "committed_per_s": frames / committed}
    if application.pump is not None:
        await application.pump.drain()
        figures["in_tables_per_s"] = frames / (time.perf_counter() - begun)
    await _settle(tally)
    figures["frames_per_s"] = frames / max(received, tally.last - begun)
    return figures


async def _settle(tally: Tally) -> None:
    """A handler that fell behind reads on from the journal: the last callback is the one after which none comes."""
    before = -1
    while before != tally.calls:
        before = tally.calls
        await asyncio.sleep(SETTLED_S)


if __name__ == "__main__":
    from userstream.entry.tuning import tune_interpreter

    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description="Socket to callback, journal and tables.")
    parser.add_argument("rate", type=int, nargs="?", default=0, help="frames a second; 0: flat out")
    parser.add_argument("count", type=int, nargs="?", default=200_000)
    parser.add_argument("--warm", type=int, default=0, help="frames before the clock starts")
    parser.add_argument("--no-tables", action="store_true", help="state and journal only")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    tune_interpreter()
    work = run(given.count, given.rate, probed=given.rate > 0, tables=not given.no_tables, warm=given.warm)
    show(asyncio.run(work), as_json=given.json)
