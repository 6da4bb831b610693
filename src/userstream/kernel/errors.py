"""The one exception tree, grouped by what the caller should do.

Trouble of a running feed is data (`StreamChanged`, `GapOpened`, `health`); these are raised only for misuse, for what cannot succeed
by retrying, and at the border of a single call.
"""

from __future__ import annotations

import builtins
import difflib
from collections.abc import Iterable
from typing import Final


class UserStreamError(Exception):
    """Base of everything this package raises on purpose."""


class ConnectionError(UserStreamError, builtins.ConnectionError):
    """The venue cannot be reached; trying later may help."""


class AuthenticationError(UserStreamError):
    """The venue refuses the key. Retrying cannot help; a person must act."""


class RetryLater(UserStreamError):
    """The same call may succeed later. `after_ms` is the venue's own advice, if it gave one."""

    def __init__(self, text: str, after_ms: int | None = None) -> None:
        super().__init__(text)
        self.after_ms = after_ms


class ClockSkewed(RetryLater):
    """The venue finds our time stamp outside its window: measure its clock again, then retry once."""


class ListenKeyGone(UserStreamError):
    """The listen key does not exist any more: create a new one and connect again."""


class OrderNotFound(UserStreamError):
    """The venue does not know this order (yet, or any more). Never proof that it was cancelled."""


class OutcomeUnknown(UserStreamError):
    """The venue may or may not have carried out the call: ask, never assume."""


class RequestRefused(UserStreamError):
    """The venue understood the call and said no; the same call will be refused again."""


class DecodeError(UserStreamError):
    """Bytes that are not what the venue's documents promise. `reason` is one line for a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SettingsError(UserStreamError):
    """A setting is wrong: names the field, the value, the rule and what to do."""


class StoreError(UserStreamError):
    """The store cannot keep what it is given (full disk, a file of another program, a newer version)."""


class NotKept(StoreError):
    """What was asked for is in the store no longer, or never was: waiting does not help."""


class PaperExchangeError(UserStreamError):
    """The paper exchange cannot start or refuses a control action."""


DID_YOU_MEAN: Final = "did you mean"


def nearest(word: str, known: Iterable[str]) -> str:
    """The sentence that helps after an unknown word: its nearest known neighbour, or the list of all."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"{DID_YOU_MEAN} {close[0]!r}?" if close else f"known: {', '.join(names)}"
