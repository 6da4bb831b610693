"""A margin user who plays alone: borrows, trades, pays back, moves money into an isolated account, and is careful not to be liquidated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from userstream.sim.books import Refused
from userstream.sim.ledger import money
from userstream.sim.market import Dice
from userstream.sim.spot.lending import Lending
from userstream.sim.spot.loans import MarginAccount
from userstream.sim.spot.trader import SpotTrader
from userstream.sim.spot.world import SpotWorld

ACTIONS: Final = ("trade", "borrow", "repay", "isolate")
WEIGHTS: Final = (79, 9, 10, 2)
CAREFUL_LEVEL: Final = Decimal("1.8")  # below it the account only pays back
ISOLATED_PAIRS: Final = 2
SMALLEST_LOAN: Final = Decimal(20)  # in the quote of the first pair


class Borrower:
    """Acts for margin accounts. Each account has its own draws, so what one does never changes what another would draw."""

    def __init__(
        self, world: SpotWorld, lending: Lending, trader: SpotTrader, isolate: Callable[[MarginAccount, str, Decimal], None]
    ) -> None:
        """`isolate` moves so much of the quote asset from a cross account to the isolated account of a pair."""
        self._world = world
        self._lending = lending
        self._trader = trader
        self._isolate = isolate
        self._dice: dict[str, Dice] = {}

    def act(self, account: MarginAccount) -> None:
        """One action; a refusal by the exchange is a normal outcome and changes nothing."""
        dice = self._dice_of(account)
        action = dice.weigh(ACTIONS, WEIGHTS)
        if account.debts and self._lending.level(account) < CAREFUL_LEVEL:
            action = "repay"
        try:
            self._perform(action, account, dice)
        except Refused:
            return

    def choose(self, accounts: Sequence[MarginAccount]) -> MarginAccount:
        """Which of a user's accounts acts next: the first one, which is the cross account, more often than the others."""
        first = accounts[0]
        dice = self._dice_of(first)
        return first if len(accounts) == 1 or dice.chance(0.6) else dice.choose(accounts[1:])

    def _dice_of(self, account: MarginAccount) -> Dice:
        dice = self._dice.get(account.name)
        if dice is None:
            dice = self._dice[account.name] = Dice(self._world.seed, f"borrower:{account.name}")
        return dice

    def _perform(self, action: str, account: MarginAccount, dice: Dice) -> None:
        if action == "borrow":
            self._borrow(account, dice)
        elif action == "repay" and account.debts:
            self._repay(account, dice)
        elif action == "isolate" and not account.is_isolated:
            self._move_apart(account, dice)
        else:
            self._trader.act(account)

    def _borrow(self, account: MarginAccount, dice: Dice) -> None:
        """A small part of what the level allows."""
        asset = dice.choose(self._lending.assets_of(account))
        main = next(iter(self._world.instruments.values())).quote
        price = self._world.asset_price(asset, main)
        amount = money(self._lending.borrowable(account, asset) * dice.share() / 10)
        if price is not None and amount * price >= SMALLEST_LOAN:
            self._lending.borrow(account, asset, amount)

    def _move_apart(self, account: MarginAccount, dice: Dice) -> None:
        """A little of what may leave, for one of the first pairs."""
        instrument = dice.choose(list(self._world.instruments.values())[:ISOLATED_PAIRS])
        amount = money(self._lending.transferable(account, instrument.quote) * dice.share() / 10)
        if amount:
            self._isolate(account, instrument.symbol, amount)

    def _repay(self, account: MarginAccount, dice: Dice) -> None:
        asset = dice.choose(sorted(account.debts))
        payable = min(account.owed(asset), account.wallets.free(asset))
        amount = payable if dice.chance(0.6) else money(payable * dice.share())
        if amount:
            self._lending.repay(account, asset, amount)
