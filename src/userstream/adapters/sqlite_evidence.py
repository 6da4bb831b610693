"""What the store holds of one account, for its certificate: tables and journal as of one moment, whoever else is writing meanwhile."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from decimal import InvalidOperation
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from userstream.adapters.sql import load_queries
from userstream.adapters.sqlite_batches import PLACE_BITS, decode_row
from userstream.adapters.sqlite_reader import SqliteReader
from userstream.domain.coverage import Coverage, CoverageState, Span
from userstream.domain.events import Event, Mismatch
from userstream.domain.evidence import Evidence, KnownFill, KnownOrder, OrderName
from userstream.domain.words import PositionSide, Side
from userstream.kernel.amount import ZERO, parse_amount
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol, VenueName
from userstream.ports import Clock

ResultT = TypeVar("ResultT")
Row = Sequence[object]

PROJECTOR: Final = "tables"
"""The reader of the journal that fills the tables."""

_QUERIES: Final = load_queries("evidence.sql")
_event_decoder: Final = msgspec.json.Decoder(Event)
_ROUNDING_MS: Final = 1_000
"""File times are coarser than ours on some disks."""

if sys.platform == "win32":
    import msvcrt

    def _is_locked(file: int) -> bool:
        try:
            os.lseek(file, 1 << 30, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return True
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
        return False

else:
    import fcntl

    def _is_locked(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


class SqliteEvidence:
    """`EvidenceReader` over a store's file, from any process."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock

    async def gather(self, account: AccountId) -> Evidence:
        """As in `EvidenceReader`. Raises StoreError, in one line, for a file that cannot be read."""
        reader = await asyncio.to_thread(SqliteReader, self._path, threads=1)
        try:
            evidence = await reader.call(partial(read_evidence, account=account))
        finally:
            await reader.close()
        evidence.gathered = self._clock.wall()
        spans = evidence.coverage.spans
        began = writer_began(self._path)
        if began is not None and began - _ROUNDING_MS <= evidence.heard_until and spans and spans[-1].until is None:
            evidence.heard_until, evidence.is_growing = evidence.gathered, True
        return evidence


def writer_began(path: Path) -> Millis | None:
    """When the process that writes the store now took it (ms, our clock); None if nobody writes it, or that cannot be known."""
    try:
        file = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR)
    except OSError:
        return None
    try:
        return Millis(os.fstat(file).st_mtime_ns // 1_000_000) if _is_locked(file) else None
    finally:
        os.close(file)


def writer_number(path: Path) -> str:
    """The number of the process that writes the store now, as it noted it itself; empty if nobody writes it, or that cannot be known."""
    if writer_began(path) is None:
        return ""
    try:
        return path.with_name(f"{path.name}.lock").read_text("ascii", "replace").strip()
    except OSError:
        return ""


def read_evidence(connection: sqlite3.Connection, account: AccountId) -> Evidence:
    """Raises StoreError for a row that holds what no row of ours holds."""
    connection.execute("BEGIN")
    try:
        evidence = Evidence(account, _read_coverage(connection, account))
        _read_tables(connection, evidence)
        _read_journal(connection, evidence)
        return evidence
    finally:
        connection.execute("ROLLBACK")


def _read_coverage(connection: sqlite3.Connection, account: AccountId) -> Coverage:
    mark = connection.execute(_QUERIES["read_mark"], (account,)).fetchone()
    spans = connection.execute(_QUERIES["read_coverage"], (account,)).fetchall()
    return Coverage(tuple(Span(since, until, CoverageState(state)) for since, until, state in spans), mark[0] if mark else 0)


def _read_tables(connection: sqlite3.Connection, evidence: Evidence) -> None:
    account = evidence.account
    known = connection.execute(_QUERIES["read_venue"], (account,)).fetchone()
    evidence.venue = VenueName(known[0] if known else "")
    names: dict[OrderName, OrderName] = {}  # each text once: long histories repeat them in every row
    for row in connection.execute(_QUERIES["read_orders"], (account,)):
        name = (Symbol(sys.intern(row[0])), OrderId(row[1]))
        names[name] = name
        evidence.orders[name] = _understood("orders", row, _order)
    for row in connection.execute(_QUERIES["read_fills"], (account,)):
        symbol, order_id = names.get((row[1], row[3]), (Symbol(row[1]), OrderId(row[3])))
        evidence.fills[symbol, row[2], order_id] = _understood("fills", row, _fill)
    for row in connection.execute(_QUERIES["read_positions"], (account,)):
        key = (Symbol(row[0]), _understood("positions", row, lambda told: PositionSide(str(told[1]))))
        evidence.legs[key] = _understood("positions", row, lambda told: parse_amount(str(told[2])))
    for (data,) in connection.execute(_QUERIES["read_disputes"], {"account": account}):
        event = _understood("account_events", data, _event_decoder.decode)
        if isinstance(event, Mismatch):
            evidence.disputes.take(event)
        else:
            evidence.recall((event,))


def _fill(row: Row) -> KnownFill:
    _, _, _, _, side, position_side, quantity, time, source, sequence = row
    return KnownFill(
        None if side is None else Side(str(side)),
        None if position_side is None else PositionSide(str(position_side)),
        ZERO if quantity is None else parse_amount(str(quantity)),
        Millis(int(str(time))),
        sys.intern(str(source)),
        int(str(sequence)),
    )


def _order(row: Row) -> KnownOrder:
    _, _, filled, created, time, sequence = row
    return KnownOrder(parse_amount(str(filled)), Millis(int(str(created))), Millis(int(str(time))), int(str(sequence)))


RowT = TypeVar("RowT")


def _understood(table: str, row: RowT, read: Callable[[RowT], ResultT]) -> ResultT:
    try:
        return read(row)
    except (ValueError, InvalidOperation, msgspec.MsgspecError) as error:
        raise StoreError(f"a row of the table {table} holds what was never written there: {error}") from None


def _read_journal(connection: sqlite3.Connection, evidence: Evidence) -> None:
    """What the tables have not taken in yet is taken in here, so that the evidence is as new as the journal."""
    found = connection.execute(_QUERIES["read_cursor"], (PROJECTOR,)).fetchone()
    cursor = int(found[0]) if found else 0
    with closing(connection.execute(_QUERIES["read_journal"], {"account": evidence.account})) as rows:
        for position, last_received, data, _ in rows:
            for place, record in enumerate(decode_row(position, data), position << PLACE_BITS):
                if place > cursor:
                    evidence.take(record.events)
                evidence.recall(record.events)
            evidence.heard_until = Millis(last_received)
