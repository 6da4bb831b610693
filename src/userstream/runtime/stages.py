"""How long things take on their way, measured where they pass and told to the metrics at once.

What happens for every message is sampled; what happens for many at a time is counted whole, a batch in one call. Nothing here may cost
a message more than a fraction of a microsecond.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from userstream.domain.events import Filled
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.ports import Clock, Metrics, PackedRecords, Projection, Socket, SocketEvents, StoredRecord, Transport
from userstream.runtime.live import LiveAccount

METRIC: Final = "stage_latency_seconds"
SAMPLE_EVERY: Final = 64
NANOS: Final = 1_000_000_000
BEAT_MS: Final = 50
RECENT_MS: Final = 60_000
"""A stall is told for one to two times so long, so that no scrape misses it."""


def ages_of(received: Iterable[tuple[Millis, int]], wall: Millis) -> Counter[float]:
    """For how long (s) records have been in the process, by our clock, and how many for so long. `received`: when, and how many then."""
    ages: Counter[float] = Counter()
    for moment, records in received:
        ages[max(0, wall - moment) / 1_000] += records
    return ages


class TimedTransport:
    """A transport of whose frames one in 64 is sampled, the first of each socket too: from the socket until it is decoded, folded, handed
    to the journal and to listeners. The packet that holds a sampled frame is timed as a whole, and is one observation: its time divided by
    all its frames. Timing each frame would cost half of what is measured."""

    def __init__(self, transport: Transport, metrics: Metrics, stopwatch: Callable[[], int]) -> None:
        """`stopwatch`: nanoseconds that never jump."""
        self._transport, self._metrics, self._stopwatch = transport, metrics, stopwatch

    async def connect(self, url: Secret, events: SocketEvents, *, time_limit_ms: int) -> Socket:
        return await self._transport.connect(url, TimedEvents(events, self._metrics, self._stopwatch), time_limit_ms=time_limit_ms)

    async def close(self) -> None:
        await self._transport.close()


class TimedEvents:
    """What a socket tells, passed on."""

    def __init__(self, events: SocketEvents, metrics: Metrics, stopwatch: Callable[[], int]) -> None:
        self._events, self._metrics, self._stopwatch = events, metrics, stopwatch
        self._take = events.on_frames
        self._until_sample = 0  # the first is measured: a quiet account shall have a curve

    def on_frames(self, frames: Sequence[bytes]) -> None:
        self._until_sample -= len(frames)
        if self._until_sample >= 0:
            self._take(frames)
            return
        self._until_sample = SAMPLE_EVERY - 1
        began = self._stopwatch()
        self._take(frames)
        took_s = (self._stopwatch() - began) / NANOS / len(frames)
        self._metrics.observe(METRIC, {took_s: 1}, {"stage": "socket_to_state"})

    def on_odd_frame(self, frame: bytes, reason: str) -> None:
        self._events.on_odd_frame(frame, reason)

    def on_ping(self) -> None:
        self._events.on_ping()

    def on_closed(self, reason: str) -> None:
        self._events.on_closed(reason)


class TimedProjection:
    """A projection that tells how long after their receipt records are in it, and how often it refused a batch."""

    def __init__(self, projection: Projection, metrics: Metrics, clock: Clock, sink: str) -> None:
        self._projection, self._metrics, self._clock, self._sink = projection, metrics, clock, sink
        metrics.count("sink_errors_total", 0, {"sink": sink})

    async def position(self, reader: str) -> int:
        return await self._projection.position(reader)

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        try:
            await self._projection.apply(reader, records)
        except Exception:
            self._metrics.count("sink_errors_total", labels={"sink": self._sink})
            raise
        ages = ages_of(_received(records), self._clock.wall())
        self._metrics.observe(METRIC, ages, {"stage": f"socket_to_{self._sink}"})


def _received(records: Sequence[StoredRecord]) -> Iterable[tuple[Millis, int]]:
    """When they came, and how many then. Of those that lie packed together all count as old as the first."""
    if isinstance(records, PackedRecords):
        return ((part.first_received, part.count) for part in records.packed)
    return Counter(stored.record.received_time for stored in records).items()


class ServiceStages:
    """What only a service measures: when a handler hears of a fill, and how long the event loop stood still. Owned by whoever calls
    `start` and `stop`."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics, self._clock = metrics, clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to watch the event loop."""
        self._task = self._clock.spawn(self._beat(), "event loop watch")

    async def stop(self) -> None:
        """Watches no more. May be called twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def watch(self, account: LiveAccount) -> None:
        """Its fills are timed until they reach a handler. They alone: they are what trading code waits for, and they are few."""
        account.on(Filled, handler=self._note_told)

    def _note_told(self, event: Filled) -> None:
        age_ms = max(0, self._clock.wall() - event.received_time)
        self._metrics.observe(METRIC, {age_ms / 1_000: 1}, {"stage": "socket_to_callback"})

    async def _beat(self) -> None:
        turned = self._clock.now()
        former_ms = longest_ms = 0
        self._metrics.gauge("loop_stall_seconds", 0)
        while True:
            due = self._clock.now() + BEAT_MS
            await self._clock.sleep(BEAT_MS)
            now = self._clock.now()
            if now - turned >= RECENT_MS:
                turned, former_ms, longest_ms = now, longest_ms, 0
            longest_ms = max(longest_ms, now - due)
            self._metrics.gauge("loop_stall_seconds", max(former_ms, longest_ms) / 1_000)
