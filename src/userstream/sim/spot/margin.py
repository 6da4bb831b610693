"""The accounts of a spot exchange and their money: spot accounts, cross and isolated margin accounts, loans and transfers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from decimal import Decimal

from userstream.sim.books import Debt, Millis, Refused
from userstream.sim.instruments import is_amount
from userstream.sim.ledger import money
from userstream.sim.reading import Reading
from userstream.sim.spot.books import SpotOrder
from userstream.sim.spot.lending import Lending, margin_account
from userstream.sim.spot.loans import LoanLine, MarginAccount
from userstream.sim.spot.records import SpotRecords
from userstream.sim.spot.trading import SpotTrading
from userstream.sim.spot.world import SpotAccount, SpotWorld

SPOT_SUFFIX = ".spot"


class MarginSide(Reading[SpotAccount, SpotOrder]):
    """The half of a spot exchange that knows users and their accounts. Whoever completes it lets time pass."""

    def __init__(self, world: SpotWorld) -> None:
        super().__init__(world)
        self._world: SpotWorld = world
        self._trading = SpotTrading(world)
        self.lending = Lending(world, self._trading)
        """What margin accounts owe; the exchange's own calls let time pass, these do not."""

    def _records(self, account: str) -> SpotRecords:
        return self._world.account(account).records

    def open_account(self, account: str, balances: Mapping[str, Decimal]) -> None:
        """Opening balances are no income: a wallet is its opening balance plus the account's income lines."""
        self._open(SpotAccount(account, self._next_number, balances, self._world.now), balances)

    @property
    def _next_number(self) -> int:
        return len(self._world.accounts) + 1

    def _open(self, account: SpotAccount, balances: Mapping[str, Decimal]) -> None:
        if account.name in self._world.accounts:
            raise Refused("duplicate_account", "the account exists already")
        if not account.name or not all(is_amount(amount) and amount >= 0 for amount in balances.values()):
            raise Refused("bad_amount", "an account needs a name and amounts that are not negative")
        self._world.accounts[account.name] = account

    def open_margin_account(self, user: str, balances: Mapping[str, Decimal]) -> None:
        """The cross account of a user bears the user's name; beside it stands an empty spot account."""
        self._open(MarginAccount(user, self._next_number, balances, self._world.now, user=user), balances)
        spot = SpotAccount(f"{user}{SPOT_SUFFIX}", self._next_number, {}, self._world.now)
        spot.user = user
        self._open(spot, {})

    def spot_account(self, user: str) -> str:
        """The name of the user's spot account."""
        return f"{user}{SPOT_SUFFIX}" if isinstance(self._world.account(user), MarginAccount) else user

    def margin_account(self, user: str, symbol: str = "") -> str:
        """The name of the user's cross account, or of the isolated one of a pair, which is opened now if it was not.

        Refused("no_margin_account") for a user who trades on spot only, Refused("no_margin_pair") for a pair that is traded there only.
        """
        cross = margin_account(self._world.account(user))
        if not symbol:
            return cross.name
        if not cross.may_trade(self._world.instrument(symbol).symbol):
            raise Refused("no_margin_pair", f"{symbol} is traded on spot only")
        name = f"{user}.{symbol}"
        if name not in self._world.accounts:
            self._open(MarginAccount(name, self._next_number, {}, self._world.now, user=user, symbol=symbol), {})
        return name

    def isolated_accounts(self, user: str) -> list[str]:
        """By pair, as they were opened."""
        owned = (each for each in self._world.accounts.values() if each.user == user and each.only_symbol)
        return [each.name for each in owned]

    def margin_of(self, account: str) -> MarginAccount:
        """The account with its debts. Refused("no_margin_account")."""
        return margin_account(self._world.account(account))

    def debts(self, account: str) -> list[Debt]:
        """What an account owes, by asset; nothing for one without margin."""
        owner = self._world.account(account)
        return [copy.copy(owner.debts[asset]) for asset in sorted(owner.debts)] if isinstance(owner, MarginAccount) else []

    def loans(self, account: str) -> list[LoanLine]:
        """All that was borrowed, charged and paid back, oldest first; nothing for an account without margin."""
        owner = self._world.account(account)
        return list(owner.lines) if isinstance(owner, MarginAccount) else []

    def borrow(self, account: str, asset: str, amount: Decimal, now: Millis) -> LoanLine:
        line = self.lending.borrow(self._enter(account, now), asset, amount)
        self.lending.look_at_levels()
        return line

    def repay(self, account: str, asset: str, amount: Decimal | None, now: Millis) -> LoanLine:
        """None pays back as much as is owed and free."""
        line = self.lending.repay(self._enter(account, now), asset, amount)
        self.lending.look_at_levels()
        return line

    def liquidate(self, account: str, now: Millis) -> None:
        """The exchange closes a margin account by force: orders end, assets are sold, debts are paid."""
        owner = margin_account(self._enter(account, now))
        if not owner.debts:
            raise Refused("nothing_owed", "the account owes nothing")
        self.lending.tell_level(owner, "force_liquidation")
        self.lending.liquidate(owner)
        self.lending.look_at_levels()

    def call_margin(self, account: str, now: Millis) -> None:
        """Warn a cross margin account, whatever its level."""
        self.lending.tell_level(margin_account(self._enter(account, now)), "margin_call")

    def move_between(self, source: str, target: str, asset: str, amount: Decimal, now: Millis) -> None:
        """Money goes from one account to another one; both are told."""
        if not is_amount(amount) or amount <= 0:
            raise Refused("bad_amount", "amount must be above 0")
        receiver = self._enter(target, now)
        if isinstance(receiver, MarginAccount) and asset not in self.lending.assets_of(receiver):
            raise Refused("asset_not_lent", "the account cannot hold this asset")
        self.transfer(source, asset, -amount, now, reason="transfer_out")
        self.transfer(target, asset, amount, now, reason="transfer_in")

    def transfer(self, account: str, asset: str, amount: Decimal, now: Millis, *, reason: str = "deposit") -> None:
        """Book a signed amount; a negative one is held against the free part."""
        owner = self._enter(account, now)
        if not asset or not reason or not is_amount(amount) or not amount or money(amount) != amount:
            raise Refused("bad_amount", "amount must not be 0 and have at most 8 decimals")
        if -amount > self.lending.transferable(owner, asset):
            raise Refused("balance_insufficient", f"{asset} is insufficient")
        owner.wallets.post("transfer", asset, amount, self._world.now, info=reason.upper())
        self._world.tell_balances(owner, [asset], reason, {asset: amount})
