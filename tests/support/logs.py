"""The logs of this process, put back as they were: tests that set them up must not do so for the others."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import structlog


@contextlib.contextmanager
def restored_logs() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("userstream")
    handlers, level, own_level = list(root.handlers), root.level, own.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        own.setLevel(own_level)
        structlog.reset_defaults()
