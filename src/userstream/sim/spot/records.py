"""What one spot account has on paper: orders, fills, lists, amendments and prevented matches, with short lookups."""

from __future__ import annotations

from userstream.sim.books import Refused
from userstream.sim.records import OrderRecords
from userstream.sim.spot.books import OrderList, PreventedMatch, SpotOrder


class SpotRecords(OrderRecords[SpotOrder]):
    """The paper of a spot account: lists and prevented matches too."""

    def __init__(self) -> None:
        super().__init__()
        self.prevented: list[PreventedMatch] = []
        self.lists: dict[int, OrderList] = {}
        self.open_lists: dict[int, OrderList] = {}

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
