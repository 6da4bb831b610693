"""Messages about orders and fills to facts (Binance USD-M, 4.1.1, 4.1.2, 4.1.6, 4.1.7). Pure functions of one message."""

from __future__ import annotations

from decimal import Decimal
from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from userstream.domain.events import NO_TIME, Event, Filled, OrderChanged, TriggerRejected
from userstream.domain.words import OrderStatus, Origin, PositionSide, Side
from userstream.kernel.amount import ZERO
from userstream.kernel.errors import DecodeError
from userstream.kernel.ids import Millis, OrderId
from userstream.venues.binance.amounts import check_amounts, read_amount, read_optional
from userstream.venues.binance.drift import Drift
from userstream.venues.binance.messages import NO_ORDER, AlgoUpdate, ConditionalOrderTriggerReject, OrderPart, OrderTradeUpdate, TradeLite
from userstream.venues.binance.words import (
    ALGO_EXECUTIONS,
    ALGO_STATUSES,
    EXECUTION_TYPES,
    EXPIRY_REASONS,
    FILLING,
    FINISHED,
    LIQUIDATION,
    NO_REASON,
    ORDER_TYPES,
    ORIGIN_PREFIXES,
    POSITION_SIDES,
    POST_ONLY,
    SELF_TRADE_PREVENTIONS,
    SIDES,
    STATUS_ORIGINS,
    STATUSES,
    TIMES_IN_FORCE,
    TRAILING,
    WORKING_TYPES,
    origin_of,
)

_ORDER: Final = "ORDER_TRADE_UPDATE.o"
_ALGO: Final = "ALGO_UPDATE.o"
_words_of = attrgetter(
    "side",
    "position_side",
    "order_type",
    "original_type",
    "time_in_force",
    "status",
    "execution_type",
    "self_trade_prevention",
    "working_type",
    "reduce_only",
    "close_position",
    "expiry_reason",
)
"""All that a pattern is made of."""


class OrderReader:
    """Order messages of one feed to facts.

    Most of an order's words come in few combinations. What such a combination means is found out once, as a pattern of the fact; each
    message then only fills in its own ids, times and amounts.
    """

    __slots__ = ("_drift", "_patterns")

    def __init__(self, drift: Drift) -> None:
        self._drift = drift
        self._patterns: dict[tuple[object, ...], OrderChanged] = {}

    def read(self, message: OrderTradeUpdate, received_time: Millis) -> tuple[Event, ...]:
        """The fill first, where there is one, then the order's new state (Binance USD-M, 4.1.1)."""
        order = message.order
        changed = self._changed(message, order, received_time)
        if order.trade_id and order.execution_type in FILLING and read_amount(order.last_quantity) > 0:
            return (_filled(order, changed), changed)
        return (changed,)

    def _changed(self, message: OrderTradeUpdate, order: OrderPart, received_time: Millis) -> OrderChanged:
        changed = replace(
            self._patterns.get(_words_of(order)) or self._pattern(order),
            event_time=message.event_time,
            received_time=received_time,
            symbol=order.symbol,
            order_id=str(order.order_id),
            client_order_id=order.client_order_id,
            price=read_amount(order.price),
            stop_price=read_optional(order.stop_price),
            average_price=read_optional(order.average_price),
            quantity=read_amount(order.quantity),
            filled_quantity=read_amount(order.filled_quantity),
            transaction_time=message.transaction_time,
        )
        plain = order.activation_price is order.callback_rate is None and order.amendment_id == "" and order.order_type != TRAILING
        if plain and not order.good_till_time and not order.client_order_id.startswith(ORIGIN_PREFIXES):
            return changed
        return _with_rarities(changed, order)

    def _pattern(self, order: OrderPart) -> OrderChanged:
        """Kept unless it holds a word that no table knows: such a word is counted each time."""
        seen_before = self._drift.seen
        pattern = _pattern_of(self._drift, order)
        if self._drift.seen == seen_before:
            self._patterns[_words_of(order)] = pattern
        return pattern


def _with_rarities(changed: OrderChanged, order: OrderPart) -> OrderChanged:
    """With what few orders have."""
    foreign = order.client_order_id.startswith(ORIGIN_PREFIXES)
    return replace(
        changed,
        stop_price=None if order.order_type == TRAILING else changed.stop_price,
        origin=origin_of(order.client_order_id) if foreign else changed.origin,
        activation_price=read_optional(order.activation_price),
        callback_rate=read_optional(order.callback_rate),
        good_till_time=order.good_till_time,
        amendment_id=str(order.amendment_id),
    )


def _origin(order: OrderPart) -> Origin:
    if order.status in STATUS_ORIGINS:
        return STATUS_ORIGINS[order.status]
    return Origin.LIQUIDATION if order.order_type == LIQUIDATION else Origin.OWN


def _pattern_of(drift: Drift, order: OrderPart) -> OrderChanged:
    """What the order's words mean. Its ids, times and amounts are this one order's, and filled in anew for each."""
    return OrderChanged(
        account=drift.account,
        venue=drift.venue,
        symbol=order.symbol,
        order_id=NO_ORDER,
        client_order_id=order.client_order_id,
        side=SIDES.get(order.side) or drift.word(f"{_ORDER}.S", order.side, Side.UNKNOWN),
        position_side=POSITION_SIDES.get(order.position_side) or drift.word(f"{_ORDER}.ps", order.position_side, PositionSide.UNKNOWN),
        order_type=ORDER_TYPES.get(order.order_type) or drift.text(f"{_ORDER}.o", order.order_type),
        original_type=ORDER_TYPES.get(order.original_type) or drift.text(f"{_ORDER}.ot", order.original_type),
        time_in_force=TIMES_IN_FORCE.get(order.time_in_force) or drift.text(f"{_ORDER}.f", order.time_in_force),
        status=STATUSES.get(order.status) or drift.word(f"{_ORDER}.X", order.status, OrderStatus.UNKNOWN),
        execution_type=EXECUTION_TYPES.get(order.execution_type) or drift.text(f"{_ORDER}.x", order.execution_type),
        price=ZERO,
        quantity=ZERO,
        filled_quantity=ZERO,
        reduce_only=order.reduce_only,
        post_only=order.time_in_force in POST_ONLY,
        close_position=order.close_position,
        origin=_origin(order),
        transaction_time=NO_TIME,
        reason="" if order.expiry_reason in NO_REASON else _expiry_reason(drift, order.expiry_reason),
        self_trade_prevention=SELF_TRADE_PREVENTIONS.get(order.self_trade_prevention)
        or drift.text(f"{_ORDER}.V", order.self_trade_prevention),
        working_type=WORKING_TYPES.get(order.working_type) or drift.text(f"{_ORDER}.wt", order.working_type),
    )


def _expiry_reason(drift: Drift, code: str) -> str:
    return EXPIRY_REASONS.get(code) or drift.word(f"{_ORDER}.er", code, f"code {code}")


def _filled(order: OrderPart, changed: OrderChanged) -> Filled:
    """The execution that brought the order to its new state."""
    fee = order.fee
    return Filled(
        account=changed.account,
        venue=changed.venue,
        event_time=changed.event_time,
        received_time=changed.received_time,
        symbol=changed.symbol,
        order_id=changed.order_id,
        client_order_id=changed.client_order_id,
        trade_id=str(order.trade_id),
        side=changed.side,
        position_side=changed.position_side,
        price=read_amount(order.last_price),
        quantity=read_amount(order.last_quantity),
        fee=read_optional(fee),
        fee_asset=None if fee is None else order.fee_asset,
        maker=order.maker,
        realized_pnl=read_optional(order.realized_pnl),
        origin=changed.origin,
        transaction_time=changed.transaction_time,
    )


def trade_facts(drift: Drift, message: TradeLite, received_time: Millis) -> tuple[Event, ...]:
    """The same fill as the order's own message brings, sooner and with less (Binance USD-M, 4.1.2)."""
    quantity = read_amount(message.last_quantity)
    if not message.trade_id or quantity <= 0:
        raise DecodeError("TRADE_LITE without a trade id or a quantity")
    return (
        Filled(
            account=drift.account,
            venue=drift.venue,
            event_time=message.event_time,
            received_time=received_time,
            symbol=message.symbol,
            order_id=OrderId(str(message.order_id)),
            client_order_id=message.client_order_id,
            trade_id=str(message.trade_id),
            side=SIDES.get(message.side) or drift.word("TRADE_LITE.S", message.side, Side.UNKNOWN),
            price=read_amount(message.last_price),
            quantity=quantity,
            maker=message.maker,
            origin=origin_of(message.client_order_id),
            transaction_time=message.transaction_time,
        ),
    )


def algo_status(drift: Drift, path: str, word: str, quantity: Decimal, filled: Decimal) -> OrderStatus:
    """Where a conditional order is (Binance USD-M, 4.1.6). FINISHED says only that the real order ended: the quantities say how. A
    closing order has no quantity of its own, there any execution is the whole."""
    if word == FINISHED:
        return OrderStatus.FILLED if filled > 0 and filled >= quantity else OrderStatus.CANCELED
    return ALGO_STATUSES.get(word) or drift.word(path, word, OrderStatus.UNKNOWN)


def algo_facts(drift: Drift, message: AlgoUpdate, received_time: Millis) -> tuple[Event, ...]:
    """A conditional order's new state. `E` orders these messages, so it is the transaction time too (Binance USD-M, 4.1.6)."""
    order = message.order
    check_amounts((order.quantity, order.price, order.trigger_price, order.average_price, order.filled_quantity))
    event_time = message.event_time
    return (
        OrderChanged(
            account=drift.account,
            venue=drift.venue,
            event_time=event_time,
            received_time=received_time,
            symbol=order.symbol,
            order_id=OrderId(str(order.algo_id)),
            client_order_id=order.client_algo_id,
            side=SIDES.get(order.side) or drift.word(f"{_ALGO}.S", order.side, Side.UNKNOWN),
            position_side=POSITION_SIDES.get(order.position_side) or drift.word(f"{_ALGO}.ps", order.position_side, PositionSide.UNKNOWN),
            order_type=ORDER_TYPES.get(order.order_type) or drift.text(f"{_ALGO}.o", order.order_type),
            time_in_force=TIMES_IN_FORCE.get(order.time_in_force) or drift.text(f"{_ALGO}.f", order.time_in_force),
            status=algo_status(drift, f"{_ALGO}.X", order.status, order.quantity, order.filled_quantity),
            execution_type=ALGO_EXECUTIONS.get(order.status) or order.status.lower(),
            price=order.price,
            stop_price=order.trigger_price,
            average_price=order.average_price if order.order_id else None,
            quantity=order.quantity,
            filled_quantity=order.filled_quantity,
            reduce_only=order.reduce_only,
            post_only=order.time_in_force in POST_ONLY,
            close_position=order.close_position,
            origin=origin_of(order.client_algo_id),
            transaction_time=event_time,
            good_till_time=order.good_till_time,
            reason=order.failure,
            conditional=True,
            triggered_order_id=order.order_id,
            activated=order.activated,
            self_trade_prevention=SELF_TRADE_PREVENTIONS.get(order.self_trade_prevention)
            or drift.text(f"{_ALGO}.V", order.self_trade_prevention),
            working_type=WORKING_TYPES.get(order.working_type) or drift.text(f"{_ALGO}.wt", order.working_type),
        ),
    )


def rejected_trigger_facts(drift: Drift, message: ConditionalOrderTriggerReject, received_time: Millis) -> tuple[Event, ...]:
    """A triggered order was refused (Binance USD-M, 4.1.7)."""
    return (
        TriggerRejected(
            account=drift.account,
            venue=drift.venue,
            event_time=message.event_time,
            received_time=received_time,
            symbol=message.order.symbol,
            order_id=OrderId(str(message.order.order_id)),
            reason=message.order.reason,
            transaction_time=message.transaction_time,
        ),
    )
