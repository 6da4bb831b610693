"""Fills as a grow-only set: the same execution told again adds nothing, except what was unknown of it."""

from __future__ import annotations

import msgspec

from userstream.domain.account import Account, Doubt, FillKey
from userstream.domain.events import Event, FillCompleted, Filled
from userstream.domain.orders import check_order
from userstream.domain.words import Side, Source
from userstream.kernel.amount import ZERO


def apply_fill(account: Account, event: Filled, connection: int) -> Event | None:
    fills = account.fills.get(event.symbol)
    if fills is None:
        fills = account.fills[event.symbol] = {}
    key = (event.trade_id, event.order_id)
    known = fills.get(key)
    if known is None:
        return _add(account, fills, key, event)
    if known.fee is not None or event.fee is None:
        account.duplicates += 1
        return None
    fills[key] = event
    _move_leg(account, event)
    return completion_of(event)


def _add(account: Account, fills: dict[FillKey, Filled], key: FillKey, event: Filled) -> Event | None:
    if event.transaction_time < account.forgotten_before and Doubt("order", event.symbol, event.order_id) not in account.doubts:
        account.duplicates += 1  # history was proven complete that far back: it was known before it was forgotten
        return None
    fills[key] = event
    account.recent_fills.append(event)
    order_key = (event.symbol, event.order_id)
    account.fill_sums[order_key] = account.fill_sums.get(order_key, ZERO) + event.quantity
    if account.doubts or event.fee is None or event.source is not Source.STREAM:
        # a stream's complete fill comes in one frame with its order, which is compared then
        order = account.orders.get((event.symbol, event.order_id, False))
        check_order(account, event.symbol, event.order_id, None if order is None else order.filled_quantity)
    _move_leg(account, event)
    return event


def _move_leg(account: Account, event: Filled) -> None:
    """Counts the fill into its leg's checksum, once: when the leg becomes known."""
    if event.position_side is None:
        return
    key = (event.symbol, event.position_side)
    watch = account.watch_of(key)
    if watch is None:
        return
    watch.add_fill(event.transaction_time, event.quantity if event.side is Side.BUY else -event.quantity)
    account.note_leg(key, watch)


def apply_completion(account: Account, event: FillCompleted, connection: int) -> Event | None:
    """Only replay brings completions: the fold itself makes them from the second copy of a fill."""
    key = (event.trade_id, event.order_id)
    known = account.fills.get(event.symbol, {}).get(key)
    if known is None or known.fee is not None:
        return None
    learned = {name: getattr(event, name) for name in ("position_side", "fee", "fee_asset", "maker", "realized_pnl")}
    merged = account.fills[event.symbol][key] = msgspec.structs.replace(known, **learned)
    _move_leg(account, merged)
    return event


def completion_of(event: Filled) -> FillCompleted:
    return FillCompleted(
        account=event.account,
        venue=event.venue,
        event_time=event.event_time,
        received_time=event.received_time,
        source=event.source,
        symbol=event.symbol,
        order_id=event.order_id,
        trade_id=event.trade_id,
        position_side=event.position_side,
        fee=event.fee,
        fee_asset=event.fee_asset,
        maker=event.maker,
        realized_pnl=event.realized_pnl,
        transaction_time=event.transaction_time,
    )
