"""When the venue's books are read next, and why: after a gap, to confirm, from time to time. Pure; all times are our own steady ones, in
milliseconds.
"""

from __future__ import annotations

from typing import Final

from userstream.kernel.ids import Millis
from userstream.wire.feed import NEVER
from userstream.wire.pacing import jitter
from userstream.wire.recovery import Policy

CONFIRMING: Final = "confirming"
HISTORY: Final = "history"
AUDIT: Final = "audit"
POLLING: Final = "polling"
ROUTINE: Final = frozenset({HISTORY, AUDIT})
"""Readings that nobody waits for."""

UNHURRIED_MS: Final = 1_000
"""So long such a reading asks one question after the other; then one of them hangs or fails, and all others are asked."""

SOONEST_HISTORY: Final = 16
"""History is read early after this part of its interval: what a busy account remembers costs memory, what it reads costs weight."""


class Agenda:
    """The readings to come. `lit`: a socket delivers. `polls`: history must be read in short turns, because no socket tells it."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self._policy, self._seed = policy, seed
        self._again = ""
        self._again_from = self._next_poll = Millis(0)
        self._confirm_at = self._next_audit = self._next_history = self._early_history = NEVER

    # --- what is wanted ---

    def read_at_once(self, now: Millis) -> None:
        """The next reading that is wanted need not keep the pause after the last one."""
        self._again_from = now

    def read_again(self, reason: str) -> None:
        """A full reading, but not one after the other without a pause. The first reason is the one that is told."""
        self._again = self._again or reason

    def confirm_at(self, time: Millis) -> None:
        """A full reading once the venue's lag has passed, at this time or at an earlier one that is planned already."""
        self._confirm_at = min(self._confirm_at, time)

    def may_read_early(self, now: Millis) -> bool:
        """Whether so much of the interval is over that history may be read before its time, and is not wanted or being read anyway."""
        return self._early_history <= now < self._next_history

    def read_history_early(self) -> None:
        """History is wanted before its time, because much waits for it."""
        self._next_history = min(self._next_history, self._early_history)

    def postpone_confirming(self, time: Millis = NEVER) -> None:
        """As `confirm_at`, and no earlier; without a time not at all."""
        self._confirm_at = time

    # --- what is due ---

    def due(self, now: Millis, *, lit: bool, polls: bool) -> tuple[str, bool]:
        """Why the books are to be read now, and whether in full; no reason when they are not."""
        if self._again and lit and self._wanted_from <= now:
            return self._again, True
        if self._confirm_at <= now:
            return CONFIRMING, True
        if lit and self._next_history <= now:
            return HISTORY, True
        if lit and self._next_audit <= now:
            return AUDIT, False
        if polls and self._next_poll <= now:
            return POLLING, True
        return "", False

    def deadline(self, *, lit: bool, polls: bool) -> Millis:
        """When something is due, if time alone brings it."""
        due = self._confirm_at
        if lit:
            due = min(due, self._next_audit, self._next_history)
            if self._again:
                due = min(due, self._wanted_from)
        return min(due, self._next_poll) if polls else due

    @property
    def _wanted_from(self) -> Millis:
        """Since when the reading that is wanted may be made: what was lost while the last one ran is read when that is confirmed, if the
        venue's lag is not longer than the wait. The budget is one, and the two readings would tell the same."""
        return self._confirm_at if 0 <= self._confirm_at - self._again_from <= self._policy.lag_ms else self._again_from

    # --- what was done ---

    def begun(self, now: Millis, *, full: bool) -> None:
        """A reading begins: a full one is what was wanted."""
        if full:
            self._again, self._again_from = "", Millis(now + self._policy.lag_ms)
            self._confirm_at = self._early_history = NEVER
        self._next_poll = Millis(now + self._policy.poll_ms)

    def ended(self, now: Millis, *, full: bool) -> None:
        """A reading is over: the next ones come in their time, spread, so that many accounts do not read at once."""
        spread = 0.75 + 0.5 * jitter(self._seed, now)
        self._next_audit = Millis(int(now + self._policy.audit_ms * spread))
        if full:
            self._next_history = Millis(int(now + self._policy.history_ms * spread))
            early_ms = max(self._policy.history_ms * spread / SOONEST_HISTORY, 2 * self._policy.lag_ms)
            self._early_history = Millis(int(now + early_ms))
