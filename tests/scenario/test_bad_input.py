"""Mistakes and damage: each told in one clear line or counted, with the right exit code, and nothing lost."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import userstream
from tests.support.desk import LONG_S, NAME, QUICK, SHORT_PINGS, WIDE, Desk, open_desk
from userstream import AuthenticationError, ConnectionError, SettingsError, StoreError, StreamSettings
from userstream.adapters.clock import SystemClock
from userstream.adapters.http import AiohttpClient
from userstream.adapters.sql import load_migrations
from userstream.adapters.sqlite import SqliteStore
from userstream.adapters.sqlite_commits import SqliteSettings
from userstream.adapters.sqlite_file import APPLICATION_ID, open_for_writing
from userstream.adapters.ws import PicowsTransport
from userstream.entry.bootstrap import Application
from userstream.entry.cli import run_command
from userstream.entry.comparison import compare_account
from userstream.entry.followers import PROJECTOR
from userstream.kernel.errors import UserStreamError
from userstream.runtime.pump import Pump
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings

Capture = pytest.CaptureFixture[str]
ACCOUNT = '[[account]]\nname = "alice"\nvenue = "binance-usdm"\napi_key = "canary-key"\n'


def told(capsys: Capture, *words: str) -> tuple[int, str]:
    """The exit code of a command, and its one line of complaint."""
    code = run_command(list(words))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("userstream: ")
    assert "canary" not in line
    return code, line.removeprefix("userstream: ")


# --- configuration ---


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no account is configured"),
        ("not toml", "is not TOML"),
        ("[stores]\n" + ACCOUNT, "did you mean 'store'"),
        (ACCOUNT + 'api_secert = "canary-secret"\n', "did you mean 'api_secret'"),
        (ACCOUNT.replace("canary-key", "canary key"), "api_key"),
        (ACCOUNT.replace("canary-key", ""), "api_key"),
        (ACCOUNT + "api_secret = 5\n", "api_secret"),
        (ACCOUNT.replace("usdm", "usmd"), "did you mean 'binance-usdm'"),
        (ACCOUNT + 'rest_url = "fapi.binance.com"\n', "rest_url"),
        (ACCOUNT + 'ws_url = "https://fstream.binance.com"\n', "ws_url"),
        (ACCOUNT + 'rest_url = "http://fapi.binance.com"\n', "rest_url"),
        ("[recovery]\nlag_s = nan\n" + ACCOUNT, "lag_s"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_2(tmp_path: Path, capsys: Capture, text: str, reason: str) -> None:
    path = tmp_path / "userstream.toml"
    path.write_text(text)
    path.chmod(0o600)
    code, line = told(capsys, "run", "--config", str(path))
    assert (code, reason in line, str(path) in line) == (2, True, True), line


def test_configuration_files_that_cannot_be_read(tmp_path: Path, capsys: Capture) -> None:
    assert told(capsys, "run", "--config", str(tmp_path / "absent.toml"))[0] == 2
    assert told(capsys, "run", "--config", str(tmp_path))[0] == 2
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)))
    code, line = told(capsys, "run", "--config", str(tmp_path / "binary.toml"))
    assert (code, "not UTF-8" in line) == (2, True)


def test_the_doctor_names_the_same_mistakes_as_findings(tmp_path: Path, capsys: Capture) -> None:
    assert run_command(["doctor", "--json", "--config", str(tmp_path / "absent.toml")]) == 1
    [[finding]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (finding["subject"], finding["verdict"]) == ("configuration", "problem")
    assert "absent.toml" in finding["words"]


# --- databases ---


def other_program(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (word TEXT)")
    connection.execute("INSERT INTO theirs VALUES ('kept')")
    connection.commit()
    connection.close()


def newer_version(path: Path) -> None:
    connection = open_for_writing(path)
    connection.execute(f"PRAGMA user_version = {len(load_migrations()) + 1}")
    connection.close()


def text_file(path: Path) -> None:
    path.write_text("a text of some length that somebody keeps here, and that is no database at all" * 20)


def foreign_mark(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID ^ 1}")
    connection.execute("VACUUM")
    connection.close()


FILES = pytest.mark.parametrize(
    ("make", "reason"),
    [
        (other_program, "another program"),
        (newer_version, "update userstream"),
        (text_file, "not a database"),
        (foreign_mark, "another program"),
    ],
)


@FILES
@pytest.mark.parametrize("command", ["state", "tail"])
def test_a_file_that_is_no_store_of_ours_is_refused(tmp_path: Path, capsys: Capture, make: Any, reason: str, command: str) -> None:
    path = tmp_path / "some.db"
    make(path)
    code, line = told(capsys, command, str(path))
    assert (code, reason in line, "some.db" in line) == (1, True, True), line


@FILES
async def test_a_program_is_told_before_anything_is_opened_and_the_file_stays(tmp_path: Path, make: Any, reason: str) -> None:
    path = tmp_path / "some.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=reason) as caught:
        async with userstream.Fleet(store=path):
            pass
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


async def test_places_where_no_store_can_be(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (tmp_path / "no" / "folder.db", folder, f"{folder}/", folder / "nul\0", folder / ("long" * 100)):
        with pytest.raises(StoreError, match=tmp_path.name) as caught:
            async with userstream.Fleet(store=path):
                pass
        assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="is a folder"):
        async with userstream.connect("binance-usdm", api_key="canary", store=""):
            pass
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(folder) == []


async def test_one_process_writes_a_store(tmp_path: Path) -> None:
    async with userstream.Fleet(store=tmp_path / "one.db"):
        with pytest.raises(StoreError, match=r"one\.db"):
            async with userstream.Fleet(store=tmp_path / "one.db"):
                pass


# --- keys and addresses ---


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"api_secret": "canary-wrong"}, AuthenticationError),
        ({"api_key": "canary-wrong"}, AuthenticationError),
        ({"rest_url": "http://127.0.0.1:9"}, ConnectionError),
        ({"ws_url": "ws://127.0.0.1:9"}, ConnectionError),
        ({"rest_url": "127.0.0.1:9"}, SettingsError),
        ({"ws_url": "ftp://127.0.0.1:9"}, SettingsError),
        ({"api_secret": "canary\nwrong"}, AuthenticationError),
        ({"api_secret": " canary"}, SettingsError),
        ({"api_key": "canary wrong"}, SettingsError),
    ],
    ids=["secret", "key", "rest nobody", "socket nobody", "rest form", "socket form", "secret lines", "secret form", "key form"],
)
async def test_half_a_key_and_wrong_addresses_say_what_they_are(change: dict[str, str], error: type[UserStreamError]) -> None:
    async with open_desk(proven=False) as desk:
        place, key = desk.server.listing.venues["binance-usdm"], desk.server.listing.accounts[0]
        right: dict[str, Any] = {"api_key": key.api_key, "api_secret": key.api_secret, "rest_url": place.rest_url, "ws_url": place.ws_url}
        with pytest.raises(error) as caught:
            quick = StreamSettings(first_delay_s=0.05, max_delay_s=0.1)
            async with userstream.connect("binance-usdm", stream=quick, timeout_s=1.5, **(right | change)):
                pass
        assert "\n" not in str(caught.value)
        assert "canary" not in str(caught.value)


# --- frames, with a store ---


async def test_odd_frames_are_counted_kept_and_lose_nothing(tmp_path: Path) -> None:
    odd: list[dict[str, str]] = [
        {"text": "no JSON"},
        {"text": ""},
        {"text": "[]"},
        {"text": "null"},
        {"text": '"text"'},
        {"hex": "00ff80"},
        {"text": '{"e":"ORDER_TRADE_UPDATE","E":1,"T":1,"o":{}}'},
        {"text": '{"e":"ACCOUNT_UPDATE","E":1,"T":1,"a":{"B":[{"a":"USDT"}],"P":null}}'},
        {"text": '{"e":"ORDER_TRADE_UPDATE","E":"1","o":[]}'},
        {"text": '{"e":"NEW_THING","E":1}'},
        {"text": "[" * 100_000},
    ]
    async with open_desk(store=tmp_path / "odd.db") as desk:
        for frame in odd:
            desk.act("raw", account="desk", **frame)
            desk.trade(quantity="0.002")
        desk.act("oversize", account="desk", size_bytes=3_000_000)
        desk.trade(quantity="0.002")
        await desk.until(lambda: desk.account.health.unrecognized >= len(odd) - 1, "the unrecognized events")
        await desk.until_same()
        await compare_store(desk)
        assert desk.account.health.handler_errors == 0


# --- the machine beneath ---


async def compare_store(desk: Desk) -> None:
    """What the file says equals the exchange's books."""
    application = desk.application
    await application.journal.flush()
    assert application.pump is not None
    assert application.store is not None
    await application.pump.drain()
    comparison = await compare_account(application.store, "desk", desk.truth())
    assert comparison.is_equal, comparison


@asynccontextmanager
async def on_a_small_disk(path: Path, server: PaperExchangeServer) -> AsyncIterator[Desk]:
    """A desk whose database may not grow; the end tells what was lost."""
    clock = SystemClock()
    settings = SqliteSettings(max_pages=150, first_retry_ms=50, max_retry_ms=100, flush_limit_ms=200)
    store = await SqliteStore.open(path, clock, settings=settings)
    application = Application(clock, PicowsTransport(clock), AiohttpClient(), store)
    application.store, application.weight_limit = store, 1_000_000
    application.pump = Pump(store, store, PROJECTOR, clock=clock)
    application.pump.start()
    fleet = userstream.Fleet()
    fleet._application = application
    place, key = server.listing.venues["binance-usdm"], server.listing.accounts[0]
    account = await fleet.add(
        NAME,
        "binance-usdm",
        api_key=key.api_key,
        api_secret=key.api_secret,
        rest_url=place.rest_url,
        ws_url=place.ws_url,
        recovery=QUICK,
        stream=SHORT_PINGS,
    )
    await account.wait_proven(LONG_S)
    try:
        yield Desk(server, fleet, account)
    finally:
        await application.stop()
        await application.pump.stop()
        await application.transport.close()
        await application.http.close()
        with pytest.raises(StoreError, match="disk is full") as caught:
            await store.close()
        assert "\n" not in str(caught.value)


async def test_a_full_disk_stops_neither_the_account_nor_the_truth_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "full.db"
    spec = AccountSpec(account=NAME)
    async with PaperExchangeServer(SimulatorSettings(accounts=(spec,), limits=WIDE)) as server:
        async with on_a_small_disk(path, server) as desk:
            store = desk.application.store
            while store is None or store.trouble is None:
                desk.trade(quantity="0.002")
                desk.trade(side="sell", quantity="0.002")
                await desk.application.clock.sleep(1)
            assert "disk is full" in str(store.trouble)
            desk.trade()
            await desk.until(lambda: not desk.differences(), "equality in memory while the disk is full")
        async with open_desk(store=path, server=server) as again:
            await again.until(lambda: again.account.health.is_healthy, "proof after the restart")
            await compare_store(again)


def test_a_port_that_cannot_be_had_is_one_line(capsys: Capture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, line = told(capsys, "simulate", "--port", port)
        assert (code, port in line) == (2, True), line
    assert told(capsys, "simulate", "--port", "70000")[0] == 2
