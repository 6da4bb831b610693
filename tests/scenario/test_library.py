"""The library as a program uses it: connect, paper, listening, waiting, and what each mistake is told."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

import userstream
from tests.support.desk import open_desk
from userstream import AuthenticationError, ConnectionError, Event, Filled, OrderChanged, SettingsError, StreamState


async def test_paper_account_is_followed() -> None:
    async with userstream.paper("binance-usdm", balances={"USDT": 10_000}) as account:
        assert account.state is StreamState.LIVE
        await account.exchange.place("BTCUSDT", "buy", "0.010", "60000", client_order_id="mine")
        assert (await account.wait_for("mine", final=False, timeout=5)).is_open
        await account.exchange.fill("BTCUSDT", "mine")
        order = await account.wait_for("mine", timeout=5)
        assert order.filled_quantity == order.quantity
        assert account.complete_since is not None
        with pytest.raises(userstream.UserStreamError, match="no_such"):
            await account.exchange.act("no_such")


async def test_events_resume_after_a_sequence() -> None:
    async with open_desk() as desk:
        for _ in range(5):
            desk.fill(desk.place())
        await desk.until_same()
        told: list[Event] = []
        async for event in desk.account.events(after=0, types={Filled}):
            told.append(event)
            if len(told) == 3:
                break
        rest: list[Event] = []
        async for event in desk.account.events(after=told[-1].sequence, types={Filled}):
            rest.append(event)
            if len(rest) == 2:
                break
        assert [event.sequence for event in told + rest] == [event.sequence for event in desk.events if isinstance(event, Filled)]


async def test_latest_delivery_keeps_every_fill_and_only_the_newest_states() -> None:
    async with open_desk() as desk:
        reader = desk.account.events(delivery="latest")
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        name = desk.place(quantity="0.010")
        await desk.until(waiting.done, "the first event")
        for _ in range(5):
            desk.fill(name, quantity="0.002")
        await desk.until_same()
        got: list[Event] = []
        while sum(isinstance(event, Filled) for event in got) < 5:
            got.append(await anext(reader))
        told = sum(isinstance(event, OrderChanged) for event in desk.events)
        assert sum(isinstance(event, OrderChanged) for event in got) < told
        await reader.aclose()


async def test_a_slow_listener_loses_nothing_and_hurts_nobody() -> None:
    async with open_desk() as desk:
        held = asyncio.Event()
        slow: list[Event] = []

        @desk.account.on(Filled, OrderChanged)
        async def wait(event: Event) -> None:
            await held.wait()
            slow.append(event)

        @desk.account.on(Filled)
        def fail(event: Event) -> None:
            raise ValueError("a handler that raises")

        desk.fill(desk.place())
        await desk.until_same()
        assert slow == []
        held.set()
        wanted = [event for event in desk.events if isinstance(event, Filled | OrderChanged)]
        await desk.until(lambda: slow == wanted, "the slow listener's events")
        assert desk.account.health.handler_errors == 1


async def test_threads_read_the_same_account() -> None:
    async with open_desk() as desk:
        account = desk.account.sync()

        def work() -> Event:
            return next(account.events(types={Filled}))

        waiting = asyncio.ensure_future(asyncio.to_thread(work))
        await asyncio.sleep(0.005)
        while not waiting.done():
            desk.trade()
            await desk.application.clock.sleep(50)
        assert isinstance(await waiting, Filled)


async def test_mistakes_are_told_in_one_line() -> None:
    with pytest.raises(SettingsError, match="did you mean 'binance-usdm'"):
        async with userstream.connect("binance-usd", api_key="k"):
            pass
    with pytest.raises(SettingsError, match="api_key"):
        userstream.connect("binance-usdm", api_key="")
    with pytest.raises(ConnectionError):
        async with userstream.connect(
            "binance-usdm", api_key="k", api_secret="s", rest_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9", timeout_s=0.5
        ):
            pass
    async with open_desk() as desk:
        place, key = desk.server.listing.venues["binance-usdm"], desk.server.listing.accounts[0]
        with pytest.raises(AuthenticationError):
            async with userstream.connect(
                "binance-usdm", api_key=key.api_key, api_secret="wrong", rest_url=place.rest_url, ws_url=place.ws_url
            ):
                pass


async def test_a_key_alone_listens_and_proves_nothing() -> None:
    async with open_desk() as desk:
        place, key = desk.server.listing.venues["binance-usdm"], desk.server.listing.accounts[0]
        async with userstream.connect("binance-usdm", api_key=key.api_key, rest_url=place.rest_url, ws_url=place.ws_url) as account:
            desk.trade()
            await desk.until(lambda: len(account.fills.recent()) > 0, "a fill")
            assert account.complete_since is None
            assert not account.health.is_healthy


async def test_waiting_has_an_end() -> None:
    async with open_desk() as desk:
        with pytest.raises(TimeoutError):
            await desk.account.wait_for("never", timeout=0.05)
        await desk.account.close()
        with pytest.raises(ConnectionError):
            await desk.account.wait_for("never", timeout=5)


async def test_a_fleet_tells_its_numbers_until_an_account_is_removed(tmp_path: Path) -> None:
    async with open_desk(store=tmp_path / "desk.db") as desk:
        for _ in range(3):
            desk.fill(desk.place())
        await desk.until_same()
        await desk.application.journal.flush()
        labels = f'{{account="{desk.account.id}",venue="{desk.account.venue}"}}'
        text = desk.fleet.metrics()
        fills = sum(isinstance(event, Filled) for event in desk.events)
        assert f"userstream_fills_total{labels} {fills}.0" in text.splitlines()
        assert f"userstream_active_connections{labels} 1.0" in text.splitlines()
        assert 'userstream_accounts{state="live",venue="binance-usdm"} 1.0' in text.splitlines()
        assert re.search(r'^userstream_rest_requests_total\{request="POST /fapi/v1/listenKey",status="200"\} 1\.0$', text, re.MULTILINE)
        assert re.search(r'^userstream_sink_lag\{sink="tables"\} \d+\.0$', text, re.MULTILINE)
        assert "userstream_unknown_metrics_total 0.0" in text.splitlines()
        await desk.fleet.remove(desk.account.id)
        assert desk.account.id not in desk.fleet.metrics()
    with pytest.raises(userstream.UserStreamError, match="not running"):
        userstream.Fleet().metrics()
