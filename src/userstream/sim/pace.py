"""How much the accounts trade: a budget of events that fills with time. Pure."""

from userstream.sim.books import Millis

LONGEST_CATCH_UP_MS = 1000
LEAST_PRICE = 0.25
LEAST_STOCK = 2.0
"""Events that a slow exchange may save up: what is left below one is not lost when the next portion comes."""


class TradingPace:
    """Events per second over all accounts. What one moment did not use is used in the next, but no more than a second's worth."""

    def __init__(self, events_per_s: float, now: Millis) -> None:
        self.events_per_s = events_per_s
        self.paused = False
        self._budget = 0.0
        self._last = now

    def grant(self, now: Millis) -> None:
        """Let the time since the last grant count."""
        elapsed_ms = min(max(now - self._last, 0), LONGEST_CATCH_UP_MS)
        self._last = max(self._last, now)
        if not self.paused:
            self._budget = min(self._budget + self.events_per_s * elapsed_ms / 1000, max(self.events_per_s, LEAST_STOCK))

    @property
    def may_act(self) -> bool:
        return not self.paused and self.events_per_s > 0 and self._budget >= 1.0

    def spend(self, events: int) -> None:
        """An action costs the events it caused; one without events costs a little, so that a round of trading always ends."""
        self._budget -= max(float(events), LEAST_PRICE)
