"""`userstream run` with PostgreSQL beside its store, as real processes: a server that crashes on the way costs nothing but time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.support.postgres import PostgresServer, execute, running_server
from userstream.adapters.sqlite import open_reader

pytestmark = pytest.mark.postgres

CANARY = "s3cret-canary"
FACTS = "account, symbol, trade_id, order_id, side, price::text, quantity::text, fee::text"


async def start(*words: str, folder: Path, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "userstream", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | environment,
        cwd=folder,
    )


@asynccontextmanager
async def exchange(folder: Path) -> AsyncIterator[Any]:
    process = await start("simulate", "--venue", "binance-usdm", "--rate", "40", folder=folder)
    assert process.stdout is not None
    try:
        yield json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 10)


def configure(folder: Path, listing: Any) -> dict[str, str]:
    """The file, and the environment with its secrets."""
    key, place = listing["accounts"][0], listing["venues"]["binance-usdm"]
    (folder / "userstream.toml").write_text(
        '[log]\nformat = "json"\n[postgres]\nurl_env = "DESK_POSTGRES"\n[recovery]\nlag_s = 0.3\n'
        '[[account]]\nname = "alice"\nvenue = "binance-usdm"\napi_key_env = "KEY"\napi_secret_env = "SECRET"\n'
        f'rest_url = "{place["rest_url"]}"\nws_url = "{place["ws_url"]}"\n'
    )
    return {"KEY": key["api_key"], "SECRET": key["api_secret"]}


async def count_fills(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM userstream.fills"))
    except asyncpg.UndefinedTableError:
        return 0
    finally:
        await connection.close()


async def until_fills(url: str, least: int) -> None:
    async with asyncio.timeout(30):
        while await count_fills(url) < least:
            await asyncio.sleep(0.005)


async def heard(process: asyncio.subprocess.Process, action: str) -> bytes:
    """The log up to a line with this action."""
    assert process.stderr is not None
    told = b""
    try:
        async with asyncio.timeout(30):
            async for line in process.stderr:
                told += line
                if b'"%s"' % action.encode() in line:
                    return told
    except TimeoutError:
        pass
    raise AssertionError(told.decode())


async def test_a_crash_of_the_server_during_a_run_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with running_server() as server:
        await execute(server.url("postgres"), "CREATE DATABASE desk")
        async with exchange(tmp_path) as listing:
            secrets = configure(tmp_path, listing)
            url = server.url("desk", password=CANARY)
            told = await run_through_a_crash(server, url, tmp_path, secrets)
        assert CANARY not in told and secrets["SECRET"] not in told and "Traceback" not in told
        await compare(url, tmp_path / "userstream.db")


async def run_through_a_crash(server: PostgresServer, url: str, folder: Path, secrets: dict[str, str]) -> str:
    process = await start("run", folder=folder, DESK_POSTGRES=url, **secrets)
    await until_fills(url, 3)
    await asyncio.to_thread(server.stop, signal.SIGQUIT)
    told = await heard(process, "postgres_trouble")
    await asyncio.to_thread(server.start)
    told += await heard(process, "postgres_recovered")
    await until_fills(url, await count_fills(url) + 3)
    process.send_signal(signal.SIGTERM)
    _, rest = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, rest.decode()
    return (told + rest).decode()


async def compare(url: str, store: Path) -> None:
    """What PostgreSQL has is what the embedded store has."""
    connection, reader = await asyncpg.connect(url), open_reader(store)
    try:
        theirs = {tuple(row) for row in await connection.fetch(f"SELECT {FACTS} FROM userstream.fills")}
        names = [name.strip().partition(":")[0] for name in FACTS.split(",")]
        ours = {tuple(row[name] for name in names) for row in await reader.rows("fills", limit=100_000)}
        assert theirs == ours
        assert len(ours) >= 6
        wallets = {row["asset"]: str(row["total"]) for row in await connection.fetch("SELECT asset, total FROM userstream.balances")}
        assert wallets == {str(row["asset"]): row["total"] for row in await reader.rows("balances")}
    finally:
        await reader.close()
        await connection.close()
