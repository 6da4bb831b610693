"""Binance USD-M against the paper exchange: what the exchange does to an account by force, with the socket up and with the socket cut."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Final

from tests.support.desk import NAME, WIDE, open_desk
from tests.support.equality import both_ways, darken, settled_desk, store_differences, until_equal
from userstream import (
    BalanceMoved,
    Filled,
    MarginCalled,
    MarginType,
    OrderChanged,
    OrderStatus,
    Origin,
    PositionSide,
)
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings

BTC: Final = "BTCUSDT"
ETH: Final = "ETHUSDT"


@both_ways
async def test_liquidation_in_part_then_whole(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.trade(quantity="2.000")
        resting = desk.place()
        await darken(desk, cut)
        desk.act("liquidate", account=NAME, symbol=BTC, quantity="0.500")
        await desk.until_same()
        assert desk.account.positions[BTC].amount == Decimal("1.500")
        assert desk.account.orders[resting].status is OrderStatus.EXPIRED
        await darken(desk, cut)
        desk.act("liquidate", account=NAME, symbol=BTC)
        await desk.until_same()
        assert desk.account.positions.open() == []
        forced = [order for order in desk.account.orders if order.origin is Origin.LIQUIDATION]
        assert sorted(order.filled_quantity for order in forced) == [Decimal("0.500"), Decimal("1.500")]
        assert all(order.client_order_id.startswith("autoclose-") and order.status is OrderStatus.FILLED for order in forced)


@both_ways
async def test_bankruptcy_is_paid_by_the_insurance(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path, balances={"USDT": Decimal(10_000)}) as desk:
        desk.trade(quantity="1.000")
        await darken(desk, cut)
        desk.act("move_price", symbol=BTC, price="65000")
        await desk.until(lambda: bool(desk.told(BalanceMoved)), "the insurance")
        paid = desk.told(BalanceMoved)
        assert [(move.asset, move.reason) for move in paid] == [("USDT", "insurance_clear")]
        assert paid[0].delta > 0
        await desk.until(lambda: not desk.account.balances["USDT"].total, "an empty wallet")


@both_ways
async def test_isolated_bankruptcy_costs_its_own_margin_only(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.act("margin_type", account=NAME, symbol=BTC, margin_type="isolated")
        desk.trade(quantity="1.000")
        desk.trade(ETH, quantity="1.000")
        await darken(desk, cut)
        desk.act("move_price", symbol=BTC, price="60000")
        await desk.until(lambda: bool(desk.told(BalanceMoved)), "the insurance")
        assert desk.told(BalanceMoved)[0].reason == "insurance_clear"
        assert desk.account.balances["USDT"].total > Decimal(90_000)
        await desk.until(lambda: [leg.symbol for leg in desk.account.positions.open()] == [ETH], "the other position alone")


@both_ways
async def test_deleveraging_in_part(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.trade(side="sell", quantity="1.000")
        resting = desk.place()
        await darken(desk, cut)
        desk.act("adl", account=NAME, symbol=BTC, quantity="0.400")
        await desk.until_same()
        assert desk.account.positions[BTC].amount == Decimal("-0.600")
        assert desk.account.orders[resting].is_open
        forced = [order for order in desk.account.orders if order.origin is Origin.ADL]
        assert [order.filled_quantity for order in forced] == [Decimal("0.400")]


@both_ways
async def test_settlement_closes_all_legs_and_orders(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.act("hedge_mode", account=NAME)
        for side, leg in (("buy", "long"), ("sell", "short")):
            desk.act("place", account=NAME, symbol=BTC, side=side, quantity="0.300", order_type="market", position_side=leg)
        await darken(desk, cut)
        desk.act("settle", symbol=BTC)
        await desk.until_same()
        assert desk.account.positions.open() == []
        forced = [order for order in desk.account.orders if order.origin is Origin.SETTLEMENT]
        assert {order.position_side for order in forced} == {PositionSide.LONG, PositionSide.SHORT}


async def test_margin_calls_name_each_position(tmp_path: Path) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.act("margin_type", account=NAME, symbol=ETH, margin_type="isolated")
        desk.trade(quantity="0.500")
        desk.trade(ETH, "sell", "2.000")
        desk.act("margin_call", account=NAME)
        await desk.until(lambda: len(desk.told(MarginCalled)) == 2, "both warnings")
        called = {str(call.symbol): call for call in desk.told(MarginCalled)}
        assert called[BTC].amount == Decimal("0.500")
        assert called[ETH].amount == Decimal("-2.000")
        assert (called[BTC].margin_type, called[ETH].margin_type) == (MarginType.CROSS, MarginType.ISOLATED)
        assert called[BTC].cross_wallet is not None
        assert called[ETH].cross_wallet is None


async def test_margin_call_comes_before_the_liquidation(tmp_path: Path) -> None:
    async with settled_desk(tmp_path, balances={"USDT": Decimal(10_000)}) as desk:
        desk.trade(quantity="1.000")
        await desk.until_same()
        price = Decimal(81_000)
        while desk.account.positions.open():
            price -= 50
            desk.act("move_price", symbol=BTC, price=str(price))
            await desk.application.clock.sleep(1)
        await desk.until_same()
        kinds = [type(event) for event in desk.events if isinstance(event, MarginCalled | Filled)]
        assert kinds[-1] is Filled
        assert MarginCalled in kinds


# --- while the program is not running ----------------------------------------------------------------------------------


async def test_what_happens_between_two_runs(tmp_path: Path) -> None:
    """The second run reads it all from the venue's books; what only the stream tells (margin calls) is not among it."""
    store, spec = tmp_path / "desk.db", AccountSpec(account=NAME, balances={"USDT": Decimal(100_000), "BNB": Decimal(10)})
    server = PaperExchangeServer(SimulatorSettings(accounts=(spec,), limits=WIDE))
    await server.start()
    try:
        async with open_desk(server=server, store=store) as first:
            first.trade(quantity="1.000")
            first.trade(ETH, quantity="2.000")
            resting = first.place()
            await until_equal(first, store)
        first.act("fee_asset", account=NAME, asset="BNB")
        first.fill(resting, quantity="0.004")
        first.act("fund", symbol=BTC, rate="0.0001")
        first.act("liquidate", account=NAME, symbol=BTC, quantity="0.300")
        first.act("adl", account=NAME, symbol=BTC, quantity="0.200")
        first.act("settle", symbol=ETH)
        first.act("transfer", account=NAME, asset="USDT", amount="-500")
        first.act("leverage", account=NAME, symbol=BTC, leverage=12)
        async with open_desk(server=server, store=store) as second:
            await second.until(lambda: len(second.told(BalanceMoved)) == 2 and second.account.health.is_healthy, "both movements")
            assert second.account.positions[BTC].leverage == 12
            assert [leg.symbol for leg in second.account.positions.open()] == [BTC]
            forced = {Origin.LIQUIDATION, Origin.ADL, Origin.SETTLEMENT}
            await second.until(lambda: forced <= {event.origin for event in second.told(OrderChanged)}, "the forced orders")
            assert [event.reason for event in second.told(BalanceMoved)] == ["funding_fee", "transfer"]
            assert await store_differences(second, store) == []
    finally:
        await server.stop()
