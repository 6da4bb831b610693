"""A journal that was put back from an older copy goes on under a new name, where what PostgreSQL has of it ends.

Up to the copy both journals are the same, and PostgreSQL has that part: read again under another name, rows that are named by nothing but
journal and sequence would stand there twice. What came after the copy is in one of the two alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from userstream.adapters.postgres_address import Connection
from userstream.adapters.postgres_tables import QUERIES
from userstream.ports import StoredRecord

RECORDS_AT_ONCE: Final = 2_000


class PlacedRecords(Protocol):
    """The part of a journal that is needed here."""

    async def read(self, *, after: int, limit: int) -> Sequence[StoredRecord]: ...


async def continue_journal(connection: Connection, records: PlacedRecords, old: str, new: str, reader: str, marked: int) -> int:
    """Lets the reader of the journal `new` begin where that of `old` knows the records no more, and returns that place; 0 is the beginning.

    marked: a place up to which the reader of `old` had surely come when the copy was made.
    """
    reached = int(await connection.fetchval(QUERIES["read_cursor"], old, reader) or 0)
    end = after = min(marked, reached)
    while found := [stored for stored in await records.read(after=after, limit=RECORDS_AT_ONCE) if stored.position <= reached]:
        after = found[-1].position
        end = await _last_known(connection, old, found) or end
    if end:
        await connection.execute(QUERIES["continue_cursor"], new, reader, end)
    return end


async def _last_known(connection: Connection, journal: str, records: Sequence[StoredRecord]) -> int:
    """The place of the last of these records that the journal has brought; 0 where there is none."""
    told = [(stored.position, event) for stored in records for event in stored.record.events]
    columns = (
        [event.account for _, event in told],
        [event.sequence for _, event in told],
        [event.received_time for _, event in told],
    )
    place = await connection.fetchval(QUERIES["find_known"], journal, *columns)
    return told[place - 1][0] if place else 0
