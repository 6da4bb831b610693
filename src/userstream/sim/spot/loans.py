"""What a margin account owes. Nothing here knows prices, orders or a clock.

A debt has a principal and the interest on it; what is paid back pays interest first. Amounts have at most 8 decimals.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from userstream.sim.books import ZERO, Debt, Millis
from userstream.sim.ledger import money
from userstream.sim.spot.instruments import has_margin
from userstream.sim.spot.world import SpotAccount

HOURLY_RATE: Final = Decimal("0.0000125")  # interest of one hour, of every asset
HOUR_MS: Final = 3_600_000
FIRST_LOAN_ID: Final = 100_000_000_000


class LoanLine(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a debt: what was borrowed, charged or paid back, split into principal and interest."""

    loan_id: int
    account: str
    kind: str  # borrow, repay, interest
    asset: str
    principal: Decimal = ZERO
    interest: Decimal = ZERO
    owed: Decimal  # all of the asset, afterwards
    automatic: bool = False
    time: Millis

    @property
    def amount(self) -> Decimal:
        return self.principal + self.interest


class MarginAccount(SpotAccount):
    """A spot account that may borrow: the cross account of its user, or the isolated one of a single pair."""

    def __init__(self, name: str, number: int, balances: Mapping[str, Decimal], now: Millis, *, user: str, symbol: str = "") -> None:
        super().__init__(name, number, balances, now)
        self.user = user
        self.only_symbol = symbol
        self.debts: dict[str, Debt] = {}
        self.lines: list[LoanLine] = []
        self.status = "normal"  # normal, margin_call, force_liquidation

    def may_trade(self, symbol: str) -> bool:
        """Pairs with margin only."""
        return has_margin(symbol)

    @property
    def is_isolated(self) -> bool:
        return bool(self.only_symbol)

    def owed(self, asset: str) -> Decimal:
        debt = self.debts.get(asset)
        return ZERO if debt is None else debt.total

    def add_principal(self, asset: str, amount: Decimal, now: Millis, *, automatic: bool = False) -> LoanLine:
        """Borrow. The first hour's interest is charged at once."""
        debt = self.debts.setdefault(asset, Debt(asset=asset))
        charged = money(amount * HOURLY_RATE)
        debt.principal += amount
        debt.interest += charged
        return self._note("borrow", asset, amount, charged, now, automatic=automatic)

    def charge(self, asset: str, now: Millis) -> LoanLine | None:
        """One hour's interest; None where it is less than the smallest amount."""
        debt = self.debts[asset]
        charged = money(debt.principal * HOURLY_RATE)
        if not charged:
            return None
        debt.interest += charged
        return self._note("interest", asset, ZERO, charged, now)

    def pay_back(self, asset: str, amount: Decimal, now: Millis, *, automatic: bool = False) -> LoanLine:
        """Interest first, then principal. The caller pays no more than is owed."""
        debt = self.debts[asset]
        interest = min(amount, debt.interest)
        debt.interest -= interest
        debt.principal -= amount - interest
        line = self._note("repay", asset, amount - interest, interest, now, automatic=automatic)
        if not debt.total:
            del self.debts[asset]
        return line

    def _note(self, kind: str, asset: str, principal: Decimal, interest: Decimal, now: Millis, *, automatic: bool = False) -> LoanLine:
        line = LoanLine(
            loan_id=FIRST_LOAN_ID + self.number * 1_000_000 + len(self.lines) + 1,
            account=self.name,
            kind=kind,
            asset=asset,
            principal=principal,
            interest=interest,
            owed=self.owed(asset),
            automatic=automatic,
            time=now,
        )
        self.lines.append(line)
        return line
