"""The library's doors: what a fleet holds, and that mistakes leave nothing running."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.desk import NAME, QUICK, WIDE, open_desk
from userstream import ConnectionError, Fleet, SettingsError, UserStreamError, connect
from userstream.sim.server import PaperExchangeServer
from userstream.sim.settings import AccountSpec, SimulatorSettings


async def test_a_fleet_is_used_inside_its_block() -> None:
    fleet = Fleet()
    with pytest.raises(UserStreamError, match="not running"):
        await fleet.add("a", "binance-usdm", api_key="k")
    with pytest.raises(UserStreamError, match="not running"):
        len(fleet)


async def test_accounts_come_and_go_by_name() -> None:
    specs = AccountSpec(account=NAME), AccountSpec(account="other")
    async with PaperExchangeServer(SimulatorSettings(accounts=specs, limits=WIDE)) as server, open_desk(server=server) as desk:
        fleet, place, key = desk.fleet, server.listing.venues["binance-usdm"], server.listing.accounts[1]
        assert (NAME in fleet, "other" in fleet, len(fleet), fleet[NAME]) == (True, False, 1, desk.account)
        other = await fleet.add(
            "other",
            "binance-usdm",
            api_key=key.api_key,
            api_secret=key.api_secret,
            rest_url=place.rest_url,
            ws_url=place.ws_url,
            recovery=QUICK,
        )
        await other.wait_proven(10)
        with pytest.raises(SettingsError, match="names are unique"):
            await fleet.add("other", "binance-usdm", api_key="k")
        await fleet.remove("other")
        assert ("other" in fleet, len(fleet)) == (False, 1)
        with pytest.raises(SettingsError, match="not running"):
            await fleet.remove("other")
        with pytest.raises(KeyError):
            fleet["other"]
        desk.trade()
        await desk.until_same()


NOWHERE: dict[str, Any] = {"rest_url": "http://127.0.0.1:9", "ws_url": "ws://127.0.0.1:9"}


async def test_a_key_belongs_to_one_account() -> None:
    async with Fleet() as fleet:
        await fleet.add("alice", "binance-usdm", api_key="k", **NOWHERE)
        with pytest.raises(SettingsError, match="accounts 'alice' and 'bob' have the same api_key; give each its own"):
            await fleet.add("bob", "binance-usdm", api_key="k", **NOWHERE)
        assert len(fleet) == 1
        # a key opens an account at each product and place, and each isolated pair is an account
        await fleet.add("alice-spot", "binance-spot", api_key="k", api_secret="s", **NOWHERE)
        await fleet.add("alice-there", "binance-usdm", api_key="k", rest_url="http://127.0.0.1:10", ws_url="ws://127.0.0.1:10")
        await fleet.add("cross", "binance-margin", api_key="k", api_secret="s", **NOWHERE)
        await fleet.add("isolated", "binance-margin", api_key="k", api_secret="s", isolated_symbol="BTCUSDT", **NOWHERE)
        await fleet.remove("alice")
        await fleet.add("bob", "binance-usdm", api_key="k", **NOWHERE)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"symbols": "BTCUSDT"}, r"symbols = 'BTCUSDT' must be a list of names, such as \['BTCUSDT'\]"),
        ({"symbols": 5}, "symbols = 5 must be a list of names"),
        ({"symbols": ["BTCUSDT", " "]}, r"symbols = \('BTCUSDT', ' '\) must hold names such as BTCUSDT"),
        ({"symbols": [5]}, r"symbols = \(5,\) must hold names"),
        ({"symbols": b"BTC"}, "symbols = .* must hold names"),
        ({"isolated_symbol": None}, "isolated_symbol = None must be text"),
        ({"api_key": "two words"}, "api_key holds a blank: copy it again"),
        ({"name": " "}, "account name ' ' is empty"),
    ],
)
async def test_a_program_is_told_what_the_configuration_file_tells(wrong: dict[str, Any], told: str) -> None:
    account = {"name": "alice", "venue": "binance-spot", "api_key": "k", "api_secret": "s"} | wrong
    async with Fleet() as fleet:
        with pytest.raises(SettingsError, match=told):
            await fleet.add(**account)
        assert len(fleet) == 0
    account["account"] = account.pop("name")
    with pytest.raises(SettingsError, match=told):
        async with connect(**account):
            pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": ""},
        {"api_key": " k"},
        {"api_key": "schl\u00fcssel"},
        {"api_key": "k", "api_secret": ""},
        {"api_key": "k", "api_secret": "s "},
    ],
)
def test_keys_that_cannot_be_are_told_before_anything_is_opened(wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="api_key|api_secret"):  # noqa: RUF043
        connect("binance-usdm", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"api_key": None}, "api_key is None: .* environment variable"),
        ({"api_key": 5}, "api_key is no text but of the type int"),
        ({"api_key": b"k"}, "api_key is no text but of the type bytes"),
        ({"api_secret": b"s"}, "api_secret is no text but of the type bytes"),
        ({"passphrase": 5}, "passphrase is no text but of the type int"),
        ({"venue": None}, "venue = None must be text"),
        ({"account": 5}, "account name 5 must be"),
        ({"account": "a\nb"}, "account name 'a.*b' must be"),
        ({"account": "a" * 65}, "one short line"),
        ({"rest_url": 5, "ws_url": "ws://127.0.0.1:9"}, "rest_url = 5 must be text"),
        ({"recovery": {"lag_s": 1}}, "recovery = .* must be userstream.RecoverySettings"),
        ({"stream": 5}, "stream = 5 must be userstream.StreamSettings"),
        ({"timeout_s": "5"}, "timeout_s = '5' must be"),
        ({"timeout_s": -1}, "timeout_s = -1 must be"),
        ({"timeout_s": float("nan")}, "timeout_s = nan must be"),
        ({"store": 5}, "store = 5 must be the path of a file"),
    ],
)
async def test_what_a_program_gives_by_mistake_is_named_and_makes_nothing(wrong: dict[str, object], told: str, tmp_path: Path) -> None:
    settings = {"venue": "binance-usdm", "api_key": "k", "store": tmp_path / "a.db"} | wrong
    with pytest.raises(SettingsError, match=told) as caught:
        async with connect(**settings):  # type: ignore[arg-type]
            pass
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "wrong", [{"keep_days": 0}, {"keep_days": "many"}, {"keep_days": True}, {"weight_limit": 0}, {"weight_limit": 2.5}]
)
async def test_a_fleet_that_cannot_be_makes_nothing(wrong: dict[str, object], tmp_path: Path) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(SettingsError, match=f"{name} = {value!r} must be"):
        async with Fleet(store=tmp_path / "a.db", **wrong):  # type: ignore[arg-type]
            pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("wrong", [{"account": ""}, {"venue": "binance"}, {"rest_url": "nowhere"}])
async def test_a_mistake_at_the_beginning_leaves_nothing_running(wrong: dict[str, str]) -> None:
    before = asyncio.all_tasks()
    settings = {"venue": "binance-usdm", "api_key": "k"} | wrong
    with pytest.raises(SettingsError):
        async with connect(**settings):  # type: ignore[arg-type]
            pass
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"rest_url": "http://127.0.0.1:9"}, "ws_url"),
        ({"ws_url": "ws://127.0.0.1:9"}, "rest_url"),
        ({"ws_api_url": "ws://127.0.0.1:9"}, "rest_url"),
    ],
)
async def test_half_an_address_is_refused_before_anything_is_made(given: dict[str, str], missing: str, tmp_path: Path) -> None:
    [(name, address)] = given.items()
    told = re.escape(f"account 'main': {name} = '{address}' alone would leave") + f".* give {missing} .or set USERSTREAM_BINANCE_USDM_"
    with pytest.raises(SettingsError, match=told):
        async with connect("binance-usdm", api_key="k", store=tmp_path / "a.db", **given):  # type: ignore[arg-type]
            pass
    assert os.listdir(tmp_path) == []
    async with Fleet() as fleet:
        with pytest.raises(SettingsError, match=told):
            await fleet.add("main", "binance-usdm", api_key="k", **given)  # type: ignore[arg-type]
        assert "main" not in fleet


async def test_half_an_address_in_the_environment_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERSTREAM_BINANCE_USDM_WS_URL", "ws://127.0.0.1:9/canary")
    told = "USERSTREAM_BINANCE_USDM_WS_URL = 'ws://127.0.0.1:9' alone would leave"
    with pytest.raises(SettingsError, match=told) as caught:
        async with connect("binance-usdm", api_key="k"):
            pass
    assert "canary" not in str(caught.value)
    with pytest.raises(ConnectionError):
        async with connect("binance-usdm", api_key="k", rest_url="http://127.0.0.1:9", timeout_s=0.05):
            pass


async def test_a_beginning_has_an_end() -> None:
    with pytest.raises(ConnectionError, match=r"cannot reach http://127\.0\.0\.1:9: connection refused, next try in"):
        async with connect("binance-usdm", api_key="k", rest_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9", timeout_s=0.05):
            pass
