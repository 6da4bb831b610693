"""Kill the process at any moment: the next one goes on, nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.support.desk import NAME, QUICK, SHORT_PINGS, VENUE, WIDE, open_desk
from userstream.adapters.sqlite import open_reader
from userstream.entry.comparison import Comparison, compare_account
from userstream.sim.exchange import contracts_of
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings
from userstream.sim.venue import Call

ROUNDS = 30


def make_server(**simulator: object) -> PaperExchangeServer:
    spec = AccountSpec(account=NAME, balances={"USDT": Decimal(100_000)})
    return PaperExchangeServer(SimulatorSettings(accounts=(spec,), limits=WIDE, **simulator))  # type: ignore[arg-type]


def act(server: PaperExchangeServer, action: str, **fields: str) -> None:
    answer = server.control.answer(Call(method="POST", path=f"/control/{action}", body=msgspec.json.encode(fields)))
    assert answer.status == 200, answer.body


def move_market(server: PaperExchangeServer) -> None:
    """Every price goes up and comes back, by more than the walk does in a minute."""
    exchange = contracts_of(server.house.hall_of(NAME).room.exchange)
    for symbol, instrument in exchange.instruments.items():
        price, step = exchange.last_price(symbol), instrument.tick_size
        for factor in (Decimal("1.01"), Decimal("0.99"), Decimal(1)):
            act(server, "move_price", symbol=symbol, price=str(price * factor // step * step))


async def stored(path: Path, table: str) -> list[dict[str, object]]:
    reader = open_reader(path)
    try:
        return await reader.rows(table, limit=1_000_000)
    finally:
        await reader.close()


async def differences(server: PaperExchangeServer, path: Path) -> Comparison:
    """The store's tables beside the exchange's books."""
    truth = server.control.truth(NAME)
    assert isinstance(truth, dict)
    reader = open_reader(path)
    try:
        return await compare_account(reader, NAME, truth)
    finally:
        await reader.close()


async def settle(server: PaperExchangeServer, path: Path) -> None:
    """A last, undisturbed run; then the store must equal the books, wherever the market goes while nobody looks."""
    async with open_desk(server=server, store=path) as desk:
        desk.act("pause_trading")
        for symbol in contracts_of(server.house.hall_of(NAME).room.exchange).instruments:
            desk.act("cancel", account=NAME, symbol=symbol)
        await desk.until(lambda: desk.account.health.is_healthy, "a healthy account")
        await desk.application.clock.sleep(400)
        await desk.application.journal.flush()
        assert desk.application.pump is not None
        await desk.application.pump.drain()
        await desk.until(lambda: desk.account.health.is_healthy, "a healthy account")
    move_market(server)
    comparison = await differences(server, path)
    assert comparison.is_equal, comparison


async def test_ordered_restart_goes_on(tmp_path: Path) -> None:
    server = make_server(rate=60, seed=3)
    act(server, "pause_trading")  # what happened before anybody looked is nobody's care
    await server.start()
    try:
        for _ in range(3):
            async with open_desk(server=server, store=tmp_path / "desk.db", recovery=QUICK, stream=SHORT_PINGS) as desk:
                act(server, "resume_trading")
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
    act(server, "pause_trading")  # what happened before anybody looked is nobody's care
    await server.start()
    try:
        child = await begin_child(path)
        for _ in range(ROUNDS):
            following = await begin_child(path)  # it reads its modules while the other one lives
            await one_killed_run(server, child, chance.uniform(0.0, 0.8))
            child = following
        child.kill()
        await child.wait()
        await settle(server, path)
        assert len(await stored(path, "fills")) > ROUNDS
    finally:
        await server.stop()


async def begin_child(path: Path) -> asyncio.subprocess.Process:
    """A process that touches nothing before it is given the key."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.child_fleet", str(path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )


async def one_killed_run(server: PaperExchangeServer, child: asyncio.subprocess.Process, life_s: float) -> None:
    place, key = server.listing.venues[VENUE], server.listing.accounts[0]
    assert child.stdin is not None and child.stdout is not None
    words = {"api_key": key.api_key, "api_secret": key.api_secret, "rest_url": place.rest_url, "ws_url": place.ws_url}
    child.stdin.write(json.dumps(words).encode() + b"\n")
    await asyncio.wait_for(child.stdout.readline(), 20)
    act(server, "resume_trading")
    reading = asyncio.ensure_future(child.stdout.read())
    await asyncio.wait({reading}, timeout=life_s)
    assert child.returncode is None, "the child ended by itself"
    child.kill()
    await child.wait()
    await reading
