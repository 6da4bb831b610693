"""The embedded store: journal, checkpoints and tables in one SQLite file, with one writing thread and a few reading ones."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final

import structlog

from userstream.adapters import sqlite_rows
from userstream.adapters.file_lock import FileLock
from userstream.adapters.sqlite_commits import Commits, SqliteSettings
from userstream.adapters.sqlite_file import check_owner, check_place
from userstream.adapters.sqlite_reader import SqliteReader
from userstream.adapters.sqlite_retention import ANY_AGE, find_removable, remove_rows, used_bytes
from userstream.adapters.sqlite_tables import TableBatch, prepare_batch, split_records, write_batch
from userstream.domain.events import Event
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Clock, Committed, Record, StoredRecord, Timer

_log = structlog.stdlib.get_logger("userstream.store")

DEFAULT_SETTINGS: Final = SqliteSettings()
_DAY_MS: Final = 24 * 3600 * 1000
_TRIM_EVERY_MS: Final = 3600 * 1000
_MOST_EVENTS_OF_A_TURN: Final = 25


def open_reader(path: Path) -> SqliteReader:
    """A store for reading only, from any process, whether another one writes it or not. Raises StoreError, in one line."""
    return SqliteReader(path)


class SqliteStore:
    """`Journal`, `Projection` and `StateReader` over one file. One process writes it, any number may read it.

    What `watch` reports survives a crash of the process and of the machine. The tables follow the journal: a power cut may take back their
    newest rows together with the reader's position, and the journal brings them again.
    """

    def __init__(self, path: Path, clock: Clock, settings: SqliteSettings, on_trouble: Callable[[StoreError | None], None] | None) -> None:
        """Opens nothing: use `open`."""
        self._path, self._clock, self._settings = path, clock, settings
        self._lock = FileLock(path.with_name(f"{path.name}.lock"))
        self._commits = Commits(path, clock, settings, on_trouble)
        self._reader: SqliteReader
        self._positions: dict[str, int] = {}
        self._trim_timer: Timer | None = None
        self._trim_task: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        clock: Clock,
        *,
        settings: SqliteSettings = DEFAULT_SETTINGS,
        on_trouble: Callable[[StoreError | None], None] | None = None,
    ) -> SqliteStore:
        """Opens or creates the store. `on_trouble` hears once when commits begin to fail, and None once they succeed again.

        A new file can be read by its owner alone. Raises StoreError, in one line for people: another process writes it, it is another
        program's file, no database, from a newer version, or cannot be made or read.
        """
        check_place(path)
        store = cls(path, clock, settings, on_trouble)
        await store._begin()
        return store

    async def __aenter__(self) -> SqliteStore:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _begin(self) -> None:
        # before the lock, which is a file beside it and stays
        await asyncio.to_thread(check_owner, self._path)
        self._lock.take()
        try:
            await self._commits.open()
            self._reader = await asyncio.to_thread(SqliteReader, self._path)
        except BaseException:
            await self._commits.stop()
            self._lock.release()
            raise
        self._plan_trim()

    async def close(self) -> None:
        """Commits what it holds, then ends: where no other process reads, all is in the one file afterwards. Raises StoreError, once all is
        closed, if records could not be written. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._trim_timer is not None:
            self._trim_timer.cancel()
        if self._trim_task is not None:
            self._trim_task.cancel()
            await asyncio.wait([self._trim_task])
        try:
            # first the readers: whoever closes the file last leaves everything in it, and nothing beside it
            await self._reader.close()
            await self._commits.stop()
        finally:
            self._lock.release()

    # ---- journal

    def append(self, record: Record) -> None:
        """As in `Journal`. Raises StoreError for a sequence that is not above the account's last, for a full backlog, after `close`."""
        self._commits.append(record)

    @property
    def backlog(self) -> int:
        return self._commits.backlog

    @property
    def trouble(self) -> StoreError | None:
        """Why commits fail right now; None while all is well."""
        return self._commits.trouble

    def watch(self, callback: Callable[[Sequence[Record]], None]) -> None:
        self._commits.watchers.add(callback)

    def watch_stored(self, callback: Callable[[Sequence[StoredRecord]], None], *, packed: bool = False) -> None:
        """As `watch`, with the position of each record, in the order of `read`. `packed`: for who opens none of them, so that nobody keeps
        them."""
        self._commits.watchers.add_stored(callback, packed=packed)

    def watch_commits(self, callback: Callable[[Sequence[Committed]], None]) -> None:
        """As in `Journal`."""
        self._commits.watchers.add_of_commits(callback)

    async def flush(self) -> None:
        """As in `Journal`. While commits fail it waits `flush_limit_ms` for them to succeed again."""
        await self._commits.flush()

    async def last_sequence(self, account: AccountId) -> int:
        return self._commits.sequences.last(account)

    async def read(self, *, after: int, limit: int) -> list[StoredRecord]:
        return await self._reader.read(after=after, limit=limit)

    async def read_packed(self, *, after: int, limit: int) -> Sequence[StoredRecord]:
        """As `read`, nothing decoded: whole rows, of which the first may begin at or before `after`, and the last holds the record of the
        limit."""
        return await self._reader.read_packed(after=after, limit=limit)

    async def count(self, *, after: int) -> int:
        """How many records have a position above `after`; where these are very many, at least so many."""
        return await self._reader.count(after=after)

    async def read_account(self, account: AccountId, *, after: int, limit: int, whole: bool = False) -> list[Record]:
        return await self._reader.read_account(account, after=after, limit=limit, whole=whole)

    async def accounts(self) -> list[AccountId]:
        """Every account that the journal knows."""
        return await self._reader.accounts()

    async def save_checkpoint(self, account: AccountId, sequence: int, events: Sequence[Event]) -> None:
        """As in `Journal`; what was appended before is committed first, so that a checkpoint never knows more than the journal. It is made
        from that, and need not wait for the disk."""
        await self.flush()
        await self._commits.submit(lambda file: sqlite_rows.save_checkpoint(file, account, sequence, events), durable=False, single=True)
        self._commits.sequences.raise_to(account, sequence)

    async def load_checkpoint(self, account: AccountId) -> tuple[int, tuple[Event, ...]]:
        return await self._reader.load_checkpoint(account)

    # ---- projection

    async def position(self, reader: str) -> int:
        if reader not in self._positions:
            self._positions[reader] = await self._reader.position(reader)
        return self._positions[reader]

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        """As in `Projection`, in turns of a few milliseconds: each turn is a transaction with a position of its own."""
        reached = await self.position(reader)
        fresh = [stored for stored in records if stored.position > reached]
        for part in split_records(fresh, _MOST_EVENTS_OF_A_TURN):
            # Until the answer is here, only the file knows the position.
            self._positions.pop(reader, None)
            batch = await self._reader.run(partial(prepare_batch, reader, reached, part))
            await self._commits.submit(partial(_write_tables, batch), durable=False)
            reached = self._positions[reader] = batch.reached

    async def rows(self, table: str, account: AccountId | None = None, *, limit: int = 1000) -> list[dict[str, object]]:
        """As in `StateReader`. Raises ValueError for a table that does not exist."""
        return await self._reader.rows(table, account, limit=limit)

    # ---- retention

    async def trim(self, now: Millis) -> int:
        """Removes rows of the journal that are too old at `now` (ms, our clock) or more than the file may hold, if every reader has passed
        them and a checkpoint replaces them. Works in small turns between commits. Returns how many rows went."""
        removed = 0
        while found := await self._remove_some(now - self._settings.keep_days * _DAY_MS):
            removed += found
        while await self._reader.call(used_bytes) > self._settings.keep_bytes and (found := await self._remove_some(ANY_AGE)):
            removed += found
        return removed

    async def _remove_some(self, older_than: int) -> int:
        positions = await self._reader.call(lambda connection: find_removable(connection, older_than))
        return await self._commits.submit(lambda connection: remove_rows(connection, positions)) if positions else 0

    def _plan_trim(self) -> None:
        self._trim_timer = self._clock.call_at(Millis(self._clock.now() + _TRIM_EVERY_MS), self._start_trim)

    def _start_trim(self) -> None:
        self._trim_task = self._clock.spawn(self._trim_in_time(), f"trim {self._path.name}")

    async def _trim_in_time(self) -> None:
        try:
            await self.trim(self._clock.wall())
        except StoreError as error:
            # Old rows may stay for another turn; why they stay must be seen.
            _log.warning("old rows of the journal could not be removed", action="trim_failed", path=str(self._path), reason=str(error))
        self._plan_trim()


class PackedJournal:
    """A store as a pump reads it whose projection passes the records on: they stay as they lie in the file."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def watch_stored(self, callback: Callable[[Sequence[StoredRecord]], None]) -> None:
        """As in `SqliteStore`."""
        self._store.watch_stored(callback, packed=True)

    async def read(self, *, after: int, limit: int) -> Sequence[StoredRecord]:
        """As `read_packed` of the store."""
        return await self._store.read_packed(after=after, limit=limit)

    async def count(self, *, after: int) -> int:
        """As in `SqliteStore`."""
        return await self._store.count(after=after)


def _write_tables(batch: TableBatch, connection: sqlite3.Connection) -> None:
    write_batch(connection, batch)
