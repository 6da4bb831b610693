"""How the exchange's time passes: market steps on a fixed grid, deadlines between them, both in the order of their times."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

from userstream.sim.algo import Conditionals
from userstream.sim.books import Millis, OrderStatus
from userstream.sim.clearing import Clearing
from userstream.sim.market import STEP_MS, grid_after
from userstream.sim.trading import Trading
from userstream.sim.world import Account, World


class Timeline:
    """Moves the exchange's time. Whoever advances, and in whatever portions, the same things happen at the same times."""

    def __init__(self, world: World, trading: Trading, conditionals: Conditionals, clearing: Clearing, funding_interval_ms: int) -> None:
        self._world = world
        self._trading = trading
        self._conditionals = conditionals
        self._clearing = clearing
        self._funding_interval_ms = funding_interval_ms
        self._next_step = grid_after(world.now, STEP_MS)
        if funding_interval_ms:
            world.at(grid_after(world.now, funding_interval_ms), self._fund)
        for instrument in world.instruments.values():
            if instrument.delivery_time > world.now:
                world.at(instrument.delivery_time, partial(clearing.settle, instrument.symbol))

    def advance(self, now: Millis) -> None:
        world = self._world
        while True:
            due = world.next_deadline
            if due is not None and due <= self._next_step:
                if due > now:
                    break
                world.now = max(world.now, due)
                world.pop_deadline()()
            elif self._next_step <= now:
                self._step()
            else:
                break
        world.now = max(world.now, now)

    def _step(self) -> None:
        world = self._world
        world.now = self._next_step
        self._next_step = Millis(self._next_step + STEP_MS)
        world.step_markets()
        for symbol in world.books:
            self._trading.cross(symbol, in_parts=True)
            self._conditionals.watch(symbol)
        self._clearing.look_at_margins()

    def jump(self, symbol: str, price: Decimal) -> None:
        """The price moves at once, and with it all that hangs on it."""
        self._world.markets[symbol].jump(price)
        self._trading.cross(symbol, in_parts=False)
        self._conditionals.watch(symbol)
        self._world.touched.update(self._world.holders[symbol])
        self._clearing.look_at_margins()

    def set_countdown(self, account: Account, symbol: str, countdown_ms: int) -> None:
        countdowns = account.records.countdowns
        countdowns.pop(symbol, None)
        if not countdown_ms:
            return
        end = Millis(self._world.now + countdown_ms)
        countdowns[symbol] = end
        self._world.at(end, partial(self._count_down, account, symbol, end))

    def _count_down(self, account: Account, symbol: str, end: Millis) -> None:
        """The countdown has run out, unless it was renewed or stopped meanwhile."""
        if account.records.countdowns.get(symbol) == end:
            del account.records.countdowns[symbol]
            self._trading.end_all(account, symbol, OrderStatus.CANCELED)

    def _fund(self) -> None:
        world = self._world
        for symbol, market in world.markets.items():
            if not world.instruments[symbol].delivery_time:
                self._clearing.fund(symbol, market.funding_rate())
        world.at(grid_after(world.now, self._funding_interval_ms), self._fund)
