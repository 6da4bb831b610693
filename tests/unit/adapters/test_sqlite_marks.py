"""Marks of readers that keep their position elsewhere: one name for a journal, and retention that waits for them, or no longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.support.events import filled
from tests.support.records import record
from userstream.adapters.sqlite import SqliteStore
from userstream.adapters.sqlite_commits import SqliteSettings
from userstream.adapters.sqlite_marks import RELEASED, JournalMark, OlderCopy, release_marks, rename_mark, settle_mark
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis

LATER = Millis(2_000_000_000_000)


async def opened(path: Path) -> SqliteStore:
    return await SqliteStore.open(path, ManualClock(), settings=SqliteSettings(keep_days=1))


async def fill(store: SqliteStore, count: int, first: int = 1) -> None:
    for number in range(first, first + count):
        store.append(record(filled(), sequence=number, received_time=1_000))
        await store.flush()
    await store.save_checkpoint(AccountId("alice"), first + count - 1, [filled()])


async def newest(store: SqliteStore) -> int:
    return (await store.read(after=0, limit=1_000))[-1].position


def test_a_journal_keeps_the_first_name_it_was_given(tmp_path: Path) -> None:
    assert settle_mark(tmp_path / "a.db", "postgres", "one") == "one"
    assert settle_mark(tmp_path / "a.db", "postgres", "two") == "one"
    assert settle_mark(tmp_path / "a.db", "kafka", "two") == "two"
    assert rename_mark(tmp_path / "a.db", "postgres", "three") == "three"
    assert settle_mark(tmp_path / "a.db", "postgres", "four") == "three"


async def test_retention_waits_for_the_mark_and_no_longer_once_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    settle_mark(path, "postgres", "one")
    store = await opened(path)
    await fill(store, 5)
    assert await store.trim(LATER) == 0
    mark = JournalMark(store, "postgres", "one")
    assert await mark.position() == 0
    third = (await store.read(after=0, limit=3))[-1].position
    await mark.move(third)
    assert await mark.position() == third
    assert await store.trim(LATER) == 2
    await release_marks(store, "postgres")
    await release_marks(store, "postgres")
    assert await store.trim(LATER) == 2
    await store.close()


async def test_a_reader_that_is_wanted_again_is_waited_for_again(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    settle_mark(path, "postgres", "one")
    store = await opened(path)
    await release_marks(store, "postgres")
    assert await JournalMark(store, "postgres", "one").position() == RELEASED
    await store.close()
    assert settle_mark(path, "postgres", "two") == "one"
    store = await opened(path)
    await fill(store, 3)
    assert await store.trim(LATER) == 0
    await store.close()


async def test_marks_of_another_kind_are_left_alone(tmp_path: Path) -> None:
    settle_mark(tmp_path / "a.db", "kafka", "one")
    store = await opened(tmp_path / "a.db")
    await release_marks(store, "postgres")
    assert await JournalMark(store, "kafka", "one").position() == 0
    await store.close()


async def test_a_store_that_is_open_is_not_touched(tmp_path: Path) -> None:
    store = await opened(tmp_path / "a.db")
    with pytest.raises(StoreError, match="is in use by process"):
        settle_mark(tmp_path / "a.db", "postgres", "one")
    await store.close()


async def test_an_older_copy_of_a_journal_is_found_out(tmp_path: Path) -> None:
    store = await opened(tmp_path / "a.db")
    await fill(store, 4)
    reached = await newest(store)
    mark = JournalMark(store, "postgres", "one")
    for position in (0, reached - 1, reached):
        await mark.check_journal(position)
    await store.trim(LATER)
    await mark.check_journal(reached)
    with pytest.raises(OlderCopy, match="older copy; run userstream db rejoin"):
        await mark.check_journal(reached + 1)
    await store.close()


async def test_an_older_copy_stays_one_however_it_grows_until_its_journal_has_another_name(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    settle_mark(path, "postgres", "one")
    store = await opened(path)
    await fill(store, 4)
    beyond = await newest(store) + 1
    with pytest.raises(OlderCopy):
        await JournalMark(store, "postgres", "one").check_journal(beyond)
    await fill(store, 4, 5)
    assert await newest(store) > beyond
    await store.close()
    store = await opened(path)
    with pytest.raises(OlderCopy):
        await JournalMark(store, "postgres", "one").check_journal(beyond)
    await store.close()
    rename_mark(path, "postgres", "two", beyond)
    store = await opened(path)
    renamed = JournalMark(store, "postgres", "two")
    assert await renamed.position() == beyond
    await renamed.check_journal(beyond)
    await store.close()
