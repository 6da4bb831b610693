"""ccxt pro, as it is, trades on the paper exchange: only its addresses are set. What it sees must be what the exchange's books say.

The paper exchange and our own client come from one house; a client that never heard of us is the witness that the exchange speaks as the
venue does. Fills come one at a time: this client hands out the last update of a burst with the next one only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.peers.exchange import Fill, GuestExchange, require, until

pytestmark = pytest.mark.peers

MARKET: Final = "BTC/USDT:USDT"
PRICE: Final = 60_000


class Guest:
    """ccxt pro at a paper exchange, and everything its private topics gave."""

    def __init__(self, client: Any, exchange: GuestExchange) -> None:
        self.client, self.exchange = client, exchange
        self.trades: list[Any] = []
        self.orders: list[Any] = []
        self.balances: list[Any] = []
        self._readers: list[asyncio.Task[None]] = []

    async def listen(self) -> None:
        """Reads fills, orders and balances from now on; returns when the exchange has the socket."""
        topics = ((self.client.watch_my_trades, self.trades), (self.client.watch_orders, self.orders))
        self._readers = [asyncio.create_task(_read(watch, into)) for watch, into in topics]
        self._readers.append(asyncio.create_task(_read_one(self.client.watch_balance, self.balances)))
        await until(lambda: self.exchange.has_listener, "the private socket")

    async def close(self) -> None:
        for reader in self._readers:
            reader.cancel()
        for reader in self._readers:
            with suppress(asyncio.CancelledError):
                await reader
        await self.client.close()

    async def rest_order(self, side: str = "buy", quantity: float = 0.01, price: float = PRICE) -> str:
        """A resting order, placed by the client; returns its id."""
        return str((await self.client.create_order(MARKET, "limit", side, quantity, price))["id"])

    async def saw_fill(self, trade_id: str) -> None:
        await until(lambda: any(trade["id"] == trade_id for trade in self.trades), f"fill {trade_id}")

    async def saw_order(self, order_id: str, status: str, filled: str) -> None:
        wanted = (order_id, status, Decimal(filled))
        await until(lambda: wanted in [(each["id"], each["status"], exact(each["filled"])) for each in self.orders], f"order {wanted}")

    @property
    def fills(self) -> list[Fill]:
        """What the private topic told, by trade id: a double would show."""
        return sorted(fill_of(trade) for trade in self.trades)


async def _read(watch: Callable[[], Awaitable[list[Any]]], into: list[Any]) -> None:
    while True:
        into.extend(await watch())


async def _read_one(watch: Callable[[], Awaitable[Any]], into: list[Any]) -> None:
    while True:
        into.append(await watch())


def exact(number: float) -> Decimal:
    """The shortest decimal that reads as this float: what the client was sent."""
    return Decimal(str(number))


def fill_of(trade: Any) -> Fill:
    """A trade of the unified form."""
    return Fill(
        trade_id=trade["id"],
        order_id=trade["order"],
        symbol=trade["info"].get("s") or trade["info"]["symbol"],
        side=trade["side"],
        price=exact(trade["price"]),
        quantity=exact(trade["amount"]),
        fee=exact(trade["fee"]["cost"]),
        fee_asset=trade["fee"]["currency"],
        maker=trade["takerOrMaker"] == "maker",
    )


def connect_client(exchange: GuestExchange, secret: str | None = None) -> Any:
    """The client for USD-M with every address of it on this machine."""
    options = {"fetchCurrencies": False, "fetchMarkets": {"types": ["linear"]}}
    keys = {"apiKey": exchange.key.api_key, "secret": secret or exchange.key.api_secret}
    client = require("ccxt", "ccxt.pro").binanceusdm({**keys, "enableRateLimit": False, "options": options})
    addresses = client.urls["api"]
    for name, address in addresses.items():
        if name.startswith("fapi"):
            addresses[name] = f"{exchange.place.rest_url}/fapi/{address.rpartition('/')[2]}"
        elif isinstance(address, str):
            addresses[name] = f"{exchange.place.rest_url}/not-served"
    names = ("linear", "future")  # since 4.5.6x the second one
    ws_api = dict.fromkeys(names, exchange.place.ws_api_url)
    addresses["ws"] = dict.fromkeys(names, f"{exchange.place.ws_url}/ws") | {"ws-api": ws_api}
    return client


@asynccontextmanager
async def open_guest(*, listening: bool = True) -> AsyncIterator[Guest]:
    require("ccxt", "ccxt.pro")
    async with GuestExchange() as exchange:
        guest = Guest(connect_client(exchange), exchange)
        try:
            await guest.client.load_markets()
            if listening:
                await guest.listen()
            yield guest
        finally:
            await guest.close()


async def test_it_is_told_every_fill_of_the_books_exactly_once() -> None:
    async with open_guest() as guest:
        for side, price in (("buy", 60_000), ("sell", 99_000), ("buy", 61_000)):
            order_id = await guest.rest_order(side, 0.01, price)
            for quantity in ("0.004", "0.001", None):
                await guest.saw_fill(guest.exchange.fill(order_id, quantity))
        assert guest.fills == guest.exchange.fills
        assert len(guest.fills) == 9


async def test_market_orders_fill_as_taker_at_the_price_of_the_books() -> None:
    async with open_guest() as guest:
        for side in ("buy", "sell"):
            await guest.client.create_order(MARKET, "market", side, 0.02)
            await guest.saw_fill(guest.exchange.fills[-1].trade_id)
        assert guest.fills == guest.exchange.fills
        assert not any(fill.maker for fill in guest.fills)


async def test_an_order_is_seen_in_each_of_its_states() -> None:
    async with open_guest() as guest:
        order_id = await guest.rest_order()
        await guest.saw_order(order_id, "open", "0.0")
        guest.exchange.fill(order_id, "0.003")
        await guest.saw_order(order_id, "open", "0.003")
        await guest.client.cancel_order(order_id, MARKET)
        await guest.saw_order(order_id, "canceled", "0.003")
        whole = await guest.rest_order()
        guest.exchange.fill(whole)
        await guest.saw_order(whole, "closed", "0.01")
        assert guest.exchange.order(order_id)["status"] == "canceled"
        assert guest.exchange.order(whole)["status"] == "filled"


async def test_the_balance_it_is_told_is_the_wallet_of_the_books() -> None:
    async with open_guest() as guest:
        guest.exchange.fill(await guest.rest_order())
        await until(lambda: bool(guest.balances), "a balance")
        assert exact(guest.balances[-1]["USDT"]["total"]) == guest.exchange.wallet
        guest.exchange.act("transfer", account=guest.exchange.key.account, asset="USDT", amount="250.5")
        await until(lambda: exact(guest.balances[-1]["USDT"]["total"]) == guest.exchange.wallet, "the transfer")


async def test_its_signed_calls_read_the_books() -> None:
    async with open_guest(listening=False) as guest:
        client, exchange = guest.client, guest.exchange
        order_id = await guest.rest_order()
        exchange.fill(order_id, "0.004")
        assert [fill_of(trade) for trade in await client.fetch_my_trades(MARKET)] == exchange.fills
        [opened] = await client.fetch_open_orders(MARKET)
        assert (opened["id"], exact(opened["filled"]), opened["status"]) == (order_id, Decimal("0.004"), "open")
        [position] = await client.fetch_positions()
        assert (position["side"], exact(position["contracts"])) == ("long", exchange.position)
        [asset] = (await client.fetch_balance())["info"]["assets"]  # the unified total holds the unrealized result too
        assert Decimal(asset["walletBalance"]) == exchange.wallet
        assert (await client.cancel_order(order_id, MARKET))["status"] == "canceled"
        assert await client.fetch_open_orders(MARKET) == []
        assert [(each["id"], each["status"]) for each in await client.fetch_orders(MARKET)] == [(order_id, "canceled")]


async def test_it_changes_an_order_and_its_leverage() -> None:
    async with open_guest(listening=False) as guest:
        order_id = await guest.rest_order()
        changed = await guest.client.edit_order(order_id, MARKET, "limit", "buy", 0.02, 59_000)
        assert (changed["id"], exact(changed["amount"]), exact(changed["price"])) == (order_id, Decimal("0.02"), Decimal("59000.0"))
        book = guest.exchange.order(order_id)
        assert (Decimal(book["quantity"]), Decimal(book["price"])) == (Decimal("0.02"), Decimal(59_000))
        assert int((await guest.client.set_leverage(7, MARKET))["leverage"]) == 7


async def test_a_trigger_order_fires_when_the_price_passes() -> None:
    async with open_guest() as guest:
        await guest.client.create_order(MARKET, "market", "buy", 0.01, None, {"triggerPrice": 82_000})
        [waiting] = await guest.client.fetch_open_orders(MARKET, params={"trigger": True})
        assert guest.exchange.fills == []
        guest.exchange.act("move_price", symbol="BTCUSDT", price="82500")
        for fill in guest.exchange.fills:
            await guest.saw_fill(fill.trade_id)
        assert guest.fills == guest.exchange.fills
        await guest.saw_order(waiting["id"], "closed", "0.01")
        assert await guest.client.fetch_open_orders(MARKET, params={"trigger": True}) == []


async def test_a_batch_is_placed_and_all_of_it_canceled() -> None:
    async with open_guest(listening=False) as guest:
        wanted = [{"symbol": MARKET, "type": "limit", "side": "buy", "amount": 0.01, "price": PRICE + step} for step in range(3)]
        placed = await guest.client.create_orders(wanted)
        assert [each["id"] for each in placed] == [str(row["order_id"]) for row in guest.exchange.truth["orders"]]
        await guest.client.cancel_all_orders(MARKET)
        assert {row["status"] for row in guest.exchange.truth["orders"]} == {"canceled"}


async def test_its_ledger_explains_the_wallet() -> None:
    async with open_guest(listening=False) as guest:
        start = guest.exchange.wallet
        guest.exchange.fill(await guest.rest_order())
        guest.exchange.act("fund", symbol="BTCUSDT", rate="0.0001")
        guest.exchange.act("transfer", account=guest.exchange.key.account, asset="USDT", amount="-12.75")
        entries = await guest.client.fetch_ledger()
        assert len(entries) == 3
        assert start + sum(Decimal(entry["info"]["income"]) for entry in entries) == guest.exchange.wallet
        [funding] = await guest.client.fetch_funding_history(MARKET)
        assert exact(funding["amount"]) < 0


async def test_it_trades_through_the_socket_too() -> None:
    async with open_guest() as guest:
        placed = await guest.client.create_order_ws(MARKET, "limit", "buy", 0.01, PRICE)
        await guest.saw_fill(guest.exchange.fill(placed["id"], "0.002"))
        await guest.client.cancel_order_ws(placed["id"], MARKET)
        await guest.saw_order(placed["id"], "canceled", "0.002")
        assert guest.fills == guest.exchange.fills


async def test_a_wrong_secret_is_refused_as_the_venue_refuses_it() -> None:
    errors = require("ccxt", "ccxt")
    async with GuestExchange() as exchange:
        client = connect_client(exchange, secret="not-the-secret")
        try:
            await client.load_markets()
            with pytest.raises(errors.AuthenticationError, match="-1022"):
                await client.fetch_balance()
        finally:
            await client.close()


async def test_a_refused_order_is_the_error_it_knows() -> None:
    errors = require("ccxt", "ccxt")
    async with open_guest(listening=False) as guest:
        with pytest.raises(errors.OrderNotFound):
            await guest.client.cancel_order("42", MARKET)
        with pytest.raises(errors.ExchangeError, match="-2019"):  # by its number: names of errors go by the venue's host
            await guest.client.create_order(MARKET, "limit", "buy", 900, PRICE)
        assert guest.exchange.truth["orders"] == []
