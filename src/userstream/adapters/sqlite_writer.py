"""The one thread that writes. Journal batches come first, jobs (tables, checkpoints, retention) take turns in between.

The thread reads no clock: after an error it stands still until `retry` is called, in a storm it lets records gather. What it could not
write it keeps, and writes again at the same positions, so that a commit whose answer was lost is not written twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Protocol, TypeVar

from userstream.adapters.sqlite_file import Remedy, remedy_of, roll_back, store_error
from userstream.adapters.sqlite_rows import Batch, insert_rows, is_stored, make_batch, read_last_sequences, read_newest_position
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import Record

MOST_RECORDS: Final = 4_096
MOST_BYTES: Final = 4 << 20
STORM_RECORDS: Final = 64
GATHER_S_OF_A_RECORD: Final = 0.00005
LONGEST_GATHER_S: Final = 0.015
"""After a commit of so many records the thread lets more gather, the longer the more there were: each commit takes the interpreter from
the event loop a few times, whatever its size."""

ResultT = TypeVar("ResultT")


class WriterOwner(Protocol):
    """Who the thread reports to, on the event loop."""

    def on_committed(self, batch: Batch) -> None: ...

    def on_trouble(self, error: StoreError, *, final: bool) -> None:
        """A commit failed. If not `final`, the records are kept and `retry` tries again."""


class SqliteWriter:
    """Made and used on the event loop. `records` is filled by the owner, who calls `wake` when `resting` is true."""

    def __init__(self, path: Path, records: deque[Record], owner: WriterOwner, connect: Callable[[], sqlite3.Connection]) -> None:
        self.resting = False
        self._path, self._records, self._owner, self._connect = path, records, owner, connect
        self._loop = asyncio.get_running_loop()
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self._jobs: deque[Callable[[], None]] = deque()
        self._opened: asyncio.Future[dict[AccountId, int]] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._stopping = self._blocked = self._failed = False
        self._hurry = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._batch: Batch | None = None
        self._in_doubt = False
        self._synchronous = "FULL"
        self._next_position = 1
        self._thread = threading.Thread(target=self._run, name=f"userstream-writer-{path.name}", daemon=True)

    async def open(self) -> dict[AccountId, int]:
        """Starts the thread; the highest committed sequence of each account. Raises StoreError if the file cannot be used."""
        self._thread.start()
        return await self._opened

    def wake(self) -> None:
        self.resting = False
        self._wakeups.put(None)

    def retry(self) -> None:
        """Another attempt after trouble."""
        self._blocked = False
        self.wake()

    def submit(self, work: Callable[[sqlite3.Connection], ResultT], *, durable: bool = True) -> asyncio.Future[ResultT]:
        """Runs work in a transaction, between journal batches. Not `durable`: a power cut may take it back, together with all that
        was committed after it; right for what is made from the journal. The future raises StoreError if the database refuses."""
        future: asyncio.Future[ResultT] = self._loop.create_future()

        def run() -> None:
            try:
                result = self._transact(work, durable=durable)
            except Exception as error:
                self._post(_fail, future, error)
            else:
                self._post(_fulfil, future, result)

        if self._stopping:
            future.set_exception(StoreError(f"{self._path} is closed"))
        else:
            self._jobs.append(run)
            self.wake()
        return future

    async def stop(self) -> int:
        """Tries once more to write what is held, then ends the thread. Returns how many records could not be written."""
        if self._thread.ident is not None:
            self._stopping, self._blocked = True, False
            self._hurry.set()
            self.wake()
            await self._ended
        return len(self._records) + (len(self._batch.records) if self._batch else 0)

    # ---- on the thread

    def _run(self) -> None:
        try:
            self._connection = self._connect()
            self._next_position = read_newest_position(self._connection) + 1
            known = read_last_sequences(self._connection)
        except Exception as error:
            self._post(_fail, self._opened, error if isinstance(error, StoreError) else store_error(error, self._path))
        else:
            self._post(_fulfil, self._opened, known)
            self._work()
            self._gather_in_one_file()
        self._discard()
        self._post(_fulfil, self._ended, None)

    def _work(self) -> None:
        while True:
            self._rest()
            if self._can_commit():
                self._commit()
            if self._jobs:
                self._jobs.popleft()()
            elif self._stopping and not self._can_commit():
                return

    def _rest(self) -> None:
        # The flag goes up before the look, and the owner fills before it looks at the flag: one of the two sees the other.
        self.resting = True
        if not (self._stopping or self._jobs or self._can_commit()):
            self._wakeups.get()
        self.resting = False

    def _can_commit(self) -> bool:
        return not (self._blocked or self._failed) and (self._batch is not None or bool(self._records))

    def _commit(self) -> None:
        try:
            batch = self._batch = self._batch or self._take()
            self._write(batch)
        except Exception as error:
            self._suffer(error)
            return
        self._batch, self._in_doubt = None, False
        self._post(self._owner.on_committed, batch)
        if STORM_RECORDS <= len(batch.records) < MOST_RECORDS:
            self._hurry.wait(min(len(batch.records) * GATHER_S_OF_A_RECORD, LONGEST_GATHER_S))

    def _take(self) -> Batch:
        records: list[Record] = []
        size = 0
        while self._records and len(records) < MOST_RECORDS and size < MOST_BYTES:
            record = self._records.popleft()
            records.append(record)
            size += len(record.frame)
        try:
            batch = make_batch(records, self._next_position)
        except Exception:
            self._records.extendleft(reversed(records))
            raise
        self._next_position += len(batch.rows)
        return batch

    def _write(self, batch: Batch) -> None:
        connection = self._usable()
        self._set_synchronous(connection, "FULL")
        rows = [row for row in batch.rows if not is_stored(connection, row)] if self._in_doubt else batch.rows
        insert_rows(connection, rows)

    def _suffer(self, error: Exception) -> None:
        final = self._undo(error) is Remedy.NONE
        self._blocked = self._in_doubt = True
        self._failed = final
        told = error if isinstance(error, StoreError) else store_error(error, self._path)
        self._post(lambda: self._owner.on_trouble(told, final=final))

    def _transact(self, work: Callable[[sqlite3.Connection], ResultT], *, durable: bool) -> ResultT:
        try:
            connection = self._usable()
            self._set_synchronous(connection, "FULL" if durable else "NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")
            return result
        except sqlite3.Error as error:
            self._undo(error)
            raise store_error(error, self._path) from error
        except Exception as error:
            self._undo(error)
            raise

    def _set_synchronous(self, connection: sqlite3.Connection, mode: str) -> None:
        if mode != self._synchronous:
            connection.execute(f"PRAGMA synchronous = {mode}")
            self._synchronous = mode

    def _undo(self, error: Exception) -> Remedy:
        """Ends the transaction; leaves the connection where its word cannot be trusted any more."""
        remedy = remedy_of(error)
        if self._connection is None:
            return Remedy.REOPEN if isinstance(error, StoreError) else remedy
        try:
            roll_back(self._connection)
        except sqlite3.Error:
            remedy = Remedy.REOPEN if remedy is Remedy.RETRY else remedy
        if remedy is Remedy.REOPEN:
            self._discard()
        return remedy

    def _usable(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = self._connect()
            self._synchronous = "FULL"
            try:
                _settle(connection)
            except Exception:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _gather_in_one_file(self) -> None:
        """So that the file alone can be copied. What a full disk or a reader keeps from it stays in the log, for the next start."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop is closed: nobody is left to be told.
            self._stopping = True


def _settle(connection: sqlite3.Connection) -> None:
    """After an I/O error the log may show commits that the disk never took: copying them into the database, with a fresh fsync, makes true
    what is shown. Raises if that cannot be done now."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
    if busy:
        raise StoreError("readers keep the store from being checked after an error")


def _fulfil(future: asyncio.Future[ResultT], result: ResultT) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[ResultT], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
