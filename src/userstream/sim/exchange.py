"""The paper exchange: one deterministic object. Time is always an argument, and the same seed and calls give the same books.

Every call that takes `now` first lets the exchange's time pass up to that moment, so calls and the market's steps interleave in
the order of their times. A `now` before the exchange's time counts as the exchange's time: its clock never goes back.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from userstream.sim import terms
from userstream.sim.algo import Conditionals
from userstream.sim.books import (
    BOTH,
    LONG,
    SHORT,
    AlgoOrder,
    Amendment,
    Balance,
    Debt,
    Fill,
    Income,
    Instrument,
    Millis,
    NewAlgo,
    NewOrder,
    Order,
    OrderStatus,
    Position,
    PositionSide,
    Refused,
    Side,
)
from userstream.sim.clearing import Clearing
from userstream.sim.instruments import check_price, is_amount
from userstream.sim.ledger import Leg
from userstream.sim.margin import balance, position, told_position
from userstream.sim.marketplace import Marketplace
from userstream.sim.reading import Reading
from userstream.sim.records import Records
from userstream.sim.timeline import Timeline
from userstream.sim.trader import Trader
from userstream.sim.trading import Trading
from userstream.sim.world import Account, World

HEDGED: Final = (LONG, SHORT)
ONE_WAY: Final = (BOTH,)

__all__ = ["Exchange", "NewAlgo", "NewOrder", "Refused", "contracts_of"]


class Exchange(Reading[Account, Order]):
    """All books of one paper exchange. Raises Refused, and nothing else, when it says no; a refused call changes no books."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        *,
        seed: int = 0,
        start_time: Millis,
        funding_interval_ms: int = 8 * 3600 * 1000,
        tells_all_positions: bool = False,
    ) -> None:
        """Funding happens at each multiple of the interval, in milliseconds; an interval of 0 means never.

        `tells_all_positions`: news of positions show all that the account ever had, not only what changed.
        """
        self._world: World = World(instruments, seed, start_time, tells_all_positions=tells_all_positions)
        self._bound: dict[str, list[tuple[Exchange, str]]] = {}
        super().__init__(self._world)
        self._by_symbol = [instrument for _, instrument in sorted(self._world.instruments.items())]
        self._trading = Trading(self._world)
        self._conditionals = Conditionals(self._world, self._trading)
        self._clearing = Clearing(self._world, self._trading, self._conditionals)
        self._timeline = Timeline(self._world, self._trading, self._conditionals, self._clearing, funding_interval_ms)
        self._trader = Trader(self._world, self._trading)

    def open_account(self, account: str, balances: Mapping[str, Decimal]) -> None:
        """Opening balances are no income: a wallet is its opening balance plus the account's income lines."""
        if account in self._world.accounts:
            raise Refused("duplicate_account", "the account exists already")
        if not account or not all(is_amount(amount) for amount in balances.values()):
            raise Refused("bad_amount", "an account needs a name and usable amounts")
        self._world.accounts[account] = Account(account, balances, self._world.now, self._world.worth)

    def bind(self, account: str, other: Exchange, name: str) -> None:
        """Let this account and one of another exchange have one position mode (Binance USD-M, 1.3)."""
        self._world.account(account)
        other._world.account(name)
        self._bound.setdefault(account, []).append((other, name))
        other._bound.setdefault(name, []).append((self, account))

    # --- trading ---

    def place(self, account: str, order: NewOrder, now: Millis) -> Order:
        """Place an order and carry out all that follows at once; returns a copy of the order as it stands then."""
        return copy.copy(self._trading.place(self._enter(account, now), order))

    def amend(
        self,
        account: str,
        symbol: str,
        *,
        order_id: int | None = None,
        client_order_id: str | None = None,
        side: Side | None = None,
        quantity: Decimal | None,
        price: Decimal | None,
        modify_id: str = "",
        now: Millis,
    ) -> Order:
        """Change an open limit order. None leaves a value as it is; a side is only compared. At or below the filled quantity cancels."""
        owner = self._enter(account, now)
        order = owner.records.open_order(symbol, order_id, client_order_id)
        if side is not None and side is not order.side:
            raise Refused("amend_side_mismatch", "the side of an order cannot be changed")
        self._trading.amend(owner, order, quantity, price, modify_id)
        return copy.copy(order)

    def cancel(self, account: str, symbol: str, *, order_id: int | None = None, client_order_id: str | None = None, now: Millis) -> Order:
        owner = self._enter(account, now)
        order = owner.records.open_order(symbol, order_id, client_order_id)
        self._trading.cancel(owner, order)
        return copy.copy(order)

    def cancel_all(self, account: str, symbol: str, now: Millis) -> int:
        """Cancel the plain open orders of the symbol; conditional orders stay. Returns how many there were."""
        owner = self._enter(account, now)
        self._world.instrument(symbol)
        return self._trading.end_all(owner, symbol, OrderStatus.CANCELED)

    def place_algo(self, account: str, algo: NewAlgo, now: Millis) -> AlgoOrder:
        return copy.copy(self._conditionals.place(self._enter(account, now), algo))

    def cancel_algo(self, account: str, *, algo_id: int | None = None, client_algo_id: str | None = None, now: Millis) -> AlgoOrder:
        algo = self._enter(account, now).records.waiting_algo(algo_id, client_algo_id)
        self._conditionals.cancel(algo)
        return copy.copy(algo)

    def cancel_all_algo(self, account: str, symbol: str, now: Millis) -> int:
        owner = self._enter(account, now)
        self._world.instrument(symbol)
        return self._conditionals.end_all(owner, symbol)

    def set_countdown(self, account: str, symbol: str, countdown_ms: int, now: Millis) -> None:
        """Cancel all open orders of the symbol after this time, unless called again before; 0 stops the countdown."""
        owner = self._enter(account, now)
        self._world.instrument(symbol)
        if countdown_ms < 0:
            raise Refused("bad_countdown", "a countdown is not negative")
        self._timeline.set_countdown(owner, symbol, countdown_ms)

    # --- settings and money ---

    def set_leverage(self, account: str, symbol: str, leverage: int, now: Millis) -> int:
        return terms.set_leverage(self._world, self._enter(account, now), symbol, leverage)

    def set_margin_type(self, account: str, symbol: str, margin_type: str, now: Millis) -> None:
        """`margin_type` is cross or isolated."""
        terms.set_margin_type(self._world, self._enter(account, now), symbol, margin_type)

    def add_isolated_margin(self, account: str, symbol: str, position_side: PositionSide, amount: Decimal, now: Millis) -> None:
        """A positive amount goes from the cross wallet to the position, a negative one comes back."""
        terms.add_isolated_margin(self._world, self._enter(account, now), symbol, position_side, amount)

    def set_hedge_mode(self, account: str, hedge: bool, now: Millis) -> None:
        """Switch the position mode of the account and of all that are bound to it; nothing may be open at any of them."""
        sides = [(self._world, self._enter(account, now))]
        sides += [(other._world, other._enter(name, now)) for other, name in self._bound.get(account, ())]
        for _, owner in sides:
            terms.check_hedge_mode(owner, hedge)
        for world, owner in sides:
            terms.set_hedge_mode(world, owner, hedge)

    def set_multi_assets(self, account: str, flag: bool, now: Millis) -> None:
        terms.set_multi_assets(self._world, self._enter(account, now), flag)

    def set_can_trade(self, account: str, flag: bool, now: Millis) -> None:
        """Lock the account for new orders and amendments (Refused("trading_disabled")), or unlock it."""
        terms.set_can_trade(self._world, self._enter(account, now), flag)

    def convert_fee_asset(self, account: str, asset: str) -> None:
        """Pay fees in this asset, with a discount, while it lasts; an empty name means the margin asset."""
        terms.set_fee_asset(self._world, self._world.account(account), asset)

    def transfer(self, account: str, asset: str, amount: Decimal, now: Millis, *, reason: str = "deposit") -> None:
        """Book a signed amount. Only a `withdraw` is held against what is available."""
        terms.transfer(self._world, self._enter(account, now), asset, amount, reason)

    # --- what the world does ---

    def counter_fill(
        self, account: str, order_id: int, symbol: str, quantity: Decimal | None, now: Millis, *, price: Decimal | None = None
    ) -> Fill:
        """Somebody outside takes this much (None: all) of the account's resting order, at its price if none is given."""
        return self._trading.counter_fill(self._enter(account, now), order_id, symbol, quantity, price)

    def move_price(self, symbol: str, price: Decimal, now: Millis) -> None:
        """Mark and last price are this at once; crossed orders fill, triggers and margin checks follow."""
        self.advance(now)
        check_price(self._world.instrument(symbol), price)
        self._timeline.jump(symbol, price)

    def liquidate(self, account: str, symbol: str, position_side: PositionSide, now: Millis, quantity: Decimal | None = None) -> Order:
        """The exchange takes the position over, whatever its margin. Refused("no_position") when there is none."""
        owner = self._enter(account, now)
        return copy.copy(self._clearing.liquidate(owner, self._leg(owner, symbol, position_side), quantity))

    def auto_deleverage(
        self, account: str, symbol: str, position_side: PositionSide, now: Millis, quantity: Decimal | None = None
    ) -> Order:
        owner = self._enter(account, now)
        return copy.copy(self._clearing.auto_deleverage(owner, self._leg(owner, symbol, position_side), quantity))

    def settle(self, symbol: str, now: Millis) -> None:
        self.advance(now)
        self._world.instrument(symbol)
        self._clearing.settle(symbol)

    def fund(self, symbol: str, rate: Decimal, now: Millis) -> None:
        """Funding for all open positions of the symbol: longs pay a positive rate."""
        self.advance(now)
        self._world.instrument(symbol)
        if not is_amount(rate) or abs(rate) > 1:
            raise Refused("bad_rate", "a funding rate is a share between -1 and 1")
        self._clearing.fund(symbol, rate)

    def margin_call(self, account: str, now: Millis) -> None:
        """Warn the account whatever its margin. Refused("no_position") when it has none."""
        self._clearing.call(self._enter(account, now))

    def advance(self, now: Millis) -> None:
        """Let time pass: market steps, deadlines, funding, triggers, margin calls and liquidations up to `now`."""
        self._timeline.advance(now)

    def trade_randomly(self, account: str, now: Millis) -> None:
        """One random but sensible action of a trading account."""
        self._trader.act(self._enter(account, now))

    # --- reading ---

    def income(self, account: str) -> list[Income]:
        return list(self._world.account(account).ledger.income)

    def amendments(self, account: str, symbol: str, order_id: int) -> list[Amendment]:
        """Of one order, oldest first; raises Refused("unknown_order")."""
        records = self._world.account(account).records
        return list(records.amendments.get(records.order(symbol, order_id, None).order_id, []))

    def positions(self, account: str, *, all: bool = False) -> list[Position]:
        """Positions and flat legs with open orders, by symbol and side; with `all` every leg of every symbol."""
        owner = self._world.account(account)
        return [position(owner, leg, self._world) for leg in self._legs(owner) if all or leg.amount or self._has_orders(owner, leg)]

    def told_positions(self, account: str) -> list[Position]:
        """Every leg of every symbol, by symbol and side, without liquidation prices."""
        owner = self._world.account(account)
        return [told_position(owner, leg, self._world) for leg in self._legs(owner)]

    def position(self, account: str, symbol: str, side: PositionSide) -> Position:
        """The leg, flat or not."""
        owner = self._world.account(account)
        return position(owner, self._leg(owner, symbol, side), self._world)

    def balances(self, account: str) -> list[Balance]:
        """By asset; `available` is at the present mark prices."""
        owner = self._world.account(account)
        return [balance(owner, asset, self._world) for asset in sorted(owner.ledger.balances)]

    def algo_orders(self, account: str, symbol: str | None = None, open_only: bool = False) -> list[AlgoOrder]:
        """Oldest first."""
        records = self._world.account(account).records
        found = records.waiting_algos if open_only else records.algos
        return [copy.copy(algo) for algo in found.values() if symbol is None or algo.symbol == symbol]

    def debts(self, account: str) -> list[Debt]:
        """There are none: contracts are not bought with borrowed money."""
        self._world.account(account)
        return []

    def leverage(self, account: str, symbol: str) -> int:
        self._world.instrument(symbol)
        return self._world.account(account).ledger.terms_of(symbol).leverage

    def margin_type(self, account: str, symbol: str) -> str:
        self._world.instrument(symbol)
        return "isolated" if self._world.account(account).ledger.terms_of(symbol).isolated else "cross"

    def mark_price(self, symbol: str) -> Decimal:
        self._world.instrument(symbol)
        return self._world.mark_price(symbol)

    # --- within ---

    def _records(self, account: str) -> Records:
        return self._world.account(account).records

    def _leg(self, owner: Account, symbol: str, side: PositionSide) -> Leg:
        return owner.ledger.leg(self._world.instrument(symbol), side)

    def _legs(self, owner: Account) -> list[Leg]:
        sides = HEDGED if owner.settings.hedge_mode else ONE_WAY
        return [owner.ledger.leg(instrument, side) for instrument in self._by_symbol for side in sides]

    def _has_orders(self, owner: Account, leg: Leg) -> bool:
        return any(order.position_side is leg.position_side for order in owner.records.open_by_symbol.get(leg.symbol, {}).values())


def contracts_of(place: Marketplace) -> Exchange:
    """The exchange, if contracts are traded there. Raises Refused("only_contracts") for another one."""
    if isinstance(place, Exchange):
        return place
    raise Refused("only_contracts", "this is for contracts; the account is at a venue without positions")
