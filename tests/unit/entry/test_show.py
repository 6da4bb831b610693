"""The demo's parts: accounts that trade, a fleet that follows them, and a table that says so."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from userstream.entry.cli.table import NARROW_COLUMNS, WIDE, LiveTable
from userstream.entry.show import NAMES, open_show
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
        assert ("positions" in narrow, "BTC 0.01" in wide) == (False, True)


def printed(table: LiveTable, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table.render(width))
    return console.export_text()
