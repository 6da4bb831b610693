"""The event loop's side of group commit: what was handed over, what is durable, who waits for it, and patience with a disk in trouble."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from userstream.adapters.sequences import Sequences
from userstream.adapters.sqlite_batches import MOST_RECORDS, Batch, OpenBatch
from userstream.adapters.sqlite_file import open_for_writing, store_error
from userstream.adapters.sqlite_writer import SqliteWriter
from userstream.adapters.watchers import Watchers
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import Millis
from userstream.ports import Clock, Record, Timer

STORM_RECORDS: Final = 64
RECORDS_GATHERED_IN_A_MS: Final = 50
LONGEST_GATHER_MS: Final = 4
"""After a commit of a storm more records may gather, the longer the more there were: each commit takes the interpreter from the event loop
a few times, whatever its size."""

ResultT = TypeVar("ResultT")


class SqliteSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the store behaves.

    keep_days, keep_bytes: rows of the journal that nobody needs any more go when they are older, or the file is larger. max_backlog:
    records that may wait while the disk is full. flush_limit_ms: how long `flush` waits for a disk in trouble. first_retry_ms,
    max_retry_ms: the pause before a failed commit is tried again doubles from the one to the other. max_pages: the largest size of the
    file, in its pages; None for no limit.
    """

    keep_days: int = 14
    keep_bytes: int = 20 << 30
    max_backlog: int = 1_000_000
    flush_limit_ms: int = 10_000
    first_retry_ms: int = 1_000
    max_retry_ms: int = 30_000
    max_pages: int | None = None


class _Flush:
    """One caller who waits until `target` records are committed."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.patience: Timer | None = None

    def fulfil(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: StoreError) -> None:
        if not self.done.done():
            self.done.set_exception(StoreError(str(error)))


class Commits:
    """Takes records in, gives them to the writing thread, and says when they are durable."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        settings: SqliteSettings,
        on_trouble: Callable[[StoreError | None], None] | None,
        connect: Callable[[], sqlite3.Connection] | None = None,
    ) -> None:
        self.sequences, self.watchers = Sequences(), Watchers()
        self.trouble: StoreError | None = None
        self._path, self._clock, self._settings = path, clock, settings
        self._on_trouble_changed = on_trouble
        self._full: deque[OpenBatch] = deque()
        self._open: OpenBatch | None = None
        connect = connect or partial(open_for_writing, path, max_pages=settings.max_pages)
        self._writer = SqliteWriter(path, self, connect)
        self._next_position = 1
        self._is_writing = self._is_planned = self._is_stopping = self._has_failed = False
        self._gathering: Timer | None = None
        self._appended = self._committed = 0
        self._flushes: deque[_Flush] = deque()
        self._refusal: StoreError | None = None
        self._retry_ms = settings.first_retry_ms
        self._retry_timer: Timer | None = None

    async def open(self) -> None:
        """Raises StoreError if the file cannot be used."""
        known, self._next_position = await self._writer.open()
        self.sequences = Sequences(known)

    def append(self, record: Record) -> None:
        """Raises StoreError for a sequence that is not above the account's last, for a full backlog, and once nothing can be written. A
        value that no journal can hold ends it: what was appended before is then lost too, as far as it is not committed."""
        if self._refusal is not None:
            raise StoreError(str(self._refusal))
        if self._appended - self._committed >= self._settings.max_backlog:
            why = self.trouble or f"{self._path}: too slow"
            raise StoreError(f"{self.backlog} records wait to be written, no more are taken: {why}")
        self.sequences.take(record)
        self._appended += 1
        batch = self._open
        if batch is None:
            batch = self._open = OpenBatch(keeps_records=self.watchers.want_records)
        try:
            is_full = batch.add(record)
        except Exception as error:
            self.on_trouble(store_error(error, self._path), final=True)
            return
        if is_full:
            self._full.append(batch)
            self._open = None
        if self._is_writing:
            return
        if not self._is_planned:
            # At the end of this turn of the loop: what else it brings is of the same batch.
            self._is_planned = True
            asyncio.get_running_loop().call_soon(self._hand_over)
        elif self._full:
            self._end_gathering()

    @property
    def backlog(self) -> int:
        return self._appended - self._committed

    def submit(
        self, work: Callable[[sqlite3.Connection], ResultT], *, durable: bool = True, single: bool = False
    ) -> asyncio.Future[ResultT]:
        """As in `SqliteWriter`."""
        return self._writer.submit(work, durable=durable, single=single)

    async def flush(self) -> None:
        """Returns when all that was appended before is committed. While commits fail it waits `flush_limit_ms`, then raises StoreError."""
        if not self.backlog:
            return
        if self._refusal is not None:
            raise StoreError(str(self._refusal))
        flush = self._expect_all()
        self._set_patience(flush)
        try:
            await flush.done
        finally:
            if flush.patience is not None:
                flush.patience.cancel()

    async def stop(self) -> None:
        """Writes what can be written, then ends the thread. Raises StoreError if records are lost."""
        closed = StoreError(f"{self._path} is closed")
        self._refusal = self._refusal or closed
        self._is_stopping = True
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        self._cancel_gathering()
        while not self._has_failed and self._write_next():
            pass
        await self._writer.stop()
        self._fail_flushes(self.trouble or closed)
        if self.backlog:
            raise StoreError(f"{self.backlog} records could not be written: {self.trouble or self._path}")

    def _expect_all(self) -> _Flush:
        flush = _Flush(self._appended)
        self._flushes.append(flush)
        self._end_gathering()
        return flush

    def _end_gathering(self) -> None:
        if self._gathering is not None:
            self._cancel_gathering()
            self._hand_over()

    def _cancel_gathering(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    # ---- batches, one at a time

    def _hand_over(self) -> None:
        self._is_planned, self._gathering = False, None
        if not (self._is_writing or self._has_failed):
            self._write_next()

    def _write_next(self) -> bool:
        """False when nothing waits."""
        oldest = self._full.popleft() if self._full else self._open
        if oldest is None:
            return False
        if oldest is self._open:
            self._open = None
        batch = oldest.close(self._next_position)
        self._next_position += len(batch.rows)
        self._is_writing = True
        self._writer.write(batch)
        return True

    def _go_on(self, committed: int) -> None:
        if STORM_RECORDS <= committed < MOST_RECORDS and not self._flushes:
            self._is_planned = True
            gather_ms = min(committed // RECORDS_GATHERED_IN_A_MS, LONGEST_GATHER_MS)
            self._gathering = self._clock.call_at(Millis(self._clock.now() + gather_ms), self._hand_over)
        else:
            self._hand_over()

    # ---- what the writing thread reports

    def on_committed(self, batch: Batch) -> None:
        self._is_writing = False
        self._committed += batch.count
        if self.trouble is not None and not self._has_failed:
            self.trouble, self._retry_ms = None, self._settings.first_retry_ms
            self._tell_trouble(None)
        while self._flushes and self._flushes[0].target <= self._committed:
            self._flushes.popleft().fulfil()
        if not self._is_stopping:
            self._go_on(batch.count)
        self.watchers.tell(batch)

    def on_trouble(self, error: StoreError, *, final: bool) -> None:
        news = self.trouble is None or final
        self.trouble = error
        if final:
            self._has_failed, self._refusal = True, error
        if final:
            self._fail_flushes(error)
        elif not self._is_stopping:
            self._retry_timer = self._clock.call_at(Millis(self._clock.now() + self._retry_ms), self._writer.retry)
            self._retry_ms = min(self._retry_ms * 2, self._settings.max_retry_ms)
        if news:
            self._tell_trouble(error)

    def _tell_trouble(self, error: StoreError | None) -> None:
        if self._on_trouble_changed is not None:
            # In a turn of its own: what it raises is nobody else's trouble.
            asyncio.get_running_loop().call_soon(self._on_trouble_changed, error)

    def _set_patience(self, flush: _Flush) -> None:
        when = Millis(self._clock.now() + self._settings.flush_limit_ms)
        flush.patience = self._clock.call_at(when, partial(self._lose_patience, flush))

    def _lose_patience(self, flush: _Flush) -> None:
        if self.trouble is not None:
            flush.fail(self.trouble)
        elif not flush.done.done():
            self._set_patience(flush)

    def _fail_flushes(self, error: StoreError) -> None:
        while self._flushes:
            self._flushes.popleft().fail(error)
