"""`userstream state`: what a store says of its accounts right now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter

from userstream.domain.account import Account
from userstream.domain.events import GONE, Event, LiabilityChanged
from userstream.domain.fold import apply
from userstream.domain.registers import debts_read
from userstream.entry.cli.output import say, show_count
from userstream.entry.cli.stores import check_account, require_store
from userstream.entry.times import show_time
from userstream.kernel.amount import plain_amount
from userstream.kernel.errors import SettingsError
from userstream.kernel.ids import AccountId, VenueName
from userstream.kernel.text import printable

if TYPE_CHECKING:
    from rich.table import Table

    from userstream.adapters.sqlite_reader import SqliteReader

Rows = list[dict[str, object]]
OPEN = ("new", "partially_filled", "pending", "triggered", "unknown")
MOST_ROWS = 1_000_000
MOST_ORDERS = 50
RECORDS_AT_ONCE = 1_000
READ_LATE = 1_000
"""So many fills may have come to the store after a newer one, because a gap was repaired."""
WIDE = 240
MEANING = {
    "PROVEN": "equal to the venue's own trade history",
    "REPAIRED": "was missing, and was read from the venue's history afterwards",
    "STREAM_ONLY": "told by the stream, not yet compared",
    "KNOWN_GAP": "something may be missing",
}
SHOWN: dict[str, tuple[str, ...]] = {
    "balances": ("account", "asset", "total", "reason", "transaction_time"),
    "debts": ("account", "asset", "principal", "interest", "transaction_time"),
    "positions": ("account", "symbol", "position_side", "amount", "entry_price", "transaction_time"),
    "orders": (
        "transaction_time",
        "account",
        "symbol",
        "order_id",
        "side",
        "order_type",
        "status",
        "price",
        "stop_price",
        "quantity",
        "filled_quantity",
    ),
    "fills": ("transaction_time", "account", "symbol", "trade_id", "side", "price", "quantity", "fee", "fee_asset"),
    "coverage": ("account", "state", "since", "until"),
}
NUMBERS = frozenset(
    {"total", "principal", "interest", "amount", "entry_price", "price", "stop_price", "quantity", "filled_quantity", "fee"}
)
RARE = frozenset({"debts"})
"""Tables that most accounts have no use for: not spoken of where they are empty."""
RARE_COLUMNS = frozenset({"stop_price"})
"""Shown where a row has something to say there; plain orders have none, or a zero."""


def state(
    store: Annotated[Path, Parameter(help="The database file.")],
    *,
    account: Annotated[str | None, Parameter(help="Only this account; without it, all.")] = None,
    orders: Annotated[Literal["open", "all"], Parameter(help="Which orders.")] = "open",
    limit: Annotated[
        int | None, Parameter(help=f"How many of the newest orders; without it, {MOST_ORDERS} in the tables, all in JSON.")
    ] = None,
    fills: Annotated[int, Parameter(help="How many of the newest fills, over all accounts.")] = 10,
    json: Annotated[bool, Parameter(help="One JSON object.")] = False,
) -> int:
    """Print balances, debts, positions, orders, the last fills and the coverage of a store: newest first, times of the venue in UTC.

    Works while another process writes it. What PROVEN, REPAIRED, STREAM_ONLY and KNOWN_GAP say: docs/certificate.md, or
    `userstream audit`.

    Example: `userstream state userstream.db --account alice`
    """
    for option, count in (("--fills", fills), ("--limit", limit)):
        if count is not None and count < 0:
            raise SettingsError(f"{option} {count} must be 0 or above")
    require_store(store)
    tables = asyncio.run(_read(store, account, orders, fills))
    most = limit if json or limit is not None else MOST_ORDERS
    listed = tables["orders"]
    tables["orders"] = listed[:most]
    more = len(listed) - len(tables["orders"])
    if json:
        say(msgspec.json.encode(tables | ({"more_orders": more} if more else {})).decode())
    else:
        _show(tables, more)
    return 0


async def _read(store: Path, account: str | None, orders: str, fills: int) -> dict[str, Rows]:
    from userstream.adapters.sqlite import open_reader

    reader = open_reader(store)
    chosen = None if account is None else AccountId(account)
    try:
        await check_account(reader, account)
        tables = {name: await reader.rows(name, chosen, limit=MOST_ROWS) for name in SHOWN if name not in ("fills", "debts")}
        tables["debts"] = await _debts(reader, chosen)
        tables["fills"] = await _newest_fills(reader, chosen, fills)
    finally:
        await reader.close()
    tables["positions"] = [row for row in tables["positions"] if str(row["amount"]).strip("0.-")]
    tables["orders"] = sorted((row for row in tables["orders"] if orders == "all" or _is_open(row)), key=_age)
    return {name: tables[name] for name in SHOWN}


async def _newest_fills(reader: SqliteReader, chosen: AccountId | None, count: int) -> Rows:
    """The newest by the venue's time, whichever account's they are and whenever they came to the store."""
    accounts = await reader.accounts() if chosen is None else [chosen]
    rows = [row for account in accounts for row in await reader.rows("fills", account, limit=count + READ_LATE)] if count else []
    return sorted(rows, key=_age)[:count]


async def _debts(reader: SqliteReader, chosen: AccountId | None) -> Rows:
    """What is owed as the venue's books told it last; the rows of the tables are changes."""
    accounts = await reader.accounts() if chosen is None else [chosen]
    return [row for account in accounts for row in await _debts_of(reader, account)]


async def _debts_of(reader: SqliteReader, name: AccountId) -> Rows:
    account = Account(name, VenueName(""))
    sequence, events = await reader.load_checkpoint(name)
    _take_debts(account, events)
    while records := await reader.read_account(name, after=sequence, limit=RECORDS_AT_ONCE):
        for record in records:
            _take_debts(account, record.events)
        sequence = max(sequence, records[-1].last_sequence)
    owed = sorted(debts_read(account), key=lambda debt: debt.asset)
    return [{column: _plain(getattr(debt, column)) for column in SHOWN["debts"]} for debt in owed]


def _take_debts(account: Account, events: Iterable[Event]) -> None:
    for event in events:
        if isinstance(event, LiabilityChanged):
            apply(account, event)


def _plain(value: object) -> object:
    return plain_amount(value) if isinstance(value, Decimal) else value


def _is_open(row: dict[str, object]) -> bool:
    return row["status"] in OPEN and row["execution_type"] != GONE


def _age(row: dict[str, object]) -> int:
    time = row["transaction_time"]
    return -time if isinstance(time, int) else 0


def _table(name: str, rows: Rows) -> Table:
    from rich.table import Table

    table = Table(title=name, title_justify="left")
    columns = [column for column in SHOWN[name] if column not in RARE_COLUMNS or any(_text(column, row[column]) for row in rows)]
    for column in columns:
        side: Literal["left", "right"] = "right" if column in NUMBERS else "left"
        table.add_column(column.replace("transaction_time", "time (UTC)"), overflow="fold", justify=side)
    for row in rows:
        table.add_row(*(_text(column, row[column]) for column in columns))
    return table


def _show(tables: dict[str, Rows], more_orders: int) -> None:
    from rich.console import Console

    console = Console(markup=False, emoji=False)  # what the venue wrote is no command
    if not console.is_terminal:
        console.width = WIDE  # a pipe has no edge: nothing is cut off there
    for name in SHOWN:
        more = more_orders if name == "orders" else 0
        if tables[name]:
            console.print(_table(name, tables[name]))
        elif name not in RARE and not more:
            console.print(f"{name}: none")
        if more:
            console.print(f"{show_count(more, 'older order')} more: --limit {len(tables[name]) + more} shows all", highlight=False)
    said = {str(row["state"]) for row in tables["coverage"]}
    for word, meaning in MEANING.items():
        if word in said:
            console.print(f"{word}: {meaning}", highlight=False)


def _text(column: str, value: object) -> str:
    if isinstance(value, int) and (column.endswith("_time") or column in ("since", "until")):
        return show_time(value) if value else "-"
    if column in RARE_COLUMNS and not str(value or "").strip("0.-"):
        return ""
    return "" if value is None else printable(str(value))
