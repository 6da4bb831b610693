"""The way into the journal: in order, each once, nothing behind a hole; and the way out of it again."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from tests.support.records import row_of_records
from tests.unit.runtime.kit import HeldJournal
from userstream.kernel.errors import NotKept, StoreError
from userstream.kernel.ids import AccountId
from userstream.runtime.keeper import PATIENCE_MS, PAUSE_MS, RETRY_MS, CatchUp, Keeper

ALICE = AccountId("alice")
STEPS = st.lists(st.sampled_from(["refuse", "take", "keep", "turn", "read"]), max_size=40)


class Room:
    def __init__(self, held_bytes: int = 1 << 20) -> None:
        self.clock, self.journal = ManualClock(), HeldJournal()
        self.keeper = Keeper(ALICE, self.journal, self.clock, held_bytes=held_bytes)
        self.newest = 0
        self.catch_up = CatchUp(self.keeper, self.clock, lambda: self.newest)

    def keep(self, count: int = 1) -> list[bool]:
        records = row_of_records(count, first=self.newest + 1)
        self.newest += count
        return [self.keeper.keep(record) for record in records]

    async def journaled(self) -> list[int]:
        await asyncio.sleep(0)
        return [record.sequence for record in await self.journal.read_account(ALICE, after=0, limit=10_000)]


@given(steps=STEPS, held=st.integers(1, 6))
def test_the_journal_holds_a_beginning_of_what_was_kept_and_readers_miss_nothing(steps: list[str], held: int) -> None:
    async def check() -> None:
        room, read, after = Room(held_bytes=held * 1_720), list[int](), 0
        for step in steps:
            match step:
                case "refuse":
                    room.journal.refusal = "full"
                case "take":
                    room.journal.refusal = None
                case "keep":
                    room.keep()
                case "turn":
                    await room.clock.advance(RETRY_MS)
                case _ if room.journal.refusal is None and room.keeper.lost is None:
                    records = await room.catch_up.read(after, is_over=lambda: False)
                    read += [record.sequence for record in records]
                    after = records[-1].sequence if records else after
            kept = await room.journaled()
            assert kept == list(range(1, len(kept) + 1))
            assert read == list(range(1, len(read) + 1))
        room.journal.refusal = None
        await room.clock.advance(RETRY_MS)
        last = room.keeper.first_lost - 1 if room.keeper.lost is not None else room.newest
        assert await room.journaled() == list(range(1, last + 1))
        assert room.keeper.is_level is (room.keeper.lost is None)

    asyncio.run(check())


async def test_what_memory_cannot_hold_is_lost_and_nothing_comes_behind_it() -> None:
    room = Room(held_bytes=5_000)
    room.keep(3)
    room.journal.refusal = "the disk is full"
    assert room.keep(4) == [True, True, False, False]
    assert (str(room.keeper.trouble), room.keeper.first_lost) == ("the disk is full", 6)
    assert "the disk is full; more came than memory may hold: from event 6 on" in str(room.keeper.lost)
    room.journal.refusal = None
    await room.clock.advance(RETRY_MS)
    assert room.keeper.trouble is None
    assert room.keep(2) == [False, False]
    assert await room.journaled() == [1, 2, 3, 4, 5]
    assert not room.keeper.is_level
    with pytest.raises(NotKept, match="alice: events after 5 are not in the journal: the disk is full"):
        await room.keeper.read_on(5, room.newest)
    assert await room.keeper.read_on(room.newest, room.newest) == []


async def test_a_store_in_trouble_is_waited_for_and_not_for_ever() -> None:
    room = Room()
    room.keep(2)
    await asyncio.sleep(0)
    room.journal.refusal = "no room"
    reading = asyncio.ensure_future(room.catch_up.read(2, is_over=lambda: False))
    await room.clock.advance(PAUSE_MS)
    assert await reading == []
    assert not room.catch_up.is_level
    await room.clock.advance(PATIENCE_MS)
    with pytest.raises(StoreError, match="no room"):
        await room.catch_up.read(2, is_over=lambda: False)
    with pytest.raises(StoreError, match="no room"):
        await CatchUp(room.keeper, room.clock, lambda: 2).read(2, is_over=lambda: True)


async def test_after_the_end_nothing_is_tried_any_more() -> None:
    room = Room()
    room.journal.refusal = "gone"
    room.keep()
    room.keeper.close()
    room.keep()
    room.journal.refusal = None
    await room.clock.advance(10 * RETRY_MS)
    assert await room.journaled() == []
    assert room.clock.next_due is None
