"""The outermost part of the server: every request passes here before it is understood, and every answer on its way out.

It wraps the application from outside, so that unknown paths, errors and refusals carry the same headers as everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send, WebSocketReceiveMessage

from userstream.entry.web.access import UNKNOWN_TOKEN, Access, Principal
from userstream.entry.web.answers import error_body, refusal_headers, secured
from userstream.entry.web.checks import MOST_BODY_BYTES, Ask, Checks, Refusal, read_headers
from userstream.entry.web.limits import Crowd
from userstream.kernel.errors import StoreError
from userstream.kernel.secret import Secret

REQUEST_LIMIT_S: Final = 10.0
BEARER: Final = "bearer "
_log = structlog.stdlib.get_logger("userstream.http")

NO_STORE: Final = Refusal(status=503, code="store_trouble", message="the store cannot be read now", retry_after_ms=1_000)
TOO_LARGE: Final = Refusal(status=413, code="body_too_large", message="the body is larger than 64 KiB")
TOO_SLOW: Final = Refusal(status=503, code="too_slow", message="the answer took longer than 10 s", retry_after_ms=1_000)
BROKEN: Final = Refusal(status=500, code="internal_error", message="the server failed; its log says why")


TOO_MANY_AT_ONCE: Final = Refusal(
    status=429, code="too_many_connections", message="too many requests of this address are under way", retry_after_ms=1_000
)


class _TooLarge(Exception):
    """The body went on beyond its limit."""


def _ignore() -> None:
    pass


class Gatekeeper:
    """An ASGI application around another. `request_limit_s`: how long a request may take from its head to the end of its answer.
    `crowd`: how many requests and live feeds of an address may be under way, where its connections are not its own; `note_crowded`: hears
    of each that is refused for that."""

    def __init__(
        self,
        inner: ASGIApp,
        checks: Checks,
        access: Access,
        *,
        has_tls: bool,
        request_limit_s: float = REQUEST_LIMIT_S,
        crowd: Crowd | None = None,
        note_crowded: Callable[[], None] = _ignore,
    ) -> None:
        self._inner, self._checks, self._access = inner, checks, access
        self._has_tls, self._request_limit_s = has_tls, request_limit_s
        self._crowd, self._note_crowded = crowd, note_crowded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = address_of(scope)
        if self._crowd is None:
            await self._let_in(scope, receive, send)
        elif self._crowd.enter(address):
            try:
                await self._let_in(scope, receive, send)
            finally:
                self._crowd.leave(address)
        else:
            self._note_crowded()
            await self._refuse(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        # the server hands over plain text, which the enumeration's members equal
        if scope["type"] == ScopeType.WEBSOCKET:
            await self._open_socket(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await self._refuse_socket(TOO_MANY_AT_ONCE, receive, send)
        else:
            await _Answer(send, has_tls=self._has_tls).refuse(TOO_MANY_AT_ONCE)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(send, has_tls=self._has_tls)
        try:
            async with asyncio.timeout(self._request_limit_s):
                refusal = await self._admit(scope)
                if refusal is not None:
                    await answer.refuse(refusal)
                    return
                await self._inner(scope, _Body(receive).receive, answer.send)
        except TimeoutError:
            await answer.refuse(TOO_SLOW)
        except _TooLarge:
            await answer.refuse(TOO_LARGE)
        except Exception:
            _log.error("a request failed", action="http_failed", kind=scope.get("method"), exc_info=True)
            await answer.refuse(BROKEN)

    async def _admit(self, scope: Scope) -> Refusal | None:
        """Why the request goes no further; otherwise the scope knows who calls."""
        headers = read_headers(scope["headers"])
        address = address_of(scope)
        refusal = self._refuse_unknown(scope, headers, address)
        if refusal is not None:
            return refusal
        scope["auth"] = None
        if "authorization" not in headers:
            return None
        try:
            principal = await self._recognize(headers["authorization"], address)
        except StoreError:
            return NO_STORE
        if isinstance(principal, Refusal):
            return principal
        scope["auth"] = principal
        return self._access.refuse_caller(principal)

    def _refuse_unknown(self, scope: Scope, headers: dict[str, str], address: str) -> Refusal | None:
        is_socket = scope["type"] == ScopeType.WEBSOCKET
        method = "GET" if is_socket else str(scope.get("method"))
        ask = Ask(method=method, headers=headers, is_socket=is_socket, query=scope["query_string"] if is_socket else b"")
        return self._access.refuse_address(address) or self._checks.refusal(ask)

    async def _recognize(self, header: str, address: str) -> Principal | Refusal:
        if not header.lower().startswith(BEARER):
            return UNKNOWN_TOKEN
        return await self._access.recognize(Secret(header[len(BEARER) :].strip()), address)

    async def _open_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refuse_unknown(scope, read_headers(scope["headers"]), address_of(scope))
        scope["auth"] = None
        if refusal is not None:
            await self._refuse_socket(refusal, receive, send)
            return
        try:
            await self._inner(scope, receive, send)
        except Exception:
            _log.error("a live feed failed", action="live_failed", exc_info=True)

    async def _refuse_socket(self, refusal: Refusal, receive: Receive, send: Send) -> None:
        await receive()
        headers = secured(refusal_headers(refusal), has_tls=self._has_tls)
        start: Message = {"type": "websocket.http.response.start", "status": refusal.status, "headers": headers}
        body: Message = {"type": "websocket.http.response.body", "body": error_body(refusal), "more_body": False}
        await send(start)
        await send(body)


class _Body:
    """Counts what comes in."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._bytes = receive, 0

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        message = await self._receive()
        if message["type"] == "http.request":
            self._bytes += len(message["body"])
            if self._bytes > MOST_BODY_BYTES:
                raise _TooLarge
        return message


class _Answer:
    """An answer on its way: its headers are completed, and a refusal is possible until it has begun."""

    def __init__(self, send: Send, *, has_tls: bool) -> None:
        self._send, self._has_tls, self._has_begun = send, has_tls, False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._has_begun = True
            message["headers"] = secured(list(message["headers"]), has_tls=self._has_tls)
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        if self._has_begun:
            return
        body = error_body(refusal)
        headers = [*refusal_headers(refusal), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})


def address_of(scope: Scope) -> str:
    """Who calls, as the server knows it."""
    client = scope.get("client")
    return client[0] if client else "unknown"
