"""What every `Transport` does, over a wire, over a pipe, or on a line that shares a pipe with others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from tests.support.loopback import CLOSE, PING, PONG, TEXT, LoopbackServer, Peer, accept
from tests.support.transport import PipeSocket, PipeTransport, RecordingEvents, RecordingHttp
from userstream.adapters.clock import SystemClock
from userstream.adapters.ws import PicowsTransport
from userstream.kernel.errors import ConnectionError
from userstream.kernel.ids import AccountId, VenueName
from userstream.kernel.secret import Secret
from userstream.ports import Socket, Transport
from userstream.runtime.gate import Gate
from userstream.runtime.shared_sockets import SharedSockets
from userstream.venues.binance import SPOT
from userstream.venues.binance.switchboard import SPOT_SHARING
from userstream.wire.pacing import WeightBudget
from userstream.wire.venue import AccountPlace, Credentials

CANARY = "canaryListenKey0123456789"


class Venue(Protocol):
    """The other side: where to connect to, and what it does with the newest connection."""

    url: Secret

    @property
    def transport(self) -> Transport: ...
    def refuse(self) -> None: ...
    async def opened(self) -> None: ...
    def say(self, text: str) -> None: ...
    def ping(self) -> None: ...
    def say_goodbye(self) -> None: ...
    def cut(self) -> None: ...
    async def heard(self, count: int) -> list[str]: ...


class PipeVenue:
    def __init__(self) -> None:
        self.pipes = PipeTransport()
        self.url = Secret(f"wss://pipe/{CANARY}")

    @property
    def transport(self) -> Transport:
        return self.pipes

    @property
    def _socket(self) -> PipeSocket:
        return self.pipes.sockets[-1]

    def refuse(self) -> None:
        self.pipes.refusals.append("handshake answered 404")

    async def opened(self) -> None:
        return

    def say(self, text: str) -> None:
        self._socket.deliver(text)

    def ping(self) -> None:
        self._socket.deliver_ping()

    def say_goodbye(self) -> None:
        self._socket.cut("closed by the venue: 1001 going away")

    def cut(self) -> None:
        self._socket.cut()

    async def heard(self, count: int) -> list[str]:
        return self._socket.sent


class LineVenue(PipeVenue):
    """Over the same pipe a neighbour listens, who comes after each line of ours."""

    def __init__(self) -> None:
        super().__init__()
        clock = SystemClock()
        gate = Gate("http://venue", WeightBudget(6_000), RecordingHttp(), clock, pause_of=lambda response, now: 0)
        self.shared = SharedSockets(self.pipes, clock, gate, SPOT_SHARING)
        self._ours = self.shared.line_transport(account_place("ours"))
        self._neighbours = 0

    @property
    def transport(self) -> Transport:
        return self._ours

    async def opened(self) -> None:
        self._neighbours += 1
        neighbour = self.shared.line_transport(account_place(f"neighbour-{self._neighbours}"))
        await neighbour.connect(self.url, RecordingEvents(), time_limit_ms=10_000)
        assert len(self.shared.wires) == len(self.pipes.open_sockets)


def account_place(name: str) -> AccountPlace:
    credentials = Credentials(api_key=Secret(f"key-of-{name}"))
    return AccountPlace(account=AccountId(name), venue=VenueName("binance-spot"), credentials=credentials, endpoints=SPOT.real)


class LoopbackVenue:
    def __init__(self, server: LoopbackServer) -> None:
        self.transport = PicowsTransport(SystemClock())
        self.url = Secret(f"ws://127.0.0.1:{server.port}/{CANARY}")
        self.refusing = False
        self._server = server
        self._peer: Peer | None = None
        self._heard: list[str] = []

    @property
    def _last(self) -> Peer:
        assert self._peer is not None, "await opened() first"
        return self._peer

    def refuse(self) -> None:
        self.refusing = True

    async def opened(self) -> None:
        self._peer = await self._server.next_peer()

    def say(self, text: str) -> None:
        self._last.say(text)

    def ping(self) -> None:
        self._last.say(b"", PING)

    def say_goodbye(self) -> None:
        self._last.say(b"\x03\xe9", CLOSE)

    def cut(self) -> None:
        self._last.hang_up()

    async def heard(self, count: int) -> list[str]:
        while len(self._heard) < count:
            opcode, payload = await self._last.hear()
            if opcode == PING:
                self._last.say(payload, PONG)
            elif opcode == TEXT:
                self._heard.append(payload.decode())
        return self._heard


@contextlib.asynccontextmanager
async def pipe() -> AsyncIterator[Venue]:
    yield PipeVenue()


@contextlib.asynccontextmanager
async def line() -> AsyncIterator[Venue]:
    made = LineVenue()
    yield made
    await made.shared.close()


@contextlib.asynccontextmanager
async def loopback() -> AsyncIterator[Venue]:
    async def behave(peer: Peer) -> None:
        if made.refusing:
            await peer.read_request()
            peer.write(b"HTTP/1.1 404 Not Found\r\n\r\n")
        else:
            await accept(peer)

    async with LoopbackServer.listening(behave) as server:
        made = LoopbackVenue(server)
        yield made
        await made.transport.close()


@pytest.fixture(params=[pipe, loopback, line], ids=["pipe", "picows", "line"])
async def venue(request: pytest.FixtureRequest) -> AsyncIterator[Venue]:
    make: Callable[[], AbstractAsyncContextManager[Venue]] = request.param
    async with make() as made:
        yield made


async def connected(venue: Venue, events: RecordingEvents | None = None) -> tuple[Socket, RecordingEvents]:
    events = events or RecordingEvents()
    opened = await venue.transport.connect(venue.url, events, time_limit_ms=10_000)
    await venue.opened()
    return opened, events


async def test_messages_come_whole_and_in_order(venue: Venue) -> None:
    _, events = await connected(venue)
    for number in range(50):
        venue.say(f'{{"n":{number}}}')
    await events.until(lambda: len(events.frames) == 50)
    assert events.frames == [f'{{"n":{number}}}'.encode() for number in range(50)]


async def test_what_is_sent_arrives_in_order(venue: Venue) -> None:
    opened, _ = await connected(venue)
    opened.send("one")
    opened.send("two")
    assert await venue.heard(2) == ["one", "two"]


async def test_a_ping_of_the_venue_is_told(venue: Venue) -> None:
    _, events = await connected(venue)
    venue.ping()
    await events.until(lambda: events.told == [("ping",)])


async def test_an_own_ping_comes_back(venue: Venue) -> None:
    opened, events = await connected(venue)
    opened.ping()
    opened.send("after")
    await venue.heard(1)
    await events.until(lambda: events.told == [("ping",)])


async def test_the_venues_goodbye_is_told_once_and_in_one_line(venue: Venue) -> None:
    _, events = await connected(venue)
    venue.say("last")
    venue.say_goodbye()
    await events.until(lambda: bool(events.closed))
    assert events.told == [("frame", b"last"), ("closed", "closed by the venue: 1001 going away")]


async def test_a_lost_connection_is_told_once(venue: Venue) -> None:
    opened, events = await connected(venue)
    venue.cut()
    await events.until(lambda: bool(events.closed))
    opened.close()
    await asyncio.sleep(0)
    assert events.told == [("closed", "the connection broke off")]


async def test_close_is_told_after_the_call_and_nothing_follows(venue: Venue) -> None:
    opened, events = await connected(venue)
    venue.say("on its way")
    opened.close()
    assert events.closed == []
    opened.send("too late")
    opened.ping()
    opened.pause()
    opened.resume()
    opened.close()
    await events.until(lambda: bool(events.closed))
    await asyncio.sleep(0.001)
    assert [entry for entry in events.told if entry[0] != "frame"] == [("closed", "closed by us")]
    assert events.told[-1][0] == "closed"


async def test_an_owner_that_closes_while_it_hears_a_message_hears_no_other(venue: Venue) -> None:
    opened, events = await connected(venue)
    events.on_each = opened.close
    venue.say("1")
    venue.ping()
    venue.say("2")
    await events.until(lambda: bool(events.closed))
    assert events.told == [("frame", b"1"), ("closed", "closed by us")]


async def test_a_paused_socket_is_silent_and_loses_nothing(venue: Venue) -> None:
    opened, events = await connected(venue)
    opened.pause()
    venue.say("1")
    venue.say("2")
    await asyncio.sleep(0.001)
    assert events.told == []
    opened.resume()
    venue.say("3")
    await events.until(lambda: len(events.frames) == 3)
    assert events.frames == [b"1", b"2", b"3"]


async def test_a_refusal_says_why_in_one_line_without_the_key(venue: Venue) -> None:
    venue.refuse()
    events = RecordingEvents()
    with pytest.raises(ConnectionError, match="handshake answered 404") as caught:
        await venue.transport.connect(venue.url, events, time_limit_ms=10_000)
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert events.told == []


async def test_closing_the_transport_closes_its_sockets(venue: Venue) -> None:
    _, first = await connected(venue)
    _, second = await connected(venue)
    await venue.transport.close()
    assert (first.closed, second.closed) == (["closed by us"], ["closed by us"])


async def test_no_event_comes_before_the_owner_has_the_socket(venue: Venue) -> None:
    events = RecordingEvents()
    known: list[Socket] = []
    early: list[bool] = []
    events.on_each = lambda: early.append(not known)
    opened, _ = await connected(venue, events)
    known.append(opened)
    venue.say("welcome")
    await events.until(lambda: events.frames == [b"welcome"])
    assert early == [False]
