"""`userstream db`: tables made once, a look from outside, and mistakes told without a traceback or a secret."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.support.events import balance_moved, balance_set, margin_called, stream_changed
from tests.support.postgres import drop_database, execute, make_database
from tests.support.records import record
from userstream.adapters.clock import SystemClock
from userstream.adapters.postgres_migrations import load_steps
from userstream.adapters.sqlite import SqliteStore
from userstream.adapters.sqlite_marks import settle_mark
from userstream.entry.bootstrap import start_application
from userstream.entry.cli import OK, PROBLEM, USAGE, run_command
from userstream.entry.storage import KIND, PostgresTarget
from userstream.kernel.secret import Secret

CANARY = "s3cret-canary"
ACCOUNT = '[[account]]\nname = "alice"\nvenue = "binance-usdm"\napi_key = "key"\n'

STEPS, NEWEST = ", ".join(step.name for step in load_steps()), len(load_steps())


@pytest.fixture
def url() -> Iterator[str]:
    made = asyncio.run(make_database())
    yield made
    asyncio.run(drop_database(made))


def configure(folder: Path, lines: str) -> str:
    path = folder / "userstream.toml"
    path.write_text(f'[store]\npath = "{folder / "desk.db"}"\n{lines}\n{ACCOUNT}')
    path.chmod(0o600)
    return str(path)


@pytest.mark.postgres
def test_the_tables_are_made_once(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["db", "check", "--url", url]) == PROBLEM
    assert "holds no tables yet: run userstream db migrate" in capsys.readouterr().err
    assert run_command(["db", "migrate", "--url", url]) == OK
    assert f"{STEPS}; the tables have the form {NEWEST}" in capsys.readouterr().out
    assert run_command(["db", "migrate", "--url", url, "--json"]) == OK
    told = json.loads(capsys.readouterr().out)
    assert (told["taken"], told["number"], told["missing_roles"]) == ([], NEWEST, [])
    assert run_command(["db", "check", "--url", url]) == OK
    assert f"the tables have the form {NEWEST}" in capsys.readouterr().out


@pytest.mark.postgres
def test_the_configuration_names_the_database(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configure(tmp_path, f'[postgres]\nurl = "{url}"')
    assert run_command(["db", "migrate", "--config", config]) == OK
    asyncio.run(execute(url, "INSERT INTO userstream.cursors VALUES ('18c-7', 'tables', 41)"))
    assert run_command(["db", "check", "--config", config]) == OK
    assert "journal 18c-7: tables at position 41" in capsys.readouterr().out
    assert run_command(["db", "check", "--config", config, "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["journals"] == [{"journal": "18c-7", "reader": "tables", "position": 41}]


@pytest.mark.postgres
def test_a_table_that_is_gone_is_a_problem(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configure(tmp_path, f'[postgres]\nurl = "{url}"')
    assert run_command(["db", "migrate", "--config", config]) == OK
    asyncio.run(execute(url, "ALTER TABLE userstream.fills RENAME TO kept"))
    capsys.readouterr()
    assert run_command(["db", "check", "--config", config]) == PROBLEM
    assert "renamed or dropped the table userstream.fills: rename it back" in capsys.readouterr().err
    run_command(["doctor", "--config", config])
    assert "renamed or dropped the table userstream.fills" in "".join(capsys.readouterr())


@pytest.mark.postgres
def test_another_programs_database_is_a_problem_in_one_line(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(execute(url, "CREATE SCHEMA userstream"))
    assert run_command(["db", "migrate", "--url", url]) == PROBLEM
    told = capsys.readouterr().err
    assert "another program's: choose another database" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        (f"postgresql://u:{CANARY}@h/d", USAGE, "--url holds a password"),
        (f"postgresql://u@h/d?password={CANARY}", USAGE, "--url holds a password"),
        (f"postgresql://u:{CANARY}/x@h/d", USAGE, "write @ as %40, / as %2F"),
        ("mysql://u@h/d", USAGE, "must have the form postgresql://user@host:5432/database"),
        ("postgresql://u@127.0.0.1:1/d", PROBLEM, "PostgreSQL at 127.0.0.1:1/d"),
    ],
)
def test_mistakes_are_told_in_a_line(url: str, code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["db", "migrate", "--url", url]) == code
    complaint = capsys.readouterr().err
    assert told in complaint and CANARY not in complaint and "Traceback" not in complaint


def test_a_configuration_without_a_database_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["db", "migrate", "--config", configure(tmp_path, "")]) == USAGE
    assert "has no table [postgres]" in capsys.readouterr().err


def test_a_journal_is_given_another_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configure(tmp_path, '[postgres]\nurl = "postgresql://u@h/d"')
    assert run_command(["db", "rejoin", "--config", config]) == USAGE
    assert "there is no store" in capsys.readouterr().err
    (tmp_path / "desk.db").touch()
    names = []
    for _ in range(2):
        assert run_command(["db", "rejoin", "--config", config]) == OK
        names.append(capsys.readouterr().out.split()[-1])
    assert names[0] != names[1]


async def hear(url: str, path: Path, *numbers: int, is_refused: bool = False) -> None:
    """A run in which an account hears of some movements and warnings, each number at a time of its own."""
    application = await start_application(path, postgres=PostgresTarget(url=Secret(url), own_process=False))
    assert application.postgres is not None and application.postgres.pump is not None
    for number in numbers:
        heard = {"received_time": 1_000 + number, "event_time": 1_000 + number}
        told = heard | {"transaction_time": 1_000 + number}
        named, unnamed = (balance_moved(delta=str(number), movement_id=name, **told) for name in (f"of the venue {number}", ""))
        events = (named, unnamed, margin_called(**told), stream_changed(**heard), balance_set(**told))
        application.journal.append(record(*events, sequence=1 + 5 * (number % 100)))
    await application.journal.flush()
    if is_refused:
        while application.postgres.pump.trouble is None:
            await asyncio.sleep(0.002)
    else:
        await application.postgres.pump.drain()
    await application.stop()


async def count(url: str, query: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM userstream.{query}"))
    finally:
        await connection.close()


@pytest.mark.postgres
def test_a_store_that_was_put_back_stands_in_the_database_once(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, store, copy = configure(tmp_path, f'[postgres]\nurl = "{url}"'), tmp_path / "desk.db", tmp_path / "copy.db"
    asyncio.run(hear(url, store, *range(5)))
    shutil.copy(store, copy)
    asyncio.run(hear(url, store, *range(5, 12)))
    shutil.copy(copy, store)
    asyncio.run(hear(url, store, 105, 106, is_refused=True))
    capsys.readouterr()
    assert run_command(["db", "rejoin", "--config", config]) == OK
    assert "goes on in PostgreSQL after position" in capsys.readouterr().out
    assert run_command(["db", "rejoin", "--config", config]) == OK  # by somebody who is not sure
    asyncio.run(hear(url, store, 107))
    assert run_command(["db", "rejoin", "--config", config]) == OK
    asyncio.run(hear(url, store, 108))
    heard = 12 + 4
    assert asyncio.run(count(url, "movements")) == 2 * heard
    assert asyncio.run(count(url, "margin_calls")) == asyncio.run(count(url, "account_events")) == heard


@pytest.mark.postgres
def test_a_database_that_knows_nothing_of_a_store_gets_it_from_its_beginning(url: str, tmp_path: Path) -> None:
    config, store = configure(tmp_path, f'[postgres]\nurl = "{url}"'), tmp_path / "desk.db"
    asyncio.run(hear(url, store, 1, 2))
    tables = ("movements", "margin_calls", "account_events", "cursors")
    asyncio.run(execute(url, *(f"DELETE FROM userstream.{table}" for table in tables)))
    assert run_command(["db", "rejoin", "--config", config]) == OK
    asyncio.run(hear(url, store, 3))
    assert asyncio.run(count(url, "margin_calls")) == 3


def test_a_journal_that_another_database_may_know_is_not_renamed_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, store = configure(tmp_path, '[postgres]\nurl = "postgresql://u@127.0.0.1:1/d"'), tmp_path / "desk.db"
    before = settle_mark(store, KIND, "one")
    asyncio.run(_fill(store))
    assert run_command(["db", "rejoin", "--config", config]) == PROBLEM
    assert "PostgreSQL at 127.0.0.1:1/d" in capsys.readouterr().err
    assert settle_mark(store, KIND, "two") == before


async def _fill(path: Path) -> None:
    async with await SqliteStore.open(path, SystemClock()) as store:
        store.append(record(balance_set()))
        await store.flush()
