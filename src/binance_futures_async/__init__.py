"""The classic surface under its old name. Re-exports; nothing else."""

from userstream import (
    DEFAULT_USER_STREAM_CONFIG,
    BatchProcessor,
    BinanceClient,
    BoundedCache,
    MessageFilter,
    StateManager,
    UserDataStreamAPI,
)

__all__ = [
    "DEFAULT_USER_STREAM_CONFIG",
    "BatchProcessor",
    "BinanceClient",
    "BoundedCache",
    "MessageFilter",
    "StateManager",
    "UserDataStreamAPI",
]
