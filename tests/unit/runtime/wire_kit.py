"""Accounts that share sockets, without a network: their lines, the pipe beneath them, and a clock that a test turns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from tests.support.clock import ManualClock
from tests.support.transport import PipeSocket, PipeTransport, RecordingEvents, RecordingHttp
from userstream.kernel.ids import AccountId, Symbol, VenueName
from userstream.kernel.secret import Secret
from userstream.ports import Socket
from userstream.runtime.gate import Gate
from userstream.runtime.shared_sockets import LineTransport, OwnTransport, SharedSockets
from userstream.venues import find_venue
from userstream.venues.binance.switchboard import SPOT_SHARING
from userstream.wire.pacing import WeightBudget
from userstream.wire.venue import AccountPlace, Credentials

SPEC = find_venue("binance-spot")
URL = Secret("wss://venue/ws-api/v3")
ROTATE_MS = 3_600_000


def event(subscription: int, number: int) -> bytes:
    return b'{"subscriptionId":%d,"event":{"e":"balanceUpdate","E":%d}}' % (subscription, number)


class Building:
    """Many accounts in one process. `sockets` are the venue's ends of what was dialed."""

    def __init__(self, weight_per_minute: int = 6_000) -> None:
        self.clock, self.pipes = ManualClock(wall=60_000 * 1_000), PipeTransport()
        self.gate = Gate("http://venue", WeightBudget(weight_per_minute), RecordingHttp(), self.clock, pause_of=SPEC.pause_of)
        self.shared = SharedSockets(self.pipes, self.clock, self.gate, SPOT_SHARING)
        self.subscribed: dict[PipeSocket, int] = {}
        self.pipes.on_connect = self._attend

    @property
    def sockets(self) -> list[PipeSocket]:
        return self.pipes.sockets

    def transport_of(self, name: str, rotate_ms: int = ROTATE_MS, pair: str = "") -> LineTransport:
        place = AccountPlace(
            account=AccountId(name),
            venue=VenueName("binance-spot"),
            credentials=Credentials(api_key=Secret(f"key-of-{name}")),
            endpoints=SPEC.real,
            rotate_after_ms=rotate_ms,
            isolated_symbol=Symbol(pair),
        )
        return self.shared.line_transport(place)

    def own_transport(self, name: str) -> OwnTransport:
        place = AccountPlace(
            account=AccountId(name),
            venue=VenueName("binance-spot"),
            credentials=Credentials(api_key=Secret(f"key-of-{name}")),
            endpoints=SPEC.real,
        )
        return self.shared.own_transport(place)

    async def open(self, name: str) -> tuple[Socket, RecordingEvents]:
        """A line that is subscribed; its number on the socket is that of its turn."""
        [pair] = await self.open_all([name])
        return pair

    async def open_all(self, names: Iterable[str]) -> list[tuple[Socket, RecordingEvents]]:
        """As `open`, for many that come at the same time."""
        pairs = await asyncio.gather(*map(self._open, names))
        await self.clock.settle()
        return list(pairs)

    async def _open(self, name: str) -> tuple[Socket, RecordingEvents]:
        events = RecordingEvents()
        line = await self.transport_of(name).connect(URL, events, time_limit_ms=10_000)
        self.ask(line, name)
        return line, events

    @staticmethod
    def ask(line: Socket, name: str) -> None:
        line.send(json.dumps({"id": f"{name}-1", "method": "userDataStream.subscribe.signature"}))

    def _attend(self, opened: PipeSocket) -> None:
        self.subscribed[opened] = 0
        opened.on_sent = lambda text: self._answer(opened, json.loads(text))

    def _answer(self, socket: PipeSocket, request: dict[str, object]) -> None:
        result: dict[str, object] = {}
        if str(request["method"]).startswith("userDataStream.subscribe"):
            result = {"subscriptionId": self.subscribed[socket]}
            self.subscribed[socket] += 1
        reply = json.dumps({"id": request["id"], "status": 200, "result": result}).encode()
        asyncio.get_running_loop().call_soon(socket.deliver, reply)


def numbers_of(events: RecordingEvents) -> list[int]:
    """What the events of a line tell, without answers."""
    return [json.loads(frame)["event"]["E"] for frame in events.frames if b'"event"' in frame]
