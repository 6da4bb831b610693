"""The shapes of the USD-M frames, one struct a message, with the venue's keys written beside our words; `coin_messages` builds on them.

Structs refuse unknown keys, so that the fast path proves that a frame holds nothing new; `prune` finds what is new in the others.
What no event carries is `Ignored`: known, allowed in any form, and not parsed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import field

from userstream.domain.events import NO_TIME
from userstream.kernel.ids import ClientOrderId, Millis, OrderId, Symbol
from userstream.venues.binance.amounts import AmountText

Ignored: TypeAlias = msgspec.Raw
Time: TypeAlias = Annotated[Millis, msgspec.Meta(ge=0, le=2**53)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**31)]

NOTHING: Final = msgspec.Raw(b"")
NO_ORDER: Final = OrderId("")
NO_AMOUNT: Final = "0"


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """An object inside a message."""


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False, tag_field="e"):
    """A whole message, told from the others by its `e`."""

    event_time: Time = field(name="E")


class OrderPart(Part, frozen=True, kw_only=True):
    """Binance USD-M, 4.1.1: the object `o`."""

    symbol: Symbol = field(name="s")
    client_order_id: ClientOrderId = field(name="c")
    side: str = field(name="S")
    order_type: str = field(name="o")
    time_in_force: str = field(name="f")
    quantity: AmountText = field(name="q")
    price: AmountText = field(name="p")
    average_price: AmountText | None = field(name="ap")
    stop_price: AmountText | None = field(name="sp")
    execution_type: str = field(name="x")
    status: str = field(name="X")
    order_id: int = field(name="i")
    amendment_id: str | int = field(name="M", default="")
    last_quantity: AmountText = field(name="l")
    filled_quantity: AmountText = field(name="z")
    last_price: AmountText = field(name="L")
    fee: AmountText | None = field(name="n", default=None)
    fee_asset: str | None = field(name="N", default=None)
    trade_time: Ignored = field(name="T", default=NOTHING)
    trade_id: int = field(name="t")
    bid_notional: Ignored = field(name="b", default=NOTHING)
    ask_notional: Ignored = field(name="a", default=NOTHING)
    maker: bool | None = field(name="m", default=None)
    reduce_only: bool = field(name="R")
    working_type: str = field(name="wt", default="")
    original_type: str = field(name="ot", default="")
    position_side: str = field(name="ps")
    close_position: bool = field(name="cp", default=False)
    activation_price: AmountText | None = field(name="AP", default=None)
    callback_rate: AmountText | None = field(name="cr", default=None)
    realized_pnl: AmountText | None = field(name="rp", default=None)
    price_protect: Ignored = field(name="pP", default=NOTHING)
    ignored_si: Ignored = field(name="si", default=NOTHING)
    ignored_ss: Ignored = field(name="ss", default=NOTHING)
    self_trade_prevention: str = field(name="V", default="")
    price_match: Ignored = field(name="pm", default=NOTHING)
    good_till_time: Time = field(name="gtd", default=NO_TIME)
    expiry_reason: str = field(name="er", default="")


class OrderTradeUpdate(Message, frozen=True, kw_only=True, tag="ORDER_TRADE_UPDATE"):
    """Binance USD-M, 4.1.1."""

    transaction_time: Time = field(name="T")
    order: OrderPart = field(name="o")


class TradeLite(Message, frozen=True, kw_only=True, tag="TRADE_LITE"):
    """Binance USD-M, 4.1.2."""

    transaction_time: Time = field(name="T")
    symbol: Symbol = field(name="s")
    quantity: Ignored = field(name="q", default=NOTHING)
    price: Ignored = field(name="p", default=NOTHING)
    maker: bool | None = field(name="m", default=None)
    client_order_id: ClientOrderId = field(name="c")
    side: str = field(name="S")
    last_price: AmountText = field(name="L")
    last_quantity: AmountText = field(name="l")
    trade_id: int = field(name="t")
    order_id: int = field(name="i")


class BalancePart(Part, frozen=True, kw_only=True):
    """Binance USD-M, 4.1.3: an entry of `a.B`."""

    asset: str = field(name="a")
    wallet: AmountText = field(name="wb")
    cross_wallet: AmountText = field(name="cw")
    change: AmountText = field(name="bc", default=NO_AMOUNT)


class PositionPart(Part, frozen=True, kw_only=True):
    """Binance USD-M, 4.1.3: an entry of `a.P`."""

    symbol: Symbol = field(name="s")
    amount: AmountText = field(name="pa")
    entry_price: AmountText = field(name="ep")
    break_even_price: AmountText | None = field(name="bep", default=None)
    realized_pnl: AmountText | None = field(name="cr", default=None)
    unrealized_pnl: AmountText | None = field(name="up", default=None)
    margin_type: str | None = field(name="mt", default=None)
    isolated_wallet: AmountText | None = field(name="iw", default=None)
    position_side: str = field(name="ps")


class AccountPart(Part, frozen=True, kw_only=True):
    """Binance USD-M, 4.1.3: the object `a`."""

    reason: str = field(name="m")
    funding_symbol: Symbol | None = field(name="S", default=None)
    balances: tuple[BalancePart, ...] = field(name="B", default=())
    positions: tuple[PositionPart, ...] = field(name="P", default=())


class AccountUpdate(Message, frozen=True, kw_only=True, tag="ACCOUNT_UPDATE"):
    """Binance USD-M, 4.1.3."""

    transaction_time: Time = field(name="T")
    account: AccountPart = field(name="a")


class PositionAtRisk(Part, frozen=True, kw_only=True):
    """Binance USD-M, 4.1.4: an entry of `p`."""

    symbol: Symbol = field(name="s")
    position_side: str = field(name="ps")
    amount: Decimal = field(name="pa")
    margin_type: str = field(name="mt")
    isolated_wallet: Decimal | None = field(name="iw", default=None)
    mark_price: Decimal | None = field(name="mp", default=None)
    unrealized_pnl: Decimal | None = field(name="up", default=None)
    maintenance_margin: Decimal | None = field(name="mm", default=None)


class MarginCall(Message, frozen=True, kw_only=True, tag="MARGIN_CALL"):
    """Binance USD-M, 4.1.4. It has no `T`."""

    cross_wallet: Decimal | None = field(name="cw", default=None)
    positions: tuple[PositionAtRisk, ...] = field(name="p")


class LeveragePart(Part, frozen=True, kw_only=True):
    """Binance USD-M, 4.1.5: the object `ac`."""

    symbol: Symbol = field(name="s")
    leverage: Count = field(name="l")


class AssetModePart(Part, frozen=True, kw_only=True):
    """Binance USD-M, 4.1.5: the object `ai`."""

    multi_asset_mode: bool = field(name="j")


class AccountConfigUpdate(Message, frozen=True, kw_only=True, tag="ACCOUNT_CONFIG_UPDATE"):
    """Binance USD-M, 4.1.5."""

    transaction_time: Time = field(name="T")
    leverage: LeveragePart | None = field(name="ac", default=None)
    asset_mode: AssetModePart | None = field(name="ai", default=None)


class AlgoPart(Part, frozen=True, kw_only=True):
    """Binance USD-M, 4.1.6: the object `o`."""

    client_algo_id: ClientOrderId = field(name="caid")
    algo_id: int = field(name="aid")
    order_type: str = field(name="o")
    symbol: Symbol = field(name="s")
    side: str = field(name="S")
    position_side: str = field(name="ps")
    time_in_force: str = field(name="f")
    quantity: Decimal = field(name="q")
    status: str = field(name="X")
    order_id: OrderId = field(name="ai", default=NO_ORDER)
    average_price: Decimal = field(name="ap", default=Decimal(0))
    filled_quantity: Decimal = field(name="aq", default=Decimal(0))
    trigger_price: Decimal = field(name="tp")
    price: Decimal = field(name="p")
    self_trade_prevention: str = field(name="V", default="")
    working_type: str = field(name="wt", default="")
    close_position: bool = field(name="cp", default=False)
    reduce_only: bool = field(name="R")
    good_till_time: Time = field(name="gtd", default=NO_TIME)
    failure: str = field(name="rm", default="")
    activated: bool | None = field(name="ia", default=None)
    algo_type: Ignored = field(name="at", default=NOTHING)
    actual_type: Ignored = field(name="act", default=NOTHING)
    price_match: Ignored = field(name="pm", default=NOTHING)
    price_protect: Ignored = field(name="pP", default=NOTHING)
    trigger_time: Ignored = field(name="tt", default=NOTHING)


class AlgoUpdate(Message, frozen=True, kw_only=True, tag="ALGO_UPDATE"):
    """Binance USD-M, 4.1.6. Ordered by `E`."""

    transaction_time: Ignored = field(name="T", default=NOTHING)
    order: AlgoPart = field(name="o")


class RejectedTriggerPart(Part, frozen=True, kw_only=True):
    """Binance USD-M, 4.1.7: the object `or`."""

    symbol: Symbol = field(name="s")
    order_id: int = field(name="i")
    reason: str = field(name="r")


class ConditionalOrderTriggerReject(Message, frozen=True, kw_only=True, tag="CONDITIONAL_ORDER_TRIGGER_REJECT"):
    """Binance USD-M, 4.1.7; replaced by ALGO_UPDATE, still in the documents."""

    transaction_time: Time = field(name="T")
    order: RejectedTriggerPart = field(name="or")


class StrategyPart(Part, frozen=True, kw_only=True):
    """Binance USD-M, 4.1.8: the object `su`."""

    strategy_id: int = field(name="si")
    strategy_type: str = field(name="st")
    status: str = field(name="ss")
    symbol: Symbol = field(name="s")
    update_time: Ignored = field(name="ut", default=NOTHING)
    operation: int = field(name="c")


class StrategyUpdate(Message, frozen=True, kw_only=True, tag="STRATEGY_UPDATE"):
    """Binance USD-M, 4.1.8."""

    transaction_time: Time = field(name="T")
    strategy: StrategyPart = field(name="su")


class GridPart(Part, frozen=True, kw_only=True):
    """Binance USD-M, 4.1.8: the object `gu`."""

    strategy_id: int = field(name="si")
    strategy_type: str = field(name="st")
    status: str = field(name="ss")
    symbol: Symbol = field(name="s")
    realized_pnl: Decimal = field(name="r")
    unmatched_average_price: Decimal = field(name="up")
    unmatched_quantity: Decimal = field(name="uq")
    unmatched_fee: Decimal = field(name="uf")
    matched_pnl: Decimal = field(name="mp")
    update_time: Ignored = field(name="ut", default=NOTHING)


class GridUpdate(Message, frozen=True, kw_only=True, tag="GRID_UPDATE"):
    """Binance USD-M, 4.1.8."""

    transaction_time: Time = field(name="T")
    grid: GridPart = field(name="gu")


class ListenKeyExpired(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="e", tag="listenKeyExpired"):
    """Binance USD-M, 4.1.9: `E` was text in older documents. The key is left out of the struct on purpose: it is a secret."""

    event_time: Time | str = field(name="E", default=NO_TIME)
    listen_key: Ignored = field(name="listenKey", default=NOTHING)


class ServerShutdown(Message, frozen=True, kw_only=True, tag="serverShutdown"):
    """Binance USD-M, 3.1: not promised for futures, accepted on every socket."""


AnyMessage: TypeAlias = (
    OrderTradeUpdate
    | TradeLite
    | AccountUpdate
    | MarginCall
    | AccountConfigUpdate
    | AlgoUpdate
    | ConditionalOrderTriggerReject
    | StrategyUpdate
    | GridUpdate
    | ListenKeyExpired
    | ServerShutdown
)


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Binance USD-M, 1.2: how the access mode `/stream` wraps a message. `stream` may be the listen key and is not kept."""

    stream: Ignored
    data: AnyMessage
