"""What is read of a frame before anybody knows its message: its time, and whether it is nested too deeply to be looked into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from userstream.domain.events import NO_TIME
from userstream.kernel.ids import Millis
from userstream.venues.binance.messages import Time

MOST_BYTES: Final = 1 << 20
MOST_LEVELS: Final = 32
MOST_TIME_DIGITS: Final = 15
FIRST_MICROSECOND: Final = 10**14
"""A time from here on counts microseconds: as milliseconds it would lie beyond the year 5138."""

REPLY_WORDS: Final = frozenset({"status", "result", "error"})
EVENT_WORDS: Final = frozenset({"e", "event", "data", "stream"})

# UnicodeDecodeError is a ValueError and no error of msgspec.
TROUBLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)

_TIME: Final = msgspec.json.Decoder(Time | str).decode
_LEVELS: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def milliseconds(value: int) -> Millis:
    """A venue time in milliseconds, whichever of its two units it came in (Binance Spot, 2.3)."""
    return Millis(value) if value < FIRST_MICROSECOND else Millis(value // 1000)


def time_of(value: int | str) -> Millis:
    """A message's time, which some messages tell as text; no time where the text is none."""
    if isinstance(value, int):
        return Millis(value)
    return Millis(int(value)) if value.isascii() and value.isdigit() and len(value) <= MOST_TIME_DIGITS else NO_TIME


def event_time_of(top: Mapping[str, msgspec.Raw]) -> Millis:
    """The message's own time where it says one in any form, else none: for messages that cannot be read otherwise."""
    try:
        return time_of(_TIME(top["E"])) if "E" in top else NO_TIME
    except TROUBLE:
        return NO_TIME


def is_reply(message: Mapping[str, object]) -> bool:
    """Whether a frame answers a request of our own on the socket, and so is none of the venue's events (Binance USD-M, 2.2; Binance Spot,
    2.3 and 3.3)."""
    return "id" in message and not REPLY_WORDS.isdisjoint(message) and EVENT_WORDS.isdisjoint(message)


def has_more_levels(frame: bytes, most: int) -> bool:
    """Whether objects and lists are nested deeper than `most`. Time grows with the frame's length only; true JSON assumed."""
    if frame.count(b"{") + frame.count(b"[") <= most:
        return False
    outside_text = b"".join(frame.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = outside_text.translate(_LEVELS, _NOT_BRACKETS)
    for _ in range(most):
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets
