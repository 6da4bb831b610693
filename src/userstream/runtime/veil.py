"""Takes an account's listen keys out of what is kept and shown: whoever holds one gets the account's events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from userstream.kernel.secret import Secret
from userstream.wire.kept_frames import ENVELOPE, KEY_NAME, without_key

MASK: Final = b"***"
LONGEST_NOTICE: Final = 400
"""Bytes. A message that names a key which is not ours any more is a short notice; to search all others for the name costs too much."""

SHORTEST_KEY: Final = 8
"""Shorter words are no keys; to take them out everywhere would spoil the messages."""


def _nobody(key: Secret) -> None:
    return


class Veil:
    """Knows the keys of the open sockets, and `own`: what the account's key is made of. `on_known` and `on_gone` hear of each socket's, so
    that logs can hide it too."""

    def __init__(self, own: Iterable[Secret] = ()) -> None:
        self._own = [part.reveal().encode("utf-8", "replace") for part in own if len(part.reveal()) >= SHORTEST_KEY]
        self._keys: dict[Secret, bytes] = {}
        self._probe, self._has_more = KEY_NAME, False
        self.on_known: Callable[[Secret], None] = _nobody
        self.on_gone: Callable[[Secret], None] = _nobody

    def learn(self, keys: Iterable[Secret | None]) -> None:
        """These are the keys now; others have lost their power, or are no longer ours to know."""
        now = {key: key.reveal().encode() for key in keys if key is not None and len(key.reveal()) >= SHORTEST_KEY}
        former, self._keys = self._keys, now
        self._probe, self._has_more = next(iter(now.values()), KEY_NAME), len(now) > 1
        for key in now.keys() - former.keys():
            self.on_known(key)
        for key in former.keys() - now.keys():
            self.on_gone(key)

    def hide(self, frame: bytes) -> bytes:
        """The message without any key: ours wherever they stand, others where their name stands before them."""
        # the way of every message: nearly all end here
        find = frame.find
        if find(self._probe) < 0 and not self._has_more and frame[:9] != ENVELOPE and (len(frame) >= LONGEST_NOTICE or find(KEY_NAME) < 0):
            return frame
        for key in self._keys.values():
            frame = frame.replace(key, MASK)
        return without_key(frame)

    def hide_in_answer(self, body: bytes) -> bytes:
        """An answer to a call, without any key that the venue repeats in it."""
        for part in (*self._own, *self._keys.values()):
            if part in body:
                body = body.replace(part, MASK)
        return body

    def hide_in_part(self, sample: bytes) -> bytes:
        """As `hide`, of a message that may be cut off in the middle of a key."""
        hidden = self.hide(sample)
        for key in self._keys.values():
            cut = next((length for length in range(len(key) - 1, SHORTEST_KEY - 1, -1) if hidden.endswith(key[:length])), 0)
            if cut:
                return hidden[:-cut] + MASK
        return hidden
