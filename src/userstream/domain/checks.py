"""Running checksums: numbers the venue repeats in every message, compared with the sum of the fills we know.

A difference is a doubt, not an error: messages of one execution come in any order. Who keeps time decides when a doubt is old enough.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from decimal import Decimal
from itertools import accumulate
from operator import itemgetter
from typing import Final

from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis

MOST_UNSURE: Final = 32
"""So many fills are remembered at most, while it is open which of them the anchor includes."""

_time_of = itemgetter(0)


class PositionWatch:
    """Is anchor + signed fills = the amount the venue tells? One watch for each leg.

    The anchor is the last amount that was confirmed. Fills before `since` are inside it, fills after `until` are not; of those in between
    (without `until`: of that very millisecond) the first few may be, and every reading is allowed that explains the venue's last word and
    those before it that stood. Sums that agree make a word exact once the venue's next one, of a later time, finds them agreeing: while a
    history is read fill by fill, the sum of a part of it may agree by chance, and so may a word that comes before the fill it tells of,
    while another one is missing.

    `is_exact`: the anchor is, or follows without a choice from, an amount of a known moment. One of an interval is not: a sum that agrees
    by taking some fills of that interval for included may agree by chance, and then the next fill does not add up.
    """

    __slots__ = (
        "_anchor",
        "_first_told",
        "_later",
        "_matched",
        "_since",
        "_stood",
        "_told",
        "_told_time",
        "_told_until",
        "_until",
        "is_exact",
    )

    def __init__(self, anchor: Decimal, since: Millis, until: Millis | None = None) -> None:
        self._anchor, self._since = anchor, since
        self._until: int = since if until is None else until
        self._later: list[tuple[Millis, Decimal]] = []
        self._told, self._told_time = anchor, since
        self._told_until: int = since
        self._first_told: tuple[Millis, int] = since, self._until
        self._stood: list[tuple[Millis, Decimal]] = []
        self._matched = True
        self.is_exact = self._until <= since

    @property
    def in_doubt(self) -> bool:
        """Whether the venue's word and our fills differ: a fill without its position message is a difference too."""
        return not self._matched or (bool(self._later) and self._later[-1][0] > max(self._until, self._told_time))

    @property
    def expected(self) -> Decimal:
        """What our fills say the amount was when the venue last told it."""
        return self._anchor + sum((quantity for time, quantity in self._later if time <= self._told_time), ZERO)

    @property
    def told(self) -> Decimal:
        return self._told

    def add_fill(self, time: Millis, signed_quantity: Decimal) -> None:
        """A fill that was not known before."""
        if time < self._since:
            return
        if self._stood and time <= self._stood[-1][0]:
            self._stood = [word for word in self._stood if word[0] != time]
        if self._later and time < self._later[-1][0]:
            insort(self._later, (time, signed_quantity), key=_time_of)
        else:
            self._later.append((time, signed_quantity))
        if not self._matched or self._until < time <= self._told_time:
            self._settle()

    def tell(self, time: Millis, amount: Decimal, until: Millis | None = None) -> None:
        """The venue says what the leg is at `time`, or at some moment between `time` and `until`; older words are ignored."""
        if time < self._told_time:
            return
        if self._later and self._until < self._told_time < time and (standing := self._reading()) is not None:
            self._stand(standing)
        if until is None or amount != self._told:  # a leg told flat again at some moment: when it was told first says more
            self._first_told = time, time if until is None else until
        self._told, self._told_time = amount, time
        self._told_until = time if until is None else until
        self._settle()

    def accept(self) -> None:
        """Takes the venue's word as the new anchor, whatever our fills say."""
        self._anchor, self._since, self._until = self._told, self._told_time, self._told_until
        self._later = [entry for entry in self._later if entry[0] >= self._since]
        self._stood = []
        self._matched = True
        self.is_exact = self._until <= self._since

    def accept_if_unsure(self, amount: Decimal, proven_until: Millis) -> bool:
        """All fills before `proven_until` are known, and the venue's books say `amount`: settles a doubt that only an anchor which never
        was exact can have caused. Changes nothing, and returns False, where the anchor was exact, where the books say something else than
        the venue told last, where that is younger than the proof, and where a fill is younger than it."""
        since, until = self._first_told
        newest_fill = self._later[-1][0] if self._later else since
        if self.is_exact or amount != self._told or until >= proven_until or newest_fill > until:
            return False
        self._told_time, self._told_until = since, until
        self.accept()
        return True

    @property
    def _has_choice(self) -> bool:
        """Whether a fill is known that the anchor may include."""
        return bool(self._later) and self._later[0][0] <= self._until

    def _settle(self) -> None:
        """Of a leg told at some moment of an interval there is no next word to wait for."""
        reading = self._reading()
        self._matched = reading is not None
        if reading is not None and not self._has_choice and self._told_until > self._told_time:
            self._make_exact(reading)

    def _stand(self, reading: tuple[int, bool]) -> None:
        """The word told last agrees as the next one comes. Where that takes a choice, later words must be explained by the same one. Of a
        millisecond with several fills the last word may be lost: an earlier one would agree by chance, and binds nothing."""
        self._make_exact(reading)
        fills = sum(time == self._told_time for time, _ in self._later)
        if not self._has_choice or self._told_until > self._told_time or fills > 1:
            return
        if self._stood and self._stood[-1][1] == self._told:
            self._stood.pop()
        self._stood.append((self._told_time, self._told))

    def _make_exact(self, reading: tuple[int, bool]) -> None:
        """The sums agree: what they include is the anchor from now on."""
        inside, sure = reading
        if inside and (sure or len(self._later) > MOST_UNSURE):
            self.is_exact = self.is_exact or self._later[0][0] > self._until
            # A fill of this time or later that comes only now is not in the sum that agreed: it must be explained as well.
            self._anchor, self._since = self._told, self._later[inside - 1][0]
            self._until = self._since - 1
            del self._later[:inside]
            self._stood = []

    def _reading(self) -> tuple[int, bool] | None:
        """How many of the later fills the venue's word includes, and whether that takes all that may be inside the anchor to be so; None
        when no reading gives the venue's amount."""
        later = self._later
        if not later:
            return (0, True) if self._anchor == self._told else None
        if len(later) == 1 and self._until < later[0][0] <= self._told_time:  # nearly always so
            return (1, True) if self._anchor + later[0][1] == self._told else None
        sums = [ZERO, *accumulate(quantity for _, quantity in later)]
        loose, certain, possible = (bisect_right(later, time, key=_time_of) for time in (self._until, self._told_time, self._told_until))
        missing = self._told - self._anchor
        stood = [sums[bisect_right(later, time, key=_time_of)] + self._anchor - amount for time, amount in self._stood]
        for inside in range(certain, possible + 1):
            most = min(loose, inside)
            for skipped in range(most, -1, -1):
                if sums[inside] - sums[skipped] == missing and all(sums[skipped] == included for included in stood):
                    return inside, skipped == most
        return None
