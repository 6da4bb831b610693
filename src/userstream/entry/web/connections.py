"""One connection of a caller: how long it may take over a head and over a request, and how many there may be. What is beyond is cut off.

The gatekeeper sees a request once its head is whole, and no more of it once its answer has begun; what comes before and after is here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Set
from functools import partial
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol, cast

import msgspec
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from userstream.entry.web.answers import error_body, refusal_headers, secured
from userstream.entry.web.checks import Refusal
from userstream.entry.web.settings import MOST_CONNECTIONS
from userstream.kernel.ids import Millis
from userstream.ports import Clock, Timer

HEAD_BYTES: Final = 16 * 1024
"""What the parser takes of a head before it gives up; the gatekeeper refuses above 8 KiB, in better words."""

NO_HTTP: Final = Refusal(status=400, code="bad_request", message="this is no HTTP request")
HEAD_TOO_LARGE: Final = Refusal(status=431, code="headers_too_large", message="the headers are larger than 8 KiB")
ACCEPT_PAUSE_MS: Final = 1_000
"""After an accept that the machine refused, for want of descriptors or memory."""

TOO_MANY: Final = Refusal(status=503, code="too_many_connections", message="too many connections are open", retry_after_ms=1_000)
TOO_MANY_OF_ADDRESS: Final = Refusal(
    status=429, code="too_many_connections", message="too many connections are open from this address", retry_after_ms=1_000
)
TOLD_AGAIN_MS: Final = 60_000
"""So often it is logged that callers are refused; their count says how many."""

_log = structlog.stdlib.get_logger("userstream.http")


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """head_ms: until the head of a request is whole, counted from the beginning or from the answer before; as long for a TLS handshake.
    request_ms: from the head to the end of its answer. taking_ms: how much longer a caller may take to take it. connections: open ones,
    live feeds and TLS handshakes included."""

    head_ms: int = 10_000
    request_ms: int = 10_000
    taking_ms: int = 5_000
    connections: int = MOST_CONNECTIONS


class Caps(Protocol):
    """How many callers there may be, of one address too, and who counts those that are refused."""

    def caller_of(self, address: str) -> str:
        """Whose address it is: what has the same answer is counted together."""

    def most_of(self, address: str) -> int:
        """Connections that the caller with this address may have open."""

    def note_refused(self, limit: str) -> None:
        """One more was refused; `limit`: "all" or "address"."""


class PatientProtocol(H11Protocol):
    """Waits so long and no longer. A caller who sends nothing, sends slowly, or takes no answer keeps no place."""

    def __init__(self, *arguments: Any, limits: ServerLimits, clock: Clock, has_tls: bool, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits, self._clock, self._has_tls = limits, clock, has_tls
        self._timer: Timer | None = None
        self._waits_for_head: bool | None = None
        self.refusal: Refusal | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()
        if self.refusal is not None:
            self._refuse(self.refusal)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        self._waits_for_head = None
        super().on_response_complete()
        self._look()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """For what the parser refuses. The same form as any other refusal."""
        self._refuse(HEAD_TOO_LARGE if len(self.conn.trailing_data[0]) >= HEAD_BYTES else NO_HTTP)

    def _look(self) -> None:
        """Waits for a head or for the rest. A byte more of the same begins nothing anew: who sends them one by one gains no time."""
        waits_for_head = not self._has_request
        if waits_for_head is self._waits_for_head or self.transport.get_protocol() is not self:
            return
        self._stop_waiting()
        self._waits_for_head = waits_for_head
        limit_ms = self._limits.head_ms if waits_for_head else self._limits.request_ms + self._limits.taking_ms
        self._timer = self._clock.call_at(Millis(self._clock.now() + limit_ms), self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _has_request(self) -> bool:
        cycle = cast(RequestResponseCycle | None, self.cycle)
        return cycle is not None and not cycle.response_complete

    def _refuse(self, refusal: Refusal) -> None:
        if self._has_request:
            # its answer may have begun
            self.transport.abort()
            return
        body = error_body(refusal)
        headers = [*refusal_headers(refusal), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        lines = [name + b": " + value for name, value in secured(headers, has_tls=self._has_tls)]
        start = f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}".encode()
        self.transport.write(b"\r\n".join([start, *lines, b"", body]))
        self.transport.close()


def protocol_of(limits: ServerLimits, clock: Clock, *, has_tls: bool) -> type[asyncio.Protocol]:
    """What the server makes for each connection."""
    return cast(type[asyncio.Protocol], partial(PatientProtocol, limits=limits, clock=clock, has_tls=has_tls))


class _Opening(NamedTuple):
    """A caller whose handshake, if any, is not done."""

    task: asyncio.Task[None]
    address: str


class Listener:
    """Takes callers from a listening socket, and counts each from its first moment: a protocol never hears of a TLS handshake that does
    not come."""

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        opened: Set[object],
        limits: ServerLimits,
        clock: Clock,
        tls: ssl.SSLContext | None,
        caps: Caps,
    ) -> None:
        """`opened`: the protocols that are connected; they come and go by themselves."""
        self._listening, self._make_protocol, self._opened = listening, make_protocol, opened
        self._limits, self._clock, self._tls = limits, clock, tls
        self._caps, self._quiet_until = caps, clock.now()
        self._waiting: dict[asyncio.Protocol, _Opening] = {}
        self._accepting: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """How many callers are connected or about to be."""
        return len(self._opened | self._waiting.keys())

    def start(self) -> None:
        """Takes callers from now on."""
        self._accepting = self._clock.spawn(self._accept_all(), "http: accept")

    async def close(self) -> None:
        """Takes nobody any more, and cuts off whose handshake is not done. The listening socket stays its owner's."""
        tasks = [*(opening.task for opening in self._waiting.values()), *([] if self._accepting is None else [self._accepting])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept_all(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, place = await loop.sock_accept(self._listening)
            except ConnectionError:
                continue
            except OSError as error:
                _log.error("callers cannot be accepted now", action="http_accept_failed", reason=error.strerror)
                await self._clock.sleep(ACCEPT_PAUSE_MS)
                continue
            self._admit(connection, str(place[0]))
            # callers that come in a row do not keep the others waiting
            await self._clock.sleep(0)

    def _admit(self, connection: socket.socket, address: str) -> None:
        refusal = self._refusal_for(address)
        if refusal is not None and self._tls is not None:
            # a refusal in words would need the handshake
            connection.close()
            return
        protocol = self._make_protocol()
        if isinstance(protocol, PatientProtocol):
            protocol.refusal = refusal
        task = self._clock.spawn(self._open(connection, protocol), "http: open")
        self._waiting[protocol] = _Opening(task, address)
        task.add_done_callback(partial(self._part_with, protocol, connection))

    def _refusal_for(self, address: str) -> Refusal | None:
        if self.count >= self._limits.connections:
            self._note_refused("all", "")
            return TOO_MANY
        if self._count_of(address, most := self._caps.most_of(address)) >= most:
            self._note_refused("address", address)
            return TOO_MANY_OF_ADDRESS
        return None

    def _count_of(self, address: str, most: int) -> int:
        """How many connections the caller with this address has, 0 while there are fewer than `most` of all."""
        if len(self._opened) + len(self._waiting) < most:
            return 0
        addresses = [_peer_of(protocol) for protocol in self._opened - self._waiting.keys()]
        addresses += [opening.address for opening in self._waiting.values()]
        caller = self._caps.caller_of(address)
        return sum(self._caps.caller_of(other) == caller for other in addresses)

    def _note_refused(self, limit: str, address: str) -> None:
        self._caps.note_refused(limit)
        if self._clock.now() >= self._quiet_until:
            self._quiet_until = Millis(self._clock.now() + TOLD_AGAIN_MS)
            told = "too many connections of one address" if address else "too many connections"
            _log.warning(f"{told}: more are refused", action="http_refused", host=address, count=self.count)

    async def _open(self, connection: socket.socket, protocol: asyncio.Protocol) -> None:
        limit_s = None if self._tls is None else self._limits.head_ms / 1_000
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, connection, ssl=self._tls, ssl_handshake_timeout=limit_s
            )
        except OSError:
            # no handshake, a wrong one, or none in time
            connection.close()

    def _part_with(self, protocol: asyncio.Protocol, connection: socket.socket, task: asyncio.Task[None]) -> None:
        del self._waiting[protocol]
        if task.cancelled() or task.exception() is not None:
            connection.close()


def _peer_of(protocol: object) -> str:
    """The address of a connected protocol's caller, as the socket knows it."""
    transport = getattr(protocol, "transport", None)
    place = None if transport is None else transport.get_extra_info("peername")
    return str(place[0]) if place else ""
