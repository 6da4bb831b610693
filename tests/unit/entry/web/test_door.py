"""The door as `userstream run` opens it."""

from __future__ import annotations

import socket
from pathlib import Path

import aiohttp
import pytest

from tests.support.web import add_token
from userstream.adapters.sqlite_tokens import SqliteTokens
from userstream.domain.access import Role
from userstream.entry.bootstrap import AccountSettings, start_application
from userstream.entry.web.door import open_door
from userstream.entry.web.settings import HttpSection
from userstream.kernel.errors import SettingsError, UserStreamError
from userstream.runtime.live import LiveAccount

OPEN = HttpSection(host="0.0.0.0", port=0, behind_proxy=True)


async def start_none(wish: AccountSettings) -> LiveAccount:
    raise UserStreamError("no account is started here")


async def test_it_opens_to_others_only_once_there_is_a_token(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    application = await start_application(store)
    try:
        with pytest.raises(SettingsError, match="no token yet"):
            async with open_door(OPEN, application, store, tmp_path, {}, start_none):
                raise AssertionError("it opened")
        async with await SqliteTokens.open(store) as tokens:
            await add_token(tokens, Role.VIEWER, application.clock.wall())
        async with open_door(OPEN, application, store, tmp_path, {}, start_none) as door, aiohttp.ClientSession() as client:
            url = door.url.replace("https", "http").replace("0.0.0.0", "127.0.0.1")
            async with client.get(f"{url}/ready") as answer:
                assert answer.status == 503 and "Strict-Transport-Security" in answer.headers
            door.tell_ready()
            async with client.get(f"{url}/ready") as answer:
                assert answer.status == 200
            await door.stop()
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.get(f"{url}/ready")
    finally:
        await application.stop()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    application = await start_application(store)
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    try:
        with pytest.raises(SettingsError, match="cannot be listened on"):
            async with open_door(HttpSection(port=taken.getsockname()[1]), application, store, tmp_path, {}, start_none):
                raise AssertionError("it opened")
    finally:
        taken.close()
        await application.stop()
