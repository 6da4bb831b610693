"""Stop orders: they wait inside the exchange, watch the last price and begin to work when it reaches them (Binance Spot, 4.3.1).

A trailing order follows the price from its activation and begins when the price turns back by its delta.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from userstream.sim.spot.admission import is_due
from userstream.sim.spot.books import SpotOrder, is_waiting, triggers_rising
from userstream.sim.spot.trading import SpotTrading
from userstream.sim.spot.world import SpotWorld

DELTA_UNIT: Final = Decimal("0.0001")


class Stops:
    """All waiting stop orders of all accounts, by symbol."""

    def __init__(self, world: SpotWorld, trading: SpotTrading) -> None:
        self._world = world
        self._trading = trading
        self._waiting: dict[str, dict[int, SpotOrder]] = {symbol: {} for symbol in world.instruments}
        self._extremes: dict[int, Decimal] = {}  # best price since activation, of trailing orders
        trading.on_waiting = self.add

    def add(self, order: SpotOrder) -> None:
        """From now on the order waits for its price. A trailing order without a stop price is active at once."""
        self._waiting[order.symbol][order.order_id] = order
        if order.trailing_delta and (not order.stop_price or is_due(order, self._world.last_price(order.symbol))):
            self._activate(order)

    def watch(self, symbol: str) -> None:
        """The price of the symbol has moved: activate and trigger what is due, oldest first."""
        price = self._world.last_price(symbol)
        for order in list(self._waiting[symbol].values()):
            if not is_waiting(order):
                self._forget(order)
            elif self._reaches(order, price):
                self._forget(order)
                self._trading.trigger(order)

    def _reaches(self, order: SpotOrder, price: Decimal) -> bool:
        if not order.trailing_delta:
            return is_due(order, price)
        if not order.trailing_time:
            if is_due(order, price):
                self._activate(order)
            return False
        rising = triggers_rising(order.order_type, order.side)
        extreme = (min if rising else max)(self._extremes[order.order_id], price)
        self._extremes[order.order_id] = extreme
        share = order.trailing_delta * DELTA_UNIT
        return price >= extreme * (1 + share) if rising else price <= extreme * (1 - share)

    def _activate(self, order: SpotOrder) -> None:
        order.trailing_time = self._world.now
        self._extremes[order.order_id] = self._world.last_price(order.symbol)

    def _forget(self, order: SpotOrder) -> None:
        self._waiting[order.symbol].pop(order.order_id, None)
        self._extremes.pop(order.order_id, None)
