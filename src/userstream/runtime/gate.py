"""The one door to a venue's REST: every account behind this address shares its weight budget, urgent questions first.

All waiting is measured with the clock that never jumps; this machine's wall clock only gives the first guess of the venue's minute.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

from userstream.kernel.ids import Millis
from userstream.ports import Clock, HttpClient
from userstream.wire.pacing import BudgetClock, Measurement, WeightBudget
from userstream.wire.request import HttpRequest, HttpResponse

LONGEST_NAP_MS: Final = 1_000
"""Whoever waits looks again this often: a more urgent question may have come, or the venue's clock be known better."""

PART_LEFT_FREE: Final = 4
"""What could as well be asked later is asked while no more than this part of the minute is used."""

APART_MS: Final = 200
"""Readings that could as well come later begin so far apart: of hundreds of accounts that want one at the same time each tells thousands of
rows, and the events of all others would wait behind them."""

TOLD_FOR_MS: Final = 60_000
"""So long nothing more is told of waiting here: a desk that waits for minutes says so once a minute, whatever its size."""


class Urgency(IntEnum):
    """In which order those who wait are served, and how much of the budget they may use."""

    RISK = 0
    """An action that limits a loss: it may use all of the budget, the reserve included."""
    URGENT = 1
    """An account with something at stake: up to the reserve."""
    PATIENT = 2
    """Everything else: up to the share of what nobody waits for."""


class Waiting(NamedTuple):
    """One question in the queue; the least of them is the next."""

    urgency: Urgency
    number: int
    weight: int
    granted: asyncio.Future[None]


class Gate:
    """Grants weight in order of urgency, sends, and learns from every answer how much of the budget is used."""

    def __init__(
        self,
        base_url: str,
        budget: WeightBudget,
        http: HttpClient,
        clock: Clock,
        *,
        pause_of: Callable[[HttpResponse, Millis], int],
        used_weight_header: str = "",
        name: str = "",
    ) -> None:
        """`pause_of`: for how long (ms) the venue wants silence after an answer, as of a venue time (ms). `name`: what people call the
        budget, where the host is not enough."""
        self._base_url, self._budget, self._http, self._clock = base_url, budget, http, clock
        self._header, self._pause_of = used_weight_header, pause_of
        self._name = name or host_of(base_url)
        self._waiting: list[Waiting] = []
        self._numbers = 0
        self._waker: asyncio.Task[None] | None = None
        self._venue_clock = BudgetClock(budget, clock.wall() - clock.now())
        self._paused_until = self._open_at = self._told_until = self._room_from = clock.now()
        self.requests = 0
        self.refused = 0
        self.waits = 0

    @property
    def name(self) -> str:
        """The budget's name, or else the venue's host: for people and curves."""
        return self._name

    @property
    def waiting(self) -> int:
        """Questions that wait for the budget."""
        return sum(not granted.done() for *_, granted in self._waiting)

    @property
    def budget(self) -> WeightBudget:
        return self._budget

    @property
    def pause_ms(self) -> int:
        """How long the venue still wants silence; 0 when calls may go out."""
        return max(0, self._paused_until - self._clock.now())

    def words_for_wait(self) -> str:
        """Why a question that waits here does, for people; empty when the next one may go out."""
        if self.pause_ms:
            return f"waiting {-(-self.pause_ms // 1_000)} s, as long as the venue wants no calls from this address"
        left_ms = self._open_at - self._clock.now()
        return f"waiting {-(-left_ms // 1_000)} s for the venue's request budget{self._words_for_queue()}" if left_ms > 0 else ""

    def _words_for_queue(self) -> str:
        """That one minute of the budget is not enough for all who wait, where it is so."""
        queued = [entry.weight for entry in self._waiting if not entry.granted.done()]
        minutes = sum(queued) // max(1, self._budget.limit)
        return f", as {len(queued)} questions do, the last of them for about {minutes + 1} min" if minutes else ""

    @property
    def told_until(self) -> Millis:
        """Until when (by the clock that never jumps) enough is told of waiting here."""
        return self._told_until

    def may_tell(self, now: Millis) -> bool:
        """Whether one of those who wait may tell of it for all. Who may must do so: nobody else may for the next TOLD_FOR_MS."""
        if now < self._told_until:
            return False
        self._told_until = Millis(now + TOLD_FOR_MS)
        return True

    @property
    def used_weight(self) -> int:
        """What is used of the venue's current minute, as far as we know."""
        self._budget.report(0, self._venue_now())
        return self._budget.used

    def take_room(self) -> bool:
        """Whether a reading that could as well come later may begin now: little of the venue's minute is used, nobody waits, and no other
        one began just before. Who may begins it."""
        now = self._clock.now()
        if now < self._room_from or self.waiting or self.used_weight * PART_LEFT_FREE > self._budget.limit:
            return False
        self._room_from = Millis(now + APART_MS)
        return True

    def learn_clock(self, told: Measurement | None) -> None:
        """What an account measured of the venue's clock last (None: nothing), as often as one likes: the minutes of the budget are the
        venue's, and what was counted by a wrong clock belongs to the minute that runs."""
        self._venue_clock.learn(told, self._clock.now())

    async def grant(self, weight: int, *, urgent: bool) -> None:
        """Returns when the weight may be spent; it is counted then."""
        await self._queue(weight, Urgency.URGENT if urgent else Urgency.PATIENT)

    async def grant_risk(self, weight: int) -> None:
        """The same for a risk action: only a ban, a full budget and earlier risk actions make it wait."""
        await self._queue(weight, Urgency.RISK)

    async def _queue(self, weight: int, urgency: Urgency) -> None:
        none_before = not self._waiting or urgency < self._waiting[0].urgency
        if none_before and self._wait_ms(weight, urgency) == 0:
            return
        self.waits += 1
        self._numbers += 1
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, Waiting(urgency, self._numbers, weight, granted))
        if self._waker is None or self._waker.done():
            self._waker = self._clock.spawn(self._wake(), "gate")
        await granted

    def grant_at_once(self, weight: int) -> bool:
        """Counts the weight of an urgent question that must not wait, if it may be spent now."""
        return self._wait_ms(weight, Urgency.URGENT) == 0

    async def grant_vital(self, weight: int) -> None:
        """For the few light calls without which no socket opens: they pass by all others; only a ban and a full budget hold them up."""
        self.waits += self.pause_ms > 0
        while wait_ms := self._wait_ms(weight, Urgency.RISK):
            await self._clock.sleep(min(wait_ms, LONGEST_NAP_MS))

    async def send(self, request: HttpRequest, *, time_limit_ms: int, http: HttpClient | None = None) -> HttpResponse:
        """Sends a call whose weight was granted, over the connections of `http` (None: of the client that the gate was made with)."""
        self.requests += 1
        response = await (http or self._http).send(self._base_url, request, time_limit_ms=time_limit_ms)
        self.learn(response)
        return response

    def learn_used(self, weight: int) -> None:
        """The venue says that so much of its current minute is used: it said so in an answer on a socket."""
        self._budget.report(weight, self._venue_now())

    def refrain(self, pause_ms: int) -> None:
        """The venue wants silence for so long: it said so in an answer."""
        self.refused += 1
        self._paused_until = max(self._paused_until, Millis(self._clock.now() + pause_ms))

    async def close(self) -> None:
        if self._waker is not None:
            self._waker.cancel()
        for _, _, _, granted in self._waiting:
            granted.cancel()
        self._waiting.clear()

    async def _wake(self) -> None:
        while self._waiting:
            urgency, _, weight, granted = self._waiting[0]
            if granted.done():
                heapq.heappop(self._waiting)
                continue
            wait_ms = self._wait_ms(weight, urgency)
            if wait_ms:
                await self._clock.sleep(min(wait_ms, LONGEST_NAP_MS))
                continue
            heapq.heappop(self._waiting)
            granted.set_result(None)

    def _wait_ms(self, weight: int, urgency: Urgency) -> int:
        """0 and the weight is counted, or how long to wait before asking again."""
        urgent, vital = urgency <= Urgency.URGENT, urgency is Urgency.RISK
        wait_ms = self.pause_ms or self._budget.wait_ms(weight, urgent, self._venue_now(), vital=vital)
        if wait_ms or not self._waiting:  # what passes by those who wait says nothing of their time
            self._open_at = Millis(self._clock.now() + wait_ms)
        return wait_ms

    def learn(self, response: HttpResponse) -> None:
        """What an answer says of the budget, whoever asked."""
        used = response.headers.get(self._header, "") if self._header else ""
        if used.isdecimal():
            self.learn_used(int(used))
        pause_ms = self._pause_of(response, self._venue_now())
        if pause_ms:
            self.refrain(pause_ms)

    def _venue_now(self) -> Millis:
        return self._venue_clock.at(self._clock.now())


def host_of(base_url: str) -> str:
    """The host of an address, with its port, for people: without what may be secret before it."""
    return base_url.rpartition("://")[2].rpartition("@")[2].partition("/")[0]
