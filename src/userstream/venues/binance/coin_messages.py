"""The shapes of the COIN-M frames: those of USD-M with what differs (Binance COIN-M, 4.2). Quantities are contracts, cash is the base coin.

The account's alias is beside the parts of three messages, and nothing needs it. `cs`, the size of a contract, belongs to the instrument.
An amendment may be sparse: what it does not repeat is not said, never taken for zero, and stays in the account what it was.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec import field

from userstream.venues.binance.amounts import AmountText
from userstream.venues.binance.messages import (
    NO_AMOUNT,
    NOTHING,
    AccountConfigUpdate,
    AccountPart,
    AccountUpdate,
    AlgoPart,
    AlgoUpdate,
    GridUpdate,
    Ignored,
    ListenKeyExpired,
    MarginCall,
    OrderPart,
    OrderTradeUpdate,
    PositionPart,
    ServerShutdown,
    StrategyUpdate,
)


class CoinOrderPart(OrderPart, frozen=True, kw_only=True):
    """Binance COIN-M, 4.2: the object `o`. What describes the last fill is left out where there is none."""

    average_price: AmountText | None = field(name="ap", default=None)
    stop_price: AmountText | None = field(name="sp", default=None)
    last_quantity: AmountText = field(name="l", default=NO_AMOUNT)
    last_price: AmountText = field(name="L", default=NO_AMOUNT)
    trade_id: int = field(name="t", default=0)
    margin_asset: Ignored = field(name="ma", default=NOTHING)
    contract_size: Ignored = field(name="cs", default=NOTHING)


class CoinOrderTradeUpdate(OrderTradeUpdate, frozen=True, kw_only=True, tag="ORDER_TRADE_UPDATE"):
    """Binance COIN-M, 4.2."""

    alias: Ignored = field(name="i", default=NOTHING)
    order: CoinOrderPart = field(name="o")


class CoinPositionPart(PositionPart, frozen=True, kw_only=True):
    """Binance COIN-M, 4.2: an entry of `a.P`, which lists all symbols and not only those that changed."""

    margin_asset: Ignored = field(name="ma", default=NOTHING)
    contract_size: Ignored = field(name="cs", default=NOTHING)


class CoinAccountPart(AccountPart, frozen=True, kw_only=True):
    """Binance COIN-M, 4.2: the object `a`."""

    positions: tuple[CoinPositionPart, ...] = field(name="P", default=())


class CoinAccountUpdate(AccountUpdate, frozen=True, kw_only=True, tag="ACCOUNT_UPDATE"):
    """Binance COIN-M, 4.2."""

    alias: Ignored = field(name="i", default=NOTHING)
    account: CoinAccountPart = field(name="a")


class CoinMarginCall(MarginCall, frozen=True, kw_only=True, tag="MARGIN_CALL"):
    """Binance COIN-M, 4.2."""

    alias: Ignored = field(name="i", default=NOTHING)


class CoinAlgoPart(AlgoPart, frozen=True, kw_only=True):
    """Binance COIN-M, 4.2 with 1.3: the object `o`."""

    margin_asset: Ignored = field(name="ma", default=NOTHING)
    contract_size: Ignored = field(name="cs", default=NOTHING)


class CoinAlgoUpdate(AlgoUpdate, frozen=True, kw_only=True, tag="ALGO_UPDATE"):
    """Binance COIN-M, 4.2: not confirmed for this socket, but conditional orders live in the same service since the integration (1.3)."""

    alias: Ignored = field(name="i", default=NOTHING)
    order: CoinAlgoPart = field(name="o")


CoinMessage: TypeAlias = (
    CoinOrderTradeUpdate
    | CoinAccountUpdate
    | CoinMarginCall
    | CoinAlgoUpdate
    | AccountConfigUpdate
    | StrategyUpdate
    | GridUpdate
    | ListenKeyExpired
    | ServerShutdown
)


class CoinEnvelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Binance COIN-M, 1: how the access mode `/stream` wraps a message. `stream` is the listen key and is not kept."""

    stream: Ignored
    data: CoinMessage
