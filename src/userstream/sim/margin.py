"""Margin arithmetic: what positions and open orders bind, what is free, and where a position is liquidated.

One maintenance rate per symbol (no brackets), all at the mark price; the worth is that of the contract, in the margin asset:
- position margin = worth / leverage; maintenance = worth x rate;
- open orders bind what the worse side of the leg would need more than the leg alone (Binance USD-M, 6.1, `initialMargin`);
- available = cross wallet + unrealised profit of cross positions - what cross positions and all open orders bind;
- liquidation price: where wallet, other profit and own profit are just all maintenance. The wallet is the cross wallet of the
  margin asset, or the position's own wallet (and no others) when it is isolated.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple, Protocol

from userstream.sim.books import LONG, SHORT, ZERO, AccountSettings, Balance, Instrument, Millis, Position, PositionSide
from userstream.sim.ledger import Ledger, Leg, money
from userstream.sim.records import OpenNotional, Records

MARGIN_CALL_RATIO: Final = Decimal("0.8")
MARGIN_CLEAR_RATIO: Final = Decimal("0.7")  # below it a new crossing is a new call
COLLATERAL_SHARE: Final = Decimal("0.95")  # what a coin counts for in multi-assets mode; quote assets count fully


class Prices(Protocol):
    """What the margin arithmetic needs to know of the market."""

    @property
    def instruments(self) -> Mapping[str, Instrument]: ...

    def mark_price(self, symbol: str) -> Decimal: ...

    def asset_price(self, asset: str, quote: str) -> Decimal | None: ...


class Holder(Protocol):
    """An account as the margin arithmetic sees it."""

    @property
    def ledger(self) -> Ledger: ...

    @property
    def records(self) -> Records: ...

    @property
    def settings(self) -> AccountSettings: ...


class Health(NamedTuple):
    """Equity and maintenance of one pool of margin."""

    equity: Decimal
    maintenance: Decimal

    @property
    def ratio(self) -> Decimal:
        """Maintenance over equity: 1 and more means liquidation. Without equity the ratio is as bad as can be."""
        if not self.maintenance:
            return ZERO
        return self.maintenance / self.equity if self.equity > ZERO else Decimal("Infinity")


def bound_notional(side: PositionSide, held: Decimal, opening: OpenNotional) -> Decimal:
    """The notional of the leg if the worse side of its open orders were filled. `held` is signed."""
    if side is LONG:
        return held + opening.bids
    if side is SHORT:
        return opening.asks - held
    return max(abs(held + opening.bids), abs(held - opening.asks))


def _profit(leg: Leg, mark: Decimal) -> Decimal:
    return leg.contract.profit(leg.amount, leg.entry_price, mark)


def _legs_with_margin(holder: Holder, asset: str, prices: Prices) -> dict[tuple[str, PositionSide], Decimal]:
    """Legs that bind margin of the asset, with their signed notional."""
    held: dict[tuple[str, PositionSide], Decimal] = {}
    for leg in holder.ledger.open_legs():
        if leg.margin_asset == asset:
            held[leg.symbol, leg.position_side] = leg.contract.worth(prices.mark_price(leg.symbol), leg.amount)
    for symbol, side in holder.records.symbols_with_opening():
        if prices.instruments[symbol].margin_asset == asset:
            held.setdefault((symbol, side), ZERO)
    return held


def bound_margin(holder: Holder, asset: str, prices: Prices) -> Decimal:
    """What positions and open orders take from the cross wallet. Isolated positions bring their own margin."""
    ledger, records, total = holder.ledger, holder.records, ZERO
    for (symbol, side), held in _legs_with_margin(holder, asset, prices).items():
        terms = ledger.terms_of(symbol)
        bound = bound_notional(side, held, records.opening_notional(symbol, side))
        total += (bound - abs(held) if terms.isolated else bound) / terms.leverage
    return total


def cross_profit(holder: Holder, asset: str, prices: Prices) -> Decimal:
    ledger, total = holder.ledger, ZERO
    for leg in ledger.open_legs():
        if leg.margin_asset == asset and not ledger.terms_of(leg.symbol).isolated:
            total += leg.contract.profit(leg.amount, leg.entry_price, prices.mark_price(leg.symbol))
    return total


def available(holder: Holder, asset: str, prices: Prices) -> Decimal:
    """What can be bound or withdrawn, rounded to 8 decimals; negative when too much is bound already."""
    if not holder.settings.multi_assets:
        return money(_free(holder, asset, prices))
    total = sum((_in_quote(_free(holder, each, prices), each, asset, prices) for each in holder.ledger.balances), ZERO)
    return money(total)


def _free(holder: Holder, asset: str, prices: Prices) -> Decimal:
    cross = holder.ledger.cross_wallet(asset)
    return cross + cross_profit(holder, asset, prices) - bound_margin(holder, asset, prices)


def _in_quote(amount: Decimal, asset: str, quote: str, prices: Prices) -> Decimal:
    """The worth of collateral in another asset: coins count a little less than they cost, an unpriced asset for nothing."""
    price = prices.asset_price(asset, quote)
    if price is None:
        return ZERO
    margins = {instrument.margin_asset for instrument in prices.instruments.values()}
    return amount * price * (Decimal(1) if asset in margins or amount < ZERO else COLLATERAL_SHARE)


def cross_health(holder: Holder, asset: str, prices: Prices) -> Health:
    """The pool of all cross positions with this margin asset; in multi-assets mode of all cross positions."""
    if not holder.settings.multi_assets:
        return _pool(holder, asset, prices)
    pools = {each: _pool(holder, each, prices) for each in holder.ledger.balances}
    equity = sum((_in_quote(pool.equity, each, asset, prices) for each, pool in pools.items()), ZERO)
    maintenance = sum((_in_quote(pool.maintenance, each, asset, prices) for each, pool in pools.items()), ZERO)
    return Health(equity, maintenance)


def _pool(holder: Holder, asset: str, prices: Prices) -> Health:
    ledger, profit, maintenance = holder.ledger, ZERO, ZERO
    for leg in ledger.open_legs():
        if leg.margin_asset == asset and not ledger.terms_of(leg.symbol).isolated:
            mark, contract = prices.mark_price(leg.symbol), leg.contract
            profit += contract.profit(leg.amount, leg.entry_price, mark)
            maintenance += contract.worth(mark, abs(leg.amount)) * prices.instruments[leg.symbol].maintenance_rate
    return Health(ledger.cross_wallet(asset) + profit, maintenance)


def isolated_health(leg: Leg, prices: Prices) -> Health:
    """The pool of one isolated position."""
    mark = prices.mark_price(leg.symbol)
    maintenance = leg.contract.worth(mark, abs(leg.amount)) * prices.instruments[leg.symbol].maintenance_rate
    return Health(leg.isolated_wallet + _profit(leg, mark), maintenance)


def liquidation_price(holder: Holder, leg: Leg, prices: Prices) -> Decimal:
    """Where the position's pool reaches its maintenance margin, all else equal; 0 when no positive price does."""
    if not leg.amount:
        return ZERO
    rate = prices.instruments[leg.symbol].maintenance_rate
    if holder.ledger.terms_of(leg.symbol).isolated:
        spare = leg.isolated_wallet
    else:
        mark = prices.mark_price(leg.symbol)
        pool = cross_health(holder, leg.margin_asset, prices)
        spare = pool.equity - _profit(leg, mark) - (pool.maintenance - leg.contract.worth(mark, abs(leg.amount)) * rate)
    price = leg.contract.liquidation_price(leg.amount, leg.entry_price, spare, rate)
    return max(money(price), ZERO)


def position(holder: Holder, leg: Leg, prices: Prices) -> Position:
    """A complete copy of the leg at the present mark price."""
    copied = told_position(holder, leg, prices)
    copied.liquidation_price = liquidation_price(holder, leg, prices)
    return copied


def told_position(holder: Holder, leg: Leg, prices: Prices) -> Position:
    """The leg as news tell of it: without a liquidation price, which needs a look at the whole account."""
    return holder.ledger.position(leg, prices.mark_price(leg.symbol), prices.instruments[leg.symbol].maintenance_rate)


def balance(holder: Holder, asset: str, prices: Prices) -> Balance:
    """A complete copy of the balance; available is never shown below zero."""
    copied = told_balance(holder.ledger, asset)
    copied.available = max(available(holder, asset, prices), ZERO)
    return copied


def told_balance(ledger: Ledger, asset: str) -> Balance:
    """The balance as news tell of it: without what is available, which needs a look at the whole account."""
    kept = ledger.balances.get(asset)
    return Balance(
        account=ledger.account,
        asset=asset,
        wallet=ZERO if kept is None else kept.wallet,
        cross_wallet=ledger.cross_wallet(asset),
        updated_time=Millis(0) if kept is None else kept.updated_time,
    )
