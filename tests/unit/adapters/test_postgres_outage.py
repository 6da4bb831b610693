"""PostgreSQL away, killed, restarted, deaf: the journal holds everything, and the tables catch up in order and once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from tests.support.clock import ManualClock
from tests.support.events import balance_set, filled, order_changed
from tests.support.postgres import PostgresServer, address_of, execute, running_server
from tests.support.postgres_proxy import LosingProxy
from tests.support.records import record
from userstream.adapters.clock import SystemClock
from userstream.adapters.memory import MemoryJournal, MemoryProjection
from userstream.adapters.postgres import PostgresProjection, PostgresSettings
from userstream.adapters.postgres_process import PostgresProcess
from userstream.adapters.tables import TABLES
from userstream.entry.storage import WRITER
from userstream.kernel.errors import StoreError
from userstream.kernel.secret import Secret
from userstream.ports import Projection, StoredRecord
from userstream.runtime.pump import Pump

pytestmark = pytest.mark.postgres

TABLES_TO_COMPARE: Final = ("orders", "fills", "positions", "balances", "movements", "account_events", "coverage")
MOST_LOOKS: Final = 20_000


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_server() as started:
        yield started


@pytest.fixture
async def url(server: PostgresServer) -> AsyncIterator[str]:
    await execute(server.url("postgres"), "DROP DATABASE IF EXISTS desk WITH (FORCE)", "CREATE DATABASE desk")
    yield server.url("desk")


class Feed:
    """A journal with a pump to PostgreSQL, and what it is told: account by account, number by number."""

    def __init__(self, url: str, settings: PostgresSettings | None = None) -> None:
        self.clock, self.journal = ManualClock(), MemoryJournal()
        self.tables = PostgresProjection(address_of(url), self.clock, journal="one", settings=settings or PostgresSettings())
        self.told: list[Exception | None] = []
        self.pump = self.pump_to(self.tables)
        self.numbers = 0

    def pump_to(self, tables: Projection) -> Pump:
        return Pump(self.journal, tables, "tables", clock=self.clock, on_trouble=self.told.append)

    def tell(self, count: int) -> None:
        for number in range(self.numbers + 1, self.numbers + count + 1):
            facts = (filled(trade_id=str(number)), order_changed(order_id=str(number % 7)), balance_set(total=str(number)))
            self.journal.append(record(*facts, sequence=number * 3))
        self.numbers += count

    async def until(self, reached: Callable[[], bool]) -> None:
        """Turns the clock, and lets the real server answer, until it is so."""
        for _ in range(MOST_LOOKS):
            if reached():
                return
            await asyncio.sleep(0.002)
            await self.clock.advance(20)
        raise AssertionError(f"never reached: {self.pump.trouble}, {self.pump.position} of {self.numbers}")

    async def rows(self, table: str) -> list[dict[str, object]]:
        """A connection that was killed while it had nothing to do is found dead by whoever needs it next."""
        try:
            return await self.tables.rows(table, limit=100_000)
        except StoreError:
            return await self.tables.rows(table, limit=100_000)

    async def finish(self) -> None:
        """All is in PostgreSQL as it is in memory: in order, and once."""
        await self.until(lambda: self.pump.position == self.numbers and self.pump.trouble is None)
        memory = MemoryProjection()
        await memory.apply("tables", await self.journal.read(after=0, limit=1_000_000))
        for table in TABLES_TO_COMPARE:
            assert await self.rows(table) == await memory.rows(table, limit=100_000), table
        await self.pump.stop()
        await self.tables.close()
        assert self.clock.failures == []


async def test_a_server_that_is_stopped_and_started_again_gets_all_it_missed(server: PostgresServer, url: str) -> None:
    feed = Feed(url)
    feed.pump.start()
    feed.tell(200)
    await feed.until(lambda: feed.pump.position >= 100)
    for how in (signal.SIGINT, signal.SIGQUIT):
        feed.tell(50)
        await asyncio.to_thread(server.stop, how)
        feed.tell(300)
        await feed.until(lambda: feed.pump.trouble is not None)
        assert "PostgreSQL at" in str(feed.pump.trouble)
        feed.tell(20)
        await asyncio.to_thread(server.start)
        await feed.until(lambda: feed.pump.trouble is None)
    await feed.finish()
    assert [trouble is None for trouble in feed.told] == [False, True] * 2


async def test_a_server_that_is_away_at_the_start_is_waited_for(server: PostgresServer, url: str) -> None:
    await asyncio.to_thread(server.stop)
    feed = Feed(url)
    feed.pump.start()
    feed.tell(100)
    await feed.until(lambda: feed.pump.trouble is not None)
    assert feed.pump.lag == 100
    await asyncio.to_thread(server.start)
    await feed.finish()


async def test_connections_killed_again_and_again_lose_and_double_nothing(url: str) -> None:
    feed = Feed(url, PostgresSettings(most_events=15))
    feed.pump.start()
    killer = await asyncpg.connect(url)
    for _ in range(12):
        feed.tell(60)
        await feed.until(lambda: feed.pump.position > feed.numbers - 40)
        await killer.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'desk' AND pid <> pg_backend_pid()")
    await killer.close()
    await feed.finish()


async def test_a_writing_process_killed_again_and_again_loses_and_doubles_nothing(url: str) -> None:
    feed = Feed(url)
    writer = PostgresProcess(WRITER, SystemClock(), Secret(url), None, journal="one", migrate=True)
    feed.pump = feed.pump_to(writer)
    feed.pump.start()
    for _ in range(6):
        feed.tell(300)
        await feed.until(lambda: feed.pump.position > feed.numbers - 290)
        if writer.pid is not None:
            os.kill(writer.pid, signal.SIGKILL)
    await feed.finish()
    await writer.close()


async def test_a_connection_killed_in_the_middle_of_a_transaction(url: str) -> None:
    feed = Feed(url)
    feed.tell(5)
    await feed.tables.apply("tables", await _committed(feed))
    holder = await asyncpg.connect(url)
    holding = holder.transaction()
    await holding.start()
    await holder.execute("LOCK TABLE userstream.balances IN ACCESS EXCLUSIVE MODE")
    feed.tell(5)
    turn = asyncio.ensure_future(feed.tables.apply("tables", await _committed(feed)))
    waiting = "FROM pg_stat_activity WHERE datname = 'desk' AND wait_event_type = 'Lock'"
    while not await holder.fetchval(f"SELECT count(*) {waiting}"):
        await asyncio.sleep(0.001)
    await holder.execute(f"SELECT pg_terminate_backend(pid) {waiting}")
    with pytest.raises(StoreError, match="terminating connection"):
        await turn
    await holding.rollback()
    await holder.close()
    assert (await feed.tables.position("tables"), len(await feed.tables.rows("fills"))) == (5, 5), "all of it is undone"
    feed.pump.start()
    await feed.finish()


async def _committed(feed: Feed) -> list[StoredRecord]:
    await feed.journal.flush()
    return await feed.journal.read(after=0, limit=1_000)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_commit_whose_answer_was_lost_is_not_made_twice(server: PostgresServer, url: str, times: int) -> None:
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        async with LosingProxy(Path(folder), server.folder) as proxy:
            feed = Feed(url.replace(str(server.folder), folder))
            feed.pump.start()
            feed.tell(10)
            await feed.until(lambda: feed.pump.position == 10)
            for _ in range(times):
                proxy.lose()
                feed.tell(10)
                await feed.until(lambda: feed.pump.position == feed.numbers)
            await feed.finish()
            assert proxy.lost == times


async def test_the_commit_did_take_place_although_its_answer_was_lost(server: PostgresServer, url: str) -> None:
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        async with LosingProxy(Path(folder), server.folder) as proxy:
            feed = Feed(url.replace(str(server.folder), folder))
            feed.tell(2)
            await feed.tables.apply("tables", await _committed(feed))
            feed.tell(4)
            proxy.lose()
            with pytest.raises(StoreError):
                await feed.tables.apply("tables", await _committed(feed))
            assert await feed.tables.position("tables") == 6
            await feed.tables.close()


async def test_a_server_that_hangs_is_given_up_and_left_to_wake_up(server: PostgresServer, url: str) -> None:
    feed = Feed(url, PostgresSettings(limit_ms=2_000))
    feed.pump.start()
    feed.tell(20)
    await feed.until(lambda: feed.pump.position == 20)
    with _stopped(*await _backends(url)):
        feed.tell(20)
        await feed.until(lambda: feed.pump.trouble is not None)
    await feed.finish()


async def test_a_connection_that_ended_unheard_is_dropped_in_words_and_the_next_one_goes_on(url: str) -> None:
    """The server's last word is read while nothing is asked, and the next statement begins before the end of the socket is read."""
    feed = Feed(url)
    feed.tell(5)
    await feed.tables.apply("tables", await _committed(feed))
    [backend] = await _backends(url)
    feed.tell(5)
    committed = await _committed(feed)
    os.kill(backend, signal.SIGTERM)
    _await_end(backend)
    for _ in range(2):
        await asyncio.sleep(0)
    with pytest.raises(StoreError, match="the server ended the connection"):
        await feed.tables.apply("tables", committed)
    feed.pump.start()
    await feed.finish()


async def test_a_stop_while_the_server_hangs_waits_for_nobody(url: str) -> None:
    feed = Feed(url)
    feed.pump.start()
    feed.tell(20)
    await feed.until(lambda: feed.pump.position == 20)
    with _stopped(*await _backends(url)):
        feed.tell(20)
        await feed.journal.flush()
        stopping = asyncio.ensure_future(feed.pump.stop(limit_ms=2_000))
        await feed.until(stopping.done)
        await feed.tables.close()
    assert (feed.pump.position, feed.clock.failures) == (20, [])


@contextlib.contextmanager
def _stopped(backend: int) -> Iterator[None]:
    """The server's process for a connection stands still meanwhile."""
    os.kill(backend, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(backend, signal.SIGCONT)


def _await_end(process: int) -> None:
    """Without the event loop, which is to read nothing meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(process, 0)


@pytest.mark.parametrize("is_asked", [False, True], ids=["unnoticed", "noticed by a reader"])
async def test_a_server_that_lost_its_last_rows_while_nothing_came_gets_them_again(url: str, is_asked: bool) -> None:
    feed = Feed(url)
    feed.pump.start()
    feed.tell(30)
    await feed.until(lambda: feed.pump.position == 30)
    lost = "DELETE FROM userstream.fills WHERE sequence > 60", "DELETE FROM userstream.balances"
    killed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'desk' AND pid <> pg_backend_pid()"
    await execute(url, *lost, "DELETE FROM userstream.orders", "UPDATE userstream.cursors SET position = 0", killed)
    if is_asked:
        await feed.rows("balances")
    feed.tell(5)
    await feed.until(lambda: feed.pump.position == 35)
    fills = sorted(int(str(row["trade_id"])) for row in await feed.rows("fills"))
    assert fills == list(range(1, 36))
    await feed.pump.stop()
    await feed.tables.close()


async def _backends(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = 'desk' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


def test_all_tables_are_compared() -> None:
    assert set(TABLES) - set(TABLES_TO_COMPARE) == {"margin_calls", "cursors", "checkpoints"}
