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
from typing import Any, Final, cast

import msgspec
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from userstream.entry.web.answers import error_body, refusal_headers, secured
from userstream.entry.web.checks import Refusal
from userstream.kernel.ids import Millis
from userstream.ports import Clock, Timer

HEAD_BYTES: Final = 16 * 1024
"""What the parser takes of a head before it gives up; the gatekeeper refuses above 8 KiB, in better words."""

NO_HTTP: Final = Refusal(status=400, code="bad_request", message="this is no HTTP request")
HEAD_TOO_LARGE: Final = Refusal(status=431, code="headers_too_large", message="the headers are larger than 8 KiB")
ACCEPT_PAUSE_MS: Final = 1_000
"""After an accept that the machine refused, for want of descriptors or memory."""

TOO_MANY: Final = Refusal(status=503, code="too_many_connections", message="too many connections are open", retry_after_ms=1_000)


_log = structlog.stdlib.get_logger("userstream.http")


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """head_ms: until the head of a request is whole, counted from the beginning or from the answer before; as long for a TLS handshake.
    request_ms: from the head to the end of its answer. taking_ms: how much longer a caller may take to take it. connections: open ones,
    live feeds and TLS handshakes included."""

    head_ms: int = 10_000
    request_ms: int = 10_000
    taking_ms: int = 5_000
    connections: int = 1_000


class PatientProtocol(H11Protocol):
    """Waits so long and no longer. A caller who sends nothing, sends slowly, or takes no answer keeps no place."""

    def __init__(self, *arguments: Any, limits: ServerLimits, clock: Clock, has_tls: bool, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits, self._clock, self._has_tls = limits, clock, has_tls
        self._timer: Timer | None = None
        self._waits_for_head: bool | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()
        if len(self.connections) > self._limits.connections:
            self._refuse(TOO_MANY)

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
    ) -> None:
        """`opened`: the protocols that are connected; they come and go by themselves."""
        self._listening, self._make_protocol, self._opened = listening, make_protocol, opened
        self._limits, self._clock, self._tls = limits, clock, tls
        self._waiting: dict[asyncio.Protocol, asyncio.Task[None]] = {}
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
        tasks = [*self._waiting.values(), *([] if self._accepting is None else [self._accepting])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept_all(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except ConnectionError:
                continue
            except OSError as error:
                _log.error("callers cannot be accepted now", action="http_accept_failed", reason=error.strerror)
                await self._clock.sleep(ACCEPT_PAUSE_MS)
                continue
            self._admit(connection)
            # callers that come in a row do not keep the others waiting
            await self._clock.sleep(0)

    def _admit(self, connection: socket.socket) -> None:
        if self._tls is not None and self.count >= self._limits.connections:
            # a refusal in words would need the handshake
            connection.close()
            return
        protocol = self._make_protocol()
        task = self._waiting[protocol] = self._clock.spawn(self._open(connection, protocol), "http: open")
        task.add_done_callback(partial(self._part_with, protocol, connection))

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
