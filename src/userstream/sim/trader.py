"""A trading account that plays by itself: one random but sensible action at a time, for days without going broke."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from userstream.sim.admission import executable
from userstream.sim.books import ZERO, Instrument, Millis, NewOrder, Order, PositionSide, Refused, Side
from userstream.sim.ledger import Leg, money
from userstream.sim.margin import available, cross_profit
from userstream.sim.market import Dice
from userstream.sim.records import is_reducing
from userstream.sim.terms import transfer
from userstream.sim.trading import Trading
from userstream.sim.world import Account, World

MOST_OPEN_ORDERS: Final = 12
MOST_EXPOSURE: Final = Decimal(3)  # positions over equity, beyond which the account reduces
A_LITTLE_MORE: Final = Decimal("1.1")
LEAST_EQUITY: Final = Decimal(500)  # in the quote asset; below it the account pays money in
TOP_UP: Final = Decimal(5000)
ACTIONS: Final = ("limit", "post_only", "market", "ioc", "fok", "gtd", "amend", "cancel", "outside", "close")
WEIGHTS: Final = (26, 12, 12, 8, 2, 3, 9, 11, 14, 3)


class Trader:
    """Acts for accounts. Each account has its own draws, so what one does never changes what another would draw."""

    def __init__(self, world: World, trading: Trading) -> None:
        self._world = world
        self._trading = trading
        self._dice: dict[str, Dice] = {}

    def act(self, account: Account) -> None:
        """One action; a refusal by the exchange is a normal outcome and changes nothing."""
        dice = self._dice.get(account.name)
        if dice is None:
            dice = self._dice[account.name] = Dice(self._world.seed, f"trader:{account.name}")
        instrument = dice.choose(self._tradable(account))
        try:
            self._act(account, instrument, dice)
        except Refused:
            return

    def _tradable(self, account: Account) -> list[Instrument]:
        """Contracts whose margin asset the account has; without any the first contract's asset will be paid in."""
        instruments = list(self._world.instruments.values())
        found = [each for each in instruments if each.margin_asset in account.ledger.balances]
        return found or instruments[:1]

    def _act(self, account: Account, instrument: Instrument, dice: Dice) -> None:
        asset = instrument.margin_asset
        equity = account.ledger.cross_wallet(asset) + cross_profit(account, asset, self._world)
        if equity < self._in_margin(instrument, LEAST_EQUITY):
            transfer(self._world, account, asset, self._in_margin(instrument, TOP_UP), "deposit")
            return
        if self._exposure(account, asset) > equity * MOST_EXPOSURE:
            self._reduce_largest(account, asset)
            return
        orders = account.records.open_orders(instrument.symbol)
        action = dice.weigh(ACTIONS, WEIGHTS)
        if len(orders) > MOST_OPEN_ORDERS:
            action = "cancel"
        self._perform(action, account, instrument, orders, equity, dice)

    def _perform(self, action: str, account: Account, instrument: Instrument, orders: list[Order], equity: Decimal, dice: Dice) -> None:
        if action == "cancel" and orders:
            self._trading.cancel(account, dice.choose(orders))
        elif action == "amend" and orders:
            self._amend(account, instrument, dice.choose(orders), dice)
        elif action == "outside" and orders:
            self._be_filled(account, instrument, dice.choose(orders), dice)
        elif action == "close":
            self._close(account, instrument, dice)
        else:
            self._trading.place(account, self._wish(action, account, instrument, equity, dice))

    # --- placing ---

    def _wish(self, action: str, account: Account, instrument: Instrument, equity: Decimal, dice: Dice) -> NewOrder:
        """An order on a random side, mostly small, at times large enough to walk through several levels."""
        side = dice.choose((Side.BUY, Side.SELL))
        market = action == "market"
        time_in_force = {"post_only": "gtx", "ioc": "ioc", "fok": "fok", "gtd": "gtd"}.get(action, "gtc")
        price = ZERO if market else self._world.markets[instrument.symbol].price_near(side, dice, taking=action in {"ioc", "fok"})
        return NewOrder(
            symbol=instrument.symbol,
            side=side,
            position_side=self._position_side(account, instrument, side, dice),
            order_type="market" if market else "limit",
            time_in_force=time_in_force,
            quantity=self._size(account, instrument, equity, dice),
            price=price,
            good_till_time=Millis(self._world.now + 601_000 + dice.between(0, 600_000) if action == "gtd" else 0),
        )

    def _size(self, account: Account, instrument: Instrument, equity: Decimal, dice: Dice) -> Decimal:
        share = dice.share() / (8 if dice.chance(0.15) else 100)
        free = max(available(account, instrument.margin_asset, self._world), ZERO)
        notional = min(equity * share, free * 2)
        mark, contract = self._world.mark_price(instrument.symbol), instrument.contract
        step = instrument.step_size
        least = max(instrument.min_quantity, (contract.quantity_for(mark, instrument.min_notional * A_LITTLE_MORE) // step + 1) * step)
        return min(max(contract.quantity(mark, notional) // step * step, least), instrument.max_market_quantity)

    def _position_side(self, account: Account, instrument: Instrument, side: Side, dice: Dice) -> PositionSide:
        """In hedge mode mostly the leg that the side opens, at times the one it closes."""
        if not account.settings.hedge_mode:
            return PositionSide.BOTH
        opens, closes = PositionSide.LONG, PositionSide.SHORT
        if side is Side.SELL:
            opens, closes = closes, opens
        closing = account.ledger.amount(instrument.symbol, closes) and dice.chance(0.4)
        return closes if closing else opens

    # --- changing and being filled ---

    def _amend(self, account: Account, instrument: Instrument, order: Order, dice: Dice) -> None:
        price = self._world.markets[instrument.symbol].price_near(order.side, dice, taking=False)
        quantity = order.quantity
        if not is_reducing(order) and dice.chance(0.3):
            quantity += instrument.step_size * dice.between(1, 3)
        self._trading.amend(account, order, quantity, price, str(dice.between(1, 10**9)) if dice.chance(0.5) else "")

    def _be_filled(self, account: Account, instrument: Instrument, order: Order, dice: Dice) -> None:
        """The outside takes the order in one to three parts, all in the same millisecond."""
        for _ in range(dice.between(1, 3)):
            most = executable(self._world, order)
            if most <= ZERO:
                return
            step = instrument.step_size
            part = max(most * dice.share() // step, Decimal(1)) * step if dice.chance(0.7) else most
            self._trading.fill_from_outside(account, order, order.price, part)

    # --- reducing ---

    def _exposure(self, account: Account, asset: str) -> Decimal:
        legs = account.ledger.open_legs()
        return sum((self._worth(leg) for leg in legs if leg.margin_asset == asset), ZERO)

    def _worth(self, leg: Leg) -> Decimal:
        return leg.contract.worth(self._world.mark_price(leg.symbol), abs(leg.amount))

    def _in_margin(self, instrument: Instrument, quote: Decimal) -> Decimal:
        """So many quote units in the margin asset."""
        return money(quote / self._world.mark_price(instrument.symbol)) if instrument.contract.is_inverse else quote

    def _reduce_largest(self, account: Account, asset: str) -> None:
        legs = [leg for leg in account.ledger.open_legs() if leg.margin_asset == asset]
        largest = max(legs, key=self._worth)
        self._reduce(account, self._world.instruments[largest.symbol], largest.position_side, Decimal("0.5"))

    def _close(self, account: Account, instrument: Instrument, dice: Dice) -> None:
        legs = [leg for leg in account.ledger.open_legs() if leg.symbol == instrument.symbol]
        if legs:
            self._reduce(account, instrument, dice.choose(legs).position_side, Decimal(1))

    def _reduce(self, account: Account, instrument: Instrument, position_side: PositionSide, share: Decimal) -> None:
        """Close a share of the leg by a market order, after its own closing orders are out of the way."""
        for order in account.records.reducing(instrument.symbol, position_side):
            self._trading.cancel(account, order)
        amount = account.ledger.amount(instrument.symbol, position_side)
        step = instrument.step_size
        size = max(abs(amount) * share // step, Decimal(1)) * step
        wish = NewOrder(
            symbol=instrument.symbol,
            side=Side.SELL if amount > ZERO else Side.BUY,
            position_side=position_side,
            order_type="market",
            quantity=min(size, instrument.max_market_quantity),
            reduce_only=position_side is PositionSide.BOTH,
        )
        self._trading.place(account, wish)
