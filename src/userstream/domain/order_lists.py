"""Lists of linked orders (one cancels the other, one triggers the other) as a join: what has ended stays ended, of open ones the newer
word counts."""

from __future__ import annotations

from typing import Final

from userstream.domain.account import Account
from userstream.domain.events import Event, OrderListChanged
from userstream.domain.words import STREAM
from userstream.kernel.ids import Millis

EXECUTING: Final = "executing"


def has_list_ended(order_list: OrderListChanged) -> bool:
    """Whether nothing more happens to its orders because of the list."""
    return order_list.status != EXECUTING


def apply_order_list(account: Account, event: OrderListChanged, connection: int) -> Event | None:
    """Keeps the newest word. The venue's books tell only how a list stands: where they say what is known already that is no news."""
    known = account.order_lists.get(event.order_list_id)
    if known is not None and not _is_news(known, event):
        account.duplicates += 1
        return None
    account.order_lists[event.order_list_id] = event
    return event


def _is_news(known: OrderListChanged, event: OrderListChanged) -> bool:
    if has_list_ended(known):
        return False
    if has_list_ended(event):
        return True
    if event.source is not STREAM or event.transaction_time < known.transaction_time:
        return False
    return (event.update, event.order_ids, event.transaction_time) != (known.update, known.order_ids, known.transaction_time)


def unsettled_lists(account: Account) -> set[str]:
    """The ids of lists that are open as far as we know, and of those that an order names and nobody told of."""
    named = {order.order_list_id for order in list(account.orders.values()) if order.order_list_id}
    known = account.order_lists
    return {key for key in named | known.keys() if key not in known or not has_list_ended(known[key])}


def forget_lists(account: Account, before: Millis) -> None:
    """Drops what ended before that venue time (ms) and belongs to no order in memory."""
    named = {order.order_list_id for order in account.orders.values()}
    for key, order_list in list(account.order_lists.items()):
        if has_list_ended(order_list) and order_list.transaction_time < before and key not in named:
            del account.order_lists[key]
