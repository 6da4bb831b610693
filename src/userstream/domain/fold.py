"""Folding: `apply(account, event)`. The account is the join of all it was told: copies and disorder cannot hurt, the older copy loses.

Nothing in this file may know a venue, wait, log or read a clock. The account is changed in place, because copying it for each event
would cost the user; the answer is the event as it should be published: itself, the part of it that is new, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from sys import intern
from typing import Final, TypeVar

import msgspec

from userstream.domain.account import Account, Movement
from userstream.domain.events import (
    AccountConfigChanged,
    BalanceLocked,
    BalanceMoved,
    BalanceSet,
    Event,
    FillCompleted,
    Filled,
    GapOpened,
    GapRepaired,
    LiabilityChanged,
    MarginCalled,
    Mismatch,
    OrderChanged,
    OrderListChanged,
    PositionSet,
    SnapshotTaken,
    StrategyChanged,
    StreamChanged,
    TriggerRejected,
    Unrecognized,
)
from userstream.domain.fills import apply_completion, apply_fill
from userstream.domain.order_lists import apply_order_list, forget_lists
from userstream.domain.orders import anchor_order, apply_order
from userstream.domain.registers import (
    apply_balance,
    apply_liability,
    apply_margin_call,
    apply_movement,
    apply_position,
    apply_settings,
    news_of,
    settle_balances,
)
from userstream.domain.words import Source, StreamState
from userstream.kernel.ids import Millis, OrderId, Symbol


def apply(account: Account, event: Event, connection: int = 0) -> Event | None:
    """Tells the account one fact. `connection` is the socket it came by (0: none). Returns what is new in it, or None."""
    return FOLDS[type(event)](account, event, connection)


def _apply_stream(account: Account, event: StreamChanged, connection: int) -> Event | None:
    account.state = event.state
    account.was_live = account.was_live or event.state is StreamState.LIVE
    return event


def _apply_gap(account: Account, event: GapOpened, connection: int) -> Event | None:
    if account.gap_since is not None and account.gap_since <= event.since:
        return None
    account.gap_since = event.since
    return event


def _apply_repair(account: Account, event: GapRepaired, connection: int) -> Event | None:
    account.gap_since = None
    return event


def _apply_snapshot(account: Account, event: SnapshotTaken, connection: int) -> Event | None:
    account.epoch = max(account.epoch, event.epoch)
    account.proven_until = max(account.proven_until, event.proven_until)
    read_until = event.read_until or event.proven_until
    if read_until and (not account.began or event.lost_since):
        account.began = max(account.began, event.read_since)
    if read_until > account.read_until:
        account.read_until, account.asked_time = read_until, event.asked_time
        settle_balances(account, event.unexplained)
    for anchor in event.filled_before:
        anchor_order(account, anchor)
    account.forgotten_before = max(account.forgotten_before, event.forgotten_before)
    if account.positions_known_since is None and event.started_time:
        account.positions_known_since = event.started_time
    return event


def _apply_mismatch(account: Account, event: Mismatch, connection: int) -> Event | None:
    if event.resolved:
        account.mismatches.pop((event.subject, event.key), None)
    else:
        account.mismatches[event.subject, event.key] = event
    return event


def _apply_always(account: Account, event: Event, connection: int) -> Event | None:
    return event


def _apply_rare(account: Account, event: StrategyChanged | TriggerRejected, connection: int) -> Event | None:
    key = getattr(event, "strategy_id", "") or getattr(event, "order_id", "")
    return news_of(account, event, key, connection)


def _apply_lock(account: Account, event: BalanceLocked, connection: int) -> Event | None:
    return news_of(account, event, event.asset, connection)


STANDING: Final = frozenset({"MarginCalled", "LiabilityChanged"})
"""What was told of these last holds until something else is told, however long ago that was."""

FOLDS: Final[dict[type, Callable[..., Event | None]]] = {
    OrderChanged: apply_order,
    Filled: apply_fill,
    FillCompleted: apply_completion,
    BalanceSet: apply_balance,
    BalanceMoved: apply_movement,
    BalanceLocked: _apply_lock,
    PositionSet: apply_position,
    MarginCalled: apply_margin_call,
    LiabilityChanged: apply_liability,
    AccountConfigChanged: apply_settings,
    OrderListChanged: apply_order_list,
    StrategyChanged: _apply_rare,
    TriggerRejected: _apply_rare,
    StreamChanged: _apply_stream,
    GapOpened: _apply_gap,
    GapRepaired: _apply_repair,
    SnapshotTaken: _apply_snapshot,
    Mismatch: _apply_mismatch,
    Unrecognized: _apply_always,
}


def forget(account: Account, before: Millis) -> None:
    """Drops what is finished and older than `before` (venue time), which must lie in history that was read. The fills of an order stay as
    long as the order, because their sum is its checksum; what is in doubt stays, because nothing explains it yet."""
    doubted = {(doubt.symbol, OrderId(doubt.key)) for doubt in account.doubts if doubt.subject == "order"}
    for key, order in list(account.orders.items()):
        if order.has_ended and order.transaction_time < before and (key[2] or key[:2] not in doubted):
            del account.orders[key]
    living = {(symbol, order_id) for symbol, order_id, _ in account.orders} | doubted
    for symbol, fills in list(account.fills.items()):
        kept = {key: fill for key, fill in fills.items() if fill.transaction_time >= before or (symbol, fill.order_id) in living}
        account.fills[symbol] = kept
        if not kept:
            del account.fills[symbol]
    living |= {(symbol, fill.order_id) for symbol, fills in account.fills.items() for fill in fills.values()}
    account.fill_sums = {key: total for key, total in account.fill_sums.items() if key in living}
    account.anchors = {key: anchor for key, anchor in account.anchors.items() if key in living}
    account.movements = [movement for movement in account.movements if movement.time >= before]
    forget_lists(account, before)
    account.seen_last = {place: last for place, last in account.seen_last.items() if last.time >= before or place[0] in STANDING}
    account.forgotten_before = max(account.forgotten_before, before)


Remembered = TypeVar("Remembered", OrderChanged, Filled)


def let_go_of_bytes(account: Account, most: int) -> int:
    """Lets go of the venue's bytes behind the `most` fills and ended orders that came first of those that still have them: they are
    remembered so that copies of them are known, and nothing compares bytes. Facts that others hold stay as they are: memory gets copies.
    Returns how many it was."""
    count = min(most, len(account.fresh))
    for _ in range(count):
        fact = account.fresh.popleft()
        if isinstance(fact, Filled):
            _lighten_fill(account, fact)
        elif account.orders.get(key := (fact.symbol, fact.order_id, fact.conditional)) is fact and fact.frame is not None:
            account.orders[key] = _lighter(fact)
    if count:
        _lighten_recent(account)
    return count


def count_remembered(account: Account) -> int:
    """How many fills and ended orders are in memory without the venue's bytes behind them."""
    fills = sum(fill.frame is None for told in account.fills.values() for fill in told.values())
    return fills + sum(order.frame is None and order.has_ended for order in account.orders.values())


def _lighten_recent(account: Account) -> None:
    recent = account.recent_fills
    for place, fill in enumerate(recent):
        known = None if fill.frame is None else account.fills.get(fill.symbol, {}).get((fill.trade_id, fill.order_id))
        if known is not None and known.frame is None and known.sequence == fill.sequence:
            recent[place] = known


def _lighten_fill(account: Account, fill: Filled) -> None:
    """Its rest may have come since, and made another fact of it."""
    fills, key = account.fills.get(fill.symbol, {}), (fill.trade_id, fill.order_id)
    known = fills.get(key)
    if known is not None and known.frame is not None:
        fee_asset = None if known.fee_asset is None else intern(known.fee_asset)
        fills[key] = msgspec.structs.replace(_lighter(known), fee_asset=fee_asset)


def _lighter(fact: Remembered) -> Remembered:
    """A copy without bytes, whose symbol is the same text as that of all others."""
    return msgspec.structs.replace(fact, frame=None, symbol=Symbol(intern(fact.symbol)))


def newest_time(account: Account) -> Millis:
    """The venue time of what was told last of orders and fills, 0 without any: others may be newer, but not by much."""
    orders, fills = account.orders, account.recent_fills
    newest_order = next(reversed(orders.values())).transaction_time if orders else Millis(0)
    return max(newest_order, fills[-1].transaction_time if fills else Millis(0))


def checkpoint_of(account: Account) -> tuple[Event, ...]:
    """Events that rebuild the account by `apply`: what a restart reads instead of all of history. Positions come before the snapshot that
    says that all other legs were flat, wallets as a reading explained them before it and what was told since behind it, fills in the
    order of their making, what was forgotten behind what was not."""
    events: list[Event] = [*account.positions.values(), *(account.settled or account.balances).values()]
    if account.positions_known_since is not None:
        events.append(_reading_told(account))
    if account.settled:
        events += [balance for asset, balance in account.balances.items() if account.settled.get(asset) is not balance]
    fills = [fill for told in account.fills.values() for fill in told.values()]
    fills.sort(key=_when_made)
    events += fills
    events += account.orders.values()
    events += account.order_lists.values()
    events += [_movement_told(account, movement) for movement in account.movements]
    events += _settings_of(account)
    if account.was_live:
        events.append(StreamChanged(account=account.id, venue=account.venue, state=StreamState.LIVE, reason="checkpoint"))
    if account.gap_since is not None:
        events.append(GapOpened(account=account.id, venue=account.venue, since=account.gap_since, reason="checkpoint"))
    events += account.mismatches.values()
    events += [last.told[-1] for place, last in account.seen_last.items() if place[0] in STANDING]
    if account.forgotten_before:
        events.append(msgspec.structs.replace(_reading_told(account), filled_before=(), forgotten_before=account.forgotten_before))
    return tuple(events)


def _reading_told(account: Account) -> SnapshotTaken:
    return SnapshotTaken(
        account=account.id,
        venue=account.venue,
        epoch=account.epoch,
        reason="checkpoint",
        started_time=account.positions_known_since or Millis(0),
        proven_until=account.proven_until,
        read_since=account.began,
        read_until=account.read_until,
        filled_before=tuple(account.anchors.values()),
        asked_time=account.asked_time,
    )


def _when_made(fill: Filled) -> Millis:
    return fill.transaction_time


def _movement_told(account: Account, movement: Movement) -> BalanceMoved:
    return BalanceMoved(
        account=account.id,
        venue=account.venue,
        source=Source.STREAM if movement.streamed else Source.SNAPSHOT,
        asset=movement.asset,
        delta=movement.delta,
        reason="checkpoint",
        movement_id=movement.movement_id,
        symbol=movement.symbol,
        transaction_time=movement.time,
    )


def _settings_of(account: Account) -> Iterable[Event]:
    for symbol in sorted(account.leverages.keys() | account.margin_types.keys()):
        yield AccountConfigChanged(
            account=account.id,
            venue=account.venue,
            symbol=symbol,
            leverage=account.leverages.get(symbol),
            margin_type=account.margin_types.get(symbol),
            transaction_time=Millis(0),
        )
    if account.hedge_mode is account.multi_asset_mode is account.can_trade is None:
        return
    yield AccountConfigChanged(
        account=account.id,
        venue=account.venue,
        hedge_mode=account.hedge_mode,
        multi_asset_mode=account.multi_asset_mode,
        can_trade=account.can_trade,
        transaction_time=Millis(0),
    )
