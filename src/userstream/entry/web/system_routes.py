"""Routes of the service itself: health, metrics, who one is, tickets, and the live feed."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Request, Response, get, post, websocket
from litestar.connection import WebSocket
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketDisconnect
from wsproto.frame_protocol import CloseReason

from userstream.adapters.metrics import CONTENT_TYPE
from userstream.entry.web.account_routes import VIEWER, Desk
from userstream.entry.web.forms import CallerForm, ServiceHealth, TicketForm
from userstream.entry.web.guards import PUBLIC, ROLE, caller_of, known_caller, origin_of
from userstream.entry.web.live_feed import Ending, LiveFeed
from userstream.entry.web.sockets import OpenFeeds
from userstream.kernel.errors import StoreError

Feeds = NamedDependency[OpenFeeds]
OPEN: Final = {ROLE: PUBLIC}


@get("/health", opt=OPEN, summary="200 while every account is healthy, 503 otherwise; details only with a token")
async def show_health(desk: Desk, request: Request[Any, Any, Any]) -> Response[ServiceHealth]:
    health = desk.health(with_details=caller_of(request) is not None)
    return Response(health, status_code=200 if health.status == "ok" else 503, media_type="application/json")


@get("/ready", opt=OPEN, summary="200 once the accounts were started, until the stop begins")
async def show_ready(desk: Desk) -> Response[ServiceHealth]:
    status = "ok" if desk.is_ready else "failing"
    return Response(ServiceHealth(status=status), status_code=200 if desk.is_ready else 503, media_type="application/json")


@get("/metrics", opt=VIEWER, summary="All numbers of the process, in the text form that Prometheus reads", media_type="text/plain")
async def show_metrics(desk: Desk) -> Response[str]:
    return Response(await desk.application.read_metrics(), media_type=CONTENT_TYPE)


@get("/api/me", opt=VIEWER, summary="Whose token it is")
async def show_caller(request: Request[Any, Any, Any]) -> CallerForm:
    caller = known_caller(request)
    return CallerForm(token_id=caller.token_id, name=caller.name, role=caller.role)


@post("/api/live/ticket", opt=VIEWER, status_code=200, summary="A ticket that opens one live feed, for pages that keep no token")
async def make_ticket(desk: Desk, request: Request[Any, Any, Any]) -> TicketForm:
    ticket, lives_ms = desk.access.make_ticket(known_caller(request))
    return TicketForm(ticket=ticket.reveal(), lives_ms=lives_ms)


@websocket("/api/live", opt=OPEN)
async def open_live(socket: WebSocket[Any, Any, Any], desk: Desk, feeds: Feeds) -> None:
    """Its first message says who it is: a browser cannot give a WebSocket's handshake a header."""
    await socket.accept()
    ending = Ending(CloseReason.GOING_AWAY, "the server stops")
    feed = LiveFeed(desk, _SocketWire(socket), origin_of(socket))
    try:
        ending = await _serve(feed, feeds, socket)
    except WebSocketDisconnect:
        return
    except StoreError:
        ending = Ending(CloseReason.TRY_AGAIN_LATER, "the store cannot be read now")
    finally:
        await feed.close()
    await socket.close(code=int(ending.code), reason=ending.reason)


async def _serve(feed: LiveFeed, feeds: OpenFeeds, socket: WebSocket[Any, Any, Any]) -> Ending:
    try:
        principal = await feed.greet()
        async with feeds.place(principal.token_id) as stopping:
            await _until_first(feed.run(), _hear_out(socket), stopping.wait())
    except Ending as ending:
        return ending
    return Ending(CloseReason.GOING_AWAY, "the server stops")


async def _hear_out(socket: WebSocket[Any, Any, Any]) -> None:
    """The reader has nothing more to say; only its end is heard."""
    while True:
        await socket.receive_text()


async def _until_first(*works: Any) -> None:
    """Until the first of them ends, or raises."""
    tasks = [asyncio.ensure_future(work) for work in works]  # noqa: TID251 - ended on this very stack
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _SocketWire:
    def __init__(self, socket: WebSocket[Any, Any, Any]) -> None:
        self._socket = socket

    async def receive_text(self) -> str:
        return await self._socket.receive_text()

    async def send_text(self, data: str) -> None:
        await self._socket.send_text(data)


SYSTEM_ROUTES: Final = (show_health, show_ready, show_metrics, show_caller, make_ticket, open_live)
