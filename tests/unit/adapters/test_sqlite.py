"""The embedded store beyond what every journal and projection promises: restarts, other processes, full disks, retention."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from hypothesis import given, settings
from structlog.testing import capture_logs

from tests.support.clock import DEFAULT_WALL, ManualClock
from tests.support.events import balance_set, filled, order_changed, stream_changed
from tests.support.records import cut_histories, record, row_of_records
from userstream.adapters.sqlite import PackedJournal, SqliteStore, open_reader
from userstream.adapters.sqlite_commits import SqliteSettings
from userstream.adapters.sqlite_file import open_for_writing
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import MOST_PACKED_BYTES, PackedRecords, Record, StoredRecord
from userstream.runtime.pump import Pump

ALICE: Final = AccountId("alice")
BOB: Final = AccountId("bob")
ROOT: Final = Path(__file__).parents[3]
DAY_MS: Final = 24 * 3600 * 1000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = await SqliteStore.open(tmp_path / "a.db", ManualClock())
    yield made
    await made.close()


async def append_all(store: SqliteStore, records: list[Record]) -> list[StoredRecord]:
    for one in records:
        store.append(one)
    await store.flush()
    return await store.read(after=0, limit=1_000_000)


def by_place(one: Record) -> tuple[str, int]:
    return one.account, one.sequence


async def until(reached: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if reached():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never reached")


# ---- restarts


@given(batches=cut_histories())
@settings(max_examples=25)
def test_a_restart_anywhere_changes_nothing_that_was_committed(batches: list[list[Record]]) -> None:
    async def check(path: Path) -> None:
        found: list[StoredRecord] = []
        last: dict[AccountId, int] = {}
        for batch in batches:
            async with await SqliteStore.open(path, ManualClock()) as store:
                assert {account: await store.last_sequence(account) for account in last} == last
                assert await store.accounts() == sorted(last)
                after = await append_all(store, batch)
                assert after[: len(found)] == found
                assert sorted((stored.record for stored in after[len(found) :]), key=by_place) == sorted(batch, key=by_place)
                found = after
                last = {one.account: await store.last_sequence(one.account) for one in (stored.record for stored in found)}

    with TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder) / "a.db"))


async def test_the_bytes_of_each_event_survive_a_restart(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        await append_all(store, [record(order_changed(), filled(), frame=b'{"e":"X"}'), record(stream_changed(), sequence=3, frame=b"")])
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        events = [event for stored in await store.read(after=0, limit=10) for event in stored.record.events]
    assert [(event.sequence, event.raw()) for event in events] == [(1, b'{"e":"X"}'), (2, b'{"e":"X"}'), (3, None)]


async def test_after_a_restart_old_sequences_are_still_refused(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        await append_all(store, row_of_records(5))
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        with pytest.raises(StoreError, match="sequence 5 is not above 5"):
            store.append(record(filled(), sequence=5))
        assert len(await append_all(store, row_of_records(1, first=100))) == 6


async def test_tables_and_positions_survive_a_restart(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        records = await append_all(store, row_of_records(5, build=lambda account: order_changed(account=account)))
        await store.apply("tables", records[:3])
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        assert await store.position("tables") == records[2].position
        await store.apply("tables", records)
        assert [row["sequence"] for row in await store.rows("orders", ALICE)] == [5]


# ---- other users of the file


async def test_a_second_writer_is_told_who_has_the_store(tmp_path: Path, store: SqliteStore) -> None:
    with pytest.raises(StoreError, match=r"a\.db is in use by process \d+"):
        await SqliteStore.open(tmp_path / "a.db", ManualClock())
    assert len(await append_all(store, row_of_records(2))) == 2


async def test_a_store_that_could_not_open_lets_go_of_its_lock(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database" * 100)
    for _ in range(2):
        with pytest.raises(StoreError, match="is not a database"):
            await SqliteStore.open(tmp_path / "a.db", ManualClock())


async def test_what_is_not_ours_gets_nothing_put_beside_it(tmp_path: Path) -> None:
    async def refused(name: str, why: str) -> None:
        with pytest.raises(StoreError, match=why):
            await SqliteStore.open(tmp_path / name, ManualClock())

    with closing(sqlite3.connect(tmp_path / "theirs.db")) as theirs:
        theirs.execute("PRAGMA journal_mode = WAL")
        theirs.execute("CREATE TABLE recipes (name)")
    with closing(open_for_writing(tmp_path / "newer.db")) as newer:
        newer.execute("PRAGMA user_version = 99")
    (tmp_path / "notes.txt").write_text("buy low, sell high\n" * 100)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}  # noqa: ASYNC240 - nobody waits here
    await refused("theirs.db", "another program")
    await refused("newer.db", "newer version")
    await refused("notes.txt", "not a database")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before  # noqa: ASYNC240 - nobody waits here


@pytest.mark.skipif(os.name != "posix", reason="elsewhere files have no such mode")
async def test_a_new_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        await append_all(store, row_of_records(1))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}  # noqa: ASYNC240 - nobody waits here
    assert modes == dict.fromkeys(("a.db", "a.db-wal", "a.db-shm", "a.db.lock"), 0o600)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere files have no such mode")
async def test_whom_a_person_let_read_a_store_may_go_on_reading(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()):
        pass
    (tmp_path / "a.db").chmod(0o640)
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()):
        assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.db", "a.db-wal")} == {0o640}


def test_a_missing_folder_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist: create it, or choose another path"):
        asyncio.run(SqliteStore.open(tmp_path / "nowhere" / "a.db", ManualClock()))
    assert list(tmp_path.iterdir()) == []


async def test_readers_see_what_is_committed_while_the_writer_runs(tmp_path: Path, store: SqliteStore) -> None:
    async with open_reader(tmp_path / "a.db") as reader:
        assert await reader.read(after=0, limit=10) == []
        written = await append_all(store, row_of_records(3))
        await store.apply("tables", written)
        assert await reader.read(after=0, limit=10) == written
        assert await reader.read_account(ALICE, after=1, limit=10) == [stored.record for stored in written[1:]]
        assert (await reader.accounts(), await reader.last_sequence(ALICE), await reader.position("tables")) == (
            ["alice"],
            3,
            written[2].position,
        )
        assert len(await reader.rows("fills")) == 1


def test_another_process_reads_beside_the_writer(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path; from userstream.adapters.sqlite import open_reader\n"
        "async def main():\n"
        "    async with open_reader(Path(sys.argv[1])) as reader:\n"
        "        print(len(await reader.read(after=0, limit=100)))\n"
        "asyncio.run(main())"
    )

    async def check() -> str:
        async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
            await append_all(store, row_of_records(7))
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", script, str(tmp_path / "a.db"), stdout=asyncio.subprocess.PIPE
            )
            answer, _ = await child.communicate()
        return answer.decode()

    assert asyncio.run(check()) == "7\n"


async def test_a_closed_store_and_a_closed_reader_say_so(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "a.db", ManualClock())
    reader = open_reader(tmp_path / "a.db")
    for thing in (store, reader):
        await thing.close()
        await thing.close()
        with pytest.raises(StoreError, match="closed"):
            await thing.rows("orders")


# ---- trouble


async def test_a_full_store_takes_records_again_when_room_was_made(tmp_path: Path) -> None:
    clock = ManualClock()
    troubles: list[StoreError | None] = []
    settings = SqliteSettings(max_pages=120, keep_days=1)
    store = await SqliteStore.open(tmp_path / "a.db", clock, settings=settings, on_trouble=troubles.append)
    written = row_of_records(200)
    await append_all(store, written)
    await store.save_checkpoint(ALICE, 200, [balance_set()])
    while not troubles:
        for one in row_of_records(20, first=written[-1].sequence + 1):
            store.append(one)
            written.append(one)
        await clock.advance(20)
        await asyncio.sleep(0.001)
    assert "disk is full" in str(store.trouble)
    assert store.backlog > 0
    assert await store.trim(Millis(DEFAULT_WALL)) > 0
    await clock.advance(60_000)
    await store.flush()
    await asyncio.sleep(0)
    assert [error is None for error in troubles] == [False, True]
    kept = [one.sequence for one in await store.read_account(ALICE, after=0, limit=1_000_000)]
    assert kept == list(range(kept[0], written[-1].sequence + 1))
    assert kept[0] <= 201
    await store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of file sizes for a process")
def test_a_disk_that_really_refuses_to_write_loses_and_doubles_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.child_store", "limit", str(tmp_path / "a.db")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    heard = lines["heard"].strip("[]").split(", ")
    assert heard[-1] == "None"
    assert all(("None" if place % 2 else "disk I/O error") in word for place, word in enumerate(heard))

    async def sequences() -> list[int]:
        async with open_reader(tmp_path / "a.db") as reader:
            return [one.sequence for one in await reader.read_account(ALICE, after=0, limit=1_000_000)]

    assert asyncio.run(sequences()) == list(range(1, int(lines["appended"]) + 1))


async def test_a_row_that_this_version_cannot_read_is_named(tmp_path: Path, store: SqliteStore) -> None:
    await append_all(store, row_of_records(1))
    with closing(sqlite3.connect(tmp_path / "a.db")) as intruder, intruder:
        intruder.execute("UPDATE journal SET data = x'C1'")
        intruder.execute("INSERT INTO checkpoints VALUES ('alice', 1, x'C1')")
    with pytest.raises(StoreError, match="row 1 of the journal cannot be read"):
        await store.read(after=0, limit=1)
    with pytest.raises(StoreError, match="the checkpoint of account alice cannot be read"):
        await store.load_checkpoint(ALICE)


async def test_a_reader_that_somebody_else_moved_is_not_moved_back(tmp_path: Path, store: SqliteStore) -> None:
    records = await append_all(store, row_of_records(3))
    await store.apply("tables", records[:1])
    with closing(sqlite3.connect(tmp_path / "a.db")) as intruder, intruder:
        intruder.execute("UPDATE cursors SET position = ?", (records[1].position,))
    with pytest.raises(StoreError, match="'tables' has been moved by somebody else"):
        await store.apply("tables", records)
    await store.apply("tables", records)
    assert await store.position("tables") == records[2].position


async def test_an_apply_that_was_cancelled_can_be_made_again(store: SqliteStore) -> None:
    records = await append_all(store, row_of_records(2_000))
    for _ in range(3):
        work = asyncio.ensure_future(store.apply("tables", records))
        for _ in range(3):
            await asyncio.sleep(0.001)
        work.cancel()
        await asyncio.wait([work])
    position = -1
    while position < records[-1].position:
        try:
            await store.apply("tables", records)
        except StoreError:
            continue
        position = await store.position("tables")
    [row] = await store.rows("fills")
    assert row["sequence"] == 1


# ---- retention


async def fill(store: SqliteStore, days: int) -> list[StoredRecord]:
    """Rows of two accounts, one a day, the newest of today."""
    for day in range(days):
        when = DEFAULT_WALL - (days - 1 - day) * DAY_MS
        for account in (ALICE, BOB):
            store.append(record(filled(account=account), account=account, sequence=day + 1, received_time=when))
        await store.flush()
    return await store.read(after=0, limit=1_000)


async def left(store: SqliteStore) -> list[tuple[str, int]]:
    return [(stored.record.account, stored.record.sequence) for stored in await store.read(after=0, limit=1_000)]


async def test_only_old_rows_below_the_checkpoint_of_their_account_go(store: SqliteStore) -> None:
    await fill(store, 20)
    assert await store.trim(Millis(DEFAULT_WALL)) == 0
    await store.save_checkpoint(ALICE, 3, [balance_set()])
    await store.save_checkpoint(BOB, 20, [balance_set()])
    assert await store.trim(Millis(DEFAULT_WALL)) == 3 + 5
    kept = await left(store)
    assert [sequence for account, sequence in kept if account == ALICE] == list(range(4, 21))
    assert [sequence for account, sequence in kept if account == BOB] == list(range(6, 21))
    assert await store.trim(Millis(DEFAULT_WALL)) == 0


async def test_who_reads_on_from_what_went_is_told_and_nobody_else(store: SqliteStore) -> None:
    await fill(store, 20)
    await store.save_checkpoint(ALICE, 3, [balance_set()])
    await store.trim(Millis(DEFAULT_WALL))
    with pytest.raises(StoreError, match=r"account alice: the journal no longer holds what came after 2: .* came after 3 can be read"):
        await store.read_account(ALICE, after=2, limit=5, whole=True)
    assert len(await store.read_account(ALICE, after=3, limit=100, whole=True)) == 17
    assert len(await store.read_account(ALICE, after=0, limit=100)) == 17
    assert len(await store.read_account(BOB, after=0, limit=100, whole=True)) == 20


async def test_an_orderly_end_leaves_one_file_that_can_be_copied(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        await append_all(store, row_of_records(50))
        await store.read(after=0, limit=10)
    assert {file.name for file in tmp_path.iterdir()} <= {"a.db", "a.db.lock"}  # noqa: ASYNC240 - nobody waits here
    (tmp_path / "copy.db").write_bytes((tmp_path / "a.db").read_bytes())
    async with open_reader(tmp_path / "copy.db") as reader:
        assert len(await reader.read(after=0, limit=100)) == 50


async def test_an_orderly_end_beside_a_reader_leaves_everything_in_the_file(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "a.db", ManualClock())
    async with open_reader(tmp_path / "a.db"):
        await append_all(store, row_of_records(50))
        await store.close()
        (tmp_path / "copy.db").write_bytes((tmp_path / "a.db").read_bytes())
    async with open_reader(tmp_path / "copy.db") as copy:
        assert len(await copy.read(after=0, limit=100)) == 50


async def test_no_row_goes_before_every_reader_has_passed_it(store: SqliteStore) -> None:
    records = await fill(store, 20)
    for account in (ALICE, BOB):
        await store.save_checkpoint(account, 20, [balance_set()])
    await store.apply("fast", records)
    await store.apply("slow", records[:4])
    assert await store.trim(Millis(DEFAULT_WALL)) == 3
    assert await left(store) == [(stored.record.account, stored.record.sequence) for stored in records[3:]]
    await store.apply("slow", records)
    assert await store.trim(Millis(DEFAULT_WALL)) == 7


async def test_the_newest_row_stays_so_that_positions_go_on(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        records = await fill(store, 3)
        for account in (ALICE, BOB):
            await store.save_checkpoint(account, 3, [balance_set()])
        assert await store.trim(Millis(DEFAULT_WALL + 100 * DAY_MS)) == 5
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as store:
        assert [await store.last_sequence(account) for account in (ALICE, BOB)] == [3, 3]
        after = await append_all(store, row_of_records(1, first=4))
        assert after[0] == records[-1]
        assert after[1].position > records[-1].position


async def test_above_its_size_the_file_loses_its_oldest_rows_whatever_their_age(tmp_path: Path) -> None:
    limited = SqliteSettings(keep_bytes=200_000)
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock(), settings=limited) as store:
        for batch in range(40):
            frames = [
                record(filled(), sequence=batch * 20 + place + 1, frame=b"x" * 500, received_time=DEFAULT_WALL) for place in range(20)
            ]
            await append_all(store, frames)
        await store.save_checkpoint(ALICE, 800, [balance_set()])
        removed = await store.trim(Millis(DEFAULT_WALL))
        kept = await left(store)
        assert 0 < removed < 40
        assert kept[-1] == ("alice", 800)
        assert [sequence for _, sequence in kept] == list(range(kept[0][1], 801))


async def test_room_is_made_every_hour(tmp_path: Path) -> None:
    clock = ManualClock()
    async with await SqliteStore.open(tmp_path / "a.db", clock) as store:
        await fill(store, 20)
        await store.save_checkpoint(BOB, 20, [balance_set()])
        before = await left(store)
        await clock.advance(3600 * 1000)
        await until(lambda: clock.running == [])
        assert len(await left(store)) == len(before) - 6
        assert clock.next_due is not None
    assert clock.failures == []


async def test_old_rows_that_cannot_be_removed_are_complained_of_and_tried_again(tmp_path: Path) -> None:
    clock = ManualClock()
    async with await SqliteStore.open(tmp_path / "a.db", clock):
        with closing(sqlite3.connect(tmp_path / "a.db")) as intruder, intruder:
            intruder.execute("ALTER TABLE checkpoints RENAME TO mislaid")
        with capture_logs() as logs:
            await clock.advance(3600 * 1000)
            await until(lambda: clock.running == [])
        assert [(entry["action"], entry["reason"]) for entry in logs] == [
            ("trim_failed", f"{tmp_path / 'a.db'}: no such table: checkpoints")
        ]
        assert clock.next_due is not None


async def test_a_store_that_is_closed_while_it_makes_room_closes(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await SqliteStore.open(tmp_path / "a.db", clock)
    await fill(store, 20)
    await store.save_checkpoint(BOB, 20, [balance_set()])
    await clock.advance(3600 * 1000)
    await store.close()
    assert clock.running == []


async def test_a_pump_that_passes_records_on_gets_each_of_them_packed_and_nobody_keeps_them(store: SqliteStore) -> None:
    packed = PackedJournal(store)
    told: list[Sequence[StoredRecord]] = []

    class Sink:
        def __init__(self) -> None:
            self.reached = 0

        async def position(self, reader: str) -> int:
            return self.reached

        async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
            told.append(records)

    sink = Sink()
    before = await append_all(store, row_of_records(5) + row_of_records(5, account="bob"))
    sink.reached = before[1].position
    pump = Pump(packed, sink, "tables", clock=ManualClock(), batch=3)
    pump.start()
    await pump.drain()
    after = await append_all(store, row_of_records(3, first=100))
    assert not store._commits.watchers.want_records
    await pump.drain()
    await pump.stop()
    assert len(told) > 2
    assert all(isinstance(records, PackedRecords) for records in told)
    opened = [stored for records in told for stored in records]
    assert sorted({stored.position for stored in opened}) == [stored.position for stored in after]
    assert [stored for stored in opened if stored.position > sink.reached] == [stored for stored in after if stored.position > sink.reached]
    store.watch(lambda records: None)
    assert store._commits.watchers.want_records


async def test_large_answers_are_passed_on_a_few_at_a_time(store: SqliteStore) -> None:
    for sequence in range(1, 13):
        store.append(record(filled(), sequence=sequence, frame=b"x" * (MOST_PACKED_BYTES // 3)))
        await store.flush()
    sizes: list[int] = []

    class Sink:
        async def position(self, reader: str) -> int:
            return 0

        async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
            sizes.append(len(records))

    pump = Pump(PackedJournal(store), Sink(), "tables", clock=ManualClock())
    pump.start()
    await pump.drain()
    await pump.stop()
    assert sum(sizes) == 12
    assert max(sizes) <= 3
