"""Each stage alone, in one process: microseconds a frame from bytes to callback, without a socket.

`python -m benchmarks.stages COUNT`. A frame is one message of the venue; the figure "events" says how many typed events it makes.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.feed import show
from benchmarks.frames import build_frames
from userstream.adapters.clock import SystemClock
from userstream.adapters.sqlite import SqliteStore
from userstream.domain.account import Account
from userstream.domain.events import Event
from userstream.domain.fold import apply
from userstream.entry.bootstrap import AccountSettings, credentials_of, place_of, policy_of
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Record
from userstream.runtime.keeper import Keeper
from userstream.runtime.listeners import Listeners
from userstream.venues import find_venue
from userstream.wire.machine import Machine

COUNT = 60_000
WARM = 2_000
READ_BATCH = 2_000
ACCOUNT = AccountId("bench")
AT = Millis(1)

Figures = dict[str, float]


def measure(count: int) -> Figures:
    """Microseconds a frame for each stage; a run with few frames goes before it and does not count."""
    _measure(min(count, WARM))
    return _measure(count)


def _measure(count: int) -> Figures:
    frames, figures = build_frames(count), Figures()
    decoded = _decode(frames, figures)
    _fold(decoded, figures)
    _step(frames, figures)
    figures["events"] = sum(map(len, decoded)) / count
    asyncio.run(_shell(frames, figures))
    return figures


def _each(begun: float, count: int) -> float:
    return (time.perf_counter() - begun) / count * 1e6


def _decode(frames: list[bytes], figures: Figures) -> list[tuple[Event, ...]]:
    decode = find_venue("binance-usdm").make_decoder(ACCOUNT).decode
    begun = time.perf_counter()
    decoded = [tuple(decode(frame, AT)) for frame in frames]
    figures["decode"] = _each(begun, len(frames))
    return decoded


def _fold(decoded: list[tuple[Event, ...]], figures: Figures) -> None:
    account = Account(ACCOUNT, find_venue("binance-usdm").name)
    begun = time.perf_counter()
    for events in decoded:
        for event in events:
            apply(account, event, 1)
    figures["fold"] = _each(begun, len(decoded))


def _step(frames: list[bytes], figures: Figures) -> None:
    machine, connection = _open_machine()
    begun = time.perf_counter()
    for frame in frames:
        machine.frame(connection, frame, AT, AT)
    figures["machine"] = _each(begun, len(frames))


def _open_machine() -> tuple[Machine, int]:
    spec = find_venue("binance-usdm")
    settings = AccountSettings(name="bench", venue=spec.name, credentials=credentials_of("key", None))
    place = place_of(settings, spec)
    machine = Machine(spec, place, policy_of(settings, 0), now=Millis(0), wall=Millis(0))
    machine.start(Millis(0), Millis(0))
    return machine, next(iter(machine.feed.lines))


async def _shell(frames: list[bytes], figures: Figures) -> None:
    records = _records(frames)
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder) / "bench.db", SystemClock())
        try:
            await _call_back(records, store, figures)
            await _journal(records, store, figures)
            await _tables(store, len(records), figures)
        finally:
            await store.close()


def _records(frames: list[bytes]) -> list[Record]:
    machine, connection = _open_machine()
    records = []
    for frame in frames:
        facts = machine.frame(connection, frame, AT, AT)
        records.append(Record(ACCOUNT, facts[0].sequence if facts else machine.claim_sequence(), AT, 1, frame, facts))
    return records


async def _call_back(records: list[Record], store: SqliteStore, figures: Figures) -> None:
    """From the published events of a frame to the handler's return, through the handler's own queue and task."""
    wanted = sum(len(record.events) for record in records)
    done = asyncio.get_running_loop().create_future()
    handled = 0

    def handle(event: Event) -> None:
        nonlocal handled
        handled += 1
        if handled == wanted:
            done.set_result(None)

    clock = SystemClock()
    listeners = Listeners(ACCOUNT, Keeper(ACCOUNT, store, clock), clock, lambda: 0)
    listeners.attach(handle, None)
    begun = time.perf_counter()
    for record in records:
        listeners.publish(record.events)
        await asyncio.sleep(0)
    await done
    figures["callback"] = _each(begun, len(records)) - await _empty_turns(len(records))
    await listeners.close(limit_ms=0)


async def _empty_turns(count: int) -> float:
    """What a turn of the event loop costs by itself: no part of the stage."""
    begun = time.perf_counter()
    for _ in range(count):
        await asyncio.sleep(0)
    return _each(begun, count)


async def _journal(records: list[Record], store: SqliteStore, figures: Figures) -> None:
    begun = time.perf_counter()
    for record in records:
        store.append(record)
    figures["append"] = _each(begun, len(records))
    await store.flush()
    figures["committed"] = _each(begun, len(records))


async def _tables(store: SqliteStore, count: int, figures: Figures) -> None:
    begun, position = time.perf_counter(), 0
    while batch := await store.read(after=position, limit=READ_BATCH):
        await store.apply("bench", batch)
        position = batch[-1].position
    figures["tables"] = _each(begun, count)


if __name__ == "__main__":
    from userstream.entry.tuning import tune_interpreter

    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description="Microseconds a frame for each stage alone.")
    parser.add_argument("count", type=int, nargs="?", default=COUNT)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    tune_interpreter()
    show(measure(given.count), as_json=given.json)
