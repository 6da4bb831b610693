"""Migrations on a real server: once, whoever else tries; nothing half done; other people's databases left alone; rights table by table."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.postgres import drop_database, execute, make_database, running_server
from userstream.adapters.postgres_migrations import WHO_MAY, Form, Migration, Outcome, check_form, load_steps, migrate, read_form
from userstream.kernel.errors import StoreError

pytestmark = pytest.mark.postgres

NEXT = len(load_steps()) + 1
BOOM = Migration(NEXT, "expand_boom", 1, "CREATE TABLE userstream.half (a int); SELECT 1 / 0;")
MORE = Migration(NEXT, "expand_more", 1, "CREATE TABLE userstream.more (a int);")
LESS = Migration(NEXT + 1, "contract_less", NEXT + 1, "DROP TABLE userstream.more;")


@pytest.fixture
async def url() -> AsyncIterator[str]:
    made = await make_database()
    yield made
    await drop_database(made)


async def migrate_once(url: str, steps: tuple[Migration, ...] | None = None) -> Outcome:
    connection = await asyncpg.connect(url)
    try:
        return await migrate(connection, steps)
    finally:
        await connection.close()


async def form_of(url: str) -> Form:
    connection = await asyncpg.connect(url)
    try:
        return await read_form(connection)
    finally:
        await connection.close()


async def test_a_new_database_gets_all_steps_and_the_second_time_none(url: str) -> None:
    assert await form_of(url) == Form(0, 0)
    outcome = await migrate_once(url)
    assert outcome == Outcome(tuple(step.name for step in load_steps()), len(load_steps()), ())
    assert (await migrate_once(url)).taken == ()
    check_form(await form_of(url))


async def test_nodes_that_start_at_once_take_each_step_once(url: str) -> None:
    outcomes = await asyncio.gather(*(migrate_once(url) for _ in range(5)))
    assert sorted(len(outcome.taken) for outcome in outcomes) == [0, 0, 0, 0, len(load_steps())]


@pytest.mark.parametrize(
    ("table", "time"),
    [
        ("fills", "transaction_time"),
        ("movements", "transaction_time"),
        ("margin_calls", "transaction_time"),
        ("orders", "created_time"),
        ("account_events", "event_time"),
    ],
)
async def test_an_account_in_a_span_of_time_is_read_by_an_index_newest_first(url: str, table: str, time: str) -> None:
    await migrate_once(url)
    connection = await asyncpg.connect(url, server_settings={"enable_seqscan": "off", "enable_bitmapscan": "off"})
    try:
        await connection.execute("SELECT userstream.make_partitions(ARRAY[1760000000000])")
        span = f"{time} >= 1759000000000 AND {time} < 1761000000000"
        query = f"EXPLAIN SELECT * FROM userstream.{table} WHERE account = 'alice' AND {span} ORDER BY {time} DESC LIMIT 100"
        plan = "\n".join(row[0] for row in await connection.fetch(query))
    finally:
        await connection.close()
    assert f"{table}_account_time" in plan or f"_account_{time}_idx" in plan, plan
    assert f"(account = 'alice'::text) AND ({time} >= " in plan and "Sort " not in plan, plan


async def test_a_step_that_fails_changes_nothing_and_can_be_taken_later(url: str) -> None:
    with pytest.raises(StoreError, match=rf"migration {NEXT} \(expand_boom\) failed and changed nothing: division by zero"):
        await migrate_once(url, (*load_steps(), BOOM))
    assert (await form_of(url)).number == NEXT - 1
    with pytest.raises(asyncpg.UndefinedTableError):
        await execute(url, "SELECT * FROM userstream.half")
    assert (await migrate_once(url, (*load_steps(), MORE))).taken == ("expand_more",)


async def test_an_old_program_works_on_after_a_step_that_expands_and_not_after_one_that_contracts(url: str) -> None:
    await migrate_once(url, (*load_steps(), MORE))
    check_form(await form_of(url), newest=1)
    assert (await migrate_once(url)).taken == ()
    await migrate_once(url, (*load_steps(), MORE, LESS))
    with pytest.raises(StoreError, match=rf"newer version of userstream \(form {NEXT + 1}\): update userstream"):
        check_form(await form_of(url), newest=1)
    with pytest.raises(StoreError, match="newer version"):
        await migrate_once(url)
    check_form(await form_of(url), newest=NEXT + 1)


async def test_a_schema_of_another_program_is_left_alone(url: str) -> None:
    await execute(url, "CREATE SCHEMA userstream", "CREATE TABLE userstream.users (id int)")
    with pytest.raises(StoreError, match="its schema userstream is another program's: choose another database"):
        await migrate_once(url)


async def test_tables_of_other_programs_in_the_same_database_do_not_matter(url: str) -> None:
    await execute(url, "CREATE TABLE orders (id int)", "INSERT INTO orders VALUES (1)")
    await migrate_once(url)
    check_form(await form_of(url))


def test_a_database_that_is_behind_says_what_to_do() -> None:
    with pytest.raises(StoreError, match="holds no tables yet: run userstream db migrate"):
        check_form(Form(0, 0))
    with pytest.raises(StoreError, match="has the form 1, this version needs 2: run userstream db migrate"):
        check_form(Form(1, 1), newest=2)


def test_every_step_tells_the_oldest_program_and_none_asks_for_one_to_come() -> None:
    oldest = [step.oldest_program for step in load_steps()]
    assert oldest == sorted(oldest)
    assert all(step.oldest_program <= step.number for step in load_steps())
    assert all(step.oldest_program == step.number for step in load_steps() if step.name.startswith("contract"))


async def as_role(url: str, role: str, statement: str) -> None:
    await execute(url, f"SET ROLE {role}", statement)


@pytest.mark.parametrize("role", ["userstream_writer", "userstream_reader"])
async def test_a_table_that_was_not_named_is_closed_to_both_roles(url: str, role: str) -> None:
    await migrate_once(url)
    await execute(url, "CREATE TABLE userstream.exchange_accounts (account text, credentials bytea)")
    await migrate_once(url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await as_role(url, role, "SELECT * FROM userstream.exchange_accounts")
    await as_role(url, role, "SELECT * FROM userstream.fills")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM userstream.fills",
        "UPDATE userstream.account_events SET kind = ''",
        "TRUNCATE userstream.orders",
        "DROP TABLE userstream.orders",
        "UPDATE userstream.migrations SET number = 0",
        "CREATE TABLE userstream.mine (a int)",
    ],
)
async def test_the_writer_takes_nothing_away(url: str, statement: str) -> None:
    await migrate_once(url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await as_role(url, "userstream_writer", statement)


async def test_the_reader_changes_nothing(url: str) -> None:
    await migrate_once(url)
    for statement in ("UPDATE userstream.cursors SET position = 1", "SELECT userstream.make_partitions(ARRAY[0])"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await as_role(url, "userstream_reader", statement)


@pytest.fixture
async def admin(url: str) -> AsyncIterator[str]:
    """The URL of a user who may do no more than own a schema in this database."""
    name = f"userstream_test_admin_{os.getpid()}"
    database = url.partition("?")[0].rsplit("/", 1)[1]
    await execute(url, f"CREATE ROLE {name} LOGIN PASSWORD 'x'", f'GRANT CREATE ON DATABASE "{database}" TO {name}')
    yield re.sub(r"//[^@/]*@", f"//{name}:x@", url)
    await execute(url, f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


async def test_whoever_may_make_no_roles_makes_the_tables_all_the_same(url: str, admin: str) -> None:
    steps = tuple(step.name for step in load_steps())
    assert (await migrate_once(admin)).taken == steps
    await execute(admin, "SELECT userstream.make_partitions(ARRAY[1760000000000])", "INSERT INTO userstream.cursors VALUES ('a', 'b', 1)")
    assert (await migrate_once(admin)).missing_roles in ((), ("userstream_reader", "userstream_writer"))


async def test_whoever_may_make_no_tables_is_told_who_may(url: str, admin: str) -> None:
    user, database = admin.partition("//")[2].partition(":")[0], url.partition("?")[0].rsplit("/", 1)[1]
    await execute(url, f'REVOKE CREATE ON DATABASE "{database}" FROM {user}')
    with pytest.raises(StoreError, match=f"permission denied for database .*: {WHO_MAY}"):
        await migrate_once(admin)
    await migrate_once(url)
    with pytest.raises(StoreError, match=f"permission denied .*: {WHO_MAY}"):
        await migrate_once(admin)


async def test_the_right_to_make_roles_is_enough_for_all(url: str, admin: str) -> None:
    user = admin.partition("//")[2].partition(":")[0]
    await execute(url, f"ALTER ROLE {user} CREATEROLE")
    assert (await migrate_once(admin)).missing_roles == ()
    await as_role(url, "userstream_reader", "SELECT * FROM userstream.fills")


async def test_a_role_that_is_missing_and_may_not_be_made_is_named(url: str) -> None:
    with running_server() as server:
        await execute(server.url("postgres"), "CREATE ROLE plain LOGIN", "CREATE DATABASE desk OWNER plain")
        outcome = await migrate_once(server.url("desk", user="plain"))
        assert outcome.missing_roles == ("userstream_reader", "userstream_writer")
        await execute(server.url("postgres"), "CREATE ROLE userstream_writer", "CREATE ROLE userstream_reader")
        assert (await migrate_once(server.url("desk", user="plain"))) == Outcome((), len(load_steps()), ())
        await as_role(server.url("desk"), "userstream_writer", "SELECT * FROM userstream.fills")
