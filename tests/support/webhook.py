"""A webhook on this machine: takes what is posted to it, and may refuse, hang or point elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web


class Posted(msgspec.Struct, frozen=True):
    """What apprise's JSON receivers are sent, and of what its Mattermost receivers are, the channel."""

    title: str = ""
    message: str = ""
    type: str = ""
    channel: str = ""


class Webhook:
    """Its address for apprise, and all that was posted to it."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.seen: list[str] = []
        self.status = 200
        self.unknown_channels: set[str] = set()
        self.asked: list[str] = []
        self.location = ""
        self.hanging: asyncio.Event | None = None
        self.port = 0

    def url(self, path: str = "desk") -> str:
        return f"json://127.0.0.1:{self.port}/{path}"

    def url_of_channels(self, *channels: str) -> str:
        """One address with several targets."""
        return f"mmost://127.0.0.1:{self.port}/{'t0ken' * 4}?channels={','.join(channels)}"

    def titles(self) -> list[str]:
        return [each.title for each in self.posted]

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(request.path)
        if self.hanging is not None:
            await self.hanging.wait()
        if self.location:
            return web.Response(status=307, headers={"Location": self.location})
        if self.status == 200:
            posted = msgspec.json.decode(await request.read(), type=Posted)
            self.asked.append(posted.channel)
            if posted.channel in self.unknown_channels:
                return web.Response(status=404)
            self.posted.append(posted)
        return web.Response(status=self.status)


@asynccontextmanager
async def open_webhook() -> AsyncIterator[Webhook]:
    """Listens while the block lasts."""
    webhook = Webhook()
    application = web.Application()
    application.router.add_post("/{path:.*}", webhook.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    webhook.port = runner.addresses[0][1]
    try:
        yield webhook
    finally:
        if webhook.hanging is not None:
            webhook.hanging.set()
        await runner.cleanup()
