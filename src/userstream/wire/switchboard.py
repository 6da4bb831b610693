"""How sessions of several accounts share one socket, without I/O: whose frame is it, and what becomes of those that are nobody's.

A session beneath which a switchboard lies does not know of it: it has a line of its own, which opens, tells, and ends like a socket.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias

import msgspec

from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.wire.session import Refrain

NOBODY: Final = 0
"""No line has this number."""


class Deliver(msgspec.Struct, frozen=True, gc=False):
    """The frame just received is for these lines."""

    lines: tuple[int, ...]


class Warn(msgspec.Struct, frozen=True):
    """The frame just received may have been for these lines, and nobody can read it: they are told so, without its bytes."""

    lines: tuple[int, ...]


class Transmit(msgspec.Struct, frozen=True):
    """Send a text frame, once its weight is granted."""

    text: Secret
    weight: int


class Used(msgspec.Struct, frozen=True):
    """The venue says that so much weight of its current minute is used, by whomever behind this address."""

    weight: int


class Cut(msgspec.Struct, frozen=True):
    """End this line alone: its session opens another one."""

    line: int
    reason: str


class End(msgspec.Struct, frozen=True):
    """Close the socket: all its lines end."""

    reason: str


SwitchEffect: TypeAlias = Deliver | Warn | Transmit | Used | Cut | Refrain | End


class Switchboard(Protocol):
    """The lines of one socket, from its opening to its end. Never raises."""

    @property
    def strays(self) -> int:
        """Frames that were nobody's."""

    def can_take(self, owner: Secret) -> bool:
        """Whether another line may be joined for this owner: one that can subscribe here."""

    def join(self, line: int, owner: Secret) -> None:
        """A line more, of a number above 0 that was never used here."""

    def send(self, line: int, text: Secret) -> list[SwitchEffect]:
        """A line has something to say."""

    def line_of(self, frame: bytes) -> int:
        """The line that a frame is for, where that is all there is to it; else NOBODY, and `sort` looks closer."""

    def sort(self, frame: bytes) -> list[SwitchEffect]:
        """What becomes of any frame."""

    def unreadable(self) -> list[SwitchEffect]:
        """What becomes of a message that nobody can read: one line keeps it, the others are warned."""

    def hang_up(self, line: int) -> list[SwitchEffect]:
        """A line has ended."""


class DialPace:
    """Dials that are allowed: a handful at once, then as many as the venue's limit for an address lets through evenly."""

    BURST: Final = 20

    def __init__(self, dials_per_5_minutes: int, now: Millis) -> None:
        self._every_ms = 300_000 // max(1, dials_per_5_minutes - self.BURST)
        self._spent_until = now

    def wait_ms(self, now: Millis) -> int:
        """0 and the dial is counted, or how long to wait before asking again."""
        wait_ms = max(0, self._spent_until - self.BURST * self._every_ms - now + self._every_ms)
        if wait_ms == 0:
            self._spent_until = Millis(max(self._spent_until, now) + self._every_ms)
        return wait_ms
