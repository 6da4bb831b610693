"""Readers of the journal that keep their positions elsewhere: the journal's name for them, and the mark that retention waits for.

Names and marks are settled before the store is opened, because a mark can only grow while it is open.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from userstream.adapters.file_lock import FileLock
from userstream.adapters.sql import load_queries
from userstream.adapters.sqlite import SqliteStore
from userstream.adapters.sqlite_file import open_for_writing, store_error
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Record, StoredRecord

RELEASED: Final = 1 << 62
"""The mark of a reader that is wanted no more: above every position, so that nothing waits for it."""

OLDER: Final = "older"
"""The kind of the marks that say of another mark's journal that it is an older copy."""
_QUERIES: Final = load_queries("marks.sql")


class OlderCopy(StoreError):
    """The journal is an older copy of the one that was read."""


def settle_mark(path: Path, kind: str, fresh_name: str) -> str:
    """The journal's name for readers of a kind: the one it has, else `fresh_name`, which is kept. From now on retention waits for the mark.

    Makes the store where there is none. Raises StoreError as opening the store does. To be called while nobody has the store open.
    """
    return _change(path, kind, fresh_name)


def rename_mark(path: Path, kind: str, fresh_name: str, position: int = 0) -> str:
    """Gives the journal another name for readers of a kind, which begin after `position`. Otherwise as `settle_mark`."""
    return _change(path, kind, fresh_name, begins=position)


def _change(path: Path, kind: str, fresh_name: str, *, begins: int | None = None) -> str:
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    lock.take()
    try:
        connection = open_for_writing(path)
        try:
            return _settle(connection, kind, fresh_name, begins)
        except sqlite3.Error as error:
            raise store_error(error, path) from None
        finally:
            connection.close()
    finally:
        lock.release()


def _settle(connection: sqlite3.Connection, kind: str, fresh_name: str, begins: int | None) -> str:
    told = {"kind": kind, "name": fresh_name, "released": RELEASED}
    found = connection.execute(_QUERIES["read_mark"], {"kind": kind}).fetchone()
    if found is None:
        connection.execute(_QUERIES["add_mark"], {"kind": kind, "name": fresh_name})
        return fresh_name
    if begins is not None:
        connection.execute(_QUERIES["rename_mark"], {"kind": kind, "name": fresh_name, "begins": begins})
        return fresh_name
    connection.execute(_QUERIES["hold_mark"], {"kind": kind, "released": told["released"]})
    return str(found[0]).partition(":")[2]


class JournalMark:
    """The mark of one reader in an open store."""

    def __init__(self, store: SqliteStore, kind: str, name: str) -> None:
        self._store, self._reader = store, f"{kind}:{name}"

    async def position(self) -> int:
        """Up to where the reader has said that it needs nothing any more."""
        return await self._store.position(self._reader)

    async def move(self, position: int) -> None:
        """Nothing up to here is needed any more. Raises StoreError while the store cannot be written."""
        nothing = Record(AccountId(""), 0, Millis(0), 0, b"", ())
        await self._store.apply(self._reader, [StoredRecord(position, nothing)])

    async def check_journal(self, position: int) -> None:
        """Raises OlderCopy when its reader has come to a place that this journal has never had, and from then on, whatever is appended
        and however often it is started; StoreError where it cannot be read."""
        known = JournalMark(self._store, OLDER, self._reader)
        # The newest row of a journal is never removed, so a position it gave out has something at it or above.
        ends_before = position and not await self._store.read(after=position - 1, limit=1)
        if ends_before and await known.position() != RELEASED:
            await known.move(RELEASED)
        if await known.position() == RELEASED:
            raise OlderCopy("the journal ends before what was read of it: the file is an older copy; run userstream db rejoin")


async def find_mark(store: SqliteStore, kind: str) -> tuple[str, int] | None:
    """The journal's name for readers of a kind, and up to where they have said that they need nothing any more."""
    for row in await store.rows("cursors"):
        found, _, name = str(row["reader"]).partition(":")
        if found == kind and name:
            position = int(str(row["position"]))
            return name, 0 if position == RELEASED else position
    return None


async def release_marks(store: SqliteStore, kind: str) -> None:
    """Retention waits no more for readers of a kind, which are not run any more."""
    for row in await store.rows("cursors"):
        reader, position = str(row["reader"]), row["position"]
        if reader.startswith(f"{kind}:") and position != RELEASED:
            await JournalMark(store, *reader.split(":", 1)).move(RELEASED)
