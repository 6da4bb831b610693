"""Listeners: nothing skipped, nothing twice, nobody waits for ever, and a bad handler hurts only itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from tests.support.events import filled, order_changed
from tests.support.records import record
from userstream.adapters.logs import configure_library_logs
from userstream.adapters.memory import MemoryJournal
from userstream.domain.events import Event, Fact, Filled, OrderChanged
from userstream.kernel.errors import AuthenticationError, NotKept, StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import Record
from userstream.runtime.keeper import PATIENCE_MS, RETRY_MS, Keeper
from userstream.runtime.listeners import LAST_WORDS_MS, QUEUE_LIMIT, YIELD_EVERY, Ended, Listeners, Reader

ALICE = AccountId("alice")
LIMIT_MS = 1_500
HELD_BYTES = 8_000
HELD = 4
"""So many events with their frames are held while the journal refuses them."""


class FailingJournal(MemoryJournal):
    """`refusal`: it takes nothing more. `failing`: commits fail for now. `unreadable`: it cannot be read."""

    def __init__(self, keep_records: int = 100_000) -> None:
        super().__init__(keep_records=keep_records)
        self.refusal: str | None = None
        self.failing: str | None = None
        self.unreadable: str | None = None

    def append(self, record: Record) -> None:
        if self.refusal is not None:
            raise StoreError(self.refusal)
        super().append(record)

    async def flush(self) -> None:
        if reason := self.failing or self.refusal:
            raise StoreError(reason)
        await super().flush()

    async def read_account(self, account: AccountId, *, after: int, limit: int, whole: bool = False) -> list[Record]:
        if self.unreadable is not None:
            raise StoreError(self.unreadable)
        await asyncio.sleep(0)
        return await super().read_account(account, after=after, limit=limit, whole=whole)


class House:
    """One account's listeners with a journal, fed as the runner feeds them."""

    def __init__(self, keep_records: int = 100_000) -> None:
        self.clock, self.journal, self.sequence = ManualClock(), FailingJournal(keep_records), 0
        self.keeper = Keeper(ALICE, self.journal, self.clock, held_bytes=HELD_BYTES)
        self.listeners = Listeners(ALICE, self.keeper, self.clock, lambda: self.sequence)

    def tell(self, count: int = 1, build: Callable[..., Event] = filled) -> None:
        for _ in range(count):
            self.sequence += 1
            self._publish(record(build(), sequence=self.sequence))

    def tell_order(self) -> None:
        self.tell(build=order_changed)

    def _publish(self, told: Record) -> None:
        self.keeper.keep(told)
        self.listeners.publish(told.events)

    def read(self, after: int | None = None, types: set[type[Fact]] | None = None) -> Reading:
        return Reading(self, self.listeners.open_reader(after, types))

    async def close(self) -> None:
        closing = asyncio.ensure_future(self.listeners.close(limit_ms=LIMIT_MS))
        await self.clock.advance_until(closing.done, limit_ms=LIMIT_MS + LAST_WORDS_MS)
        await closing
        self.keeper.close()


class Reading:
    """A reader in a task: what it was given and how it ended."""

    def __init__(self, house: House, reader: Reader) -> None:
        self.given: list[int] = []
        self.end: Exception | None = None
        self.reader = reader
        self.task = house.clock.spawn(self._run(), "reading")

    async def _run(self) -> None:
        try:
            while True:
                self.given += [event.sequence for event in await self.reader.take()]
        except (Ended, StoreError, AuthenticationError) as error:
            self.end = error


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    await made.close()
    await made.clock.settle()
    assert made.clock.failures == []
    assert made.clock.running == []


# --- readers ---


@given(st.lists(st.sampled_from(["tell", "order", "burst", "turn", "back"]), max_size=25), st.integers(0, 5))
def test_a_reader_gets_every_event_once_and_in_order(steps: list[str], after: int) -> None:
    async def play() -> None:
        house = House()
        house.tell(5)
        reading = house.read(after)
        for step in steps:
            match step:
                case "tell":
                    house.tell()
                case "order":
                    house.tell_order()
                case "burst":
                    house.tell(40)
                case "turn":
                    await asyncio.sleep(0)
                case _:
                    house.read(0)
        await house.clock.settle()
        assert reading.given == list(range(after + 1, house.sequence + 1))
        await house.close()
        assert isinstance(reading.end, Ended)

    asyncio.run(play())


async def test_a_reader_that_is_overrun_reads_on_from_the_journal(house: House) -> None:
    reader = house.listeners.open_reader(None, None)
    house.tell(QUEUE_LIMIT + 500)
    assert reader.backlog <= QUEUE_LIMIT + 1
    reading = Reading(house, reader)
    await house.clock.settle()
    house.tell(3)
    await house.clock.settle()
    assert reading.given == list(range(1, QUEUE_LIMIT + 504))


async def test_only_the_kinds_that_were_asked_for(house: House) -> None:
    house.tell_order()
    house.tell(2)
    old, new = house.read(0, {OrderChanged}), house.read(None, {Filled})
    house.tell_order()
    house.tell()
    await house.clock.settle()
    assert (old.given, new.given) == ([1, 4], [5])


async def test_after_the_stop_a_reader_gets_what_was_delivered_then_ends(house: House) -> None:
    reader = house.listeners.open_reader(None, None)
    house.tell(3)
    house.listeners.end()
    late = house.read(1)
    reading = Reading(house, reader)
    await house.clock.settle()
    assert (reading.given, late.given) == ([1, 2, 3], [2, 3])
    assert isinstance(reading.end, Ended) and isinstance(late.end, Ended)


async def test_a_failed_account_ends_every_reader_also_those_opened_afterwards(house: House) -> None:
    before = house.read()
    house.tell(2)
    house.listeners.fail(AuthenticationError("the key is refused"))
    after, from_start = house.read(), house.read(0)
    await house.clock.settle()
    assert (before.given, after.given, from_start.given) == ([1, 2], [], [1, 2])
    for reading in (before, after, from_start):
        assert isinstance(reading.end, AuthenticationError)
    house.listeners.end()
    again = house.read()
    await house.clock.settle()
    assert isinstance(again.end, AuthenticationError), "the stop does not hide the reason"


async def test_a_reader_behind_a_failed_store_gets_what_there_is_then_the_error(house: House) -> None:
    house.tell(3)
    await house.clock.settle()
    house.journal.refusal = "the disk is gone"
    house.tell(HELD + 1)
    reading, current = house.read(0), house.read()
    house.tell()
    await house.clock.advance(PATIENCE_MS + 1_000)
    assert reading.given == [1, 2, 3]
    assert isinstance(reading.end, StoreError)
    assert "the disk is gone" in str(reading.end)
    assert (current.given, current.end) == ([HELD + 5], None), "who is up to date needs no journal"


async def test_what_the_journal_refuses_for_a_while_is_given_to_it_in_order_and_no_reader_misses_it(house: House) -> None:
    house.tell(2)
    house.journal.refusal = "full"
    house.tell(2)
    early = house.read(0)
    house.journal.refusal = None
    house.tell()
    late = house.read(1)
    await house.clock.advance(2 * RETRY_MS)
    kept = await house.journal.read_account(ALICE, after=0, limit=10)
    assert [one.sequence for one in kept] == [1, 2, 3, 4, 5]
    house.tell()
    await house.clock.settle()
    assert (early.given, late.given) == ([1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6])
    assert house.keeper.is_level


async def test_after_a_loss_the_journal_ends_before_the_hole_and_no_reader_steps_over_it(house: House) -> None:
    house.tell(2)
    house.journal.refusal = "full"
    house.tell(HELD + 3)
    house.journal.refusal = None
    current = house.read()
    house.tell(2)
    await house.clock.advance(2 * RETRY_MS)
    end = 2 + HELD
    before, between = house.read(0), house.read(end + 1)
    await house.clock.settle()
    assert before.given == list(range(1, end + 1))
    assert between.given == []
    for reading in (before, between):
        assert isinstance(reading.end, NotKept) and "this run keeps nothing" in str(reading.end)
    assert current.given == [end + 4, end + 5]
    assert [one.sequence for one in await house.journal.read_account(ALICE, after=end, limit=10)] == []


async def test_a_place_that_the_journal_no_longer_holds_is_an_error_and_not_a_leap() -> None:
    house = House(keep_records=100)
    reader = house.listeners.open_reader(None, {OrderChanged})
    for _ in range(500):
        house.tell()
        await house.journal.flush()
    house.tell_order()
    old, few = house.read(3), Reading(house, reader)
    await house.clock.settle()
    assert old.given == []
    assert isinstance(old.end, NotKept) and "no longer holds what came after 3" in str(old.end)
    assert (few.given, few.end) == ([501], None), "what it did not ask for may go"
    await house.close()


async def test_a_store_in_trouble_is_waited_for(house: House) -> None:
    house.tell(2)
    house.journal.failing = house.journal.unreadable = "the disk is full"
    reading = house.read(0)
    await house.clock.advance(PATIENCE_MS - 1_000)
    assert (reading.given, reading.end) == ([], None)
    house.journal.failing = house.journal.unreadable = None
    await house.clock.advance(1_000)
    assert reading.given == [1, 2]


async def test_waiting_for_a_store_has_an_end(house: House) -> None:
    house.tell(2)
    await house.clock.settle()
    house.journal.failing = "the disk is full"
    reading = house.read(0)
    await house.clock.settle()
    assert reading.given == [1, 2], "what is stored is read all the same"
    await house.clock.advance(PATIENCE_MS + 1_000)
    assert isinstance(reading.end, StoreError)


async def test_the_stop_of_an_account_ends_waiting_for_its_store(house: House) -> None:
    house.tell(2)
    house.journal.unreadable = "closed"
    reading = house.read(0)
    await house.clock.settle()
    house.listeners.end()
    await house.clock.advance(1_000)
    assert isinstance(reading.end, StoreError), "an end without an error would say that all was given"


async def test_a_reader_that_was_cancelled_while_waiting_can_go_on(house: House) -> None:
    reader = house.listeners.open_reader(None, None)
    first = Reading(house, reader)
    await house.clock.settle()
    first.task.cancel()
    house.tell(2)
    second = Reading(house, reader)
    await house.clock.settle()
    assert (first.given, second.given) == ([], [1, 2])


async def test_a_reader_that_was_cancelled_while_reading_the_journal_loses_nothing(house: House) -> None:
    house.tell(3)
    reader = house.listeners.open_reader(0, None)
    first = Reading(house, reader)
    await asyncio.sleep(0)
    first.task.cancel()
    second = Reading(house, reader)
    await house.clock.settle()
    assert first.given + second.given == [1, 2, 3]


async def test_a_closed_reader_is_given_nothing_more(house: House) -> None:
    reader = house.listeners.open_reader(None, None)
    house.listeners.close_reader(reader)
    house.listeners.close_reader(reader)
    house.tell()
    assert reader.backlog == 0


# --- handlers ---


async def test_a_handler_gets_events_one_at_a_time_and_in_order(house: House) -> None:
    running, told = 0, []

    async def handle(event: Event) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        told.append(event.sequence)
        running -= 1

    house.listeners.attach(handle, None)
    house.tell(5)
    await house.clock.settle()
    assert told == [1, 2, 3, 4, 5]


async def test_what_a_handler_raises_is_logged_and_hurts_nobody(house: House) -> None:
    told: list[int] = []

    def broken(event: Event) -> None:
        told.append(event.sequence)
        raise ValueError("a mistake of the user")

    async def cancelled_inside(event: Event) -> None:
        task = asyncio.ensure_future(asyncio.sleep(0))
        task.cancel()
        told.append(event.sequence)
        await task

    house.listeners.attach(broken, None)
    house.listeners.attach(cancelled_inside, None)
    with structlog.testing.capture_logs() as entries:
        house.tell(2)
        await house.clock.settle()
    assert sorted(told) == [1, 1, 2, 2]
    assert house.listeners.handler_errors == 4
    assert {entry["action"] for entry in entries} == {"handler_raised"}


async def test_what_a_handler_raises_is_told_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise ValueError("a mistake of the user")

    house.listeners.attach(broken, None)
    structlog.reset_defaults()
    try:
        configure_library_logs()
        house.tell()
        await house.clock.settle()
    finally:
        structlog.reset_defaults()
    [entry] = caplog.records
    assert logging.Formatter().format(entry).count("ValueError: a mistake of the user") == 1


async def test_a_busy_handler_lets_the_others_run(house: House) -> None:
    order: list[str] = []
    house.listeners.attach(lambda event: order.append("busy"), None)
    house.listeners.attach(lambda event: order.append("other"), {OrderChanged})
    house.tell(YIELD_EVERY * 3)
    house.tell_order()
    await house.clock.settle()
    assert order.index("other") < len(order) - 1


async def test_a_handler_that_the_journal_cannot_serve_is_logged_and_counted(house: House) -> None:
    held = asyncio.Event()
    house.listeners.attach(lambda event: held.wait() if event.sequence == 1 else None, None)  # type: ignore[arg-type,return-value]
    house.tell()
    await house.clock.settle()
    house.journal.refusal = "full"
    house.tell(QUEUE_LIMIT + 2)
    with structlog.testing.capture_logs() as entries:
        house.tell()
        held.set()
        await house.clock.advance(PATIENCE_MS + 1_000)
    assert [entry["action"] for entry in entries] == ["handler_ended"]
    assert house.listeners.handler_errors == 1


# --- the stop ---


def slow_handler(house: House, told: list[int], pause_ms: int) -> Callable[[Event], Awaitable[None]]:
    async def handle(event: Event) -> None:
        await house.clock.sleep(pause_ms)
        told.append(event.sequence)

    return handle


async def test_the_stop_lets_handlers_finish_what_was_delivered(house: House) -> None:
    told: list[int] = []
    house.listeners.attach(slow_handler(house, told, 100), None)
    house.tell(10)
    await house.close()
    assert told == list(range(1, 11))
    assert house.clock.running == []


async def test_a_handler_that_reads_on_from_the_journal_finishes_too(house: House) -> None:
    told: list[int] = []
    house.listeners.attach(lambda event: told.append(event.sequence), None)
    house.tell(QUEUE_LIMIT + 10)
    await house.close()
    assert told == list(range(1, QUEUE_LIMIT + 11))


async def test_the_stop_is_bounded(house: House) -> None:
    told: list[int] = []
    house.listeners.attach(slow_handler(house, told, 400), None)
    house.tell(10)
    began = house.clock.now()
    with structlog.testing.capture_logs() as entries:
        await house.close()
    assert house.clock.now() - began == LIMIT_MS
    assert told == [1, 2, 3]
    assert [entry["action"] for entry in entries] == ["handlers_cut_off"]


async def test_a_handler_that_is_cut_off_gets_nothing_more(house: House) -> None:
    told: list[int] = []
    house.listeners.attach(slow_handler(house, told, 400), None)
    house.tell(3)
    await house.clock.advance(500)
    house.listeners.cut()
    await house.clock.settle()
    assert (told, house.clock.running) == ([1], [])


async def test_a_handler_that_swallows_its_cancellation_holds_nothing_up(house: House) -> None:
    told: list[int] = []
    hold = asyncio.Event()

    async def stubborn(event: Event) -> None:
        told.append(event.sequence)
        while not hold.is_set():
            try:
                await hold.wait()
            except asyncio.CancelledError:
                continue

    house.listeners.attach(stubborn, None)
    house.tell(3)
    await house.clock.settle()
    began = house.clock.now()
    await house.close()
    assert house.clock.now() - began == LIMIT_MS + LAST_WORDS_MS
    hold.set()
    await house.clock.settle()
    assert told == [1], "it is given nothing more"


async def test_a_handler_may_stop_its_own_account(house: House) -> None:
    told: list[int] = []

    async def handle(event: Event) -> None:
        await house.listeners.close(limit_ms=LIMIT_MS)
        told.append(event.sequence)

    house.listeners.attach(handle, None)
    house.tell()
    began = house.clock.now()
    await house.clock.settle()
    assert (told, house.clock.now()) == ([1], began)


async def test_a_handler_attached_after_the_end_ends_at_once(house: House) -> None:
    house.listeners.end()
    house.listeners.attach(lambda event: None, None)
    await house.clock.settle()
    assert house.clock.running == []
