"""What a quantity of a contract is worth, and what it wins and loses: linear contracts in the quote asset, inverse ones in the base asset.

An inverse contract is worth `size` quote units whatever the price is, so its worth in the base asset falls as the price rises
(Binance COIN-M, 6.6). Nothing here rounds; who books an amount does.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

ZERO = Decimal(0)


class Contract(msgspec.Struct, frozen=True):
    """The arithmetic of one kind of contract. Quantities are signed where a position is meant: short is negative."""

    size: Decimal = ZERO
    """Quote units of one inverse contract; 0 for a linear one, whose quantity is of the base asset."""

    @property
    def is_inverse(self) -> bool:
        return bool(self.size)

    def worth(self, price: Decimal, quantity: Decimal) -> Decimal:
        """The notional in the margin asset, with the sign of the quantity."""
        return quantity * self.size / price if self.size else price * quantity

    def base(self, price: Decimal, quantity: Decimal) -> Decimal:
        return quantity * self.size / price if self.size else quantity

    def quote(self, price: Decimal, quantity: Decimal) -> Decimal:
        return quantity * self.size if self.size else price * quantity

    def quantity(self, price: Decimal, worth: Decimal) -> Decimal:
        """How much is worth this, in the margin asset."""
        return worth * price / self.size if self.size else worth / price

    def quantity_for(self, price: Decimal, quote: Decimal) -> Decimal:
        """How much this many quote units are."""
        return quote / (self.size or price)

    def profit(self, amount: Decimal, entry: Decimal, price: Decimal) -> Decimal:
        """What a position won from its entry to this price, in the margin asset."""
        if not self.size or not amount:
            return amount * (price - entry)
        return amount * self.size * (price - entry) / (entry * price)

    def entry(self, amount: Decimal, entry: Decimal, change: Decimal, price: Decimal) -> Decimal:
        """The average price of a position that grew: the one at which its profit is the sum of the profits of its parts."""
        held, added = abs(amount), abs(change)
        if not self.size:
            return (held * entry + added * price) / (held + added)
        return (held + added) / ((held / entry if held else ZERO) + added / price)

    def break_even(self, amount: Decimal, entry: Decimal, fees: Decimal) -> Decimal:
        """The price at which the profit would just pay these fees; 0 where no price does."""
        if not self.size:
            return entry + fees / amount
        share = 1 / entry - fees / (amount * self.size)
        return 1 / share if share > ZERO else ZERO

    def liquidation_price(self, amount: Decimal, entry: Decimal, spare: Decimal, rate: Decimal) -> Decimal:
        """Where `spare` and the profit together are just the maintenance margin; 0 or less when no positive price is."""
        if not self.size:
            return (spare - amount * entry) / (abs(amount) * rate - amount)
        backing = spare + amount * self.size / entry
        return self.size * (abs(amount) * rate + amount) / backing if backing else ZERO


LINEAR = Contract()
