"""Binance Spot over restarts: what happened while nobody listened is found, in symbols nobody had asked about too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from tests.support.desk import NAME, WIDE, Desk, open_desk
from userstream import BalanceMoved, Filled, GapRepaired, OrderChanged, OrderListChanged
from userstream.adapters.sqlite import open_reader
from userstream.entry.comparison import Comparison, compare_account
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings
from userstream.sim.venue import Call

VENUE: Final = "binance-spot"
MONEY: Final = {"USDT": Decimal(100_000), "BTC": Decimal(1), "BNB": Decimal(10)}


@asynccontextmanager
async def exchange(**simulator: object) -> AsyncIterator[PaperExchangeServer]:
    spec = AccountSpec(account=NAME, venue=VENUE, balances=MONEY)
    settings = SimulatorSettings(venues=(VENUE,), accounts=(spec,), limits=WIDE, **simulator)  # type: ignore[arg-type]
    server = PaperExchangeServer(settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def act(server: PaperExchangeServer, action: str, **fields: object) -> None:
    reply = server.control.answer(Call(method="POST", path=f"/control/{action}", body=msgspec.json.encode(fields)))
    assert reply.status == 200, reply.body


def trade(server: PaperExchangeServer, symbol: str, side: str, quantity: str) -> None:
    act(server, "place", account=NAME, symbol=symbol, side=side, quantity=quantity, order_type="market")


async def stored(desk: Desk) -> None:
    """All that was told is in the tables."""
    await desk.application.journal.flush()
    assert desk.application.pump is not None
    await desk.application.pump.drain()


async def compared(server: PaperExchangeServer, path: Path) -> Comparison:
    truth, reader = server.control.truth(NAME), open_reader(path)
    assert isinstance(truth, dict)
    try:
        return await compare_account(reader, NAME, truth)
    finally:
        await reader.close()


async def test_ordered_restarts_go_on(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    async with exchange(rate=60, seed=3) as server:
        act(server, "pause_trading")  # what happened before anybody looked is nobody's care
        for _ in range(3):
            async with open_desk(server=server, store=path, venue=VENUE) as desk:
                act(server, "resume_trading")
                await desk.application.clock.sleep(600)
            await desk.application.clock.sleep(200)
        async with open_desk(server=server, store=path, venue=VENUE) as desk:
            act(server, "pause_trading")
            await desk.until(lambda: desk.account.health.is_healthy, "a healthy account")
            await desk.application.clock.sleep(400)
            await stored(desk)
        comparison = await compared(server, path)
        assert comparison.is_equal, comparison
        assert comparison.fills_in_store > 50


async def test_unknown_symbol_traded_while_nobody_ran(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    async with exchange() as server:
        async with open_desk(server=server, store=path, venue=VENUE) as desk:
            desk.trade()
            await desk.until_same()
        trade(server, "ETHUSDT", "buy", "1.0000")
        trade(server, "ETHUSDT", "sell", "0.9990")
        trade(server, "BNBBTC", "sell", "2.000")
        async with open_desk(server=server, store=path, venue=VENUE) as desk:
            await desk.until(lambda: {fill.symbol for fill in desk.told(Filled)} == {"ETHUSDT", "BNBBTC"}, "the fills")
            await desk.until(lambda: bool(desk.told(GapRepaired)), "the gap's end")
            await stored(desk)
        comparison = await compared(server, path)
        assert comparison.is_equal, comparison


async def test_a_list_of_orders_that_ended_while_nobody_ran(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    pair = {"symbol": "BTCUSDT", "side": "SELL", "aboveType": "LIMIT_MAKER", "abovePrice": "82000", "belowType": "STOP_LOSS"}
    async with exchange() as server:
        async with open_desk(server=server, store=path, venue=VENUE) as desk:
            ending = await desk.call("POST", "/api/v3/orderList/oco", **pair, quantity="0.2", belowStopPrice="79800")
            resting = await desk.call("POST", "/api/v3/orderList/oco", **pair, quantity="0.1", belowStopPrice="70000")
            await desk.until(lambda: len(desk.told(OrderListChanged)) == 2, "both lists")
        act(server, "move_price", symbol="BTCUSDT", price="79500")
        async with open_desk(server=server, store=path, venue=VENUE) as desk:
            await desk.until(lambda: bool(desk.told(OrderListChanged)), "the end of one")
            await desk.until(lambda: desk.account.health.is_healthy, "a healthy account")
            [told] = desk.told(OrderListChanged)
            assert (told.order_list_id, told.status) == (str(ending["orderListId"]), "all_done")
            assert {order.order_list_id for order in desk.told(OrderChanged)} == {str(ending["orderListId"])}
            assert len(desk.account.orders.open()) == len(resting["orders"])
            await stored(desk)
        async with open_desk(server=server, store=path, venue=VENUE) as desk:
            await desk.application.clock.sleep(1_200)
            assert desk.told(OrderListChanged) == [], "what is known is not told again"
            await stored(desk)
        comparison = await compared(server, path)
        assert comparison.is_equal, comparison


async def test_money_that_came_while_nobody_ran_is_there(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    async with exchange() as server:
        async with open_desk(server=server, store=path, venue=VENUE) as desk:
            desk.trade()
            await desk.until_same()
        act(server, "transfer", account=NAME, asset="USDT", amount="250")
        act(server, "transfer", account=NAME, asset="ETH", amount="2")
        async with open_desk(server=server, store=path, venue=VENUE) as desk:
            assert desk.account.balances["ETH"].total == 2
            assert desk.told(Filled) == [] and desk.told(BalanceMoved) == []
            await stored(desk)
        comparison = await compared(server, path)
        assert comparison.is_equal, comparison
