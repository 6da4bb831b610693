"""Running checksums: numbers the venue repeats in every message, compared with the sum of the fills we know.

A difference is a doubt, not an error: messages of one execution come in any order. Who keeps time decides when a doubt is old enough.
"""

from __future__ import annotations

from decimal import Decimal

from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis


class PositionWatch:
    """Is anchor + signed fills = the amount the venue tells? One watch for each leg.

    The anchor is the last amount that was confirmed, at the venue time of its message. `exact`: it is known which fills it includes; else
    a fill of the anchor's own millisecond may be inside it or not, and both readings are allowed.
    """

    __slots__ = ("_anchor", "_anchor_time", "_exact", "_later", "_told", "_told_time")

    def __init__(self, anchor: Decimal, anchor_time: Millis, *, exact: bool = False) -> None:
        self._anchor, self._anchor_time, self._exact = anchor, anchor_time, exact
        self._later: list[tuple[Millis, Decimal]] = []
        self._told, self._told_time = anchor, anchor_time

    @property
    def in_doubt(self) -> bool:
        """Whether the venue's word and our fills differ: a fill without its position message is a difference too."""
        return bool(self._later) or self._told != self._anchor

    @property
    def expected(self) -> Decimal:
        """What our fills say the amount was when the venue last told it."""
        return self._anchor + sum((quantity for time, quantity in self._later if time <= self._told_time), ZERO)

    @property
    def told(self) -> Decimal:
        return self._told

    def add_fill(self, time: Millis, signed_quantity: Decimal) -> None:
        """A fill that was not known before."""
        if time < self._anchor_time or (time == self._anchor_time and not self._exact and self._told == self._anchor):
            return
        self._later.append((time, signed_quantity))
        self._settle()

    def tell(self, time: Millis, amount: Decimal) -> None:
        """The venue says what the leg is at `time`; older words are ignored."""
        if time < self._told_time:
            return
        self._told, self._told_time = amount, time
        self._settle()

    def accept(self) -> None:
        """Takes the venue's word as the new anchor, whatever our fills say."""
        self._anchor, self._anchor_time, self._exact = self._told, self._told_time, False
        self._later = [entry for entry in self._later if entry[0] > self._told_time]

    def _settle(self) -> None:
        if self.expected == self._told:
            self.accept()
            self._exact = True
