"""PostgreSQL as a reader of the journal: the same tables as in the embedded store, with the reader's position in the same transaction.

One connection, one transaction at a time. What fails is not repaired here: the connection is given up, the caller hears a StoreError, reads
the position again (which tells whether the lost transaction was committed) and goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from types import TracebackType
from typing import Final

import msgspec

from userstream.adapters.postgres_address import SERVER_TROUBLE, Connection, PostgresAddress, UnfitValue
from userstream.adapters.postgres_migrations import check_form, load_steps, migrate, read_form
from userstream.adapters.postgres_tables import (
    NOT_HERE,
    QUERIES,
    PostgresBatch,
    clean_batch,
    months_ahead,
    prepare_batch,
    read_rows,
    split_records,
    write_batch,
)
from userstream.adapters.tables import find_table
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Clock, StoredRecord

_FEW_RECORDS: Final = 200
"""About a millisecond of work. Where all cores are busy, the way to a thread and back takes longer than that."""


class PostgresSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """limit_ms: how long one transaction may take before its connection is given up. most_events: of one transaction. migrate: whether a
    database that is behind is brought up to date when it is first reached."""

    limit_ms: int = 30_000
    most_events: int = 1_000
    migrate: bool = True


DEFAULT_SETTINGS: Final = PostgresSettings()


class PostgresProjection:
    """`Projection` and `StateReader` over a database. Opens nothing until it is needed. Every method raises StoreError, in one line and
    without secrets, while the server is away, slow, or refuses.

    journal: the name of the journal that is read; several journals can fill one database, each with positions of its own.
    on_connection: hears of each connection that was opened.
    """

    def __init__(
        self,
        address: PostgresAddress,
        clock: Clock,
        *,
        journal: str,
        settings: PostgresSettings = DEFAULT_SETTINGS,
        on_connection: Callable[[Connection], None] | None = None,
    ) -> None:
        self._address, self._clock, self._journal, self._settings = address, clock, journal, settings
        self._on_connection = on_connection
        self._connection: Connection | None = None
        self._turns = asyncio.Lock()
        self._positions: dict[str, int] = {}
        self._confirmed: dict[str, int] = {}
        self._months: set[int] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"PostgresProjection({self._address.label!r}, {'connected' if self._connection is not None else 'not connected'})"

    async def position(self, reader: str) -> int:
        """As in `Projection`. Always what the database says."""
        async with self._working() as connection:
            found = await connection.fetchval(QUERIES["read_cursor"], self._journal, reader)
        self._positions[reader] = self._confirmed[reader] = int(found or 0)
        return self._positions[reader]

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        """As in `Projection`, in transactions of a few hundred events, each with a position of its own."""
        reached = self._positions.get(reader)
        if reached is None:
            reached = await self._find_place(reader)
        fresh = [stored for stored in records if stored.position > reached]
        for part in split_records(fresh, self._settings.most_events):
            prepare = partial(prepare_batch, reader, reached, part)
            batch = prepare() if len(part) <= _FEW_RECORDS else await asyncio.to_thread(prepare)
            # Until the answer is here, only the database knows the position.
            self._positions.pop(reader, None)
            try:
                await self._write(batch)
            except UnfitValue:
                await self._write(clean_batch(batch))
            reached = self._positions[reader] = self._confirmed[reader] = batch.reached

    async def _find_place(self, reader: str) -> int:
        confirmed = self._confirmed.get(reader, 0)
        found = await self.position(reader)
        if found < confirmed:
            # Whoever brings records goes on from what was confirmed: what lies between would be left out.
            raise StoreError(f"PostgreSQL at {self._address.label}: it has lost what it had confirmed, and is filled again from there")
        return found

    async def rows(self, table: str, account: AccountId | None = None, *, limit: int = 1000) -> list[dict[str, object]]:
        """As in `StateReader`. Raises ValueError for a table that does not exist."""
        find_table(table)
        if table in NOT_HERE:
            return []
        async with self._working() as connection:
            return await read_rows(connection, self._journal, table, account, limit)

    async def close(self) -> None:
        """Gives the connection back; what runs is ended. May be called twice."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def __aenter__(self) -> PostgresProjection:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _write(self, batch: PostgresBatch) -> None:
        async with self._working() as connection:
            await self._make_room(connection, batch.times)
            # No rollback: a connection whose work failed is given up, and the server rolls back what it leaves.
            await write_batch(connection, self._journal, batch)

    async def _make_room(self, connection: Connection, times: frozenset[int]) -> None:
        """Each month has a part before its first row comes, and so has the month after it."""
        if missing := times - self._months:
            needed = {month for time in missing for month in months_ahead(time)}
            await connection.execute(QUERIES["make_partitions"], sorted(needed))
            self._months |= needed

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[Connection]:
        """The connection, for one piece of work at a time; given up when the work fails, is cancelled, or takes too long."""
        async with self._turns:
            try:
                connection = await self._usable()
                with self._limited(connection):
                    yield connection
            except StoreError:
                self._give_up()
                raise
            except SERVER_TROUBLE as error:
                self._give_up()
                raise self._address.explain(error) from error
            except BaseException:
                self._give_up()
                raise

    @contextmanager
    def _limited(self, connection: Connection) -> Iterator[None]:
        """The connection is ended when what is done on it takes too long: whoever waits for its answer hears so."""
        limit = self._clock.call_at(Millis(self._clock.now() + self._settings.limit_ms), connection.terminate)
        try:
            yield
        finally:
            limit.cancel()

    async def _usable(self) -> Connection:
        if self._connection is not None and self._connection.is_closed():
            self._give_up()
        return self._connection or await self._open()

    async def _open(self) -> Connection:
        self._refuse_when_closed()
        connection = await self._address.connect()
        try:
            with self._limited(connection):
                await self._check(connection)
            self._refuse_when_closed()
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        if self._on_connection is not None:
            self._on_connection(connection)
        return connection

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreError(f"PostgreSQL at {self._address.label}: the connection was closed by ourselves")

    async def _check(self, connection: Connection) -> None:
        try:
            form = await read_form(connection)
            if self._settings.migrate and form.number < len(load_steps()):
                await migrate(connection)
                form = await read_form(connection)
            check_form(form)
        except StoreError as error:
            raise StoreError(f"PostgreSQL at {self._address.label}: {error}") from None
        await self._make_room(connection, frozenset(months_ahead(self._clock.wall())))

    def _give_up(self) -> None:
        # A part that was taken away behind our back is made again.
        self._positions.clear()
        self._months.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
