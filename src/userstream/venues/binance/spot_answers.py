"""Spot's REST answers to facts (Binance Spot, 6.2). What is read is pure."""

from __future__ import annotations

from userstream.domain.events import AccountConfigChanged, BalanceSet, Event, Filled, OrderChanged, OrderListChanged
from userstream.domain.order_lists import GONE
from userstream.domain.words import OrderStatus, Side
from userstream.kernel.ids import OrderId, Symbol
from userstream.venues.binance.answers import SNAPSHOT_EXECUTION, Reading
from userstream.venues.binance.spot_facts import average_price, callback_rate, list_id
from userstream.venues.binance.spot_rows import AccountRow, OrderListRow, SpotOrderRow, SpotTradeRow
from userstream.venues.binance.spot_words import (
    CONTINGENCIES,
    LIST_STATUSES,
    LIST_UPDATES,
    MAKER_ONLY,
    SPOT_EXPIRY_REASONS,
    SPOT_ORDER_TYPES,
    SPOT_SELF_TRADE_PREVENTIONS,
    SPOT_STATUSES,
    SPOT_TIMES_IN_FORCE,
)
from userstream.venues.binance.words import origin_of


class SpotReading(Reading):
    """Makes the facts of one answer; unknown words are counted under its call."""

    __slots__ = ()

    def account(self, row: AccountRow) -> tuple[Event, ...]:
        """All wallets, as they were when the account changed last, and whether it may trade."""
        wallets: list[Event] = [
            BalanceSet(
                **self.stamp(row.update_time),
                asset=wallet.asset,
                total=wallet.free + wallet.locked,
                available=wallet.free,
                transaction_time=row.update_time,
            )
            for wallet in row.balances
        ]
        if row.can_trade is not None:
            wallets.append(AccountConfigChanged(**self.stamp(self.as_of), can_trade=row.can_trade, transaction_time=self.as_of))
        return tuple(wallets)

    def spot_order(self, row: SpotOrderRow) -> OrderChanged:
        delta = row.trailing_delta
        return OrderChanged(
            **self.stamp(row.update_time),
            symbol=row.symbol,
            order_id=OrderId(str(row.order_id)),
            client_order_id=row.client_order_id,
            side=self.side(row.side),
            order_type=self.text(SPOT_ORDER_TYPES, "type", row.order_type),
            time_in_force=self.text(SPOT_TIMES_IN_FORCE, "timeInForce", row.time_in_force),
            status=self.word(SPOT_STATUSES, "status", row.status, OrderStatus.UNKNOWN),
            execution_type=SNAPSHOT_EXECUTION,
            price=row.price,
            stop_price=row.stop_price,
            average_price=average_price(row.filled_value, row.filled_quantity),
            quantity=row.quantity,
            filled_quantity=row.filled_quantity,
            post_only=row.order_type == MAKER_ONLY,
            origin=origin_of(row.client_order_id),
            transaction_time=row.update_time,
            created_time=row.created_time,
            reason=self.text(SPOT_EXPIRY_REASONS, "expiryReason", row.expiry_reason),
            callback_rate=callback_rate(delta),
            activated=None if delta is None else row.trailing_time is not None,
            self_trade_prevention=self.text(SPOT_SELF_TRADE_PREVENTIONS, "selfTradePreventionMode", row.self_trade_prevention),
            order_list_id=list_id(row.order_list_id),
            iceberg_quantity=row.iceberg_quantity or None,
            prevented_quantity=row.prevented_quantity,
            prevented_match_id="" if row.prevented_match_id is None else str(row.prevented_match_id),
        )

    def order_list(self, row: OrderListRow) -> OrderListChanged:
        """How a list of linked orders stands (Binance Spot, 6.2, with the words of 4.3.4)."""
        return OrderListChanged(
            **self.stamp(row.transaction_time),
            symbol=row.symbol,
            order_list_id=str(row.order_list_id),
            status=self.text(LIST_STATUSES, "listOrderStatus", row.status),
            order_ids=tuple(OrderId(str(order.order_id)) for order in row.orders),
            client_order_list_id=row.client_order_list_id,
            contingency=self.text(CONTINGENCIES, "contingencyType", row.contingency),
            update=self.text(LIST_UPDATES, "listStatusType", row.update),
            transaction_time=row.transaction_time,
        )

    def gone_list(self, order_list_id: str) -> OrderListChanged:
        """The books do not know the list: which one, and what became of its orders, only the account knows (Binance Spot, 3.3 and 6.2)."""
        stamp = self.stamp(self.as_of)
        return OrderListChanged(**stamp, symbol=Symbol(""), order_list_id=order_list_id, status=GONE, transaction_time=self.as_of)

    def spot_fill(self, row: SpotTradeRow) -> Filled:
        """The trade history does not tell client order ids (Binance Spot, 6.2)."""
        return Filled(
            **self.stamp(row.time),
            symbol=row.symbol,
            order_id=OrderId(str(row.order_id)),
            trade_id=str(row.trade_id),
            side=Side.BUY if row.is_buyer else Side.SELL,
            price=row.price,
            quantity=row.quantity,
            fee=row.fee,
            fee_asset=row.fee_asset,
            maker=row.is_maker,
            transaction_time=row.time,
        )
