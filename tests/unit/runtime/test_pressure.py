"""Back-pressure: all read or none, and nobody is held for nothing."""

from __future__ import annotations

import asyncio

from tests.support.clock import ManualClock
from tests.support.events import filled
from tests.support.records import record
from userstream.adapters.memory import MemoryJournal
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import Record
from userstream.runtime.keeper import Keeper
from userstream.runtime.pressure import BACKLOG_HIGH, BACKLOG_LOW, EXCUSE_MS, LOOK_MS, BackPressure


class FullJournal(MemoryJournal):
    """Says how far it is behind."""

    held = 0
    refusal: StoreError | None = None

    def append(self, record: Record) -> None:
        if self.refusal is not None:
            raise self.refusal
        super().append(record)

    @property
    def backlog(self) -> int:
        return self.held


class Member:
    def __init__(self) -> None:
        self.journal = FullJournal()
        self.keeper = Keeper(AccountId("alice"), self.journal, ManualClock())
        self.heard: list[str] = []
        self.fault: Exception | None = None

    def refuse(self) -> None:
        """From now on its journal takes nothing."""
        self.journal.refusal = StoreError("the disk is gone")
        self.keeper.keep(record(filled(), sequence=2))

    def hold_reading(self) -> None:
        self._hear("hold")

    def excuse_silence(self) -> None:
        self._hear("excuse")

    def go_on_reading(self) -> None:
        self._hear("go on")

    def _hear(self, word: str) -> None:
        self.heard.append(word)
        if self.fault is not None:
            raise self.fault


async def fill(count: int) -> tuple[BackPressure, FullJournal, ManualClock, list[Member]]:
    journal, clock = FullJournal(), ManualClock()
    pressure, members = BackPressure(journal, clock), [Member() for _ in range(count)]
    for member in members:
        pressure.join(member)
    journal.held = BACKLOG_HIGH + 1
    return pressure, journal, clock, members


async def test_all_stop_and_go_on_together_also_those_who_never_asked() -> None:
    pressure, journal, clock, members = await fill(3)
    pressure.mind()
    pressure.mind()
    await clock.advance(EXCUSE_MS + LOOK_MS)
    journal.held = BACKLOG_LOW
    await clock.advance(LOOK_MS)
    assert [member.heard for member in members] == [["hold", "excuse", "excuse", "go on"]] * 3
    assert not pressure.is_holding


async def test_who_joins_meanwhile_waits_too() -> None:
    pressure, _, _, _ = await fill(1)
    pressure.mind()
    late = Member()
    pressure.join(late)
    assert late.heard == ["hold"]


async def test_who_would_open_a_socket_waits_until_it_can_be_read() -> None:
    pressure, journal, clock, _ = await fill(1)
    pressure.mind()
    waiting = asyncio.ensure_future(pressure.pass_by())
    await clock.advance(3 * LOOK_MS)
    assert not waiting.done()
    journal.held = 0
    await clock.advance(2 * LOOK_MS)
    await waiting


async def test_below_the_mark_nobody_is_held() -> None:
    pressure, journal, _, [member] = await fill(1)
    journal.held = BACKLOG_HIGH
    pressure.mind()
    assert (pressure.is_holding, member.heard) == (False, [])


async def test_a_journal_that_takes_nothing_is_not_waited_for() -> None:
    pressure, _, clock, [first, second] = await fill(2)
    pressure.mind()
    second.refuse()
    await clock.advance(LOOK_MS)
    assert (first.heard[-1], second.heard[-1]) == ("go on", "go on")
    pressure.mind()
    assert not pressure.is_holding


async def test_an_account_that_keeps_nothing_any_more_changes_nothing_for_the_others() -> None:
    pressure, _, _, [first, second] = await fill(2)
    second.keeper.lost = StoreError("more came than memory may hold")
    pressure.mind()
    assert (pressure.is_holding, first.heard) == (True, ["hold"])


async def test_a_fault_of_one_account_keeps_no_other_from_being_read() -> None:
    pressure, journal, clock, members = await fill(3)
    for member in members[::2]:
        member.fault = ZeroDivisionError("a fault")
    pressure.mind()
    await clock.advance(EXCUSE_MS)
    journal.held = 0
    await clock.advance(2 * LOOK_MS)
    assert [member.heard[-1] for member in members] == ["go on"] * 3
    assert not pressure.is_holding


async def test_with_the_last_account_the_waiting_ends() -> None:
    pressure, _, clock, [first, second] = await fill(2)
    pressure.mind()
    await clock.settle()
    states = []
    for member in (first, second):
        pressure.leave(member)
        await clock.settle()
        states.append(pressure.is_holding)
    assert states == [True, False]
    assert clock.next_due is None
