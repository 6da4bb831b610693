"""Binance USD-M against the paper exchange: funding, transfers and fees are cash that is told once, with the socket up and cut."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from tests.support.desk import NAME, QUICK
from tests.support.equality import both_ways, darken, settled_desk
from userstream import (
    BalanceMoved,
    Filled,
)

BTC: Final = "BTCUSDT"
ETH: Final = "ETHUSDT"


@both_ways
async def test_funding_is_cash_and_told_once(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.trade(quantity="0.500")
        await darken(desk, cut)
        fills = len(desk.truth()["fills"])
        desk.act("fund", symbol=BTC, rate="0.0001")
        await desk.until(lambda: len(desk.told(BalanceMoved)) == 1, "the funding")
        await darken(desk, True)  # history tells again what was told
        desk.act("fund", symbol=BTC, rate="-0.0002")
        await desk.until(lambda: len(desk.told(BalanceMoved)) == 2, "the second funding")
        await desk.until_same()
        moves = desk.told(BalanceMoved)
        assert [(move.reason, move.symbol, move.delta > 0) for move in moves] == [("funding_fee", BTC, False), ("funding_fee", BTC, True)]
        assert len(desk.told(Filled)) == fills


@both_ways
async def test_isolated_funding_changes_the_position_too(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.act("margin_type", account=NAME, symbol=BTC, margin_type="isolated")
        desk.trade(quantity="0.500")
        await desk.until_same()
        before = desk.account.positions[BTC].isolated_wallet
        await darken(desk, cut)
        desk.act("fund", symbol=BTC, rate="0.0010")
        await desk.until(lambda: len(desk.told(BalanceMoved)) == 1, "the funding")
        await desk.until_same()
        assert before is not None
        await desk.until(lambda: desk.account.positions[BTC].isolated_wallet == before + desk.told(BalanceMoved)[0].delta, "less margin")


@both_ways
async def test_funding_of_both_legs_is_two_movements(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.act("hedge_mode", account=NAME)
        for side, leg, quantity in (("buy", "long", "0.300"), ("sell", "short", "0.100")):
            desk.act("place", account=NAME, symbol=BTC, side=side, quantity=quantity, order_type="market", position_side=leg)
        await darken(desk, cut)
        desk.act("fund", symbol=BTC, rate="0.0001")
        await desk.until(lambda: len(desk.told(BalanceMoved)) == 2, "both fundings")
        assert sum((move.delta > 0 for move in desk.told(BalanceMoved)), 0) == 1


@both_ways
async def test_transfers_are_told_once(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        await darken(desk, cut)
        desk.act("transfer", account=NAME, asset="USDT", amount="2500.5")
        desk.act("transfer", account=NAME, asset="USDT", amount="-1000")
        desk.act("transfer", account=NAME, asset="USDC", amount="77.12345678")
        await desk.until(lambda: len(desk.told(BalanceMoved)) == 3, "three movements")
        await darken(desk, True)
        await desk.until(lambda: desk.account.health.reconnects == 1 + cut, "a new socket")
        await desk.until_same()
        moves = {(move.asset, move.delta) for move in desk.told(BalanceMoved)}
        assert moves == {("USDT", Decimal("2500.5")), ("USDT", Decimal(-1000)), ("USDC", Decimal("77.12345678"))}
        assert desk.account.balances["USDC"].total == Decimal("77.12345678")


async def test_equal_transfers_around_a_gap_are_both_told(tmp_path: Path) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.act("transfer", account=NAME, asset="USDT", amount="100")
        await desk.until(lambda: len(desk.told(BalanceMoved)) == 1, "the first")
        await darken(desk, True)
        desk.act("transfer", account=NAME, asset="USDT", amount="100")
        await desk.until(lambda: len(desk.told(BalanceMoved)) == 2, "the second")
        await desk.until_same()
        assert desk.account.balances["USDT"].total == Decimal(100_200)


@both_ways
async def test_fees_in_another_coin(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.act("fee_asset", account=NAME, asset="BNB")
        name = desk.place(quantity="0.020", price="70000")
        await darken(desk, cut)
        desk.fill(name, quantity="0.005")
        desk.trade(side="sell", quantity="0.100")
        desk.act("fee_asset", account=NAME)
        desk.fill(name)
        await desk.until_same()
        await desk.until(lambda: {fill.fee_asset for fill in desk.account.fills.recent()} == {"BNB", "USDT"}, "both fee assets")
        assert desk.account.balances["BNB"].total < Decimal(10)


@both_ways
async def test_equal_fundings_of_two_symbols_are_both_told(tmp_path: Path, cut: bool) -> None:
    """Funding is booked for all symbols at one time, and small amounts are often the same."""
    async with settled_desk(tmp_path) as desk:
        desk.trade(BTC, quantity="0.010")
        desk.trade(ETH, quantity="0.400")
        await darken(desk, cut)
        for symbol, price in ((BTC, "80000"), (ETH, "2000")):
            desk.act("move_price", symbol=symbol, price=price)
            desk.act("fund", symbol=symbol, rate="0.0001")
        await desk.until(lambda: len(desk.told(BalanceMoved)) == 2, "both fundings")
        assert {(move.symbol, move.delta) for move in desk.told(BalanceMoved)} == {(BTC, Decimal("-0.08")), (ETH, Decimal("-0.08"))}


async def test_equal_movements_of_one_moment_are_told_apart_by_history(tmp_path: Path) -> None:
    """The stream has no ids: the second of two alike looks like a copy of the first, until history is read."""
    often = msgspec.structs.replace(QUICK, history_s=1.0)
    async with settled_desk(tmp_path, recovery=often) as desk:
        for _ in range(3):
            desk.act("transfer", account=NAME, asset="USDT", amount="100")
        await desk.until(lambda: len(desk.told(BalanceMoved)) == 3, "three movements")
