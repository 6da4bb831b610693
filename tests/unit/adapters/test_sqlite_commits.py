"""Patience with a disk in trouble, on a clock that a test turns."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.broken_sqlite import Breakage
from tests.support.clock import ManualClock
from tests.support.events import filled
from tests.support.records import record, row_of_records
from userstream.adapters.sqlite_batches import MOST_RECORDS
from userstream.adapters.sqlite_commits import STORM_RECORDS, Commits, SqliteSettings
from userstream.kernel.errors import StoreError

SETTINGS = SqliteSettings(max_backlog=10, flush_limit_ms=5_000, first_retry_ms=1_000, max_retry_ms=4_000)


class Desk:
    """Commits over a disk that fails from `break_disk` until `mend`."""

    def __init__(self, path: Path, code: int = sqlite3.SQLITE_FULL) -> None:
        self.clock = ManualClock()
        self.troubles: list[str | None] = []
        self.breakage = Breakage(code, times=1_000_000, only=("INSERT INTO journal",))
        self.commits = Commits(path, self.clock, SETTINGS, self.note, self.breakage.connect(path))

    def note(self, error: StoreError | None) -> None:
        self.troubles.append(None if error is None else str(error))

    def append(self, count: int, *, first: int = 1) -> None:
        for one in row_of_records(count, first=first):
            self.commits.append(one)

    async def break_disk(self, count: int = 3) -> None:
        """Appends records that cannot be written."""
        self.breakage.arm()
        self.append(count)
        await until(lambda: bool(self.troubles))

    async def turn(self, duration_ms: int) -> None:
        """Turns the clock; if that wakes the writer, waits for its failure."""
        hits = self.breakage.hits
        await self.clock.advance(duration_ms)
        await until(lambda: self.breakage.hits > hits)
        await until(lambda: self.clock.next_due is not None)


async def until(reached: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if reached():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never reached")


async def open_desk(folder: Path, code: int = sqlite3.SQLITE_FULL) -> Desk:
    desk = Desk(folder / "a.db", code)
    await desk.commits.open()
    return desk


async def test_trouble_is_told_once_and_recovery_once(tmp_path: Path) -> None:
    desk = await open_desk(tmp_path)
    await desk.break_disk()
    assert (desk.commits.backlog, str(desk.commits.trouble)) == (3, f"{tmp_path / 'a.db'}: database or disk is full: make room on its disk")
    await desk.turn(1_000)
    await desk.turn(2_000)
    assert desk.troubles == [f"{tmp_path / 'a.db'}: database or disk is full: make room on its disk"]
    desk.breakage.mend()
    await desk.clock.advance(4_000)
    await desk.commits.flush()
    await asyncio.sleep(0)
    assert (desk.troubles[1:], desk.commits.trouble, desk.commits.backlog) == ([None], None, 0)
    await desk.commits.stop()


async def test_the_pause_doubles_up_to_its_limit_and_begins_anew_after_recovery(tmp_path: Path) -> None:
    desk = await open_desk(tmp_path)
    await desk.break_disk()
    for pause_ms in (1_000, 2_000, 4_000, 4_000):
        hits = desk.breakage.hits
        await desk.clock.advance(pause_ms - 1)
        assert desk.breakage.hits == hits
        await desk.turn(1)
    desk.breakage.mend()
    await desk.clock.advance(4_000)
    await desk.commits.flush()
    desk.breakage.arm()
    hits = desk.breakage.hits
    desk.append(1, first=4)
    await until(lambda: desk.breakage.hits > hits and desk.commits.trouble is not None)
    await desk.turn(1_000)
    desk.breakage.mend()
    await desk.commits.stop()


async def test_flush_is_patient_for_a_while_and_then_says_why(tmp_path: Path) -> None:
    desk = await open_desk(tmp_path)
    await desk.break_disk()
    flush = asyncio.ensure_future(desk.commits.flush())
    await desk.clock.advance(4_999)
    assert not flush.done()
    await desk.clock.advance(1)
    with pytest.raises(StoreError, match="disk is full"):
        await flush
    desk.breakage.mend()
    await desk.commits.stop()
    assert desk.commits.backlog == 0


async def test_flush_without_trouble_waits_as_long_as_it_takes(tmp_path: Path) -> None:
    desk, gate = await open_desk(tmp_path), threading.Event()
    busy = desk.commits.submit(lambda connection: gate.wait())
    desk.append(1)
    flush = asyncio.ensure_future(desk.commits.flush())
    await desk.clock.advance(60_000)
    assert not flush.done()
    gate.set()
    await asyncio.gather(busy, flush)
    await desk.commits.stop()


async def test_a_full_backlog_refuses_more_and_goes_on_after_recovery(tmp_path: Path) -> None:
    desk = await open_desk(tmp_path)
    await desk.break_disk(10)
    with pytest.raises(StoreError, match=r"^10 records wait to be written, no more are taken: \S+: .*disk is full: .*"):
        desk.append(1, first=11)
    desk.breakage.mend()
    await desk.clock.advance(1_000)
    await desk.commits.flush()
    desk.append(1, first=11)
    await desk.commits.stop()
    assert desk.commits.backlog == 0


async def test_final_trouble_refuses_everything_with_its_reason(tmp_path: Path) -> None:
    desk = await open_desk(tmp_path, sqlite3.SQLITE_CORRUPT)
    await desk.break_disk()
    for _ in range(2):
        with pytest.raises(StoreError, match="malformed"):
            desk.append(1, first=4)
    with pytest.raises(StoreError, match="malformed"):
        await desk.commits.flush()
    with pytest.raises(StoreError, match=r"3 records could not be written: .*malformed"):
        await desk.commits.stop()
    assert len(desk.troubles) == 1


async def test_a_flush_that_waits_hears_of_final_trouble_at_once(tmp_path: Path) -> None:
    desk = await open_desk(tmp_path, sqlite3.SQLITE_CORRUPT)
    desk.breakage.arm()
    desk.append(2)
    with pytest.raises(StoreError, match="malformed"):
        await desk.commits.flush()
    with pytest.raises(StoreError, match="2 records"):
        await desk.commits.stop()


async def test_stop_saves_what_it_can_and_refuses_what_comes_after(tmp_path: Path) -> None:
    desk = await open_desk(tmp_path)
    await desk.break_disk()
    desk.breakage.mend()
    await desk.commits.stop()
    assert desk.commits.backlog == 0
    with pytest.raises(StoreError, match="closed"):
        desk.append(1, first=4)
    await desk.commits.flush()


async def test_what_a_listener_raises_is_not_the_stores_trouble(tmp_path: Path) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context["exception"])))

    def fail(error: StoreError | None) -> None:
        raise ValueError("a mistake of the user")

    breakage = Breakage(sqlite3.SQLITE_FULL, only=("INSERT INTO journal",))
    clock = ManualClock()
    commits = Commits(tmp_path / "a.db", clock, SETTINGS, fail, breakage.connect(tmp_path / "a.db"))
    await commits.open()
    breakage.arm()
    for one in row_of_records(2):
        commits.append(one)
    await until(lambda: bool(complaints))
    await clock.advance(1_000)
    await commits.flush()
    await commits.stop()
    assert complaints == ["a mistake of the user"] * 2


async def open_commits(folder: Path) -> tuple[Commits, ManualClock]:
    clock = ManualClock()
    commits = Commits(folder / "a.db", clock, SqliteSettings(), None)
    await commits.open()
    return commits, clock


async def test_a_record_that_cannot_be_encoded_ends_the_journal_and_stays_counted(tmp_path: Path) -> None:
    commits, _ = await open_commits(tmp_path)
    for one in (*row_of_records(2), record(filled(), sequence=1 << 70)):
        commits.append(one)
    await until(lambda: commits.trouble is not None)
    with pytest.raises(StoreError):
        commits.append(record(filled(), sequence=(1 << 70) + 1))
    with pytest.raises(StoreError, match="3 records could not be written"):
        await commits.stop()


async def test_a_record_that_cannot_be_encoded_behind_a_commit_is_no_recovery(tmp_path: Path) -> None:
    told: list[str | None] = []
    commits = Commits(tmp_path / "a.db", ManualClock(), SqliteSettings(), lambda error: told.append(None if error is None else str(error)))
    await commits.open()
    for one in row_of_records(2):
        commits.append(one)
    await asyncio.sleep(0)  # the batch is on its way
    commits.append(record(filled(), sequence=1 << 70))
    await until(lambda: bool(told))
    await until(lambda: commits.backlog == 1)
    assert None not in told and commits.trouble is not None
    with pytest.raises(StoreError, match=r"1 records could not be written: .*serialize"):
        await commits.stop()


async def test_a_stop_that_is_cancelled_has_handed_over_everything(tmp_path: Path) -> None:
    commits, _ = await open_commits(tmp_path)
    for one in row_of_records(2 * MOST_RECORDS):
        commits.append(one)
    stopping = asyncio.ensure_future(commits.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait([stopping])
    await until(lambda: commits.backlog == 0)


async def test_in_a_storm_more_gathers_before_the_next_commit(tmp_path: Path) -> None:
    commits, clock = await open_commits(tmp_path)
    for one in row_of_records(STORM_RECORDS):
        commits.append(one)
    await until(lambda: commits.backlog == 0)
    commits.append(row_of_records(1, first=STORM_RECORDS + 1)[0])
    await asyncio.sleep(0.003)
    assert commits.backlog == 1
    await clock.advance(20)
    await until(lambda: commits.backlog == 0)
    await commits.stop()


async def test_a_full_batch_does_not_gather_any_more(tmp_path: Path) -> None:
    commits, _ = await open_commits(tmp_path)
    for one in row_of_records(STORM_RECORDS):
        commits.append(one)
    await until(lambda: commits.backlog == 0)
    for one in row_of_records(MOST_RECORDS, first=STORM_RECORDS + 1):
        commits.append(one)
    await until(lambda: commits.backlog == 0)
    await commits.stop()


async def test_whoever_waits_for_the_disk_does_not_wait_for_a_storm_to_gather(tmp_path: Path) -> None:
    commits, _ = await open_commits(tmp_path)
    for first in (1, STORM_RECORDS + 1):
        for one in row_of_records(STORM_RECORDS, first=first):
            commits.append(one)
        if first == 1:
            await until(lambda: commits.backlog == 0)
    await commits.flush()
    assert commits.backlog == 0
    await commits.stop()


async def test_stop_writes_all_batches_that_wait(tmp_path: Path) -> None:
    commits, _ = await open_commits(tmp_path)
    for one in row_of_records(3 * MOST_RECORDS):
        commits.append(one)
    await commits.stop()
    assert commits.backlog == 0
