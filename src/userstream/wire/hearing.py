"""Does the stream tell what happens? A socket that kept back one fill may keep back others: it is deaf until another one takes its place.

Where sockets one after the other kept back fills and told nothing at all, an open one is no proof of hearing: the next must speak first, or
miss nothing for a while that grows with their number.
"""

from __future__ import annotations

from typing import Final

from userstream.kernel.ids import Millis
from userstream.wire.feed import NEVER

FIRST_PAUSE_MS: Final = 10_000
LONGEST_PAUSE_MS: Final = 60_000
"""Between replacements of deaf sockets that follow each other, each time twice as long: the next one may be as deaf."""

MOST_MUTE: Final = 2
"""So many mute sockets in a row, and the next is on probation."""

PROBATION_MS: Final = 20_000
LONGEST_PROBATION_MS: Final = 600_000
"""For each of them, and at most."""

NOT_YET: Final = Millis(-(1 << 62))
"""Long before any moment."""

DEAF: Final = "the venue's history holds fills that the stream did not tell"


class Hearing:
    """`is_deaf`: fills were missed, and no socket has taken the place of the one that kept them back."""

    def __init__(self) -> None:
        self.is_deaf = False
        self._must_speak = self._has_spoken = self._is_told = self._is_counted = False
        self._mute_sockets = 0
        self._replaced_at, self._pause_ms = NOT_YET, 0
        self._heard_after = NEVER

    def missed(self) -> bool:
        """History told a fill that the newest socket should have told. Returns whether that is news."""
        is_news = not self.is_deaf
        if is_news or self._must_speak:
            self._mute_sockets = 0 if self._has_spoken else self._mute_sockets + 1
            self._is_counted = not self._has_spoken
            self.is_deaf, self._must_speak, self._is_told = True, False, False
        return is_news

    def opened(self, now: Millis, *, key_died: bool = False) -> None:
        """Another socket delivers. `key_died`: the listen key of the former one had died, which is why that one was mute: a socket with a
        key that lives need not prove that it hears."""
        self._mute_sockets -= key_died and self._is_counted
        self._has_spoken = self._is_counted = False
        if self._must_speak:
            return  # one that only takes its turn: the probation goes on
        self._heard_after = Millis(now + min(LONGEST_PROBATION_MS, PROBATION_MS * self._mute_sockets))
        self._must_speak = self.is_deaf and self._mute_sockets >= MOST_MUTE
        self.is_deaf = self._must_speak

    def note_voice(self, has_spoken: bool, now: Millis) -> bool:
        """Whether the newest socket told anything yet. Returns whether that, or the end of its probation, ends the deafness."""
        self._has_spoken = has_spoken
        if not self._must_speak or not (has_spoken or self._heard_after <= now):
            return False
        self.is_deaf = self._must_speak = False
        return True

    def take_suspicion(self, now: Millis) -> str:
        """Why the socket should be replaced now, once; or nothing."""
        if now < self._next_suspicion():
            return ""
        follows = now - self._replaced_at <= 2 * LONGEST_PAUSE_MS
        self._pause_ms = min(2 * self._pause_ms, LONGEST_PAUSE_MS) if follows else FIRST_PAUSE_MS
        self._is_told, self._replaced_at = True, now
        return DEAF

    def deadline(self) -> Millis:
        if self._must_speak:
            return self._heard_after
        return self._next_suspicion()

    def _next_suspicion(self) -> Millis:
        wants = self.is_deaf and not self._must_speak and not self._is_told
        return Millis(self._replaced_at + self._pause_ms) if wants else NEVER
