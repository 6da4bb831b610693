"""Binance USD-M against the paper exchange: the lives of amended and conditional orders, rare events and words nobody has told of."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.desk import NAME, Desk
from tests.support.equality import both_ways, darken, in_the_dark, settled_desk
from userstream import BalanceMoved, OrderChanged, OrderStatus, StrategyChanged, TriggerRejected, Unrecognized

BTC: Final = "BTCUSDT"
ORDER: Final = "/fapi/v1/order"
ALGO: Final = "/fapi/v1/algoOrder"
STATUSES: Final = ("new", "triggering", "triggered", "finished")


async def place(desk: Desk, **fields: str) -> Any:
    """A resting limit order by the venue's own call."""
    limit = {"symbol": BTC, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.100", "price": "70000"}
    return await desk.call("POST", ORDER, **(limit | fields))


async def place_algo(desk: Desk, name: str, **fields: str) -> Any:
    """A conditional order that buys when the price has risen."""
    stop = {"algoType": "CONDITIONAL", "symbol": BTC, "side": "BUY", "type": "STOP_MARKET", "triggerPrice": "83000", "quantity": "0.100"}
    return await desk.call("POST", ALGO, clientAlgoId=name, **(stop | fields))


def words_of(desk: Desk, name: str) -> list[str]:
    """What was told of a conditional order, in the venue's words."""
    return [event.execution_type for event in desk.told(OrderChanged) if event.conditional and event.client_order_id == name]


# --- amended orders ----------------------------------------------------------------------------------------------------


@both_ways
async def test_amended_order(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        order_id = str((await place(desk, newClientOrderId="amended"))["orderId"])
        desk.fill("amended", quantity="0.030")
        async with in_the_dark(desk, cut):
            for quantity, price in (("0.120", "70000"), ("0.120", "70100.5"), ("0.050", "69000")):
                await desk.call("PUT", ORDER, symbol=BTC, orderId=order_id, side="BUY", quantity=quantity, price=price)
        await desk.until_same()
        await desk.until(lambda: desk.account.orders[order_id].price == Decimal(69_000), "the last price")
        assert desk.account.orders[order_id].quantity == Decimal("0.050")
        assert desk.account.orders[order_id].filled_quantity == Decimal("0.030")
        desk.fill("amended")
        await desk.until(lambda: desk.account.orders[order_id].status is OrderStatus.FILLED, "the end")


@both_ways
async def test_amending_down_to_what_is_filled_cancels(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        order_id = str((await place(desk, newClientOrderId="shrunk"))["orderId"])
        desk.fill("shrunk", quantity="0.030")
        async with in_the_dark(desk, cut):
            await desk.call("PUT", ORDER, symbol=BTC, orderId=order_id, side="BUY", quantity="0.030", price="70000")
        await desk.until_same()
        await desk.until(lambda: desk.account.orders[order_id].status is OrderStatus.CANCELED, "the end")


async def test_amendments_carry_the_programs_own_number(tmp_path: Path) -> None:
    async with settled_desk(tmp_path) as desk:
        order_id = str((await place(desk))["orderId"])
        await desk.call("PUT", ORDER, symbol=BTC, orderId=order_id, side="BUY", quantity="0.100", price="70001", modifyId="4711")
        await desk.until(lambda: any(event.amendment_id == "4711" for event in desk.told(OrderChanged)), "the amendment")
        await desk.call("DELETE", ORDER, symbol=BTC, orderId=order_id)


# --- conditional orders ------------------------------------------------------------------------------------------------


@both_ways
async def test_conditional_order_triggers_and_finishes(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        await place_algo(desk, "stop")
        await desk.until(lambda: "stop" in desk.account.orders, "the conditional order")
        await darken(desk, cut)
        desk.act("move_price", symbol=BTC, price="83100")
        await desk.until(lambda: len(_conditionals(desk, OrderStatus.FILLED)) == 1, "the end")
        await desk.until_same()
        (told,) = _conditionals(desk, OrderStatus.FILLED)
        assert desk.account.orders[told.triggered_order_id].filled_quantity == Decimal("0.100")
        if not cut:
            assert words_of(desk, "stop") == list(STATUSES)


@pytest.mark.parametrize("moment", STATUSES[1:3])
async def test_socket_cut_between_the_stages(tmp_path: Path, moment: str) -> None:
    """A stop that becomes a limit order which rests: the cut comes before it triggers, or between trigger and fill."""
    async with settled_desk(tmp_path) as desk:
        await place_algo(desk, "stop", type="STOP", price="80000", triggerPrice="83000")
        await desk.until(lambda: "stop" in desk.account.orders, "the conditional order")
        await darken(desk, moment == "triggering")
        desk.act("move_price", symbol=BTC, price="83100")
        await desk.until(lambda: bool(_real_orders(desk)), "the real order")
        await darken(desk, moment == "triggered")
        desk.fill("stop")
        await desk.until_same()
        await desk.until(lambda: {order.status for order in desk.account.orders} == {OrderStatus.FILLED}, "both ends")


@both_ways
async def test_conditional_order_ends_unfilled(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        await place_algo(desk, "stop", type="STOP", price="80000", triggerPrice="83000")
        await place_algo(desk, "withdrawn")
        await desk.until(lambda: "withdrawn" in desk.account.orders, "the conditional orders")
        desk.act("move_price", symbol=BTC, price="82990")
        await darken(desk, cut)
        desk.act("move_price", symbol=BTC, price="83100" if cut else "83000")
        desk.act("cancel", account=NAME, symbol=BTC)
        await desk.until(lambda: not desk.account.orders.open(), "no open order")


@both_ways
@pytest.mark.parametrize("fields", [{}, {"type": "STOP", "price": "80000"}], ids=["filled", "withdrawn"])
async def test_conditional_order_lives_wholly_inside_a_gap(tmp_path: Path, cut: bool, fields: dict[str, str]) -> None:
    async with settled_desk(tmp_path) as desk:
        async with in_the_dark(desk, cut):
            await place_algo(desk, "stop", **fields)
            desk.act("move_price", symbol=BTC, price="83100")
            desk.act("cancel", account=NAME, symbol=BTC)
        await desk.until(lambda: desk.account.health.reconnects == int(cut), "a new socket")
        ended = OrderStatus.CANCELED if fields else OrderStatus.FILLED
        await desk.until(lambda: [order.status for order in desk.account.orders] == [ended, ended], "both ends")


def _conditionals(desk: Desk, status: OrderStatus) -> list[OrderChanged]:
    return [event for event in desk.told(OrderChanged) if event.conditional and event.status is status]


def _real_orders(desk: Desk) -> list[OrderChanged]:
    return [event for event in desk.told(OrderChanged) if not event.conditional]


@both_ways
async def test_closing_order_without_a_quantity(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.trade(quantity="0.250")
        stop = {"side": "SELL", "triggerPrice": "79000", "closePosition": "true", "quantity": ""}
        await place_algo(desk, "close", **stop)
        await desk.until(lambda: "close" in desk.account.orders, "the conditional order")
        await darken(desk, cut)
        desk.act("move_price", symbol=BTC, price="78900")
        await desk.until_same()
        await desk.until(lambda: not desk.account.positions.open(), "no position")
        await desk.until(lambda: not desk.account.orders.open(), "no open order")


@both_ways
async def test_trailing_stop(tmp_path: Path, cut: bool) -> None:
    async with settled_desk(tmp_path) as desk:
        trailing = {"type": "TRAILING_STOP_MARKET", "side": "SELL", "triggerPrice": "", "callbackRate": "1", "activatePrice": "82000"}
        await place_algo(desk, "trail", **trailing)
        await desk.until(lambda: "trail" in desk.account.orders, "the conditional order")
        desk.act("move_price", symbol=BTC, price="82100")
        await desk.until(lambda: any(event.activated for event in desk.told(OrderChanged)), "the activation")
        await darken(desk, cut)
        desk.act("move_price", symbol=BTC, price="81000")
        await desk.until(lambda: bool(desk.truth()["fills"]), "the fill")
        await desk.until_same()


# --- rare events and unknown words -------------------------------------------------------------------------------------


async def test_strategies_are_told_with_their_meaning(tmp_path: Path) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.act("event", account=NAME, name="STRATEGY_UPDATE", fields={"c": 8005, "ss": "CANCELLED"})
        desk.act("event", account=NAME, name="GRID_UPDATE", fields={"uq": "-0.002"})
        await desk.until(lambda: len(desk.told(StrategyChanged)) == 2, "both")
        ended, grid = desk.told(StrategyChanged)
        assert (ended.status, ended.reason, ended.realized_pnl) == ("cancelled", "position liquidated", None)
        assert (grid.status, grid.unmatched_quantity, grid.matched_pnl) == ("working", Decimal("-0.002"), Decimal(0))
        assert desk.account.health.unrecognized == 0


async def test_refused_trigger_is_told(tmp_path: Path) -> None:
    async with settled_desk(tmp_path) as desk:
        desk.act("event", account=NAME, name="CONDITIONAL_ORDER_TRIGGER_REJECT", fields={"r": "Margin is insufficient."})
        await desk.until(lambda: len(desk.told(TriggerRejected)) == 1, "the refusal")
        told = desk.told(TriggerRejected)[0]
        assert (told.symbol, told.order_id, told.reason) == ("ETHUSDT", "155618472834", "Margin is insufficient.")


async def test_unknown_event_is_counted_and_kept(tmp_path: Path) -> None:
    async with settled_desk(tmp_path) as desk:
        frame = json.dumps({"e": "VAULT_UPDATE", "E": 1790003600000, "T": 1790003600000, "v": {"a": "1.5"}})
        for _ in range(3):
            desk.act("raw", account=NAME, text=frame)
        desk.trade()
        await desk.until(lambda: len(desk.told(Unrecognized)) == 3, "three events")
        assert {event.name for event in desk.told(Unrecognized)} == {"event VAULT_UPDATE"}
        assert {event.raw() for event in desk.told(Unrecognized)} == {frame.encode()}
        assert desk.account.health.drift["event VAULT_UPDATE"] == 3


async def test_unknown_words_pass_through(tmp_path: Path) -> None:
    """A word that no table knows is told once, counted each time, and the event it came in is told all the same."""
    async with settled_desk(tmp_path) as desk:
        for amount in ("5", "6"):
            desk.act("transfer", account=NAME, asset="USDT", amount=amount, reason="moon_bonus")
        desk.act("event", account=NAME, name="STRATEGY_UPDATE", fields={"ss": "DREAMING", "c": 8999, "new": "field"})
        await desk.until(lambda: bool(desk.told(StrategyChanged)) and len(desk.told(BalanceMoved)) == 2, "the events")
        assert {move.reason for move in desk.told(BalanceMoved)} == {"moon_bonus"}
        assert (desk.told(StrategyChanged)[0].status, desk.told(StrategyChanged)[0].reason) == ("dreaming", "code 8999")
        counted = {
            "word ACCOUNT_UPDATE.a.m=MOON_BONUS": 2,
            "word STRATEGY_UPDATE.su.ss=DREAMING": 1,
            "word STRATEGY_UPDATE.su.c=8999": 1,
            "field STRATEGY_UPDATE.su.new": 1,
        }
        await desk.until(lambda: len(desk.told(Unrecognized)) >= len(counted), "the words")
        assert desk.account.health.drift == counted
        assert sorted(event.name for event in desk.told(Unrecognized)) == sorted(counted)
