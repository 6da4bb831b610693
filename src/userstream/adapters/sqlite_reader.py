"""Reading the store, from this process or another: connections that cannot write, on threads of their own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Final, TypeVar

from userstream.adapters import sqlite_rows
from userstream.adapters.sqlite_batches import PackedRows
from userstream.adapters.sqlite_file import open_for_reading, store_error
from userstream.adapters.sqlite_tables import read_position, read_rows
from userstream.domain.events import Event
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import Record, StoredRecord

ResultT = TypeVar("ResultT")
CLEARING_LIMIT_MS: Final = 100


class SqliteReader:
    """The reading half of `Journal` and `Projection`, and `StateReader`. Every method raises StoreError if the file cannot be read."""

    def __init__(self, path: Path, *, threads: int = 2) -> None:
        """Opens the file. Raises StoreError, in one line, if it is no store that this version can read."""
        self._path = path
        self._connections: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._count = threads
        self._closed = False
        for _ in range(threads):
            self._connections.put(open_for_reading(path))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"userstream-reader-{path.name}")

    async def __aenter__(self) -> SqliteReader:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def rows(self, table: str, account: AccountId | None = None, *, limit: int = 1000) -> list[dict[str, object]]:
        """Rows of a table, newest first where it has an age. Raises ValueError for a table that does not exist."""
        return await self.call(lambda connection: read_rows(connection, table, account, limit))

    async def read(self, *, after: int, limit: int) -> list[StoredRecord]:
        """As in `Journal`."""
        return await self.call(lambda connection: sqlite_rows.read_after(connection, after, limit))

    async def read_packed(self, *, after: int, limit: int) -> PackedRows:
        """As `read`, nothing decoded: whole rows, of which the first may begin at or before `after`, and the last holds the record of the
        limit."""
        return PackedRows(await self.call(lambda connection: sqlite_rows.read_packed_after(connection, after, limit)))

    async def read_before(self, before: int | None, *, limit: int) -> list[StoredRecord]:
        """The newest records of all accounts with a position below `before` (None: of all), newest first."""
        newest = sqlite_rows.PAST_ALL if before is None else before
        return await self.call(lambda connection: sqlite_rows.read_before(connection, newest, limit))

    async def count(self, *, after: int) -> int:
        """How many records have a position above `after`; where these are very many, at least so many."""
        return await self.call(lambda connection: sqlite_rows.count_after(connection, after))

    async def read_account(self, account: AccountId, *, after: int, limit: int, whole: bool = False) -> list[Record]:
        """As in `Journal`."""
        read = sqlite_rows.read_account_whole if whole else sqlite_rows.read_account_after
        return await self.call(lambda connection: read(connection, account, after, limit))

    async def last_sequence(self, account: AccountId) -> int:
        """The highest committed sequence of the account, 0 if there is none."""
        return await self.call(lambda connection: sqlite_rows.read_last_sequence(connection, account))

    async def accounts(self) -> list[AccountId]:
        """Every account that the journal knows."""
        return await self.call(sqlite_rows.read_accounts)

    async def load_checkpoint(self, account: AccountId) -> tuple[int, tuple[Event, ...]]:
        """As in `Journal`."""
        return await self.call(lambda connection: sqlite_rows.load_checkpoint(connection, account))

    async def position(self, reader: str) -> int:
        """As in `Projection`."""
        return await self.call(lambda connection: read_position(connection, reader))

    async def call(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Runs a query on a reading thread."""
        if self._closed:
            raise StoreError(f"{self._path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._borrow, work)

    async def run(self, work: Callable[[], ResultT]) -> ResultT:
        """Runs work that needs no database where it does not hold up the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def close(self) -> None:
        """Waits for running queries, then closes the file. May be called twice."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
        for _ in range(self._count):
            self._connections.get().close()
        await asyncio.to_thread(_clear_away_log, self._path)

    def _borrow(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        connection = self._connections.get()
        try:
            return work(connection)
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error
        finally:
            self._connections.put(connection)


def _clear_away_log(path: Path) -> None:
    """Removes the empty log and its index, which a connection that cannot write makes beside a store at rest and has to leave there.
    SQLite does it when the last connection ends that could write, and not while anybody else has the store open. A log that holds
    something is left alone: whoever writes the store next takes it in."""
    log = path.with_name(f"{path.name}-wal")
    # tidiness alone: who may not write here leaves them
    with suppress(OSError, sqlite3.Error):
        if log.stat().st_size:
            return
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {CLEARING_LIMIT_MS}")
            connection.execute("PRAGMA schema_version").fetchone()
