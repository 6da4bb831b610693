"""The registry and its audit log in the store's file, on a connection and a thread of their own.

It takes no lock of the file: its transactions are short, and accounts can be managed while another process writes the journal.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from userstream.adapters.memory_registry import missing, outrun, taken
from userstream.adapters.sql import load_queries
from userstream.adapters.sqlite_accounts import audit_entry, encode_json, entry_values, registered, row_values, swap_values
from userstream.adapters.sqlite_file import open_for_writing, roll_back, store_error
from userstream.domain.audit import AuditEntry, AuditHead, AuditNote, head_of, link
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.wire.registration import KnownFill, NameHistory, RegisteredAccount, SealedListenKey
from userstream.wire.rights import KeyRights

ResultT = TypeVar("ResultT")
Values = dict[str, str | int | None]

_QUERIES: Final = load_queries("registry.sql")


class SqliteRegistry:
    """`Registry` and `AuditLog` over the store's file. Any number of processes may use it at once."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Use `open`."""
        self._path, self._connection = path, connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"userstream-registry-{path.name}")
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Opens or creates the store. Raises StoreError, in one line."""
        return cls(path, await asyncio.to_thread(_connect, path))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Waits for what is running. May be called twice."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._thread.shutdown)
            self._connection.close()

    # ---- accounts

    async def next_version(self, account: AccountId) -> int:
        """As in `Registry`."""
        return await self.read(lambda connection: _version(connection, account)) + 1

    async def add(self, account: RegisteredAccount, note: AuditNote) -> None:
        """As in `Registry`."""

        def insert(connection: sqlite3.Connection) -> None:
            if connection.execute(_QUERIES["read_account"], (account.account,)).fetchone() is not None:
                raise taken(account.account)
            _take_version(connection, account)
            connection.execute(_QUERIES["insert_account"], row_values(account))
            append_note(connection, note)

        await self.write(insert)

    async def get(self, account: AccountId) -> RegisteredAccount | None:
        """As in `Registry`."""
        row = await self.read(lambda connection: connection.execute(_QUERIES["read_account"], (account,)).fetchone())
        return None if row is None else registered(row)

    async def page(self, *, after: str = "", limit: int = 1_000, active_only: bool = False) -> list[RegisteredAccount]:
        """As in `Registry`."""
        values: Values = {"after": after, "limit": limit, "least_active": int(active_only)}
        return [registered(row) for row in await self.read(lambda connection: connection.execute(_QUERIES["read_page"], values).fetchall())]

    async def set_active(self, account: AccountId, active: bool, note: AuditNote) -> None:
        """As in `Registry`."""
        await self._change(account, "set_active", {"id": account, "active": int(active)}, note)

    async def remove(self, account: AccountId, note: AuditNote) -> None:
        """As in `Registry`."""
        await self._change(account, "remove_account", (account,), note)

    async def replace_key(self, account: RegisteredAccount, note: AuditNote) -> None:
        """As in `Registry`."""

        def replace(connection: sqlite3.Connection) -> None:
            if not connection.execute(_QUERIES["replace_key"], row_values(account)).rowcount:
                raise missing(account.account)
            _take_version(connection, account)
            append_note(connection, note)

        await self.write(replace)

    async def save_rights(self, account: AccountId, version: int, rights: KeyRights | None, time: Millis, note: AuditNote) -> None:
        """As in `Registry`."""
        told = None if rights is None else encode_json(rights)
        await self._change(account, "save_rights", {"id": account, "version": version, "rights": told, "time": time}, note)

    async def save_proven(self, account: AccountId, time: Millis) -> None:
        """As in `Registry`."""
        await self._change(account, "save_proven", {"id": account, "time": time}, None)

    async def save_identity(self, account: AccountId, version: int, identity: str) -> None:
        """As in `Registry`."""
        values: Values = {"id": account, "version": version, "identity": identity}
        await self.write(lambda connection: connection.execute(_QUERIES["save_identity"], values))

    async def history_of(self, account: AccountId) -> NameHistory:
        """As in `Registry`."""
        return await self.read(lambda connection: _history(connection, account))

    async def save_listen_key(self, account: AccountId, version: int, listen_key: SealedListenKey | None) -> bool:
        """As in `Registry`."""
        record, expires_at = (None, None) if listen_key is None else (listen_key.record, listen_key.expires_at)
        values: Values = {"id": account, "version": version, "record": record, "expires_at": expires_at}
        return await self.write(lambda connection: connection.execute(_QUERIES["save_listen_key"], values).rowcount) > 0

    async def swap_records(self, swaps: Sequence[tuple[RegisteredAccount, RegisteredAccount]]) -> int:
        """As in `Registry`: all of them in one transaction."""

        def swap(connection: sqlite3.Connection) -> int:
            return sum(connection.execute(_QUERIES["swap_records"], swap_values(*pair)).rowcount for pair in swaps)

        return await self.write(swap)

    # ---- audit log

    async def write_note(self, note: AuditNote) -> None:
        """As in `AuditLog`."""
        await self.write(lambda connection: append_note(connection, note))

    async def audit_entries(self, *, after: int = 0, limit: int = 1_000) -> list[AuditEntry]:
        """As in `AuditLog`."""
        values: Values = {"after": after, "limit": limit}
        return [
            audit_entry(row) for row in await self.read(lambda connection: connection.execute(_QUERIES["read_entries"], values).fetchall())
        ]

    async def audit_head(self) -> AuditHead:
        """As in `AuditLog`."""
        return await self.read(_head)

    # ---- the thread, also for what stands in the file beside the registry

    async def _change(self, account: AccountId, query: str, values: Values | tuple[str], note: AuditNote | None) -> None:
        def change(connection: sqlite3.Connection) -> None:
            if not connection.execute(_QUERIES[query], values).rowcount:
                raise missing(account)
            if note is not None:
                append_note(connection, note)

        await self.write(change)

    async def read(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """What `work` finds. Raises StoreError, in one line."""
        return await self._run(work)

    async def write(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """What `work` returns, done in one transaction or, when it raises, not at all. Raises StoreError, in one line."""
        return await self._run(lambda connection: _transact(connection, work))

    async def _run(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        if self._closed:
            raise StoreError(f"{self._path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._translate, work)

    def _translate(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        try:
            return work(self._connection)
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = open_for_writing(path)
    # what was encrypted with a key that leaked leaves nothing behind in the file
    connection.execute("PRAGMA secure_delete = ON").fetchone()
    return connection


def _transact(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise
    return result


def _version(connection: sqlite3.Connection, account: AccountId) -> int:
    found = connection.execute(_QUERIES["read_version"], (account,)).fetchone()
    return int(found[0]) if found else 0


def _history(connection: sqlite3.Connection, account: AccountId) -> NameHistory:
    venue = connection.execute(_QUERIES["read_history"], {"id": account}).fetchone()
    identity = connection.execute(_QUERIES["read_identity"], (account,)).fetchone()
    fill = connection.execute(_QUERIES["read_newest_fill"], (account,)).fetchone()
    return NameHistory(
        venue=VenueName(venue[0] if venue else ""), identity=identity[0] if identity else "", fill=KnownFill(*fill) if fill else None
    )


def _take_version(connection: sqlite3.Connection, account: RegisteredAccount) -> None:
    if account.record_version != _version(connection, account.account) + 1:
        raise outrun(account.account)
    values: Values = {"id": account.account, "version": account.record_version, "identity": account.identity}
    connection.execute(_QUERIES["save_version"], values)


def _head(connection: sqlite3.Connection) -> AuditHead:
    found = connection.execute(_QUERIES["read_head"]).fetchone()
    return AuditHead(sequence=found[0], hash=found[1]) if found else AuditHead()


def append_note(connection: sqlite3.Connection, note: AuditNote) -> None:
    """Puts an entry at the end of the audit log, within a transaction that writes what it tells of."""
    entry = link(_head(connection), note)
    connection.execute(_QUERIES["insert_entry"], entry_values(entry))
    head = head_of(entry)
    connection.execute(_QUERIES["save_head"], {"sequence": head.sequence, "hash": head.hash})
