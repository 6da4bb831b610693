"""That a reading which began ends: an account whose sockets deliver and whose calls are answered does not stay in its readings.

What it cannot explain it tells as a mismatch, and is live. (At rest all must be explained: that is held elsewhere. This law is about how
long it may take.)
"""

from __future__ import annotations

from typing import Final

from tests.simulation.claims import check
from tests.simulation.client import Client
from userstream.domain.words import StreamState
from userstream.kernel.ids import Millis

READ_WITHIN_MS: Final = 24_000
"""From the last moment at which a call failed, others had used up the minute's weight, or a socket was not to be trusted. That a client
waits for the budget excuses nothing by itself: it may be mistaken in its count or in its clock."""


class Liveness:
    """Watches one account. `look` it at least every second."""

    def __init__(self) -> None:
        self._since: Millis | None = None

    def look(self, client: Client, now: Millis, *, last_trouble: Millis) -> None:
        """`last_trouble`: when a call failed last, or the exchange's own count left no weight."""
        machine = client.machine
        books = machine.books
        is_reading = client.is_running and machine.account.state is StreamState.SYNCING and client.is_settled_but_for_readings
        if not is_reading or (books is not None and books.is_deaf):
            self._since = None
            return
        self._since = now if self._since is None else self._since
        waited_ms = now - max(self._since, last_trouble)
        check("liveness", waited_ms <= READ_WITHIN_MS, f"{client.name} reads the books since {waited_ms} ms: {machine.account.doubts}")
