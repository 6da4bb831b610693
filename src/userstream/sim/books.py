"""The records of the exchange's own books: what the engine and the ledger keep, and what the dialects write out.

Nothing here knows a venue's field names. Amounts are Decimal, times are integer milliseconds of the exchange's clock.
"""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Final, NewType, TypeAlias

import msgspec

from userstream.sim.contracts import LINEAR, Contract

Millis = NewType("Millis", int)
ZERO = Decimal(0)


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class PositionSide(StrEnum):
    BOTH = "both"
    LONG = "long"
    SHORT = "short"


# Members by names of their own, for what is asked at each step: to look one up in its class costs more than to compare it.
BUY: Final = Side.BUY
SELL: Final = Side.SELL
BOTH: Final = PositionSide.BOTH
LONG: Final = PositionSide.LONG
SHORT: Final = PositionSide.SHORT


class OrderStatus(StrEnum):
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    EXPIRED_IN_MATCH = "expired_in_match"
    REJECTED = "rejected"
    PENDING_NEW = "pending_new"  # waits for another order of its list


class Execution(StrEnum):
    """What just happened to an order."""

    NEW = "new"
    TRADE = "trade"
    CANCELED = "canceled"
    EXPIRED = "expired"
    AMENDMENT = "amendment"
    CALCULATED = "calculated"
    REJECTED = "rejected"
    TRADE_PREVENTION = "trade_prevention"


class AlgoStatus(StrEnum):
    NEW = "new"
    CANCELED = "canceled"
    TRIGGERING = "triggering"
    TRIGGERED = "triggered"
    FINISHED = "finished"
    REJECTED = "rejected"
    EXPIRED = "expired"


class ExpiryReason(IntEnum):
    """Why an order ended without the owner's wish; the numbers are those of the table in Binance USD-M, 4.1.1."""

    NONE = 0
    SELF_TRADE = 1
    IOC_REMAINDER = 2
    IOC_SELF_TRADE = 3
    REDUCE_ONLY = 4
    LIQUIDATED = 5
    DELISTED = 7
    MARKET_REMAINDER = 9
    FOK_NOT_FILLABLE = 10
    POST_ONLY_WOULD_TAKE = 11


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable contract and its rules."""

    symbol: str
    base: str
    quote: str
    margin_asset: str
    tick_size: Decimal
    step_size: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    max_market_quantity: Decimal
    min_notional: Decimal
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")
    maintenance_rate: Decimal = Decimal("0.004")
    max_leverage: int = 125
    start_price: Decimal
    contract: Contract = LINEAR
    delivery_time: Millis = Millis(0)  # 0: never, a perpetual

    @property
    def pair(self) -> str:
        """Under which name several contracts of one price are held together."""
        return self.base + self.quote


class Order(msgspec.Struct, kw_only=True):
    """A plain order in the books. The engine changes it in place; happenings carry copies."""

    order_id: int
    account: str
    symbol: str
    client_order_id: str
    side: Side
    position_side: PositionSide = PositionSide.BOTH
    order_type: str  # limit, market, liquidation
    original_type: str
    time_in_force: str  # gtc, ioc, fok, gtx, gtd
    price: Decimal = ZERO  # 0 for market
    stop_price: Decimal = ZERO
    quantity: Decimal
    filled_quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    filled_quote: Decimal = ZERO
    filled_base: Decimal = ZERO  # of contracts; on spot it is the quantity
    status: OrderStatus = OrderStatus.NEW
    reduce_only: bool = False
    close_position: bool = False
    good_till_time: Millis = Millis(0)
    self_trade_prevention: str = "expire_maker"
    price_match: str = "none"
    working_type: str = "contract_price"
    price_protect: bool = False
    expiry_reason: int = 0  # a number of ExpiryReason
    modify_id: str = ""
    amendments: int = 0
    created_time: Millis
    updated_time: Millis


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of one account's order: the unit of truth."""

    account: str
    symbol: str
    trade_id: int  # unique per symbol (a match of two of our accounts makes one trade id seen by both)
    order_id: int
    client_order_id: str
    side: Side
    position_side: PositionSide
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    fee: Decimal  # positive paid, negative rebate
    fee_asset: str
    realized_pnl: Decimal
    maker: bool
    time: Millis


class Position(msgspec.Struct, kw_only=True):
    """One leg. Short amounts are negative. News are without the liquidation price."""

    account: str
    symbol: str
    position_side: PositionSide
    amount: Decimal = ZERO
    entry_price: Decimal = ZERO
    break_even_price: Decimal = ZERO
    realized_pnl: Decimal = ZERO  # accumulated, before fees
    unrealized_pnl: Decimal = ZERO  # at mark_price, filled in when a copy is handed out
    mark_price: Decimal = ZERO
    margin_type: str = "cross"  # cross, isolated
    isolated_wallet: Decimal = ZERO
    leverage: int = 20
    liquidation_price: Decimal = ZERO
    initial_margin: Decimal = ZERO
    maintenance_margin: Decimal = ZERO
    updated_time: Millis = Millis(0)


class Balance(msgspec.Struct, kw_only=True):
    """One asset of one account. `available` is filled in when a copy is handed out; news of contracts are without it."""

    account: str
    asset: str
    wallet: Decimal = ZERO
    cross_wallet: Decimal = ZERO
    available: Decimal = ZERO
    updated_time: Millis = Millis(0)


class Income(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the account's cash history."""

    account: str
    income_type: str  # transfer, realized_pnl, funding_fee, commission, insurance_clear, ...
    amount: Decimal
    asset: str
    symbol: str = ""
    trade_id: str = ""
    info: str = ""
    time: Millis
    transaction_id: int


class Debt(msgspec.Struct, kw_only=True):
    """What is owed of one asset."""

    asset: str
    principal: Decimal = ZERO
    interest: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return self.principal + self.interest


class AlgoOrder(msgspec.Struct, kw_only=True):
    """A conditional order that waits outside the book."""

    algo_id: int
    account: str
    client_algo_id: str
    symbol: str
    side: Side
    position_side: PositionSide = PositionSide.BOTH
    order_type: str  # stop, stop_market, take_profit, take_profit_market, trailing_stop_market
    time_in_force: str = "gtc"
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    trigger_price: Decimal = ZERO
    activation_price: Decimal = ZERO
    callback_rate: Decimal = ZERO
    activated: bool = False
    working_type: str = "contract_price"
    close_position: bool = False
    price_protect: bool = False
    reduce_only: bool = False
    self_trade_prevention: str = "expire_maker"
    price_match: str = "none"
    good_till_time: Millis = Millis(0)
    status: AlgoStatus = AlgoStatus.NEW
    order_id: int = 0  # the real order, after the trigger
    average_price: Decimal = ZERO
    filled_quantity: Decimal = ZERO
    reject_reason: str = ""
    created_time: Millis
    updated_time: Millis
    triggered_time: Millis = Millis(0)


class AccountSettings(msgspec.Struct, kw_only=True):
    hedge_mode: bool = False
    multi_assets: bool = False
    fee_tier: int = 0
    can_trade: bool = True
    updated_time: Millis = Millis(0)


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted change of a resting order's price or quantity."""

    amendment_id: int
    account: str
    symbol: str
    order_id: int
    client_order_id: str
    price_before: Decimal
    price_after: Decimal
    quantity_before: Decimal
    quantity_after: Decimal
    count: int
    modify_id: str = ""
    time: Millis


# --- Wishes: what an account asks for ---------------------------------------------------------------------------------


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for a plain order. An empty client_order_id lets the exchange make one; price is 0 for a market order or a price match."""

    symbol: str
    side: Side
    position_side: PositionSide = PositionSide.BOTH
    order_type: str = "limit"  # limit, market
    time_in_force: str = "gtc"  # gtc, ioc, fok, gtx, gtd
    quantity: Decimal
    price: Decimal = ZERO
    client_order_id: str = ""
    reduce_only: bool = False
    good_till_time: Millis = Millis(0)
    self_trade_prevention: str = "expire_maker"  # none, expire_taker, expire_maker, expire_both
    price_match: str = "none"  # none, opponent, opponent_5, opponent_10, opponent_20, queue, queue_5, queue_10, queue_20


class NewAlgo(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for a conditional order. `callback_rate` is in percent; quantity is 0 with close_position."""

    symbol: str
    side: Side
    position_side: PositionSide = PositionSide.BOTH
    order_type: str  # stop, stop_market, take_profit, take_profit_market, trailing_stop_market
    time_in_force: str = "gtc"
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    trigger_price: Decimal = ZERO
    activation_price: Decimal = ZERO
    callback_rate: Decimal = ZERO
    client_algo_id: str = ""
    working_type: str = "contract_price"  # contract_price, mark_price
    close_position: bool = False
    price_protect: bool = False
    reduce_only: bool = False
    good_till_time: Millis = Millis(0)
    self_trade_prevention: str = "expire_maker"
    price_match: str = "none"


# --- Happenings: what the exchange tells an account, in the order it happened -----------------------------------------


class OrderHappened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An order was created, changed or executed. `fill` is set for executions. Open notionals are of the account on the symbol."""

    account: str
    time: Millis
    execution: Execution
    order: Order  # a copy
    fill: Fill | None = None
    bid_notional: Decimal = ZERO
    ask_notional: Decimal = ZERO


class AccountHappened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Balances or positions changed. `deltas` holds, per asset, the change that is neither profit nor fee."""

    account: str
    time: Millis
    reason: str  # order, funding_fee, deposit, withdraw, margin_transfer, margin_type_change, insurance_clear, adjustment, ...
    balances: tuple[Balance, ...] = ()
    positions: tuple[Position, ...] = ()
    deltas: dict[str, Decimal] = {}
    symbol: str = ""  # of a funding fee


class MarginCallHappened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    account: str
    time: Millis
    cross_wallet: Decimal | None
    positions: tuple[Position, ...]


class LeverageHappened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    account: str
    time: Millis
    symbol: str
    leverage: int


class AssetModeHappened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    account: str
    time: Millis
    multi_assets: bool


class AlgoHappened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    account: str
    time: Millis
    algo: AlgoOrder  # a copy
    actual_type: str = ""


class ListedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """How an order list names one of its orders."""

    symbol: str
    order_id: int
    client_order_id: str


class ListHappened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A list of orders that hang on each other began, changed or ended."""

    account: str
    time: Millis
    symbol: str
    list_id: int
    client_list_id: str
    contingency: str  # oco, oto
    status_type: str  # exec_started, updated, all_done
    order_status: str  # executing, all_done
    orders: tuple[ListedOrder, ...]


class LiabilityHappened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A margin account borrowed, was charged interest or paid back: principal and interest of this change."""

    account: str
    time: Millis
    asset: str
    kind: str  # borrow, interest, repay
    principal: Decimal
    interest: Decimal


class MarginLevelHappened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A cross margin account came into danger, or out of it. The level is assets over debts."""

    account: str
    time: Millis
    level: Decimal
    status: str  # normal, margin_call, force_liquidation


Happening: TypeAlias = (
    OrderHappened
    | AccountHappened
    | MarginCallHappened
    | LeverageHappened
    | AssetModeHappened
    | AlgoHappened
    | ListHappened
    | LiabilityHappened
    | MarginLevelHappened
)


class Refused(Exception):
    """The exchange says no. `rule` is a venue-neutral word that each dialect maps to its own code and text."""

    def __init__(self, rule: str, text: str = "") -> None:
        super().__init__(text or rule)
        self.rule = rule
        self.text = text
