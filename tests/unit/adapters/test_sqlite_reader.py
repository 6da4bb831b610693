"""Reading from another place than the writer."""

from __future__ import annotations

import asyncio
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
