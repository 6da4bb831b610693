"""The writing thread: order, turns, and a database that fails at any statement."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.support.broken_sqlite import Breakage
from tests.support.events import filled
from tests.support.records import make_batch, record, row_of_records
from userstream.adapters.sqlite_batches import Batch
from userstream.adapters.sqlite_file import ADVICE, open_for_reading, open_for_writing
from userstream.adapters.sqlite_places import ROWS_OF_A_PORTION
from userstream.adapters.sqlite_rows import read_after
from userstream.adapters.sqlite_writer import SqliteWriter
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import Record, StoredRecord


class Owner:
    """Notes what it hears; retries at once, at most so many times."""

    def __init__(self, patience: int = 50) -> None:
        self.next_position = 1
        self.batches: list[Batch] = []
        self.troubles: list[tuple[str, bool]] = []
        self.patience = patience
        self.writer: SqliteWriter

    def on_committed(self, batch: Batch) -> None:
        self.batches.append(batch)

    def on_trouble(self, error: StoreError, *, final: bool) -> None:
        self.troubles.append((str(error), final))
        if not final and len(self.troubles) <= self.patience:
            self.writer.retry()

    @property
    def committed(self) -> list[Record]:
        return [one for batch in self.batches for one in batch.recall()]

    def hand_over(self, records: list[Record]) -> None:
        """In batches of at most fifty."""
        for begin in range(0, len(records), 50):
            batch = make_batch(records[begin : begin + 50], self.next_position)
            self.next_position += len(batch.rows)
            self.writer.write(batch)


async def start(path: Path, owner: Owner, connect: Callable[[], sqlite3.Connection] | None = None) -> SqliteWriter:
    owner.writer = SqliteWriter(path, owner, connect or partial(open_for_writing, path))
    owner.next_position = (await owner.writer.open()).next_position
    return owner.writer


async def until(reached: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if reached():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never reached")


def read_all(path: Path) -> list[StoredRecord]:
    with closing(open_for_reading(path)) as connection:
        return read_after(connection, 0, 1_000_000)


def mixed(count: int) -> list[Record]:
    pairs = zip(row_of_records(count), row_of_records(count, account="bob"), strict=True)
    return [one for pair in pairs for one in pair]


async def test_everything_handed_over_is_written_in_order_and_told_once(tmp_path: Path) -> None:
    owner = Owner()
    writer = await start(tmp_path / "a.db", owner)
    owner.hand_over(mixed(3_000))
    await until(lambda: len(owner.committed) == 6_000)
    assert await writer.stop() == 0
    assert owner.committed == mixed(3_000)
    assert read_all(tmp_path / "a.db") == [stored for batch in owner.batches for stored in batch.place()]


async def test_more_accounts_than_one_statement_holds(tmp_path: Path) -> None:
    owner = Owner()
    writer = await start(tmp_path / "a.db", owner)
    owner.hand_over([record(filled(), account=f"account {number}") for number in range(200)])
    await until(lambda: len(owner.committed) == 200)
    assert await writer.stop() == 0
    assert len(read_all(tmp_path / "a.db")) == 200


async def test_jobs_take_turns_with_commits(tmp_path: Path) -> None:
    owner = Owner()
    writer = await start(tmp_path / "a.db", owner)
    seen: list[int] = []

    def count(connection: sqlite3.Connection) -> int:
        [(number,)] = connection.execute("SELECT coalesce(sum(records), 0) FROM journal").fetchall()
        seen.append(number)
        return int(number)

    owner.hand_over(row_of_records(10))
    answers = [writer.submit(count, durable=bool(place % 2), single=place > 2) for place in range(5)]
    owner.hand_over(row_of_records(10, first=11))
    assert await asyncio.gather(*answers) == seen
    assert seen[0] >= 10
    await writer.stop()
    assert len(read_all(tmp_path / "a.db")) == 20


async def test_a_job_that_fails_is_taken_back_and_harms_nobody(tmp_path: Path) -> None:
    owner = Owner()
    writer = await start(tmp_path / "a.db", owner)

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO removed VALUES ('a', 1)")
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        await writer.submit(spoil)
    with pytest.raises(StoreError, match="no such table: nowhere"):
        await writer.submit(lambda connection: connection.execute("DELETE FROM nowhere").rowcount)
    with pytest.raises(StoreError, match="no such table: nowhere"):
        await writer.submit(lambda connection: connection.execute("DELETE FROM nowhere").rowcount, single=True)
    owner.hand_over(row_of_records(1))
    found = await writer.submit(lambda connection: connection.execute("SELECT * FROM removed").fetchall())
    assert found == []
    await writer.stop()
    assert (len(read_all(tmp_path / "a.db")), owner.troubles) == (1, [])


async def test_after_stop_no_job_is_taken(tmp_path: Path) -> None:
    owner = Owner()
    writer = await start(tmp_path / "a.db", owner)
    await writer.stop()
    with pytest.raises(StoreError, match="closed"):
        await writer.submit(lambda connection: None)


async def test_positions_go_on_after_a_restart(tmp_path: Path) -> None:
    for first in (1, 6, 11):
        owner = Owner()
        writer = await start(tmp_path / "a.db", owner)
        owner.hand_over(row_of_records(5, first=first))
        await writer.stop()
    found = read_all(tmp_path / "a.db")
    assert [stored.record.sequence for stored in found] == list(range(1, 16))
    assert [stored.position for stored in found] == sorted({stored.position for stored in found})


async def test_a_file_that_cannot_be_opened_is_told_by_open(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"no database at all" * 100)
    owner = Owner()
    with pytest.raises(StoreError, match="is not a database"):
        await start(tmp_path / "a.db", owner)
    assert await owner.writer.stop() == 0


@pytest.mark.parametrize("single", [False, True], ids=["transactions", "single statements"])
@pytest.mark.parametrize("after", [False, True], ids=["before its work", "after its work"])
@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY], ids=["full", "io error", "busy"])
async def test_whichever_statement_fails_nothing_is_lost_or_doubled(tmp_path: Path, code: int, after: bool, single: bool) -> None:
    """Fails the first statement, then the second, and so on, until a run needs no failing one any more."""
    for first in range(1, 60):
        breakage = Breakage(code, first=first, after=after)
        await survive(tmp_path / f"{first}.db", breakage, single=single)
        if breakage.hits == 0:
            assert first > 5
            return
    raise AssertionError("a run that should be quiet was not")


async def survive(path: Path, breakage: Breakage, *, single: bool) -> None:
    owner, written = Owner(), mixed(70)
    writer = await start(path, owner, breakage.connect(path))
    breakage.arm()
    for part in (written[:50], written[50:60], written[60:]):
        owner.hand_over(part)
        # A job may be the one that fails; its caller hears of it and may ask again.
        clear = writer.submit(lambda connection: connection.execute("DELETE FROM removed").rowcount, durable=False, single=single)
        await asyncio.wait([clear])
    await until(lambda: len(owner.committed) == len(written))
    breakage.mend()
    assert await writer.stop() == 0
    assert owner.committed == written
    assert [stored for batch in owner.batches for stored in batch.place()] == read_all(path)


@pytest.mark.parametrize("times", [2, 5, 9])
async def test_a_disk_that_fails_again_and_again_keeps_what_is_held(tmp_path: Path, times: int) -> None:
    path, owner = tmp_path / "a.db", Owner()
    breakage = Breakage(sqlite3.SQLITE_IOERR, times=times)
    writer = await start(path, owner, breakage.connect(path))
    breakage.arm()
    owner.hand_over(mixed(200))
    await until(lambda: len(owner.committed) == 400)
    await writer.stop()
    assert owner.committed == mixed(200)
    assert [stored.record.sequence for stored in read_all(path) if stored.record.account == "bob"] == list(range(1, 201))


async def test_nothing_is_written_before_the_log_is_known_to_be_on_the_disk(tmp_path: Path) -> None:
    path, owner = tmp_path / "a.db", Owner()
    breakage = Breakage(sqlite3.SQLITE_IOERR, times=4, only=("INSERT INTO journal", "wal_checkpoint"))
    writer = await start(path, owner, breakage.connect(path))
    breakage.arm()
    owner.hand_over(mixed(20))
    await until(lambda: len(owner.committed) == 40)
    assert [final for _, final in owner.troubles] == [False] * 4
    await writer.stop()
    assert len(read_all(path)) == 40


async def test_a_transaction_that_cannot_even_be_taken_back_costs_the_connection(tmp_path: Path) -> None:
    path, owner = tmp_path / "a.db", Owner()
    breakage = Breakage(sqlite3.SQLITE_FULL, times=2, only=("COMMIT", "ROLLBACK"))
    writer = await start(path, owner, breakage.connect(path))
    breakage.arm()
    with pytest.raises(StoreError, match="disk is full"):
        await writer.submit(lambda connection: connection.execute("INSERT INTO removed VALUES ('a', 1)").rowcount)
    assert breakage.hits == 2
    assert await writer.submit(lambda connection: connection.execute("SELECT * FROM removed").fetchall()) == []
    owner.hand_over(mixed(5))
    await until(lambda: len(owner.committed) == 10)
    await writer.stop()
    assert (len(read_all(path)), owner.troubles) == (10, [])


async def test_what_cannot_heal_ends_the_journal_and_counts_what_is_lost(tmp_path: Path) -> None:
    path, owner = tmp_path / "a.db", Owner()
    breakage = Breakage(sqlite3.SQLITE_CORRUPT, only=("INSERT INTO journal",))
    writer = await start(path, owner, breakage.connect(path))
    breakage.arm()
    owner.hand_over(row_of_records(3))
    await until(lambda: bool(owner.troubles))
    assert owner.troubles == [(f"{path}: database disk image is malformed: {ADVICE[sqlite3.SQLITE_CORRUPT]}", True)]
    owner.hand_over(row_of_records(2, first=4))
    assert await writer.stop() == 5


async def test_rows_of_somebody_else_at_our_place_are_never_taken_for_ours(tmp_path: Path) -> None:
    path, owner = tmp_path / "a.db", Owner()
    breakage = Breakage(sqlite3.SQLITE_BUSY, only=("INSERT INTO journal",))
    writer = await start(path, owner, breakage.connect(path))
    with closing(open_for_writing(path)) as intruder:
        intruder.execute("INSERT INTO journal VALUES (1, 'mallory', 1, 1, 0, 0, 1, x'90')")
    breakage.arm()
    owner.hand_over(row_of_records(1))
    await until(lambda: len(owner.troubles) == 2)
    assert owner.troubles[1] == ("the journal holds another row at position 1: another program has written to it", True)
    assert await writer.stop() == 1


async def test_stop_tries_once_more_and_says_what_is_lost(tmp_path: Path) -> None:
    path, owner = tmp_path / "a.db", Owner(patience=0)
    breakage = Breakage(sqlite3.SQLITE_FULL, times=3, only=("INSERT INTO journal",))
    writer = await start(path, owner, breakage.connect(path))
    breakage.arm()
    owner.hand_over(row_of_records(4))
    await until(lambda: bool(owner.troubles))
    assert await writer.stop() == 4
    assert len(owner.troubles) == 3


async def test_an_error_that_passes_while_it_stops_loses_nothing_behind_it(tmp_path: Path) -> None:
    path, owner = tmp_path / "a.db", Owner(patience=0)
    breakage = Breakage(sqlite3.SQLITE_FULL, only=("INSERT INTO journal",))
    writer = await start(path, owner, breakage.connect(path))
    breakage.arm()
    owner.hand_over(row_of_records(120))
    assert await writer.stop() == 0
    assert len(read_all(path)) == 120


async def test_stop_saves_what_can_be_saved(tmp_path: Path) -> None:
    path, owner = tmp_path / "a.db", Owner(patience=0)
    breakage = Breakage(sqlite3.SQLITE_FULL, only=("INSERT INTO journal",))
    writer = await start(path, owner, breakage.connect(path))
    breakage.arm()
    owner.hand_over(row_of_records(4))
    await until(lambda: bool(owner.troubles))
    assert await writer.stop() == 0
    assert len(read_all(path)) == 4


def placed(path: Path) -> int:
    with closing(open_for_reading(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM places").fetchone()[0])


def many_accounts(count: int) -> list[Record]:
    return [record(filled(), account=f"account {number % 50}", sequence=number + 1) for number in range(count)]


async def test_rows_get_their_places_many_at_a_time_and_the_rest_with_the_next_start(tmp_path: Path) -> None:
    path, owner = tmp_path / "a.db", Owner()
    writer = await start(path, owner)
    owner.hand_over(many_accounts(ROWS_OF_A_PORTION + 100))
    assert await writer.stop() == 0
    assert ROWS_OF_A_PORTION <= placed(path) < ROWS_OF_A_PORTION + 100
    writer = await start(path, owner)
    await writer.stop()
    assert placed(path) == len(read_all(path)) == ROWS_OF_A_PORTION + 100


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT])
async def test_an_index_that_cannot_be_extended_delays_no_commit_and_is_extended_later(tmp_path: Path, code: int) -> None:
    path, owner = tmp_path / "a.db", Owner()
    breakage = Breakage(code, only=("INSERT OR IGNORE INTO places",))
    writer = await start(path, owner, breakage.connect(path))
    breakage.arm()
    owner.hand_over(many_accounts(2 * ROWS_OF_A_PORTION + 100))
    assert await writer.stop() == 0
    assert owner.troubles == []
    assert len(read_all(path)) == 2 * ROWS_OF_A_PORTION + 100
    assert 2 * ROWS_OF_A_PORTION <= placed(path) < 2 * ROWS_OF_A_PORTION + 100


async def test_an_index_that_cannot_be_extended_keeps_nobody_from_starting(tmp_path: Path) -> None:
    path, owner = tmp_path / "a.db", Owner()
    writer = await start(path, owner)
    owner.hand_over(many_accounts(100))
    await writer.stop()
    breakage = Breakage(sqlite3.SQLITE_FULL, only=("INSERT OR IGNORE INTO places",))
    breakage.arm()
    opened = SqliteWriter(path, owner, breakage.connect(path))
    contents = await opened.open()
    await opened.stop()
    assert (contents.next_position, contents.sequences[AccountId("account 49")]) == (101, 100)
    assert placed(path) == 0
