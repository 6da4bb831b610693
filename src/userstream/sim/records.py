"""What an account has on paper: its orders, fills and conditional orders, with the indexes that keep every lookup short."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Generic, TypeVar

import msgspec

from userstream.sim.books import BOTH, BUY, LONG, SELL, ZERO, AlgoOrder, Amendment, Fill, Millis, Order, PositionSide, Refused, Side
from userstream.sim.engine import is_open, remaining


class OpenNotional(msgspec.Struct):
    """The worth of open orders, bids and asks apart."""

    bids: Decimal = ZERO
    asks: Decimal = ZERO

    def add(self, side: Side, amount: Decimal) -> None:
        if side is BUY:
            self.bids += amount
        else:
            self.asks += amount


def is_reducing(order: Order) -> bool:
    """Whether the order can only make its leg smaller: by wish in one-way mode, by its side in hedge mode (Binance USD-M, 7.4)."""
    side = order.position_side
    return order.reduce_only if side is BOTH else (side is LONG) == (order.side is SELL)


def linear_worth(order: Order) -> Decimal:
    """In quote units."""
    return order.price * remaining(order)


OrderKind = TypeVar("OrderKind", bound=Order)


class OrderRecords(Generic[OrderKind]):
    """Orders by id, by symbol and by client id, open ones apart; fills and amendments. Owned by the account."""

    def __init__(self) -> None:
        self.orders: dict[int, OrderKind] = {}
        self.orders_by_symbol: dict[str, list[OrderKind]] = {}
        self.open_by_symbol: dict[str, dict[int, OrderKind]] = {}
        self.fills: list[Fill] = []
        self.fills_by_symbol: dict[str, list[Fill]] = {}
        self.amendments: dict[int, list[Amendment]] = {}
        self._by_client_id: dict[tuple[str, str], int] = {}
        self._open_client_ids: dict[str, int] = {}

    def add(self, order: OrderKind) -> None:
        self.orders[order.order_id] = order
        self.orders_by_symbol.setdefault(order.symbol, []).append(order)
        self.open_by_symbol.setdefault(order.symbol, {})[order.order_id] = order
        self._name(order)

    def close(self, order: OrderKind) -> None:
        """The order has ended: it is history now."""
        self.open_by_symbol[order.symbol].pop(order.order_id, None)
        self._open_client_ids.pop(order.client_order_id, None)

    def rename(self, order: OrderKind, client_order_id: str) -> None:
        """An amended order has a new client id; the former one leads to nothing any more."""
        self._open_client_ids.pop(order.client_order_id, None)
        self._by_client_id.pop((order.symbol, order.client_order_id), None)
        order.client_order_id = client_order_id
        self._name(order)

    def _name(self, order: OrderKind) -> None:
        self._by_client_id[order.symbol, order.client_order_id] = order.order_id
        self._open_client_ids[order.client_order_id] = order.order_id

    def add_fill(self, fill: Fill) -> None:
        self.fills.append(fill)
        self.fills_by_symbol.setdefault(fill.symbol, []).append(fill)

    def order(self, symbol: str, order_id: int | None, client_order_id: str | None) -> OrderKind:
        """The order with this id, or the latest with this client id (with both, both must fit), else Refused("unknown_order")."""
        named = None if client_order_id is None else self._by_client_id.get((symbol, client_order_id), -1)
        wanted = named if order_id is None else order_id
        found = None if wanted is None else self.orders.get(wanted)
        if found is None or found.symbol != symbol or (named is not None and named != found.order_id):
            raise Refused("unknown_order", "order does not exist")
        return found

    def open_order(self, symbol: str, order_id: int | None, client_order_id: str | None) -> OrderKind:
        """As `order`, but an ended order is unknown as well."""
        found = self.order(symbol, order_id, client_order_id)
        if not is_open(found):
            raise Refused("unknown_order", "order is not open")
        return found

    def open_orders(self, symbol: str | None = None) -> list[OrderKind]:
        if symbol is not None:
            return list(self.open_by_symbol.get(symbol, {}).values())
        return [order for orders in self.open_by_symbol.values() for order in orders.values()]

    def has_open_client_id(self, client_order_id: str) -> bool:
        return client_order_id in self._open_client_ids


class Records(OrderRecords[Order]):
    """The paper of an account that trades contracts: conditional orders too, and what open orders are worth."""

    def __init__(self, worth: Callable[[Order], Decimal] = linear_worth) -> None:
        """`worth` says what the remainder of an open order with a price is worth; its amounts must be such that sums are exact."""
        super().__init__()
        self._worth_of = worth
        self.algos: dict[int, AlgoOrder] = {}
        self.waiting_algos: dict[int, AlgoOrder] = {}
        self.countdowns: dict[str, Millis] = {}
        self._algo_client_ids: dict[str, int] = {}
        self._worth: dict[int, Decimal] = {}
        self._all_notional: dict[str, OpenNotional] = {}
        self._opening_notional: dict[tuple[str, PositionSide], OpenNotional] = {}
        self._reducing: dict[tuple[str, PositionSide], dict[int, Order]] = {}

    # --- orders ---

    def add(self, order: Order) -> None:
        super().add(order)
        if is_reducing(order):
            self._reducing.setdefault((order.symbol, order.position_side), {})[order.order_id] = order
        self.weigh(order)

    def close(self, order: Order) -> None:
        super().close(order)
        self._reducing.get((order.symbol, order.position_side), {}).pop(order.order_id, None)
        self.weigh(order)

    def weigh(self, order: Order) -> None:
        """Bring the open notionals up to date after anything happened to the order. A market order weighs nothing."""
        worth = self._worth_of(order) if is_open(order) and order.price else ZERO
        change = worth - self._worth.pop(order.order_id, ZERO)
        if worth:
            self._worth[order.order_id] = worth
        if not change:
            return
        self._all_notional.setdefault(order.symbol, OpenNotional()).add(order.side, change)
        if not is_reducing(order):
            self._opening_notional.setdefault((order.symbol, order.position_side), OpenNotional()).add(order.side, change)

    def reducing(self, symbol: str, side: PositionSide) -> list[Order]:
        return list(self._reducing.get((symbol, side), {}).values())

    def notional(self, symbol: str) -> OpenNotional:
        """Of all open orders on the symbol."""
        return self._all_notional.get(symbol, OpenNotional())

    def opening_notional(self, symbol: str, side: PositionSide) -> OpenNotional:
        """Of the open orders that may make the leg larger."""
        return self._opening_notional.get((symbol, side), OpenNotional())

    def worth(self, order: Order) -> Decimal:
        """What the order counts for in the open notionals."""
        return self._worth.get(order.order_id, ZERO)

    def symbols_with_opening(self) -> list[tuple[str, PositionSide]]:
        return [key for key, notional in self._opening_notional.items() if notional.bids or notional.asks]

    # --- conditional orders ---

    def add_algo(self, algo: AlgoOrder) -> None:
        self.algos[algo.algo_id] = algo
        self.waiting_algos[algo.algo_id] = algo
        self._algo_client_ids[algo.client_algo_id] = algo.algo_id

    def close_algo(self, algo: AlgoOrder) -> None:
        """The conditional order waits no longer."""
        self.waiting_algos.pop(algo.algo_id, None)

    def has_waiting_client_id(self, client_algo_id: str) -> bool:
        return self._algo_client_ids.get(client_algo_id, -1) in self.waiting_algos

    def waiting_algo(self, algo_id: int | None, client_algo_id: str | None) -> AlgoOrder:
        """The waiting conditional order with this id or client id, else Refused("unknown_order")."""
        if algo_id is None and client_algo_id is not None:
            algo_id = self._algo_client_ids.get(client_algo_id)
        found = None if algo_id is None else self.waiting_algos.get(algo_id)
        if found is None:
            raise Refused("unknown_order", "conditional order is not open")
        return found
