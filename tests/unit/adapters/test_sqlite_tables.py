"""Batches for the tables."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import filled, gap_opened, order_changed, stream_changed
from tests.support.records import histories, place, record
from userstream.adapters.sqlite_file import open_for_writing
from userstream.adapters.sqlite_tables import listing_query, prepare_batch, read_position, read_rows, split_records, write_batch
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import Record


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    made = open_for_writing(tmp_path / "a.db")
    yield made
    made.close()


@given(histories(), st.integers(1, 6))
def test_parts_are_the_whole_and_none_costs_much_more_than_asked(history: list[Record], most: int) -> None:
    parts = list(split_records(place(history), most))
    assert [stored for part in parts for stored in part] == place(history)
    for part in parts:
        assert part
        assert sum(len(stored.record.events) for stored in part[:-1]) < most


def test_a_batch_is_prepared_without_a_database() -> None:
    history = place([record(filled(), order_changed()), record(stream_changed(), sequence=3), record(sequence=4)], 5)
    batch = prepare_batch("tables", 2, history)
    assert (batch.reader, batch.base, batch.reached, set(batch.rows)) == ("tables", 2, 7, {"fills", "orders", "account_events"})
    assert list(batch.coverage) == ["alice"]


def test_rows_and_position_are_one_transaction(connection: sqlite3.Connection) -> None:
    batch = prepare_batch("tables", 0, place([record(filled(), gap_opened(since=7))]))
    connection.execute("BEGIN")
    write_batch(connection, batch)
    connection.execute("ROLLBACK")
    assert (read_position(connection, "tables"), read_rows(connection, "fills", None, 10)) == (0, [])
    write_batch(connection, batch)
    assert (read_position(connection, "tables"), len(read_rows(connection, "fills", AccountId("alice"), 10))) == (1, 1)
    assert [row["since"] for row in read_rows(connection, "coverage", AccountId("alice"), 10)] == [7]


def test_a_batch_that_begins_elsewhere_is_refused(connection: sqlite3.Connection) -> None:
    write_batch(connection, prepare_batch("tables", 0, place([record(filled())])))
    with pytest.raises(StoreError, match="moved by somebody else"):
        write_batch(connection, prepare_batch("tables", 0, place([record(filled())])))


@pytest.mark.parametrize("table", ["orders", "fills", "movements", "margin_calls", "account_events"])
def test_the_newest_rows_of_a_long_history_are_found_by_the_index_alone(connection: sqlite3.Connection, table: str) -> None:
    plan = connection.execute(f"EXPLAIN QUERY PLAN {listing_query(table, one_account=True)}", {"account": "alice", "limit": 10}).fetchall()
    words = [str(step[3]) for step in plan]
    assert f"SEARCH {table} USING INTEGER PRIMARY KEY (rowid=?)" in words
    assert any(re.fullmatch(rf"SEARCH {table} USING COVERING INDEX \w+ \(account=\?\)", word) for word in words), words
