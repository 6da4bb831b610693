"""Fills as a grow-only set: the same execution told again adds nothing, except what was unknown of it."""

from __future__ import annotations

import msgspec

from userstream.domain.account import Account, FillKey, signed_quantity
from userstream.domain.events import Event, FillCompleted, Filled
from userstream.domain.orders import check_order
from userstream.domain.words import STREAM
from userstream.kernel.amount import ZERO


def apply_fill(account: Account, event: Filled, connection: int) -> Event | None:
    key = (event.trade_id, event.order_id)
    fills = account.fills.get(event.symbol)
    known = None if fills is None else fills.get(key)
    if known is None:
        return _add(account, key, event)
    if known.fee is not None or event.fee is None:
        account.duplicates += 1
        return None
    _complete(account, key, known, event)
    return completion_of(event)


def _add(account: Account, key: FillKey, event: Filled) -> Event | None:
    symbol = event.symbol
    if event.transaction_time < account.forgotten_before and _was_forgotten(account, event):
        account.duplicates += 1
        return None
    fills = account.fills.get(symbol)
    if fills is None:
        fills = account.fills[symbol] = {}
    fills[key] = event
    account.recent_fills.append(event)
    account.fresh.append(event)
    order_key = (symbol, event.order_id)
    anchor = account.anchors.get(order_key) if account.anchors else None
    if anchor is None or event.transaction_time >= anchor.before:
        account.fill_sums[order_key] = account.fill_sums.get(order_key, ZERO) + event.quantity
    if account.doubts or event.fee is None or event.source is not STREAM:
        # a stream's complete fill comes in one frame with its order, which is compared then
        order = account.orders.get((symbol, event.order_id, False))
        check_order(account, symbol, event.order_id, None if order is None else order.filled_quantity)
    _move_leg(account, event)
    return event


def _was_forgotten(account: Account, event: Filled) -> bool:
    """History was read that far back: it was known before it was forgotten with its order, unless it is the one that was missing."""
    known_order = (event.symbol, event.order_id, False) in account.orders
    return not known_order and ("fills", f"{event.symbol}.{event.trade_id}") not in account.mismatches


def _move_leg(account: Account, event: Filled) -> None:
    """Counts the fill into its leg's checksum, once: when the leg becomes known."""
    if event.position_side is None:
        return
    key = (event.symbol, event.position_side)
    watch = account.watches.get(key)
    if watch is not None:
        watch.add_fill(event.transaction_time, signed_quantity(event))
    elif (watch := account.watch_of(key)) is None:  # it begins with this fill counted in
        return
    account.note_leg(key, watch)


def _complete(account: Account, key: FillKey, known: Filled, event: Filled | FillCompleted) -> None:
    """The known fill stays, with what a fast first copy left open of it; its fee was open."""
    merged = account.fills[known.symbol][key] = msgspec.structs.replace(
        known,
        position_side=event.position_side if known.position_side is None else known.position_side,
        fee=event.fee,
        fee_asset=event.fee_asset if known.fee_asset is None else known.fee_asset,
        maker=event.maker if known.maker is None else known.maker,
        realized_pnl=event.realized_pnl if known.realized_pnl is None else known.realized_pnl,
    )
    _replace_recent(account, known, merged)
    if known.position_side is None:
        _move_leg(account, merged)


def _replace_recent(account: Account, known: Filled, merged: Filled) -> None:
    recent = account.recent_fills
    if recent and recent[-1] is known:  # nearly always so
        recent[-1] = merged
    elif (place := next((place for place, fill in enumerate(recent) if fill is known), None)) is not None:
        recent[place] = merged


def apply_completion(account: Account, event: FillCompleted, connection: int) -> Event | None:
    """Only replay brings completions: the fold itself makes them from the second copy of a fill."""
    key = (event.trade_id, event.order_id)
    known = account.fills.get(event.symbol, {}).get(key)
    if known is None or known.fee is not None:
        return None
    _complete(account, key, known, event)
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
