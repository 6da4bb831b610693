"""Notifications on their way: receivers block, so each delivery has a thread of its own, a time limit and a bounded queue before it.

A receiver that hangs holds up nobody but itself: not the event loop, not the other receivers, not the end of the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple, Protocol

import structlog

from userstream.domain.alert_words import Notification, merged
from userstream.kernel.ids import Millis
from userstream.ports import Clock, Metrics

TIME_LIMIT_MS: Final = 15_000
MOST_WAITING: Final = 1_000
PAUSES_MS: Final = (5_000, 30_000, 60_000, 300_000)
"""Before each further attempt; the last one is that of all later ones."""
LIFE_MS: Final = 3_600_000
"""For so long it is tried: the network that is away for the accounts may be away for the alerts, too."""
TOLD_APART: Final = 3
MOST_IN_ONE: Final = 50
"""When more than three of a severity wait, they go out as one, up to so many: a receiver takes a few messages a minute, and a crash of a
market brings hundreds."""
DOUBTS: Final = 2
"""One may be chance: the network went between two texts."""
MOST_STUCK: Final = 3
"""Threads that nobody waits for any more, of one receiver: with so many, no further one is started."""
_log = structlog.stdlib.get_logger("userstream.alerts")


class Receiver(Protocol):
    """One place that notifications go to."""

    @property
    def name(self) -> str:
        """For people and curves; never a secret."""

    def deliver(self, notification: Notification) -> bool:
        """Blocks. Whether it was taken; raises NotTaken where it knows why not, and may raise anything."""


class NotTaken(Exception):
    """A receiver did not take it. Its text is why, without a secret."""


class Outcome(StrEnum):
    """What became of a delivery: taken; refused or not reached; no answer in time; given up for others that are more severe."""

    SENT = "sent"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    DROPPED = "dropped"


class End(NamedTuple):
    """How an attempt ended. reason: why it was not taken, where that is known; never a secret."""

    outcome: Outcome
    reason: str = ""

    @property
    def words(self) -> str:
        """For people."""
        words = self.outcome.replace("_", " ")
        return f"{words}: {self.reason}" if self.reason else words


OnOutcome = Callable[[str, Notification, End], None]
OnEnd = Callable[[bool], None]
StartThread = Callable[[Callable[[], None], str], None]


def start_thread(work: Callable[[], None], name: str) -> None:
    """Nobody joins it: a thread that hangs must not hold up the end of the process. Raises RuntimeError where the system has no room for
    a further one."""
    threading.Thread(target=work, name=name, daemon=True).start()


class Delivery:
    """One notification for one receiver. on_end: hears whether it was taken, once. doubts: how often it failed right after the receiver had
    taken another, so that it may be the text that fails. due: before which it is not tried again (ms); nothing else waits for it."""

    def __init__(self, notification: Notification, number: int, on_end: OnEnd) -> None:
        self.notification, self.number, self.on_end, self.attempts = notification, number, on_end, 0
        self.doubts, self.due = 0, Millis(0)
        self.tried_since: Millis | None = None

    @property
    def order(self) -> tuple[int, int, int]:
        """The least is the next: what was tried least, of that the most severe, then the oldest."""
        return self.attempts, -self.notification.severity.rank, self.number

    @property
    def is_refused(self) -> bool:
        """Whether the receiver takes others at the time and not this."""
        return self.doubts >= DOUBTS


OnFate = Callable[[Notification, bool], None]
OnFailure = Callable[[str, Sequence[Delivery], End], None]


class Lane:
    """The way to one receiver: one attempt at a time, the most severe first of what was not tried yet. Owned by its notifier.

    While nothing gets through, one alone is tried after each pause, and whatever is new at once. What fails while others get through keeps
    its own pauses and is never told together with others.
    """

    def __init__(
        self,
        receiver: Receiver,
        clock: Clock,
        tell: OnOutcome,
        tell_failure: OnFailure,
        *,
        time_limit_ms: int = TIME_LIMIT_MS,
        most_waiting: int = MOST_WAITING,
        pauses_ms: Sequence[int] = PAUSES_MS,
        start: StartThread = start_thread,
    ) -> None:
        self._receiver, self._clock, self._tell, self._tell_failure, self._start = receiver, clock, tell, tell_failure, start
        self._time_limit_ms, self._most, self._pauses_ms = time_limit_ms, most_waiting, pauses_ms
        self._waiting: list[Delivery] = []
        self._current: list[Delivery] = []
        self._number = self._stuck = self._failures = 0
        self._gets_through, self._retry_at = True, Millis(0)
        self._closing = False
        self._news = asyncio.Event()
        self._task = clock.spawn(self._run(), f"alerts to {receiver.name}")

    @property
    def waiting(self) -> int:
        return len(self._waiting) + len(self._current)

    def put(self, notification: Notification, on_end: OnEnd) -> None:
        """Queues it; `on_end` hears whether it was taken, once. Drops the oldest of the least severe when there are too many."""
        self._number += 1
        self._waiting.append(Delivery(notification, self._number, on_end))
        if len(self._waiting) > self._most:
            victim = min(self._waiting, key=lambda each: (each.notification.severity.rank, each.number))
            self._waiting.remove(victim)
            self._end(victim, End(Outcome.DROPPED))
        self._news.set()

    async def close(self, limit_ms: int) -> None:
        """Until all is delivered, or the time is over."""
        self._closing = True
        self._news.set()
        timer = self._clock.call_at(Millis(self._clock.now() + limit_ms), self._cancel)
        try:
            await asyncio.wait([self._task])
        finally:
            timer.cancel()
            self._task.cancel()
        for delivery in [*self._current, *self._waiting]:
            self._end(delivery, End(Outcome.DROPPED))
        self._waiting.clear()
        self._current.clear()

    def _cancel(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while self._waiting or not self._closing:
            self._news.clear()
            if ready := [each for each in self._waiting if self._closing or self._due_of(each) <= self._clock.now()]:
                self._current = self._take_next(ready)
                await self._deliver(self._current)
            else:
                await self._rest()

    def _due_of(self, delivery: Delivery) -> Millis:
        if not delivery.attempts:
            return Millis(0)
        return delivery.due if delivery.is_refused else self._retry_at

    async def _rest(self) -> None:
        """Until the next is due, or something new came, or all ends."""
        dues = [self._due_of(each) for each in self._waiting]
        timer = self._clock.call_at(min(dues), self._news.set) if dues else None
        await self._news.wait()
        if timer is not None:
            timer.cancel()

    def _take_next(self, ready: Sequence[Delivery]) -> list[Delivery]:
        first = min(ready, key=lambda each: each.order)
        alike = [each for each in ready if self._may_join(each, first)]
        taken = sorted(alike, key=lambda each: each.order)[:MOST_IN_ONE] if len(alike) > TOLD_APART else [first]
        self._waiting = [each for each in self._waiting if each not in taken]
        return taken

    def _may_join(self, delivery: Delivery, first: Delivery) -> bool:
        if delivery.doubts or first.doubts or delivery.notification.severity is not first.notification.severity:
            return False
        return self._gets_through or delivery.attempts == first.attempts == 0

    async def _deliver(self, deliveries: Sequence[Delivery]) -> None:
        now = self._clock.now()
        end = await self._attempt(merged([each.notification for each in deliveries]))
        self._current = []
        if end.outcome is Outcome.SENT:
            self._gets_through, self._failures, self._retry_at = True, 0, self._clock.now()
            for each in deliveries:
                self._end(each, end)
            return
        self._tell_failure(self._receiver.name, deliveries, end)
        self._put_off(deliveries)
        for each in deliveries:
            each.tried_since = now if each.tried_since is None else each.tried_since
            if self._is_over(each):
                self._end(each, end)
            else:
                self._waiting.append(each)

    def _put_off(self, deliveries: Sequence[Delivery]) -> None:
        """After a failure: when what is tried again is tried again."""
        is_new, was_refused = not deliveries[0].attempts, deliveries[0].is_refused
        now = self._clock.now()
        for each in deliveries:
            each.attempts += 1
            each.doubts += self._gets_through
            each.due = Millis(now + self._pause_ms(each.attempts))
        if was_refused:  # it says nothing about the receiver
            return
        # what is new was tried out of turn: it neither lengthens the pauses of the others nor puts them off
        if not (is_new and self._failures):
            self._failures += 1
            self._retry_at = Millis(now + self._pause_ms(self._failures))
        self._gets_through = False

    def _pause_ms(self, failures: int) -> int:
        return self._pauses_ms[min(failures, len(self._pauses_ms)) - 1] if self._pauses_ms else 0

    def _is_over(self, delivery: Delivery) -> bool:
        """Whether there is no further attempt."""
        lived_ms = 0 if delivery.tried_since is None else self._clock.now() - delivery.tried_since
        return self._closing or not self._pauses_ms or lived_ms >= LIFE_MS

    async def _attempt(self, notification: Notification) -> End:
        late = End(Outcome.TIMED_OUT, f"no answer within {self._time_limit_ms / 1_000:g} s")
        if self._stuck >= MOST_STUCK:
            return late
        attempt = _Attempt(self._receiver, notification, self._note_end)
        try:
            self._start(attempt.work, f"alert to {self._receiver.name}")
        except RuntimeError:
            # a machine without a thread to spare may have one later: the lane goes on
            return End(Outcome.FAILED, "this machine has no thread to spare")
        timer = self._clock.call_at(Millis(self._clock.now() + self._time_limit_ms), partial(attempt.give_up, late))
        end = await attempt.end
        timer.cancel()
        self._stuck += end is late
        return end

    def _note_end(self, end: asyncio.Future[End], result: End) -> None:
        if end.done():
            self._stuck -= 1
        else:
            end.set_result(result)

    def _end(self, delivery: Delivery, end: End) -> None:
        self._tell(self._receiver.name, delivery.notification, end)
        delivery.on_end(end.outcome is Outcome.SENT)


class _Attempt:
    """One delivery, made in a thread of its own."""

    def __init__(self, receiver: Receiver, notification: Notification, on_end: Callable[[asyncio.Future[End], End], None]) -> None:
        self._receiver, self._notification, self._on_end = receiver, notification, on_end
        self._loop = asyncio.get_running_loop()
        self.end: asyncio.Future[End] = self._loop.create_future()

    def give_up(self, end: End) -> None:
        if not self.end.done():
            self.end.set_result(end)

    def work(self) -> None:
        try:
            result = End(Outcome.SENT if self._receiver.deliver(self._notification) else Outcome.FAILED)
        except NotTaken as error:
            result = End(Outcome.FAILED, str(error))
        except BaseException as error:
            # whatever else a receiver raises may show its address
            result = End(Outcome.FAILED, type(error).__name__)
        try:
            self._loop.call_soon_threadsafe(self._on_end, self.end, result)
        except RuntimeError:
            return  # the loop has ended meanwhile


def _ignore(notification: Notification, is_taken: bool) -> None:
    pass


class _Fate:
    """What becomes of one notification over all receivers. Told once: when the first took it, or the last did not."""

    def __init__(self, lanes: int, tell: Callable[[bool], None]) -> None:
        self._left, self._tell, self._is_told = lanes, tell, False

    def note(self, is_taken: bool) -> None:
        self._left -= 1
        if not self._is_told and (is_taken or not self._left):
            self._is_told = True
            self._tell(is_taken)


class ThreadedNotifier:
    """Tells every receiver of its own. What becomes of each delivery is counted; what was not taken is logged, unless
    somebody hears of it."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        clock: Clock,
        metrics: Metrics,
        *,
        time_limit_ms: int = TIME_LIMIT_MS,
        most_waiting: int = MOST_WAITING,
        pauses_ms: Sequence[int] = PAUSES_MS,
        on_outcome: OnOutcome | None = None,
        start: StartThread = start_thread,
    ) -> None:
        """Needs a running event loop. `time_limit_ms`: for one attempt. `most_waiting`: for each receiver. `pauses_ms`: before each further
        attempt (none: there is one alone). `on_outcome`: hears what became of each delivery, with the receiver's name.
        `start`: begins the thread of an attempt."""
        self._metrics, self._on_outcome = metrics, on_outcome
        self._hear: OnFate = _ignore
        self._lanes = [
            Lane(
                receiver,
                clock,
                self._note,
                self._note_failure,
                time_limit_ms=time_limit_ms,
                most_waiting=most_waiting,
                pauses_ms=pauses_ms,
                start=start,
            )
            for receiver in receivers
        ]
        for receiver in receivers:
            for outcome in Outcome:
                metrics.count("alerts_total", 0, {"receiver": receiver.name, "outcome": outcome.value})

    def notify(self, notification: Notification) -> None:
        """Hands it over to every receiver; never waits, never raises."""
        fate = _Fate(len(self._lanes), partial(self._hear, notification))
        for lane in self._lanes:
            lane.put(notification, fate.note)

    def listen(self, hear: OnFate) -> None:
        """`hear` is told of every notification once, on the event loop, whether a receiver took it; that none did is known once none will
        be asked again."""
        self._hear = hear

    @property
    def waiting(self) -> int:
        """Deliveries that are not made yet, of all receivers."""
        return sum(lane.waiting for lane in self._lanes)

    async def close(self, *, limit_ms: int) -> None:
        """Delivers what waits, for at most so long; further attempts are not waited for. May be called twice."""
        await asyncio.gather(*(lane.close(limit_ms) for lane in self._lanes))

    def _note_failure(self, receiver: str, deliveries: Sequence[Delivery], end: End) -> None:
        """Each attempt that failed counts: whoever looks at the curves must not wait for an hour."""
        self._metrics.count("alerts_total", len(deliveries), {"receiver": receiver, "outcome": end.outcome.value})
        _log.warning(
            "an alert did not get through yet",
            action="alert_failed",
            reason=f"{receiver}: {end.words}",
            events=len(deliveries),
            attempt=max(each.attempts for each in deliveries) + 1,
        )

    def _note(self, receiver: str, notification: Notification, end: End) -> None:
        if end.outcome in (Outcome.SENT, Outcome.DROPPED):  # every other attempt is counted already
            self._metrics.count("alerts_total", labels={"receiver": receiver, "outcome": end.outcome.value})
        if self._on_outcome is not None:
            self._on_outcome(receiver, notification, end)
        elif end.outcome is not Outcome.SENT:
            reason = f"{receiver}: {end.words}"
            _log.error("an alert was not delivered", action="alert_not_delivered", reason=reason, kind=notification.severity.value)
