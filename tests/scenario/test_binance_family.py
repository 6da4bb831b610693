"""What every product of the Binance family is held to on one page: each scenario for each product, with a store that equals the exchange's
books in the end (Binance Spot, 2.3 and 6.2; Binance margin, 2.4 and 4.4; Binance COIN-M, 4.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import msgspec
import pytest

from tests.support.desk import NAME, Desk, Refused
from tests.support.equality import stored_desk
from userstream import (
    BalanceMoved,
    Filled,
    GapOpened,
    OrderChanged,
    OrderListChanged,
    OrderStatus,
    RecoverySettings,
    StreamChanged,
    StreamState,
)

CALM: Final = RecoverySettings(lag_s=0.15, overlap_s=1.0, audit_s=600, history_s=600, poll_s=1.0)
"""Nothing is read but what a gap asks for."""


class Product(msgspec.Struct, frozen=True):
    """How a product is traded: its name, what it is traded with, and the words of its calls."""

    venue: str
    balances: Mapping[str, Decimal]
    symbol: str
    quantity: str
    cash: str
    books: tuple[str, ...]
    order_path: str
    list_path: str = ""
    maker: Mapping[str, str] = MappingProxyType({"type": "LIMIT_MAKER"})
    would_take: int = -2010
    refused_call: str = "userDataStream.subscribe"

    def trade(self, desk: Desk, side: str = "buy") -> None:
        desk.trade(self.symbol, side, self.quantity)

    def calls(self, desk: Desk) -> int:
        """REST calls that read the account's books."""
        return sum(desk.requests(path) for path in self.books)


WALLETS: Final = MappingProxyType({"USDT": Decimal(100_000), "BTC": Decimal(1), "BNB": Decimal(10)})
READS: Final = ("account", "myTrades", "allOrders", "openOrders", "rderList")
SPOT: Final = Product("binance-spot", WALLETS, "BTCUSDT", "0.010", "USDT", READS, "/api/v3/order", "/api/v3/order/oco")
MARGIN: Final = msgspec.structs.replace(
    SPOT,
    venue="binance-margin",
    order_path="/sapi/v1/margin/order",
    list_path="/sapi/v1/margin/order/oco",
    refused_call="userListenToken",
)
COINM: Final = Product(
    "binance-coinm",
    {"BTC": Decimal(2)},
    "BTCUSD_PERP",
    "10",
    "BTC",
    ("balance", "positionRisk", "openOrders", "allOrders", "userTrades", "income"),
    "/dapi/v1/order",
    maker={"type": "LIMIT", "timeInForce": "GTX"},
    would_take=-5022,
    refused_call="listenKey",
)
each_product = pytest.mark.parametrize("product", [SPOT, MARGIN, COINM], ids=lambda product: str(product.venue))
each_wallet = pytest.mark.parametrize("product", [SPOT, MARGIN], ids=lambda product: str(product.venue))


@asynccontextmanager
async def open_product(product: Product, **options: Any) -> AsyncIterator[Desk]:
    async with stored_desk(**{"venue": product.venue, "balances": dict(product.balances), "recovery": CALM, **options}) as desk:
        yield desk


@each_product
async def test_a_cut(product: Product) -> None:
    async with open_product(product) as desk:
        desk.act("cut")
        product.trade(desk)
        await desk.until(lambda: desk.account.health.reconnects == 1, "a new socket")
        await desk.until_same()
        [gap] = desk.told(GapOpened)
        assert gap.since and desk.account.health.fills_recovered >= 1


@each_product
async def test_an_announced_shutdown_costs_no_call_and_no_darkness(product: Product) -> None:
    async with open_product(product) as desk:
        asked = product.calls(desk)
        desk.act("shutdown_notice")
        while desk.account.health.reconnects < 1 or desk.account.health.connections > 1:
            product.trade(desk)
            await desk.application.clock.sleep(50)
        await desk.until_same()
        assert desk.told(GapOpened) == [] and desk.account.health.fills_recovered == 0
        assert {event.state for event in desk.told(StreamChanged)} <= {StreamState.LIVE, StreamState.SYNCING}
        assert product.calls(desk) == asked


@each_wallet
async def test_a_stream_that_the_venue_ends(product: Product) -> None:
    async with open_product(product) as desk:
        desk.act("terminate_subscription", account=NAME)
        product.trade(desk)
        await desk.until(lambda: desk.account.health.reconnects == 1, "a new subscription")
        assert desk.told(GapOpened)[0].reason == "the venue ended the subscription"
        product.trade(desk, "sell")
        await desk.until_same()


@each_product
async def test_a_key_without_permission_is_final_and_names_the_call(product: Product) -> None:
    async with open_product(product) as desk:
        product.trade(desk)
        await desk.until_same()
        desk.act("revoke_api_key", account=NAME)
        desk.act("cut")
        await desk.until(lambda: desk.account.health.state is StreamState.FAILED, "the end")
        reason, key = desk.account.health.reason, desk.server.listing.accounts[0]
        assert "-2015" in reason and product.refused_call in reason
        assert key.api_key not in reason and key.api_secret not in reason


@each_product
async def test_a_deposit_and_a_transfer_inside_a_gap(product: Product) -> None:
    async with open_product(product) as desk:
        desk.act("cut")
        desk.act("transfer", account=NAME, asset=product.cash, amount="0.5")
        desk.act("transfer", account=NAME, asset=product.cash, amount="-0.25")
        await desk.until(lambda: desk.account.health.reconnects == 1, "a new socket")
        await desk.until_same()
        assert desk.told(Filled) == []
        told = [moved.delta for moved in desk.told(BalanceMoved)]
        assert sorted(told) == ([Decimal("-0.25"), Decimal("0.5")] if product is COINM else []), "only futures keep a history of cash"


@each_wallet
@pytest.mark.parametrize(("fee_asset", "paid_in"), [("", "BTC"), ("BNB", "BNB")])
async def test_fees_in_the_base_asset_and_in_bnb_live_and_recovered(product: Product, fee_asset: str, paid_in: str) -> None:
    async with open_product(product) as desk:
        desk.act("fee_asset", account=NAME, asset=fee_asset)
        product.trade(desk)
        await desk.until_same()
        desk.act("cut")
        product.trade(desk)
        await desk.until_same()
        assert {fill.fee_asset for fill in desk.told(Filled)} == {paid_in}
        assert desk.account.health.fills_recovered >= 1


@each_wallet
@pytest.mark.parametrize("heard", [True, False], ids=["socket up", "socket cut"])
async def test_a_pair_of_which_one_leg_fills(product: Product, heard: bool) -> None:
    async with open_product(product) as desk:
        legs = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.5", "price": "82000", "stopPrice": "80000"}
        made = await desk.call("POST", product.list_path, **legs)
        await desk.until(lambda: len(desk.account.orders.open()) == 2, "both legs")
        if not heard:
            desk.act("cut")
        desk.act("move_price", symbol="BTCUSDT", price="79500")
        await desk.until_same()
        ends = {order.order_type: order.status for order in desk.told(OrderChanged)}
        assert ends == {"limit_maker": OrderStatus.EXPIRED, "stop_loss": OrderStatus.FILLED}
        await desk.until(lambda: len(desk.told(OrderListChanged)) == 2, "both states of the list")
        assert [(told.order_list_id, told.status) for told in desk.told(OrderListChanged)] == [
            (str(made["orderListId"]), "executing"),
            (str(made["orderListId"]), "all_done"),
        ]


@each_product
async def test_a_maker_only_order_that_would_take_is_refused_and_leaves_no_trace(product: Product) -> None:
    async with open_product(product) as desk:
        wish = {"symbol": product.symbol, "side": "BUY", "quantity": product.quantity, **product.maker}
        with pytest.raises(Refused) as refused:
            await desk.call("POST", product.order_path, **wish, price="82000")
        assert refused.value.code == product.would_take
        await desk.call("POST", product.order_path, **wish, price="60000")
        await desk.until(lambda: len(desk.account.orders.open()) == 1, "the one that rests")
        await desk.until_same()
        [order] = desk.told(OrderChanged)
        assert order.post_only
