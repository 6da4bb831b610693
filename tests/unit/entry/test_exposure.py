"""Who had something at stake, by the tables."""

from __future__ import annotations

from userstream.entry.exposure import MOST_ASKED, read_exposed
from userstream.kernel.ids import AccountId


class Tables:
    """`StateReader` with rows as a test wants them."""

    def __init__(self, legs: dict[str, str], orders: dict[str, list[str]]) -> None:
        self._legs = legs
        self._orders = orders
        self.asked: list[str] = []

    async def rows(self, table: str, account: AccountId | None = None, *, limit: int = 1000) -> list[dict[str, object]]:
        if table == "positions":
            return [dict[str, object](account=name, amount=amount) for name, amount in self._legs.items()]
        assert table == "orders" and account is not None
        self.asked.append(account)
        return [dict[str, object](account=account, status=status) for status in self._orders.get(account, [])][:limit]


async def test_positions_and_open_orders_count_and_what_is_flat_or_ended_does_not() -> None:
    tables = Tables(
        {"long": "0.5", "short": "-1", "flat": "0", "damaged": "?"},
        {"resting": ["filled", "new"], "done": ["filled", "canceled", "expired", "rejected", "triggered"], "lost": ["unknown"]},
    )
    names = ["long", "short", "flat", "damaged", "resting", "done", "lost"]
    assert await read_exposed(tables, names) == {"long", "short", "damaged", "resting", "lost"}
    assert tables.asked == ["done", "flat", "lost", "resting"]


async def test_accounts_that_are_not_to_run_do_not_matter_and_without_a_store_nothing_is_known() -> None:
    assert await read_exposed(Tables({"gone": "1"}, {}), ["alice"]) == frozenset()
    assert await read_exposed(None, ["alice"]) == frozenset()


async def test_of_very_many_accounts_only_positions_are_read() -> None:
    tables = Tables({"account-7": "1"}, {"account-8": ["new"]})
    assert await read_exposed(tables, [f"account-{number}" for number in range(MOST_ASKED + 2)]) == {"account-7"}
    assert tables.asked == []
