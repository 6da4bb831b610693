"""Lists of linked orders (one cancels the other, one triggers the other) as a join: what has ended stays ended, of open ones the newer
word counts. A list that the venue does not know any more has ended with its orders."""

from __future__ import annotations

from typing import Final

import msgspec

from userstream.domain.account import Account
from userstream.domain.events import Event, OrderChanged, OrderListChanged
from userstream.domain.orders import GONE_REASON
from userstream.domain.words import STREAM
from userstream.kernel.ids import Millis, OrderId

EXECUTING: Final = "executing"
GONE: Final = "gone"
"""The status with which the books say that they do not know a list. What is kept and told is how it ended."""
ALL_DONE: Final = "all_done"


def has_list_ended(order_list: OrderListChanged) -> bool:
    """Whether nothing more happens to its orders because of the list."""
    return order_list.status != EXECUTING


def apply_order_list(account: Account, event: OrderListChanged, connection: int) -> Event | None:
    """Keeps the newest word. The venue's books tell only how a list stands: where they say what is known already that is no news."""
    known = account.order_lists.get(event.order_list_id)
    told = _as_ended(account, known, event) if event.status == GONE else event
    if told is None or (known is not None and not _is_news(known, told)):
        account.duplicates += 1
        return None
    account.order_lists[told.order_list_id] = told
    return told


def _is_news(known: OrderListChanged, event: OrderListChanged) -> bool:
    if has_list_ended(known):
        return False
    if has_list_ended(event):
        return True
    if event.source is not STREAM or event.transaction_time < known.transaction_time:
        return False
    return (event.update, event.order_ids, event.transaction_time) != (known.update, known.order_ids, known.transaction_time)


def _as_ended(account: Account, known: OrderListChanged | None, event: OrderListChanged) -> OrderListChanged | None:
    """The end of a list that the venue does not know any more; None while an order of it may be open, and while the books may be too early
    to know of it."""
    orders = [order for order in account.orders.values() if order.order_list_id == event.order_list_id]
    first = known or next(iter(orders), None)
    if first is None:
        return None
    named = dict.fromkeys(() if known is None else known.order_ids) | dict.fromkeys(order.order_id for order in orders)
    newest = max(word.transaction_time for word in (first, *orders))
    if event.as_of <= newest + account.lag_ms or not all(_has_order_ended(account, first, order_id) for order_id in named):
        return None
    return msgspec.structs.replace(
        event,
        symbol=first.symbol,
        status=ALL_DONE,
        order_ids=tuple(named),
        client_order_list_id="" if known is None else known.client_order_list_id,
        contingency="" if known is None else known.contingency,
        update=ALL_DONE,
        reason=GONE_REASON,
        transaction_time=newest,
    )


def _has_order_ended(account: Account, word: OrderListChanged | OrderChanged, order_id: OrderId) -> bool:
    """One that is not in memory has ended if it was forgotten: open ones never are."""
    order = account.orders.get((word.symbol, order_id, False))
    return word.transaction_time < account.forgotten_before if order is None else order.has_ended


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
