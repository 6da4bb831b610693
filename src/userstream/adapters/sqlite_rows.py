"""Records as rows of the journal and back. One row holds what one commit brought for one account; a record's position is the row's
position times 2**20 plus its place within the row."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Final

import msgspec

from userstream.adapters.sequences import check_kept, last_of
from userstream.adapters.sql import load_queries
from userstream.adapters.sqlite_batches import PLACE_BITS, JournalRow, decode_row
from userstream.domain.events import Event
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import MOST_PACKED_BYTES, Packed, Record, StoredRecord

ROWS_OF_A_STATEMENT: Final = 64
MOST_ROWS_COUNTED: Final = 20_000
PAST_ALL: Final = (1 << 63) - 1
_PLACE_MASK: Final = (1 << PLACE_BITS) - 1
_QUERIES: Final = load_queries("journal.sql")

_encoder: Final = msgspec.msgpack.Encoder()
_events_decoder: Final = msgspec.msgpack.Decoder(tuple[Event, ...])


def insert_rows(connection: sqlite3.Connection, rows: Sequence[JournalRow]) -> None:
    """Writes the rows in one transaction. Few rows are one statement: the interpreter lock is let go and taken back once, not per row."""
    if len(rows) <= ROWS_OF_A_STATEMENT:
        _insert(connection, rows)
        return
    connection.execute("BEGIN IMMEDIATE")
    for begin in range(0, len(rows), ROWS_OF_A_STATEMENT):
        _insert(connection, rows[begin : begin + ROWS_OF_A_STATEMENT])
    connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, rows: Sequence[JournalRow]) -> None:
    if rows:
        places = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * len(rows))
        connection.execute(_QUERIES["add_rows"].format(rows=places), [value for row in rows for value in row.parameters()])


def is_stored(connection: sqlite3.Connection, row: JournalRow) -> bool:
    """Whether an earlier attempt, whose answer was lost, did write the row. Raises StoreError if something else stands in its place."""
    found = connection.execute(_QUERIES["read_row_head"], (row.position,)).fetchone()
    if found is None:
        return False
    if found != (row.account, row.first_sequence, row.count):
        raise StoreError(f"the journal holds another row at position {row.position}: another program has written to it")
    return True


def read_newest_position(connection: sqlite3.Connection) -> int:
    return int(connection.execute(_QUERIES["read_newest_position"]).fetchone()[0])


def read_accounts(connection: sqlite3.Connection) -> list[AccountId]:
    """Every account that the journal or a checkpoint knows, in order."""
    return [AccountId(name) for (name,) in connection.execute(_QUERIES["read_accounts"]).fetchall()]


def read_last_sequence(connection: sqlite3.Connection, account: AccountId) -> int:
    return int(connection.execute(_QUERIES["read_last_sequence"], {"account": account}).fetchone()[0])


def read_last_sequences(connection: sqlite3.Connection) -> dict[AccountId, int]:
    """The highest committed sequence of every account that the journal or a checkpoint knows."""
    return {account: read_last_sequence(connection, account) for account in read_accounts(connection)}


def read_after(connection: sqlite3.Connection, after: int, limit: int) -> list[StoredRecord]:
    """At most `limit` records of all accounts with a position above `after`."""
    parameters = {"row": after >> PLACE_BITS, "index": after & _PLACE_MASK}
    found: list[StoredRecord] = []
    # A query left half read would hold its view of the file, and the log could not be emptied.
    with closing(connection.execute(_QUERIES["read_after"], parameters)) as rows:
        for position, data in rows:
            begin = position << PLACE_BITS
            placed = enumerate(decode_row(position, data), begin)
            found += [StoredRecord(place, record) for place, record in placed if place > after]
            if len(found) >= limit:
                break
    return found[:limit]


def read_packed_after(connection: sqlite3.Connection, after: int, limit: int) -> list[Packed]:
    """As `read_after`, nothing decoded: whole rows, of which the first may begin at or before `after`, and the last holds the record of the
    limit, or the byte of MOST_PACKED_BYTES."""
    parameters = {"row": after >> PLACE_BITS, "index": after & _PLACE_MASK}
    found: list[Packed] = []
    room = MOST_PACKED_BYTES
    with closing(connection.execute(_QUERIES["read_packed_after"], parameters)) as rows:
        for position, count, first_received, data in rows:
            found.append(Packed(position << PLACE_BITS, count, first_received, bytearray(data)))
            limit, room = limit - count, room - len(data)
            if min(limit, room) <= 0:
                break
    return found


def read_account_after(connection: sqlite3.Connection, account: AccountId, after: int, limit: int) -> list[Record]:
    """At most `limit` records of an account whose last sequence is above `after`."""
    found: list[Record] = []
    with closing(connection.execute(_QUERIES["read_account_after"], {"account": account, "after": after})) as rows:
        for position, data, _ in rows:
            found += [record for record in decode_row(position, data) if last_of(record) > after]
            if len(found) >= limit:
                break
    return found[:limit]


def read_account_whole(connection: sqlite3.Connection, account: AccountId, after: int, limit: int) -> list[Record]:
    """As `read_account_after`; raises StoreError when some of what was asked for is removed."""
    connection.execute("BEGIN")  # both looks see the same moment
    try:
        check_kept(account, after, int(connection.execute(_QUERIES["read_removed"], (account,)).fetchone()[0]))
        return read_account_after(connection, account, after, limit)
    finally:
        connection.execute("COMMIT")


def read_before(connection: sqlite3.Connection, before: int, limit: int) -> list[StoredRecord]:
    """At most `limit` records of all accounts with a position below `before`, the newest of them, newest first."""
    parameters = {"row": before >> PLACE_BITS, "index": before & _PLACE_MASK}
    found: list[StoredRecord] = []
    with closing(connection.execute(_QUERIES["read_before"], parameters)) as rows:
        for position, data in rows:
            placed = [StoredRecord(place, record) for place, record in enumerate(decode_row(position, data), position << PLACE_BITS)]
            found += [stored for stored in reversed(placed) if stored.position < before]
            if len(found) >= limit:
                break
    return found[:limit]


def count_after(connection: sqlite3.Connection, after: int) -> int:
    """How many records lie behind a position, or at least lie there: no more than so many rows are looked at."""
    return int(connection.execute(_QUERIES["count_after"], (after >> PLACE_BITS, MOST_ROWS_COUNTED)).fetchone()[0])


def save_checkpoint(connection: sqlite3.Connection, account: AccountId, sequence: int, events: Sequence[Event]) -> None:
    """Replaces an older checkpoint of the account; a newer one stays."""
    connection.execute(_QUERIES["save_checkpoint"], (account, sequence, _encoder.encode(tuple(events))))


def load_checkpoint(connection: sqlite3.Connection, account: AccountId) -> tuple[int, tuple[Event, ...]]:
    found = connection.execute(_QUERIES["load_checkpoint"], (account,)).fetchone()
    if found is None:
        return 0, ()
    sequence, data = found
    try:
        return sequence, _events_decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the checkpoint of account {account} cannot be read: {error}") from None
