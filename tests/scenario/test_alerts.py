"""A margin call of the exchange reaches a person once, and its end once; a receiver that hangs costs the accounts nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.support.desk import Desk, open_desk
from tests.support.webhook import Webhook, open_webhook
from userstream import Filled, MarginCalled
from userstream.domain.alerts import AlertRules
from userstream.entry.alert_settings import AlertTarget
from userstream.entry.alerts import AlertService, open_alerts
from userstream.kernel.secret import Secret
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings

QUICK = AlertRules(dark_after_ms=300, stale_after_ms=60_000, settle_ms=500, calm_ms=60_000, gather_ms=200)
VENUE = "binance-usdm"
CANARY = "Can4ryTok3nPath"


@asynccontextmanager
async def watched(desk: Desk, webhook: Webhook) -> AsyncIterator[AlertService]:
    target = AlertTarget(urls=(Secret(webhook.url(CANARY)),), rules=QUICK, time_limit_ms=2_000)
    async with open_alerts(target, desk.application, lambda: {desk.account.id}) as service:
        assert service is not None
        service.watch(desk.account)
        yield service


def critical(webhook: Webhook) -> list[str]:
    return [title for title in webhook.titles() if title.startswith("[CRITICAL]")]


async def test_a_margin_call_is_one_message_and_its_end_is_one_message(tmp_path: Path) -> None:
    async with open_webhook() as webhook, open_desk(store=tmp_path / "desk.db") as desk:
        async with watched(desk, webhook):
            desk.trade(quantity="0.050")
            desk.trade("ETHUSDT", "sell", quantity="1.000")
            await desk.until_same()
            for _ in range(3):
                desk.act("margin_call", account="desk")
            await desk.until(lambda: bool(webhook.posted), "the alert")
            heard = desk.account.health.messages
            desk.act("margin_call", account="desk")
            await desk.until(lambda: desk.account.health.messages > heard, "one call more")
            assert {event.symbol for event in desk.told(MarginCalled)} == {"BTCUSDT", "ETHUSDT"}
            desk.trade(side="sell", quantity="0.050")
            await desk.until_same()
            desk.trade("ETHUSDT", "buy", quantity="1.000")
            await desk.until(lambda: len(webhook.posted) > 1, "the end")
            await desk.until_same()
        # whoever leaves the block has sent all there was
        assert webhook.titles() == ["[CRITICAL] desk: margin call", "[RECOVERED] desk: margin call is over"]
        assert [each.type for each in webhook.posted] == ["failure", "success"]


async def test_a_receiver_that_hangs_delays_no_event(tmp_path: Path) -> None:
    async with open_webhook() as webhook, open_desk(store=tmp_path / "desk.db") as desk, watched(desk, webhook):
        webhook.hanging = asyncio.Event()
        desk.trade(quantity="0.050")
        await desk.until_same()
        desk.act("margin_call", account="desk")
        await desk.until(lambda: bool(webhook.seen), "the first attempt")
        for _ in range(20):
            desk.trade(quantity="0.001")
        await desk.until_same()
        assert len(desk.told(Filled)) >= 21 and webhook.posted == [], "all of this came while the alert hung"
        webhook.hanging.set()
        webhook.hanging = None
        await desk.until(lambda: len(critical(webhook)) == 1, "the alert")


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(4_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")


async def read_metrics(port: int) -> str:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.status == 200
        return await answer.text()


async def run(folder: Path, environment: dict[str, str]) -> tuple[asyncio.subprocess.Process, int, asyncio.Task[bytes]]:
    """The service in a process of its own, the port of its metrics, and the rest of its log."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "userstream", "run", stderr=asyncio.subprocess.PIPE, env=os.environ | environment, cwd=folder
    )
    assert process.stderr is not None
    async for line in process.stderr:
        if b"metrics_started" in line:
            return process, json.loads(line)["port"], asyncio.ensure_future(process.stderr.read())
    raise AssertionError("it never listened")


def configure(folder: Path, server: PaperExchangeServer, webhook: Webhook) -> dict[str, str]:
    place, key = server.listing.venues[VENUE], server.listing.accounts[0]
    (folder / "userstream.toml").write_text(
        '[log]\nformat = "json"\n[metrics]\nlisten = "127.0.0.1:0"\n'
        '[alerts]\nurls_env = "URLS"\ndark_after_s = 1\nsettle_s = 1\ngather_s = 1\n'
        f'[[account]]\nname = "alice"\nvenue = "{VENUE}"\napi_key_env = "KEY"\napi_secret_env = "SECRET"\n'
        f'rest_url = "{place.rest_url}"\nws_url = "{place.ws_url}"\n'
    )
    return {"KEY": key.api_key, "SECRET": key.api_secret, "URLS": webhook.url(CANARY)}


async def test_run_tells_of_a_dark_account_and_shows_its_numbers_on_their_own_port(tmp_path: Path) -> None:
    server = PaperExchangeServer(SimulatorSettings(venues=(VENUE,), accounts=(AccountSpec(account="alice", venue=VENUE),)))
    await server.start()
    async with open_webhook() as webhook:
        process, port, log = await run(tmp_path, configure(tmp_path, server, webhook))
        try:
            while "userstream_active_connections{" not in (text := await read_metrics(port)) or " 1.0" not in text:
                await asyncio.sleep(0.005)
            await server.stop()
            await until(lambda: "[ERROR] alice: account is dark" in webhook.titles())
            while 'userstream_alerts_total{outcome="sent",receiver="json 1"} 1.0' not in (text := await read_metrics(port)):
                await asyncio.sleep(0.005)
            assert 'userstream_open_incidents{kind="account_dark"} 1.0' in text
            assert 'userstream_stage_latency_seconds_count{stage="socket_to_journal"}' in text
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0
            told = await log
            assert CANARY not in text + told.decode() and b"Traceback" not in told
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
