"""The order lists of one account (Binance Spot, 4.3.4): what was told of them, held against the exchange's own books."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TypeAlias

from tests.simulation.claims import check
from userstream.domain.events import OrderListChanged
from userstream.domain.order_lists import has_list_ended
from userstream.sim.spot.books import OrderList

Standing: TypeAlias = dict[str, tuple[object, ...]]
"""Symbol, orders, and whether nothing more happens to them because of the list; by the list's id."""


class ListWatch:
    """Keeps the last word that was told of each list."""

    def __init__(self) -> None:
        self._told: dict[str, OrderListChanged] = {}

    def begin_anew(self) -> None:
        """A process comes up: what the disk holds is told once more."""
        self._told.clear()

    def take(self, event: OrderListChanged) -> None:
        """A list that ended stays as it is, and its orders and its symbol are its own from the beginning."""
        known = self._told.get(event.order_list_id)
        if known is not None:
            check("I3", not has_list_ended(known), f"a list goes on after its end: {known} -> {event}")
            check("I3", (known.symbol, known.order_ids) == (event.symbol, event.order_ids), f"another list: {known} -> {event}")
        self._told[event.order_list_id] = event

    def standing(self) -> Standing:
        """As it was told."""
        return {key: (str(told.symbol), tuple(map(str, told.order_ids)), has_list_ended(told)) for key, told in self._told.items()}

    def true_standing(self, lists: Iterable[OrderList], orders: Container[str]) -> Standing:
        """As the books have it: every open list, and of those that ended the ones that were told, or of which an order was told (`orders`:
        their ids). Nothing tells of one that came and went while nobody could hear it."""
        return {
            str(each.list_id): (each.symbol, tuple(map(str, each.order_ids)), each.is_done)
            for each in lists
            if not each.is_done or str(each.list_id) in self._told or any(str(order_id) in orders for order_id in each.order_ids)
        }
