"""The comparison of the store with the exchange's books sees every difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from userstream.entry.comparison import compare_account
from userstream.kernel.ids import AccountId

FILL = {"symbol": "A", "trade_id": "1", "order_id": "7", "price": "2", "quantity": "3", "fee": "0.1"}
ORDER = {"symbol": "A", "order_id": "7", "conditional": 0, "status": "filled", "filled_quantity": "3"}
POSITION = {"symbol": "A", "position_side": "both", "amount": "3"}
BALANCE = {"asset": "USDT", "total": "10"}


class Rows:
    """A store of four lists."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {
            "fills": [dict(FILL)],
            "orders": [dict(ORDER), ORDER | {"order_id": "5", "conditional": 1, "status": "new", "filled_quantity": "0"}],
            "positions": [dict(POSITION)],
            "balances": [dict(BALANCE)],
        }

    async def rows(self, table: str, account: AccountId | None = None, *, limit: int = 1000) -> list[dict[str, object]]:
        return list(self.tables[table])


def truth() -> dict[str, Any]:
    return {
        "fills": [FILL | {"trade_id": 1, "order_id": 7, "quantity": "3.0"}],
        "orders": [{"symbol": "A", "order_id": 7, "status": "filled", "filled_quantity": "3.00"}],
        "algo_orders": [
            {"symbol": "A", "algo_id": 5, "status": "new", "filled_quantity": "0"},
            {"symbol": "A", "algo_id": 6, "status": "expired", "filled_quantity": "0"},
        ],
        "positions": [POSITION, {"symbol": "B", "position_side": "both", "amount": "0"}],
        "balances": [{"asset": "USDT", "wallet": "10.00"}, {"asset": "BNB", "wallet": "0"}],
    }


async def test_equal_amounts_may_be_written_differently() -> None:
    comparison = await compare_account(Rows(), "desk", truth())
    assert comparison.is_equal, comparison


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda tables: tables["fills"].clear(), "missing"),
        (lambda tables: tables["fills"].append(FILL | {"trade_id": "2"}), "invented"),
        (lambda tables: tables["fills"].append(dict(FILL)), "doubled"),
        (lambda tables: tables["fills"][0].update(fee=None), "differences"),
        (lambda tables: tables["orders"].clear(), "differences"),
        (lambda tables: tables["orders"][0].update(status="new"), "differences"),
        (lambda tables: tables["positions"][0].update(amount="4"), "differences"),
        (lambda tables: tables["balances"][0].update(total="11"), "differences"),
        (lambda tables: tables["orders"].append(ORDER | {"order_id": "8", "status": "new"}), "differences"),
        (lambda tables: tables["positions"].append(POSITION | {"symbol": "C"}), "differences"),
        (lambda tables: tables["balances"].append(BALANCE | {"asset": "XYZ"}), "differences"),
        (lambda tables: tables["orders"].append(ORDER | {"order_id": "9", "conditional": 1, "status": "new"}), "differences"),
        (lambda tables: tables["orders"].pop(1), "differences"),
    ],
)
async def test_every_difference_is_seen(change: Callable[[dict[str, list[dict[str, Any]]]], object], seen: str) -> None:
    rows = Rows()
    change(rows.tables)
    comparison = await compare_account(rows, "desk", truth())
    assert not comparison.is_equal
    assert getattr(comparison, seen)


async def test_a_difference_is_told_in_words() -> None:
    rows = Rows()
    rows.tables["balances"][0].update(total="0.00000050")
    rows.tables["orders"][0].update(status="new")
    rows.tables["positions"].clear()
    comparison = await compare_account(rows, "desk", truth())
    assert comparison.differences == (
        "balance USDT: store 0.00000050, exchange 10.00",
        "order A/7/0: store new 3, exchange filled 3.00",
        "position A/both: store nothing, exchange 3",
    )
