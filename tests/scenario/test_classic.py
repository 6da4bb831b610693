"""The classic surface: programs written for it run unchanged, and get every message once, in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

import userstream
from binance_futures_async import BinanceClient
from binance_futures_async.exceptions import AuthenticationError, ConnectionError, UserStreamError
from tests.support.desk import NAME, WIDE, Desk
from userstream import SettingsError, UserDataStreamAPI
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings

ROOT = Path(__file__).parents[2]
KEY = "your_api_key"


@asynccontextmanager
async def exchange() -> AsyncIterator[Desk]:
    """A paper exchange whose account has the example's key; only the acting half of the desk is used."""
    spec = AccountSpec(account=NAME, api_key=KEY)
    async with PaperExchangeServer(SimulatorSettings(accounts=(spec,), limits=WIDE)) as server:
        desk = Desk.__new__(Desk)
        desk.server, desk._orders = server, 0
        yield desk


def config_of(desk: Desk, **more: object) -> dict[str, object]:
    place = desk.server.listing.venues["binance-usdm"]
    return {"rest_url": place.rest_url, "ws_url": place.ws_url, "reconnect_delay": 0.1, "max_reconnect_delay": 1, **more}


async def until(holds: Any, what: str) -> None:
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"never came: {what}")


@asynccontextmanager
async def running(program: Path, desk: Desk) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program in a process of its own, once it has printed a position."""
    place = desk.server.listing.venues["binance-usdm"]
    places = {"USERSTREAM_BINANCE_USDM_REST_URL": place.rest_url, "USERSTREAM_BINANCE_USDM_WS_URL": place.ws_url}
    words = (sys.executable, "-u", str(program))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe, env=os.environ | places)
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"User data stream started\n"
        desk.trade()
        printed = b""
        while b"BTCUSDT: 0.010 @" not in printed:
            printed += await asyncio.wait_for(process.stdout.readline(), 20)
        assert b"Current Positions:" in printed
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_the_complete_usage_example_runs_as_it_was_written(tmp_path: Path) -> None:
    example = (ROOT / "examples" / "classic_user_stream.py").read_text("utf-8")
    program, mark, _ = example.partition('if __name__ == "__main__":\n')
    (tmp_path / "program.py").write_text(f"{program}{mark}    asyncio.run(main())\n", "utf-8")
    async with exchange() as desk, running(tmp_path / "program.py", desk):
        pass


async def test_ctrl_c_ends_the_example_in_order() -> None:
    async with exchange() as desk, running(ROOT / "examples" / "classic_user_stream.py", desk) as process:
        process.send_signal(signal.SIGINT)
        _, complaints = await asyncio.wait_for(process.communicate(), 20)
        assert (process.returncode, complaints) == (0, b"")


async def test_messages_come_once_in_order_sync_and_async(caplog: pytest.LogCaptureFixture) -> None:
    structlog.reset_defaults()  # as in a program of its own
    async with exchange() as desk:
        seen: list[dict[str, Any]] = []
        stream = UserDataStreamAPI(KEY, seen.append, config_of(desk))
        assert (stream.is_connected, stream.listen_key) == (False, None)
        await stream.start()
        assert (stream.is_connected, bool(stream.listen_key)) == (True, True)
        waited: list[dict[str, Any]] = []

        async def later(message: dict[str, Any]) -> None:
            await asyncio.sleep(0)
            waited.append(message)
            raise ValueError("a handler that raises hurts nobody")

        second = await BinanceClient().user_stream(api_key=KEY, message_handler=later, config=config_of(desk))
        desk.fill(desk.place())
        await until(lambda: len(seen) >= 4 and len(waited) >= 4, "messages")
        assert [message["e"] for message in seen] == [message["e"] for message in waited]
        assert sum(message["e"] == "TRADE_LITE" for message in seen) == 1
        assert second.handler_errors == len(waited)
        told = "\n".join(logging.Formatter().format(entry) for entry in caplog.records)
        assert told.count("ValueError: a handler that raises hurts nobody") == len(waited)
        await asyncio.gather(stream.stop(), second.stop())
        await stream.stop()
        assert (stream.is_connected, stream.listen_key) == (False, None)
        assert desk.requests("DELETE") == 0


async def test_a_fill_of_a_gap_comes_in_the_streams_shape() -> None:
    async with exchange() as desk:
        seen: list[dict[str, Any]] = []
        secret = desk.server.listing.accounts[0].api_secret
        stream = UserDataStreamAPI(KEY, seen.append, config_of(desk, api_secret=secret))
        await stream.start()
        desk.act("cut")
        desk.trade()
        await until(lambda: any(message.get("_source") == "recovery" for message in seen), "the recovered fill")
        recovered = next(message for message in seen if message.get("_source") == "recovery")
        assert recovered["e"] == "ORDER_TRADE_UPDATE"
        assert recovered["o"]["s"] == "BTCUSDT"
        await stream.stop()


async def test_batches_by_size_and_age() -> None:
    async with exchange() as desk:
        batches: list[list[dict[str, Any]]] = []
        stream = UserDataStreamAPI(KEY, batches.append, config_of(desk, batch_size=3, batch_age=0.2))
        await stream.start()
        desk.fill(desk.place())
        await until(lambda: sum(map(len, batches)) >= 4, "batches")
        assert max(map(len, batches)) == 3
        await stream.stop()


async def test_wrong_key_and_unreachable_venue() -> None:
    async with exchange() as desk:
        with pytest.raises(AuthenticationError):
            await BinanceClient().user_stream("another_key", print, config_of(desk))
    with pytest.raises(ConnectionError) as caught:
        place = {"rest_url": "http://127.0.0.1:9", "ws_url": "ws://127.0.0.1:9"}
        await BinanceClient().user_stream(KEY, print, {"connection_timeout": 0.5, "reconnect_delay": 0.1, **place})
    assert isinstance(caught.value, UserStreamError)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"ping_intervall": 1}, "did you mean 'ping_interval'"),
        ({"ping_interval": 4000}, "ping_interval"),
        ({"reconnect_delay": "soon"}, "float"),
        ({"max_reconnect_attempts": 0}, "max_reconnect_attempts"),
        ({"reconnect_delay": 10, "max_reconnect_delay": 5}, "max_reconnect_delay"),
    ],
)
def test_a_wrong_config_is_named(config: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        UserDataStreamAPI(KEY, print, config)


@pytest.mark.parametrize("key", ["", " ", "key ", "schl\u00fcssel"])
def test_a_key_that_cannot_be_one(key: str) -> None:
    with pytest.raises(SettingsError, match="api_key"):
        UserDataStreamAPI(key, print, {})


def test_the_default_config_is_the_documented_one() -> None:
    assert userstream.DEFAULT_USER_STREAM_CONFIG == {
        "connection_timeout": 30,
        "request_timeout": 30,
        "ping_interval": 3300,
        "reconnect_delay": 5,
        "max_reconnect_delay": 300,
        "max_reconnect_attempts": 5,
        "health_check_interval": 60,
    }


async def test_starting_a_running_stream_waits_until_it_delivers() -> None:
    async with exchange() as desk:
        stream = await BinanceClient().user_stream(KEY, print, config_of(desk))
        account = stream.account
        await stream.start()
        desk.act("cut")
        await until(lambda: not stream.is_connected, "the cut")
        await asyncio.gather(stream.start(), stream.start())
        assert (stream.is_connected, stream.account) == (True, account)
        await stream.stop()
        await stream.start()
        assert stream.is_connected
        await stream.stop()


async def test_two_starts_at_once_are_one() -> None:
    async with exchange() as desk:
        stream = UserDataStreamAPI(KEY, print, config_of(desk))
        await asyncio.gather(stream.start(), stream.start())
        assert desk.act("silence", account=NAME)["sockets"] == 1
        await stream.stop()


async def test_a_key_that_is_refused_later_raises_at_the_next_start() -> None:
    async with exchange() as desk:
        stream = await BinanceClient().user_stream(KEY, print, config_of(desk))
        desk.act("revoke_api_key", account=NAME)
        desk.act("expire_key", account=NAME)
        account = stream.account
        await until(lambda: account is not None and account.state is userstream.StreamState.FAILED, "the refusal")
        assert (stream.is_connected, stream.listen_key) == (False, None)
        with pytest.raises(AuthenticationError):
            await stream.start()
        desk.act("restore_api_key", account=NAME)
        await stream.start()
        assert stream.is_connected
        await stream.stop()


async def test_the_handler_may_stop_the_stream() -> None:
    async with exchange() as desk:
        seen: list[object] = []

        async def stop(message: object) -> None:
            seen.append(message)
            await stream.stop()

        stream = await BinanceClient().user_stream(KEY, stop, config_of(desk))
        desk.fill(desk.place())
        await until(lambda: bool(seen) and stream.account is None, "the stop")
        assert (len(seen), stream.handler_errors, stream.is_connected) == (1, 0, False)
        assert "stopped" in repr(stream)


async def test_stop_hands_over_what_came_before() -> None:
    async with exchange() as desk:
        batches: list[list[object]] = []
        stream = await BinanceClient().user_stream(KEY, batches.append, config_of(desk, batch_size=1_000, batch_age=60))
        desk.fill(desk.place())
        account = stream.account
        await until(lambda: account is not None and account.health.messages >= 4, "messages")
        await stream.stop()
        assert [len(batch) for batch in batches] == [account.health.messages if account is not None else 0]


async def test_a_handler_that_hangs_does_not_hold_the_stop_up() -> None:
    async with exchange() as desk:
        hanging = asyncio.Event()

        async def hang(message: object) -> None:
            hanging.set()
            await asyncio.Event().wait()

        stream = await BinanceClient().user_stream(KEY, hang, config_of(desk))
        desk.place()
        await asyncio.wait_for(hanging.wait(), 10)
        async with asyncio.timeout(2):
            await stream.stop()


async def test_the_documents_keeper_of_connections() -> None:
    """The loop that the documents tell people to write does no harm beside a stream that reconnects by itself."""
    async with exchange() as desk:
        stream = UserDataStreamAPI(KEY, print, config_of(desk))
        for _ in range(3):
            if not stream.is_connected:
                await stream.start()
            desk.act("cut")
            await until(lambda: not stream.is_connected, "the cut")
        await stream.start()
        assert stream.is_connected
        await stream.stop()


def test_the_old_name_has_everything() -> None:
    import binance_futures_async

    assert all(getattr(binance_futures_async, name) is getattr(userstream, name) for name in binance_futures_async.__all__)


async def test_the_helpers_work_together_behind_a_stream() -> None:
    async with exchange() as desk:
        saved: list[dict[str, Any]] = []
        orders: userstream.BoundedCache[str, str] = userstream.BoundedCache(1)

        def save(batch: list[dict[str, Any]]) -> None:
            saved.extend(batch)
            for message in batch:
                orders.add_to_cache(message["o"]["c"], message["o"]["X"])

        wanted = userstream.MessageFilter(events={"ORDER_TRADE_UPDATE"}, statuses={"NEW", "FILLED"})
        async with userstream.BatchProcessor(save, batch_size=3, batch_age=60) as batches:
            stream = await BinanceClient().user_stream(KEY, wanted.before(batches), config_of(desk))
            state = userstream.StateManager(stream)
            first, second = desk.place(), desk.place()
            desk.fill(first)
            await until(lambda: len(saved) == 3, "a whole batch")
            desk.fill(second)
            await until(lambda: {row["status"] for row in state.orders.values()} == {"FILLED"}, "the state")
            await stream.stop()
        assert [message["o"]["X"] for message in saved] == ["NEW", "NEW", "FILLED", "FILLED"]
        assert orders.cache == {second: "FILLED"}
        assert state.positions["BTCUSDT"]["amount"] == "0.02"
