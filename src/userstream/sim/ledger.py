"""One account's money and positions. Nothing here knows orders in a book, other accounts, prices of the market or a clock.

Rounding, said once: every amount that enters a wallet (realised profit, fee, funding) and every average price is rounded
half-even to 8 decimals. Quantities are exact, and so are the quote quantities. A wallet is always its opening amount plus the income lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

import msgspec

from userstream.sim.books import BUY, ZERO, Balance, Fill, Income, Instrument, Millis, Order, Position, PositionSide, Side
from userstream.sim.contracts import LINEAR, Contract

MONEY_DIGITS: Final = Decimal("0.00000001")
FIRST_TRANSACTION_ID: Final = 9_600_000_000_000


def money(value: Decimal) -> Decimal:
    """Round half-even to 8 decimals, the smallest amount of every asset."""
    return value.quantize(MONEY_DIGITS, ROUND_HALF_EVEN)


NOTHING: Final = money(ZERO)


def signed(side: Side, quantity: Decimal) -> Decimal:
    return quantity if side is BUY else -quantity


class Terms(msgspec.Struct):
    """What an account has chosen for one symbol."""

    leverage: int = 20
    isolated: bool = False


class Leg(msgspec.Struct, kw_only=True):
    """One side of one symbol. It stays after it was closed, because its realised profit goes on accumulating."""

    symbol: str
    position_side: PositionSide
    margin_asset: str
    amount: Decimal = ZERO  # short is negative
    entry_price: Decimal = ZERO
    open_fees: Decimal = ZERO  # paid for what is still open, in the margin asset
    realized_pnl: Decimal = ZERO
    isolated_wallet: Decimal = ZERO
    updated_time: Millis = Millis(0)
    contract: Contract = LINEAR

    @property
    def break_even_price(self) -> Decimal:
        """The price at which closing would just pay back the fees of opening."""
        if not self.amount:
            return ZERO
        return money(self.contract.break_even(self.amount, self.entry_price, self.open_fees))


class FeeTerms(msgspec.Struct, frozen=True):
    """How a fee is charged: the rate on the worth, and the asset with its price in the margin asset."""

    rate: Decimal
    asset: str
    price: Decimal = Decimal(1)


class Ledger:
    """Wallets, legs and cash history of one account. Owned by the account; changed only through its methods."""

    def __init__(self, account: str, balances: Mapping[str, Decimal], now: Millis) -> None:
        self.account = account
        self.balances = {
            asset: Balance(account=account, asset=asset, wallet=amount, updated_time=now) for asset, amount in balances.items()
        }
        self.legs: dict[str, dict[PositionSide, Leg]] = {}
        self._open_legs: tuple[Leg, ...] | None = ()  # None: to be looked up anew
        self.terms: dict[str, Terms] = {}
        self.income: list[Income] = []

    # --- reading ---

    def terms_of(self, symbol: str) -> Terms:
        terms = self.terms.get(symbol)
        if terms is None:
            terms = self.terms[symbol] = Terms()
        return terms

    def leg(self, instrument: Instrument, side: PositionSide) -> Leg:
        """The leg, or a flat one that the ledger does not keep: reading must not change the order in which legs are gone through."""
        known = self.legs.get(instrument.symbol, {}).get(side)
        if known is not None:
            return known
        return Leg(symbol=instrument.symbol, position_side=side, margin_asset=instrument.margin_asset, contract=instrument.contract)

    def amount(self, symbol: str, side: PositionSide) -> Decimal:
        leg = self.legs.get(symbol, {}).get(side)
        return ZERO if leg is None else leg.amount

    def open_legs(self) -> tuple[Leg, ...]:
        """Those that are not flat, in the order in which their symbols were first traded."""
        if self._open_legs is None:
            self._open_legs = tuple(leg for legs in self.legs.values() for leg in legs.values() if leg.amount)
        return self._open_legs

    def wallet(self, asset: str) -> Decimal:
        balance = self.balances.get(asset)
        return ZERO if balance is None else balance.wallet

    def cross_wallet(self, asset: str) -> Decimal:
        """The wallet without what isolated positions have set aside."""
        aside = ZERO
        for leg in self.open_legs():
            if leg.isolated_wallet and leg.margin_asset == asset:
                aside += leg.isolated_wallet
        return self.wallet(asset) - aside

    # --- cash ---

    def post(
        self, income_type: str, asset: str, amount: Decimal, now: Millis, *, symbol: str = "", trade_id: str = "", info: str = ""
    ) -> None:
        """Add one line to the cash history and its amount to the wallet. Nothing else ever changes a wallet."""
        balance = self.balances.setdefault(asset, Balance(account=self.account, asset=asset))
        balance.wallet += amount
        balance.updated_time = now
        self.income.append(
            Income(
                account=self.account,
                income_type=income_type,
                amount=amount,
                asset=asset,
                symbol=symbol,
                trade_id=trade_id,
                info=info or income_type.upper(),
                time=now,
                transaction_id=FIRST_TRANSACTION_ID + len(self.income) + 1,
            )
        )

    # --- executions ---

    def trade(
        self,
        order: Order,
        instrument: Instrument,
        price: Decimal,
        quantity: Decimal,
        *,
        trade_id: int,
        maker: bool,
        fee: FeeTerms,
        now: Millis,
    ) -> Fill:
        """Book one execution of an order: position, realised profit and fee. Returns the fill."""
        leg = self.legs.setdefault(order.symbol, {}).setdefault(order.position_side, self.leg(instrument, order.position_side))
        self._open_legs = None
        cost = instrument.contract.worth(price, quantity) * fee.rate
        realized = self._move(leg, signed(order.side, quantity), price, cost)
        leg.updated_time = now
        charged = money(cost / fee.price)
        fill = Fill(
            account=self.account,
            symbol=order.symbol,
            trade_id=trade_id,
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            side=order.side,
            position_side=order.position_side,
            price=price,
            quantity=quantity,
            quote_quantity=instrument.contract.quote(price, quantity),
            fee=charged,
            fee_asset=fee.asset,
            realized_pnl=realized,
            maker=maker,
            time=now,
        )
        self._pay(fill, instrument.margin_asset)
        return fill

    def _pay(self, fill: Fill, margin_asset: str) -> None:
        trade_id = str(fill.trade_id)
        if fill.realized_pnl:
            self.post("realized_pnl", margin_asset, fill.realized_pnl, fill.time, symbol=fill.symbol, trade_id=trade_id)
        if fill.fee:
            self.post("commission", fill.fee_asset, -fill.fee, fill.time, symbol=fill.symbol, trade_id=trade_id)

    def _move(self, leg: Leg, change: Decimal, price: Decimal, fee: Decimal) -> Decimal:
        """Close what the change closes, open the rest, and return the realised profit. The fee is shared by quantity."""
        closing = min(abs(change), abs(leg.amount)) if leg.amount * change < ZERO else ZERO
        realized = self._close(leg, closing, price) if closing else ZERO
        opening = abs(change) - closing
        if opening:
            self._open(leg, opening if change > ZERO else -opening, price, money(fee * opening / abs(change)))
        return realized

    def _close(self, leg: Leg, closing: Decimal, price: Decimal) -> Decimal:
        size = abs(leg.amount)
        realized = money(leg.contract.profit(closing if leg.amount > ZERO else -closing, leg.entry_price, price))
        leg.realized_pnl += realized
        if closing == size:
            leg.amount = leg.entry_price = leg.open_fees = leg.isolated_wallet = ZERO
            return realized
        # An isolated position gives back the share of its margin that belonged to the closed part; profit and fee go
        # through the cross wallet.
        leg.isolated_wallet -= money(leg.isolated_wallet * closing / size)
        leg.open_fees -= money(leg.open_fees * closing / size)
        leg.amount -= closing if leg.amount > ZERO else -closing
        return realized

    def _open(self, leg: Leg, change: Decimal, price: Decimal, fee: Decimal) -> None:
        leg.entry_price = money(leg.contract.entry(leg.amount, leg.entry_price, change, price))
        leg.amount += change
        leg.open_fees += fee
        terms = self.terms_of(leg.symbol)
        if terms.isolated:
            leg.isolated_wallet += money(leg.contract.worth(price, abs(change)) / terms.leverage)

    # --- snapshots ---

    def position(self, leg: Leg, mark_price: Decimal, maintenance_rate: Decimal) -> Position:
        """A copy of the leg as people see it at this mark price. The liquidation price is the caller's to fill in."""
        terms, profit, initial, maintenance = self.terms_of(leg.symbol), NOTHING, NOTHING, NOTHING
        if leg.amount:
            notional = leg.contract.worth(mark_price, abs(leg.amount))
            profit = money(leg.contract.profit(leg.amount, leg.entry_price, mark_price))
            initial, maintenance = money(notional / terms.leverage), money(notional * maintenance_rate)
        return Position(
            account=self.account,
            symbol=leg.symbol,
            position_side=leg.position_side,
            amount=leg.amount,
            entry_price=leg.entry_price,
            break_even_price=leg.break_even_price,
            realized_pnl=leg.realized_pnl,
            unrealized_pnl=profit,
            mark_price=mark_price,
            margin_type="isolated" if terms.isolated else "cross",
            isolated_wallet=leg.isolated_wallet,
            leverage=terms.leverage,
            initial_margin=initial,
            maintenance_margin=maintenance,
            updated_time=leg.updated_time,
        )
