"""The process that fills PostgreSQL, as it is: signals are not for it, an end of its questions is, and no secret leaves it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from typing import Final

import pytest

from tests.support.clock import ManualClock
from tests.support.events import filled
from tests.support.postgres import borrow_database, give_back
from tests.support.processes import is_running, until_ended
from tests.support.records import place, record
from userstream.adapters.postgres_process import AskPosition, PostgresProcess, Task, pack
from userstream.entry.storage import WRITER
from userstream.kernel.errors import StoreError
from userstream.kernel.secret import Secret

CANARY: Final = "s3cret-canary"
NOWHERE: Final = "postgresql://u@127.0.0.1:1/desk"
TASK: Final = pack(Task(NOWHERE, None, "one", True))
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
    for each in (signal.SIGINT, signal.SIGTERM):
        os.kill(tables.pid, each)
    await tables.apply("tables", place([record(filled(), sequence=1)], 5))
    pid = tables.pid
    assert await tables.position("tables") == 5 and tables.pid == pid
    await tables.close()
    await give_back(url)


@pytest.mark.parametrize("questions", [b"", TASK[:-1], TASK])
async def test_it_ends_in_peace_when_nobody_can_ask_any_more(questions: bytes) -> None:
    process = await asyncio.create_subprocess_exec(*(sys.executable, "-m", WRITER), stdin=PIPE, stdout=PIPE, stderr=PIPE)
    told, errors = await process.communicate(questions)
    assert (process.returncode, told, errors) == (0, b"", b"")


async def test_it_ends_in_peace_when_nobody_hears_its_answers() -> None:
    ours, its_own = os.pipe()
    os.close(ours)
    process = await asyncio.create_subprocess_exec(*(sys.executable, "-m", WRITER), stdin=PIPE, stdout=its_own, stderr=PIPE)
    os.close(its_own)
    _, errors = await process.communicate(TASK + 3 * pack(AskPosition("tables")))
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


async def test_a_server_that_is_away_is_told_without_its_password() -> None:
    url, password = Secret(f"postgresql://u:{CANARY}@127.0.0.1:1/desk"), Secret(CANARY)
    tables = PostgresProcess(WRITER, ManualClock(), url, password, journal="one", migrate=True)
    with pytest.raises(StoreError, match=r"^PostgreSQL at 127[.]0[.]0[.]1:1/desk: connection refused") as told:
        await tables.position("tables")
    assert CANARY not in str(told.value)
    await tables.close()
