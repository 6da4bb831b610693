"""Up to when everything was told: what is sure of the past when a socket ends, or brings what nobody can read.

That something was heard now is no proof for now: a process that stood still hears late, and a socket whose listen key died goes on
answering pings. So a socket vouches only for times that cannot deceive: that of an event it told, and that of a ping of ours, sent on time,
after which it gave a sign of life. And it vouches only from its opening on: its predecessor must have lived until then. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from userstream.domain.events import Event
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.wire.pacing import VenueClock
from userstream.wire.session import Session

PUNCTUAL_MS: Final = 500
"""Who does later than this what was due has stood still, and what comes next may be old."""


class Witness(Protocol):
    """A socket. `opened`: since when it delivers; `told`: the events of its last frame that held any; `asked_at`: when it was pinged last
    by a process that was awake."""

    @property
    def session(self) -> Session: ...

    @property
    def opened(self) -> Millis | None: ...

    @property
    def told(self) -> tuple[Event, ...]: ...

    @property
    def asked_at(self) -> Millis | None: ...


class Assurance:
    """A chain over the lives of an account's sockets, in our own steady time (ms). `key_died_after`: when the last socket opened, its
    listen key was another than before: the former one was surely alive until this moment, and nobody knows how long after it (None: the
    key was the same)."""

    def __init__(self, clock: VenueClock) -> None:
        self._clock = clock
        self._sure = self._key_sure = Millis(0)
        self._key: Secret | None = None
        self.key_died_after: Millis | None = None

    def opened(self, witness: Witness, now: Millis, *, was_lit: bool) -> None:
        """A socket delivers. In darkness the chain begins again: what that cost is a gap."""
        key = witness.session.common_key
        is_other = self._key is not None and key != self._key
        self.key_died_after = min(self._sure, self._key_sure) if is_other else None
        if not was_lit:
            self._sure = now
        elif self.key_died_after is not None:
            self._sure = self.key_died_after
        self._key, self._key_sure = key, now

    def begin_anew(self, now: Millis) -> None:
        """The chain broke before this moment, and that is told: from here on it is whole again."""
        self._sure = self._key_sure = now

    def heard(self, witness: Witness) -> None:
        """A sign of life: the socket was whole when it was asked for one."""
        if witness.asked_at is not None:
            self._extend(witness, witness.asked_at)

    def hear_out(self, witness: Witness, now: Millis) -> None:
        """What it told last was told as it happened, however late we took it in."""
        newest = max((event.event_time for event in witness.told), default=0)
        if not newest:
            return
        happened = min(now, Millis(newest - (self._clock.at(now) - now)))
        if witness.session.common_key == self._key:
            self._key_sure = max(self._key_sure, happened)
        self._extend(witness, happened)

    def prove(self, until: Millis) -> None:
        """History was read and is complete up to this venue time (ms), so that a break before it matters no more."""
        sure = until - self._clock.at(Millis(0))
        if sure > self._sure:
            self._sure = Millis(sure)

    def until(self, witnesses: Iterable[Witness], now: Millis) -> Millis:
        """Up to when all was told, by those that are there and those that were."""
        for witness in witnesses:
            self.hear_out(witness, now)
        return self._sure

    def _extend(self, witness: Witness, until: Millis) -> None:
        if witness.opened is not None and witness.opened <= self._sure < until:
            self._sure = until
