"""Conditional orders: they wait outside the book, watch a price, and become plain orders (Binance USD-M, 4.1.6 and 6.1)."""

from __future__ import annotations

import copy
from decimal import Decimal
from functools import partial
from typing import Final

from userstream.sim.admission import TIMES_IN_FORCE, admit, check_good_till, check_may_trade, check_position_side, closable
from userstream.sim.books import (
    ZERO,
    AlgoHappened,
    AlgoOrder,
    AlgoStatus,
    Instrument,
    Millis,
    NewAlgo,
    NewOrder,
    Order,
    PositionSide,
    Refused,
    Side,
)
from userstream.sim.instruments import check_client_id, check_price, check_quantity, is_amount
from userstream.sim.trading import Trading
from userstream.sim.world import Account, World

MAX_WAITING: Final = 200
LEAST_CALLBACK: Final = Decimal("0.1")
LARGEST_CALLBACK: Final = Decimal(20)
PROTECTION: Final = Decimal("0.05")  # with price protection: how far last and mark price may differ at the trigger

TYPES: Final = frozenset({"stop", "stop_market", "take_profit", "take_profit_market", "trailing_stop_market"})
WITH_LIMIT: Final = frozenset({"stop", "take_profit"})
CLOSING_TYPES: Final = frozenset({"stop_market", "take_profit_market"})
TRAILING: Final = "trailing_stop_market"


def triggers_rising(order_type: str, side: Side) -> bool:
    """Whether the trigger is met from below: a stop that buys, a profit taken by selling."""
    return (side is Side.BUY) == order_type.startswith("stop")


def is_met(rising: bool, price: Decimal, level: Decimal) -> bool:
    return price >= level if rising else price <= level


class Conditionals:
    """All waiting conditional orders of all accounts, by symbol."""

    def __init__(self, world: World, trading: Trading) -> None:
        self._world = world
        self._trading = trading
        self._waiting: dict[str, dict[int, AlgoOrder]] = {symbol: {} for symbol in world.instruments}
        self._extremes: dict[int, Decimal] = {}  # best price since activation, of trailing orders
        self._triggered: dict[int, AlgoOrder] = {}  # by the id of the real order
        trading.on_ended = self._finish

    # --- placing and cancelling ---

    def place(self, account: Account, new: NewAlgo) -> AlgoOrder:
        """Accept the conditional order or raise Refused. A trailing order without activation price is active at once."""
        self._check(account, new)
        algo = self._algo_of(account, new)
        account.records.add_algo(algo)
        self._waiting[algo.symbol][algo.algo_id] = algo
        self._tell(algo)
        if algo.time_in_force == "gtd":
            self._world.at(algo.good_till_time, partial(self._expire_in_time, algo))
        if algo.order_type == TRAILING and not algo.activation_price:
            self._activate(algo, self._working_price(algo.symbol, algo.working_type))
        return algo

    def cancel(self, algo: AlgoOrder) -> None:
        self._leave(algo, AlgoStatus.CANCELED)

    def end_all(self, account: Account, symbol: str, status: AlgoStatus = AlgoStatus.CANCELED, reason: str = "") -> int:
        """End the account's waiting conditional orders on the symbol; returns how many there were."""
        ended = [algo for algo in account.records.waiting_algos.values() if algo.symbol == symbol]
        for algo in ended:
            self._leave(algo, status, reason)
        return len(ended)

    def _algo_of(self, account: Account, new: NewAlgo) -> AlgoOrder:
        algo_id = self._world.next_algo_id()
        return AlgoOrder(
            algo_id=algo_id,
            account=account.name,
            client_algo_id=new.client_algo_id or f"a-{algo_id}",
            symbol=new.symbol,
            side=new.side,
            position_side=new.position_side,
            order_type=new.order_type,
            time_in_force=new.time_in_force,
            quantity=new.quantity,
            price=new.price,
            trigger_price=new.trigger_price,
            activation_price=new.activation_price,
            callback_rate=new.callback_rate,
            working_type=new.working_type,
            close_position=new.close_position,
            price_protect=new.price_protect,
            reduce_only=new.reduce_only,
            self_trade_prevention=new.self_trade_prevention,
            price_match=new.price_match,
            good_till_time=new.good_till_time if new.time_in_force == "gtd" else Millis(0),
            created_time=self._world.now,
            updated_time=self._world.now,
        )

    # --- checks ---

    def _check(self, account: Account, new: NewAlgo) -> None:
        check_may_trade(account, self._world.now)
        instrument = self._world.instrument(new.symbol)
        if new.order_type not in TYPES:
            raise Refused("bad_order_type", f"conditional order type {new.order_type} does not exist")
        if new.time_in_force not in TIMES_IN_FORCE:
            raise Refused("bad_time_in_force", f"time in force {new.time_in_force} does not exist")
        if new.working_type not in {"contract_price", "mark_price"}:
            raise Refused("bad_working_type", f"working type {new.working_type} does not exist")
        check_position_side(account, new.position_side, reduce_only=new.reduce_only)
        check_good_till(new.time_in_force, new.good_till_time, self._world.now)
        _check_quantity(instrument, new)
        if new.order_type in WITH_LIMIT and new.price_match == "none":
            check_price(instrument, new.price)
        self._check_client_id(account, new.client_algo_id)
        if len(account.records.waiting_algos) >= MAX_WAITING:
            raise Refused("too_many_conditional_orders", f"more than {MAX_WAITING} open conditional orders")
        self._check_trigger(instrument, new)

    def _check_client_id(self, account: Account, client_algo_id: str) -> None:
        if not client_algo_id:
            return
        check_client_id(client_algo_id)
        if account.records.has_waiting_client_id(client_algo_id):
            raise Refused("duplicate_client_order_id", "an open conditional order has this client id")

    def _check_trigger(self, instrument: Instrument, new: NewAlgo) -> None:
        price = self._working_price(new.symbol, new.working_type)
        if new.order_type == TRAILING:
            _check_trailing(instrument, new, price)
            return
        check_price(instrument, new.trigger_price)
        if is_met(triggers_rising(new.order_type, new.side), price, new.trigger_price):
            raise Refused("would_trigger_immediately", "the order would trigger immediately")

    # --- watching ---

    def watch(self, symbol: str) -> None:
        """The prices of the symbol have moved: activate and trigger what is due, oldest first."""
        waiting = self._waiting[symbol]
        if not waiting:
            return
        for algo in list(waiting.values()):
            if algo.status is AlgoStatus.NEW:
                self._watch_one(algo, self._working_price(symbol, algo.working_type))

    def _watch_one(self, algo: AlgoOrder, price: Decimal) -> None:
        if algo.order_type == TRAILING:
            level = self._trail(algo, price)
            due = level is not None and is_met(algo.side is Side.BUY, price, level)
        else:
            due = is_met(triggers_rising(algo.order_type, algo.side), price, algo.trigger_price)
        if due and not (algo.price_protect and self._is_torn(algo.symbol)):
            self._trigger(algo)

    def _trail(self, algo: AlgoOrder, price: Decimal) -> Decimal | None:
        """Follow the price; returns the level that triggers, None while not active."""
        if not algo.activated:
            if not is_met(algo.side is Side.SELL, price, algo.activation_price):
                return None
            self._activate(algo, price)
        better = max if algo.side is Side.SELL else min
        extreme = self._extremes[algo.algo_id] = better(self._extremes[algo.algo_id], price)
        share = algo.callback_rate / 100
        return extreme * (1 - share if algo.side is Side.SELL else 1 + share)

    def _activate(self, algo: AlgoOrder, price: Decimal) -> None:
        algo.activated = True
        algo.updated_time = self._world.now
        self._extremes[algo.algo_id] = price
        self._tell(algo)

    def _working_price(self, symbol: str, working_type: str) -> Decimal:
        market = self._world.markets[symbol]
        return market.mark if working_type == "mark_price" else market.last

    def _is_torn(self, symbol: str) -> bool:
        market = self._world.markets[symbol]
        return abs(market.last - market.mark) > market.mark * PROTECTION

    # --- triggering ---

    def _trigger(self, algo: AlgoOrder) -> None:
        """TRIGGERING, then TRIGGERED and the real order, or REJECTED with the reason, or EXPIRED when nothing is left to close."""
        world = self._world
        account = world.accounts[algo.account]
        algo.triggered_time = world.now
        self._set(algo, AlgoStatus.TRIGGERING)
        most = closable(account, algo.symbol, algo.position_side, algo.side)
        if algo.close_position and not most:
            self._leave(algo, AlgoStatus.EXPIRED, "there is no position to close")
            return
        try:
            order = admit(world, account, _order_wish(algo, most), world.now)
        except Refused as refused:
            self._leave(algo, AlgoStatus.REJECTED, refused.text or refused.rule)
            return
        _mark_origin(order, algo)
        algo.order_id = order.order_id
        self._triggered[order.order_id] = algo
        self._leave(algo, AlgoStatus.TRIGGERED)
        self._trading.start(account, order)

    def _finish(self, order: Order) -> None:
        """The real order has ended, and with it the conditional order."""
        algo = self._triggered.pop(order.order_id, None)
        if algo is None:
            return
        algo.average_price, algo.filled_quantity = order.average_price, order.filled_quantity
        self._set(algo, AlgoStatus.FINISHED)

    def _expire_in_time(self, algo: AlgoOrder) -> None:
        if algo.status is AlgoStatus.NEW:
            self._leave(algo, AlgoStatus.EXPIRED, "good-till time reached")

    def _leave(self, algo: AlgoOrder, status: AlgoStatus, reason: str = "") -> None:
        """The conditional order waits no longer."""
        self._waiting[algo.symbol].pop(algo.algo_id, None)
        self._extremes.pop(algo.algo_id, None)
        self._world.accounts[algo.account].records.close_algo(algo)
        algo.reject_reason = reason
        self._set(algo, status)

    def _set(self, algo: AlgoOrder, status: AlgoStatus) -> None:
        algo.status = status
        algo.updated_time = self._world.now
        self._tell(algo)

    def _tell(self, algo: AlgoOrder) -> None:
        actual = actual_type(algo) if algo.order_id else ""
        self._world.news.append(AlgoHappened(account=algo.account, time=self._world.now, algo=copy.copy(algo), actual_type=actual))


def actual_type(algo: AlgoOrder) -> str:
    """The type of the real order: limit or market."""
    return "limit" if algo.order_type in WITH_LIMIT else "market"


def _order_wish(algo: AlgoOrder, most: Decimal) -> NewOrder:
    limit = algo.order_type in WITH_LIMIT
    return NewOrder(
        symbol=algo.symbol,
        side=algo.side,
        position_side=algo.position_side,
        order_type=actual_type(algo),
        time_in_force=algo.time_in_force if limit else "gtc",
        quantity=most if algo.close_position else algo.quantity,
        price=algo.price if limit else ZERO,
        client_order_id=algo.client_algo_id,
        reduce_only=algo.reduce_only or (algo.close_position and algo.position_side is PositionSide.BOTH),
        good_till_time=algo.good_till_time,
        self_trade_prevention=algo.self_trade_prevention,
        price_match=algo.price_match if limit else "none",
    )


def _mark_origin(order: Order, algo: AlgoOrder) -> None:
    order.original_type = algo.order_type
    order.stop_price = algo.trigger_price
    order.working_type = algo.working_type
    order.price_protect = algo.price_protect
    order.close_position = algo.close_position


def _check_quantity(instrument: Instrument, new: NewAlgo) -> None:
    if not new.close_position:
        check_quantity(instrument, new.quantity, market=new.order_type not in WITH_LIMIT)
    elif new.order_type not in CLOSING_TYPES or new.quantity or new.reduce_only:
        raise Refused("close_position_conflict", "close-position is for market types, without quantity and reduce-only")


def _check_trailing(instrument: Instrument, new: NewAlgo, price: Decimal) -> None:
    if not is_amount(new.callback_rate) or not LEAST_CALLBACK <= new.callback_rate <= LARGEST_CALLBACK:
        raise Refused("bad_callback_rate", f"callback rate must be from {LEAST_CALLBACK} to {LARGEST_CALLBACK} percent")
    if not new.activation_price:
        return
    check_price(instrument, new.activation_price)
    if is_met(new.side is Side.SELL, price, new.activation_price):
        raise Refused("would_trigger_immediately", "the activation price is reached already")
