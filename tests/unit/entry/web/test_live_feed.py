"""The live feed on a real socket: who may read it, and that a reader's picture stays the account's."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any, cast

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import CloseReason

from tests.support.desk import NAME
from tests.support.events import filled
from tests.support.web import Site, add_token, note_of, open_site
from userstream.domain.access import Role, token_id_of
from userstream.entry.web.access import FAILURES_PER_MINUTE, Principal
from userstream.entry.web.coalescer import MOST_EVENTS
from userstream.entry.web.desk import WebDesk
from userstream.entry.web.forms import state_form
from userstream.entry.web.live_feed import Ending, LiveFeed, read_hello
from userstream.entry.web.settings import HttpSection
from userstream.kernel.secret import Secret


class Page:
    """A reader that keeps what it is told, as a page does."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.sequence = 0
        self.parts: dict[str, dict[tuple[str, ...], Any]] = {"orders": {}, "positions": {}, "balances": {}}
        self.fills: list[str] = []
        self.kinds: list[str] = []

    async def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.socket.receive_str(timeout=10))
        self.kinds.append(message["type"])
        if message["type"] == "snapshot":
            self.parts = {"orders": {}, "positions": {}, "balances": {}}
            self._take(message["state"])
        if message["type"] == "delta":
            assert message["after"] == self.sequence
            self._take(message)
            self.fills += [event["trade_id"] for event in message["events"] if event["kind"] == "filled"]
        self.sequence = message.get("sequence", self.sequence)
        return message

    def _take(self, message: dict[str, Any]) -> None:
        keys = {"orders": ("symbol", "order_id"), "positions": ("symbol", "position_side"), "balances": ("asset",)}
        for name, fields in keys.items():
            for row in message[name]:
                self.parts[name][tuple(row[field] for field in fields)] = row
        self.parts["orders"] = {key: row for key, row in self.parts["orders"].items() if row["is_open"]}
        self.parts["positions"] = {key: row for key, row in self.parts["positions"].items() if row["amount"].strip("0.-")}

    async def until(self, site: Site) -> None:
        """Until it knows all that the account knows."""
        while self.sequence < site.desk.account.sequence:
            await self.hear()


def picture(site: Site) -> dict[str, Any]:
    page = Page.__new__(Page)
    page.parts = {"orders": {}, "positions": {}, "balances": {}}
    state = msgspec.to_builtins(state_form(site.desk.account))
    page._take(state)
    return page.parts


async def close_code(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    while True:
        message = await socket.receive(timeout=10)
        if message.type is not aiohttp.WSMsgType.TEXT:
            return socket.close_code


async def test_a_page_that_hears_snapshot_and_deltas_has_the_accounts_picture(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        page = Page(await site.open_live())
        assert (await page.hear())["type"] == "welcome"
        assert (await page.hear())["reason"] == "begin"
        for side in ("buy", "sell", "buy"):
            site.desk.trade(side=side)
            site.desk.place()
        await site.desk.until(lambda: len(site.desk.account.fills) == len(site.desk.truth()["fills"]), "fills")
        await site.desk.until_same()
        await page.until(site)
        assert page.parts == picture(site) and page.parts["orders"] and page.parts["positions"]
        assert sorted(page.fills) == sorted(str(fill["trade_id"]) for fill in site.desk.truth()["fills"])
        await page.socket.close()
        place, known = page.sequence, list(page.fills)
        site.desk.trade()
        await site.desk.until(lambda: len(site.desk.account.fills) > len(known), "another fill")
        await site.desk.until_same()
        again = Page(await site.open_live(resume={NAME: place}))
        again.parts, again.sequence = page.parts, place
        await again.hear()
        assert (await again.hear())["type"] == "resumed"
        await again.until(site)
        assert again.parts == picture(site) and "snapshot" not in again.kinds
        assert sorted(known + again.fills) == sorted(str(fill["trade_id"]) for fill in site.desk.truth()["fills"])


async def test_a_place_that_is_not_ours_begins_anew(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        page = Page(await site.open_live(resume={NAME: 10**12}))
        await page.hear()
        assert (await page.hear())["reason"] == "not_resumable"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"type":"hello","token":"CANARY","bogus":1}', "there is no field 'bogus': known: accounts, resume, ticket, token, type"),
        ('{"type":"hello","tokn":"CANARY"}', "there is no field 'tokn': did you mean 'token'?"),
        ('{"type":"hello","accounts":"CANARY"}', 'accounts must be a list of names, such as ["alice"]'),
        ('{"type":"hello","accounts":[7]}', 'accounts must be a list of names, such as ["alice"]'),
        ('{"type":"hello","resume":{"alice":"CANARY"}}', 'resume must be a table of names and sequences, such as {"alice": 812}'),
        ('{"type":"hello","token":7}', "token must be text"),
        ('{"type":"CANARY"}', 'type must be "hello"'),
        ('["CANARY"]', "it must be a JSON object"),
        ("CANARY", "this is no JSON"),
        ("", "this is no JSON"),
    ],
)
def test_what_is_no_hello_is_told_by_its_field_without_its_value(text: str, words: str) -> None:
    with pytest.raises(Ending) as told:
        read_hello(text)
    assert told.value.code == 1008 and told.value.reason == f"the first message must be a hello: {words}"


@given(st.text())
def test_the_reason_of_any_end_fits_into_its_frame(name: str) -> None:
    assert len(Ending(CloseReason.POLICY_VIOLATION, name * 9).reason.encode()) <= 123
    with contextlib.suppress(Ending):
        read_hello(json.dumps({"type": "hello", name: 1}))


async def test_an_address_that_guessed_too_often_is_told_how_long_to_wait(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        for _ in range(FAILURES_PER_MINUTE):
            assert not isinstance(await site.web.access.recognize(Secret("ust_guess"), "127.0.0.1"), Principal)
        with pytest.raises(Ending, match=r"wrong tokens from this address: wait \d s") as told:
            await LiveFeed(site.web, SlowWire({"type": "hello", "token": "ust_guess"}), "127.0.0.1").greet()
        assert told.value.code == 1013
        await LiveFeed(site.web, SlowWire({"type": "hello", "token": site.texts[Role.VIEWER]}), "127.0.0.1").greet()


@pytest.mark.parametrize("hello", [{"token": "ust_wrong"}, {"ticket": "x"}, {"token": None}, {"accounts": ["nobody"]}, {"more": 1}])
async def test_who_is_not_known_hears_nothing(tmp_path: Path, hello: dict[str, Any]) -> None:
    async with open_site(tmp_path) as site:
        socket = await site.open_live(**hello)
        message = await socket.receive(timeout=10)
        assert message.type is not aiohttp.WSMsgType.TEXT and socket.close_code == 1008


async def test_a_ticket_opens_one_feed(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        status, answer = await site.post("/api/live/ticket", Role.VIEWER)
        assert status == 200
        socket = await site.open_live(ticket=answer["ticket"])
        assert json.loads(await socket.receive_str(timeout=10))["type"] == "welcome"
        assert await close_code(await site.open_live(ticket=answer["ticket"])) == 1008


async def test_a_revoked_token_closes_its_feeds_and_no_other(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        clock = site.desk.application.clock
        text = await add_token(site.tokens, Role.VIEWER, clock.wall(), name="another")
        lost, kept = await site.open_live(token=text), await site.open_live()
        assert json.loads(await lost.receive_str(timeout=10))["type"] == "welcome"
        token_id = token_id_of(Secret(text)) or ""
        began = clock.now()
        await site.tokens.revoke_token(token_id, clock.wall(), note_of("token.revoke", token_id))
        assert await close_code(lost) == 1008
        assert clock.now() - began < 5_000
        assert not kept.closed


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example.com"}, {"Origin": "null"}, {"Host": "evil.example.com"}])
async def test_a_foreign_page_gets_no_socket(tmp_path: Path, headers: dict[str, str]) -> None:
    async with open_site(tmp_path) as site:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await site.client.ws_connect(f"{site.server.url}/api/live", headers=headers)
        assert caught.value.status in (403, 421)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await site.client.ws_connect(f"{site.server.url}/api/live?token={site.texts[Role.ADMIN]}")


async def test_a_token_has_so_many_feeds(tmp_path: Path) -> None:
    async with open_site(tmp_path, HttpSection(port=0, sockets_per_token=1)) as site:
        first = await site.open_live()
        await first.receive_str(timeout=10)
        second = await site.open_live()
        assert await close_code(second) == 1013 and not first.closed


async def test_an_account_that_is_disconnected_is_gone_and_comes_back_whole(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        page = Page(await site.open_live())
        await page.hear()
        await page.hear()
        assert (await site.post(f"/api/accounts/{NAME}/disconnect"))[1]["is_connected"] is False
        assert (await site.get("/health", None))[0] == 503
        while (await page.hear())["type"] != "gone":
            pass
        assert (await site.post(f"/api/accounts/{NAME}/connect"))[0] == 200
        while (message := await page.hear())["type"] != "snapshot":
            pass
        assert message["account"] == NAME
        status, log = await site.get("/api/audit-log", Role.ADMIN)
        deeds = [entry["action"] for entry in log["items"] if entry["action"].startswith("account.")]
        assert (status, deeds) == (200, ["account.disconnect", "account.connect"])


async def test_the_end_of_the_server_ends_every_feed(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        socket = await site.open_live()
        await socket.receive_str(timeout=10)
        ending = asyncio.ensure_future(site.server.stop())
        assert await close_code(socket) == 1001
        await ending
        assert site.server.feeds.count == 0


class Names:
    """A desk's accounts, and how often somebody asked for them all."""

    def __init__(self, web: WebDesk) -> None:
        self._web, self.asked = web, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._web, name)

    def names(self) -> list[str]:
        self.asked += 1
        return self._web.names()


async def test_a_hello_that_names_an_account_very_often_costs_no_more_than_one_that_names_it_once(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        desk = Names(site.web)
        wire = SlowWire({"type": "hello", "token": site.texts[Role.VIEWER], "accounts": [NAME] * 12_000})
        feed = LiveFeed(cast(WebDesk, desk), wire, "127.0.0.1")
        await feed.greet()
        assert desk.asked == 1
        assert feed._hello.accounts == (NAME,)
        wire = SlowWire({"type": "hello", "token": site.texts[Role.VIEWER], "accounts": [NAME] * 12_000 + ["nobody"]})
        with pytest.raises(Ending, match="not known: 'nobody'"):
            await LiveFeed(cast(WebDesk, desk), wire, "127.0.0.1").greet()


class SlowWire:
    """A reader that takes its first messages, then nothing until it is let."""

    def __init__(self, hello: dict[str, Any]) -> None:
        self.hello, self.free = json.dumps(hello), asyncio.Event()
        self.told: list[dict[str, Any]] = []
        self.free.set()

    async def receive_text(self) -> str:
        return self.hello

    async def send_text(self, data: str) -> None:
        await self.free.wait()
        self.told.append(json.loads(data))


async def test_a_reader_that_was_too_slow_begins_anew(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        wire = SlowWire({"type": "hello", "token": site.texts[Role.VIEWER]})
        feed = LiveFeed(site.server._desk, wire, "127.0.0.1")
        await feed.greet()
        running = asyncio.ensure_future(feed.run())
        await site.desk.until(lambda: len(wire.told) == 2, "the snapshot")
        wire.free.clear()
        site.desk.trade()
        await site.desk.until_same()
        for event in [filled(sequence=10**9 + number, trade_id=str(number)) for number in range(MOST_EVENTS + 1)]:
            feed._watches[NAME].coalescer.note(event)
        wire.free.set()
        await site.desk.until(lambda: any(message.get("reason") == "slow" for message in wire.told), "a new beginning")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert [message for message in wire.told if message["type"] == "snapshot"][-1]["state"]["positions"]
        assert feed._watches == {}
