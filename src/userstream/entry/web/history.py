"""Rows of history as the API tells them, and as CSV for accounting. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

RowType = TypeVar("RowType", bound=msgspec.Struct)
FLAGS: Final = frozenset({"conditional", "reduce_only", "post_only", "close_position", "activated", "maker"})
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


class _Stamps(msgspec.Struct, frozen=True, kw_only=True):
    account: str
    venue: str
    transaction_time: int
    event_time: int
    received_time: int
    source: str
    sequence: int


class OrderRow(_Stamps, frozen=True, kw_only=True):
    """An order as it ended or stands."""

    symbol: str
    order_id: str
    conditional: bool
    client_order_id: str
    side: str
    position_side: str
    order_type: str
    original_type: str
    time_in_force: str
    status: str
    execution_type: str
    price: str
    stop_price: str | None
    average_price: str | None
    quantity: str
    filled_quantity: str
    reduce_only: bool
    post_only: bool
    close_position: bool
    origin: str
    created_time: int
    good_till_time: int
    reason: str
    triggered_order_id: str
    activation_price: str | None
    callback_rate: str | None
    activated: bool | None
    self_trade_prevention: str
    working_type: str
    amendment_id: str
    order_list_id: str
    iceberg_quantity: str | None
    prevented_quantity: str | None
    prevented_match_id: str


class FillRow(_Stamps, frozen=True, kw_only=True):
    """A fill; null is what no message has told yet."""

    symbol: str
    trade_id: str
    order_id: str
    client_order_id: str | None
    side: str | None
    position_side: str | None
    price: str | None
    quantity: str | None
    fee: str | None
    fee_asset: str | None
    maker: bool | None
    realized_pnl: str | None
    origin: str | None


class LedgerRow(_Stamps, frozen=True, kw_only=True):
    """A movement of money for another reason than a trade."""

    movement: str
    asset: str
    delta: str
    reason: str
    symbol: str | None
    movement_id: str


class MarginCallRow(_Stamps, frozen=True, kw_only=True):
    """A warning of liquidation."""

    symbol: str
    position_side: str
    amount: str
    margin_type: str
    isolated_wallet: str | None
    mark_price: str | None
    unrealized_pnl: str | None
    maintenance_margin: str | None
    cross_wallet: str | None
    margin_level: str | None
    status: str


class OrderPage(msgspec.Struct, frozen=True, kw_only=True):
    """Newest arrivals first; next_cursor: what to give as `cursor` for older ones, null at the end."""

    items: list[OrderRow]
    next_cursor: str | None


class FillPage(msgspec.Struct, frozen=True, kw_only=True):
    """Newest arrivals first; next_cursor: what to give as `cursor` for older ones, null at the end."""

    items: list[FillRow]
    next_cursor: str | None


class LedgerPage(msgspec.Struct, frozen=True, kw_only=True):
    """Newest arrivals first; next_cursor: what to give as `cursor` for older ones, null at the end."""

    items: list[LedgerRow]
    next_cursor: str | None


class MarginCallPage(msgspec.Struct, frozen=True, kw_only=True):
    """Newest arrivals first; next_cursor: what to give as `cursor` for older ones, null at the end."""

    items: list[MarginCallRow]
    next_cursor: str | None


def read_rows(rows: Iterable[Mapping[str, object]], kind: type[RowType]) -> list[RowType]:
    """Rows of a table, with flags as booleans. Raises msgspec.ValidationError for what was never written there."""
    return [msgspec.convert({name: _flag(name, value) for name, value in row.items()}, kind) for row in rows]


def _flag(name: str, value: object) -> object:
    return bool(value) if name in FLAGS and value is not None else value


def write_csv(rows: Sequence[msgspec.Struct], kind: type[msgspec.Struct]) -> str:
    """A table with a line of names. A text that a spreadsheet would run as a formula gets an apostrophe in front."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(kind.__struct_fields__)
    writer.writerows([_cell(getattr(row, name)) for name in kind.__struct_fields__] for row in rows)
    return out.getvalue()


def _cell(value: object) -> str | int:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return value
        case _:
            text = str(value)
            return f"'{text}" if text.startswith(_FORMULA) and _NUMBER.fullmatch(text) is None else text
