"""The gate to a venue's REST in virtual time: the real weight budget, one queue for all accounts, silence when the venue asks for it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

from tests.simulation.scheduler import EPOCH_MS, Scheduler
from userstream.kernel.ids import Millis
from userstream.wire.pacing import BudgetClock, Measurement, WeightBudget
from userstream.wire.request import HttpResponse

NAP_MS: Final = 250
DEFAULT_PAUSE_MS: Final = 3_000


class Gate:
    """Grants weight in order of urgency."""

    def __init__(self, scheduler: Scheduler, budget: WeightBudget, used_weight_header: str) -> None:
        self._scheduler, self._budget, self._header = scheduler, budget, used_weight_header
        self._waiting: list[tuple[bool, int, int, Callable[[], None]]] = []
        self._number = 0
        self._paused_until = Millis(0)
        self._venue_clock = BudgetClock(budget, EPOCH_MS)
        self._naps = False

    def grant(self, weight: int, urgent: bool, go: Callable[[], None]) -> None:
        """Calls `go` once the weight may be spent."""
        self._number += 1
        heapq.heappush(self._waiting, (not urgent, self._number, weight, go))
        self._look()

    def grant_vital(self, weight: int, go: Callable[[], None]) -> None:
        """For what a socket needs to open."""
        wait_ms = self._wait_ms(weight, True, vital=True)
        if wait_ms:
            self._scheduler.after(min(wait_ms, NAP_MS), lambda: self.grant_vital(weight, go))
        else:
            go()

    def learn(self, response: HttpResponse) -> None:
        used = response.headers.get(self._header, "")
        if used.isdecimal():
            self._budget.report(int(used), self._venue_now)
        if response.status in (429, 418):
            after = response.headers.get("retry-after", "")
            pause_ms = int(after) * 1_000 if after.isdecimal() else DEFAULT_PAUSE_MS
            self.refrain(pause_ms)

    def refrain(self, pause_ms: int) -> None:
        """The venue wants silence for so long."""
        self._paused_until = max(self._paused_until, Millis(self._scheduler.now + pause_ms))

    @property
    def is_paused(self) -> bool:
        """Whether the venue still wants silence."""
        return self._scheduler.now < self._paused_until

    def learn_clock(self, told: Measurement | None) -> None:
        self._venue_clock.learn(told, self._scheduler.now)

    @property
    def _venue_now(self) -> Millis:
        return self._venue_clock.at(self._scheduler.now)

    def _wait_ms(self, weight: int, urgent: bool, *, vital: bool = False) -> int:
        pause_ms = max(0, self._paused_until - self._scheduler.now)
        return pause_ms or self._budget.wait_ms(weight, urgent, self._venue_now, vital=vital)

    def _look(self) -> None:
        while self._waiting and not self._naps:
            not_urgent, _, weight, go = self._waiting[0]
            wait_ms = self._wait_ms(weight, not not_urgent)
            if wait_ms:
                self._naps = True
                self._scheduler.after(min(wait_ms, NAP_MS), self._look_again)
                return
            heapq.heappop(self._waiting)
            go()

    def _look_again(self) -> None:
        self._naps = False
        self._look()
