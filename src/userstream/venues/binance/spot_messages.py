"""The shapes of Spot's events, one struct an event, and the envelope around them (Binance Spot, 4.3).

Written like those of the futures: structs refuse unknown keys, `Ignored` is known and not parsed. Times come in milliseconds or, where
the socket asked for that, in microseconds.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, TypeAlias

import msgspec
from msgspec import field

from userstream.domain.events import NO_TIME
from userstream.kernel.ids import ClientOrderId, Symbol
from userstream.venues.binance.messages import NOTHING, Ignored, Message, Part, Time

NO_LIST: Final = -1


class ExecutionReport(Message, frozen=True, kw_only=True, tag="executionReport"):
    """Binance Spot, 4.3.1."""

    symbol: Symbol = field(name="s")
    client_order_id: ClientOrderId = field(name="c")
    side: str = field(name="S")
    order_type: str = field(name="o")
    time_in_force: str = field(name="f")
    quantity: Decimal = field(name="q")
    price: Decimal = field(name="p")
    stop_price: Decimal = field(name="P")
    iceberg_quantity: Decimal = field(name="F")
    order_list_id: int = field(name="g")
    original_client_order_id: ClientOrderId = field(name="C")
    execution_type: str = field(name="x")
    status: str = field(name="X")
    reject_reason: str = field(name="r")
    order_id: int = field(name="i")
    last_quantity: Decimal = field(name="l")
    filled_quantity: Decimal = field(name="z")
    last_price: Decimal = field(name="L")
    fee: Decimal | None = field(name="n", default=None)
    fee_asset: str | None = field(name="N", default=None)
    transaction_time: Time = field(name="T")
    trade_id: int = field(name="t")
    execution_id: Ignored = field(name="I", default=NOTHING)
    on_book: Ignored = field(name="w", default=NOTHING)
    maker: bool = field(name="m", default=False)
    ignored_m: Ignored = field(name="M", default=NOTHING)
    created_time: Time = field(name="O")
    filled_value: Decimal = field(name="Z")
    last_value: Ignored = field(name="Y", default=NOTHING)
    order_value: Ignored = field(name="Q", default=NOTHING)
    self_trade_prevention: str = field(name="V", default="")
    working_time: Ignored = field(name="W", default=NOTHING)
    trailing_delta: int | None = field(name="d", default=None)
    trailing_time: int | None = field(name="D", default=None)
    strategy_id: Ignored = field(name="j", default=NOTHING)
    strategy_type: Ignored = field(name="J", default=NOTHING)
    prevented_match_id: int | None = field(name="v", default=None)
    prevented_quantity: Decimal | None = field(name="A", default=None)
    last_prevented_quantity: Ignored = field(name="B", default=NOTHING)
    trade_group_id: Ignored = field(name="u", default=NOTHING)
    counter_order_id: Ignored = field(name="U", default=NOTHING)
    counter_symbol: Ignored = field(name="Cs", default=NOTHING)
    prevented_execution_quantity: Ignored = field(name="pl", default=NOTHING)
    prevented_execution_price: Ignored = field(name="pL", default=NOTHING)
    prevented_execution_value: Ignored = field(name="pY", default=NOTHING)
    match_type: Ignored = field(name="b", default=NOTHING)
    allocation_id: int | None = field(name="a", default=None)
    working_floor: Ignored = field(name="k", default=NOTHING)
    used_sor: Ignored = field(name="uS", default=NOTHING)
    pegged_price_type: Ignored = field(name="gP", default=NOTHING)
    pegged_offset_type: Ignored = field(name="gOT", default=NOTHING)
    pegged_offset_value: Ignored = field(name="gOV", default=NOTHING)
    pegged_price: Ignored = field(name="gp", default=NOTHING)
    expiry_reason: str = field(name="eR", default="")


class WalletPart(Part, frozen=True, kw_only=True):
    """Binance Spot, 4.3.2: an entry of `B`."""

    asset: str = field(name="a")
    free: Decimal = field(name="f")
    locked: Decimal = field(name="l")


class OutboundAccountPosition(Message, frozen=True, kw_only=True, tag="outboundAccountPosition"):
    """Binance Spot, 4.3.2; margin accounts add `U`."""

    update_time: Time = field(name="u")
    update_id: Ignored = field(name="U", default=NOTHING)
    balances: tuple[WalletPart, ...] = field(name="B")


class BalanceUpdate(Message, frozen=True, kw_only=True, tag="balanceUpdate"):
    """Binance Spot, 4.3.3; margin accounts add `U`."""

    asset: str = field(name="a")
    delta: Decimal = field(name="d")
    clear_time: Time = field(name="T")
    update_id: Ignored = field(name="U", default=NOTHING)


class ListedOrder(Part, frozen=True, kw_only=True):
    """Binance Spot, 4.3.4: an entry of `O`."""

    symbol: Ignored = field(name="s", default=NOTHING)
    order_id: int = field(name="i")
    client_order_id: Ignored = field(name="c", default=NOTHING)


class ListStatus(Message, frozen=True, kw_only=True, tag="listStatus"):
    """Binance Spot, 4.3.4."""

    symbol: Symbol = field(name="s")
    order_list_id: int = field(name="g")
    contingency: str = field(name="c")
    update: str = field(name="l")
    status: str = field(name="L")
    reject_reason: str = field(name="r", default="")
    client_order_list_id: str = field(name="C", default="")
    transaction_time: Time = field(name="T")
    orders: tuple[ListedOrder, ...] = field(name="O", default=())


class ExternalLockUpdate(Message, frozen=True, kw_only=True, tag="externalLockUpdate"):
    """Binance Spot, 4.3.5."""

    asset: str = field(name="a")
    delta: Decimal = field(name="d")
    transaction_time: Time = field(name="T")


class EventStreamTerminated(Message, frozen=True, kw_only=True, tag="eventStreamTerminated"):
    """Binance Spot, 4.3.6."""


class SpotServerShutdown(Message, frozen=True, kw_only=True, tag="serverShutdown"):
    """Binance Spot, 2.3 and 3.1: a word about the socket, not about an account."""


SpotMessage: TypeAlias = (
    ExecutionReport | OutboundAccountPosition | BalanceUpdate | ListStatus | ExternalLockUpdate | EventStreamTerminated | SpotServerShutdown
)


class SpotEnvelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Binance Spot, 2.3: events of accounts say whose they are, words about the socket do not."""

    subscription_id: int | None = field(name="subscriptionId", default=None)
    event: SpotMessage


class ReplyError(msgspec.Struct, frozen=True):
    """Binance Spot, 3.2 and 3.3. `data` holds the time of a limit's end."""

    code: int = 0
    msg: str = ""
    data: RetryAdvice | None = None


class RetryAdvice(msgspec.Struct, frozen=True):
    """Binance Spot, 3.2: venue times."""

    server_time: int = field(name="serverTime", default=NO_TIME)
    retry_after: int = field(name="retryAfter", default=NO_TIME)


class ReplyResult(msgspec.Struct, frozen=True):
    """What a session reads of a result; others have more."""

    subscription_id: int | None = field(name="subscriptionId", default=None)
    server_time: int = field(name="serverTime", default=NO_TIME)
    expiration_time: int = field(name="expirationTime", default=NO_TIME)


class Reply(msgspec.Struct, frozen=True):
    """Binance Spot, 2.3: the answer to a request on the socket. Without an id it is about the session. `rate_limits` is read apart: nothing
    odd there may hide the answer."""

    id: str | int | None = None
    status: int = 0
    result: ReplyResult | None = None
    error: ReplyError | None = None
    rate_limits: msgspec.Raw = field(name="rateLimits", default=msgspec.Raw())


class RateLimit(msgspec.Struct, frozen=True):
    """Binance Spot, 3.2: how much of one limit is used."""

    kind: str = field(name="rateLimitType", default="")
    interval: str = ""
    intervals: int = field(name="intervalNum", default=0)
    count: int = 0
