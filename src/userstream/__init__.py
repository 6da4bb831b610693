"""userstream: a correct, real-time, durable picture of many exchange accounts.

Every fill of every account is in the durable state exactly one time, within a stated number of seconds, and a view that may be stale
says so. Begin with `connect`; `Fleet` runs many accounts, `paper` runs one against a paper exchange of your own.
"""

TYPE_CHECKING = False  # what type checkers take for true; `typing` itself is a fifth of the time in which Ctrl-C cannot be heard
if TYPE_CHECKING:
    from userstream.domain.certificate import Certificate
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
        LiabilityChanged,
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
    from userstream.domain.figures import Balance, Order, Position
    from userstream.domain.words import MarginType, OrderStatus, Origin, PositionSide, Side, Source, StreamState
    from userstream.entry.api import Fleet, connect
    from userstream.entry.classic import DEFAULT_USER_STREAM_CONFIG, BinanceClient, UserDataStreamAPI
    from userstream.entry.classic_helpers import BatchProcessor, BoundedCache, MessageFilter
    from userstream.entry.classic_state import StateManager
    from userstream.entry.paper import PaperAccount, PaperExchange, SyncPaperAccount, SyncPaperExchange, paper
    from userstream.kernel.errors import (
        AuthenticationError,
        ConnectionError,
        PaperExchangeError,
        RetryLater,
        SettingsError,
        StoreError,
        UserStreamError,
    )
    from userstream.kernel.settings import RecoverySettings, StreamSettings
    from userstream.runtime.live import LiveAccount
    from userstream.runtime.sync_account import SyncAccount
    from userstream.runtime.views import Health

_HOMES = {
    "userstream.domain.certificate": ("Certificate",),
    "userstream.domain.events": (
        "AccountConfigChanged",
        "BalanceLocked",
        "BalanceMoved",
        "BalanceSet",
        "Event",
        "FillCompleted",
        "Filled",
        "GapOpened",
        "GapRepaired",
        "LiabilityChanged",
        "MarginCalled",
        "Mismatch",
        "OrderChanged",
        "OrderListChanged",
        "PositionSet",
        "SnapshotTaken",
        "StrategyChanged",
        "StreamChanged",
        "TriggerRejected",
        "Unrecognized",
        "public_form",
    ),
    "userstream.domain.figures": (
        "Balance",
        "Order",
        "Position",
    ),
    "userstream.domain.words": (
        "MarginType",
        "OrderStatus",
        "Origin",
        "PositionSide",
        "Side",
        "Source",
        "StreamState",
    ),
    "userstream.entry.api": (
        "Fleet",
        "connect",
    ),
    "userstream.entry.classic": (
        "DEFAULT_USER_STREAM_CONFIG",
        "BinanceClient",
        "UserDataStreamAPI",
    ),
    "userstream.entry.classic_helpers": (
        "BatchProcessor",
        "BoundedCache",
        "MessageFilter",
    ),
    "userstream.entry.classic_state": ("StateManager",),
    "userstream.entry.paper": (
        "PaperAccount",
        "PaperExchange",
        "SyncPaperAccount",
        "SyncPaperExchange",
        "paper",
    ),
    "userstream.kernel.errors": (
        "AuthenticationError",
        "ConnectionError",
        "PaperExchangeError",
        "RetryLater",
        "SettingsError",
        "StoreError",
        "UserStreamError",
    ),
    "userstream.kernel.settings": (
        "RecoverySettings",
        "StreamSettings",
    ),
    "userstream.runtime.live": ("LiveAccount",),
    "userstream.runtime.sync_account": ("SyncAccount",),
    "userstream.runtime.views": ("Health",),
}
"""Modules are read when one of their names is first used, so that `import userstream` costs next to nothing, and a command that is
interrupted at once is quiet."""


def __getattr__(name: str) -> object:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            value: object = getattr(import_module(module), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'userstream' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "DEFAULT_USER_STREAM_CONFIG",
    "AccountConfigChanged",
    "AuthenticationError",
    "Balance",
    "BalanceLocked",
    "BalanceMoved",
    "BalanceSet",
    "BatchProcessor",
    "BinanceClient",
    "BoundedCache",
    "Certificate",
    "ConnectionError",
    "Event",
    "FillCompleted",
    "Filled",
    "Fleet",
    "GapOpened",
    "GapRepaired",
    "Health",
    "LiabilityChanged",
    "LiveAccount",
    "MarginCalled",
    "MarginType",
    "MessageFilter",
    "Mismatch",
    "Order",
    "OrderChanged",
    "OrderListChanged",
    "OrderStatus",
    "Origin",
    "PaperAccount",
    "PaperExchange",
    "PaperExchangeError",
    "Position",
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
    "SyncAccount",
    "SyncPaperAccount",
    "SyncPaperExchange",
    "TriggerRejected",
    "Unrecognized",
    "UserDataStreamAPI",
    "UserStreamError",
    "connect",
    "paper",
    "public_form",
]
