"""The venue's frames as they may be kept and shown."""

from __future__ import annotations

import re
from typing import Final

KEY_NAME: Final = b"listenKey"
ENVELOPE: Final = b'{"stream"'
NAMED_KEYS: Final = re.compile(rb'("(?:listenKey|stream)"\s*:\s*)"[^"]*"')
"""Frames of these forms may name the listen key, which gives whoever holds it the account's events: it is not kept."""


def without_key(frame: bytes) -> bytes:
    """The frame as it may be kept and shown: a listen key in it gives way to three stars."""
    if frame.find(KEY_NAME) >= 0 or frame[:9] == ENVELOPE:
        return NAMED_KEYS.sub(rb'\1"***"', frame)
    return frame
