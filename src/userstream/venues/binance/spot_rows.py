"""The shapes of Spot's REST answers, one struct an object (Binance Spot, 6.2). Unknown keys are allowed: answers carry much that no event
needs, and gain more over time."""

from __future__ import annotations

from decimal import Decimal

from msgspec import field

from userstream.kernel.ids import ClientOrderId, Symbol
from userstream.venues.binance.messages import Time
from userstream.venues.binance.rows import Row
from userstream.venues.binance.spot_messages import NO_LIST


class WalletRow(Row, frozen=True, kw_only=True):
    asset: str
    free: Decimal
    locked: Decimal


class AccountRow(Row, frozen=True, kw_only=True):
    """One time for all wallets: when the account changed last."""

    can_trade: bool | None = field(name="canTrade", default=None)
    update_time: Time = field(name="updateTime")
    balances: tuple[WalletRow, ...]


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
    symbol: Symbol
    base: str = field(name="baseAsset")
    quote: str = field(name="quoteAsset")


class RulesRow(Row, frozen=True, kw_only=True):
    """Of all the rules only the pairs are read."""

    symbols: tuple[PairRow, ...]
