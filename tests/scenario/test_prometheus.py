"""A real Prometheus reads a real service that runs accounts of the paper exchange: every name of the reference is there, and every query
of the dashboard answers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.support.prometheus import needs_prometheus, queries_of, read_dashboard, run_prometheus
from tests.support.reference import PROMISED, REFERENCE, STAGES
from tests.support.webhook import open_webhook
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings
from userstream.sim.venue import Call

VENUE = "binance-usdm"
NAMES = ("alice", "bob")
WITHOUT_VALUES = {"breaker_state"}
"""Of the risk engine, which this service does not run."""
TRADE_EVERY = 10
NOT_HERE = {"socket_to_postgres"}


def trade(server: PaperExchangeServer, account: str) -> None:
    wish = {"account": account, "symbol": "BTCUSDT", "side": "buy", "quantity": "0.010", "order_type": "market"}
    reply = server.control.answer(Call(method="POST", path="/control/place", body=msgspec.json.encode(wish)))
    assert reply.status == 200


def configure(folder: Path, server: PaperExchangeServer, url: str) -> dict[str, str]:
    place = server.listing.venues[VENUE]
    text = '[log]\nformat = "json"\n[metrics]\nlisten = "127.0.0.1:0"\n[alerts]\nurls_env = "URLS"\n[recovery]\nlag_s = 0.2\n'
    environment = {"URLS": url}
    for key in server.listing.accounts:
        name = key.account.upper()
        text += (
            f'[[account]]\nname = "{key.account}"\nvenue = "{VENUE}"\napi_key_env = "{name}_KEY"\napi_secret_env = "{name}_SECRET"\n'
            f'rest_url = "{place.rest_url}"\nws_url = "{place.ws_url}"\n'
        )
        environment |= {f"{name}_KEY": key.api_key, f"{name}_SECRET": key.api_secret}
    (folder / "userstream.toml").write_text(text)
    return environment


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[tuple[PaperExchangeServer, int]]:
    """`userstream run` with two accounts that trade, and the port of its metrics."""
    specs = tuple(AccountSpec(account=name, venue=VENUE) for name in NAMES)
    server = PaperExchangeServer(SimulatorSettings(venues=(VENUE,), accounts=specs))
    await server.start()
    async with open_webhook() as webhook:
        environment = configure(folder, server, webhook.url())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "userstream", "run", stderr=asyncio.subprocess.PIPE, env=os.environ | environment, cwd=folder
        )
        try:
            yield server, await find_port(process)
            process.send_signal(signal.SIGTERM)
            _, log = await asyncio.wait_for(process.communicate(), 10)
            assert process.returncode == 0 and b"Traceback" not in log
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
            await server.stop()


async def find_port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    async for line in process.stderr:
        if b"metrics_started" in line:
            return int(json.loads(line)["port"])
    raise AssertionError("it never listened")


async def until_traded(server: PaperExchangeServer, port: int) -> str:
    """Both accounts are live and have traded, and the tables have it. Returns the numbers."""
    async with aiohttp.ClientSession() as client:
        for turn in count():
            async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
                text = await answer.text()
            if 'userstream_accounts{state="live",venue="binance-usdm"} 2.0' in text:
                if turn % TRADE_EVERY == 0:
                    for name in NAMES:
                        trade(server, name)
                if all(f'_count{{stage="{stage}"}} ' in text for stage in STAGES.keys() - NOT_HERE):
                    return text
            await asyncio.sleep(0.005)
    raise AssertionError("never reached")


@pytest.mark.slow
async def test_every_name_of_the_reference_is_told_by_a_running_service(tmp_path: Path) -> None:
    page = (REFERENCE / "metrics.md").read_text("utf-8")
    async with service(tmp_path) as (server, port):
        text = await until_traded(server, port)
    told = dict(re.findall(r"^# TYPE (userstream_\w+) (\w+)$", text, re.MULTILINE))
    written = dict(re.findall(r"^\| `(userstream_\w+)` \| (counter|gauge|histogram) \|", page, re.MULTILINE))
    assert told == written, "docs/reference/metrics.md names what is told, and nothing else"
    with_values = set(re.findall(r"^(userstream_\w+?)(?:_bucket|_count|_sum)?(?:\{| )", text, re.MULTILINE))
    promised = {f"userstream_{name}" for names in PROMISED.values() for name in names if name not in WITHOUT_VALUES}
    assert promised - with_values == set()
    for name, labels in re.findall(r"^\| `(userstream_\w+)` \| \w+ \| \S+ \| (.*?) \|", page, re.MULTILINE):
        expected = set(re.findall(r"`(\w+)`", labels))
        for found in re.findall(rf"^{name}\{{(.*?)\}} ", text, re.MULTILINE):
            assert set(re.findall(r'(\w+)="', found)) == expected, name


@needs_prometheus
@pytest.mark.slow
async def test_every_query_of_the_dashboard_answers_with_data(tmp_path: Path) -> None:
    waiting = queries_of(read_dashboard(), interval="5s")
    assert len(waiting) > 30
    async with service(tmp_path) as (server, port):
        await until_traded(server, port)
        async with run_prometheus(tmp_path, f"127.0.0.1:{port}") as prometheus:
            for turn in range(1_000):
                if turn % TRADE_EVERY == 0:
                    for name in NAMES:
                        trade(server, name)
                waiting = [query for query in waiting if not await prometheus.ask(query.text)]
                if not waiting:
                    break
                await asyncio.sleep(0.005)
            assert waiting == [], "these panels show nothing"
            assert await prometheus.ask('ALERTS{alertname="UserstreamDown"}') == []
