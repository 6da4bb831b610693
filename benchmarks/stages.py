"""Each stage alone, in one process: microseconds a frame from bytes to callback, without a socket."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from frames import build_frames

from userstream.domain.account import Account
from userstream.domain.fold import apply
from userstream.entry.bootstrap import AccountSettings, credentials_of, place_of, policy_of
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Record
from userstream.venues import find_venue
from userstream.wire.machine import Machine

COUNT = 60_000


def timed(name: str, work: Callable[[], None], figures: dict[str, float]) -> None:
    begun = time.perf_counter()
    work()
    figures[name] = (time.perf_counter() - begun) / COUNT * 1e6


def measure() -> dict[str, float]:
    """Microseconds a frame for each stage."""
    figures: dict[str, float] = {}
    frames, spec = build_frames(COUNT), find_venue("binance-usdm")
    decoder = spec.make_decoder(AccountId("bench"))
    decoded: list[tuple] = []
    timed("decode (bytes to events)", lambda: decoded.extend(decoder.decode(frame, Millis(1)) for frame in frames), figures)
    account = Account(AccountId("bench"), spec.name)

    def fold() -> None:
        for events in decoded:
            for event in events:
                apply(account, event, 1)

    timed("fold (events to state)", fold, figures)
    machine, connection = _open_machine()
    timed("machine (decode, fold, stamp)", lambda: [machine.frame(connection, frame, Millis(1), Millis(1)) for frame in frames], figures)
    asyncio.run(_journal(frames, figures))
    return figures


def _open_machine() -> tuple[Machine, int]:
    spec = find_venue("binance-usdm")
    settings = AccountSettings(name="bench", venue=spec.name, credentials=credentials_of("key", None))
    place = place_of(settings, spec)
    machine = Machine(spec, place, policy_of(settings, 0), now=Millis(0), wall=Millis(0))
    machine.start(Millis(0), Millis(0))
    return machine, next(iter(machine.feed.lines))


async def _journal(frames: list[bytes], figures: dict[str, float]) -> None:
    from userstream.adapters.clock import SystemClock
    from userstream.adapters.sqlite import SqliteStore

    machine, connection = _open_machine()
    records = []
    for frame in frames:
        facts = machine.frame(connection, frame, Millis(1), Millis(1))
        records.append(Record(AccountId("bench"), facts[0].sequence if facts else machine.claim_sequence(), Millis(1), 1, frame, facts))
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder) / "bench.db", SystemClock())
        begun = time.perf_counter()
        for record in records:
            store.append(record)
        figures["journal append (main thread)"] = (time.perf_counter() - begun) / COUNT * 1e6
        await store.flush()
        figures["journal committed"] = (time.perf_counter() - begun) / COUNT * 1e6
        begun, position = time.perf_counter(), 0
        while batch := await store.read(after=position, limit=2_000):
            await store.apply("bench", batch)
            position = batch[-1].position
        figures["tables (read and apply)"] = (time.perf_counter() - begun) / COUNT * 1e6
        await store.close()


if __name__ == "__main__":
    for name, microseconds in measure().items():
        print(f"{name:34} {microseconds:8.2f} us")
