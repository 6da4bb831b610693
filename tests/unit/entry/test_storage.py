"""PostgreSQL beside the embedded store, as a process runs it: filled, away, lost, put back, and never in an account's way."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.support.events import balance_set, filled
from tests.support.postgres import borrow_database, execute, give_back, running_server
from tests.support.records import record
from userstream.adapters.clock import SystemClock
from userstream.adapters.memory import MemoryJournal, MemoryProjection
from userstream.adapters.metrics import PrometheusMetrics
from userstream.adapters.postgres import PostgresProjection
from userstream.adapters.postgres_address import PostgresAddress
from userstream.adapters.sqlite import SqliteStore
from userstream.adapters.sqlite_marks import JournalMark, OlderCopy, rename_mark, settle_mark
from userstream.entry.bootstrap import Application, start_application
from userstream.entry.storage import (
    KIND,
    MARK_EVERY_MS,
    STALL_LOOK_MS,
    STALL_MS,
    MarkedTables,
    PostgresFeed,
    PostgresSection,
    PostgresTarget,
    StallWatch,
    address_of,
    fresh_name,
)
from userstream.kernel.errors import SettingsError
from userstream.kernel.ids import AccountId
from userstream.kernel.secret import Secret
from userstream.ports import StateReader, StoredRecord
from userstream.runtime.pump import Pump

CANARY = "s3cret-canary"
needs_postgres = pytest.mark.postgres


@pytest.fixture
async def url() -> AsyncIterator[str]:
    borrowed = await borrow_database()
    yield borrowed
    await give_back(borrowed)


def target(url: str) -> PostgresTarget:
    return PostgresTarget(url=Secret(url))


def tell(application: Application, first: int, count: int = 10) -> None:
    for number in range(first, first + count):
        application.journal.append(record(filled(trade_id=str(number)), balance_set(total=str(number)), sequence=2 * number))


class Reader:
    """The tables in PostgreSQL, seen from beside."""

    def __init__(self, address: PostgresAddress) -> None:
        self._address = address

    async def rows(self, table: str, account: AccountId | None = None, *, limit: int = 1000) -> list[dict[str, object]]:
        async with PostgresProjection(self._address, SystemClock(), journal="of nobody") as tables:
            return await tables.rows(table, account, limit=limit)


async def brought_over(application: Application) -> StateReader:
    """All that was told is in PostgreSQL."""
    await application.journal.flush()
    assert application.postgres is not None and application.postgres.pump is not None
    await application.postgres.pump.drain()
    return Reader(application.postgres.address)


async def trade_ids(tables: StateReader) -> list[int]:
    return sorted(int(str(row["trade_id"])) for row in await tables.rows("fills"))


async def until_trouble(application: Application) -> str:
    while not application._pump_trouble():
        await asyncio.sleep(0.002)
    return application._pump_trouble()


@needs_postgres
@pytest.mark.parametrize("own_process", [True, False])
async def test_both_stores_are_filled_and_a_restart_goes_on(tmp_path: Path, url: str, own_process: bool) -> None:
    for first in (1, 11):
        application = await start_application(tmp_path / "a.db", postgres=PostgresTarget(url=Secret(url), own_process=own_process))
        tell(application, first)
        assert await trade_ids(await brought_over(application)) == list(range(1, first + 10))
        assert application.pump is not None and application.store is not None
        await application.pump.drain()
        assert await trade_ids(application.store) == list(range(1, first + 10))
        assert 'sink="postgres"' in application.metrics()
        await application.stop()


@needs_postgres
async def test_two_stores_fill_one_database(tmp_path: Path, url: str) -> None:
    for name, first in (("a.db", 1), ("b.db", 6)):
        application = await start_application(tmp_path / name, postgres=target(url))
        tell(application, first)
        tables = await brought_over(application)
        await application.stop()
    again = await start_application(tmp_path / "c.db", postgres=target(url))
    tables = await brought_over(again)
    assert await trade_ids(tables) == list(range(1, 16))
    await again.stop()


@needs_postgres
async def test_a_server_that_is_away_is_told_and_hurts_nobody(tmp_path: Path) -> None:
    with running_server() as server:
        await execute(server.url("postgres"), "CREATE DATABASE desk")
        await asyncio.to_thread(server.stop)
        application = await start_application(tmp_path / "a.db", postgres=target(server.url("desk", password=CANARY)))
        tell(application, 1)
        await application.journal.flush()
        told = await until_trouble(application)
        assert told.startswith("PostgreSQL does not follow the journal: PostgreSQL at") and CANARY not in told
        assert application.store is not None and application.pump is not None
        await application.pump.drain()
        assert await trade_ids(application.store) == list(range(1, 11))
        await asyncio.to_thread(server.start)
        assert await trade_ids(await brought_over(application)) == list(range(1, 11))
        assert application._pump_trouble() == ""
        await application.stop()


@needs_postgres
async def test_a_database_that_lost_its_tail_is_filled_again(tmp_path: Path, url: str) -> None:
    application = await start_application(tmp_path / "a.db", postgres=target(url))
    tell(application, 1)
    await brought_over(application)
    await application.stop()
    await execute(url, "DELETE FROM userstream.fills", "DELETE FROM userstream.balances", "DELETE FROM userstream.cursors")
    application = await start_application(tmp_path / "a.db", postgres=target(url))
    assert await trade_ids(await brought_over(application)) == list(range(1, 11))
    await application.stop()


@needs_postgres
async def test_a_store_put_back_from_an_older_copy_says_so_and_can_rejoin(tmp_path: Path, url: str) -> None:
    path, copy = tmp_path / "a.db", tmp_path / "copy.db"
    for first in (1, 11):
        application = await start_application(path, postgres=target(url))
        tell(application, first)
        await brought_over(application)
        await application.stop()
        if first == 1:
            shutil.copy(path, copy)
    shutil.copy(copy, path)
    application = await start_application(path, postgres=target(url))
    assert "older copy; run userstream db rejoin" in await until_trouble(application)
    await application.stop()
    rename_mark(path, KIND, "another")
    application = await start_application(path, postgres=target(url))
    tell(application, 21)
    assert await trade_ids(await brought_over(application)) == list(range(1, 31))
    await application.stop()


async def test_a_run_without_postgres_lets_the_journal_wait_no_longer(tmp_path: Path) -> None:
    nowhere = target("postgresql://u@127.0.0.1:1/desk")
    for wanted in (nowhere, None, nowhere):
        application = await start_application(tmp_path / "a.db", postgres=wanted)
        assert application.store is not None
        [row] = [row for row in await application.store.rows("cursors") if str(row["reader"]).startswith("postgres:")] or [{"position": -1}]
        assert (row["position"] == 0) == (wanted is not None)
        if wanted is not None:
            await until_trouble(application)
        await application.stop()


async def test_a_journal_in_memory_cannot_feed_it() -> None:
    with pytest.raises(SettingsError, match="must be a file where PostgreSQL is filled"):
        await start_application(None, postgres=target("postgresql://u@h/d"))


async def test_the_journal_is_marked_late_and_never_above_what_the_server_still_has(tmp_path: Path) -> None:
    settle_mark(tmp_path / "a.db", KIND, "one")
    clock, tables = ManualClock(), MemoryProjection()
    async with await SqliteStore.open(tmp_path / "a.db", clock) as store:
        for number in range(1, 9):
            store.append(record(filled(trade_id=str(number)), sequence=number))
            await store.flush()
        stored = await store.read(after=0, limit=100)
        mark = JournalMark(store, KIND, "one")
        marked = MarkedTables(tables, store, mark, clock)
        told = []
        for number in range(4):
            await clock.advance(MARK_EVERY_MS)
            await marked.apply("tables", stored[number : number + 1])
            told.append(await mark.position())
        assert told == [0, *(one.position for one in stored[:3])]
        await marked.apply("tables", stored[4:5])
        assert await mark.position() == told[-1], "not more often than every few seconds"
        lost = MarkedTables(MemoryProjection(), store, mark, clock)
        assert await lost.position("tables") == 0
        await clock.advance(MARK_EVERY_MS)
        await lost.apply("tables", stored[:1])
        assert await mark.position() == told[-1]


async def test_a_copy_that_has_grown_is_still_an_older_one(tmp_path: Path) -> None:
    settle_mark(tmp_path / "a.db", KIND, "one")
    clock = ManualClock()
    async with await SqliteStore.open(tmp_path / "a.db", clock) as store:
        tables = MemoryProjection()
        await tables.apply("tables", [StoredRecord(1 << 20, record(filled()))])
        marked = MarkedTables(tables, store, JournalMark(store, KIND, "one"), clock)
        with pytest.raises(OlderCopy, match="run userstream db rejoin"):
            await marked.position("tables")
        store.append(record(filled()))
        await store.flush()
        assert (await store.read(after=0, limit=1))[-1].position >= 1 << 20
        with pytest.raises(OlderCopy):
            await marked.position("tables")


class Standstill(MemoryProjection):
    """Takes nothing in while its gate is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        await self.gate.wait()
        await super().apply(reader, records)


async def test_work_that_waits_with_nothing_done_is_trouble_until_it_moves_again() -> None:
    clock, journal, tables = ManualClock(), MemoryJournal(), Standstill()
    pump = Pump(journal, tables, "tables", clock=clock)
    pump.start()
    told: list[str] = []
    watch = StallWatch(pump, clock, lambda: told.append(str(watch.trouble or "")))
    await clock.advance(10 * STALL_MS)
    assert not any(told), "who has nothing to do does not stand still"
    journal.append(record(filled(trade_id="1"), sequence=1))
    await clock.advance(STALL_MS - STALL_LOOK_MS)
    assert watch.trouble is None
    await clock.advance(2 * STALL_LOOK_MS)
    assert str(watch.trouble) == told[-1] == "PostgreSQL has not confirmed anything for 6 s, 1 record waits"
    tables.gate.set()
    await clock.advance(STALL_LOOK_MS)
    assert (watch.trouble, told[-1]) == (None, "")
    watch.stop()
    await pump.stop()
    assert clock.next_due is None


async def test_a_server_that_says_nothing_is_told_after_seconds_and_once(tmp_path: Path) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    clock, told = ManualClock(), list[Exception | None]()
    feed = PostgresFeed(PostgresTarget(url=Secret(f"postgresql://u@127.0.0.1:{port}/d"), own_process=False), tmp_path / "a.db", clock)
    assert feed.trouble is None
    async with await SqliteStore.open(tmp_path / "a.db", clock) as store:
        feed.start(store, told.append, PrometheusMetrics())
        await clock.advance(STALL_MS + STALL_LOOK_MS)
        assert [str(one) for one in told] == ["PostgreSQL has not confirmed anything for 5 s"]
        await clock.advance(3 * STALL_LOOK_MS)
        assert len(told) == 1 and str(feed.trouble) == "PostgreSQL has not confirmed anything for 9 s"
        await feed.stop()
    silent.close()


def test_nothing_shows_a_secret() -> None:
    one = PostgresTarget(url=Secret(f"postgresql://u:{CANARY}@h/d"))
    assert CANARY not in f"{one!r} {PostgresSection(password=CANARY)!r} {address_of(one)!r} {address_of(one).label}"


def test_names_of_journals_differ() -> None:
    clock = SystemClock()
    assert len({fresh_name(clock) for _ in range(100)}) == 100
