"""Records as rows and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import balance_set, filled
from tests.support.records import histories, make_batch, record, row_of_records
from userstream.adapters import sqlite_rows
from userstream.adapters.sequences import last_of
from userstream.adapters.sqlite_batches import PackedRows
from userstream.adapters.sqlite_file import open_for_writing
from userstream.adapters.sqlite_rows import ROWS_OF_A_STATEMENT, insert_rows, is_stored
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import Record

ALICE = AccountId("alice")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    made = open_for_writing(tmp_path / "a.db")
    yield made
    made.close()


def test_a_row_tells_what_it_holds(connection: sqlite3.Connection) -> None:
    insert_rows(connection, make_batch([record(filled(), filled(), sequence=3), record(sequence=9, received_time=2_000)], 5).rows)
    heads = connection.execute(
        "SELECT position, account, first_sequence, last_sequence, first_received, last_received, records FROM journal"
    )
    assert heads.fetchall() == [(5, "alice", 3, 9, 1_000, 2_000, 2)]


@pytest.mark.parametrize("count", [0, 1, ROWS_OF_A_STATEMENT, ROWS_OF_A_STATEMENT + 1, 3 * ROWS_OF_A_STATEMENT])
def test_any_number_of_rows_is_one_transaction(connection: sqlite3.Connection, count: int) -> None:
    rows = make_batch([record(filled(), account=f"account {number:04}") for number in range(count)], 1).rows
    insert_rows(connection, rows)
    assert not connection.in_transaction
    assert [stored.record.account for stored in sqlite_rows.read_after(connection, 0, 10_000)] == [row.account for row in rows]
    assert all(is_stored(connection, row) for row in rows)


def test_rows_that_meet_an_earlier_one_are_all_refused(connection: sqlite3.Connection) -> None:
    insert_rows(connection, make_batch(row_of_records(1), 102).rows)
    rows = make_batch([record(account=f"account {number}") for number in range(100)] + row_of_records(1), 2).rows
    with pytest.raises(sqlite3.IntegrityError):
        insert_rows(connection, rows)
    connection.execute("ROLLBACK")
    assert len(sqlite_rows.read_after(connection, 0, 1_000)) == 1


def test_what_is_stored_is_told_from_what_is_not(connection: sqlite3.Connection) -> None:
    [row] = make_batch(row_of_records(2), 1).rows
    assert not is_stored(connection, row)
    insert_rows(connection, [row])
    assert is_stored(connection, row)
    [other] = make_batch(row_of_records(3), 1).rows
    with pytest.raises(StoreError, match="another row at position 1"):
        is_stored(connection, other)


def test_accounts_are_found_without_reading_the_journal_through(connection: sqlite3.Connection) -> None:
    assert sqlite_rows.read_last_sequences(connection) == {}
    for position, account in enumerate(("bob", "alice", "bob", "чарли"), 1):
        insert_rows(connection, make_batch([record(filled(), account=account, sequence=position * 10)], position).rows)
    sqlite_rows.save_checkpoint(connection, AccountId("dave"), 70, [balance_set()])
    sqlite_rows.save_checkpoint(connection, AccountId("bob"), 25, [])
    assert sqlite_rows.read_last_sequences(connection) == {"alice": 20, "bob": 30, "dave": 70, "чарли": 40}
    plan = " ".join(str(step[3]) for step in connection.execute(f"EXPLAIN QUERY PLAN {sqlite_rows._QUERIES['read_accounts']}"))
    assert "SCAN journal" not in plan
    assert sqlite_rows.read_newest_position(connection) == 4


def test_reading_an_account_begins_where_it_must(connection: sqlite3.Connection) -> None:
    for position in range(1, 6):
        insert_rows(connection, make_batch(row_of_records(10, first=position * 10), position).rows)
    for after in range(61):
        found = sqlite_rows.read_account_after(connection, ALICE, after, 1_000)
        assert [one.sequence for one in found] == [number for number in range(10, 60) if number > after]
    parameters = {"account": "alice", "after": 35}
    plan = " ".join(
        str(step[3]) for step in connection.execute(f"EXPLAIN QUERY PLAN {sqlite_rows._QUERIES['read_account_after']}", parameters)
    )
    assert "account=? AND first_sequence>?" in plan
    assert plan.index("TEMP B-TREE") > plan.index("RIGHT"), "only what has no place yet is sorted"


@given(histories(), st.integers(1, 4), st.integers(0, 20), st.integers(1, 15))
def test_whole_rows_hold_what_is_asked_for_and_little_else(history: list[Record], rows: int, skipped: int, limit: int) -> None:
    with TemporaryDirectory() as folder, closing(open_for_writing(Path(folder) / "a.db")) as connection:
        for number in range(0, len(history), rows):
            insert_rows(connection, make_batch(history[number : number + rows], number + 1).rows)
        told = sqlite_rows.read_after(connection, 0, 1_000)
        after = ([0] + [stored.position for stored in told])[min(skipped, len(told))]
        packed = sqlite_rows.read_packed_after(connection, after, limit)
    opened = list(PackedRows(packed))
    fresh = [stored for stored in opened if stored.position > after]
    rest = [stored for stored in told if stored.position > after]
    assert fresh == rest[: len(fresh)]
    assert len(opened) == len(PackedRows(packed)) >= min(limit, len(rest))
    assert bool(packed) == bool(rest)
    assert sum(part.count for part in packed[:-1]) < limit
    assert [part.first_received for part in packed] == [PackedRows([part])[0].record.received_time for part in packed]


def test_the_last_sequence_counts_all_events_of_the_last_record(connection: sqlite3.Connection) -> None:
    one = record(filled(), filled(), filled(), sequence=4)
    insert_rows(connection, make_batch([one], 1).rows)
    assert sqlite_rows.read_last_sequence(connection, ALICE) == last_of(one) == 6
