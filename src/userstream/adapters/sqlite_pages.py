"""History from the tables, page by page: newest first by arrival, from a place on that stays valid while rows come in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from userstream.adapters.sqlite_reader import SqliteReader
from userstream.adapters.tables import find_table
from userstream.ports import HistoryPage, Selection


class SqlitePages:
    """`HistoryReader` over a reader of the store."""

    def __init__(self, reader: SqliteReader) -> None:
        self._reader = reader

    async def page(self, table: str, selection: Selection) -> HistoryPage:
        """As in `HistoryReader`."""
        if "-rowid" not in find_table(table).listing:
            raise ValueError(f"the table {table} has no order of arrival")
        return await self._reader.call(lambda connection: _read_page(connection, table, selection))

    async def close(self) -> None:
        """Closes the reader."""
        await self._reader.close()


def _read_page(connection: sqlite3.Connection, table: str, selection: Selection) -> HistoryPage:
    columns = find_table(table).columns
    chosen = list(_conditions(columns, selection))
    where = f"WHERE {' AND '.join(condition for condition, _ in chosen)}" if chosen else ""
    query = f"SELECT rowid, {', '.join(columns)} FROM {table} {where} ORDER BY rowid DESC LIMIT ?"
    # one row more than asked for tells whether there is a next page
    rows = connection.execute(query, [*(value for _, value in chosen), selection.limit + 1]).fetchall()
    page = rows[: selection.limit]
    return HistoryPage(
        rows=[dict(zip(columns, row[1:], strict=True)) for row in page], next_place=page[-1][0] if len(rows) > len(page) else None
    )


def _conditions(columns: tuple[str, ...], selection: Selection) -> Iterator[tuple[str, str | int]]:
    if selection.account is not None:
        yield "account = ?", selection.account
    if selection.symbol is not None:
        if "symbol" not in columns:
            raise ValueError("the table has no symbol")
        yield "symbol = ?", selection.symbol
    if selection.since is not None:
        yield "transaction_time >= ?", selection.since
    if selection.until is not None:
        yield "transaction_time < ?", selection.until
    if selection.before is not None:
        # with a beginning in time the span is read by its index; else the walk from the place on ends with the page
        yield ("+rowid < ?" if selection.since is not None else "rowid < ?"), selection.before
