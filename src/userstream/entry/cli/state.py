"""`userstream state`: what a store says of its accounts right now."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from userstream.domain.events import GONE
from userstream.entry.cli.output import say
from userstream.kernel.errors import SettingsError
from userstream.kernel.ids import AccountId

Rows = list[dict[str, object]]
OPEN = ("new", "partially_filled", "pending", "triggered", "unknown")
MOST_ROWS = 1_000_000
WIDE = 240
SHOWN: dict[str, tuple[str, ...]] = {
    "balances": ("account", "asset", "total", "reason", "transaction_time"),
    "positions": ("account", "symbol", "position_side", "amount", "entry_price", "transaction_time"),
    "orders": ("account", "symbol", "order_id", "side", "order_type", "status", "price", "quantity", "filled_quantity"),
    "fills": ("account", "symbol", "trade_id", "side", "price", "quantity", "fee", "fee_asset"),
    "coverage": ("account", "state", "since", "until"),
}


def state(
    store: Path,
    *,
    account: str | None = None,
    orders: Literal["open", "all"] = "open",
    fills: Annotated[int, Parameter(help="How many of the newest fills.")] = 10,
    json: Annotated[bool, Parameter(negative="", help="One JSON object.")] = False,
) -> int:
    """Print balances, positions, orders, the last fills and the certificate of a store.

    Works while another process writes it. Example: `userstream state userstream.db --account alice`
    """
    if fills < 0:
        raise SettingsError(f"--fills {fills} must be 0 or above")
    if not store.is_file():
        raise SettingsError(f"there is no store {store}; a store is made by userstream run")
    tables = asyncio.run(_read(store, account, orders, fills))
    if json:
        say(msgspec.json.encode(tables).decode())
    else:
        _show(tables)
    return 0


async def _read(store: Path, account: str | None, orders: str, fills: int) -> dict[str, Rows]:
    from userstream.adapters.sqlite import open_reader

    reader = open_reader(store)
    chosen = None if account is None else AccountId(account)
    try:
        tables = {
            name: await reader.rows(name, chosen, limit=fills if name == "fills" else MOST_ROWS) if name != "fills" or fills else []
            for name in SHOWN
        }
    finally:
        await reader.close()
    tables["positions"] = [row for row in tables["positions"] if str(row["amount"]).strip("0.-")]
    if orders == "open":
        tables["orders"] = [row for row in tables["orders"] if row["status"] in OPEN and row["execution_type"] != GONE]
    return tables


def _show(tables: dict[str, Rows]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = WIDE  # a pipe has no edge: nothing is cut off there
    for name, columns in SHOWN.items():
        if not tables[name]:
            console.print(f"{name}: none")
            continue
        table = Table(title=name, title_justify="left")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in tables[name]:
            table.add_row(*(_text(column, row[column]) for column in columns))
        console.print(table)


def _text(column: str, value: object) -> str:
    if isinstance(value, int) and (column.endswith("_time") or column in ("since", "until")):
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00") + " UTC"
    return "" if value is None else str(value)
