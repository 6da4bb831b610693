"""The library's doors: what a fleet holds, and that mistakes leave nothing running."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from tests.support.desk import NAME, QUICK, open_desk
from userstream import ConnectionError, Fleet, SettingsError, UserStreamError, connect


async def test_a_fleet_is_used_inside_its_block() -> None:
    fleet = Fleet()
    with pytest.raises(UserStreamError, match="not running"):
        await fleet.add("a", "binance-usdm", api_key="k")
    with pytest.raises(UserStreamError, match="not running"):
        len(fleet)


async def test_accounts_come_and_go_by_name() -> None:
    async with open_desk() as desk:
        fleet, server = desk.fleet, desk.server
        place, key = server.listing.venues["binance-usdm"], server.listing.accounts[0]
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
    told = re.escape(f"account 'main': {name} = '{address}' is only a part") + f".* give {missing} .or set USERSTREAM_BINANCE_USDM_"
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
    told = "USERSTREAM_BINANCE_USDM_WS_URL gives ws_url = 'ws://127.0.0.1:9' is only a part"
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
