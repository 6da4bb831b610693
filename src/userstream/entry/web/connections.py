"""One connection of a caller: how long it may take over a head and over a request, and how many there may be. What is beyond is cut off.

The gatekeeper sees a request once its head is whole, and no more of it once its answer has begun; what comes before and after is here.
"""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from userstream.entry.web.answers import error_body, refusal_headers, secured
from userstream.entry.web.checks import Refusal
from userstream.kernel.ids import Millis
from userstream.ports import Clock, Timer

HEAD_BYTES: Final = 16 * 1024
"""What the parser takes of a head before it gives up; the gatekeeper refuses above 8 KiB, in better words."""

NO_HTTP: Final = Refusal(status=400, code="bad_request", message="this is no HTTP request")
HEAD_TOO_LARGE: Final = Refusal(status=431, code="headers_too_large", message="the headers are larger than 8 KiB")
TOO_MANY: Final = Refusal(status=503, code="too_many_connections", message="too many connections are open", retry_after_ms=1_000)


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """head_ms: until the head of a request is whole, counted from the beginning or from the answer before. request_ms: from the head to
    the end of its answer. taking_ms: how much longer a caller may take to take it. connections: open ones, live feeds included."""

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
