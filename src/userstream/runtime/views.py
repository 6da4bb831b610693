"""What a user reads of a running account without waiting: orders, positions, balances, fills, health.

Threads read too, while the loop changes the account: whatever is gone through is copied first, which nothing can interrupt.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from userstream.domain.account import Account
from userstream.domain.events import Filled
from userstream.domain.figures import Balance, Order, Position, balance_of, flat, order_of, position_of
from userstream.domain.words import PositionSide, StreamState
from userstream.kernel.ids import Millis, Symbol


class OrdersView:
    """The orders that are open or ended lately. `orders[id]` takes an order id or a client order id."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def open(self, symbol: str | None = None) -> list[Order]:
        return [order_of(event) for event in self._account.open_orders() if symbol in (None, event.symbol)]

    def get(self, order_id: str) -> Order | None:
        event = self._account.order_by_id(order_id)
        return None if event is None else order_of(event)

    def __getitem__(self, order_id: str) -> Order:
        order = self.get(order_id)
        if order is None:
            raise KeyError(order_id)
        return order

    def __contains__(self, order_id: object) -> bool:
        return isinstance(order_id, str) and self._account.order_by_id(order_id) is not None

    def __iter__(self) -> Iterator[Order]:
        return (order_of(event) for event in list(self._account.orders.values()))

    def __len__(self) -> int:
        return len(self._account.orders)

    def __repr__(self) -> str:
        return f"<orders of {self._account.id}: {len(self.open())} open, {len(self)} remembered>"


class PositionsView:
    """The legs. `positions["BTCUSDT"]` is the one-way leg, or in hedge mode the leg that is held; flat where nothing is held."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def open(self) -> list[Position]:
        return [position_of(self._account, event) for event in list(self._account.positions.values()) if event.amount]

    def leg(self, symbol: str, position_side: PositionSide | str) -> Position:
        key = (Symbol(symbol), PositionSide(position_side))
        event = self._account.positions.get(key)
        return flat(self._account, *key) if event is None else position_of(self._account, event)

    def __getitem__(self, symbol: str) -> Position:
        legs = [leg for leg in self.open() if leg.symbol == symbol]
        if len(legs) > 1:
            raise KeyError(f"{symbol} is held long and short: ask positions.leg({symbol!r}, 'long') or 'short'")
        return legs[0] if legs else self.leg(symbol, PositionSide.BOTH)

    def __iter__(self) -> Iterator[Position]:
        return iter(self.open())

    def __len__(self) -> int:
        return len(self.open())

    def __repr__(self) -> str:
        held = ", ".join(f"{leg.symbol} {leg.position_side} {leg.amount}" for leg in self.open())
        return f"<positions of {self._account.id}: {held or 'flat'}>"


class BalancesView:
    """The wallets, by asset."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def get(self, asset: str) -> Balance | None:
        event = self._account.balances.get(asset)
        return None if event is None else balance_of(self._account, event)

    def __getitem__(self, asset: str) -> Balance:
        balance = self.get(asset)
        if balance is None:
            raise KeyError(asset)
        return balance

    def __contains__(self, asset: object) -> bool:
        return asset in self._account.balances

    def __iter__(self) -> Iterator[Balance]:
        return (balance_of(self._account, event) for event in list(self._account.balances.values()))

    def __len__(self) -> int:
        return len(self._account.balances)

    def __repr__(self) -> str:
        return f"<balances of {self._account.id}: {', '.join(f'{b.asset} {b.total}' for b in self) or 'none'}>"


class FillsView:
    """The last fills, newest last; all of them are in the store."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def recent(self, symbol: str | None = None) -> list[Filled]:
        return [fill for fill in list(self._account.recent_fills) if symbol in (None, fill.symbol)]

    def __len__(self) -> int:
        return len(self._account.recent_fills)

    def __repr__(self) -> str:
        return f"<fills of {self._account.id}: {len(self)} recent>"


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How far the picture can be trusted. `is_healthy` is true only when a socket delivers, history is proven, no gap and no mismatch
    is open, and the store keeps up. Times in ms; ages since the last sign of life of any socket."""

    state: StreamState
    is_healthy: bool
    reason: str
    connections: int
    age_ms: int | None
    proven_until: Millis
    gap_since: Millis | None
    mismatches: int
    reconnects: int
    messages: int
    duplicates_dropped: int
    fills_recovered: int
    fills_missed_by_stream: int
    unrecognized: int
    drift: dict[str, int]
    journal_backlog: int
    store_trouble: str
    handler_errors: int
