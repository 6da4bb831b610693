"""The exchange of one run: what it hides, what it tells again, what it refuses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from userstream.entry.chaos.exchange import ChaosExchange
from userstream.entry.chaos.products import COINM, PRODUCTS, SPOT, USDM, Product
from userstream.entry.chaos.scoreboard import WALLET
from userstream.entry.chaos.scripts import ACCOUNT, ChaosScript, TellAgain, read_script
from userstream.kernel.errors import PaperExchangeError
from userstream.sim.actions import Cancel, FillOrder, Place


def script_of(product: Product = USDM, **fields: object) -> ChaosScript:
    return read_script("x", msgspec.json.encode({"tests": "t", "steps": []} | fields), product)


@asynccontextmanager
async def listening(exchange: ChaosExchange) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session:
        headers = {"X-MBX-APIKEY": exchange.key.api_key}
        async with session.post(f"{exchange.place.rest_url}/fapi/v1/listenKey", headers=headers) as answer:
            key = (await answer.json())["listenKey"]
        async with session.ws_connect(f"{exchange.place.ws_url}/private/ws/{key}") as socket:
            yield socket


async def contracts(exchange: ChaosExchange) -> set[str]:
    async with aiohttp.ClientSession() as session, session.get(f"{exchange.place.rest_url}{USDM.listing_path}") as answer:
        listed: Any = json.loads(await answer.read())
        return {row["symbol"] for row in listed["symbols"]}


async def test_a_coin_is_listed_only_when_the_script_begins() -> None:
    async with ChaosExchange(script_of(unlisted="DOGE"), seed=1) as exchange:
        before = await contracts(exchange)
        exchange.begin()
        assert await contracts(exchange) - before == {"DOGEUSDT"}
        assert "BTCUSDT" in before


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=list(PRODUCTS))
async def test_a_sign_of_life_is_its_own_fill_however_high_the_numbers_of_other_contracts_are(product: Product) -> None:
    async with ChaosExchange(script_of(product), seed=1) as exchange:
        other, quantity, price = ("ETHUSD_PERP", "1", "2000") if product is COINM else ("ETHUSDT", "0.04", "2000")
        for number in range(4):
            order = {"account": ACCOUNT, "symbol": other, "side": "buy", "quantity": quantity, "price": price}
            exchange.act(msgspec.convert(order | {"client_order_id": f"n{number}"}, Place, strict=False))
            exchange.act(FillOrder(account=ACCOUNT, symbol=other, client_order_id=f"n{number}"))
        before = exchange.books.fills.keys()
        moves = exchange.moves
        exchange.place_probe("probe")
        assert exchange.moves == moves + 1
        key = exchange.fill_probe("probe")
        assert key[0] == product.probe_symbol
        assert exchange.books.fills.keys() - before == {key}


async def test_the_account_trades_only_while_the_script_runs() -> None:
    async with ChaosExchange(script_of(rate=50), seed=1) as exchange, listening(exchange) as socket:
        assert exchange.has_listener
        assert not exchange.books.orders
        exchange.begin()
        first = await socket.receive_json(timeout=10)
        assert first["e"]
        assert exchange.books.orders
        exchange.end()
        assert exchange.ended_ms > 0
        told = len(exchange.books.orders)
        exchange.place_probe("p")
        assert len(exchange.books.orders) == told + 1


async def test_a_fill_is_told_again_as_often_as_asked_and_only_that() -> None:
    async with ChaosExchange(script_of(), seed=1) as exchange, listening(exchange) as socket:
        for name in ("a", "b"):
            exchange.place_probe(name)
            exchange.fill_probe(name)
        exchange.act(TellAgain(times=2, back=1, event="ORDER_TRADE_UPDATE"))
        exchange.act(TellAgain())
        told: Counter[tuple[str, int]] = Counter()
        for _ in range(2 * 4 + 2 + 3):
            message = await socket.receive_json(timeout=10)
            body = message.get("o", message)
            told[message["e"], body.get("t", -1)] += 1
        (_, first, _), (_, second, _) = sorted(exchange.books.fills, key=lambda key: int(key[1]))
        assert told["ORDER_TRADE_UPDATE", int(first)] == 3
        assert told["ORDER_TRADE_UPDATE", int(second)] == 2
        assert told["TRADE_LITE", int(first)] == 1
        assert told["TRADE_LITE", int(second)] == 2
        assert told["ACCOUNT_UPDATE", -1] == 3
        assert len(exchange.books.fills) == 2


@pytest.mark.parametrize("venue", PRODUCTS)
async def test_the_key_of_a_probe_is_that_of_its_fill(venue: str) -> None:
    async with ChaosExchange(script_of(PRODUCTS[venue]), seed=3) as exchange:
        assert exchange.key.venue == venue
        keys = []
        for name in ("a", "b", "c"):
            exchange.place_probe(name)
            keys.append(exchange.fill_probe(name))
        assert set(keys) == exchange.books.fills.keys()
        assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (
            Cancel(account=ACCOUNT, symbol="BTCUSDT", client_order_id="nobody"),
            f"action 'cancel': account '{ACCOUNT}', symbol 'BTCUSDT', client_order_id 'nobody': refused by the rule unknown_order: ",
        ),
        (FillOrder(account=ACCOUNT, symbol="BTCUSDT", order_id=7), "action 'fill': .*order_id 7: refused by the rule unknown_order: "),
        (TellAgain(), "action 'tell_again': "),
    ],
)
async def test_a_step_that_cannot_be_done_is_the_scripts_mistake(step: Cancel | FillOrder | TellAgain, told: str) -> None:
    async with ChaosExchange(script_of(), seed=1) as exchange:
        with pytest.raises(PaperExchangeError, match=f"the script x: {told}"):
            exchange.act(step)


async def test_what_an_account_without_positions_holds_is_in_its_wallets() -> None:
    async with ChaosExchange(script_of(SPOT), seed=1) as exchange:
        assert exchange.books.legs == exchange.books.opening
        exchange.place_probe("p")
        exchange.fill_probe("p")
        moved = {key for key, amount in exchange.books.legs.items() if amount != exchange.books.opening[key]}
        assert moved == {("BTC", WALLET), ("USDT", WALLET)}
        assert set(exchange.books.names.values()) == {"p"}
    async with ChaosExchange(script_of(), seed=1) as exchange:
        assert exchange.books.opening == {}
