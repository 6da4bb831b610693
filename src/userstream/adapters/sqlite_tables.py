"""The tables in SQLite: a batch of events becomes one statement a table, so that the writer's turn is short."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from userstream.adapters.sql import load_queries
from userstream.adapters.sqlite_file import insert_many
from userstream.adapters.tables import TABLES, Value, find_table, row_of, sort_into_tables
from userstream.domain.coverage import COVERAGE_EVENTS, Coverage, CoverageState, Span, fold_coverage
from userstream.domain.events import Event
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import StoredRecord

_QUERIES: Final = load_queries("projection.sql")
_encoder: Final = msgspec.json.Encoder()


class TableBatch(msgspec.Struct, frozen=True):
    """What a reader is about to write: it stands at `base` and will stand at `reached`."""

    reader: str
    base: int
    reached: int
    rows: Mapping[str, Sequence[tuple[Value, ...]]]
    coverage: Mapping[AccountId, Sequence[Event]]


def split_records(records: Sequence[StoredRecord], most_events: int) -> Iterator[Sequence[StoredRecord]]:
    """Parts of a batch that cost the writer a few milliseconds each; a record is never split."""
    begin, events = 0, 0
    for place, stored in enumerate(records):
        events += len(stored.record.events)
        if events >= most_events:
            yield records[begin : place + 1]
            begin, events = place + 1, 0
    if begin < len(records):
        yield records[begin:]


def prepare_batch(reader: str, base: int, records: Sequence[StoredRecord]) -> TableBatch:
    """The work that needs no database, so that it can be done elsewhere."""
    events = [event for stored in records for event in stored.record.events]
    rows = {table: [row_of(table, event) for event in batch] for table, batch in sort_into_tables(events).items()}
    return TableBatch(reader, base, records[-1].position, rows, _coverage_events(events))


def _coverage_events(events: Iterable[Event]) -> dict[AccountId, list[Event]]:
    accounts: dict[AccountId, list[Event]] = {}
    for event in events:
        if isinstance(event, COVERAGE_EVENTS):
            accounts.setdefault(event.account, []).append(event)
    return accounts


def write_batch(connection: sqlite3.Connection, batch: TableBatch) -> None:
    """To be called within a transaction: rows and the reader's position belong together."""
    if read_position(connection, batch.reader) != batch.base:
        raise StoreError(f"the reader {batch.reader!r} has been moved by somebody else")
    for table, rows in batch.rows.items():
        insert_many(connection, _QUERIES[f"add_{table}"], rows)
    for account, events in batch.coverage.items():
        _extend_coverage(connection, account, events)
    connection.execute(_QUERIES["save_position"], (batch.reader, batch.reached))


def read_position(connection: sqlite3.Connection, reader: str) -> int:
    found = connection.execute(_QUERIES["read_position"], (reader,)).fetchone()
    return int(found[0]) if found else 0


def _extend_coverage(connection: sqlite3.Connection, account: AccountId, events: Sequence[Event]) -> None:
    mark = connection.execute(_QUERIES["read_coverage_mark"], (account,)).fetchone()
    spans = connection.execute(_QUERIES["read_coverage"], (account,)).fetchall()
    before = Coverage(tuple(Span(since, until, CoverageState(state)) for since, until, state in spans), mark[0] if mark else 0)
    after = fold_coverage(before, events)
    if after.spans != before.spans:
        connection.execute(_QUERIES["clear_coverage"], (account,))
        connection.execute(_QUERIES["add_coverage"], (account, _encoder.encode(after.spans).decode()))
    if after.sequence != before.sequence:
        connection.execute(_QUERIES["save_coverage_mark"], (account, after.sequence))


def read_rows(connection: sqlite3.Connection, table: str, account: AccountId | None, limit: int) -> list[dict[str, object]]:
    """Rows of a table as text, whole numbers and None. Raises ValueError for a table that does not exist."""
    form = find_table(table)
    query = listing_query(table, one_account=account is not None)
    rows: list[tuple[Value, ...]] = connection.execute(query, {"account": account, "limit": limit}).fetchall()
    return [dict(zip(form.columns, row, strict=True)) for row in rows]


def listing_query(table: str, *, one_account: bool) -> str:
    """The query for the first `:limit` rows of a table, of one `:account` or of all."""
    form = TABLES[table]
    chosen = "WHERE account = :account" if one_account and "account" in form.columns else ""
    order = ", ".join(f"{name[1:]} DESC" if name.startswith("-") else name for name in form.listing)
    columns = ", ".join(form.columns)
    if "-rowid" not in form.listing:
        return f"SELECT {columns} FROM {table} {chosen} ORDER BY {order} LIMIT :limit"
    # Chosen by the index alone: a long history is not read, nor sorted, for its newest rows.
    newest = f"SELECT rowid FROM {table} {chosen} ORDER BY {order} LIMIT :limit"
    return f"SELECT {columns} FROM {table} WHERE rowid IN ({newest}) ORDER BY {order}"
