"""python-binance, as it is, trades on the paper exchange: only its addresses are set. Its futures user socket must tell the books."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.peers.exchange import SYMBOL, Fill, GuestExchange, require, until

pytestmark = pytest.mark.peers

LOOK_S: Final = 0.05


class Guest:
    """The client, its user socket, and every message the socket gave."""

    def __init__(self, client: Any, socket: Any, exchange: GuestExchange) -> None:
        self.client, self.exchange = client, exchange
        self.messages: list[Any] = []
        self._socket = socket

    async def read(self) -> None:
        while True:
            self.messages.append(await self._socket.recv())

    async def place(self, side: str = "BUY", quantity: str = "0.010", price: str = "60000") -> str:
        """A resting order, placed by the client; returns its id."""
        placed = await self.client.futures_create_order(
            symbol=SYMBOL, side=side, type="LIMIT", timeInForce="GTC", quantity=quantity, price=price
        )
        return str(placed["orderId"])

    @property
    def orders(self) -> list[Any]:
        """The reports of orders, in the order of their coming."""
        return [message["o"] for message in self.messages if message["e"] == "ORDER_TRADE_UPDATE"]

    @property
    def fills(self) -> list[Fill]:
        """What the reports of orders told, by trade id: a double would show."""
        return sorted(fill_of(order) for order in self.orders if order["x"] == "TRADE")

    @property
    def algos(self) -> list[tuple[int, str]]:
        """The states of conditional orders, in the order of their coming."""
        return [(message["o"]["aid"], message["o"]["X"]) for message in self.messages if message["e"] == "ALGO_UPDATE"]

    @property
    def accounts(self) -> list[Any]:
        return [message["a"] for message in self.messages if message["e"] == "ACCOUNT_UPDATE"]


def fill_of(order: Any) -> Fill:
    """A fill from a report of its order (Binance USD-M, 2.4)."""
    return Fill(
        trade_id=str(order["t"]),
        order_id=str(order["i"]),
        symbol=order["s"],
        side=order["S"].lower(),
        price=Decimal(order["L"]),
        quantity=Decimal(order["l"]),
        fee=Decimal(order["n"]),
        fee_asset=order["N"],
        maker=order["m"],
    )


def trade_of(row: Any) -> Fill:
    """A fill from a row of the account's trades."""
    return Fill(
        trade_id=str(row["id"]),
        order_id=str(row["orderId"]),
        symbol=row["symbol"],
        side=row["side"].lower(),
        price=Decimal(row["price"]),
        quantity=Decimal(row["qty"]),
        fee=Decimal(row["commission"]),
        fee_asset=row["commissionAsset"],
        maker=row["maker"],
    )


def connect_client(exchange: GuestExchange, secret: str | None = None) -> Any:
    """The client with its futures address on this machine."""
    client = require("python-binance", "binance").AsyncClient(exchange.key.api_key, secret or exchange.key.api_secret)
    client.FUTURES_URL = f"{exchange.place.rest_url}/fapi"
    return client


@asynccontextmanager
async def open_guest() -> AsyncIterator[Guest]:
    binance = require("python-binance", "binance")
    async with GuestExchange() as exchange:
        client = connect_client(exchange)
        manager = binance.BinanceSocketManager(client)
        manager.FSTREAM_URL = f"{exchange.place.ws_url}/"
        try:
            async with manager.futures_user_socket() as socket:
                socket.TIMEOUT = LOOK_S  # it looks whether it was closed only after a message or this long
                guest = Guest(client, socket, exchange)
                reading = asyncio.create_task(guest.read())
                await until(lambda: exchange.has_listener, "the private socket")
                yield guest
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading
        finally:
            await client.close_connection()


async def test_it_is_told_every_fill_of_the_books_exactly_once() -> None:
    async with open_guest() as guest:
        for side, price in (("BUY", "60000"), ("SELL", "99000"), ("BUY", "61000")):
            order_id = await guest.place(side, "0.010", price)
            for quantity in ("0.004", "0.001", None):
                guest.exchange.fill(order_id, quantity)
        await until(lambda: len(guest.fills) >= 9, "nine fills")
        assert guest.fills == guest.exchange.fills


async def test_an_order_is_seen_in_each_of_its_states() -> None:
    async with open_guest() as guest:
        order_id = await guest.place()
        guest.exchange.fill(order_id, "0.003")
        await guest.client.futures_cancel_order(symbol=SYMBOL, orderId=order_id)
        await until(lambda: len(guest.orders) >= 3, "three reports")
        assert [(order["X"], Decimal(order["z"])) for order in guest.orders] == [
            ("NEW", Decimal(0)),
            ("PARTIALLY_FILLED", Decimal("0.003")),
            ("CANCELED", Decimal("0.003")),
        ]
        assert guest.exchange.order(order_id)["status"] == "canceled"


async def test_the_wallet_and_the_position_it_is_told_are_those_of_the_books() -> None:
    async with open_guest() as guest:
        guest.exchange.fill(await guest.place())
        guest.exchange.act("transfer", account=guest.exchange.key.account, asset="USDT", amount="250.5")
        await until(lambda: len(guest.accounts) >= 2, "the fill and the transfer")
        filled, moved = guest.accounts
        assert (filled["m"], Decimal(filled["P"][0]["pa"])) == ("ORDER", guest.exchange.position)
        assert (moved["m"], Decimal(moved["B"][0]["wb"])) == ("DEPOSIT", guest.exchange.wallet)


async def test_its_signed_calls_read_the_books() -> None:
    async with open_guest() as guest:
        client, exchange = guest.client, guest.exchange
        order_id = await guest.place()
        exchange.fill(order_id, "0.004")
        assert [trade_of(row) for row in await client.futures_account_trades(symbol=SYMBOL)] == exchange.fills
        [opened] = await client.futures_get_open_orders(symbol=SYMBOL)
        assert (str(opened["orderId"]), Decimal(opened["executedQty"])) == (order_id, Decimal("0.004"))
        [position] = await client.futures_position_information(symbol=SYMBOL)
        assert Decimal(position["positionAmt"]) == exchange.position
        [balance] = await client.futures_account_balance()
        assert Decimal(balance["balance"]) == exchange.wallet
        income = sum(Decimal(row["income"]) for row in await client.futures_income_history())
        assert 100_000 + income == exchange.wallet


async def test_a_stop_order_fires_when_the_price_passes() -> None:
    async with open_guest() as guest:
        placed = await guest.client.futures_create_order(symbol=SYMBOL, side="BUY", type="STOP_MARKET", stopPrice="82000", quantity="0.010")
        guest.exchange.act("move_price", symbol=SYMBOL, price="82500")
        await until(lambda: guest.fills == guest.exchange.fills != [], "the fills behind the stop order")
        await until(lambda: guest.algos[-1:] == [(placed["algoId"], "FINISHED")], "the end of the stop order")
        assert guest.exchange.position == Decimal("0.010")


async def test_it_trades_through_the_socket_too() -> None:
    async with open_guest() as guest:
        guest.client.ws_future._url = guest.exchange.place.ws_api_url  # given in its constructor, out of a table of hosts
        guest.client.ws_future.TIMEOUT = LOOK_S
        order = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010", "price": "60000"}
        placed = await guest.client.ws_futures_create_order(**order)
        guest.exchange.fill(str(placed["orderId"]), "0.004")
        canceled = await guest.client.ws_futures_cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
        assert (canceled["status"], Decimal(canceled["executedQty"])) == ("CANCELED", Decimal("0.004"))
        await until(lambda: len(guest.fills) == 1, "the fill")
        assert guest.fills == guest.exchange.fills
        await guest.client.ws_future.close()


async def test_a_wrong_secret_is_refused_as_the_venue_refuses_it() -> None:
    refused = require("python-binance", "binance.exceptions").BinanceAPIException
    async with GuestExchange() as exchange:
        client = connect_client(exchange, secret="not-the-secret")
        try:
            with pytest.raises(refused, match="Signature") as caught:
                await client.futures_account_balance()
            assert (caught.value.code, caught.value.status_code) == (-1022, 400)
        finally:
            await client.close_connection()


async def test_a_socket_that_is_cut_is_opened_again_by_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="binance.ws.reconnecting_websocket")
    async with open_guest() as guest:
        order_id = await guest.place()
        guest.exchange.act("cut", account=guest.exchange.key.account)
        await until(lambda: not guest.exchange.has_listener, "the cut")
        await until(lambda: guest.exchange.has_listener, "the new socket")
        trade_id = guest.exchange.fill(order_id)
        await until(lambda: [fill.trade_id for fill in guest.fills] == [trade_id], "the fill after the cut")
        assert guest.fills == guest.exchange.fills
