"""Is the store equal to the paper exchange's own books? Compared field by field, in exact decimals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from userstream.kernel.ids import AccountId
from userstream.ports import StateReader

Row = Mapping[str, object]
MOST_ROWS: Final = 10_000_000
SAME_STATUS: Final = {"expired_in_match": "expired"}


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
    differences += _differing("order", await rows("orders"), _rows(truth, "orders"), _order_key, _order)
    differences += _differing("position", await rows("positions"), _rows(truth, "positions"), _leg_key, lambda row: _amount(row, "amount"))
    wallet = await rows("balances")
    differences += _differing("balance", wallet, _rows(truth, "balances"), lambda row: (str(row["asset"]),), _wallet)
    return Comparison(
        account=account,
        fills_at_exchange=len(told),
        fills_in_store=len(stored),
        missing=len(theirs.keys() - ours.keys()),
        doubled=len(stored) - len(ours),
        invented=len(ours.keys() - theirs.keys()),
        differences=tuple(sorted(differences)),
    )


def _differing(
    what: str, stored: Sequence[Row], told: Sequence[Row], key_of: Callable[[Row], tuple[str, ...]], value_of: Callable[[Row], object]
) -> list[str]:
    """Rows of the books that the store lacks or tells otherwise. A row that says nothing (a flat leg, an empty wallet) may be absent."""
    ours = {key_of(row): value_of(row) for row in stored}
    wrong = []
    for row in told:
        key, theirs = key_of(row), value_of(row)
        if ours.get(key, Decimal(0)) != theirs:
            wrong.append(f"{what} {'/'.join(key)}: store {ours.get(key)}, exchange {theirs}")
    return wrong


def _rows(truth: Mapping[str, object], name: str) -> list[Row]:
    rows: list[Row] = msgspec.convert(truth[name], list[dict[str, object]])
    return rows


def _fill_key(row: Row) -> tuple[str, ...]:
    return (str(row["symbol"]), str(row["trade_id"]), str(row["order_id"]))


def _fill(row: Row) -> tuple[Decimal, ...]:
    return (_amount(row, "quantity"), _amount(row, "price"), _amount(row, "fee"))


def _order_key(row: Row) -> tuple[str, ...]:
    return (str(row["symbol"]), str(row["order_id"]), str(int(bool(row.get("conditional", 0)))))


def _order(row: Row) -> tuple[str, Decimal]:
    status = str(row["status"])
    return (SAME_STATUS.get(status, status), _amount(row, "filled_quantity"))


def _leg_key(row: Row) -> tuple[str, ...]:
    return (str(row["symbol"]), str(row["position_side"]))


def _wallet(row: Row) -> Decimal:
    return _amount(row, "total" if "total" in row else "wallet")


def _amount(row: Row, name: str) -> Decimal:
    return Decimal(str(row[name])) if row[name] is not None else Decimal("NaN")
