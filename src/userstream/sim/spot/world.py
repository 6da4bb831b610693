"""What the parts of the spot exchange share: its ground with counters and fees, and how its news are told."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from userstream.sim.books import (
    AccountHappened,
    Execution,
    Fill,
    Instrument,
    ListedOrder,
    ListHappened,
    Millis,
)
from userstream.sim.ground import Ground, Owner
from userstream.sim.ledger import money
from userstream.sim.spot.books import OrderList, Prevention, SpotOrder, SpotOrderHappened
from userstream.sim.spot.records import SpotRecords
from userstream.sim.spot.wallets import Wallets

FIRST_ORDER_ID: Final = 4_290_000_000
FIRST_TRADE_ID: Final = 77_000
FIRST_EXECUTION_ID: Final = 8_640_000_000
FIRST_LIST_ID: Final = 2_000
FIRST_PREVENTED_ID: Final = 300
FEE_DISCOUNT: Final = Decimal("0.75")  # for fees paid in the fee asset


class Fee(NamedTuple):
    """What one fill costs, and in which asset."""

    amount: Decimal
    asset: str


class SpotAccount(Owner):
    """One account: its money, its paper and its settings. Owned by the world."""

    def __init__(self, name: str, number: int, balances: Mapping[str, Decimal], now: Millis) -> None:
        super().__init__(name, now)
        self.number = number
        self.user = name
        self.only_symbol = ""  # the one pair that an isolated account may trade
        self.wallets = Wallets(name, balances, now)
        self.records = SpotRecords()

    def may_trade(self, symbol: str) -> bool:
        """Any pair."""
        del symbol
        return True


class SpotWorld(Ground[SpotAccount]):
    """The ground of a spot exchange, with its fees."""

    def __init__(self, instruments: Sequence[Instrument], seed: int, start_time: Millis) -> None:
        super().__init__(instruments, seed, start_time, first_order_id=FIRST_ORDER_ID, first_trade_id=FIRST_TRADE_ID)
        self._last_execution_id = FIRST_EXECUTION_ID
        self._last_list_id = FIRST_LIST_ID
        self._last_prevented_id = FIRST_PREVENTED_ID
        self._last_request_id = 0

    # --- who and what ---

    def last_price(self, symbol: str) -> Decimal:
        return self.markets[symbol].last

    def owner(self, order: SpotOrder) -> SpotAccount:
        return self.accounts[order.account]

    def order(self, account: str, order_id: int) -> SpotOrder:
        return self.accounts[account].records.orders[order_id]

    # --- counters ---

    def next_list_id(self) -> int:
        self._last_list_id += 1
        return self._last_list_id

    def next_prevented_id(self) -> int:
        self._last_prevented_id += 1
        return self._last_prevented_id

    def next_request_id(self) -> int:
        """Names a cancellation that its sender did not name."""
        self._last_request_id += 1
        return self._last_request_id

    # --- fees ---

    def asset_price(self, asset: str, quote: str) -> Decimal | None:
        """What one unit of the asset costs in the quote, by one pair or by two over a common asset; None if no pairs lead there."""
        direct = self._pair_price(asset, quote)
        if direct is not None:
            return direct
        for between in dict.fromkeys(instrument.quote for instrument in self.instruments.values()):
            first, second = self._pair_price(asset, between), self._pair_price(between, quote)
            if first is not None and second is not None:
                return first * second
        return None

    def _pair_price(self, asset: str, quote: str) -> Decimal | None:
        if asset == quote:
            return Decimal(1)
        direct, inverse = self.markets.get(asset + quote), self.markets.get(quote + asset)
        if direct is not None:
            return direct.last
        return None if inverse is None else 1 / inverse.last

    def fee(self, account: SpotAccount, instrument: Instrument, received: str, amount: Decimal, *, maker: bool) -> Fee:
        """The fee on what a fill has brought in: of the same asset, or of the fee asset with a discount while that lasts."""
        rate = instrument.maker_fee if maker else instrument.taker_fee
        price = self.asset_price(received, account.fee_asset) if account.fee_asset else None
        if price is not None:
            discounted = money(amount * price * rate * FEE_DISCOUNT)
            if account.wallets.free(account.fee_asset) >= discounted:
                return Fee(discounted, account.fee_asset)
        return Fee(money(amount * rate), received)

    # --- news ---

    def tell_order(
        self,
        order: SpotOrder,
        execution: Execution,
        fill: Fill | None = None,
        *,
        request_id: str = "",
        former_client_id: str = "",
        reject_reason: str = "",
        prevention: Prevention | None = None,
    ) -> int:
        """Tell of an order as it stands; returns the execution id."""
        self._last_execution_id += 1
        self.news.append(
            SpotOrderHappened(
                account=order.account,
                time=self.now,
                execution=execution,
                order=copy.copy(order),
                fill=fill,
                execution_id=self._last_execution_id,
                request_id=request_id,
                former_client_id=former_client_id,
                reject_reason=reject_reason,
                prevention=prevention,
            )
        )
        return self._last_execution_id

    def tell_balances(
        self, account: SpotAccount, assets: Iterable[str], reason: str = "order", deltas: Mapping[str, Decimal] | None = None
    ) -> None:
        self.news.append(
            AccountHappened(
                account=account.name,
                time=self.now,
                reason=reason,
                balances=tuple(account.wallets.balance(asset) for asset in dict.fromkeys(assets)),
                deltas=dict(deltas or {}),
            )
        )

    def tell_list(self, order_list: OrderList, status_type: str) -> None:
        """`status_type` is exec_started, updated or all_done."""
        orders = [self.order(order_list.account, order_id) for order_id in order_list.order_ids]
        self.news.append(
            ListHappened(
                account=order_list.account,
                time=self.now,
                symbol=order_list.symbol,
                list_id=order_list.list_id,
                client_list_id=order_list.client_list_id,
                contingency=order_list.contingency,
                status_type=status_type,
                order_status="all_done" if status_type == "all_done" else "executing",
                orders=tuple(
                    ListedOrder(symbol=each.symbol, order_id=each.order_id, client_order_id=each.client_order_id) for each in orders
                ),
            )
        )
