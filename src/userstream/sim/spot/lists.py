"""Order lists: orders that hang on each other (Binance Spot, 4.3.4 and 6.2).

Of a pair only one order ever trades: as soon as one is filled, prevented or triggered, the other one expires first. Both share one
lock, the larger of what either may have to pay; the first of the two holds it. A pending order locks nothing until it begins, which
is when the working order was filled wholly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from userstream.sim.books import Execution, OrderStatus, Refused, Side
from userstream.sim.engine import is_open
from userstream.sim.spot.admission import admit, check_market, need_of, paid_with
from userstream.sim.spot.books import Expiry, NewList, NewSpotOrder, OrderList, SpotOrder
from userstream.sim.spot.instruments import MAX_LISTS, check_client_id
from userstream.sim.spot.trading import Ending, SpotTrading
from userstream.sim.spot.world import SpotAccount, SpotWorld

SIZES: Final = {"oco": 2, "oto": 2, "otoco": 3}
FIRST_TYPES: Final = frozenset({"limit", "limit_maker"})


class Lists:
    """Carries out order lists and keeps the promise of each pair."""

    def __init__(self, world: SpotWorld, trading: SpotTrading) -> None:
        self._world = world
        self._trading = trading
        self._due: deque[OrderList] = deque()  # lists whose working order was filled and whose other orders did not begin yet
        trading.on_fill = self._before_fill
        trading.on_ended = self._after_end
        trading.need = self.need

    # --- placing and cancelling ---

    def place(self, account: SpotAccount, new: NewList) -> OrderList:
        """Accept the list or raise Refused; when it returns, everything that follows at once has happened."""
        self._check(account, new)
        orders = [admit(self._world, account, each, pending=new.kind != "oco" and place > 0) for place, each in enumerate(new.orders)]
        begins = orders if new.kind == "oco" else orders[:1]
        self._check_funds(account, begins)
        order_list = self._enter(account, new, orders)
        self._world.tell_list(order_list, "exec_started")
        for pending in orders[len(begins) :]:
            self._world.tell_order(pending, Execution.NEW)
        self._start(account, begins)
        return order_list

    def cancel(self, order_list: OrderList, request_id: str) -> None:
        """Cancel all orders of the list that are open."""
        for order in self._orders(order_list):
            if is_open(order):
                self._trading.end(order, Ending(OrderStatus.CANCELED, request_id=request_id))

    def amended(self, order: SpotOrder) -> None:
        """One of the list's orders became smaller."""
        order_list = self._list_of(order)
        if order_list is None:
            return
        for each in self._orders(order_list):
            if is_open(each) and each.locked > self.need(each):
                self._trading.lock_exactly(each, self.need(each))
                self._world.tell_balances(self._world.owner(each), [paid_with(self._world, each)])
        self._world.tell_list(order_list, "updated")

    def settle(self) -> None:
        """Let begin what was waiting for a working order. Called when nothing else is going on any more."""
        while self._due:
            self._begin_others(self._due.popleft())

    def need(self, order: SpotOrder) -> Decimal:
        """What the order must have locked: for a pair, its first order holds the larger need of both."""
        other = self._other(order)
        if other is None or not is_open(other) or other.status is OrderStatus.PENDING_NEW:
            return need_of(self._world, order)
        if order.order_id > other.order_id:
            return Decimal(0)
        return max(need_of(self._world, order), need_of(self._world, other))

    # --- checks ---

    def _check(self, account: SpotAccount, new: NewList) -> None:
        if SIZES.get(new.kind) != len(new.orders) or any(each.symbol != new.symbol for each in new.orders):
            raise Refused("bad_list", "the orders do not make a list of this kind")
        if new.client_list_id:
            check_client_id(new.client_list_id)
        if account.records.has_open_list_id(new.client_list_id):
            raise Refused("duplicate_list_id", "an open list has this client id")
        if sum(each.symbol == new.symbol for each in account.records.open_lists.values()) >= MAX_LISTS:
            raise Refused("too_many_lists", f"more than {MAX_LISTS} open lists on the symbol")
        names = [each.client_order_id for each in new.orders if each.client_order_id]
        if len(set(names)) != len(names):
            raise Refused("duplicate_client_order_id", "two orders of the list have the same client order id")
        if new.kind != "oco" and new.orders[0].order_type not in FIRST_TYPES:
            raise Refused("bad_order_type", "a working order is a limit order")
        if new.kind != "oto":
            self._check_pair(new)

    def _check_pair(self, new: NewList) -> None:
        """One order above the market and one below it; one stops a loss, the other takes a profit or waits as maker."""
        above, below = new.orders[-2:]
        if above.side is not below.side or above.quantity != below.quantity:
            raise Refused("bad_list", "the two orders of a pair have one side and one quantity")
        stopping, taking = (below, above) if above.side is Side.SELL else (above, below)
        if not stopping.order_type.startswith("stop_loss") or not taking.order_type.startswith(("take_profit", "limit_maker")):
            raise Refused("bad_list", "a pair is a stop on one side and a limit maker or a take-profit on the other")
        last = self._world.last_price(self._world.instrument(new.symbol).symbol)
        if not _level(below, last) < _level(above, last):
            raise Refused("oco_bad_prices", "the prices of the two orders stand the wrong way round")
        if new.kind == "oco" and not _level(below, last) <= last <= _level(above, last):
            raise Refused("oco_bad_prices", "the market is not between the two orders")

    def _check_funds(self, account: SpotAccount, orders: Sequence[SpotOrder]) -> None:
        needed = max(need_of(self._world, order) for order in orders)
        if needed > account.wallets.free(paid_with(self._world, orders[0])):
            raise Refused("balance_insufficient", "account has insufficient balance")

    # --- beginning ---

    def _enter(self, account: SpotAccount, new: NewList, orders: Sequence[SpotOrder]) -> OrderList:
        list_id = self._world.next_list_id()
        order_list = OrderList(
            list_id=list_id,
            client_list_id=new.client_list_id or f"list-{list_id}",
            account=account.name,
            symbol=new.symbol,
            kind=new.kind,
            order_ids=tuple(order.order_id for order in orders),
            time=self._world.now,
        )
        account.records.add_list(order_list)
        for order in orders:
            order.list_id = list_id
            if new.kind != "oco" and order is not orders[0]:
                order.status = OrderStatus.PENDING_NEW
            account.records.add(order)
        return order_list

    def _start(self, account: SpotAccount, orders: Sequence[SpotOrder]) -> None:
        """Start one order, or the two of a pair with one lock on the first."""
        lock = max(need_of(self._world, order) for order in orders)
        for place, order in enumerate(orders):
            self._trading.start(account, order, lock if place == 0 else Decimal(0))

    def _begin_others(self, order_list: OrderList) -> None:
        """The pending orders begin, or expire when they cannot any more."""
        account = self._world.accounts[order_list.account]
        waiting = [order for order in self._orders(order_list) if order.status is OrderStatus.PENDING_NEW]
        if not waiting:
            return
        try:
            for order in waiting:
                check_market(self._world, order)
            self._check_funds(account, waiting)
        except Refused:
            self._trading.end(waiting[0], Ending(OrderStatus.EXPIRED, Expiry.REJECTED))
            return
        self._start(account, waiting)

    # --- one order's fate is the others' ---

    def _before_fill(self, order: SpotOrder) -> None:
        other = self._other(order)
        if other is None or not is_open(other):
            return
        if order.locked < other.locked:
            order.locked, other.locked = other.locked, order.locked
        self._trading.end(other, Ending(OrderStatus.EXPIRED, Expiry.OCO_TRIGGER))
        self._trading.lock_exactly(order, need_of(self._world, order))

    def _after_end(self, order: SpotOrder, ending: Ending | None) -> None:
        order_list = self._list_of(order)
        if order_list is None:
            return
        if ending is None and order.order_id == order_list.first:
            self._due.append(order_list)
        elif ending is not None and ending.expiry is not Expiry.OCO_TRIGGER:
            self._end_others(order_list, order, ending)
        if not order_list.is_done and not any(is_open(each) for each in self._orders(order_list)):
            order_list.is_done = True
            order_list.time = self._world.now
            self._world.accounts[order_list.account].records.close_list(order_list)
            self._world.tell_list(order_list, "all_done")

    def _end_others(self, order_list: OrderList, ended: SpotOrder, ending: Ending) -> None:
        for other in self._orders(order_list):
            if not is_open(other):
                continue
            if ending.status is OrderStatus.CANCELED or ending.expiry is Expiry.REJECTED:
                self._trading.end(other, ending)
            else:
                why = Expiry.OTO_PHASE_ONE_EXPIRED if ended.order_id == order_list.first else Expiry.OCO_TRIGGER
                self._trading.end(other, Ending(OrderStatus.EXPIRED, why))

    # --- finding ---

    def _orders(self, order_list: OrderList) -> list[SpotOrder]:
        return [self._world.order(order_list.account, order_id) for order_id in order_list.order_ids]

    def _list_of(self, order: SpotOrder) -> OrderList | None:
        return self._world.owner(order).records.open_lists.get(order.list_id)

    def _other(self, order: SpotOrder) -> SpotOrder | None:
        """The other order of the pair; None for an order that is in no pair."""
        order_list = self._list_of(order)
        if order_list is None or order.order_id not in order_list.pair:
            return None
        [other] = [order_id for order_id in order_list.pair if order_id != order.order_id]
        return self._world.order(order.account, other)


def _level(order: NewSpotOrder, last: Decimal) -> Decimal:
    """Where the order stands: its stop, or its limit, or the market for one that trails from now on."""
    return order.stop_price or (last if order.trailing_delta else order.price)
