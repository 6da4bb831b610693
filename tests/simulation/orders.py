"""The plain orders of one account: what was told of them, held against the exchange's own books."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from tests.simulation.claims import Violation
from tests.simulation.ground import TrueOrder
from userstream.domain.account import OrderKey
from userstream.domain.events import OrderChanged
from userstream.domain.words import FINAL
from userstream.kernel.ids import Millis
from userstream.sim.books import Order
from userstream.sim.books import OrderStatus as TrueStatus

KNOWN_WITHIN_MS: Final = 20_000
"""How long a running process may not know what became of an order of which no message came; while calls fail, from the last that failed."""

ENDS: Final = {TrueStatus.EXPIRED_IN_MATCH: "expired", TrueStatus.PENDING_NEW: "pending"}
"""The venue's states by our words, where they differ."""

OrderName: TypeAlias = tuple[str, str, str]
"""Symbol, order id, and nothing."""

Standings: TypeAlias = dict[OrderName, tuple[object, ...]]
"""Of each order its status and how much of it was filled."""


class OrderWatch:
    """Keeps the last word that was told of each order. `by_symbol`: the venue tells past orders by symbol, so that nothing tells of one
    that came and went unfilled while nobody could hear it."""

    def __init__(self, *, by_symbol: bool) -> None:
        self._by_symbol = by_symbol
        self._told: dict[OrderKey, OrderChanged] = {}
        self._standing: Standings = {}
        self._true: Standings = {}
        self._behind: dict[OrderName, Millis] = {}

    def begin_anew(self) -> None:
        """A process comes up: what the disk holds is told once more."""
        self._told.clear()
        self._standing.clear()
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
        if not event.conditional:
            name = (str(event.symbol), str(event.order_id), "")
            self._standing[name] = standing = (str(event.status), event.filled_quantity)
            if self._true.get(name) == standing:
                self._behind.pop(name, None)

    def learn(self, news: Iterable[TrueOrder]) -> None:
        """What became of orders in the books."""
        for true in news:
            name, standing = _name_of(true.order), _standing_of(true.order)
            self._true[name] = standing
            if self._standing.get(name) == standing:
                self._behind.pop(name, None)
            else:
                self._behind.setdefault(name, true.happened)

    def look(self, now: Millis, since: Millis) -> None:
        """Is the word about an order overdue? `since`: nothing was due before that."""
        for name, happened in self._behind.items():
            if now - max(happened, since) <= KNOWN_WITHIN_MS:
                return  # the others changed later
            if not self._may_stay_unknown(name, self._true[name]):
                told = self._standing.get(name)
                raise Violation("I1 orders", f"{name} of {happened} is {self._true[name]}, at {now} known as {told}")

    def _may_stay_unknown(self, name: OrderName, true: tuple[object, ...]) -> bool:
        status, filled = true
        return self._by_symbol and status in FINAL and not filled and name not in self._standing

    @property
    def standings(self) -> Standings:
        """As they were told."""
        return self._standing

    def true_standings(self, books: Iterable[Order]) -> Standings:
        """As the books have them, but for those that may stay unknown."""
        true = {_name_of(order): _standing_of(order) for order in books}
        return {name: standing for name, standing in true.items() if not self._may_stay_unknown(name, standing)}

    def ids(self) -> set[str]:
        """Of every order that was told."""
        return {str(order.order_id) for order in self._told.values()}


def _name_of(order: Order) -> OrderName:
    return order.symbol, str(order.order_id), ""


def _standing_of(order: Order) -> tuple[object, ...]:
    return str(ENDS.get(order.status, order.status)), order.filled_quantity
