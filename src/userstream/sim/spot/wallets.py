"""One account's money on spot. Nothing here knows orders, other accounts, prices or a clock.

Each asset has a free part, a part locked by orders and a part locked by others. None of them is ever negative: what cannot be
paid is refused before anything changes. The whole of an asset is its opening amount plus the income lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from userstream.sim.books import ZERO, Balance, Income, Millis, Refused

FIRST_TRANSACTION_ID: Final = 9_800_000_000_000


class Wallet(msgspec.Struct, kw_only=True):
    """One asset of one account."""

    asset: str
    free: Decimal = ZERO
    locked: Decimal = ZERO  # by orders
    held: Decimal = ZERO  # by others, for instance as collateral
    updated_time: Millis = Millis(0)

    @property
    def total(self) -> Decimal:
        return self.free + self.locked + self.held


class Wallets:
    """All wallets and the cash history of one account. Owned by the account; changed only through its methods."""

    def __init__(self, account: str, balances: Mapping[str, Decimal], now: Millis) -> None:
        self.account = account
        self.wallets = {asset: Wallet(asset=asset, free=amount, updated_time=now) for asset, amount in balances.items()}
        self.income: list[Income] = []
        self.updated_time = now

    # --- reading ---

    def free(self, asset: str) -> Decimal:
        wallet = self.wallets.get(asset)
        return ZERO if wallet is None else wallet.free

    def total(self, asset: str) -> Decimal:
        wallet = self.wallets.get(asset)
        return ZERO if wallet is None else wallet.total

    def balance(self, asset: str) -> Balance:
        """A copy as the books hand it out: `wallet` is everything, `available` is the free part."""
        wallet = self.wallets.get(asset, Wallet(asset=asset))
        return Balance(
            account=self.account,
            asset=asset,
            wallet=wallet.total,
            cross_wallet=wallet.total,
            available=wallet.free,
            updated_time=wallet.updated_time,
        )

    # --- locking ---

    def lock(self, asset: str, amount: Decimal, now: Millis) -> None:
        """Set so much of the free part aside for an order. Refused("balance_insufficient") when there is not enough."""
        if amount > self.free(asset):
            raise Refused("balance_insufficient", f"{asset} is insufficient")
        wallet = self._wallet(asset, now)
        wallet.free -= amount
        wallet.locked += amount

    def unlock(self, asset: str, amount: Decimal, now: Millis) -> None:
        """Give back what an order does not need. The caller gives back no more than it locked."""
        wallet = self._wallet(asset, now)
        wallet.locked -= amount
        wallet.free += amount

    def hold(self, asset: str, amount: Decimal, now: Millis) -> None:
        """Others lock a positive amount of the free part, or unlock a negative one."""
        known = self.wallets.get(asset, Wallet(asset=asset))
        if amount > known.free or -amount > known.held:
            raise Refused("balance_insufficient", f"{asset}: {known.free} is free, {known.held} is locked from outside")
        wallet = self._wallet(asset, now)
        wallet.free -= amount
        wallet.held += amount

    # --- cash ---

    def post(
        self, income_type: str, asset: str, amount: Decimal, now: Millis, *, symbol: str = "", trade_id: str = "", info: str = ""
    ) -> None:
        """Add one line to the cash history and its amount to the free part. Nothing else ever changes the whole of a wallet."""
        if self.free(asset) + amount < ZERO:
            raise Refused("balance_insufficient", f"{asset} is insufficient")
        wallet = self._wallet(asset, now)
        wallet.free += amount
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

    def _wallet(self, asset: str, now: Millis) -> Wallet:
        wallet = self.wallets.get(asset)
        if wallet is None:
            wallet = self.wallets[asset] = Wallet(asset=asset)
        wallet.updated_time = self.updated_time = now
        return wallet
