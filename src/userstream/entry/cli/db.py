"""`userstream db`: the PostgreSQL that a process fills, seen and prepared by a person."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec
from cyclopts import Parameter

from userstream.adapters.postgres_url import read_url
from userstream.entry.cli.output import say
from userstream.entry.storage import KIND, READER, PostgresTarget, address_of, fresh_name
from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.secret import Secret

if TYPE_CHECKING:
    from userstream.adapters.postgres_address import Connection, PostgresAddress
    from userstream.adapters.postgres_migrations import Outcome
    from userstream.entry.configuration import Configuration
    from userstream.ports import Clock

ResultT = TypeVar("ResultT")

Action = Literal["migrate", "check", "rejoin"]


def db(
    action: Annotated[Action, Parameter(help="migrate: make the tables, or update them; check: look; rejoin: after an older copy.")],
    /,
    *,
    config: Annotated[Path, Parameter(help="The file with the table [postgres] (docs/reference/configuration.md).")] = Path(
        "userstream.toml"
    ),
    url: Annotated[str | None, Parameter(help="Another database than the file's, without a password: PGPASSWORD holds it.")] = None,
    json: Annotated[bool, Parameter(help="One JSON object.")] = False,
) -> int:
    """Prepare the PostgreSQL beside the embedded store, or look at it.

    migrate is safe while nodes run and while others do the same. rejoin is for a store that was put back from an older copy: it goes on
    under a new name, and what PostgreSQL has of it already is not written again; nothing may run on the store meanwhile. Exit code 1 when
    the server is away, the database is another program's, or (check) no node could write there.

    Example: `userstream db migrate --config userstream.toml`
    """
    if action == "rejoin":
        return _rejoin(config)
    address = address_of(_target(config, url))
    return _migrate(address, as_json=json) if action == "migrate" else _check(address, as_json=json)


def _migrate(address: PostgresAddress, *, as_json: bool) -> int:
    from userstream.adapters.postgres_migrations import migrate

    outcome = asyncio.run(with_connection(address, migrate))
    if as_json:
        say(msgspec.json.encode({"database": address.label, **msgspec.structs.asdict(outcome)}).decode())
    else:
        _tell(address, outcome)
    return 0


def _tell(address: PostgresAddress, outcome: Outcome) -> None:
    taken = ", ".join(outcome.taken) or "nothing to do"
    say(f"{address.label}: {taken}; the tables have the form {outcome.number}")
    if outcome.missing_roles:
        names = " and ".join(outcome.missing_roles)
        say(f"warning: this user may not make the roles {names}: let an administrator create them, then run this again")


def _check(address: PostgresAddress, *, as_json: bool) -> int:
    found = asyncio.run(with_connection(address, _look))
    if as_json:
        say(msgspec.json.encode({"database": address.label, **msgspec.structs.asdict(found)}).decode())
        return 0
    say(f"{address.label}: the tables have the form {found.form}, {found.bytes / 2**20:.1f} MiB")
    for journal in found.journals:
        say(f"journal {journal.journal}: {journal.reader} at position {journal.position}")
    return 0


class Journal(msgspec.Struct, frozen=True):
    """How far a reader of a journal has come."""

    journal: str
    reader: str
    position: int


class Found(msgspec.Struct, frozen=True):
    """What a database is, seen from here."""

    form: int
    bytes: int
    journals: tuple[Journal, ...]


async def _look(connection: Connection) -> Found:
    from userstream.adapters.postgres_migrations import check_form, check_tables, read_cursors, read_form, read_size

    form = await read_form(connection)
    check_form(form)
    await check_tables(connection)
    journals = tuple(Journal(*cursor) for cursor in await read_cursors(connection))
    return Found(form.number, await read_size(connection), journals)


def _rejoin(config: Path) -> int:
    """The journal goes on under a new name, where what PostgreSQL has of it ends: what it heard after the copy was made stays."""
    from userstream.adapters.clock import SystemClock
    from userstream.adapters.sqlite_marks import rename_mark
    from userstream.entry.cli.stores import require_store

    store, clock = Path(_configuration(config).store.path), SystemClock()
    require_store(store)
    address, name = address_of(_target(config, None)), fresh_name(clock)
    end = asyncio.run(_continue(store, address, name, clock))
    rename_mark(store, KIND, name, end)
    where = f"goes on in PostgreSQL after position {end}, which it has already" if end else "is read from its beginning"
    say(f"{store} {where}; it is now the journal {name}")
    if end:
        say("movements since the copy that the venue tells again with an id can stand there twice: docs/topics/postgres.md has the query")
    return 0


async def _continue(path: Path, address: PostgresAddress, name: str, clock: Clock) -> int:
    """The place in the journal after which it is read under the new name."""
    from userstream.adapters.postgres_migrations import check_form, read_form
    from userstream.adapters.postgres_rejoin import continue_journal
    from userstream.adapters.sqlite import SqliteStore
    from userstream.adapters.sqlite_marks import find_mark

    async with await SqliteStore.open(path, clock) as store:
        mark = await find_mark(store, KIND)
        if mark is None or not await store.read(after=0, limit=1):
            return 0
        old, marked = mark

        async def work(connection: Connection) -> int:
            check_form(await read_form(connection))
            return await continue_journal(connection, store, old, name, READER, marked)

        return await with_connection(address, work)


def _target(config: Path, url: str | None) -> PostgresTarget:
    if url is not None:
        return PostgresTarget(url=_without_password(url))
    target = _configuration(config).postgres
    if target is None:
        raise SettingsError(f"{config} has no table [postgres]; give it one, or name a database with --url")
    return target


def _without_password(url: str) -> Secret:
    if "password=" in url or read_url(Secret(url)).password:
        raise SettingsError("--url holds a password, which others can read on the command line: set PGPASSWORD, or use --config")
    return Secret(url)


def _configuration(config: Path) -> Configuration:
    from userstream.entry.configuration import read_configuration

    return read_configuration(config, os.environ)


async def with_connection(address: PostgresAddress, work: Callable[[Connection], Awaitable[ResultT]]) -> ResultT:
    """What `work` finds on a connection of its own. Raises StoreError, in one line without secrets."""
    from userstream.adapters.postgres_address import SERVER_TROUBLE

    connection = await address.connect()
    try:
        return await work(connection)
    except StoreError as error:
        raise StoreError(f"PostgreSQL at {address.label}: {error}") from None
    except SERVER_TROUBLE as error:
        raise address.explain(error) from None
    finally:
        connection.terminate()
