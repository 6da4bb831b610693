"""What the tables are and which event goes where: the common part of every projection. Pure; says nothing about how rows are kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import Enum
from functools import cache
from operator import attrgetter
from types import MappingProxyType
from typing import Final, TypeAlias, get_args

import msgspec

from userstream.domain.events import (
    BalanceMoved,
    BalanceSet,
    Event,
    FillCompleted,
    Filled,
    MarginCalled,
    OrderChanged,
    PositionSet,
)
from userstream.kernel.amount import plain_amount
from userstream.kernel.errors import nearest

Value: TypeAlias = str | int | None
Row: TypeAlias = dict[str, Value]


class Table(msgspec.Struct, frozen=True):
    """A table of the read side: its columns, what names a row, and how its rows are listed. `-` before a column turns its order round;
    `rowid` is the order in which the rows came to be."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    listing: tuple[str, ...]


_STAMPS: Final = ("event_time", "received_time", "source", "sequence")
_NEWEST_FIRST: Final = ("account", "-rowid")


def _table(columns: str, *, key: str, listing: tuple[str, ...] = _NEWEST_FIRST, stamps: tuple[str, ...] = _STAMPS) -> Table:
    return Table((*columns.split(), *stamps), tuple(key.split()), listing)


TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        "orders": _table(
            "account venue symbol order_id conditional client_order_id side position_side order_type original_type time_in_force status"
            " execution_type price stop_price average_price quantity filled_quantity reduce_only post_only close_position origin"
            " transaction_time created_time good_till_time reason triggered_order_id activation_price callback_rate activated"
            " self_trade_prevention working_type amendment_id order_list_id iceberg_quantity prevented_quantity prevented_match_id",
            key="account symbol order_id conditional",
        ),
        "fills": _table(
            "account venue symbol trade_id order_id client_order_id side position_side price quantity fee fee_asset maker realized_pnl"
            " origin transaction_time",
            key="account venue symbol trade_id order_id",
        ),
        "positions": _table(
            "account venue symbol position_side amount entry_price break_even_price unrealized_pnl realized_pnl margin_type"
            " isolated_wallet mark_price liquidation_price leverage reason transaction_time",
            key="account symbol position_side",
            listing=("account", "symbol", "position_side"),
        ),
        "balances": _table(
            "account venue asset total cross_total available reason transaction_time", key="account asset", listing=("account", "asset")
        ),
        "movements": _table("account venue movement asset delta reason symbol movement_id transaction_time", key="account movement"),
        "margin_calls": _table(
            "account venue symbol position_side amount margin_type isolated_wallet mark_price unrealized_pnl maintenance_margin"
            " cross_wallet margin_level status transaction_time",
            key="account sequence",
        ),
        "account_events": _table("account venue kind data", key="account sequence"),
        "coverage": _table("account since until state", key="account since", listing=("account", "-since"), stamps=()),
        "cursors": _table("reader position", key="reader", listing=("reader",), stamps=()),
        "checkpoints": _table("account sequence", key="account", listing=("account",), stamps=()),
    }
)

# The newest of each key says all about it; older ones of the same batch need not be written.
REGISTERS: Final = frozenset({"orders", "positions", "balances"})
FILL_BLANKS: Final = (
    "client_order_id", "side", "position_side", "price", "quantity", "fee", "fee_asset", "maker", "realized_pnl", "origin"
)  # fmt: skip
"""What a fill's first message may leave open; the first known value stays."""

_HOMES: Final[Mapping[type, str]] = MappingProxyType(
    {
        OrderChanged: "orders",
        Filled: "fills",
        FillCompleted: "fills",
        PositionSet: "positions",
        BalanceSet: "balances",
        BalanceMoved: "movements",
        MarginCalled: "margin_calls",
    }
)


def find_table(name: str) -> Table:
    """Raises ValueError, with the nearest name, for a table that does not exist."""
    if name not in TABLES:
        raise ValueError(f"there is no table {name!r}; {nearest(name, TABLES)}")
    return TABLES[name]


def sort_into_tables(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of a batch by table, in order; of orders, positions and balances only the last of each key."""
    lists: dict[str, list[Event]] = {}
    registers: dict[str, dict[tuple[object, ...], Event]] = {}
    for event in events:
        home = _HOMES.get(type(event), "account_events")
        if home in REGISTERS:
            _keep_newest(registers.setdefault(home, {}), event)
        else:
            lists.setdefault(home, []).append(event)
    return lists | {home: list(newest.values()) for home, newest in registers.items()}


def _keep_newest(newest: dict[tuple[object, ...], Event], event: Event) -> None:
    key = key_of(event)
    known = newest.get(key)
    if known is None or event.sequence > known.sequence:
        newest[key] = event


def key_of(event: Event) -> tuple[object, ...]:
    """What an event of a register replaces."""
    match event:
        case OrderChanged():
            return (event.account, event.symbol, event.order_id, event.conditional)
        case PositionSet():
            return (event.account, event.symbol, event.position_side)
        case BalanceSet():
            return (event.account, event.asset)
        case _:
            return (event.account, event.sequence)


def row_of(table: str, event: Event) -> tuple[Value, ...]:
    """The event as a row, in the order of the table's columns: words and amounts as text, amounts with the digits they came with and
    without exponent, flags 0 or 1, None where the message did not say."""
    return _extractor(table, type(event))(event)


@cache
def _extractor(table: str, kind: type[Event]) -> Callable[[Event], tuple[Value, ...]]:
    """How a kind of event becomes a row; found out once, because a busy account makes thousands of rows a second."""
    columns = TABLES[table].columns
    types = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    read = attrgetter(*(column for column in columns if column in types))
    told = [place for place, column in enumerate(columns) if column in types]
    changed = [(place, change) for place, column in enumerate(columns) if (change := _change_of(types.get(column))) is not None]
    made = [(place, make) for place, column in enumerate(columns) if (make := _MADE.get((table, column))) is not None]

    def extract(event: Event) -> tuple[Value, ...]:
        row: list[Value] = list(read(event))
        if len(told) < len(columns):
            values, row = row, [None] * len(columns)
            for place, value in zip(told, values, strict=True):
                row[place] = value
        for place, change in changed:
            value = row[place]
            if value is not None:
                row[place] = change(value)
        for place, make in made:
            row[place] = make(event)
        return tuple(row)

    return extract


def _change_of(field_type: object) -> Callable[[object], Value] | None:
    for one in get_args(field_type) or (field_type,):
        if one is Decimal:
            return _amount
        if one is bool:
            return _flag
        if isinstance(one, type) and issubclass(one, Enum):
            return str
    return None


def _amount(value: object) -> str:
    return plain_amount(value) if isinstance(value, Decimal) else str(value)


def _flag(value: object) -> int:
    return 1 if value else 0


def _movement_name(event: Event) -> str:
    if isinstance(event, BalanceMoved) and event.movement_id:
        return f"{event.asset}|{event.reason}|{event.movement_id}"
    return f"#{event.sequence}"


def _kind_name(event: Event) -> str:
    return str(event.__struct_config__.tag)


def _json_text(event: Event) -> str:
    return encode_event(event).decode()


_MADE: Final[Mapping[tuple[str, str], Callable[[Event], str]]] = MappingProxyType(
    {
        ("movements", "movement"): _movement_name,
        ("account_events", "kind"): _kind_name,
        ("account_events", "data"): _json_text,
    }
)


def _amount_fields() -> Iterable[str]:
    for kind in get_args(Event):
        for field in msgspec.structs.fields(kind):
            if field.type is Decimal or Decimal in get_args(field.type):
                yield field.encode_name


_encoder: Final = msgspec.json.Encoder()
_NO_BYTES: Final = b',"frame":{}'
_SCIENTIFIC: Final = re.compile(
    rb'"(%s)":"(-?\d+(?:\.\d+)?E[+-]?\d+)"' % "|".join(sorted(set(_amount_fields()), key=len, reverse=True)).encode()
)


def encode_event(event: Event) -> bytes:
    """The event as JSON: amounts as plain digits, fields with their default left out."""
    data = _encoder.encode(event).replace(_NO_BYTES, b"", 1)
    # Keys stand between bare quotes, and quotes within a text are escaped: a text that merely looks like an amount is not hit.
    if b"E-" in data or b"E+" in data:
        data = _SCIENTIFIC.sub(lambda found: b'"%s":"%s"' % (found[1], plain_amount(Decimal(found[2].decode())).encode()), data)
    return data
