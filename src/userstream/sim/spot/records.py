"""What one spot account has on paper: orders, fills, lists, amendments and prevented matches, with short lookups."""

from __future__ import annotations

from userstream.sim.books import Amendment, Fill, Refused
from userstream.sim.engine import is_open
from userstream.sim.spot.books import OrderList, PreventedMatch, SpotOrder


class SpotRecords:
    """Orders by id, by symbol and by client id; open ones apart. Owned by the account."""

    def __init__(self) -> None:
        self.orders: dict[int, SpotOrder] = {}
        self.orders_by_symbol: dict[str, list[SpotOrder]] = {}
        self.open_by_symbol: dict[str, dict[int, SpotOrder]] = {}
        self.fills: list[Fill] = []
        self.fills_by_symbol: dict[str, list[Fill]] = {}
        self.amendments: dict[int, list[Amendment]] = {}
        self.prevented: list[PreventedMatch] = []
        self.lists: dict[int, OrderList] = {}
        self.open_lists: dict[int, OrderList] = {}
        self._by_client_id: dict[tuple[str, str], int] = {}
        self._open_client_ids: dict[str, int] = {}

    # --- orders ---

    def add(self, order: SpotOrder) -> None:
        self.orders[order.order_id] = order
        self.orders_by_symbol.setdefault(order.symbol, []).append(order)
        self.open_by_symbol.setdefault(order.symbol, {})[order.order_id] = order
        self._name(order)

    def close(self, order: SpotOrder) -> None:
        """The order has ended: it is history now."""
        self.open_by_symbol[order.symbol].pop(order.order_id, None)
        self._open_client_ids.pop(order.client_order_id, None)

    def rename(self, order: SpotOrder, client_order_id: str) -> None:
        """An amended order has a new client id; the former one leads to nothing any more."""
        self._open_client_ids.pop(order.client_order_id, None)
        self._by_client_id.pop((order.symbol, order.client_order_id), None)
        order.client_order_id = client_order_id
        self._name(order)

    def _name(self, order: SpotOrder) -> None:
        self._by_client_id[order.symbol, order.client_order_id] = order.order_id
        self._open_client_ids[order.client_order_id] = order.order_id

    def add_fill(self, fill: Fill) -> None:
        self.fills.append(fill)
        self.fills_by_symbol.setdefault(fill.symbol, []).append(fill)

    def order(self, symbol: str, order_id: int | None, client_order_id: str | None) -> SpotOrder:
        """The order with this id, or the latest with this client id (with both, both must fit), else Refused("unknown_order")."""
        named = None if client_order_id is None else self._by_client_id.get((symbol, client_order_id), -1)
        wanted = named if order_id is None else order_id
        found = None if wanted is None else self.orders.get(wanted)
        if found is None or found.symbol != symbol or (named is not None and named != found.order_id):
            raise Refused("unknown_order", "order does not exist")
        return found

    def open_order(self, symbol: str, order_id: int | None, client_order_id: str | None) -> SpotOrder:
        """As `order`, but an ended order is unknown as well."""
        found = self.order(symbol, order_id, client_order_id)
        if not is_open(found):
            raise Refused("unknown_order", "order is not open")
        return found

    def open_orders(self, symbol: str | None = None) -> list[SpotOrder]:
        if symbol is not None:
            return list(self.open_by_symbol.get(symbol, {}).values())
        return [order for orders in self.open_by_symbol.values() for order in orders.values()]

    def has_open_client_id(self, client_order_id: str) -> bool:
        return client_order_id in self._open_client_ids

    # --- lists ---

    def add_list(self, order_list: OrderList) -> None:
        self.lists[order_list.list_id] = order_list
        self.open_lists[order_list.list_id] = order_list

    def close_list(self, order_list: OrderList) -> None:
        self.open_lists.pop(order_list.list_id, None)

    def list_of(self, list_id: int | None, client_list_id: str | None) -> OrderList:
        """The list with this id, or the latest with this client id, else Refused("unknown_list")."""
        if list_id is not None:
            found = self.lists.get(list_id)
        else:
            found = next((each for each in reversed(self.lists.values()) if each.client_list_id == client_list_id), None)
        if found is None:
            raise Refused("unknown_list", "order list does not exist")
        return found

    def has_open_list_id(self, client_list_id: str) -> bool:
        return any(each.client_list_id == client_list_id for each in self.open_lists.values())
