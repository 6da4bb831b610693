"""What a paper exchange refuses, in words for who programs against it: the action, the field, its value, the rule, what to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from userstream.kernel.errors import nearest

_UNKNOWN_FIELD: Final = re.compile(r"^action '\w+' has no field '(?P<field>[^']+)'")
_NULL: Final = re.compile(r"\bnull\b")
_IDS: Final = ("order_id", "client_order_id")


class Hint(NamedTuple):
    """What a rule leaves open: the fields it is about, where its text does not name them, and what to do."""

    fields: tuple[str, ...]
    advice: str


_SMALLER: Final = Hint((), "take less")
_OTHER_NAME: Final = Hint(("client_order_id",), "give each order a name of its own")
HINTS: Final[Mapping[str, Hint]] = MappingProxyType(
    {
        "unknown_order": Hint(("symbol", *_IDS), "the orders it knows are in truth()['orders']"),
        "unknown_asset": Hint(("asset",), "name an asset that its contracts are paid in"),
        "not_resting": Hint(_IDS, "only an order that is open and rests in the book can be filled"),
        "bad_tick": Hint((), "round the price to that step"),
        "bad_step": Hint(("quantity",), "round it to the symbol's step"),
        "bad_lot": Hint(("quantity",), "round it to the symbol's step"),
        "quantity_too_small": Hint((), "take more"),
        "quantity_too_large": _SMALLER,
        "bad_market_lot": _SMALLER,
        "min_notional": Hint(("quantity", "price"), "take more of it"),
        "percent_price": Hint((), "name a price nearer to the market's, or move_price first"),
        "margin_insufficient": Hint(("quantity", "price"), "take less, or give the account more (balances=..., or the action transfer)"),
        "balance_insufficient": Hint(
            ("quantity", "price", "asset", "amount"), "take less, or give the account more (balances=..., or the action transfer)"
        ),
        "bad_amount": Hint(("amount",), "give another amount"),
        "bad_rate": Hint(("rate",), "0.0001 is 0.01 %"),
        "duplicate_client_order_id": _OTHER_NAME,
        "bad_client_order_id": Hint(("client_order_id",), "take 1 to 36 letters, digits, - and _, or leave it out"),
        "bad_time_in_force": Hint((), "gtc, ioc and fok are known everywhere"),
        "good_till_too_soon": Hint(("time_in_force", "good_till_time"), "give good_till_time in ms, or another time_in_force"),
        "bad_order_type": Hint((), "take limit or market"),
        "post_only_would_take": Hint(("price",), "name a price that rests, or another time_in_force"),
        "fok_not_fillable": Hint(("quantity",), "take less, or another time_in_force"),
        "position_side_mismatch": Hint(("position_side",), "both is for one-way mode, long and short are for hedge mode"),
        "no_position": Hint(("symbol", "position_side"), "open one first"),
        "leverage_out_of_range": Hint(("leverage",), "take a whole number between these"),
    }
)


class Premises(NamedTuple):
    """What an exchange takes: the fields of each action, the symbols it trades, the account at hand."""

    actions: Mapping[str, Collection[str]]
    symbols: Collection[str]
    account: str


def explain(action: str, fields: Mapping[str, object], error: str, rule: str, premises: Premises) -> str:
    """One line. `error`, `rule`: what the exchange said of the action with these fields; without a rule a field is wrong in itself."""
    symbol, account = fields.get("symbol"), fields.get("account")
    if rule in ("unknown_symbol", "unknown_order") and symbol not in premises.symbols:
        return f"{action}: symbol = {symbol!r} is not traded here; {nearest(str(symbol), premises.symbols)}"
    if rule:
        hint = HINTS.get(rule, Hint((), ""))
        return f"{action}: {_named(hint.fields, fields)}{error}" + (f"; {hint.advice}" if hint.advice else "")
    if error.startswith(f"there is no account {account!r}"):
        return f"{action}: account = {account!r} is not known; this one is {premises.account!r}"
    if unknown := _UNKNOWN_FIELD.match(error):
        return f"{action}: there is no field {unknown['field']!r}; {nearest(unknown['field'], premises.actions.get(action, ()))}"
    return f"{action}: {_NULL.sub('None', error.removeprefix(f'action {action!r}: '))}"


def _named(names: tuple[str, ...], fields: Mapping[str, object]) -> str:
    given = ", ".join(f"{name} = {fields[name]!r}" for name in names if fields.get(name) not in (None, ""))
    return f"{given}: " if given else ""
