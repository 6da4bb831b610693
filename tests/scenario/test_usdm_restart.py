"""Kill the process at any moment: the next one goes on, nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.desk import NAME, QUICK, SHORT_PINGS, VENUE, WIDE, open_desk

from userstream.adapters.sqlite import open_reader
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings

ROUNDS = 30


def make_server(**simulator: object) -> PaperExchangeServer:
    spec = AccountSpec(account=NAME, balances={"USDT": Decimal(100_000)})
    return PaperExchangeServer(SimulatorSettings(accounts=(spec,), limits=WIDE, **simulator))  # type: ignore[arg-type]


async def stored(path: Path, table: str) -> list[dict[str, object]]:
    reader = open_reader(path)
    try:
        return await reader.rows(table, limit=1_000_000)
    finally:
        await reader.close()


async def differences(server: PaperExchangeServer, path: Path) -> list[str]:
    """What the store's tables say otherwise than the exchange's books."""
    truth = server.control.truth(NAME)
    fills = await stored(path, "fills")
    ours = {
        (row["symbol"], row["trade_id"], row["order_id"]): (Decimal(str(row["quantity"])), Decimal(str(row["price"])), row["fee"])
        for row in fills
    }
    theirs = {(row["symbol"], str(row["trade_id"]), str(row["order_id"])): row for row in truth["fills"]}  # type: ignore[index,union-attr,call-overload]
    wrong = [f"fill {key} is on one side only" for key in ours.keys() ^ theirs.keys()]
    wrong += ["a fill is stored twice"] if len(fills) != len(ours) else []
    for key in ours.keys() & theirs.keys():
        row = theirs[key]
        if ours[key][:2] != (Decimal(row["quantity"]), Decimal(row["price"])) or Decimal(str(ours[key][2])) != Decimal(row["fee"]):
            wrong.append(f"fill {key} differs: {ours[key]}, truth {row}")
    orders = {row["order_id"]: row for row in await stored(path, "orders") if not row["conditional"]}
    for row in truth["orders"]:  # type: ignore[index,union-attr,call-overload]
        mine = orders.get(str(row["order_id"]))
        status = "expired" if row["status"] == "expired_in_match" else row["status"]
        if mine is None or (mine["status"], Decimal(str(mine["filled_quantity"]))) != (status, Decimal(row["filled_quantity"])):
            wrong.append(f"order {row['order_id']}: {mine and mine['status']}, truth {status}")
    held = {(row["symbol"], row["position_side"]): Decimal(str(row["amount"])) for row in await stored(path, "positions")}
    for row in truth["positions"]:  # type: ignore[index,union-attr,call-overload]
        if held.get((row["symbol"], row["position_side"]), Decimal(0)) != Decimal(row["amount"]):
            wrong.append(f"position {row['symbol']}")
    wallets = {row["asset"]: Decimal(str(row["total"])) for row in await stored(path, "balances")}
    for row in truth["balances"]:  # type: ignore[index,union-attr,call-overload]
        if wallets.get(row["asset"], Decimal(0)) != Decimal(row["wallet"]):
            wrong.append(f"wallet {row['asset']}: {wallets.get(row['asset'])}, truth {row['wallet']}")
    return wrong


async def settle(server: PaperExchangeServer, path: Path) -> None:
    """A last, undisturbed run; then the store must equal the books."""
    async with open_desk(server=server, store=path) as desk:
        desk.act("pause_trading")
        await desk.until(lambda: desk.account.health.is_healthy, "a healthy account")
        await desk.application.clock.sleep(400)
        await desk.application.journal.flush()
        assert desk.application.pump is not None
        await desk.application.pump.drain()
        await desk.until(lambda: desk.account.health.is_healthy, "a healthy account")
    assert await differences(server, path) == []


async def test_ordered_restart_goes_on(tmp_path: Path) -> None:
    server = make_server(rate=60, seed=3)
    await server.start()
    try:
        for _ in range(3):
            async with open_desk(server=server, store=tmp_path / "desk.db", recovery=QUICK, stream=SHORT_PINGS) as desk:
                await desk.application.clock.sleep(500)
            await desk.application.clock.sleep(200)
        await settle(server, tmp_path / "desk.db")
        coverage = await stored(tmp_path / "desk.db", "coverage")
        assert {row["state"] for row in coverage} <= {"PROVEN", "REPAIRED", "STREAM_ONLY"}
    finally:
        await server.stop()


@pytest.mark.timeout(240)
async def test_kill_loop_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    server, chance, path = make_server(rate=80, seed=4), random.Random(seed), tmp_path / "desk.db"
    await server.start()
    try:
        for _ in range(ROUNDS):
            await one_killed_run(server, path, chance.uniform(0.0, 0.8))
        await settle(server, path)
        assert len(await stored(path, "fills")) > ROUNDS
    finally:
        await server.stop()


async def one_killed_run(server: PaperExchangeServer, path: Path, life_s: float) -> None:
    place, key = server.listing.venues[VENUE], server.listing.accounts[0]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.child_fleet", str(path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdin is not None and child.stdout is not None
    words = {"api_key": key.api_key, "api_secret": key.api_secret, "rest_url": place.rest_url, "ws_url": place.ws_url}
    child.stdin.write(json.dumps(words).encode() + b"\n")
    await asyncio.wait_for(child.stdout.readline(), 20)
    reading = asyncio.ensure_future(child.stdout.read())
    await asyncio.wait({reading}, timeout=life_s)
    assert child.returncode is None, "the child ended by itself"
    child.kill()
    await child.wait()
    await reading
