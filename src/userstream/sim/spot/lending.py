"""Lending to margin accounts: borrow and repay, interest by the hour, margin levels with their warnings, forced liquidation.

The level of an account is the worth of its assets over the worth of its debts, at last prices (Binance Spot, 4.4). An asset that no
pair prices counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from userstream.sim.books import ZERO, Fill, LiabilityHappened, MarginLevelHappened, OrderStatus, Refused, Side
from userstream.sim.engine import is_open
from userstream.sim.instruments import is_amount
from userstream.sim.ledger import money
from userstream.sim.market import grid_after
from userstream.sim.spot.admission import admit, need_of, paid_with
from userstream.sim.spot.books import Expiry, NewSpotOrder, SpotOrder
from userstream.sim.spot.loans import HOUR_MS, LoanLine, MarginAccount
from userstream.sim.spot.trading import Ending, SpotTrading
from userstream.sim.spot.world import SpotAccount, SpotWorld

NO_DEBT: Final = Decimal(999)  # the level that is shown where nothing is owed
INITIAL_LEVEL: Final = Decimal("1.5")  # after borrowing, cross; isolated accounts may borrow more
INITIAL_ISOLATED: Final = Decimal("1.25")
LEAVING_LEVEL: Final = Decimal(2)  # after something left the account
CALL_LEVEL: Final = Decimal("1.3")
CLEAR_LEVEL: Final = Decimal("1.35")  # above it the account is out of danger again
LIQUIDATION_LEVEL: Final = Decimal("1.1")
LIQUIDATION_LOSS: Final = Decimal("0.02")  # what a forced sale loses against the last price
LOOKS: Final = 10  # so many steps of the market until every account was looked at
BORROWING: Final = frozenset({"margin_buy", "auto_borrow_repay"})
REPAYING: Final = frozenset({"auto_repay", "auto_borrow_repay"})
SIDE_EFFECTS: Final = BORROWING | REPAYING | {"no_side_effect"}


class Lending:
    """Carries out what margin accounts owe. Every change is followed by its news."""

    def __init__(self, world: SpotWorld, trading: SpotTrading) -> None:
        self._world = world
        self._trading = trading
        self._indebted: dict[str, MarginAccount] = {}
        self._look = 0
        self._next_hour = grid_after(world.now, HOUR_MS)
        trading.on_settled = self._after_fill

    # --- borrowing and paying back ---

    def borrow(self, account: SpotAccount, asset: str, amount: Decimal, *, automatic: bool = False) -> LoanLine:
        """Lend as much as the account's level allows, else Refused("borrow_too_much")."""
        owner = margin_account(account)
        self._check_asset(owner, asset, amount)
        if amount > self.borrowable(owner, asset):
            raise Refused("borrow_too_much", "the margin level does not allow so much")
        owner.wallets.post("borrow", asset, amount, self._world.now)
        line = owner.add_principal(asset, amount, self._world.now, automatic=automatic)
        self._indebted[owner.name] = owner
        self._tell(owner, line, "borrow")
        return line

    def repay(self, account: SpotAccount, asset: str, amount: Decimal | None, *, automatic: bool = False) -> LoanLine:
        """Pay back so much, None: as much as is owed and free. Refused("nothing_owed"), Refused("repay_too_much")."""
        owner = margin_account(account)
        owed = owner.owed(asset)
        if not owed:
            raise Refused("nothing_owed", "the account owes nothing of the asset")
        paid = min(owed, owner.wallets.free(asset)) if amount is None else amount
        self._check_asset(owner, asset, paid)
        if paid > owed:
            raise Refused("repay_too_much", f"only {owed} is owed")
        owner.wallets.post("repay", asset, -paid, self._world.now)
        line = owner.pay_back(asset, paid, self._world.now, automatic=automatic)
        self._tell(owner, line, "repay")
        return line

    def _check_asset(self, owner: MarginAccount, asset: str, amount: Decimal) -> None:
        if not is_amount(amount) or amount <= ZERO or money(amount) != amount:
            raise Refused("bad_amount", "amount must be above 0 and have at most 8 decimals")
        if asset not in self.assets_of(owner):
            raise Refused("asset_not_lent", "this asset is not lent to the account")

    def assets_of(self, owner: MarginAccount) -> tuple[str, ...]:
        """What the account may hold and borrow: both sides of its pair, or of all pairs."""
        instruments = self._world.instruments
        chosen = [instruments[owner.only_symbol]] if owner.is_isolated else list(instruments.values())
        return tuple(dict.fromkeys(asset for each in chosen for asset in (each.base, each.quote)))

    def _tell(self, owner: MarginAccount, line: LoanLine, reason: str) -> None:
        self._world.tell_balances(owner, [line.asset], reason)
        self._tell_liability(owner, line)

    def _tell_liability(self, owner: MarginAccount, line: LoanLine) -> None:
        self._world.news.append(
            LiabilityHappened(
                account=owner.name,
                time=self._world.now,
                asset=line.asset,
                kind=line.kind,
                principal=line.principal,
                interest=line.interest,
            )
        )

    # --- orders with side effects ---

    def borrow_for(self, account: SpotAccount, wish: NewSpotOrder) -> LoanLine | None:
        """Borrow what the order has to pay and the account has not. None where nothing is missing or nobody asked for it."""
        if wish.side_effect not in SIDE_EFFECTS:
            raise Refused("bad_side_effect", "unknown side effect")
        if wish.side_effect not in BORROWING:
            return None
        owner = margin_account(account)
        order = admit(self._world, owner, wish)
        asset = paid_with(self._world, order)
        missing = need_of(self._world, order) - owner.wallets.free(asset)
        return self.borrow(owner, asset, missing, automatic=True) if missing > ZERO else None

    def _after_fill(self, order: SpotOrder, fill: Fill) -> None:
        """What a repaying order brought in pays back first."""
        account = self._world.owner(order)
        if order.side_effect not in REPAYING or not isinstance(account, MarginAccount):
            return
        instrument = self._world.instruments[order.symbol]
        buys = order.side is Side.BUY
        asset, brought = (instrument.base, fill.quantity) if buys else (instrument.quote, fill.quote_quantity)
        brought -= fill.fee if fill.fee_asset == asset else ZERO
        paid = min(account.owed(asset), account.wallets.free(asset), money(brought))
        if paid > ZERO:
            self.repay(account, asset, paid, automatic=True)

    # --- levels ---

    def worth(self, owner: SpotAccount, quote: str) -> Decimal:
        """All assets of the account in one asset."""
        return self.sum_in(quote, {wallet.asset: wallet.total for wallet in owner.wallets.wallets.values()})

    def debts_worth(self, owner: MarginAccount, quote: str) -> Decimal:
        return self.sum_in(quote, {debt.asset: debt.total for debt in owner.debts.values()})

    def sum_in(self, quote: str, amounts: Mapping[str, Decimal]) -> Decimal:
        """What these amounts are worth together in one asset."""
        return sum((self._in_quote(amount, asset, quote) for asset, amount in amounts.items()), ZERO)

    def _in_quote(self, amount: Decimal, asset: str, quote: str) -> Decimal:
        price = self._world.asset_price(asset, quote)
        return ZERO if price is None else amount * price

    @property
    def _quote(self) -> str:
        return next(iter(self._world.instruments.values())).quote

    def level(self, owner: MarginAccount) -> Decimal:
        """Assets over debts, never more than 999."""
        return level_of(self.worth(owner, self._quote), self.debts_worth(owner, self._quote))

    def borrowable(self, owner: MarginAccount, asset: str) -> Decimal:
        """How much more of the asset the level allows."""
        wanted = INITIAL_ISOLATED if owner.is_isolated else INITIAL_LEVEL
        spare = self.worth(owner, self._quote) - wanted * self.debts_worth(owner, self._quote)
        price = self._world.asset_price(asset, self._quote)
        return ZERO if price is None else max(money(spare / (wanted - 1) / price), ZERO)

    def transferable(self, owner: SpotAccount, asset: str) -> Decimal:
        """How much of the asset may leave the account."""
        free = owner.wallets.free(asset)
        price = self._world.asset_price(asset, self._quote)
        if not isinstance(owner, MarginAccount) or not owner.debts or not price:
            return free
        spare = self.worth(owner, self._quote) - LEAVING_LEVEL * self.debts_worth(owner, self._quote)
        return min(free, max(money(spare / price), ZERO))

    # --- what time brings ---

    def step(self) -> None:
        """Interest at full hours, then a look at the levels of all who owe."""
        if self._world.now >= self._next_hour:
            self._next_hour = grid_after(self._world.now, HOUR_MS)
            self._charge_all()
        self._look = (self._look + 1) % LOOKS
        self.look_at_levels(self._look)

    def _charge_all(self) -> None:
        for owner in self._indebted.values():
            for asset in list(owner.debts):
                line = owner.charge(asset, self._world.now)
                if line is not None:
                    self._tell_liability(owner, line)

    def look_at_levels(self, look: int | None = None) -> None:
        """Warn where a level has crossed a bound, and liquidate where it fell too deep. Of several looks each sees its share of all."""
        for owner in [each for each in self._indebted.values() if look in (None, each.number % LOOKS)]:
            status = self._status_of(owner)
            if status != owner.status:
                owner.status = status
                self.tell_level(owner)
            if status == "force_liquidation":
                self.liquidate(owner)
            if not owner.debts and owner.status == "normal":
                del self._indebted[owner.name]

    def _status_of(self, owner: MarginAccount) -> str:
        level = self.level(owner)
        if level <= LIQUIDATION_LEVEL:
            return "force_liquidation"
        in_danger = owner.status != "normal"
        return "margin_call" if level <= (CLEAR_LEVEL if in_danger else CALL_LEVEL) else "normal"

    def tell_level(self, owner: MarginAccount, status: str = "") -> None:
        """The status with the level as it stands; the venue tells it of cross accounts only."""
        if not owner.is_isolated:
            level = self.level(owner)
            self._world.news.append(
                MarginLevelHappened(account=owner.name, time=self._world.now, level=level, status=status or owner.status)
            )

    # --- liquidation ---

    def liquidate(self, account: SpotAccount) -> None:
        """End all orders, sell what there is for what is owed, pay it back; what is missing then is given by the insurance fund."""
        owner = margin_account(account)
        for order in owner.records.open_orders():
            if is_open(order):
                self._trading.end(order, Ending(OrderStatus.EXPIRED, Expiry.EXCHANGE_CANCELED))
        for asset in list(owner.debts):
            touched = self._buy_for_debt(owner, asset)
            missing = owner.owed(asset) - owner.wallets.free(asset)
            if missing > ZERO:
                owner.wallets.post("insurance_clear", asset, missing, self._world.now)
            self._world.tell_balances(owner, [*touched, asset], "margin_liquidation")
            self.repay(owner, asset, owner.owed(asset), automatic=True)

    def _buy_for_debt(self, owner: MarginAccount, asset: str) -> list[str]:
        """Sell other assets, the most valuable first, until the debt can be paid; returns which were sold."""
        sold: list[str] = []
        quote = self._quote
        others = sorted(owner.wallets.wallets.values(), key=lambda wallet: -self._in_quote(wallet.free, wallet.asset, quote))
        for wallet in [each for each in others if each.asset != asset and each.asset not in owner.debts]:
            missing = owner.owed(asset) - owner.wallets.free(asset)
            price = self._world.asset_price(wallet.asset, asset)
            if missing <= ZERO or not price or not wallet.free:
                continue
            kept = price * (1 - LIQUIDATION_LOSS)
            given = min(wallet.free, money(missing / kept) + Decimal("0.00000001"))
            owner.wallets.post("margin_liquidation", wallet.asset, -given, self._world.now)
            owner.wallets.post("margin_liquidation", asset, money(given * kept), self._world.now)
            sold.append(wallet.asset)
        return sold


def level_of(assets: Decimal, debts: Decimal) -> Decimal:
    """The margin level of so much against so much."""
    return min(assets / debts, NO_DEBT) if debts else NO_DEBT


def margin_account(account: SpotAccount) -> MarginAccount:
    """The account, if it may borrow. Raises Refused("no_margin_account")."""
    if isinstance(account, MarginAccount):
        return account
    raise Refused("no_margin_account", "this is for contracts and margin accounts; the account is on spot")
