"""What a user reads of a running account without waiting: orders, positions, balances, fills, health.

Threads read too, while the loop changes the account: whatever is gone through is copied first, which nothing can interrupt.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from userstream.domain.account import Account
from userstream.domain.events import Filled
from userstream.domain.figures import Balance, Order, Position, balance_of, flat, order_of, position_of
from userstream.domain.words import PositionSide, StreamState
from userstream.kernel.ids import Millis, Symbol

SIDES: Final = tuple(side.value for side in PositionSide if side is not PositionSide.UNKNOWN)


class OrdersView:
    """The orders that are open or ended lately. `orders[id]` takes an order id or a client order id."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def open(self, symbol: str | None = None) -> list[Order]:
        """The orders that may still fill, of one symbol or of all. Raises TypeError for a symbol that is no text."""
        _check_text("open", "symbol", symbol, "BTCUSDT")
        return [order_of(event) for event in self._account.open_orders() if symbol in (None, event.symbol)]

    def get(self, order_id: str) -> Order | None:
        """The order with this id or client order id; None when it is not known (any more). Raises TypeError for an id that is no text."""
        _check_text("get", "order_id", order_id, "8886774")
        event = self._account.order_by_id(order_id)
        return None if event is None else order_of(event)

    def __getitem__(self, order_id: str) -> Order:
        """As `get`. Raises KeyError for an order that is not known."""
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
        """The legs that are held: those whose amount is not 0."""
        return [position_of(self._account, event) for event in list(self._account.positions.values()) if event.amount]

    def leg(self, symbol: str, position_side: PositionSide | str) -> Position:
        """One leg, flat where nothing is held. `position_side`: both (one-way mode), long or short (hedge mode). Raises ValueError for
        another side."""
        if position_side not in SIDES:
            raise ValueError(f"position_side {position_side!r} must be one of {', '.join(SIDES)}")
        key = (Symbol(symbol), PositionSide(position_side))
        event = self._account.positions.get(key)
        return flat(self._account, *key) if event is None else position_of(self._account, event)

    def __getitem__(self, symbol: str) -> Position:
        """The leg of the symbol that is held, else a flat one. Raises KeyError when a long and a short leg are held."""
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
        """The wallet of the asset; None for an asset that the venue never told of."""
        event = self._account.balances.get(asset)
        return None if event is None else balance_of(self._account, event)

    def __getitem__(self, asset: str) -> Balance:
        """As `get`. Raises KeyError for an asset that the venue never told of."""
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
        """The last fills (up to 200 of the account), oldest first, of one symbol or of all; `recent()[-1:]` is the newest. Raises TypeError
        for a symbol that is no text."""
        _check_text("recent", "symbol", symbol, "BTCUSDT", "; the newest N are recent()[-N:]")
        return [fill for fill in list(self._account.recent_fills) if symbol in (None, fill.symbol)]

    def __len__(self) -> int:
        return len(self._account.recent_fills)

    def __repr__(self) -> str:
        return f"<fills of {self._account.id}: {len(self)} recent>"


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How far the picture can be trusted. `is_healthy` is true only when a socket delivers, history is proven, no gap and no mismatch
    is open, and the store keeps up.

    state: the account's StreamState. reason: why it is not live, for people; empty while it is. connections: sockets that are open now.
    age_ms: ms since the last sign of life of any socket, None before the first. proven_until: venue time (ms) up to which history was read
    and found complete, 0 before the first proof. gap_since: venue time (ms) from which events may be missing, None when nothing is.
    mismatches: disagreements with the venue's books that are open now.

    Counted since the account was started: reconnects (sockets after the first), messages (frames of the venue), duplicates_dropped,
    fills_recovered (first learned by REST), fills_missed_by_stream (of these, the ones that the stream should have told), unrecognized
    (events of that kind), drift (what the venue's documents do not know: its name and how often), handler_errors (exceptions of functions
    given to `on`).

    journal_backlog: records that wait to be committed. store_trouble: why nothing can be kept, for people; empty while all is.
    """

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


def _check_text(method: str, name: str, given: object, example: str, hint: str = "") -> None:
    """Raises TypeError for what a program meant otherwise: a number never finds anything, and would say so silently."""
    if given is not None and not isinstance(given, str):
        raise TypeError(f"{method}: {name} must be text such as {example!r}, not {given!r}{hint}")
