"""What every exchange tells of itself, whatever is traded there: its time, its accounts, their orders and fills, its prices."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from operator import attrgetter
from types import MappingProxyType
from typing import Generic

from userstream.sim.books import AccountSettings, Fill, Happening, Instrument, Millis, Side
from userstream.sim.ground import Ground, OwnerT
from userstream.sim.records import OrderKind, OrderRecords

_id_of = attrgetter("order_id")


class Reading(ABC, Generic[OwnerT, OrderKind]):
    """The reading half of an exchange. Records are handed out as copies; an unknown account or symbol is Refused."""

    def __init__(self, world: Ground[OwnerT]) -> None:
        self._world = world
        self._instruments = MappingProxyType(world.instruments)

    @abstractmethod
    def _records(self, account: str) -> OrderRecords[OrderKind]:
        """The paper of an account."""

    @abstractmethod
    def advance(self, now: Millis) -> None:
        """Let time pass up to `now`."""

    def __repr__(self) -> str:
        world = self._world
        return f"{type(self).__name__}({len(world.accounts)} accounts, {len(world.instruments)} symbols, at {world.now})"

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self._instruments

    @property
    def time(self) -> Millis:
        """How far the exchange's time has come."""
        return self._world.now

    def accounts(self) -> tuple[str, ...]:
        return tuple(self._world.accounts)

    def order(self, account: str, symbol: str, *, order_id: int | None = None, client_order_id: str | None = None) -> OrderKind:
        return copy.copy(self._records(account).order(symbol, order_id, client_order_id))

    def open_orders(self, account: str, symbol: str | None = None) -> list[OrderKind]:
        """Oldest first."""
        orders = self._records(account).open_orders(symbol)
        return [copy.copy(order) for order in sorted(orders, key=_id_of)]

    def orders(self, account: str, symbol: str | None = None) -> list[OrderKind]:
        """All orders ever, oldest first."""
        records = self._records(account)
        found = records.orders.values() if symbol is None else records.orders_by_symbol.get(symbol, [])
        return [copy.copy(order) for order in found]

    def fills(self, account: str, symbol: str | None = None) -> list[Fill]:
        """All fills ever, oldest first."""
        records = self._records(account)
        return list(records.fills if symbol is None else records.fills_by_symbol.get(symbol, []))

    def settings(self, account: str) -> AccountSettings:
        return copy.copy(self._world.account(account).settings)

    def fee_asset(self, account: str) -> str:
        """The asset that fees are paid in while it lasts; empty for the venue's own way."""
        return self._world.account(account).fee_asset

    def last_price(self, symbol: str) -> Decimal:
        self._world.instrument(symbol)
        return self._world.markets[symbol].last

    def best_price(self, symbol: str, side: Side) -> Decimal:
        """The best outside price for somebody who trades on this side: the ask to buy, the bid to sell."""
        self._world.instrument(symbol)
        return self._world.markets[symbol].best(side)

    def drain(self) -> list[Happening]:
        """Everything that happened since the last call, in order."""
        return self._world.drain()

    def _enter(self, account: str, now: Millis) -> OwnerT:
        """Let time pass, then find the account, so that an unknown account never depends on the market."""
        self.advance(now)
        return self._world.account(account)
