"""The records of the spot books: an order with all that spot adds to it, wishes, order lists and prevented matches.

Amounts are Decimal, times are integer milliseconds of the exchange's clock. The words are the books' own, never a venue's.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from userstream.sim.books import ZERO, Millis, NewOrder, Order, OrderHappened, OrderStatus, Side

NO_LIST: Final = -1

LIMIT_TYPES: Final = frozenset({"limit", "limit_maker", "stop_loss_limit", "take_profit_limit"})
STOP_TYPES: Final = frozenset({"stop_loss", "stop_loss_limit", "take_profit", "take_profit_limit"})
ORDER_TYPES: Final = LIMIT_TYPES | STOP_TYPES | {"market"}
PREVENTIONS: Final = frozenset({"none", "expire_taker", "expire_maker", "expire_both", "decrement"})


class Expiry(StrEnum):
    """Why a spot order ended without its owner's wish (Binance Spot, 4.3.1)."""

    NONE = ""
    REJECTED = "rejected"
    EXCHANGE_CANCELED = "exchange_canceled"
    OCO_TRIGGER = "oco_trigger"
    OTO_PHASE_ONE_EXPIRED = "oto_phase_one_expired"
    UNFILLED_IOC = "unfilled_ioc_quantity_expired"
    UNFILLED_FOK = "unfilled_fok_order_expired"
    INSUFFICIENT_LIQUIDITY = "insufficient_liquidity"


class SpotOrder(Order, kw_only=True):
    """A spot order. `locked` is what it holds of the asset it pays with; `working` says that it is or was open to trade."""

    quote_wish: Decimal = ZERO  # of a market order that names the quote amount
    iceberg_quantity: Decimal = ZERO
    trailing_delta: int = 0  # hundredths of a percent
    trailing_time: Millis = Millis(0)
    list_id: int = NO_LIST
    working: bool = False
    working_time: Millis = Millis(0)
    locked: Decimal = ZERO
    prevented_quantity: Decimal = ZERO
    prevented_match_id: int = 0
    strategy_id: int | None = None
    strategy_type: int | None = None
    expiry: Expiry = Expiry.NONE
    cancel_id: str = ""  # the client id of the request that cancelled it
    side_effect: str = "no_side_effect"  # margin_buy, auto_repay, auto_borrow_repay
    borrowed: Decimal = ZERO  # for this order, of the asset it pays with


class NewSpotOrder(NewOrder, frozen=True, kw_only=True):
    """A wish for a spot order. A market order names either its quantity or `quote_quantity`; the other one is 0."""

    quantity: Decimal = ZERO
    quote_quantity: Decimal = ZERO
    stop_price: Decimal = ZERO
    trailing_delta: int = 0
    iceberg_quantity: Decimal = ZERO
    strategy_id: int | None = None
    strategy_type: int | None = None
    side_effect: str = "no_side_effect"


class Prevention(msgspec.Struct, frozen=True, kw_only=True):
    """One prevented match as one of its two orders saw it."""

    match_id: int
    group_id: int
    counter_order_id: int
    counter_symbol: str
    prevented: Decimal  # how much of this order the match took away
    quantity: Decimal  # what would have been traded
    price: Decimal


class PreventedMatch(msgspec.Struct, frozen=True, kw_only=True):
    """A trade of an account with itself that did not happen."""

    match_id: int
    account: str
    symbol: str
    taker_order_id: int
    maker_order_id: int
    group_id: int
    mode: str
    price: Decimal
    maker_prevented: Decimal
    taker_prevented: Decimal
    time: Millis


class SpotOrderHappened(OrderHappened, frozen=True, kw_only=True, tag=True):
    """An order's news with what only the moment knows. `execution_id` is unique and rises over all accounts.

    `request_id` is the client id of the request that cancelled, `former_client_id` the one before an amendment.
    """

    order: SpotOrder
    execution_id: int
    request_id: str = ""
    former_client_id: str = ""
    reject_reason: str = ""
    prevention: Prevention | None = None


class NewList(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for orders that hang on each other.

    oco: the order above the market, then the one below. oto: the working order, then the pending one. otoco: the working order, then
    the pending pair, above and below.
    """

    kind: str  # oco, oto, otoco
    symbol: str
    orders: tuple[NewSpotOrder, ...]
    client_list_id: str = ""


class OrderList(msgspec.Struct, kw_only=True):
    """A list in the books. The orders themselves are among the account's orders."""

    list_id: int
    client_list_id: str
    account: str
    symbol: str
    kind: str  # oco, oto, otoco
    order_ids: tuple[int, ...]
    is_done: bool = False
    time: Millis  # of the last change of the list

    @property
    def contingency(self) -> str:
        return "oco" if self.kind == "oco" else "oto"

    @property
    def pair(self) -> tuple[int, ...]:
        """The two orders of which only one may trade; none in a plain oto."""
        return self.order_ids[-2:] if self.kind != "oto" else ()

    @property
    def first(self) -> int | None:
        """The order that must be filled before the others begin; none in an oco."""
        return None if self.kind == "oco" else self.order_ids[0]


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a cancel-and-replace: each half gave an order or was refused; `placed` and `refusal` are None if not attempted."""

    canceled: SpotOrder | None = None
    cancel_refusal: tuple[str, str] | None = None  # rule and text
    placed: SpotOrder | None = None
    refusal: tuple[str, str] | None = None

    @property
    def is_whole(self) -> bool:
        return self.canceled is not None and self.placed is not None


def spot_order(order: Order) -> SpotOrder:
    """The order as the spot books keep it. Raises TypeError for an order of other books, which is a mistake of the program."""
    if not isinstance(order, SpotOrder):
        raise TypeError(f"order {order.order_id} is not a spot order")
    return order


def left_of(order: SpotOrder) -> Decimal:
    """What may still trade: the quantity without what was filled and what self-trade prevention took away."""
    return order.quantity - order.filled_quantity - order.prevented_quantity


def is_stop(order: SpotOrder | NewSpotOrder) -> bool:
    return order.order_type in STOP_TYPES


def is_waiting(order: SpotOrder) -> bool:
    """A stop order that was not triggered yet."""
    return order.order_type in STOP_TYPES and not order.working and order.status is OrderStatus.NEW


def triggers_rising(order_type: str, side: Side) -> bool:
    """Whether the trigger is met from below: a stop that buys, a profit taken by selling."""
    return (side is Side.BUY) == order_type.startswith("stop")
