"""The index of accounts: wherever it ends, and whatever became of its steps, an account is told the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import filled
from tests.support.records import histories, make_batch, record
from userstream.adapters import sqlite_rows
from userstream.adapters.sql import load_queries
from userstream.adapters.sqlite_file import open_for_writing
from userstream.adapters.sqlite_places import MOST_STEPS, Places, Step, place_next
from userstream.adapters.sqlite_retention import remove_rows
from userstream.ports import Record


def read_all_ways(connection: sqlite3.Connection, after: int) -> object:
    """Whatever is asked about accounts."""
    return [
        (
            account,
            sqlite_rows.read_last_sequence(connection, account),
            sqlite_rows.read_account_after(connection, account, after, 3),
            sqlite_rows.read_account_after(connection, account, after, 1_000),
            connection.execute(load_queries("evidence.sql")["read_journal"], {"account": account}).fetchall(),
        )
        for account in sqlite_rows.read_accounts(connection)
    ]


def read_without_index(connection: sqlite3.Connection, after: int) -> object:
    """The same from a copy whose rows have no place at all."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        connection.backup(copy)
        copy.execute("DELETE FROM places")
        copy.execute("UPDATE placed SET position = 0")
        return read_all_ways(copy, after)


class Store:
    """A journal whose index is extended now and then."""

    def __init__(self, connection: sqlite3.Connection, portion: int, step: int) -> None:
        self.connection, self.sizes = connection, (portion, step)
        self.places = Places(*self.sizes)
        self.steps: list[Step] = []
        self.next_position = 1

    def commit(self, records: list[Record]) -> None:
        rows = make_batch(records, self.next_position).rows
        sqlite_rows.insert_rows(self.connection, rows)
        self.places.note(rows)
        if not self.steps:
            self.steps += self.places.take_portion()
        self.next_position += len(rows)

    def take_step(self) -> None:
        if self.steps:
            self.steps.pop(0)(self.connection)

    def fail_step(self) -> None:
        if self.steps:
            self.steps.pop(0)
            self.places.fail()

    def remove(self) -> None:
        """The oldest rows, never the newest."""
        positions = [position for (position,) in self.connection.execute("SELECT position FROM journal ORDER BY position")]
        remove_rows(self.connection, positions[:-1][:2])

    def start_again(self) -> None:
        self.places, self.steps = Places(*self.sizes), []
        while place_next(self.connection, 3):
            pass

    def places_now(self) -> list[tuple[str, int, int]]:
        return self.connection.execute("SELECT account, first_sequence, position FROM places ORDER BY 1, 2, 3").fetchall()


DEEDS: list[Callable[[Store], None]] = [Store.take_step, Store.take_step, Store.fail_step, Store.remove, Store.start_again]


@given(histories(), st.integers(1, 4), st.integers(1, 6), st.integers(1, 3), st.integers(0, 20), st.data())
def test_an_account_is_told_the_same_wherever_the_index_ends(
    history: list[Record], size: int, portion: int, step: int, after: int, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder, closing(open_for_writing(Path(folder) / "a.db")) as connection:
        store = Store(connection, portion, step)
        for begin in range(0, len(history), size):
            store.commit(history[begin : begin + size])
            for deed in data.draw(st.lists(st.sampled_from(DEEDS), max_size=4)):
                deed(store)
                assert read_all_ways(connection, after) == read_without_index(connection, after)
        store.start_again()
        told = connection.execute("SELECT account, first_sequence, position FROM journal ORDER BY 1, 2, 3").fetchall()
        assert store.places_now() == told


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 9), st.integers(1, 3))
def test_each_row_has_its_place_once_a_portion_is_full_and_its_steps_are_done(commits: list[int], portion: int, step: int) -> None:
    """And no step is longer than it must be for the rows of one account."""
    with TemporaryDirectory() as folder, closing(open_for_writing(Path(folder) / "a.db")) as connection:
        store, waiting, sequence = Store(connection, portion, step), 0, 0
        for accounts in commits:
            store.commit([record(filled(), account=f"account {number}", sequence=sequence + 1) for number in range(accounts)])
            sequence, waiting = sequence + 1, waiting + accounts
            assert bool(store.steps) == (waiting >= portion)
            waiting = 0 if store.steps else waiting
            while store.steps:
                store.take_step()
            assert len(store.places_now()) == store.next_position - 1 - waiting
            [(placed,)] = connection.execute("SELECT position FROM placed").fetchall()
            assert placed == store.next_position - 1 - waiting


def test_a_portion_that_was_broken_is_mended_by_its_end_or_by_that_of_the_next(tmp_path: Path) -> None:
    with closing(open_for_writing(tmp_path / "a.db")) as connection:
        store = Store(connection, 4, 2)

        def commit(sequence: int) -> None:
            store.commit([record(filled(), account=name, sequence=sequence) for name in "abcd"])
            assert len(store.steps) == 3

        commit(1)
        store.fail_step()
        store.take_step()
        assert store.places_now() == []
        store.take_step()
        assert len(store.places_now()) == 4
        commit(2)
        store.take_step()
        store.take_step()
        store.fail_step()
        commit(3)
        store.take_step()
        store.take_step()
        assert len(store.places_now()) == 8
        store.take_step()
        assert len(store.places_now()) == 12


@given(st.integers(1, 3_000), st.integers(1, 40), st.integers(1, 40))
def test_the_larger_a_portion_the_larger_its_steps(accounts: int, portion: int, step: int) -> None:
    places = Places(portion, step)
    places.note(make_batch([record(filled(), account=f"account {number}", sequence=1) for number in range(accounts)], 1).rows)
    steps = places.take_portion()
    assert bool(steps) == (accounts >= portion)
    assert len(steps) <= MOST_STEPS + 1
    if steps and accounts <= step * MOST_STEPS:
        assert len(steps) == -(-accounts // step) + 1
