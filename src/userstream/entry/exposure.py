"""Which accounts had something at stake when they were heard last, as the store's tables tell: these are started first."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from typing import Final

from userstream.domain.words import OrderStatus
from userstream.kernel.ids import AccountId
from userstream.ports import StateReader

MOST_LEGS: Final = 100_000
NEWEST_ORDERS: Final = 100
"""An order that rests for longer than so many others of its account came later belongs, almost always, to a position that is open too."""

MOST_ASKED: Final = 1_000
"""Of more accounts only positions are read: their start must not wait for a thousand questions about orders."""

NOT_OPEN: Final = frozenset({OrderStatus.TRIGGERED.value, *(status.value for status in OrderStatus if status.is_final)})
"""A conditional order that was triggered lives on as another order."""


async def read_exposed(store: StateReader | None, names: Collection[str]) -> frozenset[str]:
    """Those of the accounts with a position or a young order that was open; none without a store. Raises StoreError."""
    if store is None:
        return frozenset()
    held = {str(leg["account"]) for leg in await store.rows("positions", limit=MOST_LEGS) if _is_held(leg["amount"])}
    others = sorted(set(names) - held)
    if len(others) <= MOST_ASKED:
        held |= {name for name in others if await _has_open_order(store, name)}
    return frozenset(held & set(names))


async def _has_open_order(store: StateReader, name: str) -> bool:
    return any(order["status"] not in NOT_OPEN for order in await store.rows("orders", AccountId(name), limit=NEWEST_ORDERS))


def _is_held(amount: object) -> bool:
    try:
        return Decimal(str(amount)) != 0
    except InvalidOperation:
        return True
