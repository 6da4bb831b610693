"""The shapes of the venue's REST answers, one struct an object (Binance USD-M, 6.1, 6.5; Binance COIN-M, 6.6). Unknown keys are allowed:
answers carry much that no event needs, and gain more over time."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from msgspec import field

from userstream.domain.events import NO_TIME
from userstream.kernel.ids import ClientOrderId, Symbol
from userstream.venues.binance.amounts import AmountText
from userstream.venues.binance.messages import Count, Time


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One object of an answer."""


class ClockRow(Row, frozen=True, kw_only=True):
    server_time: Time = field(name="serverTime")


class BalanceRow(Row, frozen=True, kw_only=True):
    asset: str
    balance: Decimal
    cross_wallet: Decimal = field(name="crossWalletBalance")
    available: Decimal = field(name="availableBalance")
    update_time: Time = field(name="updateTime", default=NO_TIME)


class PositionRow(Row, frozen=True, kw_only=True):
    symbol: Symbol
    position_side: str = field(name="positionSide")
    amount: Decimal = field(name="positionAmt")
    entry_price: Decimal = field(name="entryPrice")
    break_even_price: Decimal | None = field(name="breakEvenPrice", default=None)
    mark_price: Decimal | None = field(name="markPrice", default=None)
    unrealized_pnl: Decimal | None = field(name="unRealizedProfit", default=None)
    liquidation_price: Decimal | None = field(name="liquidationPrice", default=None)
    isolated_wallet: Decimal | None = field(name="isolatedWallet", default=None)
    margin_type: str | None = field(name="marginType", default=None)
    update_time: Time = field(name="updateTime", default=NO_TIME)


class ModeRow(Row, frozen=True, kw_only=True):
    """The position mode alone, one for both products (Binance COIN-M, 1.3)."""

    hedge_mode: bool = field(name="dualSidePosition")


class AccountConfigRow(ModeRow, frozen=True, kw_only=True):
    """Its own updateTime is not kept: it does not say when a mode changed."""

    can_trade: bool = field(name="canTrade")
    multi_asset_mode: bool = field(name="multiAssetsMargin")


class SymbolConfigRow(Row, frozen=True, kw_only=True):
    symbol: Symbol
    margin_type: str = field(name="marginType")
    leverage: Count


class SymbolSettings(Row, frozen=True, kw_only=True):
    """What an account's entry of a symbol says of its settings; in hedge mode a symbol has one entry for each leg."""

    symbol: Symbol
    leverage: str | int
    isolated: bool


class AccountRow(Row, frozen=True, kw_only=True):
    """The account of a product that has no calls for its settings alone (Binance COIN-M, 6.6)."""

    can_trade: bool = field(name="canTrade")
    positions: list[SymbolSettings]


class OrderRow(Row, frozen=True, kw_only=True):
    """A history has hundreds of them: an amount is made of its text once for all that repeat it."""

    symbol: Symbol
    order_id: int = field(name="orderId")
    client_order_id: ClientOrderId = field(name="clientOrderId")
    status: str
    price: AmountText
    average_price: AmountText | None = field(name="avgPrice", default=None)
    quantity: AmountText = field(name="origQty")
    filled_quantity: AmountText = field(name="executedQty")
    time_in_force: str = field(name="timeInForce", default="")
    order_type: str = field(name="type")
    original_type: str = field(name="origType", default="")
    side: str
    position_side: str = field(name="positionSide")
    reduce_only: bool = field(name="reduceOnly")
    close_position: bool = field(name="closePosition", default=False)
    stop_price: AmountText | None = field(name="stopPrice", default=None)
    activation_price: AmountText | None = field(name="activatePrice", default=None)
    callback_rate: AmountText | None = field(name="priceRate", default=None)
    working_type: str = field(name="workingType", default="")
    self_trade_prevention: str = field(name="selfTradePreventionMode", default="")
    good_till_time: Time = field(name="goodTillDate", default=NO_TIME)
    created_time: Time = field(name="time")
    update_time: Time = field(name="updateTime")


class AlgoRow(Row, frozen=True, kw_only=True):
    """actualPrice and actualQty are empty or absent before the trigger."""

    symbol: Symbol
    algo_id: int = field(name="algoId")
    client_algo_id: ClientOrderId = field(name="clientAlgoId")
    order_type: str = field(name="orderType")
    side: str
    position_side: str = field(name="positionSide")
    time_in_force: str = field(name="timeInForce", default="")
    quantity: Decimal
    status: str = field(name="algoStatus")
    trigger_price: Decimal | None = field(name="triggerPrice", default=None)
    price: Decimal
    actual_order_id: str | int | None = field(name="actualOrderId", default="")
    actual_price: str | None = field(name="actualPrice", default=None)
    actual_quantity: str | None = field(name="actualQty", default=None)
    self_trade_prevention: str = field(name="selfTradePreventionMode", default="")
    working_type: str = field(name="workingType", default="")
    close_position: bool = field(name="closePosition", default=False)
    reduce_only: bool = field(name="reduceOnly")
    created_time: Time = field(name="createTime")
    update_time: Time = field(name="updateTime")
    good_till_time: Time = field(name="goodTillDate", default=NO_TIME)


class TradeRow(Row, frozen=True, kw_only=True):
    symbol: Symbol
    trade_id: int = field(name="id")
    order_id: int = field(name="orderId")
    side: str
    position_side: str = field(name="positionSide")
    price: AmountText
    quantity: AmountText = field(name="qty")
    realized_pnl: AmountText | None = field(name="realizedPnl", default=None)
    fee: AmountText | None = field(name="commission", default=None)
    fee_asset: str | None = field(name="commissionAsset", default=None)
    maker: bool | None = None
    time: Time


class IncomeRow(Row, frozen=True, kw_only=True):
    """`tranId` is unique per type; `tradeId` is empty where no trade caused it."""

    income_type: str = field(name="incomeType")
    income: Decimal
    asset: str
    time: Time
    transfer_id: int | str = field(name="tranId")
    trade_id: str | int = field(name="tradeId", default="")
    symbol: Symbol = field(default=Symbol(""))
