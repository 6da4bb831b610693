"""The journal in memory beyond what every journal promises: it forgets."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.records import record, row_of_records
from userstream.adapters.memory import MemoryJournal, MemoryProjection
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import Record

ALICE, BOB = AccountId("alice"), AccountId("bob")


async def test_a_record_is_committed_when_the_loop_has_run_once_more() -> None:
    journal, heard = MemoryJournal(), list[Record]()
    journal.watch(heard.extend)
    for one in row_of_records(3):
        journal.append(one)
    assert (journal.backlog, heard) == (3, [])
    await asyncio.sleep(0)
    assert (journal.backlog, heard) == (0, row_of_records(3))


async def test_a_watcher_may_append() -> None:
    journal, answers = MemoryJournal(), row_of_records(2, account="bob")
    journal.watch(lambda records: journal.append(answers.pop()) if answers and records[0].account == "alice" else None)
    journal.append(record())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [stored.record.account for stored in await journal.read(after=0, limit=10)] == ["alice", "bob"]


async def test_the_oldest_are_forgotten_and_positions_go_on() -> None:
    journal = MemoryJournal(keep_records=100)
    for first in range(1, 1_001, 10):
        for one in (*row_of_records(5, first=first), *row_of_records(5, first=first, account="bob")):
            journal.append(one)
        await journal.flush()
    kept = await journal.read(after=0, limit=10_000)
    assert 100 <= len(kept) <= 125
    assert kept[-1].position == 1_000
    assert await journal.read(after=kept[3].position, limit=2) == kept[4:6]
    for account in (ALICE, BOB):
        remembered = [stored.record for stored in kept if stored.record.account == account]
        assert await journal.read_account(account, after=0, limit=10_000) == remembered
        assert await journal.last_sequence(account) == 995


async def test_without_a_running_loop_append_is_a_mistake() -> None:
    def append() -> None:
        MemoryJournal().append(record())

    with pytest.raises(RuntimeError):
        await asyncio.to_thread(append)


async def test_rows_are_copies() -> None:
    tables = MemoryProjection()
    journal = MemoryJournal()
    for one in row_of_records(1):
        journal.append(one)
    await journal.flush()
    await tables.apply("tables", await journal.read(after=0, limit=1))
    [row] = await tables.rows("fills")
    row["price"] = "0"
    assert (await tables.rows("fills"))[0]["price"] == "61250.10"


async def test_a_closed_journal_can_still_be_read() -> None:
    journal = MemoryJournal()
    journal.append(record())
    await journal.close()
    assert len(await journal.read(after=0, limit=1)) == 1
    with pytest.raises(StoreError):
        journal.append(record(sequence=2))


async def test_memory_is_bounded_by_bytes_too_and_the_newest_always_stays() -> None:
    journal = MemoryJournal(keep_bytes=200_000)
    for one in row_of_records(2_000):
        journal.append(one)
    await journal.flush()
    kept = await journal.read(after=0, limit=10_000)
    assert 80 <= len(kept) <= 120
    assert kept[-1].position == 2_000
    journal.append(record(sequence=2_001, frame=b"x" * 500_000))
    await journal.flush()
    assert [stored.position for stored in await journal.read(after=0, limit=10_000)] == [2_001]


async def test_who_reads_whole_is_told_what_is_gone() -> None:
    journal = MemoryJournal(keep_records=100)
    for one in row_of_records(1_000):
        journal.append(one)
        await journal.flush()
    first = (await journal.read_account(ALICE, after=0, limit=1))[0].sequence
    assert first > 800
    with pytest.raises(StoreError, match=f"no longer holds what came after 5: .* what came after {first - 1} can be read"):
        await journal.read_account(ALICE, after=5, limit=1, whole=True)
    assert (await journal.read_account(ALICE, after=first - 1, limit=1, whole=True))[0].sequence == first
    assert await journal.count(after=0) == await journal.count(after=first - 1) == 1_000 - first + 1
