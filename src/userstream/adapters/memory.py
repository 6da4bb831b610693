"""Journal and tables in memory: the library's default, and the plainest form of what every store promises. Nothing survives the process."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Final

import msgspec

from userstream.adapters.sequences import Sequences, check_kept, last_of
from userstream.adapters.tables import FILL_BLANKS, REGISTERS, TABLES, Row, Value, find_table, row_of, sort_into_tables
from userstream.adapters.watchers import Watchers
from userstream.domain.coverage import COVERAGE_EVENTS, Coverage, fold_coverage
from userstream.domain.events import Event
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import Committed, Record, StoredRecord

KEPT_RECORDS: Final = 100_000
KEPT_BYTES: Final = 32 << 20


class MemoryJournal:
    """A `Journal` for as long as the process lives. A record counts as committed when the event loop has run once more.

    keep_records, keep_bytes: how many records are kept and how much memory they may take, about; older ones can no longer be read.
    """

    def __init__(self, *, keep_records: int = KEPT_RECORDS, keep_bytes: int = KEPT_BYTES) -> None:
        self._keep, self._keep_bytes = keep_records, keep_bytes
        self._bytes = 0
        self._removed: dict[AccountId, int] = {}
        self._sequences = Sequences()
        self._pending: list[Record] = []
        self._stored: list[StoredRecord] = []
        self._accounts: dict[AccountId, list[Record]] = {}
        self._checkpoints: dict[AccountId, tuple[int, tuple[Event, ...]]] = {}
        self._position = 0
        self._watchers = Watchers()
        self._closed = False

    def append(self, record: Record) -> None:
        """As in `Journal`. Needs a running event loop."""
        if self._closed:
            raise StoreError("the journal is closed")
        self._sequences.take(record)
        self._pending.append(record)
        if len(self._pending) == 1:
            asyncio.get_running_loop().call_soon(self._commit)

    @property
    def backlog(self) -> int:
        return len(self._pending)

    @property
    def trouble(self) -> StoreError | None:
        return None

    def watch(self, callback: Callable[[Sequence[Record]], None]) -> None:
        self._watchers.add(callback)

    def watch_stored(self, callback: Callable[[Sequence[StoredRecord]], None]) -> None:
        """As `watch`, with the position of each record."""
        self._watchers.add_stored(callback)

    def watch_commits(self, callback: Callable[[Sequence[Committed]], None]) -> None:
        self._watchers.add_of_commits(callback)

    async def flush(self) -> None:
        self._commit()

    async def last_sequence(self, account: AccountId) -> int:
        return self._sequences.last(account)

    async def read(self, *, after: int, limit: int) -> list[StoredRecord]:
        oldest = self._stored[0].position if self._stored else 1
        begin = max(after - oldest + 1, 0)
        return self._stored[begin : begin + limit]

    async def count(self, *, after: int) -> int:
        """How many records have a position above `after`."""
        return min(self._position - after, len(self._stored))

    async def read_account(self, account: AccountId, *, after: int, limit: int, whole: bool = False) -> list[Record]:
        if whole:
            check_kept(account, after, self._removed.get(account, 0))
        records = self._accounts.get(account, [])
        begin = bisect_right(records, after, key=last_of)
        return records[begin : begin + limit]

    async def save_checkpoint(self, account: AccountId, sequence: int, events: Sequence[Event]) -> None:
        if sequence >= self._checkpoints.get(account, (0, ()))[0]:
            self._checkpoints[account] = (sequence, tuple(events))
            self._sequences.raise_to(account, sequence)

    async def load_checkpoint(self, account: AccountId) -> tuple[int, tuple[Event, ...]]:
        return self._checkpoints.get(account, (0, ()))

    async def close(self) -> None:
        self._commit()
        self._closed = True

    def _commit(self) -> None:
        if not self._pending:
            return
        records, self._pending = self._pending, []
        placed = [StoredRecord(self._position + number, record) for number, record in enumerate(records, 1)]
        self._position += len(records)
        self._stored += placed
        for record in records:
            self._accounts.setdefault(record.account, []).append(record)
            self._bytes += record.memory_bytes
        self._forget_oldest()
        self._watchers.tell(_MemoryCommit(records, placed))

    def _forget_oldest(self) -> None:
        # Cutting a list moves all that stays: done now and then for many, it costs nothing worth counting.
        if len(self._stored) <= self._keep * 5 // 4 and self._bytes <= self._keep_bytes:
            return
        excess = self._excess()
        counts: dict[AccountId, int] = {}
        for stored in self._stored[:excess]:
            record = stored.record
            counts[record.account] = counts.get(record.account, 0) + 1
            self._removed[record.account] = last_of(record)
            self._bytes -= record.memory_bytes
        del self._stored[:excess]
        for account, count in counts.items():
            del self._accounts[account][:count]

    def _excess(self) -> int:
        """How many of the oldest records go; the newest always stays."""
        excess, held = max(0, len(self._stored) - self._keep), self._bytes
        target = self._keep_bytes * 4 // 5 if held > self._keep_bytes else held
        for number, stored in enumerate(self._stored):
            if number >= excess and held <= target:
                return min(number, len(self._stored) - 1)
            held -= stored.record.memory_bytes
        return len(self._stored) - 1


class _MemoryCommit(msgspec.Struct, frozen=True):
    """As in `Watchers`."""

    records: list[Record]
    placed: list[StoredRecord]

    def recall(self) -> list[Record]:
        return self.records

    def place(self) -> list[StoredRecord]:
        return self.placed

    def summary(self) -> list[Committed]:
        accounts: dict[AccountId, list[Record]] = {}
        for record in self.records:
            accounts.setdefault(record.account, []).append(record)
        return [Committed(account, len(records), records[0].received_time) for account, records in accounts.items()]


class MemoryProjection:
    """`Projection` and `StateReader` over rows in memory: the same tables, columns and rules as in a database."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[tuple[Value, ...], Row]] = {name: {} for name in TABLES}
        self._coverage: dict[AccountId, Coverage] = {}

    async def position(self, reader: str) -> int:
        row = self._tables["cursors"].get((reader,))
        return int(row["position"] or 0) if row else 0

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        reached = await self.position(reader)
        fresh = [stored for stored in records if stored.position > reached]
        if not fresh:
            return
        events = [event for stored in fresh for event in stored.record.events]
        for table, batch in sort_into_tables(events).items():
            for event in batch:
                self._put(table, dict(zip(TABLES[table].columns, row_of(table, event), strict=True)))
        self._extend_coverage(events)
        self._tables["cursors"][(reader,)] = {"reader": reader, "position": fresh[-1].position}

    async def rows(self, table: str, account: AccountId | None = None, *, limit: int = 1000) -> list[dict[str, object]]:
        """Rows of a table, newest first where it has an age. Raises ValueError for a table that does not exist."""
        form = find_table(table)
        newest_first = reversed(self._tables[table].values())
        found: list[dict[str, object]] = [dict(row) for row in newest_first if account is None or row.get("account", account) == account]
        for column in reversed(form.listing):
            if column != "-rowid":
                found.sort(key=itemgetter(column.lstrip("-")), reverse=column.startswith("-"))
        return found[:limit]

    def _put(self, table: str, row: Row) -> None:
        key = tuple(row[column] for column in TABLES[table].key)
        rows = self._tables[table]
        known = rows.get(key)
        if known is None:
            rows[key] = row
        elif table == "fills":
            rows[key] = known | {name: row[name] for name in FILL_BLANKS if known[name] is None}
        elif table in REGISTERS and int(row["sequence"] or 0) > int(known["sequence"] or 0):
            rows[key] = row

    def _extend_coverage(self, events: Iterable[Event]) -> None:
        accounts: dict[AccountId, list[Event]] = {}
        for event in events:
            if isinstance(event, COVERAGE_EVENTS):
                accounts.setdefault(event.account, []).append(event)
        for account, told in accounts.items():
            self._coverage[account] = fold_coverage(self._coverage.get(account, Coverage()), told)
            rows = self._tables["coverage"]
            for key in [key for key in rows if key[0] == account]:
                del rows[key]
            for span in self._coverage[account].spans:
                row: Row = {"account": account, "since": span.since, "until": span.until, "state": str(span.state)}
                rows[(account, span.since)] = row
