"""A client of Binance Spot, written from the documents alone, at the paper exchange: HTTP and one WebSocket, both real.

The clock is turned by hand. Who follows the events, or reads the venue's books after a hole, ends with what the exchange knows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Final, cast
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.sim.kit import HandClock
from userstream.sim.keys import KeyType
from userstream.sim.server import AccountSpec, PaperExchangeServer, SimulatorSettings

VENUE: Final = "binance-spot"
WITHIN_S: Final = 5.0
BALANCES: Final = {"USDT": Decimal(50_000), "BTC": Decimal(1), "BNB": Decimal(5)}
BUY: Final = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "80000"}
Body = dict[str, object]
FINAL: Final = {"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"}


class Follower:
    """What the events of one account say: balances are absolute, orders are told whole, fills have ids."""

    def __init__(self) -> None:
        self.balances: dict[str, tuple[Decimal, Decimal]] = {}
        self.orders: dict[int, Body] = {}
        self.fills: dict[tuple[str, int], Decimal] = {}
        self.lists: dict[int, str] = {}
        self.last_execution = 0

    def take(self, event: Body) -> None:
        match event["e"]:
            case "executionReport":
                self._take_report(event)
            case "outboundAccountPosition":
                for row in cast(list[dict[str, str]], event["B"]):
                    self.balances[row["a"]] = (Decimal(row["f"]), Decimal(row["l"]))
            case "listStatus":
                self.lists[cast(int, event["g"])] = str(event["L"])

    def _take_report(self, event: Body) -> None:
        number = cast(int, event["I"])
        assert number > self.last_execution, "execution ids rise"
        self.last_execution = number
        if event["x"] == "REJECTED":
            return
        self.orders[cast(int, event["i"])] = event
        if event["x"] == "TRADE":
            key = (str(event["s"]), cast(int, event["t"]))
            self.fills[key] = self.fills.get(key, Decimal(0)) + Decimal(str(event["l"]))


class Client:
    """One account's client."""

    def __init__(self, server: PaperExchangeServer, http: aiohttp.ClientSession, clock: HandClock, place: int) -> None:
        self.server, self.http, self.clock = server, http, clock
        self.key = server.listing.accounts[place]
        self.venue = server.listing.venues[VENUE]
        self._private: Ed25519PrivateKey | None = None
        if self.key.api_secret.startswith("-----"):
            private = serialization.load_pem_private_key(self.key.api_secret.encode(), password=None)
            assert isinstance(private, Ed25519PrivateKey)
            self._private = private

    def sign(self, text: str) -> str:
        if self._private is not None:
            return base64.b64encode(self._private.sign(text.encode())).decode()
        return hmac.new(self.key.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    async def call(self, method: str, path: str, **parameters: object) -> tuple[int, object]:
        text = urlencode({**parameters, "timestamp": self.clock.now()})
        url = f"{self.venue.rest_url}{path}?{text}&signature={quote(self.sign(text), safe='')}"
        async with self.http.request(method, url, headers={"X-MBX-APIKEY": self.key.api_key}) as reply:
            return reply.status, json.loads(await reply.read())

    async def get(self, path: str, **parameters: object) -> object:
        status, body = await self.call("GET", path, **parameters)
        assert status == 200, body
        return body

    def request(self, method: str, **params: object) -> str:
        """A signed request of the WebSocket API."""
        full: Body = {"apiKey": self.key.api_key, "timestamp": self.clock.now(), **params}
        text = "&".join(f"{name}={value}" for name, value in sorted(full.items()))
        return json.dumps({"id": method, "method": method, "params": full | {"signature": self.sign(text)}})

    async def control(self, action: str, **fields: object) -> object:
        async with self.http.post(f"{self.server.listing.control_url}/{action}", json=fields) as reply:
            assert reply.status == 200, await reply.text()
            return cast(Body, await reply.json())["result"]

    async def truth(self) -> Body:
        async with self.http.get(f"{self.server.listing.control_url}/truth/{self.key.account}") as reply:
            return cast(Body, await reply.json())


class Socket:
    """One socket of the WebSocket API. Events and answers come on the same one."""

    def __init__(self, raw: aiohttp.ClientWebSocketResponse) -> None:
        self.raw = raw
        self.events: list[tuple[int | None, Body]] = []

    async def ask(self, text: str) -> Body:
        """The answer; events that come before it are kept."""
        await self.raw.send_str(text)
        while True:
            frame = await self._next()
            if "event" not in frame:
                return frame
            self._keep(frame)

    async def hear(self) -> tuple[int | None, Body]:
        while not self.events:
            self._keep(await self._next())
        return self.events.pop(0)

    async def drain(self) -> list[tuple[int | None, Body]]:
        """Everything up to now: what is sent before the answer to a ping is heard before it."""
        await self.ask('{"id":1,"method":"ping"}')
        events, self.events = self.events, []
        return events

    def _keep(self, frame: Body) -> None:
        self.events.append((cast(int | None, frame.get("subscriptionId")), cast(Body, frame["event"])))

    async def _next(self) -> Body:
        return cast(Body, json.loads(await self.raw.receive_str(timeout=WITHIN_S)))


@asynccontextmanager
async def open_exchange(*kinds: KeyType, **changes: object) -> AsyncIterator[tuple[PaperExchangeServer, list[Client]]]:
    """A quiet spot exchange with an account for each kind of key."""
    clock = HandClock()
    wanted = enumerate(kinds or (KeyType.HMAC,))
    specs = tuple(AccountSpec(account=f"a-{place}", venue=VENUE, balances=BALANCES, key_type=kind) for place, kind in wanted)
    settings = msgspec.structs.replace(SimulatorSettings(venues=(VENUE,), accounts=specs), **changes)
    async with PaperExchangeServer(settings, clock=clock) as server, aiohttp.ClientSession() as http:
        yield server, [Client(server, http, clock, place) for place in range(len(specs))]


async def connect(client: Client, query: str = "", *, autoping: bool = True) -> Socket:
    return Socket(await client.http.ws_connect(client.venue.ws_api_url + query, autoping=autoping))


async def subscribe(socket: Socket, client: Client) -> int:
    answer = await socket.ask(client.request("userDataStream.subscribe.signature"))
    assert answer["status"] == 200, answer
    return cast(int, cast(Body, answer["result"])["subscriptionId"])


def check_equal(follower: Follower, truth: Body) -> None:
    """The events have told what the exchange's own books say."""
    balances = {str(row["asset"]): row for row in cast(list[Body], truth["balances"])}
    for asset, (free, locked) in follower.balances.items():
        wallet, available = Decimal(str(balances[asset]["wallet"])), Decimal(str(balances[asset]["available"]))
        assert (free, locked) == (available, wallet - available), asset
    orders = {cast(int, row["order_id"]): row for row in cast(list[Body], truth["orders"])}
    assert set(follower.orders) == set(orders)
    for number, row in orders.items():
        told = follower.orders[number]
        assert told["X"] == str(row["status"]).upper()
        assert Decimal(str(told["z"])) == Decimal(str(row["filled_quantity"]))
    fills: dict[tuple[str, int], Decimal] = {}
    for row in cast(list[Body], truth["fills"]):
        key = (str(row["symbol"]), cast(int, row["trade_id"]))
        fills[key] = fills.get(key, Decimal(0)) + Decimal(str(row["quantity"]))
    assert follower.fills == fills


async def test_two_accounts_on_one_socket_follow_their_trading_to_the_last_digit() -> None:
    async with open_exchange(KeyType.HMAC, KeyType.ED25519, rate=300.0, seed=5) as (server, clients):
        socket = await connect(clients[0])
        followers = {await subscribe(socket, client): Follower() for client in clients}
        for _ in range(60):
            clients[0].clock.turn(100)
            server.tick()
        await clients[0].control("pause_trading")
        for number, event in await socket.drain():
            assert number is not None
            followers[number].take(event)
        for (_, follower), client in zip(sorted(followers.items()), clients, strict=True):
            assert len(follower.fills) > 20
            check_equal(follower, await client.truth())
            for list_id, status in follower.lists.items():
                found = cast(Body, await client.get("/api/v3/orderList", orderListId=list_id))
                assert found["listOrderStatus"] == status


async def test_after_a_hole_the_venues_books_tell_the_rest() -> None:
    async with open_exchange(rate=300.0, seed=6) as (server, [client]):
        socket = await connect(client)
        await subscribe(socket, client)
        for _ in range(20):
            client.clock.turn(100)
            server.tick()
        await client.control("cut")
        for _ in range(40):
            client.clock.turn(100)
            server.tick()
        await client.control("pause_trading")
        truth = await client.truth()
        account = cast(Body, await client.get("/api/v3/account"))
        shown = {row["asset"]: Decimal(row["free"]) + Decimal(row["locked"]) for row in cast(list[dict[str, str]], account["balances"])}
        assert shown == {str(row["asset"]): Decimal(str(row["wallet"])) for row in cast(list[Body], truth["balances"])}
        open_orders = cast(list[Body], await client.get("/api/v3/openOrders"))
        told = cast(list[Body], truth["orders"])
        assert {row["orderId"] for row in open_orders} == {row["order_id"] for row in told if str(row["status"]).upper() not in FINAL}
        for symbol in {str(row["symbol"]) for row in told}:
            trades = await all_trades(client, symbol)
            fills = [row for row in cast(list[Body], truth["fills"]) if row["symbol"] == symbol]
            assert [(row["id"], Decimal(str(row["commission"]))) for row in trades] == [
                (row["trade_id"], Decimal(str(row["fee"]))) for row in fills
            ]


async def all_trades(client: Client, symbol: str) -> list[Body]:
    """Page after page from the first id on."""
    known: list[Body] = []
    while True:
        next_id = cast(int, known[-1]["id"]) + 1 if known else 0
        page = cast(list[Body], await client.get("/api/v3/myTrades", symbol=symbol, fromId=next_id, limit=50))
        known += page
        if len(page) < 50:
            return known


async def test_a_session_trades_hears_and_leaves() -> None:
    async with open_exchange(KeyType.ED25519) as (_, [client]):
        socket = await connect(client)
        status = await socket.ask(client.request("session.logon"))
        assert cast(Body, status["result"])["apiKey"] == client.key.api_key
        assert (await socket.ask('{"id":"2","method":"userDataStream.subscribe"}'))["result"] == {"subscriptionId": 0}
        request = {"id": 3, "method": "order.place", "params": {**BUY, "timestamp": client.clock.now()}}
        placed = await socket.ask(json.dumps(request))
        number, report = await socket.hear()
        assert (number, report["x"], report["i"]) == (0, "NEW", cast(Body, placed["result"])["orderId"])
        _, balances = await socket.hear()
        assert balances["B"] == [{"a": "USDT", "f": "49200.00000000", "l": "800.00000000"}]
        await client.control("fill", account="a-0", symbol="BTCUSDT", order_id=report["i"], quantity="0.004")
        _, fill = await socket.hear()
        assert (fill["x"], fill["z"], fill["n"], fill["N"]) == ("TRADE", "0.00400000", "0.00000400", "BTC")
        left = await socket.ask('{"id":4,"method":"session.logout"}')
        assert cast(Body, left["result"])["apiKey"] is None
        _, position = await socket.hear()
        assert position["e"] == "outboundAccountPosition"
        assert (await socket.hear())[1]["e"] == "eventStreamTerminated"


async def test_a_pair_over_rest_is_told_from_its_beginning_to_its_end() -> None:
    async with open_exchange() as (_, [client]):
        socket = await connect(client)
        await subscribe(socket, client)
        pair = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.5", "aboveType": "LIMIT_MAKER", "abovePrice": "82000"}
        status, made = await client.call("POST", "/api/v3/orderList/oco", **pair, belowType="STOP_LOSS", belowStopPrice="80000")
        assert status == 200
        assert [event["e"] for _, event in await socket.drain()] == [
            "listStatus",
            *("executionReport", "outboundAccountPosition") * 2,
        ]
        await client.control("move_price", symbol="BTCUSDT", price="79500")
        follower = Follower()
        events = [event for _, event in await socket.drain()]
        for event in events:
            follower.take(event)
        reports = [(event["o"], event["x"], event["X"]) for event in events if event["e"] == "executionReport"]
        assert reports[:2] == [("LIMIT_MAKER", "EXPIRED", "EXPIRED"), ("STOP_LOSS", "NEW", "NEW")]
        assert reports[-1] == ("STOP_LOSS", "TRADE", "FILLED")
        assert follower.lists == {cast(int, cast(Body, made)["orderListId"]): "ALL_DONE"}
        check_equal(follower, await client.truth())


async def test_the_server_pings_after_20_s_and_leaves_who_does_not_answer_within_a_minute() -> None:
    async with open_exchange() as (server, [client]):
        deaf, polite = await connect(client, autoping=False), await connect(client)
        client.clock.turn(19_999)
        server.tick()
        client.clock.turn(1)
        server.tick()
        message = await deaf.raw.receive(timeout=WITHIN_S)
        assert message.type is aiohttp.WSMsgType.PING
        assert bytes(message.data) == str(client.clock.now()).encode()
        # Only a reader answers pings; the second answer proves that its pong has arrived.
        await polite.drain()
        await polite.drain()
        client.clock.turn(60_001)
        server.tick()
        while (message := await deaf.raw.receive(timeout=WITHIN_S)).type is aiohttp.WSMsgType.PING:
            pass
        assert deaf.raw.close_code == 1008
        assert await polite.drain() == []


async def test_a_socket_has_a_life_and_a_shutdown_is_announced() -> None:
    async with open_exchange(socket_life_s=40, pong_deadline_s=600) as (server, [client]):
        socket = await connect(client)
        await subscribe(socket, client)
        await client.control("shutdown_notice")
        number, event = await socket.hear()
        assert (number, event["e"]) == (None, "serverShutdown")
        await client.control("terminate_subscription", account="a-0")
        number, event = await socket.hear()
        assert (number, event["e"]) == (0, "eventStreamTerminated")
        assert await subscribe(socket, client) == 1
        client.clock.turn(40_000)
        server.tick()
        while not socket.raw.closed:
            await socket.raw.receive(timeout=WITHIN_S)
        assert socket.raw.close_code == 1000


async def test_retired_listen_keys_and_revoked_sessions_are_told() -> None:
    async with open_exchange(KeyType.ED25519) as (_, [client]):
        status, body = await client.call("POST", "/api/v3/userDataStream")
        assert (status, cast(Body, body)["code"]) == (410, -1016)
        socket = await connect(client)
        await socket.ask(client.request("session.logon"))
        await client.control("revoke_api_key", account="a-0")
        told = await socket.ask('{"id":9,"method":"time"}')
        assert (told["id"], told["status"], cast(Body, told["error"])["code"]) == (None, 401, -2015)


async def test_microseconds_on_the_whole_socket() -> None:
    async with open_exchange() as (_, [client]):
        socket = await connect(client, "?timeUnit=MICROSECOND")
        await subscribe(socket, client)
        await client.call("POST", "/api/v3/order", **BUY)
        now = client.clock.now() * 1000
        _, report = await socket.hear()
        _, balances = await socket.hear()
        assert {report["E"], report["T"], report["O"], report["W"], balances["E"], balances["u"]} == {now}
        assert cast(Body, (await socket.ask('{"id":1,"method":"time"}'))["result"])["serverTime"] == now
