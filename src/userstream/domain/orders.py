"""Orders as a join: of two copies the older loses, a final state is never left."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from userstream.domain.account import Account, Doubt, OrderKey
from userstream.domain.events import AMENDMENT, GONE, Event, FilledBefore, OrderChanged
from userstream.domain.words import FINAL, STREAM, OrderStatus, Source
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis, OrderId, Symbol

CONDITIONAL_RANK: Final = {OrderStatus.PENDING: 1, OrderStatus.TRIGGERED: 2}
FINAL_RANK: Final = 3
KEPT_BY_AMENDMENTS: Final = (
    *("original_type", "working_type", "self_trade_prevention", "created_time", "good_till_time", "order_list_id"),
    *("activation_price", "callback_rate", "iceberg_quantity", "prevented_quantity", "prevented_match_id"),
)
"""What changing price or quantity never changes: where such news does not say it, it is as it was."""

GONE_REASON: Final = "gone at the venue, which keeps what ended for some days only"


def order_age(order: OrderChanged) -> tuple[int, Decimal, Millis]:
    """What "older" means for orders: how far the life has gone, how much is filled, the venue's time."""
    if order.status in FINAL:
        rank = FINAL_RANK
    else:
        rank = CONDITIONAL_RANK.get(order.status, 0) if order.conditional else 0
    time = order.event_time if order.conditional and order.event_time else order.transaction_time
    return (rank, order.filled_quantity, time)


def same_order(one: OrderChanged, other: OrderChanged) -> bool:
    """Whether two copies say the same to a user, whatever their times and sources. What one does not tell cannot differ."""
    return (
        one.status is other.status
        and one.filled_quantity == other.filled_quantity
        and one.quantity == other.quantity
        and one.price == other.price
        and one.triggered_order_id == other.triggered_order_id
        and (one.activated == other.activated or None in (one.activated, other.activated))
        and (one.stop_price == other.stop_price or None in (one.stop_price, other.stop_price))
    )


def apply_order(account: Account, event: OrderChanged, connection: int) -> Event | None:
    key = (event.symbol, event.order_id, event.conditional)
    known = account.orders.get(key)
    if known is None:
        if _is_ghost(account, event):
            account.duplicates += 1
            return None
    elif not is_news(known, event) and not _is_last_word(account, known, event):
        account.duplicates += 1
        _refresh(account, key, known, event)
        return None
    if known is not None:
        event = _with_what_stayed(event, known)
    account.orders[key] = event
    if event.status in FINAL:
        account.fresh.append(event)
    if not event.conditional:
        check_order(account, event.symbol, event.order_id, event.filled_quantity)
    return event


def _with_what_stayed(event: OrderChanged, known: OrderChanged) -> OrderChanged:
    """News with what they left out. When it was made, no stream tells of a future; an amendment leaves out more. The average is that of a
    filled quantity, and stays only with it."""
    if event.execution_type != AMENDMENT:
        return event if event.created_time or not known.created_time else msgspec.structs.replace(event, created_time=known.created_time)
    left_out = {name: known_value for name in KEPT_BY_AMENDMENTS if not getattr(event, name) and (known_value := getattr(known, name))}
    if event.average_price is None and event.filled_quantity == known.filled_quantity:
        left_out["average_price"] = known.average_price
    if event.stop_price is None:
        left_out["stop_price"] = known.stop_price
    return msgspec.structs.replace(event, **left_out) if left_out else event


def _is_ghost(account: Account, event: OrderChanged) -> bool:
    """A late copy of an order that ended so long ago that it was forgotten; what is open is never forgotten."""
    return event.transaction_time < account.forgotten_before and (event.source is STREAM or event.status in FINAL)


def is_news(known: OrderChanged, event: OrderChanged) -> bool:
    """Whether `event` takes the place of `known`. At equal age the later arrival wins, but a REST copy never over the stream's word."""
    known_age, age = order_age(known), order_age(event)
    if age < known_age or same_order(known, event):
        return False
    if known.status in FINAL and (event.status is not known.status or event.filled_quantity == known.filled_quantity):
        return False
    return age > known_age or event.source is STREAM or known.source is not STREAM


def _is_last_word(account: Account, known: OrderChanged, event: OrderChanged) -> bool:
    """Whether a REST answer, asked later than the venue's lag allows, tells another thing of the very instant that we know of."""
    if event.source is STREAM or known.status in FINAL or same_order(known, event):
        return False
    age = order_age(event)
    return age == order_age(known) and event.as_of > age[2] + account.lag_ms


def _refresh(account: Account, key: OrderKey, known: OrderChanged, event: OrderChanged) -> None:
    """A newer copy that says the same is no news, but what is older than it is now older than what we know."""
    if known.status in FINAL or not same_order(known, event) or order_age(event) <= order_age(known):
        return
    account.orders[key] = msgspec.structs.replace(known, transaction_time=event.transaction_time, event_time=event.event_time)


def check_order(account: Account, symbol: Symbol, order_id: OrderId, filled: Decimal | None) -> None:
    """The venue's cumulative quantity is a running checksum over the order's fills; None: fills of an order we know nothing of."""
    if account.fill_sums.get((symbol, order_id), ZERO) != filled:
        account.doubt("order", symbol, order_id)
    elif account.doubts:
        account.doubts.pop(Doubt("order", symbol, order_id), None)


def gone_order(known: OrderChanged, as_of: Millis, received_time: Millis) -> OrderChanged:
    """What is said of an open order that the venue no longer lists nor knows: it has ended, but nobody can say how."""
    return msgspec.structs.replace(
        known,
        event_time=as_of,
        received_time=received_time,
        sequence=0,
        source=Source.SNAPSHOT,
        as_of=as_of,
        frame=None,
        status=OrderStatus.UNKNOWN,
        execution_type=GONE,
        reason=GONE_REASON,
    )


def is_short(account: Account, order: OrderChanged) -> bool:
    """Whether fewer fills are known than the order says were made: one is missing."""
    return not order.conditional and account.fill_sums.get((order.symbol, order.order_id), ZERO) < order.filled_quantity


def anchor_order(account: Account, anchor: FilledBefore) -> None:
    """What was filled of an order before our care explains as much of its filled quantity, in place of fills of that time."""
    key = (anchor.symbol, anchor.order_id)
    account.anchors[key] = anchor
    account.fill_sums[key] = anchor.quantity + cared_sum(account, anchor.symbol, anchor.order_id, anchor.before)
    order = account.orders.get((*key, False))
    if order is not None:
        check_order(account, *key, order.filled_quantity)


def cared_sum(account: Account, symbol: Symbol, order_id: OrderId, before: Millis) -> Decimal:
    """The sum of the order's known fills that are not older than `before` (venue ms)."""
    fills = account.fills.get(symbol, {}).values()
    return sum((fill.quantity for fill in fills if fill.order_id == order_id and fill.transaction_time >= before), ZERO)
