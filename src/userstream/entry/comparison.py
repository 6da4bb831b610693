"""Is the store equal to the paper exchange's own books? Compared field by field, in exact decimals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from userstream.kernel.amount import plain_amount
from userstream.kernel.ids import AccountId
from userstream.ports import StateReader

Row: TypeAlias = Mapping[str, object]
Key: TypeAlias = tuple[str, ...]
Facts: TypeAlias = dict[Key, object]
MOST_ROWS: Final = 10_000_000
SAME_STATUS: Final = {"expired_in_match": "expired", "pending_new": "pending"}
OPEN: Final = ("new", "pending", "triggering")


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How one account's tables stand against the exchange's books."""

    account: str
    fills_at_exchange: int
    fills_in_store: int
    missing: int
    doubled: int
    invented: int
    differences: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        return not (self.missing or self.doubled or self.invented or self.differences)


async def compare_account(store: StateReader, account: str, truth: Mapping[str, object]) -> Comparison:
    """Compares fills, orders, positions and balances of one account. `truth`: what `GET control_url/truth/ACCOUNT` answers."""

    async def rows(table: str) -> list[dict[str, object]]:
        return await store.rows(table, AccountId(account), limit=MOST_ROWS)

    stored, told = await rows("fills"), _rows(truth, "fills")
    ours, theirs = {_fill_key(row): row for row in stored}, {_fill_key(row): row for row in told}
    differences = [f"fill {'/'.join(key)}" for key in ours.keys() & theirs.keys() if _fill(ours[key]) != _fill(theirs[key])]
    orders = await rows("orders")
    plain, conditional = ([row for row in orders if bool(row["conditional"]) is kind] for kind in (False, True))
    differences += _differing("order", _by(plain, _order_key, _order), _by(_rows(truth, "orders"), _order_key, _order))
    differences += _differing("conditional order", _by(conditional, _order_key, _openness), _algos(truth, conditional))
    legs = [_by(listed, _leg_key, _leg) for listed in (await rows("positions"), _rows(truth, "positions"))]
    differences += _differing("position", *map(_told, legs))
    wallets = [_by(listed, _asset, _wallet) for listed in (await rows("balances"), _rows(truth, "balances"))]
    differences += _differing("balance", *map(_told, wallets))
    return Comparison(
        account=account,
        fills_at_exchange=len(told),
        fills_in_store=len(stored),
        missing=len(theirs.keys() - ours.keys()),
        doubled=len(stored) - len(ours),
        invented=len(ours.keys() - theirs.keys()),
        differences=tuple(sorted(differences)),
    )


def _by(rows: Sequence[Row], key_of: Callable[[Row], Key], value_of: Callable[[Row], object]) -> Facts:
    return {key_of(row): value_of(row) for row in rows}


def _told(facts: Facts) -> Facts:
    """Without what says nothing: a flat leg, an empty wallet."""
    return {key: value for key, value in facts.items() if value != Decimal(0)}


def _differing(what: str, ours: Facts, theirs: Facts) -> list[str]:
    """What one of the two lacks or tells otherwise."""
    keys = (key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key))
    return [f"{what} {'/'.join(key)}: store {_shown(ours.get(key))}, exchange {_shown(theirs.get(key))}" for key in keys]


def _shown(fact: object) -> str:
    match fact:
        case None:
            return "nothing"
        case Decimal():
            return plain_amount(fact)
        case tuple():
            return " ".join(map(_shown, fact))
        case _:
            return str(fact)


def _rows(truth: Mapping[str, object], name: str) -> list[Row]:
    rows: list[Row] = msgspec.convert(truth.get(name, []), list[dict[str, object]])
    return rows


def _fill_key(row: Row) -> Key:
    return (str(row["symbol"]), str(row["trade_id"]), str(row["order_id"]))


def _fill(row: Row) -> tuple[Decimal, ...]:
    return (_amount(row, "quantity"), _amount(row, "price"), _amount(row, "fee"))


def _algos(truth: Mapping[str, object], stored: Sequence[Row]) -> Facts:
    """Conditional orders by what matters of them: are they open, and what was filled. One that came and went while nobody could hear it
    is told by no list of the venue, and is not missed."""
    known = {_order_key(row) for row in stored}
    algos = {(str(row["symbol"]), str(row["algo_id"]), "1"): _openness(row) for row in _rows(truth, "algo_orders")}
    return {key: value for key, value in algos.items() if value[0] == "open" or key in known}


def _openness(row: Row) -> tuple[str, Decimal]:
    return ("open" if row["status"] in OPEN else "ended", _amount(row, "filled_quantity"))


def _order_key(row: Row) -> Key:
    return (str(row["symbol"]), str(row["order_id"]), str(int(bool(row.get("conditional", 0)))))


def _order(row: Row) -> tuple[str, Decimal]:
    status = str(row["status"])
    return (SAME_STATUS.get(status, status), _amount(row, "filled_quantity"))


def _leg_key(row: Row) -> Key:
    return (str(row["symbol"]), str(row["position_side"]))


def _leg(row: Row) -> Decimal:
    return _amount(row, "amount")


def _asset(row: Row) -> Key:
    return (str(row["asset"]),)


def _wallet(row: Row) -> Decimal:
    return _amount(row, "total" if "total" in row else "wallet")


def _amount(row: Row, name: str) -> Decimal:
    return Decimal(str(row[name])) if row[name] is not None else Decimal("NaN")
