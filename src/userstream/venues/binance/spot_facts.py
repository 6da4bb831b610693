"""Spot's events to facts (Binance Spot, 4.3). Pure functions of one message."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from userstream.domain.events import BalanceLocked, BalanceMoved, BalanceSet, Event, Filled, OrderChanged, OrderListChanged
from userstream.domain.words import OrderStatus, Side
from userstream.kernel.ids import ClientOrderId, Millis, OrderId
from userstream.venues.binance.amounts import check_amounts
from userstream.venues.binance.drift import Drift
from userstream.venues.binance.frames import milliseconds
from userstream.venues.binance.spot_messages import (
    NO_LIST,
    BalanceUpdate,
    ExecutionReport,
    ExternalLockUpdate,
    ListStatus,
    OutboundAccountPosition,
)
from userstream.venues.binance.spot_words import (
    ALLOCATION,
    AMENDED,
    BALANCE_UPDATE,
    CONTINGENCIES,
    FILLING_EXECUTION,
    LIST_STATUSES,
    LIST_UPDATES,
    MAKER_ONLY,
    NO_REJECTION,
    REJECT_REASONS,
    SPOT_EXECUTIONS,
    SPOT_EXPIRY_REASONS,
    SPOT_ORDER_TYPES,
    SPOT_SELF_TRADE_PREVENTIONS,
    SPOT_STATUSES,
    SPOT_TIMES_IN_FORCE,
)
from userstream.venues.binance.words import SIDES, origin_of

_ORDER: Final = "executionReport"
_LIST: Final = "listStatus"
_PER_CENT: Final = Decimal(100)


def report_facts(drift: Drift, report: ExecutionReport, received_time: Millis) -> tuple[Event, ...]:
    """The fill first, where there is one, then the order's new state (Binance Spot, 4.3.1)."""
    check_amounts((report.quantity, report.price, report.stop_price, report.iceberg_quantity, report.filled_quantity, report.filled_value))
    check_amounts((report.last_quantity, report.last_price, report.fee, report.prevented_quantity))
    changed = _order_changed(drift, report, received_time)
    trade_id = _trade_id(report)
    if trade_id and report.last_quantity > 0:
        return (_filled(report, changed, trade_id), changed)
    return (changed,)


def _trade_id(report: ExecutionReport) -> str:
    """Empty where nothing was executed. An allocation has no trade id, but an id of its own kind."""
    if report.execution_type != FILLING_EXECUTION:
        return ""
    if report.trade_id >= 0:
        return str(report.trade_id)
    return "" if report.allocation_id is None else f"{ALLOCATION}{report.allocation_id}"


def own_client_id(report: ExecutionReport) -> ClientOrderId:
    """The order's own id: after a cancellation `c` names the request that cancelled it, and `C` the order (Binance Spot, 4.3.1). An
    amended order has the id in `c`."""
    if report.original_client_order_id and report.execution_type != AMENDED:
        return report.original_client_order_id
    return report.client_order_id


def average_price(value: Decimal, quantity: Decimal) -> Decimal | None:
    """What was paid a unit; None before the first fill, and where the venue does not tell the value (a negative one)."""
    return value / quantity if quantity > 0 and value >= 0 else None


def callback_rate(trailing_delta: int | None) -> Decimal | None:
    """Spot tells the distance of a trailing stop in hundredths of a per cent; rates are per cent."""
    return None if trailing_delta is None else Decimal(trailing_delta) / _PER_CENT


def list_id(order_list_id: int) -> str:
    """Empty for an order that belongs to no list."""
    return "" if order_list_id == NO_LIST else str(order_list_id)


def _order_changed(drift: Drift, report: ExecutionReport, received_time: Millis) -> OrderChanged:
    client_id, order_type, stp = own_client_id(report), report.order_type, report.self_trade_prevention
    delta = report.trailing_delta
    return OrderChanged(
        account=drift.account,
        venue=drift.venue,
        event_time=milliseconds(report.event_time),
        received_time=received_time,
        symbol=report.symbol,
        order_id=OrderId(str(report.order_id)),
        client_order_id=client_id,
        side=SIDES.get(report.side) or drift.word(f"{_ORDER}.S", report.side, Side.UNKNOWN),
        order_type=SPOT_ORDER_TYPES.get(order_type) or drift.text(f"{_ORDER}.o", order_type),
        time_in_force=SPOT_TIMES_IN_FORCE.get(report.time_in_force) or drift.text(f"{_ORDER}.f", report.time_in_force),
        status=SPOT_STATUSES.get(report.status) or drift.word(f"{_ORDER}.X", report.status, OrderStatus.UNKNOWN),
        execution_type=SPOT_EXECUTIONS.get(report.execution_type) or drift.text(f"{_ORDER}.x", report.execution_type),
        price=report.price,
        stop_price=report.stop_price,
        average_price=average_price(report.filled_value, report.filled_quantity),
        quantity=report.quantity,
        filled_quantity=report.filled_quantity,
        post_only=order_type == MAKER_ONLY,
        origin=origin_of(client_id),
        transaction_time=milliseconds(report.transaction_time),
        created_time=milliseconds(report.created_time),
        reason=_reason(drift, report) if report.expiry_reason or report.reject_reason not in NO_REJECTION else "",
        callback_rate=callback_rate(delta),
        activated=None if delta is None else report.trailing_time is not None,
        self_trade_prevention=SPOT_SELF_TRADE_PREVENTIONS.get(stp) or drift.text(f"{_ORDER}.V", stp),
        order_list_id=list_id(report.order_list_id),
        iceberg_quantity=report.iceberg_quantity or None,
        prevented_quantity=report.prevented_quantity,
        prevented_match_id="" if report.prevented_match_id is None else str(report.prevented_match_id),
    )


def _reason(drift: Drift, report: ExecutionReport) -> str:
    if report.expiry_reason:
        return SPOT_EXPIRY_REASONS.get(report.expiry_reason) or drift.text(f"{_ORDER}.eR", report.expiry_reason)
    word = report.reject_reason
    if word.lstrip("-").isdecimal():
        return f"code {word}"  # margin tells an error code here (Binance margin, 4.4)
    return REJECT_REASONS.get(word) or drift.text(f"{_ORDER}.r", word)


def _filled(report: ExecutionReport, changed: OrderChanged, trade_id: str) -> Filled:
    """The execution that brought the order to its new state. Spot has no positions."""
    fee = report.fee
    return Filled(
        account=changed.account,
        venue=changed.venue,
        event_time=changed.event_time,
        received_time=changed.received_time,
        symbol=changed.symbol,
        order_id=changed.order_id,
        client_order_id=changed.client_order_id,
        trade_id=trade_id,
        side=changed.side,
        price=report.last_price,
        quantity=report.last_quantity,
        fee=fee,
        fee_asset=None if fee is None else report.fee_asset,
        maker=report.maker,
        origin=changed.origin,
        transaction_time=changed.transaction_time,
    )


def wallet_facts(drift: Drift, message: OutboundAccountPosition, received_time: Millis) -> tuple[Event, ...]:
    """The wallets that the event may have changed, each with its whole amount: what is free, and what orders lock (Binance Spot, 4.3.2)."""
    event_time, update_time = milliseconds(message.event_time), milliseconds(message.update_time)
    facts: list[Event] = []
    for wallet in message.balances:
        check_amounts((wallet.free, wallet.locked))
        facts.append(
            BalanceSet(
                account=drift.account,
                venue=drift.venue,
                event_time=event_time,
                received_time=received_time,
                asset=wallet.asset,
                total=wallet.free + wallet.locked,
                available=wallet.free,
                transaction_time=update_time,
            )
        )
    return tuple(facts)


def movement_facts(drift: Drift, message: BalanceUpdate, received_time: Millis) -> tuple[Event, ...]:
    """A deposit, withdrawal or transfer. The amount after it comes by an event of its own (Binance Spot, 4.3.3)."""
    check_amounts((message.delta,))
    return (
        BalanceMoved(
            account=drift.account,
            venue=drift.venue,
            event_time=milliseconds(message.event_time),
            received_time=received_time,
            asset=message.asset,
            delta=message.delta,
            reason=BALANCE_UPDATE,
            transaction_time=milliseconds(message.clear_time),
        ),
    )


def lock_facts(drift: Drift, message: ExternalLockUpdate, received_time: Millis) -> tuple[Event, ...]:
    """Another system locked a part of a wallet (Binance Spot, 4.3.5)."""
    check_amounts((message.delta,))
    return (
        BalanceLocked(
            account=drift.account,
            venue=drift.venue,
            event_time=milliseconds(message.event_time),
            received_time=received_time,
            asset=message.asset,
            delta=message.delta,
            transaction_time=milliseconds(message.transaction_time),
        ),
    )


def list_facts(drift: Drift, message: ListStatus, received_time: Millis) -> tuple[Event, ...]:
    """The state of a list of orders; each order's own state comes by its own report (Binance Spot, 4.3.4)."""
    reason = message.reject_reason
    return (
        OrderListChanged(
            account=drift.account,
            venue=drift.venue,
            event_time=milliseconds(message.event_time),
            received_time=received_time,
            symbol=message.symbol,
            order_list_id=str(message.order_list_id),
            status=LIST_STATUSES.get(message.status) or drift.text(f"{_LIST}.L", message.status),
            order_ids=tuple(OrderId(str(order.order_id)) for order in message.orders),
            client_order_list_id=message.client_order_list_id,
            contingency=CONTINGENCIES.get(message.contingency) or drift.text(f"{_LIST}.c", message.contingency),
            update=LIST_UPDATES.get(message.update) or drift.text(f"{_LIST}.l", message.update),
            reason="" if reason in NO_REJECTION else REJECT_REASONS.get(reason) or drift.text(f"{_LIST}.r", reason),
            transaction_time=milliseconds(message.transaction_time),
        ),
    )
