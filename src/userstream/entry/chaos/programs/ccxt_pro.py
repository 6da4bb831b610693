"""A user of ccxt pro: the loops of its manual, `while True: await watch_...()`, and once more after an error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from importlib import import_module
from typing import Any

from .told import Place, Witness, read_place

RETRY_S = 0.2
PRODUCTS = {
    "binance-usdm": ("binanceusdm", "linear", "fapi"),
    "binance-coinm": ("binancecoinm", "inverse", "dapi"),
    "binance-spot": ("binance", "spot", "api"),
}


NEWER_KINDS = {"linear": "future", "inverse": "delivery"}
"""Under which the client has looked for its sockets since 4.5.6x."""


def make_client(place: Place) -> Any:
    """The client for the product with its private addresses at the exchange."""
    name, kind, folder = PRODUCTS[place.venue]
    options = {"fetchCurrencies": False, "fetchMarkets": {"types": [kind]}}
    options |= {"defaultType": kind, "fetchMargins": False} if kind == "spot" else {}
    streaming = {"keepAlive": int(place.watch_s * 1000 / 3)}
    keys = {"apiKey": place.api_key, "secret": place.api_secret}
    client = getattr(import_module("ccxt.pro"), name)({**keys, "enableRateLimit": False, "options": options, "streaming": streaming})
    addresses = client.urls["api"]
    for route, address in addresses.items():
        if isinstance(address, str):
            addresses[route] = f"{place.rest_url}/{folder}/{address.rpartition('/')[2]}"
    kinds = (kind, NEWER_KINDS.get(kind, kind))
    addresses["ws"] = dict.fromkeys(kinds, f"{place.ws_url}/ws") | {"ws-api": dict.fromkeys(kinds, place.ws_api_url)}
    return client


def exact(number: float | None) -> str:
    """The shortest decimal that reads as this float: what the client was sent."""
    return f"{Decimal(str(number or 0)):f}"


def tell_trade(client: Any, witness: Witness, trade: Any) -> None:
    symbol = client.market_id(trade["symbol"])
    prices = {"price": exact(trade["price"]), "quantity": exact(trade["amount"])}
    witness.fill(symbol=symbol, trade_id=trade["id"], order_id=trade["order"], **prices)


def tell_order(client: Any, witness: Witness, order: Any) -> None:
    state = {"status": order["status"], "filled": exact(order["filled"])}
    witness.order(symbol=client.market_id(order["symbol"]), order_id=order["id"], client_order_id=order["clientOrderId"] or "", **state)


def tell_position(client: Any, witness: Witness, position: Any) -> None:
    amount = exact(position["contracts"])
    signed = f"-{amount}" if position["side"] == "short" else amount
    witness.position(symbol=client.market_id(position["symbol"]), side="both", amount=signed)


def tell_wallets(_: Any, witness: Witness, balance: Any) -> None:
    for asset, total in balance["total"].items():
        witness.wallet(asset=asset, amount=exact(total))


async def read(watch: Callable[[], Awaitable[Any]], tell: Callable[[Any], None], place: Place, witness: Witness) -> None:
    """What the manual shows: wait for what is new, work, call again; an error is looked at and the call is made again."""
    while True:
        try:
            for each in await watch():
                tell(each)
            await asyncio.sleep(place.work_s)
        except Exception as error:
            # the manual's own loop: whatever it was, call again
            witness.trouble(f"{type(error).__name__}: {error}")
            await asyncio.sleep(RETRY_S)


async def watch_all(place: Place, witness: Witness) -> None:
    client = make_client(place)
    await client.load_markets()

    async def watch_wallets() -> list[Any]:
        return [await client.watch_balance()]

    holdings = (watch_wallets, tell_wallets) if place.venue == "binance-spot" else (client.watch_positions, tell_position)
    topics = ((client.watch_my_trades, tell_trade), (client.watch_orders, tell_order), holdings)
    witness.ready()
    await asyncio.gather(*(read(watch, partial(tell, client, witness), place, witness) for watch, tell in topics))


if __name__ == "__main__":
    asyncio.run(watch_all(read_place(), Witness()))
