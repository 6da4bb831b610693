"""Virtual time: what happens next, and nothing else. Same actions in the same order make the same run."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from userstream.kernel.ids import Millis

START: Final = Millis(1_000_000)
"""The steady clock of every machine at the beginning."""

EPOCH_MS: Final = 1_795_000_000_000
"""The wall clock, counted from the steady one."""


class Scheduler:
    """A heap of things to come. Of two in one millisecond the one planned first comes first."""

    def __init__(self) -> None:
        self.now = START
        self._coming: list[tuple[Millis, int, Callable[[], None]]] = []
        self._number = 0

    @property
    def wall(self) -> Millis:
        """Milliseconds since 1970, as a good clock says."""
        return Millis(self.now + EPOCH_MS)

    def at(self, time: Millis, action: Callable[[], None]) -> None:
        """Plans an action; a time that is over means at once."""
        self._number = number = self._number + 1
        heappush(self._coming, (time if time > self.now else self.now, number, action))

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self._number = number = self._number + 1
        heappush(self._coming, (Millis(self.now + delay_ms) if delay_ms > 0 else self.now, number, action))

    def every(self, interval_ms: int, action: Callable[[], None]) -> None:
        """Without end."""

        def again() -> None:
            action()
            self.after(interval_ms, again)

        self.after(interval_ms, again)

    def run_until(self, until: Millis) -> None:
        coming = self._coming
        while coming and coming[0][0] <= until:
            self.now, _, action = heappop(coming)
            action()
        self.now = until
