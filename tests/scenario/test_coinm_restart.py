"""Binance COIN-M over restarts, and beside a USD-M account behind the same address: one budget, one position mode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.support.desk import NAME, QUICK, SHORT_PINGS, WIDE, open_desk
from userstream import AccountConfigChanged, Event, Fleet, LiveAccount
from userstream.adapters.sqlite import open_reader
from userstream.entry.comparison import Comparison, compare_account
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings
from userstream.sim.venue import Call

USDM: Final = "binance-usdm"
VENUE: Final = "binance-coinm"
PERP: Final = "BTCUSD_PERP"
COINS: Final = {"BTC": Decimal(2), "ETH": Decimal(50)}


def act(server: PaperExchangeServer, action: str, **fields: object) -> Any:
    reply = server.control.answer(Call(method="POST", path=f"/control/{action}", body=msgspec.json.encode(fields)))
    assert reply.status == 200, reply.body
    return msgspec.json.decode(reply.body)["result"]


@asynccontextmanager
async def exchange(*accounts: AccountSpec, **simulator: Any) -> AsyncIterator[PaperExchangeServer]:
    venues = tuple(dict.fromkeys(account.venue for account in accounts))
    server = PaperExchangeServer(SimulatorSettings(venues=venues, accounts=accounts, limits=WIDE, **simulator))
    act(server, "pause_trading")  # what happened before anybody looked is nobody's care
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def differences(server: PaperExchangeServer, store: Path) -> Comparison:
    """The store's tables beside the exchange's books."""
    truth: Any = server.control.truth(NAME)
    reader = open_reader(store)
    try:
        return await compare_account(reader, NAME, truth)
    finally:
        await reader.close()


async def test_a_restart_goes_on_with_contracts_that_changed_meanwhile(tmp_path: Path) -> None:
    spec, store = AccountSpec(account=NAME, venue=VENUE, balances=COINS), tmp_path / "desk.db"
    async with exchange(spec, rate=60, seed=3) as server:
        for _ in range(3):
            async with open_desk(store=store, venue=VENUE, server=server) as desk:
                act(server, "resume_trading")
                await desk.application.clock.sleep(500)
                act(server, "pause_trading")
            act(server, "place", account=NAME, symbol=PERP, side="buy", quantity="7", order_type="market")
            act(server, "place", account=NAME, symbol="ETHUSD_PERP", side="sell", quantity="3", order_type="market")
            act(server, "transfer", account=NAME, asset="BTC", amount="0.01")
        async with open_desk(store=store, venue=VENUE, server=server) as desk:
            await desk.until(lambda: desk.account.health.is_healthy, "a healthy account")
            await desk.application.clock.sleep(400)
            await desk.application.journal.flush()
            assert desk.application.pump is not None
            await desk.application.pump.drain()
        comparison = await differences(server, store)
        assert comparison.is_equal, comparison


async def start(fleet: Fleet, server: PaperExchangeServer, number: int) -> LiveAccount:
    key = server.listing.accounts[number]
    place = server.listing.venues[key.venue]
    return await fleet.add(
        key.account,
        key.venue,
        api_key=key.api_key,
        api_secret=key.api_secret,
        rest_url=place.rest_url,
        ws_url=place.ws_url,
        ws_api_url=place.ws_api_url,
        recovery=QUICK,
        stream=SHORT_PINGS,
    )


async def test_both_products_pass_one_gate_and_each_hears_its_own_events_only() -> None:
    usdm = AccountSpec(account="dollars", venue=USDM, balances={"USDT": Decimal(100_000)})
    coinm = AccountSpec(account="coins", venue=VENUE, balances=COINS)
    async with exchange(usdm, coinm) as server, Fleet(weight_limit=1_000_000) as fleet:
        accounts = [await start(fleet, server, number) for number in (0, 1)]
        told: list[Event] = []
        for account in accounts:
            account.on(handler=told.append)
            await account.wait_proven(20)
        [gate] = fleet.application.gates
        assert gate.name.startswith("binance-futures ")
        act(server, "place", account="dollars", symbol="BTCUSDT", side="buy", quantity="0.010", order_type="market")
        act(server, "place", account="coins", symbol=PERP, side="sell", quantity="10", order_type="market")
        for _ in range(1_000):
            if all(account.positions.open() for account in accounts):
                break
            await fleet.application.clock.sleep(5)
        assert {leg.symbol: leg.amount for account in accounts for leg in account.positions.open()} == {
            "BTCUSDT": Decimal("0.010"),
            PERP: Decimal(-10),
        }
        venues = {(str(event.account), str(event.venue)) for event in told if not isinstance(event, AccountConfigChanged)}
        assert venues == {("dollars", USDM), ("coins", VENUE)}


async def test_the_mode_that_one_product_changed_is_seen_by_the_other() -> None:
    usdm = AccountSpec(account="dollars", venue=USDM, balances={"USDT": Decimal(100_000)}, owner="one")
    coinm = AccountSpec(account="coins", venue=VENUE, balances=COINS, owner="one")
    async with exchange(usdm, coinm) as server, Fleet(weight_limit=1_000_000) as fleet:
        coins = await start(fleet, server, 1)
        told: list[AccountConfigChanged] = []
        coins.on(AccountConfigChanged, handler=told.append)
        await coins.wait_proven(20)
        act(server, "hedge_mode", account="dollars")
        act(server, "place", account="coins", symbol=PERP, side="sell", quantity="10", order_type="market", position_side="short")
        for _ in range(1_000):
            if any(event.hedge_mode for event in told):
                break
            await fleet.application.clock.sleep(5)
        assert any(event.hedge_mode for event in told)
        assert coins.positions.leg(PERP, "short").amount == Decimal(-10)
