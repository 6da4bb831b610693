"""A spot account that plays by itself: one random but sensible action at a time, for days without going broke."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from userstream.sim.books import ZERO, Instrument, OrderStatus, Refused, Side
from userstream.sim.engine import OPPOSITE
from userstream.sim.ledger import money
from userstream.sim.market import Dice
from userstream.sim.spot.books import LIMIT_TYPES, NewList, NewSpotOrder, SpotOrder, is_waiting, left_of
from userstream.sim.spot.lists import Lists
from userstream.sim.spot.trading import Ending, SpotTrading
from userstream.sim.spot.world import SpotAccount, SpotWorld

MOST_OPEN_ORDERS: Final = 12
LEAST_WORTH: Final = Decimal(500)  # in the quote of the first pair; below it the account pays money in
TOP_UP: Final = Decimal(5000)
SMALL_CHANGE: Final = 3  # an order is at least so many times the smallest notional
ACTIONS: Final = ("limit", "maker", "market", "quote", "ioc", "fok", "stop", "oco", "oto", "otoco", "amend", "cancel", "outside", "move")
WEIGHTS: Final = (22, 10, 9, 4, 6, 2, 4, 3, 3, 2, 6, 11, 17, 1)
PREVENTING: Final = ("none", "expire_maker", "expire_taker", "expire_both", "decrement")


class SpotTrader:
    """Acts for accounts. Each account has its own draws, so what one does never changes what another would draw."""

    def __init__(self, world: SpotWorld, trading: SpotTrading, lists: Lists) -> None:
        self._world = world
        self._trading = trading
        self._lists = lists
        self._dice: dict[str, Dice] = {}

    def act(self, account: SpotAccount) -> None:
        """One action; a refusal by the exchange is a normal outcome and changes nothing."""
        dice = self._dice.get(account.name)
        if dice is None:
            dice = self._dice[account.name] = Dice(self._world.seed, f"trader:{account.name}")
        instrument = dice.choose(self._tradable(account))
        try:
            self._act(account, instrument, dice)
        except Refused:
            return

    def _tradable(self, account: SpotAccount) -> list[Instrument]:
        """Pairs of which the account has one side; without any the first pair's quote will be paid in."""
        if account.only_symbol:
            return [self._world.instruments[account.only_symbol]]
        instruments = [each for each in self._world.instruments.values() if account.may_trade(each.symbol)]
        found = [each for each in instruments if any(account.wallets.total(asset) for asset in (each.base, each.quote))]
        return found or instruments[:1]

    def _act(self, account: SpotAccount, instrument: Instrument, dice: Dice) -> None:
        main = next(iter(self._world.instruments.values())).quote
        if self.worth(account, main) < LEAST_WORTH:
            self._move_money(account, main, TOP_UP, "deposit")
            return
        orders = account.records.open_orders(instrument.symbol)
        action = dice.weigh(ACTIONS, WEIGHTS)
        if len(orders) > MOST_OPEN_ORDERS:
            action = "cancel"
        self._perform(action, account, instrument, orders, dice)

    def worth(self, account: SpotAccount, quote: str) -> Decimal:
        """All wallets in one asset, at last prices; what no pair leads to counts nothing."""
        prices = ((wallet.total, self._world.asset_price(wallet.asset, quote)) for wallet in account.wallets.wallets.values())
        return sum((total * price for total, price in prices if price is not None), ZERO)

    def _perform(self, action: str, account: SpotAccount, instrument: Instrument, orders: list[SpotOrder], dice: Dice) -> None:
        resting = [order for order in orders if order.order_type in LIMIT_TYPES and order.working]
        if action == "cancel" and orders:
            self._trading.end(dice.choose(orders), Ending(OrderStatus.CANCELED, request_id=f"cancel-{self._world.next_request_id()}"))
        elif action == "amend" and orders:
            self._amend(account, instrument, dice.choose(orders), dice)
        elif action == "outside" and resting:
            self._be_filled(instrument, dice.choose(resting), dice)
        elif action == "move":
            self._move_some(account, instrument, dice)
        elif action in ("oco", "oto", "otoco"):
            self._lists.place(account, self._list_wish(action, account, instrument, dice))
        else:
            side = self._side(account, instrument, dice)
            self._trading.place(account, self._wish(action, instrument, side, self._size(account, instrument, side, dice), dice))

    # --- placing ---

    def _side(self, account: SpotAccount, instrument: Instrument, dice: Dice) -> Side:
        """A side that the account can pay for, a random one if it can pay for both."""
        least = instrument.min_notional * SMALL_CHANGE
        last = self._world.last_price(instrument.symbol)
        can_buy = account.wallets.free(instrument.quote) > least
        can_sell = account.wallets.free(instrument.base) * last > least
        if can_buy and can_sell:
            return dice.choose((Side.BUY, Side.SELL))
        return Side.SELL if can_sell else Side.BUY

    def _size(self, account: SpotAccount, instrument: Instrument, side: Side, dice: Dice) -> Decimal:
        """Mostly a small part of what is free, at times a large one; never less than the pair allows."""
        last, step = self._world.last_price(instrument.symbol), instrument.step_size
        free = account.wallets.free(instrument.quote) / last if side is Side.BUY else account.wallets.free(instrument.base)
        share = dice.share() / (2 if dice.chance(0.2) else 12)
        least = (instrument.min_notional * SMALL_CHANGE / last // step + 1) * step
        return min(max(free * share // step * step, least), instrument.max_market_quantity)

    def _wish(self, action: str, instrument: Instrument, side: Side, quantity: Decimal, dice: Dice) -> NewSpotOrder:
        market = action in ("market", "quote")
        price = ZERO if market else self._world.markets[instrument.symbol].price_near(side, dice, taking=action in ("ioc", "fok"))
        if action == "stop":
            return self._stop_wish(instrument, side, quantity, dice)
        worth = money(quantity * self._world.last_price(instrument.symbol)) if action == "quote" else ZERO
        return NewSpotOrder(
            symbol=instrument.symbol,
            side=side,
            order_type={"maker": "limit_maker", "market": "market", "quote": "market"}.get(action, "limit"),
            time_in_force=action if action in ("ioc", "fok") else "gtc",
            quantity=ZERO if action == "quote" else quantity,
            quote_quantity=worth,
            price=price,
            self_trade_prevention=dice.choose(PREVENTING),
        )

    def _stop_wish(self, instrument: Instrument, side: Side, quantity: Decimal, dice: Dice) -> NewSpotOrder:
        """A stop a little away from the market, in the direction in which it may still be reached, at times a trailing one."""
        kind = dice.choose(("stop_loss", "stop_loss_limit", "take_profit", "take_profit_limit"))
        rising = (side is Side.BUY) == kind.startswith("stop")
        stop = self._away(instrument, dice, up=rising)
        return NewSpotOrder(
            symbol=instrument.symbol,
            side=side,
            order_type=kind,
            quantity=quantity,
            price=stop if kind in LIMIT_TYPES else ZERO,
            stop_price=stop,
            trailing_delta=dice.between(10, 60) if dice.chance(0.2) else 0,
        )

    def _list_wish(self, kind: str, account: SpotAccount, instrument: Instrument, dice: Dice) -> NewList:
        side = self._side(account, instrument, dice)
        size = self._size(account, instrument, side, dice)
        if kind == "oco":
            return NewList(kind=kind, symbol=instrument.symbol, orders=self._pair(instrument, side, size, dice))
        first = self._wish("limit", instrument, side, size, dice)
        # The fee leaves a little less than was bought, so what follows is a little smaller.
        rest = max(size * Decimal("0.9") // instrument.step_size, Decimal(1)) * instrument.step_size
        if kind == "oto":
            second = self._wish("limit", instrument, OPPOSITE[side], rest, dice)
            return NewList(kind=kind, symbol=instrument.symbol, orders=(first, second))
        return NewList(kind=kind, symbol=instrument.symbol, orders=(first, *self._pair(instrument, OPPOSITE[side], rest, dice)))

    def _pair(self, instrument: Instrument, side: Side, quantity: Decimal, dice: Dice) -> tuple[NewSpotOrder, NewSpotOrder]:
        above, below = self._away(instrument, dice, up=True), self._away(instrument, dice, up=False)
        taking, stopping = (above, below) if side is Side.SELL else (below, above)
        limit = dice.chance(0.5)
        maker = NewSpotOrder(symbol=instrument.symbol, side=side, order_type="limit_maker", quantity=quantity, price=taking)
        stop = NewSpotOrder(
            symbol=instrument.symbol,
            side=side,
            order_type="stop_loss_limit" if limit else "stop_loss",
            quantity=quantity,
            stop_price=stopping,
            price=stopping if limit else ZERO,
        )
        return (maker, stop) if side is Side.SELL else (stop, maker)

    def _away(self, instrument: Instrument, dice: Dice, *, up: bool) -> Decimal:
        """A price some ticks from the market."""
        tick, last = instrument.tick_size, self._world.last_price(instrument.symbol)
        ticks = max(int(last / tick * Decimal("0.0015")), 6)
        return max(last + tick * dice.between(5, ticks) * (1 if up else -1), tick)

    # --- changing and being filled ---

    def _amend(self, account: SpotAccount, instrument: Instrument, order: SpotOrder, dice: Dice) -> None:
        smaller = order.quantity * (1 - dice.share() / 2) // instrument.step_size * instrument.step_size
        self._trading.amend(account, order, smaller, "")
        self._lists.amended(order)

    def _be_filled(self, instrument: Instrument, order: SpotOrder, dice: Dice) -> None:
        """The outside takes the order in one to three parts, all in the same millisecond."""
        for _ in range(dice.between(1, 3)):
            most = left_of(order)
            if most <= ZERO or order.status not in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED) or is_waiting(order):
                return
            step = instrument.step_size
            part = max(most * dice.share() // step, Decimal(1)) * step if dice.chance(0.7) else most
            self._trading.fill_from_outside(order, order.price, part)

    # --- money ---

    def _move_some(self, account: SpotAccount, instrument: Instrument, dice: Dice) -> None:
        """A little money comes in, or leaves where there is plenty."""
        asset = dice.choose((instrument.base, instrument.quote))
        amount = money(account.wallets.free(asset) * dice.share() / 10)
        if amount:
            self._move_money(account, asset, *((amount, "deposit") if dice.chance(0.5) else (-amount, "withdraw")))

    def _move_money(self, account: SpotAccount, asset: str, amount: Decimal, reason: str) -> None:
        account.wallets.post("transfer", asset, amount, self._world.now, info=reason.upper())
        self._world.tell_balances(account, [asset], reason, {asset: amount})
