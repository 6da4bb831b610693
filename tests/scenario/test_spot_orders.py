"""Binance Spot against the paper exchange: lists, makers, amendments, fees and money, told live and found after a gap."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.support.desk import NAME, Desk, Refused
from tests.support.equality import stored_desk
from userstream import (
    BalanceLocked,
    BalanceMoved,
    Filled,
    GapRepaired,
    OrderChanged,
    OrderListChanged,
    OrderStatus,
    RecoverySettings,
    Source,
)

VENUE: Final = "binance-spot"
MONEY: Final = {"USDT": Decimal(100_000), "BTC": Decimal(1), "BNB": Decimal(10)}
PAIR: Final = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.5", "aboveType": "LIMIT_MAKER", "abovePrice": "82000"}
CALM: Final = RecoverySettings(lag_s=0.15, overlap_s=1.0, audit_s=600, history_s=600, poll_s=1.0)


@asynccontextmanager
async def open_spot(balances: dict[str, Decimal] = MONEY, **changes: Any) -> AsyncIterator[Desk]:
    """A desk whose store equals the exchange's books in the end."""
    async with stored_desk(venue=VENUE, balances=balances, **changes) as desk:
        yield desk


async def dark(desk: Desk) -> None:
    """Cuts the socket; what follows at once is not heard."""
    desk.act("cut")


# --- symbols nobody knew ---


async def test_unknown_symbol_bought_inside_a_gap() -> None:
    async with open_spot() as desk:
        await dark(desk)
        desk.trade("ETHUSDT", "buy", "1.0000")
        await desk.until_same()
        assert {fill.symbol for fill in desk.told(Filled)} == {"ETHUSDT"}
        await desk.until(lambda: bool(desk.told(GapRepaired)), "the repair told")
        assert desk.told(GapRepaired)[0].fills == len(desk.truth()["fills"])
        assert desk.requests("exchangeInfo") == 1


@pytest.mark.parametrize("fee_asset", ["", "BNB"])
async def test_unknown_symbol_opened_and_closed_inside_a_gap(fee_asset: str) -> None:
    async with open_spot() as desk:
        desk.act("fee_asset", account=NAME, asset=fee_asset)
        await dark(desk)
        desk.trade("ETHUSDT", "buy", "1.0000")
        desk.trade("ETHUSDT", "sell", "0.9990" if not fee_asset else "1.0000")
        await desk.until_same()
        assert {fill.symbol for fill in desk.told(Filled)} == {"ETHUSDT"}


async def test_two_unknown_symbols_at_once() -> None:
    async with open_spot() as desk:
        await dark(desk)
        desk.trade("ETHUSDT", "buy", "1.0000")
        desk.trade("ETHBTC", "sell", "0.5000")
        await desk.until_same()
        assert {fill.symbol for fill in desk.told(Filled)} == {"ETHUSDT", "ETHBTC"}


async def test_unknown_symbol_that_the_stream_kept_back_is_found_by_the_audit() -> None:
    async with open_spot() as desk:
        desk.trade()
        await desk.until_same()
        desk.act("omit", probability="1")
        desk.trade("ETHUSDT", "buy", "1.0000")
        await desk.until(lambda: any(fill.symbol == "ETHUSDT" for fill in desk.told(Filled)), "the fill")
        desk.act("clear")
        await desk.until_same()


@pytest.mark.parametrize("count", [1, 2])
async def test_an_order_that_nobody_was_told_of_and_an_end_that_nobody_was_told_of_are_found_by_the_audit(count: int) -> None:
    """With its report alone kept back, and with the wallets' message behind it."""
    rare = RecoverySettings(lag_s=0.15, overlap_s=1.0, audit_s=1.0, history_s=600, poll_s=1.0)
    async with open_spot(recovery=rare) as desk:
        known = desk.place()
        await desk.until(lambda: known in desk.account.orders, "the order that was told")
        desk.act("omit", account=NAME, count=count)
        unknown = desk.place("ETHUSDT", "buy", "0.0400", "2000")
        await desk.until(lambda: unknown in desk.account.orders, "the order that was not told")
        desk.act("omit", account=NAME, count=count)
        desk.act("cancel", account=NAME, symbol="BTCUSDT", client_order_id=known)
        await desk.until(lambda: desk.account.orders[known].status is OrderStatus.CANCELED, "the end that was not told")
        await desk.until_same()


async def test_nothing_is_searched_where_everything_adds_up() -> None:
    async with open_spot(rate=40, seed=4) as desk:
        await desk.application.clock.sleep(2_500)  # two audits
        desk.act("pause_trading")
        await desk.until_same()
        assert desk.requests("exchangeInfo") == 0


@pytest.mark.parametrize("fills", [1, 1_200])
async def test_many_fills_inside_a_gap_are_paged(fills: int) -> None:
    async with open_spot() as desk:
        name = desk.place(quantity="1.20000", price="70000")
        await desk.until(lambda: name in desk.account.orders, "the order")
        await dark(desk)
        for _ in range(fills):
            desk.fill(name, quantity="0.00100")
        await desk.until_same()
        assert len(desk.truth()["fills"]) == fills


# --- money ---


async def test_deposit_and_transfer_are_told_live() -> None:
    async with open_spot() as desk:
        desk.act("transfer", account=NAME, asset="USDT", amount="250")
        desk.act("transfer", account=NAME, asset="BTC", amount="-0.25")
        await desk.until_same()
        await desk.until(lambda: len(desk.told(BalanceMoved)) == 2, "both movements")
        assert {(moved.asset, moved.delta) for moved in desk.told(BalanceMoved)} == {("USDT", Decimal(250)), ("BTC", Decimal("-0.25"))}
        assert desk.requests("exchangeInfo") == 0


async def test_deposit_inside_a_gap_is_no_trade() -> None:
    async with open_spot() as desk:
        await dark(desk)
        desk.act("transfer", account=NAME, asset="USDT", amount="250")
        desk.act("transfer", account=NAME, asset="SOL", amount="3")
        await desk.until_same()
        assert desk.told(Filled) == []
        await desk.application.clock.sleep(2_500)
        searched = desk.requests("exchangeInfo"), desk.requests("myTrades")
        await desk.application.clock.sleep(1_500)
        assert (desk.requests("exchangeInfo"), desk.requests("myTrades")) == searched, "it is not searched for ever"


async def test_deposit_and_trade_inside_one_gap() -> None:
    async with open_spot() as desk:
        await dark(desk)
        desk.act("transfer", account=NAME, asset="USDT", amount="250")
        desk.trade("ETHUSDT", "buy", "1.0000")
        desk.act("transfer", account=NAME, asset="ETH", amount="-0.5")
        await desk.until_same()


async def test_external_lock_is_told_and_changes_no_total() -> None:
    async with open_spot() as desk:
        desk.act("external_lock", account=NAME, asset="BTC", amount="0.5")
        await desk.until(lambda: bool(desk.told(BalanceLocked)), "the lock")
        await desk.until(lambda: desk.account.balances["BTC"].available == Decimal("0.5"), "less of it available")
        assert desk.account.balances["BTC"].total == 1
        await desk.until_same()


@pytest.mark.parametrize(("fee_asset", "paid_in"), [("", "BTC"), ("BNB", "BNB")])
async def test_fee_in_the_base_asset_and_in_bnb(fee_asset: str, paid_in: str) -> None:
    async with open_spot() as desk:
        desk.act("fee_asset", account=NAME, asset=fee_asset)
        desk.trade(quantity="0.01000")
        await desk.until_same()
        await dark(desk)
        desk.trade(quantity="0.02000")
        await desk.until_same()
        assert {fill.fee_asset for fill in desk.told(Filled)} == {paid_in}
        paid = sum(fill.fee for fill in desk.told(Filled) if fill.fee is not None)
        assert paid == sum(Decimal(row["fee"]) for row in desk.truth()["fills"])


# --- orders ---


@pytest.mark.parametrize("heard", [True, False])
async def test_pair_of_which_one_leg_fills(heard: bool) -> None:
    async with open_spot(recovery=CALM) as desk:
        made = await desk.call("POST", "/api/v3/orderList/oco", **PAIR, belowType="STOP_LOSS", belowStopPrice="80000")
        number = str(made["orderListId"])
        await desk.until(lambda: len({order.order_id for order in desk.told(OrderChanged)}) == 2, "both legs")
        assert {order.order_list_id for order in desk.told(OrderChanged)} == {number}
        if not heard:
            await dark(desk)
        desk.act("move_price", symbol="BTCUSDT", price="79500")
        await desk.until_same()
        ends = {order.order_type: order.status for order in desk.told(OrderChanged)}
        assert ends == {"limit_maker": OrderStatus.EXPIRED, "stop_loss": OrderStatus.FILLED}
        await desk.until(lambda: len(desk.told(OrderListChanged)) == 2, "both states of the list")
        lists = [(told.order_list_id, told.status, told.contingency) for told in desk.told(OrderListChanged)]
        assert lists == [(number, "executing", "oco"), (number, "all_done", "oco")]
        assert [told.source for told in desk.told(OrderListChanged)] == [Source.STREAM, Source.STREAM if heard else Source.SNAPSHOT]
        await same_lists(desk)


async def same_lists(desk: Desk) -> None:
    """The last word about each list is how it stands in the exchange's books."""
    books = await desk.call("GET", "/api/v3/allOrderList")
    told = {each.order_list_id: each for each in desk.told(OrderListChanged)}
    assert {str(row["orderListId"]): (row["listOrderStatus"].lower(), row["contingencyType"].lower()) for row in books} == {
        number: (each.status, each.contingency) for number, each in told.items()
    }
    assert {str(row["orderListId"]): {str(leg["orderId"]) for leg in row["orders"]} for row in books} == {
        number: set(each.order_ids) for number, each in told.items()
    }


async def test_lists_that_began_or_ended_while_nobody_listened() -> None:
    async with open_spot(recovery=CALM) as desk:
        await desk.call("POST", "/api/v3/orderList/oco", **PAIR, belowType="STOP_LOSS", belowStopPrice="70000")
        await desk.until(lambda: len(desk.told(OrderListChanged)) == 1, "the list")
        desk.act("silence", lose=True)  # until the socket is given up
        passing = await desk.call(
            "POST", "/api/v3/orderList/oco", **(PAIR | {"quantity": "0.1"}), belowType="STOP_LOSS", belowStopPrice="70000"
        )
        await desk.call("DELETE", "/api/v3/orderList", symbol="BTCUSDT", orderListId=str(passing["orderListId"]))
        await desk.call("POST", "/api/v3/orderList/oco", **(PAIR | {"quantity": "0.2"}), belowType="STOP_LOSS", belowStopPrice="70000")
        await desk.until_same()
        await desk.until(lambda: len({told.order_list_id for told in desk.told(OrderListChanged)}) == 3, "all lists")
        await same_lists(desk)
        assert desk.requests("GET /api/v3/orderList") == 1, "what is open is told in one answer"


async def test_who_has_no_lists_is_not_asked_for_them() -> None:
    async with open_spot(recovery=CALM) as desk:
        await dark(desk)
        desk.trade()
        await desk.until_same()
        assert desk.requests("rderList") == 0


async def test_one_triggers_the_other() -> None:
    async with open_spot() as desk:
        working = {
            "workingType": "LIMIT",
            "workingSide": "BUY",
            "workingPrice": "60000",
            "workingQuantity": "0.01",
            "workingTimeInForce": "GTC",
        }
        pending = {"pendingType": "LIMIT_MAKER", "pendingSide": "SELL", "pendingPrice": "99000", "pendingQuantity": "0.005"}
        await desk.call("POST", "/api/v3/orderList/oto", symbol="BTCUSDT", **working, **pending)
        await desk.until(lambda: {order.status for order in desk.account.orders.open()} == {OrderStatus.NEW, OrderStatus.PENDING}, "both")
        first = next(order for order in desk.account.orders.open() if order.status is OrderStatus.NEW)
        desk.act("fill", account=NAME, symbol="BTCUSDT", order_id=int(first.order_id))
        await desk.until(lambda: [order.status for order in desk.account.orders.open()] == [OrderStatus.NEW], "the second works")
        await desk.until_same()


async def test_maker_only_order_that_would_take_is_refused_and_leaves_no_trace() -> None:
    async with open_spot() as desk:
        wish = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT_MAKER", "quantity": "0.01"}
        with pytest.raises(Refused) as refused:
            await desk.call("POST", "/api/v3/order", **wish, price="99000")
        assert refused.value.code == -2010
        await desk.call("POST", "/api/v3/order", **wish, price="60000")
        await desk.until(lambda: len(desk.account.orders.open()) == 1, "the one that rests")
        await desk.until_same()
        [order] = desk.told(OrderChanged)
        assert order.post_only and order.order_type == "limit_maker"


@pytest.mark.parametrize("heard", [True, False])
async def test_amended_order_keeps_its_id(heard: bool) -> None:
    async with open_spot(recovery=CALM) as desk:
        name = desk.place(quantity="0.05000")
        await desk.until(lambda: name in desk.account.orders, "the order")
        if not heard:
            await dark(desk)
        await desk.call(
            "PUT", "/api/v3/order/amend/keepPriority", symbol="BTCUSDT", origClientOrderId=name, newQty="0.03", newClientOrderId="less"
        )
        await desk.until(lambda: "less" in desk.account.orders, "the new name")
        [order] = desk.account.orders.open()
        assert (order.quantity, order.client_order_id) == (Decimal("0.03"), "less")
        desk.fill("less")
        await desk.until_same()


async def test_cancel_and_replace() -> None:
    async with open_spot() as desk:
        name = desk.place()
        new = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.02", "price": "61000"}
        await desk.call("POST", "/api/v3/order/cancelReplace", **new, cancelReplaceMode="STOP_ON_FAILURE", cancelOrigClientOrderId=name)
        await desk.until_same()
        await desk.until(lambda: [order.price for order in desk.account.orders.open()] == [61_000], "the new one")
        canceled = next(event for event in desk.told(OrderChanged) if event.status is OrderStatus.CANCELED)
        assert canceled.client_order_id == name


@pytest.mark.parametrize("heard", [True, False])
async def test_iceberg_trailing_and_stop_orders(heard: bool) -> None:
    async with open_spot(recovery=CALM) as desk:
        if not heard:
            await dark(desk)
        common = {"symbol": "BTCUSDT", "quantity": "0.02"}
        await desk.call("POST", "/api/v3/order", **common, side="BUY", type="LIMIT", timeInForce="GTC", price="60000", icebergQty="0.005")
        await desk.call("POST", "/api/v3/order", **common, side="SELL", type="STOP_LOSS", trailingDelta="150")
        await desk.call(
            "POST", "/api/v3/order", **common, side="SELL", type="STOP_LOSS_LIMIT", timeInForce="GTC", price="69000", stopPrice="70000"
        )
        await desk.until(lambda: len({order.order_id for order in desk.told(OrderChanged)}) == 3, "all three")
        orders = {order.order_type: order for order in desk.told(OrderChanged)}
        assert orders["limit"].iceberg_quantity == Decimal("0.005")
        assert orders["stop_loss"].callback_rate == Decimal("1.5")
        assert orders["stop_loss_limit"].stop_price == 70_000
        await desk.until_same()


async def test_self_trade_is_prevented_and_told() -> None:
    async with open_spot() as desk:
        rest = {"symbol": "BTCUSDT", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.02", "price": "79000"}
        await desk.call("POST", "/api/v3/order", **rest, side="BUY", selfTradePreventionMode="EXPIRE_MAKER")
        best = {**rest, "price": "79000"}
        await desk.call("POST", "/api/v3/order", **best, side="SELL", selfTradePreventionMode="EXPIRE_MAKER")
        await desk.until_same()


async def test_orders_lists_and_preventions_of_a_busy_hour() -> None:
    async with open_spot(rate=100, seed=21, balances={**MONEY, "ETH": Decimal(10)}) as desk:
        for _ in range(4):
            await desk.application.clock.sleep(700)
            desk.act("cut")
        desk.act("pause_trading")
        await desk.until_same()
        assert len(desk.told(Filled)) > 30
