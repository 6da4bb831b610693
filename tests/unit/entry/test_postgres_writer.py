"""The process that fills PostgreSQL, as it is: signals are not for it, an end of its questions is, and no secret leaves it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Final

import pytest

from tests.support.clock import ManualClock
from tests.support.events import filled
from tests.support.postgres import borrow_database, give_back
from tests.support.processes import is_running, until_ended
from tests.support.records import place, record
from userstream.adapters.postgres_process import AskPosition, Assignment, PostgresProcess, pack
from userstream.entry.storage import WRITER
from userstream.kernel.errors import StoreError
from userstream.kernel.secret import Secret

CANARY: Final = "s3cret-canary"
PRINTER: Final = f"""
import {WRITER} as writer
from userstream.adapters.core_dumps import is_dumpable

async def tell(answers_to):
    print(is_dumpable(), flush=True)
    answers_to.write(b"answer")

writer.write_until_the_end = tell
writer.main()
"""
NOWHERE: Final = "postgresql://u@127.0.0.1:1/desk"
ASSIGNMENT: Final = pack(Assignment(NOWHERE, None, "one", True))
PARENT: Final = f"""
import asyncio
from userstream.adapters.clock import SystemClock
from userstream.adapters.postgres_process import PostgresProcess
from userstream.kernel.errors import StoreError
from userstream.kernel.secret import Secret

async def main():
    tables = PostgresProcess({WRITER!r}, SystemClock(), Secret({NOWHERE!r}), None, journal="one", migrate=True)
    try:
        await tables.position("tables")
    except StoreError:
        print(tables.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.postgres
async def test_signals_are_for_whoever_started_it() -> None:
    url = await borrow_database()
    tables = PostgresProcess(WRITER, ManualClock(), Secret(url), None, journal="one", migrate=True)
    await tables.position("tables")
    assert tables.pid is not None
    for each in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(tables.pid, each)
    await tables.apply("tables", place([record(filled(), sequence=1)], 5))
    pid = tables.pid
    assert await tables.position("tables") == 5 and tables.pid == pid
    await tables.close()
    await give_back(url)


@pytest.mark.parametrize("questions", [b"", ASSIGNMENT[:-1], ASSIGNMENT])
async def test_it_ends_in_peace_when_nobody_can_ask_any_more(questions: bytes) -> None:
    process = await asyncio.create_subprocess_exec(*(sys.executable, "-m", WRITER), stdin=PIPE, stdout=PIPE, stderr=PIPE)
    told, errors = await process.communicate(questions)
    assert (process.returncode, told, errors) == (0, b"", b"")


async def test_it_ends_in_peace_when_nobody_hears_its_answers() -> None:
    ours, its_own = os.pipe()
    os.close(ours)
    process = await asyncio.create_subprocess_exec(*(sys.executable, "-m", WRITER), stdin=PIPE, stdout=its_own, stderr=PIPE)
    os.close(its_own)
    _, errors = await process.communicate(ASSIGNMENT + 3 * pack(AskPosition("tables")))
    assert (process.returncode, errors) == (0, b"")


async def test_it_ends_with_whoever_started_it() -> None:
    places = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=PIPE, env=places)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert is_running(pid)
    parent.kill()
    await parent.wait()
    await until_ended(pid)


async def test_it_ends_with_whoever_started_it_also_while_a_server_says_nothing(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(say_nothing, tmp_path / ".s.PGSQL.5432"):
        process = await asyncio.create_subprocess_exec(*(sys.executable, "-m", WRITER), stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert process.stdin is not None
        process.stdin.write(pack(Assignment(f"postgresql://u@/desk?host={tmp_path}", None, "one", True)) + pack(AskPosition("tables")))
        await asked.wait()
        told, errors = await process.communicate(b"")
    assert (process.returncode, told, errors) == (0, b"", b"")


def test_no_debugger_reads_its_memory_and_prints_go_where_errors_go() -> None:
    told = subprocess.run([sys.executable, "-c", PRINTER], input=b"", capture_output=True, check=True)
    assert (told.stdout, told.stderr) == (b"answer", b"False\n")


async def test_a_server_that_is_away_is_told_without_its_password() -> None:
    url, password = Secret("postgresql://u@127.0.0.1:1/desk"), Secret(CANARY)
    tables = PostgresProcess(WRITER, ManualClock(), url, password, journal="one", migrate=True)
    with pytest.raises(StoreError, match=r"^PostgreSQL at 127[.]0[.]0[.]1:1/desk: connection refused") as told:
        await tables.position("tables")
    assert CANARY not in str(told.value)
    await tables.close()
