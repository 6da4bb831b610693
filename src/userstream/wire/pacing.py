"""How often to try and how much to ask: pure objects that are told the time."""

from __future__ import annotations

import math
import zlib
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from userstream.kernel.ids import Millis

MINUTE_MS: Final = 60_000
MINUTE_EDGE_MS: Final = 2_000
"""How far a call's arrival at the venue may lie from the time we take it for: the way there, and half of the way that clocks are
measured over, a first handshake included."""

GOOD_ERROR_MS: Final = MINUTE_EDGE_MS // 2
"""Clocks that are wrong by no more lie within the edge of each other: who tells which of them changes nothing in what was counted."""

WINDOWS_KEPT: Final = 16

BACKGROUND_SHARE: Final = 0.8
"""What nobody waits for (audits, the history of accounts with nothing at stake) leaves the rest of a minute to urgent questions."""

RISK_RESERVE: Final = 0.05
"""The share of every minute that no reading of the books may use, however urgent: an order can be cancelled and a position reduced while
hundreds of accounts are read again."""

LONGEST_ROTATION_JITTER_MS: Final = 30 * 60 * 1000
ROTATION_JITTER_SHARE: Final = 46
"""23 h / 46 = 30 min: shorter lives get shorter jitter."""


def jitter(seed: int, number: int) -> float:
    """A number in [0, 1) that depends on its arguments alone: spreads many accounts over time, the same way in every replay."""
    return zlib.crc32(f"{seed}:{number}".encode()) / 2**32


def life_ms(most_ms: int, seed: int, number: int) -> int:
    """How long a socket lives before it is replaced on purpose (ms): a little above `most_ms`, spread, so that many accounts do not rotate
    at once."""
    return most_ms + int(min(most_ms // ROTATION_JITTER_SHARE, LONGEST_ROTATION_JITTER_MS) * jitter(seed, number))


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Waiting times between tries: doubling, capped, with full jitter above the half so that many clients do not return at once."""

    first_delay_ms: int = 1_000
    max_delay_ms: int = 60_000
    seed: int = 0

    def delay_ms(self, failures: int) -> int:
        """How long to wait after the given number of failures in a row (0: not at all)."""
        if failures <= 0:
            return 0
        longest = min(self.max_delay_ms, self.first_delay_ms * 2 ** min(failures - 1, 30))
        return max(1, int(longest / 2 + longest / 2 * jitter(self.seed, failures)))


class WeightBudget:
    """The request weight of one address (IP) at one venue, in windows of a minute aligned to the venue's clock.

    Promises: never grants more than `share` of the limit within a window, except that urgent asks may go on up to the `reserve`, a
    share of the limit (a single call that weighs more goes alone), and risk actions and what a socket needs to open up to the limit
    itself. The venue's own count, when it reports more than ours, counts. An estimate of the venue's clock that steps back opens no
    window anew. What is granted within `edge_ms` of a full minute counts in both of its windows, as nobody can know in which it will
    arrive.
    """

    def __init__(self, limit: int, *, share: float = BACKGROUND_SHARE, reserve: float = RISK_RESERVE, edge_ms: int = 0) -> None:
        self._limit, self._share, self._reserve, self._edge_ms = limit, share, reserve, edge_ms
        self._windows: dict[int, int] = {}
        self._window = 0
        self.highest = 0

    @property
    def limit(self) -> int:
        """The weight of a whole window, whoever may use it."""
        return self._limit

    @property
    def reserve(self) -> float:
        """The share of the limit that is kept for risk actions."""
        return self._reserve

    @property
    def used(self) -> int:
        """The weight of the current window."""
        return self._windows.get(self._window, 0)

    def wait_ms(self, weight: int, urgent: bool, venue_now: Millis, *, vital: bool = False) -> int:
        """0 and the weight is counted, or how long to wait before asking again. `vital`: a risk action, or darkness lasts until this is
        answered."""
        self._window = venue_now // MINUTE_MS
        cap = self._cap(urgent, vital)
        windows = self._around(venue_now)
        for window in windows:
            used = self._windows.get(window, 0)
            if used and used + weight > cap:
                return (window + 1) * MINUTE_MS + self._edge_ms - venue_now
        for window in windows:
            self._note(window, self._windows.get(window, 0) + weight)
        return 0

    def _cap(self, urgent: bool, vital: bool) -> int:
        """How full a window may become. The reserve is at least one call's weight, however small the limit is."""
        if vital:
            return self._limit
        kept = self._limit - math.ceil(self._limit * self._reserve)
        return kept if urgent else min(kept, int(self._limit * self._share))

    def report(self, used: int, venue_now: Millis) -> None:
        """The venue says how much of a window is used, by us and by others behind the same address. Early in a minute that may still be
        the last one."""
        self._window = venue_now // MINUTE_MS
        window = (venue_now - self._edge_ms) // MINUTE_MS
        self._note(window, max(self._windows.get(window, 0), used))

    def correct(self, believed: Millis, venue_now: Millis) -> None:
        """The venue's clock, taken for `believed` until now, says `venue_now`: what was counted in the minute that seemed to run was used
        in the one that runs, and nothing in minutes to come. Below `edge_ms` nothing changes: every count allows for so much."""
        if abs(venue_now - believed) <= self._edge_ms:
            return
        used = max(self._windows.get(window, 0) for window in self._around(believed))
        latest = self._around(venue_now)[-1]
        self._windows = {window: count for window, count in self._windows.items() if window <= latest}
        self._window = venue_now // MINUTE_MS
        for window in self._around(venue_now):
            self._note(window, max(self._windows.get(window, 0), used))

    def _around(self, venue_now: Millis) -> range:
        """The windows in which a call that goes out now may arrive."""
        return range((venue_now - self._edge_ms) // MINUTE_MS, (venue_now + self._edge_ms) // MINUTE_MS + 1)

    def lower(self, limit: int) -> None:
        """No more than so much from now on."""
        self._limit = min(self._limit, limit)

    def keep(self, reserve: float) -> None:
        """At least this share of the limit is kept for risk actions from now on."""
        self._reserve = max(self._reserve, reserve)

    def _note(self, window: int, used: int) -> None:
        # taken out and put back, so that the window used longest ago is the first to be dropped
        self._windows.pop(window, None)
        self._windows[window] = used
        if len(self._windows) > WINDOWS_KEPT:
            del self._windows[next(iter(self._windows))]
        self.highest = max(self.highest, used)


class Measurement(NamedTuple):
    """What one answer told of the venue's clock: how far (ms) it is ahead of ours that never jumps, give or take `error_ms`, because the
    answer's time was read somewhere on the way. `measured_at`: when the answer came, by our clock."""

    ahead_ms: int
    error_ms: int
    measured_at: Millis


class BudgetClock:
    """The venue's clock by which the minutes of one address's budget are counted, from what all its accounts measured.

    Promises: a measurement counts once at most, whoever tells it however often, and none that is older than the one believed. One that may
    be wrong by more than GOOD_ERROR_MS counts only instead of a guess, or of a measurement that is worse still. What was counted so far is
    taken over into the minute that runs only when the clock moves by more than the budget's edge: between good measurements that is after
    a jump of the venue's own clock, and once.
    """

    def __init__(self, budget: WeightBudget, ahead_ms: int) -> None:
        """`ahead_ms`: the guess until something is measured."""
        self._budget, self._ahead_ms = budget, ahead_ms
        self._believed: Measurement | None = None

    def at(self, now: Millis) -> Millis:
        return Millis(now + self._ahead_ms)

    def learn(self, told: Measurement | None, now: Millis) -> None:
        """What an account measured of the venue's clock (None: nothing yet), told at `now`, by our clock that never jumps."""
        if told is None or not self._is_news(told):
            return
        taken_for, self._ahead_ms, self._believed = self.at(now), told.ahead_ms, told
        self._budget.correct(taken_for, self.at(now))

    def _is_news(self, told: Measurement) -> bool:
        believed = self._believed
        if believed is None:
            return True
        if told.measured_at == believed.measured_at:  # a process that stood still hears many answers in one instant
            return told.error_ms < believed.error_ms
        return told.measured_at > believed.measured_at and (told.error_ms <= GOOD_ERROR_MS or told.error_ms < believed.error_ms)


class VenueClock:
    """An estimate of the venue's clock from question and answer times on our own monotonic clock: of the last samples the one with the
    shortest way counts. Jumps of this machine's wall clock do not touch it. `error_ms`: it is ahead of the true one by no more, because
    the answer's time was read somewhere on the way (0 before the first sample, when nothing is known)."""

    def __init__(self, now: Millis, wall: Millis) -> None:
        self._offset = wall - now
        self.error_ms = 0
        self._samples: list[tuple[int, Measurement]] = []
        self._measurement: Measurement | None = None

    def at(self, now: Millis) -> Millis:
        return Millis(now + self._offset)

    @property
    def is_measured(self) -> bool:
        return self._measurement is not None

    @property
    def measurement(self) -> Measurement | None:
        """The sample that counts; None before the first one, and from a doubt until the next."""
        return self._measurement

    def sample(self, asked: Millis, answered: Millis, venue_time: Millis) -> None:
        way = answered - asked
        told = Measurement(ahead_ms=venue_time - (asked + answered) // 2, error_ms=-(-way // 2), measured_at=answered)
        self._samples = [*self._samples[-7:], (way, told)]
        _, self._measurement = min(reversed(self._samples), key=itemgetter(0))
        self._offset, self.error_ms = self._measurement.ahead_ms, self._measurement.error_ms

    def doubt(self) -> None:
        """The venue refused our time stamp: what was measured before no longer counts."""
        self._samples, self._measurement = [], None
