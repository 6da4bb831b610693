"""The plain orders of one account: what was told of them, held against the exchange's own books."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, TypeAlias

from tests.simulation.claims import Violation
from tests.simulation.ground import TrueOrder
from userstream.domain.account import OrderKey
from userstream.domain.events import OrderChanged
from userstream.domain.words import FINAL, OrderStatus
from userstream.kernel.ids import Millis, OrderId, Symbol
from userstream.sim.books import Order
from userstream.sim.books import OrderStatus as TrueStatus

KNOWN_WITHIN_MS: Final = 20_000
"""How long a running process may not know what became of an order of which no message came; while calls fail, from the last that failed."""

WORDS: Final = {TrueStatus.EXPIRED_IN_MATCH: OrderStatus.EXPIRED, TrueStatus.PENDING_NEW: OrderStatus.PENDING}
"""Our words for the venue's states, where they differ."""

STATUSES: Final = {status: WORDS.get(status) or OrderStatus(status.value) for status in TrueStatus}

Standings: TypeAlias = dict[OrderKey, tuple[OrderStatus, Decimal]]
"""Of each plain order its status and how much of it was filled."""


class OrderWatch:
    """Keeps the last word that was told of each order. `by_symbol`: the venue tells past orders by symbol, so that nothing tells of one
    that came and went unfilled while nobody could hear it."""

    def __init__(self, *, by_symbol: bool) -> None:
        self._by_symbol = by_symbol
        self._told: dict[OrderKey, OrderChanged] = {}
        self._true: Standings = {}
        self._behind: dict[OrderKey, Millis] = {}

    def begin_anew(self) -> None:
        """A process comes up: what the disk holds is told once more."""
        self._told.clear()
        self._behind = dict.fromkeys(self._true, Millis(0))

    def take(self, event: OrderChanged) -> None:
        """An order only goes forward, and ends once."""
        key = (event.symbol, event.order_id, event.conditional)
        known = self._told.get(key)
        if known is not None:
            if event.filled_quantity < known.filled_quantity:
                raise Violation("I3", f"filled less than before: {known} -> {event}")
            if known.status in FINAL and event.status is not known.status:
                raise Violation("I3", f"ended twice: {known} -> {event}")
        self._told[key] = event
        if key in self._behind and self._true[key] == (event.status, event.filled_quantity):
            del self._behind[key]

    def learn(self, news: Iterable[TrueOrder]) -> None:
        """What became of orders in the books."""
        for true in news:
            key, standing = _key_of(true.order), _standing_of(true.order)
            self._true[key] = standing
            told = self._told.get(key)
            if told is not None and standing == (told.status, told.filled_quantity):
                self._behind.pop(key, None)
            else:
                self._behind.setdefault(key, true.happened)

    def look(self, now: Millis, since: Millis) -> None:
        """Is the word about an order overdue? `since`: nothing was due before that."""
        for key, happened in self._behind.items():
            if now - max(happened, since) <= KNOWN_WITHIN_MS:
                return  # the others changed later
            if not self._may_stay_unknown(key, self._true[key]):
                raise Violation("I1 orders", f"{key} of {happened} is {self._true[key]}, at {now} known as {self._told.get(key)}")

    def _may_stay_unknown(self, key: OrderKey, true: tuple[OrderStatus, Decimal]) -> bool:
        status, filled = true
        return self._by_symbol and status in FINAL and not filled and key not in self._told

    @property
    def standings(self) -> Standings:
        """As they were told."""
        return {key: (told.status, told.filled_quantity) for key, told in self._told.items() if not told.conditional}

    def true_standings(self, books: Iterable[Order]) -> Standings:
        """As the books have them, but for those that may stay unknown."""
        true = {_key_of(order): _standing_of(order) for order in books}
        return {key: standing for key, standing in true.items() if not self._may_stay_unknown(key, standing)}

    def ids(self) -> set[str]:
        """Of every order that was told."""
        return {str(order.order_id) for order in self._told.values()}


def _key_of(order: Order) -> OrderKey:
    return Symbol(order.symbol), OrderId(str(order.order_id)), False


def _standing_of(order: Order) -> tuple[OrderStatus, Decimal]:
    return STATUSES[order.status], order.filled_quantity
