"""A server of the HTTP API over a desk of the paper exchange, on a free port of this machine, and a client that speaks to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.desk import NAME, QUICK, VENUE, Desk, open_desk
from userstream.adapters.memory_tokens import MemoryTokens
from userstream.adapters.sqlite import open_reader
from userstream.adapters.sqlite_pages import SqlitePages
from userstream.adapters.sqlite_tokens import SqliteTokens
from userstream.domain.access import Role
from userstream.domain.audit import AuditNote
from userstream.entry.bootstrap import AccountSettings, Application, credentials_of
from userstream.entry.web.access import Access, make_token
from userstream.entry.web.checks import CHANGE_HEADER
from userstream.entry.web.connections import ServerLimits
from userstream.entry.web.desk import WebDesk
from userstream.entry.web.server import DEFAULT_LIMITS, WebServer
from userstream.entry.web.settings import HttpSection
from userstream.kernel.ids import Millis
from userstream.kernel.settings import StreamSettings
from userstream.runtime.live import LiveAccount

PATIENT = StreamSettings(own_ping_s=1.0, silence_s=3.0, first_delay_s=0.05, max_delay_s=0.4)
LOCAL = HttpSection(port=0, requests_per_minute=100_000)


def note_of(action: str, subject: str, time: int = 0) -> AuditNote:
    return AuditNote(time=Millis(time), actor="tester", origin="here", action=action, subject=subject)


async def add_token(tokens: MemoryTokens | SqliteTokens, role: Role, now: Millis, *, days: int = 1, name: str = "") -> str:
    """A token of that role; returns its text."""
    token, text = make_token(name or f"a {role}", role, now=now, days=days)
    await tokens.add_token(token, note_of("token.add", token.id, now))
    return text.reveal()


class Site:
    """The server, its desk, a token of each role, and a client."""

    def __init__(
        self,
        server: WebServer,
        desk: Desk,
        web: WebDesk,
        wanted: dict[str, AccountSettings],
        tokens: SqliteTokens,
        texts: dict[Role, str],
        client: aiohttp.ClientSession,
    ) -> None:
        self.server, self.desk, self.web, self.wanted = server, desk, web, wanted
        self.tokens, self.texts, self.client = tokens, texts, client

    def headers(self, role: Role | None = Role.VIEWER) -> dict[str, str]:
        return {} if role is None else {"Authorization": f"Bearer {self.texts[role]}"}

    async def get(self, path: str, role: Role | None = Role.VIEWER, **headers: str) -> tuple[int, Any]:
        """Status and JSON (text of anything else)."""
        async with self.client.get(self.server.url + path, headers=self.headers(role) | headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if answer.content_type.endswith("json") else text

    async def post(self, path: str, role: Role | None = Role.OPERATOR) -> tuple[int, Any]:
        async with self.client.post(self.server.url + path, headers=self.headers(role) | {CHANGE_HEADER: "1"}) as answer:
            return answer.status, json.loads(await answer.text())

    async def open_live(self, **hello: object) -> aiohttp.ClientWebSocketResponse:
        """A live feed that has said hello, with the viewer's token unless something else is given."""
        socket = await self.client.ws_connect(f"{self.server.url}/api/live")
        who = {} if {"token", "ticket"} & hello.keys() else {"token": self.texts[Role.VIEWER]}
        await socket.send_json({"type": "hello", **who, **hello})
        return socket


def settings_of(desk: Desk) -> AccountSettings:
    place, key = desk.server.listing.venues[VENUE], desk.server.listing.accounts[0]
    return AccountSettings(
        name=NAME,
        venue=VENUE,
        credentials=credentials_of(key.api_key, key.api_secret, None),
        rest_url=place.rest_url,
        ws_url=place.ws_url,
        ws_api_url=place.ws_api_url,
        recovery=QUICK,
        stream=PATIENT,
    )


@asynccontextmanager
async def open_site(
    folder: Path, settings: HttpSection = LOCAL, *, limits: ServerLimits = DEFAULT_LIMITS, **desk_settings: Any
) -> AsyncIterator[Site]:
    """A desk with a store in the folder, and its site."""
    store = folder / "desk.db"
    async with (
        open_desk(store=store, **{"stream": PATIENT, **desk_settings}) as desk,
        await SqliteTokens.open(store) as tokens,
        aiohttp.ClientSession() as client,
    ):
        application: Application = desk.application
        clock = application.clock
        texts = {role: await add_token(tokens, role, clock.wall()) for role in Role}
        pages = SqlitePages(open_reader(store))

        async def start(wish: AccountSettings) -> LiveAccount:
            return await application.add(wish)

        access = Access(tokens, clock, requests_per_minute=settings.requests_per_minute)
        wanted = {NAME: settings_of(desk)}
        web = WebDesk(application, wanted, start, pages, tokens, access)
        server = WebServer(settings, web, folder, limits)
        await server.start()
        web.is_ready = True
        try:
            yield Site(server, desk, web, wanted, tokens, texts, client)
        finally:
            await server.stop()
            await pages.close()
