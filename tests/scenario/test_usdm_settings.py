"""Binance USD-M against the paper exchange: settings that change under a running stream, with the socket up and with the socket cut."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Final

from tests.support.desk import NAME, Desk
from tests.support.equality import both_ways, darken, in_the_dark, settled_desk
from userstream import (
    AccountConfigChanged,
    MarginType,
    PositionSet,
    PositionSide,
)

BTC: Final = "BTCUSDT"
ETH: Final = "ETHUSDT"


@both_ways
async def test_leverage_changed_by_another_program(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.trade(quantity="0.100")
        await darken(desk, cut)
        desk.act("leverage", account=NAME, symbol=BTC, leverage=7)
        await desk.until(lambda: _leverages(desk) == [7], "the new leverage")
        assert desk.account.positions[BTC].leverage == 7


def _leverages(desk: Desk) -> list[int | None]:
    return [event.leverage for event in desk.told(AccountConfigChanged) if event.symbol == BTC]


@both_ways
async def test_margin_type_changed_by_another_program(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        await darken(desk, cut)
        desk.act("margin_type", account=NAME, symbol=BTC, margin_type="isolated")
        desk.trade(quantity="0.100")
        await desk.until_same()
        await desk.until(lambda: desk.account.positions[BTC].margin_type is MarginType.ISOLATED, "the new margin type")
        await desk.call("POST", "/fapi/v1/positionMargin", symbol=BTC, type="1", amount="50")
        await desk.until_same()
        desk.trade(side="sell", quantity="0.040")
        desk.trade(side="sell", quantity="0.100")


@both_ways
async def test_hedge_mode_and_trades_on_both_legs(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.trade(quantity="0.100")
        desk.trade(side="sell", quantity="0.100")
        await darken(desk, cut)
        desk.act("hedge_mode", account=NAME)
        for side, leg, quantity in (
            ("buy", "long", "0.300"),
            ("sell", "short", "0.200"),
            ("sell", "long", "0.050"),
            ("buy", "short", "0.080"),
        ):
            desk.act("place", account=NAME, symbol=BTC, side=side, quantity=quantity, order_type="market", position_side=leg)
        await desk.until_same()
        assert desk.account.positions.leg(BTC, "long").amount == Decimal("0.250")
        assert desk.account.positions.leg(BTC, "short").amount == Decimal("-0.120")
        await desk.until(lambda: bool([event for event in desk.told(AccountConfigChanged) if event.hedge_mode]), "the new mode")


async def test_back_to_one_way(tmp_path: Path) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.act("hedge_mode", account=NAME)
        desk.act("place", account=NAME, symbol=BTC, side="buy", quantity="0.100", order_type="market", position_side="long")
        desk.act("place", account=NAME, symbol=BTC, side="sell", quantity="0.100", order_type="market", position_side="long")
        await darken(desk, True)
        desk.act("hedge_mode", account=NAME, on=False)
        desk.trade(quantity="0.030")
        await desk.until_same()
        assert desk.account.positions[BTC].amount == Decimal("0.030")
        legs = {PositionSide.LONG, PositionSide.BOTH}
        await desk.until(lambda: {event.position_side for event in desk.told(PositionSet)} == legs, "both kinds of leg")


@both_ways
async def test_multi_assets_mode(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        async with in_the_dark(desk, cut):
            await desk.call("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin="true")
        await desk.until(lambda: _modes(desk) == [True], "the new mode")
        async with in_the_dark(desk, cut):
            await desk.call("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin="false")
        await desk.until(lambda: _modes(desk) == [True, False], "the old mode")


def _modes(desk: Desk) -> list[bool]:
    """The asset modes that were told since the first reading."""
    told = [event.multi_asset_mode for event in desk.told(AccountConfigChanged) if event.multi_asset_mode is not None]
    return [mode for place, mode in enumerate(told) if mode != ([False, *told][place])]


async def test_settings_of_a_lagging_venue_do_not_go_back(tmp_path: Path) -> None:
    """REST shows what was true a moment ago: it takes back neither what the stream told nor what changed in a gap."""
    async with settled_desk(tmp_path) as desk:
        desk.trade(quantity="0.100")
        await desk.until_same()
        desk.act("rest_lag", ms=120)
        desk.act("leverage", account=NAME, symbol=BTC, leverage=7)
        await desk.until(lambda: desk.account.positions[BTC].leverage == 7, "the leverage that was told")
        await darken(desk, True)
        desk.act("leverage", account=NAME, symbol=BTC, leverage=9)
        await desk.until(lambda: _leverages(desk) == [7, 9], "the leverage that was read")
        await desk.until_same()
        assert _leverages(desk) == [7, 9]
