"""What people and programs read of an account: orders, positions, balances as values of their own, made when asked."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from userstream.domain.account import Account
from userstream.domain.events import GONE, BalanceSet, OrderChanged, PositionSet
from userstream.domain.words import FINAL, MarginType, OrderStatus, Origin, PositionSide, Side
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import ClientOrderId, Millis, OrderId, Symbol


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it is now. Amounts in the venue's order unit, times in ms of the venue's clock."""

    symbol: Symbol
    order_id: OrderId
    client_order_id: ClientOrderId
    side: Side
    position_side: PositionSide
    order_type: str
    time_in_force: str
    status: OrderStatus
    price: Decimal
    stop_price: Decimal | None
    average_price: Decimal | None
    quantity: Decimal
    filled_quantity: Decimal
    reduce_only: bool
    post_only: bool
    conditional: bool
    triggered_order_id: OrderId
    origin: Origin
    updated_time: Millis
    is_gone: bool = False

    @property
    def remaining_quantity(self) -> Decimal:
        """What is not filled yet: `quantity` minus `filled_quantity`."""
        return self.quantity - self.filled_quantity

    @property
    def is_open(self) -> bool:
        """Whether the order may still fill, as far as anybody has told."""
        return self.status not in FINAL and not self.is_gone


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One leg as it is now; short amounts are negative. None: the venue has not said."""

    symbol: Symbol
    position_side: PositionSide
    amount: Decimal
    entry_price: Decimal
    break_even_price: Decimal | None
    unrealized_pnl: Decimal | None
    mark_price: Decimal | None
    liquidation_price: Decimal | None
    margin_type: MarginType | None
    isolated_wallet: Decimal | None
    leverage: int | None
    updated_time: Millis


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One asset as it is now. `available` is as the venue last said it, at `available_time`: streams do not tell it."""

    asset: str
    total: Decimal
    cross_total: Decimal | None
    available: Decimal | None
    available_time: Millis
    updated_time: Millis


def order_of(event: OrderChanged) -> Order:
    return Order(
        symbol=event.symbol,
        order_id=event.order_id,
        client_order_id=event.client_order_id,
        side=event.side,
        position_side=event.position_side,
        order_type=event.order_type,
        time_in_force=event.time_in_force,
        status=event.status,
        price=event.price,
        stop_price=event.stop_price,
        average_price=event.average_price,
        quantity=event.quantity,
        filled_quantity=event.filled_quantity,
        reduce_only=event.reduce_only,
        post_only=event.post_only,
        conditional=event.conditional,
        triggered_order_id=event.triggered_order_id,
        origin=event.origin,
        updated_time=event.transaction_time,
        is_gone=event.execution_type == GONE,
    )


def position_of(account: Account, event: PositionSet) -> Position:
    return Position(
        symbol=event.symbol,
        position_side=event.position_side,
        amount=event.amount,
        entry_price=event.entry_price,
        break_even_price=event.break_even_price,
        unrealized_pnl=event.unrealized_pnl,
        mark_price=event.mark_price,
        liquidation_price=event.liquidation_price,
        margin_type=event.margin_type or account.margin_types.get(event.symbol),
        isolated_wallet=event.isolated_wallet,
        leverage=account.leverages.get(event.symbol),
        updated_time=event.transaction_time,
    )


def flat(account: Account, symbol: Symbol, position_side: PositionSide) -> Position:
    """The leg of a symbol that the account does not hold."""
    return Position(
        symbol=symbol,
        position_side=position_side,
        amount=ZERO,
        entry_price=ZERO,
        break_even_price=None,
        unrealized_pnl=None,
        mark_price=None,
        liquidation_price=None,
        margin_type=account.margin_types.get(symbol),
        isolated_wallet=None,
        leverage=account.leverages.get(symbol),
        updated_time=Millis(0),
    )


def balance_of(account: Account, event: BalanceSet) -> Balance:
    available, available_time = account.available.get(event.asset, (None, Millis(0)))
    return Balance(
        asset=event.asset,
        total=event.total,
        cross_total=event.cross_total,
        available=available,
        available_time=available_time,
        updated_time=event.transaction_time,
    )
