"""The common vocabulary: one word for the same thing on every venue. What a venue says beyond it is UNKNOWN here and kept raw."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Side(StrEnum):
    """Which way an order or a fill goes."""

    BUY = "buy"
    SELL = "sell"
    UNKNOWN = "unknown"


class PositionSide(StrEnum):
    """Which leg of a symbol: the only one (one-way mode), or the long or the short one (hedge mode)."""

    BOTH = "both"
    LONG = "long"
    SHORT = "short"
    UNKNOWN = "unknown"


class OrderStatus(StrEnum):
    """Where an order is in its life. `is_final` says that nothing but late fills can follow."""

    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    TRIGGERED = "triggered"
    PENDING = "pending"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL: Final = frozenset({OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED})


class Origin(StrEnum):
    """Who made the order: this account's programs, a person or another tool, or the venue itself."""

    OWN = "own"
    EXTERNAL = "external"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    SETTLEMENT = "settlement"
    INSURANCE = "insurance"


class MarginType(StrEnum):
    """What secures a position: the whole wallet, or an amount set apart for it."""

    CROSS = "cross"
    ISOLATED = "isolated"
    UNKNOWN = "unknown"


class Source(StrEnum):
    """How we learned it: pushed by the venue, asked by REST after a gap, asked by REST instead of a stream, read from the journal."""

    STREAM = "stream"
    SNAPSHOT = "snapshot"
    POLL = "poll"
    REPLAY = "replay"


STREAM: Final = Source.STREAM
"""For the way of every message: reading a member from its class costs as much as a function call before Python 3.12."""


class StreamState(StrEnum):
    """How much the account's picture can be trusted right now.

    connecting: no socket yet. syncing: the socket is open, completeness not proven. live: proven and listening. stale: the socket
    died, is silent, or history could not be read. polling: REST only. failed: a person must act (key refused). stopped: by the user.
    """

    CONNECTING = "connecting"
    SYNCING = "syncing"
    LIVE = "live"
    STALE = "stale"
    POLLING = "polling"
    FAILED = "failed"
    STOPPED = "stopped"
