"""What the parts of an exchange for contracts share: its ground with deadlines, holders, fees, and how its news are told."""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from userstream.sim.books import (
    AccountHappened,
    Execution,
    Fill,
    Instrument,
    Millis,
    Order,
    OrderHappened,
)
from userstream.sim.engine import remaining
from userstream.sim.ground import Ground, Owner
from userstream.sim.ledger import FeeTerms, Ledger, Leg, money
from userstream.sim.margin import told_balance, told_position
from userstream.sim.records import Records, linear_worth

FIRST_ORDER_ID: Final = 3_300_000_000
FIRST_ALGO_ID: Final = 2_100_000
FIRST_TRADE_ID: Final = 5_200_000
FEE_DISCOUNT: Final = Decimal("0.9")  # for fees paid in another asset than the margin asset


class Account(Owner):
    """One account: its money, its paper and its settings. Owned by the world."""

    def __init__(self, name: str, balances: Mapping[str, Decimal], now: Millis, worth: Callable[[Order], Decimal] = linear_worth) -> None:
        super().__init__(name, now)
        self.ledger = Ledger(name, balances, now)
        self.records = Records(worth)
        self.warned: set[str] = set()  # pools of margin that had their call; used for membership only
        self.liquidated_until = Millis(0)


class World(Ground[Account]):
    """The ground of an exchange for contracts, with deadlines, holders and fees."""

    def __init__(self, instruments: Sequence[Instrument], seed: int, start_time: Millis, *, tells_all_positions: bool = False) -> None:
        super().__init__(instruments, seed, start_time, first_order_id=FIRST_ORDER_ID, first_trade_id=FIRST_TRADE_ID)
        self.tells_all_positions = tells_all_positions
        self.holders: dict[str, dict[str, None]] = {symbol: {} for symbol in self.instruments}
        self.touched: dict[str, None] = {}  # accounts whose margin must be looked at; dicts keep a fixed order, sets do not
        self._deadlines: list[tuple[Millis, int, Callable[[], None]]] = []
        self._deadline_count = 0
        self.next_deadline: Millis | None = None
        self._last_algo_id = FIRST_ALGO_ID

    # --- prices ---

    def worth(self, order: Order) -> Decimal:
        """What the remainder of a limit order is worth in the margin asset; rounded where it would not be exact."""
        contract = self.instruments[order.symbol].contract
        worth = contract.worth(order.price, remaining(order))
        return money(worth) if contract.is_inverse else worth

    def mark_price(self, symbol: str) -> Decimal:
        return self.markets[symbol].mark

    def asset_price(self, asset: str, quote: str) -> Decimal | None:
        """What one unit of the asset costs, if a contract tells. Quote assets that price each other nowhere are worth the same."""
        if asset == quote:
            return Decimal(1)
        direct, inverse = self.markets.get(asset + quote), self.markets.get(quote + asset)
        if direct is not None:
            return direct.mark
        if inverse is not None:
            return 1 / inverse.mark
        quotes = dict.fromkeys(instrument.quote for instrument in self.instruments.values())
        if quote not in quotes:
            return None
        if asset in quotes:
            return Decimal(1)
        return next((self.markets[asset + other].mark for other in quotes if asset + other in self.markets), None)

    # --- counters ---

    def next_algo_id(self) -> int:
        self._last_algo_id += 1
        return self._last_algo_id

    # --- deadlines ---

    def at(self, time: Millis, act: Callable[[], None]) -> None:
        """Have something done when the exchange's time reaches this moment; equal moments keep their order."""
        self._deadline_count += 1
        heapq.heappush(self._deadlines, (time, self._deadline_count, act))
        self.next_deadline = self._deadlines[0][0]

    def pop_deadline(self) -> Callable[[], None]:
        act = heapq.heappop(self._deadlines)[2]
        self.next_deadline = self._deadlines[0][0] if self._deadlines else None
        return act

    # --- fees and holders ---

    def fee_terms(self, account: Account, instrument: Instrument, notional: Decimal, *, maker: bool) -> FeeTerms:
        """How this fill is charged: in the account's fee asset with a discount while it lasts, else in the margin asset."""
        rate = instrument.maker_fee if maker else instrument.taker_fee
        price = self.asset_price(account.fee_asset, instrument.margin_asset) if account.fee_asset else None
        if price is None or account.fee_asset == instrument.margin_asset:
            return FeeTerms(rate, instrument.margin_asset)
        discounted = rate * FEE_DISCOUNT
        if account.ledger.wallet(account.fee_asset) < notional * discounted / price:
            return FeeTerms(rate, instrument.margin_asset)
        return FeeTerms(discounted, account.fee_asset, price)

    def touch(self, account: Account, symbol: str = "") -> None:
        """The account's margin changed; with a symbol, its position there as well."""
        self.touched[account.name] = None
        if not symbol:
            return
        if any(leg.amount for leg in account.ledger.legs.get(symbol, {}).values()):
            self.holders[symbol][account.name] = None
        else:
            self.holders[symbol].pop(account.name, None)

    # --- news ---

    def tell_order(self, account: Account, order: Order, execution: Execution, fill: Fill | None = None) -> None:
        notional = account.records.notional(order.symbol)
        self.news.append(
            OrderHappened(
                account=account.name,
                time=self.now,
                execution=execution,
                order=copy.copy(order),
                fill=fill,
                bid_notional=notional.bids,
                ask_notional=notional.asks,
            )
        )

    def tell_account(
        self,
        account: Account,
        reason: str,
        assets: Iterable[str],
        legs: Iterable[Leg] = (),
        deltas: Mapping[str, Decimal] | None = None,
        symbol: str = "",
    ) -> None:
        shown = list(legs)
        if shown and self.tells_all_positions:
            others = (leg for sides in account.ledger.legs.values() for leg in sides.values())
            shown += [leg for leg in others if leg not in shown]
        self.news.append(
            AccountHappened(
                account=account.name,
                time=self.now,
                reason=reason,
                balances=tuple(told_balance(account.ledger, asset) for asset in assets),
                positions=tuple(told_position(account, leg, self) for leg in shown),
                deltas=dict(deltas or {}),
                symbol=symbol,
            )
        )
