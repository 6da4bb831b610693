"""A desk of many accounts in one process under steady load: how old an event is when its handler has it, when the journal has it, and when
PostgreSQL has it; memory of each account; and whether accounts that come and go delay the others. Beside them stands how long the disk took
for one page meanwhile.

`python -m benchmarks.desk [--accounts 500] [--rate 5000] [--seconds 600] [--audit S] [--history S]`. The venue's frames come from a process
of its own (`desk_venue.py`), its answers from another (`desk_books.py`), PostgreSQL a real server of its own that waits for its disk at
every commit. A frame is one message of the venue, of the usual mix. With TMPDIR in memory (`/dev/shm`) no disk has a part in it. The
venue's books are read as often as by default, or as it is asked for; the request budget has no limit.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import tempfile
import time
from array import array
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.feed import show
from benchmarks.footprint import resident_mb
from benchmarks.postgres import database
from benchmarks.venue import VenueProcess
from userstream.domain.events import Event, OrderChanged
from userstream.entry.bootstrap import AccountSettings, Application, credentials_of, start_application
from userstream.entry.storage import PostgresTarget
from userstream.kernel.ids import AccountId
from userstream.kernel.secret import Secret
from userstream.kernel.settings import RecoverySettings
from userstream.ports import Committed, Projection, Record, StoredRecord
from userstream.runtime.live import LiveAccount

PREFIX: Final = "bench-"
VENUE: Final = "binance-usdm"
NO_LIMIT: Final = 10_000_000
KILOBYTES: Final = 1024
WARM_S: Final = 5
PAUSE_S: Final = 0.5
MINUTE_S: Final = 60


class Venue(VenueProcess):
    """The venue of so many accounts."""

    def __init__(self, accounts: int) -> None:
        super().__init__("benchmarks.desk_venue", str(accounts))

    async def go(self, rate: int, seconds: int) -> int:
        """Returns how many frames were written, when all are."""
        return int((await self.obey(f"go {rate} {seconds}"))["written"])


class Disk(VenueProcess):
    """The disk under the journal, seen from beside."""

    def __init__(self, folder: Path) -> None:
        super().__init__("benchmarks.desk_disk", str(folder))

    async def figures(self) -> dict[str, float]:
        """Since the last time."""
        return await self.obey("figures")


class Ages:
    """How old orders were when a place had them. `ages`: in microseconds, of four bytes each, so that measuring shows little in the memory
    that is measured. `longest_of_late`: the highest (ns) since somebody last set it to 0."""

    def __init__(self) -> None:
        self.ages = array("I")
        self.longest_of_late = 0
        self.is_on = False

    def note(self, stamps: Iterable[int]) -> None:
        if not self.is_on:
            return
        now = time.monotonic_ns()
        for stamp in stamps:
            if stamp:
                age = now - stamp
                self.ages.append(age // 1_000)
                self.longest_of_late = max(self.longest_of_late, age)

    def note_one(self, event: Event) -> None:
        self.note((stamp_of(event),))

    def figures(self, name: str) -> dict[str, float]:
        ages = sorted(self.ages) or [0]
        return {
            f"{name}_p50_ms": ages[len(ages) // 2] / 1e3,
            f"{name}_p99_ms": ages[len(ages) * 99 // 100] / 1e3,
            f"{name}_max_ms": ages[-1] / 1e3,
        }


def stamp_of(event: Event) -> int:
    """When its frame was written (monotonic ns); 0 for what is no order of the stream."""
    if type(event) is OrderChanged and event.client_order_id.startswith(PREFIX):
        return int(event.client_order_id[len(PREFIX) :])
    return 0


class Noted:
    """A projection that notes how old its orders are once the journal, and once it, has them. It counts on the order of an account's
    records and of the journal's commits, so that nobody keeps a record, or opens one that lies packed."""

    def __init__(self, tables: Projection, journaled: Ages, stored: Ages) -> None:
        self._tables, self._journaled, self._stored = tables, journaled, stored
        self._appended: defaultdict[AccountId, deque[int]] = defaultdict(deque)
        self._committed: deque[int] = deque()

    def note_record(self, record: Record) -> None:
        self._appended[record.account].append(stamp_of(record.events[0]) if record.events else 0)

    def note_commits(self, commits: Sequence[Committed]) -> None:
        stamps = [self._appended[commit.account].popleft() for commit in commits for _ in range(commit.records)]
        self._journaled.note(stamps)
        self._committed.extend(stamps)

    async def position(self, reader: str) -> int:
        return await self._tables.position(reader)

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        await self._tables.apply(reader, records)
        self._stored.note([self._committed.popleft() for _ in range(min(len(records), len(self._committed)))])


class Desk:
    """The accounts, and what is known of their events' ages."""

    def __init__(self, application: Application, venue: Venue, recovery: RecoverySettings) -> None:
        self._application, self._venue, self._recovery = application, venue, recovery
        self.called, self.journaled, self.stored = Ages(), Ages(), Ages()
        assert application.postgres is not None and application.postgres.pump is not None
        self.pump = application.postgres.pump
        self._noted = Noted(self.pump._projection, self.journaled, self.stored)
        self.pump._projection = self._noted
        application.journal.watch_commits(self._noted.note_commits)

    async def add(self, number: int) -> LiveAccount:
        keys = credentials_of(f"key-{number:060}", f"secret-{number:057}")
        settings = AccountSettings(
            name=f"account-{number}",
            venue=VENUE,
            credentials=keys,
            recovery=self._recovery,
            rest_url=self._venue.places["rest_url"],
            ws_url=self._venue.places["ws_url"],
        )
        account = await self._application.add(settings, on_record=self._noted.note_record)
        account.on(handler=self.called.note_one)
        return account

    async def open(self, numbers: range) -> None:
        for account in [await self.add(number) for number in numbers]:
            await account.wait_proven(300)

    def writer_mb(self) -> float:
        """Memory of the process that fills PostgreSQL; 0 where none does."""
        assert self._application.postgres is not None
        pid = getattr(self._application.postgres._tables, "pid", None)
        return resident_mb(pid) if pid else 0.0

    def mismatches(self) -> int:
        """How much the venue's books and the accounts do not agree about at last."""
        return sum(account.health.mismatches for account in self._application.accounts.values())

    def fills(self) -> int:
        """How many the accounts remember."""
        return sum(len(told) for runner in self._application._runners.values() for told in runner.machine.account.fills.values())

    def listen(self, *, is_on: bool) -> None:
        for ages in (self.called, self.journaled, self.stored):
            ages.is_on = is_on

    async def come_and_go(self, number: int, until: float) -> dict[str, float]:
        """One more account comes and goes; how old the others' events were at most meanwhile, and in pauses of the same length."""
        busy, quiet, turns = 0, 0, 0
        while time.monotonic() < until:
            self.called.longest_of_late = 0
            account = await self.add(number)
            await account.wait_proven(60)
            await self._application.remove(f"account-{number}")
            busy, turns = max(busy, self.called.longest_of_late), turns + 1
            self.called.longest_of_late = 0
            await asyncio.sleep(PAUSE_S)
            quiet = max(quiet, self.called.longest_of_late)
        return {"come_and_go": turns, "while_one_comes_or_goes_max_ms": busy / 1e6, "in_between_max_ms": quiet / 1e6}


async def run(url: str, accounts: int, rate: int, seconds: int, recovery: RecoverySettings) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with Venue(accounts + 1) as venue, Disk(Path(folder)) as disk:
            target = PostgresTarget(url=Secret(url))
            application = await start_application(Path(folder) / "desk.db", weight_limit=NO_LIMIT, postgres=target)
            if application.pump is not None:  # the tables are PostgreSQL's work here
                await application.pump.stop(limit_ms=0)
                application.pump = None
            try:
                return await _measure(Desk(application, venue, recovery), venue, disk, accounts, rate, seconds)
            finally:
                await application.stop()


async def _measure(desk: Desk, venue: Venue, disk: Disk, accounts: int, rate: int, seconds: int) -> dict[str, float]:
    await desk.open(range(1))
    one_mb = await _at_rest()
    begun = time.monotonic()
    await desk.open(range(1, accounts))
    figures = {"all_proven_s": time.monotonic() - begun}
    resting_mb = await _at_rest()
    figures["account_kb"] = (resting_mb - one_mb) * KILOBYTES / max(accounts - 1, 1)
    await venue.go(rate, WARM_S)
    await desk.pump.drain()
    desk.listen(is_on=True)
    await disk.figures()
    figures |= await _load(desk, venue, accounts, rate, seconds)
    figures |= await disk.figures()
    desk.listen(is_on=False)
    for name, ages in (("callback", desk.called), ("journal", desk.journaled), ("postgres", desk.stored)):
        figures |= ages.figures(name)
    return figures


async def _load(desk: Desk, venue: Venue, accounts: int, rate: int, seconds: int) -> dict[str, float]:
    """The load in two halves, the second with an account that comes and goes."""
    half = max(seconds // 2, 1)
    sizes: list[float] = []
    watching = asyncio.create_task(_watch_memory(sizes))
    cpu, begun = time.thread_time(), time.monotonic()
    written = await venue.go(rate, half)
    early_mb = resident_mb()
    coming = asyncio.create_task(desk.come_and_go(accounts, time.monotonic() + half - 2))
    written += await venue.go(rate, half)
    figures = await coming
    watching.cancel()
    await desk.pump.drain()
    took_s = time.monotonic() - begun
    figures |= {"frames_per_s": written / took_s, "loop_busy": (time.thread_time() - cpu) / took_s}
    figures |= {f"after_{minute}_min_mb": size for minute, size in enumerate(sizes, 1)}
    return figures | {
        "mismatches": desk.mismatches(),
        "fills_in_memory": desk.fills(),
        "half_way_mb": early_mb,
        "at_the_end_mb": resident_mb(),
        "writer_mb": desk.writer_mb(),
    }


async def _watch_memory(sizes: list[float]) -> None:
    """One figure a minute."""
    while True:
        await asyncio.sleep(MINUTE_S)
        sizes.append(resident_mb())


async def _at_rest() -> float:
    await asyncio.sleep(2)
    gc.collect()
    return resident_mb()


if __name__ == "__main__":
    from userstream.entry.tuning import run_on_best_loop, tune_interpreter

    parser = argparse.ArgumentParser(prog="python -m benchmarks.desk", description="Many accounts in one process under steady load.")
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--rate", type=int, default=5_000, help="frames a second, all accounts together")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument(
        "--audit", type=float, default=RecoverySettings().audit_s, help="seconds between comparisons with the venue's books"
    )
    parser.add_argument("--history", type=float, default=RecoverySettings().history_s, help="seconds between readings of all history")
    parser.add_argument("--url", help="a PostgreSQL that is there already, with an empty database")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    logging.getLogger("picows").setLevel(logging.ERROR)
    tune_interpreter()
    with database(given.url) as place:
        recovery = RecoverySettings(lag_s=0.2, overlap_s=1.0, audit_s=given.audit, history_s=given.history)
        show(run_on_best_loop(run(place, given.accounts, given.rate, given.seconds, recovery)), as_json=given.json)
