"""Binance COIN-M against the paper exchange: contracts, coins, and what goes wrong with sockets, keys and processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.desk import Desk
from tests.support.equality import both_ways, darken, in_the_dark, settled_desk
from userstream import (
    AccountConfigChanged,
    BalanceMoved,
    Filled,
    GapOpened,
    MarginCalled,
    RecoverySettings,
    StreamChanged,
    StreamSettings,
    StreamState,
)

VENUE: Final = "binance-coinm"
PERP: Final = "BTCUSD_PERP"
ETH: Final = "ETHUSD_PERP"
DELIVERY: Final = "BTCUSD_261225"
COINS: Final = {"BTC": Decimal(2), "ETH": Decimal(50)}
DUAL: Final = "/dapi/v1/positionSide/dual"


@asynccontextmanager
async def coin_desk(folder: Path, **options: Any) -> AsyncIterator[Desk]:
    """A desk at COIN-M whose end is equality of listeners, live account and store with the exchange's books."""
    async with settled_desk(folder, **{"venue": VENUE, "balances": COINS, **options}) as desk:
        yield desk


def place(desk: Desk, quantity: str = "10", symbol: str = PERP, **fields: str) -> str:
    return desk.place(symbol, fields.pop("side", "buy"), quantity, fields.pop("price", "60000" if symbol != ETH else "2000"))


async def test_contracts_are_traded_and_coins_are_paid(tmp_path: Path) -> None:
    async with coin_desk(tmp_path) as desk:
        name = place(desk)
        desk.fill(name, PERP, quantity="4")
        desk.fill(name, PERP)
        desk.trade(PERP, "sell", "25")
        desk.trade(ETH, "buy", "100")
        desk.act("cancel", account="desk", symbol=PERP, client_order_id=place(desk))
        await desk.until_same()
        assert desk.account.health.fills_recovered == 0
        assert desk.account.positions[PERP].amount == Decimal(-15)
        assert {event.fee_asset for event in desk.told(Filled)} == {"BTC", "ETH"}
        assert any(event.realized_pnl for event in desk.told(Filled))


@both_ways
async def test_profit_fee_and_funding_are_in_the_base_coin(tmp_path: Path, cut: bool) -> None:
    async with coin_desk(tmp_path) as desk:
        desk.trade(PERP, "buy", "300")
        await darken(desk, cut)
        desk.act("move_price", symbol=PERP, price="90000")
        desk.act("fund", symbol=PERP, rate="0.0003")
        desk.trade(PERP, "sell", "100")
        await desk.until(lambda: bool(desk.told(BalanceMoved)), "the funding")
        [moved] = desk.told(BalanceMoved)
        assert (moved.asset, moved.reason, moved.symbol) == ("BTC", "funding_fee", PERP)


@both_ways
async def test_coins_come_and_go(tmp_path: Path, cut: bool) -> None:
    async with coin_desk(tmp_path) as desk:
        await darken(desk, cut)
        desk.act("transfer", account="desk", asset="BTC", amount="0.5")
        desk.act("transfer", account="desk", asset="ETH", amount="-10")
        await desk.until(lambda: len(desk.told(BalanceMoved)) == 2, "both transfers")


@both_ways
async def test_hedge_mode_of_one_setting_is_seen(tmp_path: Path, cut: bool) -> None:
    async with coin_desk(tmp_path) as desk:
        async with in_the_dark(desk, cut):
            await desk.call("POST", DUAL, dualSidePosition="true")
            for side in ("LONG", "SHORT"):
                way = "BUY" if side == "LONG" else "SELL"
                await desk.call("POST", "/dapi/v1/order", symbol=PERP, side=way, positionSide=side, type="MARKET", quantity="20")
        await desk.until_same()
        await desk.until(lambda: any(event.hedge_mode for event in desk.told(AccountConfigChanged)), "the new mode")
        assert desk.account.positions.leg(PERP, "short").amount == Decimal(-20)


async def test_fills_wholly_inside_a_gap_of_symbols_nobody_knew(tmp_path: Path) -> None:
    async with coin_desk(tmp_path) as desk:
        name = place(desk)
        await desk.until(lambda: name in desk.account.orders, "the order")
        desk.act("cut")
        desk.fill(name, PERP)
        desk.trade(ETH, "buy", "30")
        desk.trade(ETH, "sell", "30")
        desk.trade(DELIVERY, "buy", "5")
        await desk.until_same()
        assert {fill["symbol"] for fill in desk.truth()["fills"]} == {PERP, ETH, DELIVERY}
        await desk.until(lambda: desk.kinds()["gap_repaired"] == 1, "the end of the gap")
        assert desk.kinds()["gap_opened"] == 1


async def test_an_order_that_began_and_ended_inside_a_gap_is_told(tmp_path: Path) -> None:
    async with coin_desk(tmp_path) as desk:
        desk.trade(PERP, "buy", "1")
        await desk.until_same()
        desk.act("cut")
        desk.act("cancel", account="desk", symbol=PERP, client_order_id=place(desk))
        await desk.until_same()


async def test_more_orders_inside_a_gap_than_a_page_holds(tmp_path: Path) -> None:
    async with coin_desk(tmp_path) as desk:
        desk.trade(PERP, "buy", "1")
        await desk.until_same()
        desk.act("cut")
        for _ in range(250):
            desk.trade(PERP, "buy", "1")
        await desk.until_same()
        assert len(desk.truth()["orders"]) == 251
        assert desk.requests("allOrders") >= 3


@both_ways
async def test_an_amendment_is_told(tmp_path: Path, cut: bool) -> None:
    async with coin_desk(tmp_path) as desk:
        name = place(desk)
        desk.fill(name, PERP, quantity="3")
        async with in_the_dark(desk, cut):
            await desk.call("PUT", "/dapi/v1/order", symbol=PERP, side="BUY", origClientOrderId=name, quantity="12", price="61000")
        await desk.until(lambda: desk.account.orders[name].quantity == 12, "the amendment")
        assert (desk.account.orders[name].price, desk.account.orders[name].filled_quantity) == (Decimal(61_000), Decimal(3))


@both_ways
async def test_conditional_orders_live_in_their_own_service(tmp_path: Path, cut: bool) -> None:
    async with coin_desk(tmp_path) as desk:
        desk.trade(PERP, "buy", "10")
        stop = {"algoType": "CONDITIONAL", "symbol": PERP, "side": "SELL", "type": "STOP_MARKET", "quantity": "10"}
        await desk.call("POST", "/dapi/v1/algoOrder", **stop, triggerPrice="70000")
        await darken(desk, cut)
        desk.act("move_price", symbol=PERP, price="69000")
        await desk.until(lambda: not desk.account.positions.open(), "the stop")


@both_ways
async def test_liquidation_and_margin_call(tmp_path: Path, cut: bool) -> None:
    async with coin_desk(tmp_path, balances={"BTC": Decimal("0.05")}) as desk:
        desk.trade(PERP, "buy", "400")
        await darken(desk, cut)
        desk.act("liquidate", account="desk", symbol=PERP)
        await desk.until(lambda: not desk.account.positions.open(), "the end of the position")
        assert any(event.origin.value == "liquidation" for event in desk.told(Filled)) or cut
        if not cut:
            assert {event.symbol for event in desk.told(MarginCalled)} <= {PERP}


async def test_planned_rotation_is_never_dark(tmp_path: Path) -> None:
    quick = StreamSettings(own_ping_s=0.2, silence_s=0.6, rotate_s=3.0)
    calm = RecoverySettings(lag_s=0.15, audit_s=600, history_s=600)
    async with coin_desk(tmp_path, stream=quick, recovery=calm, rate=40) as desk:
        asked, recovered = desk.requests("userTrades") + desk.requests("allOrders"), desk.account.health.fills_recovered
        await desk.until(lambda: desk.account.health.reconnects >= 2, "two rotations")
        desk.act("pause_trading")
        assert not any(isinstance(event, GapOpened) for event in desk.events)
        assert {event.state for event in desk.events if isinstance(event, StreamChanged)} <= {StreamState.LIVE, StreamState.SYNCING}
        assert desk.requests("userTrades") + desk.requests("allOrders") == asked
        assert desk.account.health.fills_recovered == recovered


async def test_the_listen_key_is_kept_alive_and_nothing_is_dark(tmp_path: Path) -> None:
    async with coin_desk(tmp_path, stream=StreamSettings(own_ping_s=0.2, silence_s=0.6, keep_alive_s=0.3)) as desk:
        while desk.requests("PUT /dapi/v1/listenKey") < 4:
            desk.trade(PERP, "buy", "1")
            await desk.application.clock.sleep(100)
        await desk.until_same()
        assert desk.account.health.reconnects == 0 and desk.account.health.fills_recovered == 0
        assert not any(isinstance(event, GapOpened) for event in desk.events)


@pytest.mark.parametrize("action", ["expire_key", "delete_key", "replace_key"])
async def test_the_listen_key_is_lost(tmp_path: Path, action: str) -> None:
    async with coin_desk(tmp_path, stream=StreamSettings(own_ping_s=0.2, silence_s=5, keep_alive_s=0.4)) as desk:
        desk.act(action, account="desk")
        desk.trade(PERP, "buy", "10")
        await desk.until(lambda: desk.account.health.reconnects >= 1, "a new socket")
        desk.trade(PERP, "sell", "20")


async def test_a_silent_socket_is_replaced(tmp_path: Path) -> None:
    async with coin_desk(tmp_path) as desk:
        desk.act("silence")
        desk.trade(PERP, "buy", "3")
        await desk.until(lambda: desk.account.health.reconnects >= 1, "a new socket")


async def test_a_deaf_subscription_is_found_by_the_audit(tmp_path: Path) -> None:
    async with coin_desk(tmp_path) as desk:
        await desk.application.clock.sleep(1_100)  # what follows the opening at once is not held against the socket
        desk.act("silence", deaf=True, lose=True)
        desk.trade(PERP, "buy", "3")
        await desk.until(lambda: desk.account.health.reconnects >= 1, "a new socket")
        await desk.until_same()
        assert desk.account.health.fills_missed_by_stream > 0


@pytest.mark.parametrize("rule", ["double", "reorder", "omit"])
async def test_disorder_copies_and_losses(tmp_path: Path, rule: str) -> None:
    often = RecoverySettings(lag_s=0.15, overlap_s=1.0, audit_s=1.0, history_s=2.0)
    async with coin_desk(tmp_path, rate=60, seed=6, recovery=often) as desk:
        desk.act(rule, probability="0.1" if rule == "omit" else "0.3")
        await desk.application.clock.sleep(1_500)
        desk.act("pause_trading")
        desk.act("clear")
