"""The one thread that writes. Journal batches come first, jobs (tables, checkpoints, retention) take turns in between.

Batches come encoded: the thread handles bytes only, and seldom needs the interpreter while the event loop is busy. It reads no clock:
after an error it stands still until `retry` is called. What it could not write it keeps, and writes again at the same positions, so that a
commit whose answer was lost is not written twice.
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
from typing import NamedTuple, Protocol, TypeVar

import structlog

from userstream.adapters.sqlite_batches import Batch
from userstream.adapters.sqlite_file import Remedy, remedy_of, roll_back, store_error
from userstream.adapters.sqlite_places import Places, Step, place_next
from userstream.adapters.sqlite_rows import insert_rows, is_stored, read_last_sequences, read_newest_position
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId

_log = structlog.stdlib.get_logger("userstream.store")

ResultT = TypeVar("ResultT")


class Contents(NamedTuple):
    """What an opened journal holds: the highest committed sequence of each account, and the place for the next row."""

    sequences: dict[AccountId, int]
    next_position: int


class WriterOwner(Protocol):
    """Who the thread reports to, on the event loop."""

    def on_committed(self, batch: Batch) -> None: ...

    def on_trouble(self, error: StoreError, *, final: bool) -> None:
        """A commit failed. If not `final`, the batch is kept and `retry` tries again."""


class SqliteWriter:
    """Made and used on the event loop. Batches are written in the order of `write`, each whole or not at all."""

    def __init__(self, path: Path, owner: WriterOwner, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path, self._owner, self._connect = path, owner, connect
        self._loop = asyncio.get_running_loop()
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self._jobs: deque[Callable[[], None]] = deque()
        self._batches: deque[Batch] = deque()
        self._opened: asyncio.Future[Contents] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._stopping = self._blocked = self._failed = False
        self._connection: sqlite3.Connection | None = None
        self._in_doubt = False
        self._synchronous = "FULL"
        self._places = Places()
        self._steps: deque[Step] = deque()
        self._thread = threading.Thread(target=self._run, name=f"userstream-writer-{path.name}", daemon=True)

    async def open(self) -> Contents:
        """Starts the thread. Raises StoreError if the file cannot be used."""
        self._thread.start()
        return await self._opened

    def write(self, batch: Batch) -> None:
        """Commits a batch, after those before it."""
        self._batches.append(batch)
        self._wakeups.put(None)

    def retry(self) -> None:
        """Another attempt after trouble."""
        self._blocked = False
        self._wakeups.put(None)

    def submit(
        self, work: Callable[[sqlite3.Connection], ResultT], *, durable: bool = True, single: bool = False
    ) -> asyncio.Future[ResultT]:
        """Runs work in a transaction, between journal batches. Not `durable`: a power cut may take it back, together with all that
        was committed after it; right for what is made from the journal. `single`: it needs no transaction, because it is one statement.
        The future raises StoreError if the database refuses."""
        future: asyncio.Future[ResultT] = self._loop.create_future()

        def run() -> None:
            try:
                result = (self._execute if single else self._transact)(work, durable=durable)
            except Exception as error:
                self._post(_fail, future, error)
            else:
                self._post(_fulfil, future, result)

        if self._stopping:
            future.set_exception(StoreError(f"{self._path} is closed"))
        else:
            self._jobs.append(run)
            self._wakeups.put(None)
        return future

    async def stop(self) -> int:
        """Tries to write what is held, and after an error that may pass once more, then ends the thread. Returns how many records could not
        be written."""
        if self._thread.ident is not None:
            self._stopping, self._blocked = True, False
            self._wakeups.put(None)
            await self._ended
        return sum(batch.count for batch in self._batches)

    # ---- on the thread

    def _run(self) -> None:
        try:
            self._connection = self._connect()
            while self._extend_index(place_next):
                pass
            connection = self._usable()
            contents = Contents(read_last_sequences(connection), read_newest_position(connection) + 1)
        except Exception as error:
            self._post(_fail, self._opened, error if isinstance(error, StoreError) else store_error(error, self._path))
        else:
            self._post(_fulfil, self._opened, contents)
            self._work()
            self._gather_in_one_file()
        self._discard()
        self._post(_fulfil, self._ended, None)

    def _work(self) -> None:
        """Every wish comes with a wake-up, so none is overlooked; those that find nothing to do any more are harmless."""
        may_try_again = True
        while True:
            self._wakeups.get()
            stopping = self._stopping  # looked at first: whatever was wished before the stop is then still found
            while self._can_commit() or self._jobs or self._steps:
                if self._can_commit():
                    self._commit()
                if self._jobs:
                    self._jobs.popleft()()
                if self._steps:
                    self._extend_index(self._steps.popleft())
            if stopping and not (self._blocked and may_try_again):
                return
            if stopping:
                may_try_again = self._blocked = False
                self._wakeups.put(None)

    def _can_commit(self) -> bool:
        return bool(self._batches) and not (self._blocked or self._failed)

    def _commit(self) -> None:
        batch = self._batches[0]
        try:
            self._write(batch)
        except Exception as error:
            self._suffer(error)
            return
        self._in_doubt = False
        self._batches.popleft()
        self._post(self._owner.on_committed, batch)
        self._places.note(batch.rows)
        if not self._steps:
            self._steps.extend(self._places.take_portion())

    def _extend_index(self, step: Callable[[sqlite3.Connection], ResultT]) -> ResultT | None:
        """Whatever keeps the index of accounts from that, no commit waits for it: rows without a place are found as well, and get theirs
        later."""
        try:
            return self._execute(step, durable=False)
        except StoreError as error:
            self._places.fail()
            _log.warning("the index of accounts could not be extended", action="index_failed", path=str(self._path), reason=str(error))
            return None

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
        def run(connection: sqlite3.Connection) -> ResultT:
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")
            return result

        return self._execute(run, durable=durable)

    def _execute(self, work: Callable[[sqlite3.Connection], ResultT], *, durable: bool) -> ResultT:
        """Without a transaction, where the work is whole wherever it ends: each word to the database lets the interpreter go and asks for
        it again, which lasts a millisecond beside a busy event loop."""
        try:
            connection = self._usable()
            self._set_synchronous(connection, "FULL" if durable else "NORMAL")
            return work(connection)
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
        self._places.fail()  # a step is not synced: what the file shows when it is read afresh may lack it
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
