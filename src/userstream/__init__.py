"""userstream: a correct, real-time, durable picture of many exchange accounts.

Every fill of every account is in the durable state exactly one time, within a stated number of seconds, and a view that may be stale
says so. Begin with `connect`; `Fleet` runs many accounts, `paper` runs one against a paper exchange of your own.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from userstream.domain.events import (
    AccountConfigChanged,
    BalanceLocked,
    BalanceMoved,
    BalanceSet,
    Event,
    FillCompleted,
    Filled,
    GapOpened,
    GapRepaired,
    MarginCalled,
    Mismatch,
    OrderChanged,
    OrderListChanged,
    PositionSet,
    SnapshotTaken,
    StrategyChanged,
    StreamChanged,
    TriggerRejected,
    Unrecognized,
    public_form,
)
from userstream.domain.words import MarginType, OrderStatus, Origin, PositionSide, Side, Source, StreamState
from userstream.kernel.errors import (
    AuthenticationError,
    ConnectionError,
    RetryLater,
    SettingsError,
    StoreError,
    UserStreamError,
)
from userstream.kernel.settings import RecoverySettings, StreamSettings

if TYPE_CHECKING:
    from userstream.entry.api import Fleet, connect
    from userstream.entry.classic import DEFAULT_USER_STREAM_CONFIG, BinanceClient, UserDataStreamAPI
    from userstream.entry.classic_helpers import BatchProcessor, BoundedCache, MessageFilter
    from userstream.entry.classic_state import StateManager
    from userstream.entry.paper import paper
    from userstream.runtime.live import LiveAccount

_LATER = {
    "BatchProcessor": "userstream.entry.classic_helpers",
    "BinanceClient": "userstream.entry.classic",
    "BoundedCache": "userstream.entry.classic_helpers",
    "DEFAULT_USER_STREAM_CONFIG": "userstream.entry.classic",
    "Fleet": "userstream.entry.api",
    "LiveAccount": "userstream.runtime.live",
    "MessageFilter": "userstream.entry.classic_helpers",
    "StateManager": "userstream.entry.classic_state",
    "UserDataStreamAPI": "userstream.entry.classic",
    "connect": "userstream.entry.api",
    "paper": "userstream.entry.paper",
}
"""Names whose modules are read on first use, so that `import userstream` stays quick."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'userstream' has no attribute {name!r}")
    value: object = getattr(import_module(_LATER[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "DEFAULT_USER_STREAM_CONFIG",
    "AccountConfigChanged",
    "AuthenticationError",
    "BalanceLocked",
    "BalanceMoved",
    "BalanceSet",
    "BatchProcessor",
    "BinanceClient",
    "BoundedCache",
    "ConnectionError",
    "Event",
    "FillCompleted",
    "Filled",
    "Fleet",
    "GapOpened",
    "GapRepaired",
    "LiveAccount",
    "MarginCalled",
    "MarginType",
    "MessageFilter",
    "Mismatch",
    "OrderChanged",
    "OrderListChanged",
    "OrderStatus",
    "Origin",
    "PositionSet",
    "PositionSide",
    "RecoverySettings",
    "RetryLater",
    "SettingsError",
    "Side",
    "SnapshotTaken",
    "Source",
    "StateManager",
    "StoreError",
    "StrategyChanged",
    "StreamChanged",
    "StreamSettings",
    "StreamState",
    "TriggerRejected",
    "Unrecognized",
    "UserDataStreamAPI",
    "UserStreamError",
    "connect",
    "paper",
    "public_form",
]
