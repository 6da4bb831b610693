"""The shapes of Spot's and margin's REST answers, one struct an object (Binance Spot, 6.2). Unknown keys are allowed: answers carry much
that no event needs, and gain more over time."""

from __future__ import annotations

from decimal import Decimal

from msgspec import field

from userstream.domain.events import NO_TIME
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import ClientOrderId, Symbol
from userstream.venues.binance.messages import Time
from userstream.venues.binance.rows import Row
from userstream.venues.binance.spot_messages import NO_LIST

TRADING = "TRADING"
"""Of a pair's statuses (HALT, BREAK, END_OF_DAY, CANCEL_ONLY) the one in which it trades (Binance Spot, 6.2)."""


class WalletRow(Row, frozen=True, kw_only=True):
    asset: str
    free: Decimal
    locked: Decimal
    borrowed: Decimal = ZERO
    interest: Decimal = ZERO


class AccountRow(Row, frozen=True, kw_only=True):
    """One time for all wallets: when the account changed last."""

    can_trade: bool | None = field(name="canTrade", default=None)
    update_time: Time = field(name="updateTime")
    balances: tuple[WalletRow, ...]

    @property
    def account(self) -> AccountRow:
        """Itself."""
        return self


class CrossAccountRow(Row, frozen=True, kw_only=True):
    """The cross margin account. It has no time of its own, and what is borrowed is in the amounts already."""

    trade_enabled: bool | None = field(name="tradeEnabled", default=None)
    margin_level: Decimal | None = field(name="marginLevel", default=None)
    wallets: tuple[WalletRow, ...] = field(name="userAssets")

    @property
    def account(self) -> AccountRow:
        """The same in the shape of Spot's account."""
        return AccountRow(can_trade=self.trade_enabled, update_time=NO_TIME, balances=self.wallets)


class IsolatedPairRow(Row, frozen=True, kw_only=True):
    base: WalletRow = field(name="baseAsset")
    quote: WalletRow = field(name="quoteAsset")
    trade_enabled: bool | None = field(name="tradeEnabled", default=None)


class IsolatedAccountRow(Row, frozen=True, kw_only=True):
    """The isolated accounts that were asked for: one pair."""

    pairs: tuple[IsolatedPairRow, ...] = field(name="assets")

    @property
    def account(self) -> AccountRow:
        """The same in the shape of Spot's account; a pair that was never opened has no wallets."""
        wallets = tuple(wallet for pair in self.pairs for wallet in (pair.base, pair.quote))
        can_trade = self.pairs[0].trade_enabled if self.pairs else None
        return AccountRow(can_trade=can_trade, update_time=NO_TIME, balances=wallets)


class SpotOrderRow(Row, frozen=True, kw_only=True):
    """The two m of cummulativeQuoteQty are theirs."""

    symbol: Symbol
    order_id: int = field(name="orderId")
    order_list_id: int = field(name="orderListId", default=NO_LIST)
    client_order_id: ClientOrderId = field(name="clientOrderId")
    price: Decimal
    quantity: Decimal = field(name="origQty")
    filled_quantity: Decimal = field(name="executedQty")
    filled_value: Decimal = field(name="cummulativeQuoteQty")
    status: str
    time_in_force: str = field(name="timeInForce", default="")
    order_type: str = field(name="type")
    side: str
    stop_price: Decimal | None = field(name="stopPrice", default=None)
    iceberg_quantity: Decimal | None = field(name="icebergQty", default=None)
    created_time: Time = field(name="time")
    update_time: Time = field(name="updateTime")
    self_trade_prevention: str = field(name="selfTradePreventionMode", default="")
    expiry_reason: str = field(name="expiryReason", default="")
    prevented_match_id: int | None = field(name="preventedMatchId", default=None)
    prevented_quantity: Decimal | None = field(name="preventedQuantity", default=None)
    trailing_delta: int | None = field(name="trailingDelta", default=None)
    trailing_time: int | None = field(name="trailingTime", default=None)


class ListedOrderRow(Row, frozen=True, kw_only=True):
    order_id: int = field(name="orderId")


class OrderListRow(Row, frozen=True, kw_only=True):
    symbol: Symbol
    order_list_id: int = field(name="orderListId")
    contingency: str = field(name="contingencyType")
    update: str = field(name="listStatusType")
    status: str = field(name="listOrderStatus")
    client_order_list_id: str = field(name="listClientOrderId", default="")
    transaction_time: Time = field(name="transactionTime")
    orders: tuple[ListedOrderRow, ...]


class SpotTradeRow(Row, frozen=True, kw_only=True):
    symbol: Symbol
    trade_id: int = field(name="id")
    order_id: int = field(name="orderId")
    price: Decimal
    quantity: Decimal = field(name="qty")
    fee: Decimal = field(name="commission")
    fee_asset: str = field(name="commissionAsset")
    time: Time
    is_buyer: bool = field(name="isBuyer")
    is_maker: bool = field(name="isMaker")


class PairRow(Row, frozen=True, kw_only=True):
    """status and is_margin are read leniently: where one is not told, the pair is taken for one that may have been traded."""

    symbol: Symbol
    base: str = field(name="baseAsset")
    quote: str = field(name="quoteAsset")
    status: str = TRADING
    has_margin: bool = field(name="isMarginTradingAllowed", default=True)


class RulesRow(Row, frozen=True, kw_only=True):
    """Of all the rules only the pairs are read."""

    symbols: tuple[PairRow, ...]
