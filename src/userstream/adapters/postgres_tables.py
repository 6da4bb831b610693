"""The tables in PostgreSQL: a batch of events becomes one statement, and each table's rows travel as one array."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Final

import asyncpg
import msgspec

from userstream.adapters.postgres_address import Connection
from userstream.adapters.sql import load_queries
from userstream.adapters.tables import FILL_BLANKS, TABLES, Value, find_table, row_of, sort_into_tables
from userstream.domain.coverage import COVERAGE_EVENTS, Coverage, CoverageState, Span, fold_coverage
from userstream.domain.events import Event
from userstream.kernel.amount import plain_amount
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import StoredRecord

Rows = Sequence[tuple[Value, ...]]

QUERIES: Final = load_queries("postgres/projection.sql")
PARTED: Final[Mapping[str, str]] = {"fills": "transaction_time", "account_events": "event_time"}
"""The tables that are kept in a part for each month, and the column that says in which."""
NOT_HERE: Final = frozenset({"checkpoints"})
"""What belongs to a journal and has no place in a database that several of them fill."""
LARGEST_INTEGER: Final = 2**63 - 1
FIRST_TIME_MS: Final = 0
LAST_TIME_MS: Final = 4_102_444_800_000
SAME_FILL_MS: Final = 7 * 24 * 3600 * 1000
"""How far apart, in venue time, two words about one fill may be; what has the same ids later is another fill (as in the SQL)."""
_COMMON: Final = 4
"""The journal, the reader, where it stands and will stand."""
_COVERAGE_VALUES: Final = 10
"""The columns of what is new of the certificates."""
_PARAMETER: Final = re.compile(r"\$(\d+)")
_LONGEST_MONTH_MS: Final = 31 * 24 * 3600 * 1000
_FILL_COLUMNS: Final = TABLES["fills"].columns
_FILL_KEY: Final = tuple(_FILL_COLUMNS.index(name) for name in TABLES["fills"].key)
_FILL_TIME: Final = _FILL_COLUMNS.index("transaction_time")
_FILL_BLANKS: Final = tuple(_FILL_COLUMNS.index(name) for name in FILL_BLANKS)


class PostgresBatch(msgspec.Struct, frozen=True):
    """What a reader is about to write: it stands at `base` and will stand at `reached`. rows: of each table, in its order of columns.
    times: one of each month that the rows need a part for, in venue ms."""

    reader: str
    base: int
    reached: int
    rows: Mapping[str, Rows]
    coverage: Mapping[AccountId, Sequence[Event]]
    times: frozenset[int]


def split_records(records: Sequence[StoredRecord], most_events: int) -> Iterator[Sequence[StoredRecord]]:
    """Parts of a batch, each for a transaction of its own; a record is never split."""
    part: list[StoredRecord] = []
    events = 0
    for stored in records:
        part.append(stored)
        events += len(stored.record.events)
        if events >= most_events:
            yield part
            part, events = [], 0
    if part:
        yield part


def prepare_batch(reader: str, base: int, records: Sequence[StoredRecord]) -> PostgresBatch:
    """The work that needs no database, so that it can be done elsewhere."""
    events = [event for stored in records for event in stored.record.events]
    rows: dict[str, Rows] = {}
    times: set[int] = set()
    for table, batch in sort_into_tables(events).items():
        told = [row_of(table, event) for event in batch]
        rows[table] = merge_fills(told) if table == "fills" else told
        if table in PARTED:
            times |= _months_of(rows[table], TABLES[table].columns.index(PARTED[table]))
    return PostgresBatch(reader, base, records[-1].position, rows, _coverage_events(events), frozenset(times))


def merge_fills(rows: Iterable[tuple[Value, ...]]) -> list[tuple[Value, ...]]:
    """One row for each fill: the first one, with what it left open from the next that says it. A statement cannot meet a row twice."""
    merged: list[list[Value]] = []
    fills: dict[tuple[Value, ...], list[list[Value]]] = {}
    for row in rows:
        copies = fills.setdefault(tuple(row[place] for place in _FILL_KEY), [])
        known = next((copy for copy in copies if abs(int(copy[_FILL_TIME] or 0) - int(row[_FILL_TIME] or 0)) <= SAME_FILL_MS), None)
        if known is None:
            known = list(row)
            copies.append(known)
            merged.append(known)
        for place in _FILL_BLANKS:
            if known[place] is None:
                known[place] = row[place]
    return [tuple(row) for row in merged]


def month_of(time: int) -> int:
    """When the month (UTC) of a time began, both in ms; times that no exchange has lived in count as the nearest that one could."""
    told = datetime.fromtimestamp(min(max(time, FIRST_TIME_MS), LAST_TIME_MS) // 1000, UTC)
    return int(datetime(told.year, told.month, 1, tzinfo=UTC).timestamp()) * 1000


def months_ahead(time: int) -> tuple[int, int]:
    """The month of a time and the one after it."""
    began = month_of(time)
    return began, month_of(began + _LONGEST_MONTH_MS + 1)


def _months_of(rows: Rows, place: int) -> set[int]:
    return {month_of(int(time or 0)) for time in {row[place] for row in rows}}


def clean_batch(batch: PostgresBatch) -> PostgresBatch:
    """The batch without what PostgreSQL cannot hold: zero bytes and lone surrogates in texts, numbers of more than 64 bits."""
    rows = {table: [tuple(_fit(value) for value in row) for row in told] for table, told in batch.rows.items()}
    return msgspec.structs.replace(batch, rows=rows)


def _fit(value: Value) -> Value:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, int):
        return max(min(value, LARGEST_INTEGER), -LARGEST_INTEGER)
    return value


def _coverage_events(events: Iterable[Event]) -> dict[AccountId, list[Event]]:
    accounts: dict[AccountId, list[Event]] = {}
    for event in events:
        if isinstance(event, COVERAGE_EVENTS):
            accounts.setdefault(event.account, []).append(event)
    return accounts


async def write_batch(connection: Connection, journal: str, batch: PostgresBatch) -> None:
    """Writes rows and the reader's position, all or nothing: one statement, a transaction by itself. A connection on which this fails is
    in no known state. Raises StoreError if somebody else has moved the reader, or the certificate of one of its accounts."""
    if not batch.base:
        await connection.execute(QUERIES["open_cursor"], journal, batch.reader)
    news = await _coverage_news(connection, journal, batch.coverage) if batch.coverage else ()
    tables = tuple(sorted(batch.rows))
    values = (*_times_met(batch), *(batch.rows[table] for table in tables), *news)
    statement = joined_statement(tables, with_coverage=bool(news))
    try:
        await connection.execute(statement, journal, batch.reader, batch.base, batch.reached, *values)
    except asyncpg.DivisionByZeroError:
        what = f"the reader {batch.reader!r}{', or the certificate of an account,' if news else ''}"
        raise StoreError(f"{what} has been moved by somebody else") from None


def _times_met(batch: PostgresBatch) -> tuple[int, ...]:
    """From when until when a fill of the batch may stand in the table already; nothing where there is none."""
    if "fills" not in batch.rows:
        return ()
    times = [int(row[_FILL_TIME] or 0) for row in batch.rows["fills"]]
    return max(min(times) - SAME_FILL_MS, -LARGEST_INTEGER), min(max(times) + SAME_FILL_MS, LARGEST_INTEGER)


@cache
def joined_statement(tables: tuple[str, ...], *, with_coverage: bool = False) -> str:
    """The statements of these tables and that of the position as one: journal, reader, base, reached, with fills the two times between
    which they can be there already, then each table's rows, then what is new of the certificates."""
    first = _COMMON + (2 if "fills" in tables else 0) + 1
    parts = [f"{table}_added AS (\n{_of_table(QUERIES[f'add_{table}'], place)}\n)" for place, table in enumerate(tables, first)]
    if not with_coverage:
        return f"WITH {', '.join([*parts, QUERIES['move_cursor']])}"
    last = first + len(tables) - 1
    parts.append(_of_coverage(QUERIES["move_coverage"], last))
    return f"WITH {', '.join([*parts, QUERIES['move_cursor']])} {_of_coverage(QUERIES['count_marks'], last)}"


def _of_table(query: str, place: int) -> str:
    """A statement's own rows have their place; what it shares with others are the journal, and the two times."""
    return _renumbered(query, {1: place, 2: 1, 3: _COMMON + 1, 4: _COMMON + 2})


def _of_coverage(query: str, last: int) -> str:
    """The journal is shared; the rest comes after all others."""
    return _renumbered(query, {1: 1} | {number: last + number - 1 for number in range(2, _COVERAGE_VALUES + 2)})


def _renumbered(query: str, places: Mapping[int, int]) -> str:
    return _PARAMETER.sub(lambda found: f"${places[int(found[1])]}", query)


async def _coverage_news(connection: Connection, journal: str, events: Mapping[AccountId, Sequence[Event]]) -> tuple[list[Value], ...]:
    """What is new of the certificates, as columns: spans that go, spans that come, and the marks, each with what it was. Of all accounts of
    a batch at once: hundreds begin or lose their feeds together. Empty when nothing is."""
    marks, before = await _read_coverage(connection, journal, sorted(events))
    after = {account: fold_coverage(known, events[account]) for account, known in before.items()}
    moved = [(account, known.sequence, *marks[account]) for account, known in after.items() if known.sequence != before[account].sequence]
    if not moved:
        return ()
    old, new = _rows_of(before), _rows_of(after)
    gone = [row[:2] for row in old if row not in new]
    added = [row for row in new if row not in old]
    return *_columns(gone, 2), *_columns(added, 4), *_columns(moved, 4)


async def _read_coverage(
    connection: Connection, journal: str, accounts: Sequence[AccountId]
) -> tuple[dict[AccountId, tuple[str | None, int | None]], dict[AccountId, Coverage]]:
    """The marks as they are (the journal, its sequence), and the certificates."""
    marks: dict[AccountId, tuple[str | None, int | None]] = {}
    spans: dict[AccountId, list[Span]] = {}
    for row in await connection.fetch(QUERIES["read_coverage"], accounts):
        account = AccountId(row["account"])
        marks[account] = (row["journal"], row["sequence"])
        known = spans.setdefault(account, [])
        if row["since"] is not None:
            known.append(Span(Millis(row["since"]), _until(row["until"]), CoverageState(row["state"])))
    # The sequences of another journal say nothing about those of this one.
    sequences = {account: sequence or 0 if name == journal else 0 for account, (name, sequence) in marks.items()}
    return marks, {account: Coverage(tuple(known), sequences[account]) for account, known in spans.items()}


def _rows_of(coverages: Mapping[AccountId, Coverage]) -> dict[tuple[str, int, int | None, str], None]:
    """The spans as rows, in order."""
    return {(account, span.since, span.until, str(span.state)): None for account, coverage in coverages.items() for span in coverage.spans}


def _columns(rows: Sequence[tuple[Value, ...]], width: int) -> list[list[Value]]:
    return [[row[place] for row in rows] for place in range(width)]


def _until(told: int | None) -> Millis | None:
    return None if told is None else Millis(told)


async def read_rows(connection: Connection, journal: str, table: str, account: AccountId | None, limit: int) -> list[dict[str, object]]:
    """Rows of a table in the common form: amounts as plain text, flags 0 or 1."""
    form = find_table(table)
    choice = {"cursors": journal}.get(table, account if "account" in form.columns else None)
    found = await connection.fetch(listing_query(table, one=choice is not None), *([] if choice is None else [choice]), limit)
    return [{name: _plain(row[name]) for name in form.columns} for row in found]


def listing_query(table: str, *, one: bool) -> str:
    """The query for the first rows of a table, of one account (of one journal, for positions) or of all."""
    form = TABLES[table]
    chosen = f"WHERE {'journal' if table == 'cursors' else 'account'} = $1" if one else ""
    order = ", ".join(f"{name[1:]} DESC" if name.startswith("-") else name for name in form.listing).replace("rowid", "arrival")
    return f"SELECT {', '.join(form.columns)} FROM userstream.{table} {chosen} ORDER BY {order} LIMIT ${2 if one else 1}"


def _plain(value: object) -> Value:
    match value:
        case Decimal():
            return plain_amount(value)
        case bool():
            return int(value)
        case str() | int() | None:
            return value
        case _:
            raise StoreError(f"a table holds a value of the type {type(value).__name__}, which was never written there")
