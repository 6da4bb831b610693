"""The demo's parts: accounts that trade, a fleet that follows them, and a table that says so."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.events import position_set
from userstream.domain.account import Account
from userstream.domain.events import Filled
from userstream.domain.fold import apply
from userstream.entry.cli.table import COLUMNS, NARROW_COLUMNS, WIDE, LiveTable, list_legs
from userstream.entry.show import NAMES, open_show
from userstream.kernel.errors import SettingsError
from userstream.kernel.ids import AccountId, VenueName
from userstream.runtime.views import PositionsView
from userstream.sim.faults import load_script


async def test_a_short_show_ends_equal_and_its_table_tells_of_it(tmp_path: Path) -> None:
    async with open_show(accounts=9, rate=0.0, seed=1, port=0, store=tmp_path / "show.db", script=load_script(b"[]")) as show:
        assert show.names == (*NAMES, "account-9")
        table = LiveTable(show)
        for name in show.names:
            await show.fleet[name].wait_ready(10)
        show.act("place", account="alice", symbol="BTCUSDT", side="buy", quantity="0.010", order_type="market")
        assert show.fills_at_exchange("alice") > 0
        comparisons = await show.settle()
        assert [comparison.account for comparison in comparisons] == list(show.names)
        assert all(comparison.is_equal for comparison in comparisons), comparisons
        assert comparisons[0].fills_in_store == show.fills_at_exchange("alice")
        narrow, wide = (printed(table, width) for width in (WIDE - 1, WIDE + 60))
        assert all(word in narrow and word in wide for word in (*NARROW_COLUMNS, "alice"))
        assert all(word in printed(table, WIDE) for word in COLUMNS)
        assert ("positions" in narrow, "BTC 0.01" in wide) == (False, True)


async def test_the_trading_waits_for_the_accounts_so_that_nothing_is_learned_late(tmp_path: Path) -> None:
    async with open_show(accounts=2, rate=50.0, seed=3, port=0, store=tmp_path / "show.db", script=load_script(b"[]")) as show:
        for name in show.names:
            await show.fleet[name].wait_proven(10)
        assert sum(map(show.fills_at_exchange, show.names)) == 0
        told = show.fleet["alice"].events(types={Filled})
        assert show.traded_ms == 0
        show.trade_when_live()
        await asyncio.wait_for(anext(told), 20)
        assert show.traded_ms > 0
        comparisons = await show.settle()
        assert all(comparison.is_equal for comparison in comparisons), comparisons
        assert [show.fleet[name].health.fills_recovered for name in show.names] == [0, 0]


async def test_accounts_of_several_venues_trade_side_by_side_and_each_store_is_its_venues_books(tmp_path: Path) -> None:
    venues = ("binance-usdm", "binance-spot", "binance-coinm", "binance-margin")
    store = tmp_path / "show.db"
    async with open_show(accounts=4, venues=venues, rate=60.0, seed=5, port=0, store=store, script=load_script(b"[]")) as show:
        for name in show.names:
            await show.fleet[name].wait_proven(10)
        show.trade_when_live()
        async with asyncio.timeout(20):
            while not all(map(show.fills_at_exchange, show.names)):
                await show.clock.sleep(50)
        comparisons = await show.settle()
        assert all(comparison.is_equal and comparison.fills_in_store for comparison in comparisons), comparisons


async def test_a_venue_that_nobody_plays_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no venue 'nope'; it has binance-coinm"):
        async with open_show(accounts=1, venues=("nope",), rate=1.0, seed=1, port=0, store=tmp_path / "a.db", script=load_script(b"[]")):
            raise AssertionError("opened")


def test_legs_are_listed_as_far_as_there_is_room() -> None:
    held = [
        position_set(symbol=symbol, amount=amount) for symbol, amount in (("BTCUSDT", "-0.123"), ("ETHUSDT", "1.5"), ("DOGEUSDT", "120000"))
    ]
    account = Account(AccountId("alice"), VenueName("binance-usdm"))
    for event in held:
        apply(account, event)
    positions = PositionsView(account).open()
    assert list_legs(positions, 40) == "BTC -0.123, ETH 1.5, DOGE 120000"
    assert list_legs(positions, 27) == "BTC -0.123, ETH 1.5, 1 more"
    assert list_legs(positions, 18) == "BTC -0.123, 2 more"
    assert list_legs(positions, 17) == "3 held"
    assert list_legs([], 9) == "flat"


def printed(table: LiveTable, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table.render(width))
    return console.export_text()
