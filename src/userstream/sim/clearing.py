"""What the exchange does to accounts: funding, margin calls, liquidation, auto-deleveraging and settlement."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple

from userstream.sim.algo import Conditionals
from userstream.sim.books import (
    ZERO,
    AlgoStatus,
    Execution,
    ExpiryReason,
    MarginCallHappened,
    Millis,
    Order,
    OrderStatus,
    PositionSide,
    Refused,
    Side,
)
from userstream.sim.instruments import is_amount, is_multiple
from userstream.sim.ledger import Leg, money
from userstream.sim.margin import MARGIN_CALL_RATIO, MARGIN_CLEAR_RATIO, Health, cross_health, isolated_health, told_position
from userstream.sim.market import STEP_MS
from userstream.sim.trading import Trading
from userstream.sim.world import Account, World


class ForcedClose(NamedTuple):
    """Why the exchange closes a position, and how the order it makes for that is named (Binance USD-M, 7.5)."""

    prefix: str
    numbered: bool
    ends_orders: bool


LIQUIDATION: Final = ForcedClose("autoclose-", numbered=True, ends_orders=True)
DELEVERAGING: Final = ForcedClose("adl_autoclose", numbered=False, ends_orders=False)
SETTLEMENT: Final = ForcedClose("settlement_autoclose-", numbered=True, ends_orders=False)
DELIVERY: Final = ForcedClose("delivery_autoclose-", numbered=True, ends_orders=False)  # of inverse contracts (Binance COIN-M, 4.2)

UNMOVED_PART: Final = 2_000  # a mark that moved by a smaller part than one in so many does not make an account's margin worth a look


class Clearing:
    """Carries out what is not the account's own wish."""

    def __init__(self, world: World, trading: Trading, conditionals: Conditionals) -> None:
        self._world = world
        self._trading = trading
        self._conditionals = conditionals
        self._looked_at = {symbol: market.mark_units for symbol, market in world.markets.items()}

    # --- funding ---

    def fund(self, symbol: str, rate: Decimal) -> None:
        """All positions of the symbol pay or receive; a long pays a positive rate. One news for each leg (Binance USD-M, 4.1.3)."""
        for name in list(self._world.holders[symbol]):
            account = self._world.accounts[name]
            for leg in list(account.ledger.legs[symbol].values()):
                if leg.amount:
                    self._fund_leg(account, leg, rate)

    def _fund_leg(self, account: Account, leg: Leg, rate: Decimal) -> None:
        world = self._world
        payment = money(-leg.contract.worth(world.mark_price(leg.symbol), leg.amount) * rate)
        isolated = account.ledger.terms_of(leg.symbol).isolated
        if isolated:
            leg.isolated_wallet += payment
            leg.updated_time = world.now
        account.ledger.post("funding_fee", leg.margin_asset, payment, world.now, symbol=leg.symbol)
        world.touch(account)
        legs = [leg] if isolated else []
        world.tell_account(account, "funding_fee", [leg.margin_asset], legs, {leg.margin_asset: payment}, leg.symbol)

    # --- margin ---

    def look_at_margins(self) -> None:
        """Call or liquidate where due: accounts that changed, and holders of symbols whose mark price has moved enough."""
        world = self._world
        for symbol, holders in world.holders.items():
            if not holders:
                continue
            mark, seen = world.markets[symbol].mark_units, self._looked_at[symbol]
            if abs(mark - seen) * UNMOVED_PART > seen:
                self._looked_at[symbol] = mark
                world.touched.update(holders)
        while world.touched:
            name = next(iter(world.touched))
            del world.touched[name]
            self._look_at(world.accounts[name])

    def _look_at(self, account: Account) -> None:
        legs = list(account.ledger.open_legs())
        pools = self._cross_pools(account, legs)
        account.warned.intersection_update([*pools, *(_pool_name(leg) for leg in legs if self._is_isolated(account, leg))])
        for asset in pools:
            self._judge(account, asset, cross_health(account, asset, self._world), self._cross_legs(account, asset))
        for leg in legs:
            if self._is_isolated(account, leg):
                self._judge(account, _pool_name(leg), isolated_health(leg, self._world), [leg])

    def _cross_pools(self, account: Account, legs: list[Leg]) -> list[str]:
        """The margin assets that back cross positions; in multi-assets mode they are one pool, named by the first."""
        assets = list(dict.fromkeys(leg.margin_asset for leg in legs if not self._is_isolated(account, leg)))
        return assets[:1] if account.settings.multi_assets else assets

    def _judge(self, account: Account, pool: str, health: Health, legs: list[Leg]) -> None:
        if health.ratio >= 1:
            account.liquidated_until = Millis(self._world.now + STEP_MS)
            for leg in legs:
                self.liquidate(account, leg, None)
        elif health.ratio >= MARGIN_CALL_RATIO and pool not in account.warned:
            account.warned.add(pool)
            self._call(account, legs)
        elif health.ratio < MARGIN_CLEAR_RATIO:
            account.warned.discard(pool)

    def call(self, account: Account) -> None:
        """Warn of every position the account has: cross ones of one margin asset together, isolated ones each for itself."""
        legs = list(account.ledger.open_legs())
        if not legs:
            raise Refused("no_position", "the account has no position")
        for asset in self._cross_pools(account, legs):
            self._call(account, self._cross_legs(account, asset))
        for leg in legs:
            if self._is_isolated(account, leg):
                self._call(account, [leg])

    def _call(self, account: Account, legs: list[Leg]) -> None:
        isolated = self._is_isolated(account, legs[0])
        self._world.news.append(
            MarginCallHappened(
                account=account.name,
                time=self._world.now,
                cross_wallet=None if isolated else account.ledger.cross_wallet(legs[0].margin_asset),
                positions=tuple(told_position(account, leg, self._world) for leg in legs),
            )
        )

    def _cross_legs(self, account: Account, asset: str) -> list[Leg]:
        """The positions of one pool; in multi-assets mode all cross positions are one pool."""
        shared = account.settings.multi_assets
        return [leg for leg in account.ledger.open_legs() if (shared or leg.margin_asset == asset) and not self._is_isolated(account, leg)]

    def _is_isolated(self, account: Account, leg: Leg) -> bool:
        return account.ledger.terms_of(leg.symbol).isolated

    # --- forced closes ---

    def liquidate(self, account: Account, leg: Leg, quantity: Decimal | None) -> Order:
        """Open orders of the symbol expire, the position is closed, and the insurance fund pays what the account cannot."""
        isolated = self._is_isolated(account, leg)
        own_margin = leg.isolated_wallet
        order = self._close(account, leg, LIQUIDATION, quantity)
        if isolated:
            self._clear_isolated(account, leg, order, own_margin)
        else:
            self._clear_cross(account, leg)
        return order

    def auto_deleverage(self, account: Account, leg: Leg, quantity: Decimal | None) -> Order:
        """The position is reduced to take over somebody's bankruptcy; open orders stay."""
        return self._close(account, leg, DELEVERAGING, quantity)

    def settle(self, symbol: str) -> None:
        """Orders of the symbol expire and all positions are closed at the mark price. The symbol trades on afterwards."""
        for account in self._world.accounts.values():
            self._trading.end_all(account, symbol, OrderStatus.EXPIRED, ExpiryReason.DELISTED)
            self._conditionals.end_all(account, symbol, AlgoStatus.EXPIRED, "the symbol is settled")
        for name in list(self._world.holders[symbol]):
            account = self._world.accounts[name]
            for leg in list(account.ledger.legs[symbol].values()):
                if leg.amount:
                    self._close(account, leg, DELIVERY if leg.contract.is_inverse else SETTLEMENT, None)

    def _close(self, account: Account, leg: Leg, why: ForcedClose, quantity: Decimal | None) -> Order:
        """Make the exchange's own order: NEW first, then one execution CALCULATED at the mark price (Binance USD-M, 7.5)."""
        world = self._world
        size = self._closing_size(leg, quantity)
        if why.ends_orders:
            self._trading.end_all(account, leg.symbol, OrderStatus.EXPIRED, ExpiryReason.LIQUIDATED)
        order = self._forced_order(account, leg, why, size)
        account.records.add(order)
        world.tell_order(account, order, Execution.NEW)
        trade_id = world.next_trade_id(leg.symbol)
        self._trading.fill(account, order, order.price, size, trade_id=trade_id, maker=False, execution=Execution.CALCULATED)
        self._trading.displace(account, order)
        return order

    def _closing_size(self, leg: Leg, quantity: Decimal | None) -> Decimal:
        size = abs(leg.amount)
        if not size:
            raise Refused("no_position", "there is no position to close")
        if quantity is None:
            return size
        step = self._world.instruments[leg.symbol].step_size
        if not is_amount(quantity) or quantity <= ZERO or not is_multiple(quantity, step):
            raise Refused("bad_step", "quantity is not a positive multiple of the step")
        if quantity > size:
            raise Refused("quantity_too_large", f"the position is only {size}")
        return quantity

    def _forced_order(self, account: Account, leg: Leg, why: ForcedClose, quantity: Decimal) -> Order:
        world = self._world
        order_id = world.next_order_id()
        tick = world.instruments[leg.symbol].tick_size
        return Order(
            order_id=order_id,
            account=account.name,
            symbol=leg.symbol,
            client_order_id=f"{why.prefix}{world.now}{order_id % 1000:03d}" if why.numbered else why.prefix,
            side=Side.SELL if leg.amount > ZERO else Side.BUY,
            position_side=leg.position_side,
            order_type="liquidation",
            original_type="liquidation",
            time_in_force="ioc",
            price=max(world.mark_price(leg.symbol) // tick, Decimal(1)) * tick,
            quantity=quantity,
            reduce_only=leg.position_side is PositionSide.BOTH,
            self_trade_prevention="none",
            created_time=world.now,
            updated_time=world.now,
        )

    # --- insurance ---

    def _clear_isolated(self, account: Account, leg: Leg, order: Order, own_margin: Decimal) -> None:
        """An isolated position loses its own margin at most."""
        fill = account.records.fills[-1]
        released = own_margin - leg.isolated_wallet
        fee = fill.fee if fill.fee_asset == leg.margin_asset else ZERO
        self._insure(account, order.symbol, leg.margin_asset, -(released + fill.realized_pnl - fee))

    def _clear_cross(self, account: Account, leg: Leg) -> None:
        """What the pool owes more than it has is given to it; without further positions that brings the wallet to zero."""
        self._insure(account, leg.symbol, leg.margin_asset, money(-cross_health(account, leg.margin_asset, self._world).equity))

    def _insure(self, account: Account, symbol: str, asset: str, amount: Decimal) -> None:
        if amount <= ZERO:
            return
        account.ledger.post("insurance_clear", asset, amount, self._world.now, symbol=symbol)
        self._world.tell_account(account, "insurance_clear", [asset], (), {asset: amount})


def _pool_name(leg: Leg) -> str:
    return f"{leg.symbol}:{leg.position_side}"
