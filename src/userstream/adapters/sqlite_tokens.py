"""The tokens of the HTTP API in the store's file, beside the registry and on its thread: a change and its note are one transaction."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from userstream.adapters.memory_tokens import name_taken, no_token
from userstream.adapters.sql import load_queries
from userstream.adapters.sqlite_registry import SqliteRegistry, append_note
from userstream.domain.access import ApiToken, Role
from userstream.domain.audit import AuditNote
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import Millis

_QUERIES: Final = load_queries("tokens.sql")
_Row = tuple[str, str, Role, str, int, int, int | None]


class SqliteTokens(SqliteRegistry):
    """`Tokens`, and all that `SqliteRegistry` is. Any number of processes may use it at once."""

    async def add_token(self, token: ApiToken, note: AuditNote) -> None:
        """As in `Tokens`."""

        def insert(connection: sqlite3.Connection) -> None:
            same = connection.execute(_QUERIES["find_live_name"], {"name": token.name, "now": token.created_time}).fetchone()
            if same is not None:
                raise name_taken(token.name, same[0])
            connection.execute(_QUERIES["insert_token"], msgspec.to_builtins(token))
            append_note(connection, note)

        await self.write(insert)

    async def find_token(self, token_id: str) -> ApiToken | None:
        """As in `Tokens`."""
        row = await self.read(lambda connection: connection.execute(_QUERIES["read_token"], (token_id,)).fetchone())
        return None if row is None else _token(row)

    async def all_tokens(self) -> list[ApiToken]:
        """As in `Tokens`."""
        return [_token(row) for row in await self.read(lambda connection: connection.execute(_QUERIES["read_tokens"]).fetchall())]

    async def revoke_token(self, token_id: str, time: Millis, note: AuditNote) -> None:
        """As in `Tokens`."""

        def revoke(connection: sqlite3.Connection) -> None:
            if not connection.execute(_QUERIES["revoke_token"], {"id": token_id, "time": time}).rowcount:
                raise no_token(token_id)
            append_note(connection, note)

        await self.write(revoke)


def _token(row: tuple[object, ...]) -> ApiToken:
    try:
        found = msgspec.convert(row, _Row)
    except msgspec.ValidationError:
        raise StoreError(f"the row of token {row[0]!r} holds what was never written there") from None
    token_id, name, role, digest, created, expires, revoked = found
    return ApiToken(
        id=token_id,
        name=name,
        role=role,
        hash=digest,
        created_time=Millis(created),
        expires_time=Millis(expires),
        revoked_time=None if revoked is None else Millis(revoked),
    )
