"""Bringing a database to the newest form, whoever else tries the same at the same time, and telling whose it is.

A change comes in two steps. A migration that expands leaves the database fit for the programs of before; one that contracts takes away
what only they needed, and comes with a later version. Each script says in its first line which is the oldest program (by the number of its
newest migration) that can work with the database after it.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Final

import asyncpg
import msgspec

from userstream.adapters.postgres_address import Connection
from userstream.adapters.postgres_tables import NOT_HERE
from userstream.adapters.sql import load_queries
from userstream.adapters.tables import TABLES
from userstream.kernel.errors import StoreError

FOLDER: Final = "userstream.adapters.sql"
ROLES: Final = ("userstream_reader", "userstream_writer")
MADE: Final = (*(name for name in TABLES if name not in NOT_HERE), "coverage_marks")
WHO_MAY: Final = "migrate as the owner of the schema userstream; a new one can be made by whoever has CREATE on the database"
_FILE: Final = re.compile(r"^(\d{4})_((?:expand|contract)_\w+)\.sql$")
_OLDEST: Final = re.compile(r"\A-- oldest program: (\d+)\n")
_QUERIES: Final = load_queries("postgres/migrations.sql")
_ROLES: Final = load_queries("postgres/roles.sql")


class Migration(msgspec.Struct, frozen=True):
    """One step: its number, its name, the oldest program that can work with its result, and what it does."""

    number: int
    name: str
    oldest_program: int
    script: str


class Form(msgspec.Struct, frozen=True):
    """How new a database is (0: it holds nothing of ours), and the oldest program that can work with it."""

    number: int
    oldest_program: int


class Outcome(msgspec.Struct, frozen=True):
    """What `migrate` did: the names of the steps taken now, the form reached, the roles that could not be made."""

    taken: tuple[str, ...]
    number: int
    missing_roles: tuple[str, ...]


@cache
def load_steps() -> tuple[Migration, ...]:
    """All migrations in order; the number of each is its place, counted from 1."""
    found: list[Migration] = []
    for file in sorted((resources.files(FOLDER) / "postgres").iterdir(), key=lambda one: one.name):
        if named := _FILE.match(file.name):
            script = file.read_text(encoding="utf-8")
            head = _OLDEST.match(script)
            if head is None:
                raise RuntimeError(f"{file.name} does not begin with its oldest program")
            found.append(Migration(int(named[1]), named[2], int(head[1]), script))
    if [step.number for step in found] != list(range(1, len(found) + 1)):
        raise RuntimeError("the numbers of the migrations have a hole or a double")
    return tuple(found)


async def read_form(connection: Connection) -> Form:
    """Raises StoreError where the schema belongs to another program."""
    owner = await connection.fetchrow(_QUERIES["find_owner"])
    if owner is None or not owner["has_schema"]:
        return Form(0, 0)
    if not owner["is_ours"]:
        raise StoreError("its schema userstream is another program's: choose another database")
    row = await connection.fetchrow(_QUERIES["read_form"])
    return Form(0, 0) if row is None else Form(row["number"], row["oldest_program"])


def check_form(form: Form, newest: int | None = None) -> None:
    """Raises StoreError for a database that this program cannot work with: not migrated yet, or changed by a version too new."""
    known = len(load_steps()) if newest is None else newest
    if form.oldest_program > known:
        raise StoreError(f"the database has been changed by a newer version of userstream (form {form.number}): update userstream")
    if form.number < known:
        state = f"has the form {form.number}, this version needs {known}" if form.number else "holds no tables yet"
        raise StoreError(f"the database {state}: run userstream db migrate")


async def check_tables(connection: Connection) -> None:
    """Raises StoreError where a table of ours is not there any more: nobody makes one again that a migration has made."""
    if missing := [str(row["name"]) for row in await connection.fetch(_QUERIES["find_missing_tables"], MADE)]:
        what = f"the table{'' if len(missing) == 1 else 's'} {', '.join(f'userstream.{name}' for name in missing)}"
        raise StoreError(f"somebody renamed or dropped {what}: rename it back, or restore it from a backup")


async def migrate(connection: Connection, steps: tuple[Migration, ...] | None = None) -> Outcome:
    """Takes the steps that the database has not seen, each in a transaction of its own with its number; waits while another node does so.

    Raises StoreError for another program's schema, for a database too new, for a user who may not make tables there, and for a step that
    failed and changed nothing.
    """
    steps = load_steps() if steps is None else steps
    await connection.execute(_QUERIES["lock"])
    try:
        form = await read_form(connection)
        if form.oldest_program > len(steps):
            check_form(form, len(steps))
        if not await _is_home(connection):
            async with connection.transaction():
                await connection.execute(_QUERIES["create_home"])
        taken = [step for step in steps if step.number > form.number]
        for step in taken:
            await _take(connection, step)
        missing = await _grant(connection)
        return Outcome(tuple(step.name for step in taken), max(form.number, len(steps)), missing)
    except asyncpg.InsufficientPrivilegeError as error:
        raise StoreError(f"{' '.join(str(error).split())}: {WHO_MAY}") from error
    finally:
        if not connection.is_closed():
            await connection.execute(_QUERIES["unlock"])


async def read_cursors(connection: Connection) -> list[tuple[str, str, int]]:
    """How far each reader of each journal has come: journal, reader, position."""
    return [(row["journal"], row["reader"], row["position"]) for row in await connection.fetch(_QUERIES["read_cursors"])]


async def read_size(connection: Connection) -> int:
    """Bytes that the tables take on the server's disk, with their indexes."""
    return int(await connection.fetchval(_QUERIES["read_size"]) or 0)


async def _is_home(connection: Connection) -> bool:
    owner = await connection.fetchrow(_QUERIES["find_owner"])
    return owner is not None and bool(owner["is_ours"])


async def _take(connection: Connection, step: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(step.script)
            await connection.execute(_QUERIES["note"], step.number, step.name, step.oldest_program)
    except asyncpg.InsufficientPrivilegeError:
        raise
    except asyncpg.PostgresError as error:
        raise StoreError(f"migration {step.number} ({step.name}) failed and changed nothing: {error}") from error


async def _grant(connection: Connection) -> tuple[str, ...]:
    """Makes the roles where that is allowed, and gives them their rights. Returns those that an administrator has to make first."""
    for row in await connection.fetch(_QUERIES["find_missing_roles"]):
        await _create_role(connection, row["role"])
    missing = tuple(row["role"] for row in await connection.fetch(_QUERIES["find_missing_roles"]))
    for role in ROLES:
        if role not in missing:
            async with connection.transaction():
                await connection.execute(_ROLES[f"grant_{role.removeprefix('userstream_')}"])
    return missing


async def _create_role(connection: Connection, role: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(_ROLES[f"create_role_{role}"])
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        # Roles belong to the whole server: a node that migrates another database of it was quicker.
        return
    except asyncpg.InsufficientPrivilegeError:
        return
