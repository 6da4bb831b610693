"""Reading from another place than the writer."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.support.records import row_of_records
from userstream.adapters.sqlite import SqliteStore, open_reader
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId


def test_there_must_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        open_reader(tmp_path / "a.db")


async def test_a_store_is_read_when_nobody_writes_it(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        for one in row_of_records(3):
            store.append(one)
    async with open_reader(tmp_path / "a.db") as reader:
        assert await reader.accounts() == ["alice"]
        assert [one.sequence for one in await reader.read_account(AccountId("alice"), after=0, limit=10)] == [1, 2, 3]
        assert await reader.load_checkpoint(AccountId("alice")) == (0, ())
        assert await reader.rows("cursors") == await reader.rows("checkpoints") == []


async def test_many_questions_at_once_are_all_answered(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        for one in row_of_records(50):
            store.append(one)
        await store.flush()
        async with open_reader(tmp_path / "a.db") as reader:
            answers = await asyncio.gather(*(reader.read(after=0, limit=number) for number in range(1, 40)))
    assert [len(answer) for answer in answers] == list(range(1, 40))


async def test_the_words_of_the_database_come_as_a_store_error(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()), open_reader(tmp_path / "a.db") as reader:
        with pytest.raises(StoreError, match=r"a\.db: no such table: nowhere") as caught:
            await reader.call(lambda connection: connection.execute("SELECT * FROM nowhere"))
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        with pytest.raises(ValueError, match="there is no table"):
            await reader.rows("sqlite_schema")
        assert await reader.last_sequence(AccountId("alice")) == 0


async def test_it_is_read_from_the_end_too(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        for one in (*row_of_records(7), *row_of_records(7, account="bob")):
            store.append(one)
            if one.sequence % 3 == 0:
                await store.flush()
        await store.flush()
        whole = await store.read(after=0, limit=100)
        async with open_reader(tmp_path / "a.db") as reader:
            found, before = [], None
            while part := await reader.read_before(before, limit=3):
                found += part
                before = part[-1].position
            assert found == whole[::-1]
            assert [await reader.count(after=stored.position) for stored in whole[-1:]] == [0]
            assert await reader.count(after=0) == 14


def beside(path: Path) -> set[str]:
    return {found.name for found in path.parent.iterdir()} - {path.name, f"{path.name}.lock"}


def bytes_of(path: Path) -> list[bytes]:
    return [Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-wal")]


async def make_store(path: Path) -> Path:
    async with await SqliteStore.open(path, ManualClock()) as store:
        for one in row_of_records(3):
            store.append(one)
    return path


async def test_a_store_at_rest_has_nothing_beside_it_when_it_was_read(tmp_path: Path) -> None:
    path = await make_store(tmp_path / "a.db")
    before = path.read_bytes()
    async with open_reader(path) as first:
        async with open_reader(path) as second:
            assert await first.accounts() == await second.accounts() == ["alice"]
        assert await first.last_sequence(AccountId("alice")) == 3, "who still reads is not disturbed"
    assert beside(path) == set()
    assert path.read_bytes() == before


async def test_a_store_that_is_written_keeps_its_log_when_a_reader_leaves(tmp_path: Path) -> None:
    path = await make_store(tmp_path / "a.db")
    async with await SqliteStore.open(path, ManualClock()) as store:
        async with open_reader(path) as reader:
            assert await reader.accounts() == ["alice"]
        assert beside(path) == {"a.db-wal", "a.db-shm"}
        for one in row_of_records(3, account="bob"):
            store.append(one)
        await store.flush()
        async with open_reader(path) as reader:
            assert await reader.accounts() == ["alice", "bob"]
    assert beside(path) == set()


async def test_a_log_that_holds_something_is_not_taken_in_by_a_reader(tmp_path: Path) -> None:
    """As a process leaves it that was killed: file and log were copied while it wrote."""
    path, copy = tmp_path / "a.db", tmp_path / "copy" / "a.db"
    copy.parent.mkdir()
    async with await SqliteStore.open(path, ManualClock()) as store:
        for one in row_of_records(3):
            store.append(one)
        await store.flush()
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    kept = bytes_of(copy)
    async with open_reader(copy) as reader:
        assert await reader.last_sequence(AccountId("alice")) == 3
    assert bytes_of(copy) == kept
