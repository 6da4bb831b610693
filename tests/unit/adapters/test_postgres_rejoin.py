"""A journal goes on under another name where PostgreSQL knows it no more, not before and not after."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from tests.support.clock import ManualClock
from tests.support.events import balance_moved, balance_set, margin_called
from tests.support.postgres import address_of, borrow_database, give_back
from tests.support.records import place, record
from userstream.adapters.postgres import PostgresProjection
from userstream.adapters.postgres_rejoin import RECORDS_AT_ONCE, continue_journal
from userstream.domain.events import Event
from userstream.ports import StoredRecord

pytestmark = pytest.mark.postgres


class Records:
    """A journal as it lies there."""

    def __init__(self, records: Sequence[StoredRecord]) -> None:
        self._records = records

    async def read(self, *, after: int, limit: int) -> Sequence[StoredRecord]:
        return [stored for stored in self._records if stored.position > after][:limit]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    borrowed = await borrow_database()
    yield borrowed
    await give_back(borrowed)


def journal(*events: Event) -> list[StoredRecord]:
    return place([record(event, sequence=number) for number, event in enumerate(events, 1)])


def heard(count: int, *, at: int = 1_000) -> list[Event]:
    kinds = (balance_moved, margin_called)
    return [kinds[number % 2](received_time=at + number) for number in range(count)]


async def rejoined(url: str, known: Sequence[StoredRecord], copy: Sequence[StoredRecord], marked: int = 0) -> tuple[int, int]:
    """What is returned, and where the new journal begins."""
    async with PostgresProjection(address_of(url), ManualClock(), journal="one") as tables:
        if known:
            await tables.apply("tables", known)
    connection = await address_of(url).connect()
    try:
        end = await continue_journal(connection, Records(copy), "one", "two", "tables", marked)
    finally:
        connection.terminate()
    async with PostgresProjection(address_of(url), ManualClock(), journal="two") as tables:
        return end, await tables.position("tables")


async def test_what_both_have_is_left_out_and_what_came_after_the_copy_is_not(url: str) -> None:
    known, since = heard(9), heard(2, at=9_000)
    assert await rejoined(url, journal(*known), journal(*known[:4], *since)) == (4, 4)


async def test_a_journal_that_the_database_does_not_know_begins_at_its_beginning(url: str) -> None:
    assert await rejoined(url, [], journal(*heard(4))) == (0, 0)


async def test_the_mark_is_believed_as_far_as_the_reader_has_come(url: str) -> None:
    only_states = journal(*(balance_set(total=str(number)) for number in range(6)))
    assert await rejoined(url, only_states[:5], only_states, marked=3) == (3, 3)


async def test_the_mark_of_a_database_that_lost_its_tail_is_not_believed(url: str) -> None:
    only_states = journal(*(balance_set(total=str(number)) for number in range(6)))
    assert await rejoined(url, only_states[:2], only_states, marked=5) == (2, 2)


async def test_a_long_journal_is_read_in_parts(url: str) -> None:
    known = journal(*heard(RECORDS_AT_ONCE + 3))
    assert await rejoined(url, known, known[:-1]) == (RECORDS_AT_ONCE + 2, RECORDS_AT_ONCE + 2)
