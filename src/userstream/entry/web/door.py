"""The whole door as `userstream run` opens it: tokens, history and audit log of the store, routes, server. Closed in the reverse order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from userstream.adapters.sqlite import open_reader
from userstream.adapters.sqlite_pages import SqlitePages
from userstream.adapters.sqlite_tokens import SqliteTokens
from userstream.entry.bootstrap import AccountSettings, Application
from userstream.entry.manager import AccountManager
from userstream.entry.web.access import Access
from userstream.entry.web.desk import StartAccount, WebDesk
from userstream.entry.web.server import WebServer
from userstream.entry.web.settings import HttpSection
from userstream.kernel.errors import SettingsError
from userstream.kernel.ids import Millis
from userstream.ports import Tokens


class WebDoor:
    """An open door. `stop` comes first when all is stopped: nobody is let in to what is ending."""

    def __init__(self, desk: WebDesk, server: WebServer) -> None:
        self._desk, self._server = desk, server

    @property
    def url(self) -> str:
        """Where it is reached on this machine."""
        return self._server.url

    def tell_ready(self) -> None:
        """The accounts were started."""
        self._desk.is_ready = True

    async def stop(self) -> None:
        """Ends the intake, as `WebServer.stop`."""
        await self._server.stop()


@asynccontextmanager
async def open_door(
    settings: HttpSection,
    application: Application,
    store: Path,
    folder: Path,
    wanted: Mapping[str, AccountSettings],
    start: StartAccount,
    manager: AccountManager | None = None,
) -> AsyncIterator[WebDoor]:
    """Listens while the block lasts. `store`: the file that the application writes. `manager`: who decides which accounts run, where
    somebody does. Raises SettingsError, and StoreError."""
    async with await SqliteTokens.open(store) as tokens:
        await require_token(settings, tokens, application.clock.wall())
        pages = SqlitePages(open_reader(store))
        try:
            access = Access(tokens, application.clock, requests_per_minute=settings.requests_per_minute)
            desk = WebDesk(application, wanted, start, pages, tokens, access, manager)
            server = WebServer(settings, desk, folder)
            await server.start()
            try:
                yield WebDoor(desk, server)
            finally:
                await server.stop()
        finally:
            await pages.close()


async def require_token(settings: HttpSection, tokens: Tokens, now: Millis) -> None:
    """Raises SettingsError where others than this machine's programs could ask, and nobody has a token yet. `now`: wall clock (ms)."""
    if settings.needs_token and not any(token.is_live(now) for token in await tokens.all_tokens()):
        raise SettingsError(
            f"[http] host = {settings.host!r} is open to others, and there is no token yet: make one first,"
            " with userstream tokens add NAME --role viewer"
        )
