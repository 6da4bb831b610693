"""The server over real sockets on the loopback address. No test waits for time: the clock is turned by hand where time matters."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import cast

import aiohttp
import msgspec
import pytest

from tests.unit.sim.kit import HandClock
from userstream.sim.faults import ScriptError, load_script
from userstream.sim.limits import LimitSettings
from userstream.sim.server import AccountSpec, Listing, PaperExchangeServer, PortInUse, SimulatorSettings

WITHIN_S = 5.0
Body = dict[str, object]


class Client:
    """A client with a real HTTP session."""

    def __init__(self, server: PaperExchangeServer, http: aiohttp.ClientSession, clock: HandClock) -> None:
        self.server, self.http, self.clock = server, http, clock
        self.listing: Listing = server.listing
        self.account = self.listing.accounts[0]
        self.venue = self.listing.venues["binance-usdm"]

    async def send(self, method: str, path: str, **parameters: object) -> tuple[int, Body]:
        text = "&".join(f"{name}={value}" for name, value in parameters.items())
        async with self.http.request(
            method, f"{self.venue.rest_url}{path}?{text}", headers={"X-MBX-APIKEY": self.account.api_key}
        ) as reply:
            return reply.status, cast(Body, json.loads(await reply.read()))

    async def call(self, method: str, path: str, **parameters: object) -> tuple[int, Body]:
        full = {**parameters, "timestamp": self.clock.now()}
        text = "&".join(f"{name}={value}" for name, value in full.items())
        signature = hmac.new(self.account.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return await self.send(method, path, **full, signature=signature)

    async def order(self) -> tuple[int, Body]:
        return await self.call(
            "POST", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price="80000"
        )

    async def control(self, name: str, **fields: object) -> Body:
        async with self.http.post(f"{self.listing.control_url}/{name}", json=fields) as reply:
            assert reply.status == 200, await reply.text()
            return cast(Body, await reply.json())

    async def listen_key(self) -> str:
        _, body = await self.send("POST", "/fapi/v1/listenKey")
        return str(body["listenKey"])

    async def connect(self, path: str = "", **options: bool) -> aiohttp.ClientWebSocketResponse:
        path = path or f"/private/ws/{await self.listen_key()}"
        return await self.http.ws_connect(self.venue.ws_url + path, autoping=options.get("autoping", True))

    def turn(self, milliseconds: int) -> None:
        self.clock.turn(milliseconds)
        self.server.tick()


@asynccontextmanager
async def open_client(**changes: object) -> AsyncIterator[Client]:
    clock = HandClock()
    settings = msgspec.structs.replace(SimulatorSettings(accounts=2), **changes)
    async with PaperExchangeServer(settings, clock=clock) as server, aiohttp.ClientSession() as http:
        yield Client(server, http, clock)


async def hear(socket: aiohttp.ClientWebSocketResponse) -> Body:
    return cast(Body, json.loads(await socket.receive_str(timeout=WITHIN_S)))


async def end_of(socket: aiohttp.ClientWebSocketResponse) -> aiohttp.WSMessage:
    while (message := await socket.receive(timeout=WITHIN_S)).type is aiohttp.WSMsgType.TEXT:
        pass
    return message


async def until(true: Callable[[], bool]) -> None:
    """Let the server run until something is so."""
    async with asyncio.timeout(WITHIN_S):
        while not true():
            await asyncio.sleep(0)


async def test_the_listing_leads_to_a_working_exchange() -> None:
    async with open_client() as client:
        assert client.venue.rest_url.startswith("http://127.0.0.1:")
        assert client.venue.ws_api_url == client.venue.ws_url + "/ws-fapi/v1"
        assert [account.account for account in client.listing.accounts] == ["paper-1", "paper-2"]
        socket = await client.connect()
        status, order = await client.order()
        assert status == 200
        event = await hear(socket)
        assert cast(Body, event["o"])["i"] == order["orderId"]


async def test_a_form_body_is_as_good_as_a_query() -> None:
    async with open_client() as client:
        text = f"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=80000&timestamp={client.clock.now()}"
        signature = hmac.new(client.account.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        headers = {"X-MBX-APIKEY": client.account.api_key, "Content-Type": "application/x-www-form-urlencoded"}
        data = f"{text}&signature={signature}"
        async with client.http.post(client.venue.rest_url + "/fapi/v1/order", data=data, headers=headers) as reply:
            assert reply.status == 200
            assert reply.headers["X-MBX-ORDER-COUNT-10S"] == "1"
            assert reply.content_type == "application/json"


async def test_a_port_in_use_is_named() -> None:
    async with open_client() as client:
        port = client.server.port
        with pytest.raises(PortInUse, match=str(port)):
            await PaperExchangeServer(SimulatorSettings(port=port)).start()


async def test_a_server_starts_once_and_stops_as_often_as_one_likes() -> None:
    server = PaperExchangeServer()
    with pytest.raises(RuntimeError):
        _ = server.port
    await server.start()
    with pytest.raises(RuntimeError):
        await server.start()
    await server.stop()
    await server.stop()
    await server.start()
    await server.stop()


async def test_stopping_ends_open_sockets() -> None:
    async with open_client() as client:
        socket = await client.connect()
        stopping = asyncio.create_task(client.server.stop())
        assert (await end_of(socket)).data == 1001
        await stopping


async def test_unknown_paths_are_404() -> None:
    async with open_client() as client, client.http.get(client.venue.rest_url + "/nowhere") as reply:
        assert reply.status == 404
    async with open_client() as client:
        assert (await client.send("GET", "/fapi/v1/nowhere"))[0] == 404
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            await client.connect("/private/nowhere")


async def test_the_path_of_a_listen_key_is_not_shown_in_the_state() -> None:
    async with open_client() as client:
        key = await client.listen_key()
        await client.connect(f"/private/ws/{key}")
        async with client.http.get(f"{client.listing.control_url}/state") as reply:
            text = await reply.text()
        assert key not in text
        assert "GET /private/ws/*" in text


async def test_the_server_pings_and_closes_who_does_not_answer() -> None:
    async with open_client(ping_interval_s=180, pong_deadline_s=600) as client:
        socket = await client.connect(autoping=False)
        client.turn(180_000)
        ping = await socket.receive(timeout=WITHIN_S)
        assert ping.type is aiohttp.WSMsgType.PING
        await socket.pong(b"something else")
        client.turn(180_000)
        second = await socket.receive(timeout=WITHIN_S)
        assert second.data != ping.data
        client.turn(420_001)
        assert (await end_of(socket)).data == 1008


async def test_a_pong_with_the_payload_keeps_the_socket() -> None:
    async with open_client(ping_interval_s=100, pong_deadline_s=150) as client:
        socket = await client.connect(autoping=False)
        for _ in range(4):
            client.turn(100_000)
            ping = await socket.receive(timeout=WITHIN_S)
            assert ping.type is aiohttp.WSMsgType.PING
            await socket.pong(ping.data)
            await socket.ping(b"and me")
            pong = await socket.receive(timeout=WITHIN_S)
            assert (pong.type, pong.data) == (aiohttp.WSMsgType.PONG, b"and me")


async def test_a_socket_is_closed_after_its_life() -> None:
    async with open_client(socket_life_s=3600, ping_interval_s=10_000) as client:
        socket = await client.connect()
        client.turn(3_599_000)
        await client.order()
        await hear(socket)
        client.turn(1_000)
        assert (await end_of(socket)).data == 1000


async def test_more_than_ten_messages_in_a_second_end_the_socket() -> None:
    async with open_client() as client:
        socket = await client.connect()
        for number in range(10):
            await socket.send_str(f'{{"method":"LIST_SUBSCRIPTIONS","id":{number}}}')
            assert (await hear(socket))["id"] == number
        client.clock.turn(1000)
        for number in range(11):
            await socket.send_str(f'{{"method":"LIST_SUBSCRIPTIONS","id":{number}}}')
        assert (await end_of(socket)).data == 1008


async def test_subscribing_by_frame_over_the_wire() -> None:
    async with open_client() as client:
        socket, key = await client.connect("/private/stream"), await client.listen_key()
        await socket.send_str(f'{{"method":"SUBSCRIBE","params":["{key}"],"id":1}}')
        assert await hear(socket) == {"result": None, "id": 1}
        await client.order()
        assert (await hear(socket))["stream"] == key


async def test_the_websocket_api_trades_and_a_stream_hears_it() -> None:
    async with open_client() as client:
        stream, api = await client.connect(), await client.connect("/ws-fapi/v1")
        params = {
            "apiKey": client.account.api_key,
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.01",
            "price": "80000",
            "timestamp": client.clock.now(),
        }
        text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
        signature = hmac.new(client.account.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        await api.send_str(json.dumps({"id": 1, "method": "order.place", "params": params | {"signature": signature}}))
        reply = await hear(api)
        assert reply["status"] == 200
        assert cast(Body, (await hear(stream))["o"])["i"] == cast(Body, reply["result"])["orderId"]


async def test_a_cut_is_a_reset_and_a_close_has_its_code() -> None:
    async with open_client() as client:
        cut, closed = await client.connect(), await client.connect("/ws/x")
        assert (await client.control("cut", account="paper-1"))["result"] == {"sockets": 1}
        assert (await end_of(cut)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        await client.control("close", code=1012, reason="restart")
        message = await end_of(closed)
        assert (message.data, message.extra) == (1012, "restart")


async def test_a_silent_socket_answers_no_ping_and_delivers_later_in_order() -> None:
    async with open_client() as client:
        socket = await client.connect(autoping=False)
        await client.control("silence", for_s=10)
        await socket.ping(b"lost")
        await client.order()
        other = await client.connect()
        await client.order()
        assert cast(Body, (await hear(other))["o"])["x"] == "NEW"
        client.turn(10_000)
        assert [cast(Body, (await hear(socket))["o"])["x"] for _ in range(2)] == ["NEW", "NEW"]
        await socket.ping(b"heard")
        assert (await socket.receive(timeout=WITHIN_S)).data == b"heard"


async def test_a_silent_socket_does_not_answer_a_close_either() -> None:
    async with open_client() as client:
        socket = await client.connect()
        lanes = list(client.server.house.halls["binance-usdm"].hub.lanes())
        await client.control("silence")
        closing = asyncio.create_task(socket.close())
        await asyncio.sleep(0)
        assert len(lanes) == 1
        assert not closing.done()
        await client.control("cut")
        await closing
        await until(lambda: not list(client.server.house.halls["binance-usdm"].hub.lanes()))


async def test_a_deaf_socket_answers_pings_and_gives_its_events_when_it_resumes() -> None:
    async with open_client() as client:
        socket = await client.connect(autoping=False)
        await client.control("silence", deaf=True)
        await client.order()
        await socket.ping(b"x")
        assert (await socket.receive(timeout=WITHIN_S)).type is aiohttp.WSMsgType.PONG
        await client.control("resume")
        assert (await hear(socket))["e"] == "ORDER_TRADE_UPDATE"


async def test_frames_made_by_hand_arrive_as_they_are() -> None:
    async with open_client() as client:
        socket = await client.connect()
        await client.control("raw", text="{not json")
        assert await socket.receive_str(timeout=WITHIN_S) == "{not json"
        await client.control("raw", hex="00ff")
        assert await socket.receive_bytes(timeout=WITHIN_S) == b"\x00\xff"
        await client.control("oversize", size_bytes=1_000_000)
        assert len(await socket.receive_str(timeout=WITHIN_S)) == 1_000_000
        await client.control("shutdown_notice", close_after_s=5)
        assert (await hear(socket))["e"] == "serverShutdown"
        client.turn(5_000)
        assert (await end_of(socket)).data == 1001


async def test_prepared_answers_with_and_without_the_deed() -> None:
    async with open_client() as client:
        await client.control("answer", path="/fapi/v1/order", method="POST", status=503, body='{"msg":"Unknown error"}', apply=True)
        assert await client.order() == (503, {"msg": "Unknown error"})
        assert len(cast(list[object], (await client.call("GET", "/fapi/v1/openOrders"))[1])) == 1
        await client.control("answer", status=418, body='{"239999":"maintenance"}', headers={"Retry-After": "120"}, count=2)
        assert [(await client.order())[0] for _ in range(3)] == [418, 418, 200]
        await client.control("answer", method="POST", abort=True)
        with pytest.raises(aiohttp.ClientError):
            await client.order()
        await client.control("answer", path="/private", status=503)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await client.connect()


async def test_a_ban_refuses_sockets_as_well() -> None:
    async with open_client() as client:
        await client.control("ban", seconds=60)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="418"):
            await client.connect("/ws/x")
        client.turn(60_000)
        await client.connect("/ws/x")


async def test_connection_attempts_can_be_limited() -> None:
    limits = LimitSettings(connects_per_5_minutes=1)
    async with open_client(limits=limits) as client:
        await client.connect("/ws/x")
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            await client.connect("/ws/x")


async def test_a_delay_holds_frames_for_so_long() -> None:
    async with open_client() as client:
        socket = await client.connect(autoping=False)
        await client.control("delay", ms=400)
        await client.order()
        await socket.ping(b"first")
        assert (await socket.receive(timeout=WITHIN_S)).data == b"first"
        client.turn(400)
        assert (await hear(socket))["e"] == "ORDER_TRADE_UPDATE"


async def test_the_control_interface_over_http() -> None:
    async with open_client() as client:
        async with client.http.get(client.listing.control_url) as reply:
            assert "actions" in await reply.json()
        async with client.http.get(f"{client.listing.control_url}/truth/paper-1") as reply:
            assert (await reply.json())["orders"] == []
        async with client.http.post(f"{client.listing.control_url}/cutt") as reply:
            assert reply.status == 400
            assert "'cut'" in (await reply.json())["error"]


async def test_a_script_is_carried_out_at_its_times_and_a_failing_step_does_not_stop_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steps = [
        {"at_s": 0, "action": "skew", "ms": 7},
        {"at_s": 2, "action": "margin_call", "account": "paper-1"},
        {"at_s": 2, "action": "cancel", "account": "paper-1", "symbol": "BTCUSDT", "order_id": 1},
        {"every_s": 1, "until_s": 3, "action": "transfer", "account": "paper-1", "asset": "USDT", "amount": "1"},
    ]
    path = tmp_path / "script.json"
    path.write_text(json.dumps(steps), encoding="utf-8")
    async with open_client(script=load_script(path)) as client:
        client.server.tick()
        assert client.server.house.faults.skew_ms == 7
        for _ in range(5):
            client.turn(1000)
        [balance] = client.server.house.hall_of("paper-1").room.exchange.balances("paper-1")
        assert balance.wallet == Decimal(100_003)
    told = [entry.getMessage() for entry in caplog.records]
    cancel = "action 'cancel': account 'paper-1', symbol 'BTCUSDT', order_id 1"
    assert told == [
        "script step 2: action 'margin_call': account 'paper-1': refused by the rule no_position: the account has no position",
        f"script step 3: {cancel}: refused by the rule unknown_order: order does not exist",
    ]


def test_a_script_may_name_the_isolated_accounts_of_a_margin_user() -> None:
    script = load_script(b'[{"at_s": 1, "action": "transfer", "account": "paper-1.BTCUSDT", "asset": "USDT", "amount": "5"}]')
    clock = HandClock()
    server = PaperExchangeServer(SimulatorSettings(venues=("binance-margin",), script=script), clock=clock)
    clock.turn(1000)
    server.tick()
    assert server.control.truth("paper-1.BTCUSDT")["balances"][0]["wallet"] == "5"  # type: ignore[call-overload, index]
    with pytest.raises(ScriptError, match=r"paper-1\.NOPE"):
        unknown = load_script(b'[{"at_s": 1, "action": "cut", "account": "paper-1.NOPE"}]')
        PaperExchangeServer(SimulatorSettings(venues=("binance-margin",), script=unknown))


def test_a_script_for_an_account_nobody_has_is_refused_at_once() -> None:
    script = load_script(b'[{"at_s": 1, "action": "cut"}, {"at_s": 2, "action": "cut", "account": "nobody"}]')
    with pytest.raises(ScriptError, match=r"^script step 2: action 'cut': account 'nobody' must be one that there is; there are paper-1$"):
        PaperExchangeServer(SimulatorSettings(script=script))


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"action": "settle", "symbol": "BTCUSDT", "venue": "kraken"}, "venue 'kraken' must be one that is played here: binance-usdm"),
        (
            {"action": "place", "account": "paper-1", "symbol": "BTCUSD", "side": "buy", "quantity": 1},
            "symbol 'BTCUSD' must be one that is traded there; the nearest is 'BTCUSDT'",
        ),
        (
            {"action": "move_price", "symbol": "btcusdt", "price": 1},
            "symbol 'btcusdt' must be one that is traded there; the nearest is 'BTCUSDT'",
        ),
        ({"action": "move_price", "symbol": "NONE", "price": 1}, "symbol 'NONE' must be one that is traded there; the nearest is '[A-Z]+'"),
        (
            {"action": "drop", "event": "ORDER_TRADE_UPDTE"},
            r"event 'ORDER_TRADE_UPDTE' must be one that accounts there are told of, or \* for all; the nearest is 'ORDER_TRADE_UPDATE'",
        ),
        ({"action": "event", "account": "paper-1", "name": "NOTHING"}, "no rare event 'NOTHING'.*GRID_UPDATE"),
    ],
    ids=lambda value: value["action"] if isinstance(value, dict) else "",
)
def test_a_script_that_names_what_nobody_here_has_is_refused_at_once(step: dict[str, object], words: str) -> None:
    script = load_script(json.dumps([{"at_s": 1, **step}]).encode())
    with pytest.raises(ScriptError, match=f"^script step 1: action '{step['action']}': {words}"):
        PaperExchangeServer(SimulatorSettings(script=script))


EVENTS = {
    "binance-usdm": {"ORDER_TRADE_UPDATE", "TRADE_LITE", "CONDITIONAL_ORDER_TRIGGER_REJECT", "listenKeyExpired", "MARGIN_CALL"},
    "binance-coinm": {"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ALGO_UPDATE", "listenKeyExpired", "MARGIN_CALL"},
    "binance-spot": {"executionReport", "outboundAccountPosition", "balanceUpdate", "listStatus", "eventStreamTerminated"},
    "binance-margin": {"executionReport", "balanceUpdate", "USER_LIABILITY_CHANGE", "MARGIN_LEVEL_STATUS_CHANGE", "listenKeyExpired"},
}


@pytest.mark.parametrize("venue", sorted(EVENTS))
def test_a_script_may_name_what_the_accounts_of_its_venues_are_told_of_and_nothing_else(venue: str) -> None:
    def start(event: str) -> None:
        script = load_script(json.dumps([{"at_s": 1, "action": "drop", "event": event}]).encode())
        PaperExchangeServer(SimulatorSettings(venues=(venue,), script=script))

    for event in {"*"} | EVENTS[venue]:
        start(event)
    foreign = {"TRADE_LITE", "CONDITIONAL_ORDER_TRIGGER_REJECT", "executionReport", "USER_LIABILITY_CHANGE"} - EVENTS[venue]
    for event in foreign:
        with pytest.raises(ScriptError, match="must be one that accounts there are told of"):
            start(event)


async def test_the_trading_loop_runs_by_itself() -> None:
    settings = SimulatorSettings(accounts=(AccountSpec(account="busy"),), rate=500.0, tick_ms=1)
    async with PaperExchangeServer(settings) as server:
        exchange = server.house.hall_of("busy").room.exchange
        await until(lambda: len(exchange.fills("busy")) > 3)
        assert "busy" not in repr(server)


async def test_a_binary_frame_of_the_client_is_no_mistake() -> None:
    async with open_client() as client:
        socket = await client.connect()
        await socket.send_bytes(b"\x00")
        await client.order()
        assert (await hear(socket))["e"] == "ORDER_TRADE_UPDATE"
