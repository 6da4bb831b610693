"""What is measured of a message's way, and that what it passes stays what it was."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from itertools import count

import pytest

from tests.support.clock import ManualClock
from tests.support.records import make_batch, record
from tests.unit.runtime.kit import Shell
from userstream.adapters.metrics import PrometheusMetrics
from userstream.domain.words import StreamState
from userstream.kernel.errors import ConnectionError, StoreError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.ports import Projection, SocketEvents, StoredRecord, Transport
from userstream.runtime.stages import BEAT_MS, RECENT_MS, SAMPLE_EVERY, ServiceStages, TimedProjection, TimedTransport, ages_of


def numbers(metrics: PrometheusMetrics, stage: str) -> tuple[float, float]:
    """How many were measured, and how long they took together (s)."""
    text = metrics.render().decode()
    found = [
        re.findall(rf'^userstream_stage_latency_seconds_{each}{{stage="{stage}"}} (\S+)$', text, re.MULTILINE) for each in ("count", "sum")
    ]
    return (float(found[0][0]), float(found[1][0])) if found[0] else (0, 0)


class OneSocket:
    """A transport whose socket a test speaks through."""

    def __init__(self) -> None:
        self.events: SocketEvents | None = None
        self.urls: list[tuple[Secret, int]] = []
        self.is_closed = False

    async def connect(self, url: Secret, events: SocketEvents, *, time_limit_ms: int) -> object:
        if not url:
            raise ConnectionError("no route")
        self.urls.append((url, time_limit_ms))
        self.events = events
        return self

    async def close(self) -> None:
        self.is_closed = True


class Heard:
    """All that a socket's owner was told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def on_frames(self, frames: Sequence[bytes]) -> None:
        self.told += [("frame", frame) for frame in frames]

    def on_odd_frame(self, frame: bytes, reason: str) -> None:
        self.told.append(("odd", frame, reason))

    def on_ping(self) -> None:
        self.told.append(("ping",))

    def on_closed(self, reason: str) -> None:
        self.told.append(("closed", reason))


async def test_one_frame_of_a_socket_in_many_is_timed_and_nothing_is_lost() -> None:
    metrics, inner, heard, ticks = PrometheusMetrics(strict=True), OneSocket(), Heard(), count(0, 25_000)
    timed: Transport = TimedTransport(inner, metrics, lambda: next(ticks))  # type: ignore[arg-type]
    socket: object = await timed.connect(Secret("wss://x"), heard, time_limit_ms=7)
    assert socket is inner and inner.urls == [(Secret("wss://x"), 7)] and inner.events is not None
    for number in range(2 * SAMPLE_EVERY + 1):
        inner.events.on_frames([b"%d" % number])
    timed_frames, together_s = numbers(metrics, "socket_to_state")
    assert timed_frames == 3 and together_s == pytest.approx(3 * 0.000025)
    inner.events.on_frames([b"packet"] * 5 * SAMPLE_EVERY)
    timed_frames, together_s = numbers(metrics, "socket_to_state")
    assert timed_frames == 4 and together_s == pytest.approx(3 * 0.000025 + 0.000025 / (5 * SAMPLE_EVERY))
    inner.events.on_odd_frame(b"\x00", "binary")
    inner.events.on_ping()
    inner.events.on_closed("gone")
    assert heard.told[:2] == [("frame", b"0"), ("frame", b"1")] and len(heard.told) == 7 * SAMPLE_EVERY + 1 + 3
    assert heard.told[-3:] == [("odd", b"\x00", "binary"), ("ping",), ("closed", "gone")]
    with pytest.raises(ConnectionError):
        await timed.connect(Secret(""), heard, time_limit_ms=7)
    await timed.close()
    assert inner.is_closed


class Tables:
    """A projection that refuses when it is told to."""

    def __init__(self) -> None:
        self.applied: list[StoredRecord] = []
        self.refuses = False

    async def position(self, reader: str) -> int:
        return 41

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        if self.refuses:
            raise StoreError("the server went away")
        self.applied += records


async def test_a_projection_tells_the_age_of_what_it_took_and_how_often_it_refused() -> None:
    metrics, clock, tables = PrometheusMetrics(strict=True), ManualClock(), Tables()
    timed: Projection = TimedProjection(tables, metrics, clock, "postgres")
    assert await timed.position("tables") == 41
    ages_ms = [(1, 30), (2, 10), (3, 10)]
    batch = [StoredRecord(number, record(sequence=number, received_time=clock.wall() - age_ms)) for number, age_ms in ages_ms]
    tables.refuses = True
    with pytest.raises(StoreError):
        await timed.apply("tables", batch)
    assert 'userstream_sink_errors_total{sink="postgres"} 1.0' in metrics.render().decode()
    assert numbers(metrics, "socket_to_postgres") == (0, 0)
    tables.refuses = False
    await timed.apply("tables", batch)
    assert tables.applied == batch
    taken, together_s = numbers(metrics, "socket_to_postgres")
    assert taken == 3 and together_s == pytest.approx(0.05)


async def test_of_packed_records_all_are_as_old_as_the_first_of_their_account() -> None:
    metrics, clock = PrometheusMetrics(strict=True), ManualClock()
    told = [("alice", 1, 30), ("bob", 1, 20), ("alice", 2, 10)]
    records = [record(account=account, sequence=number, received_time=clock.wall() - age_ms) for account, number, age_ms in told]
    timed = TimedProjection(Tables(), metrics, clock, "postgres")
    await timed.apply("tables", make_batch(records, 1).place())
    taken, together_s = numbers(metrics, "socket_to_postgres")
    assert taken == 3 and together_s == pytest.approx(0.03 + 0.03 + 0.02)


def test_a_wall_clock_that_was_set_back_makes_nothing_younger_than_new() -> None:
    received = [(Millis(2_000), 1), (Millis(3_000), 1), (Millis(500), 4)]
    assert ages_of(received, Millis(1_000)) == {0: 2, 0.5: 4}


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    made = Shell()
    yield made
    await made.stop()


async def test_a_fill_is_timed_until_a_handler_has_it(shell: Shell) -> None:
    metrics = PrometheusMetrics(strict=True)
    stages = ServiceStages(metrics, shell.clock)
    stages.watch(shell.account)
    await shell.start()
    await shell.clock.advance_until(lambda: shell.account.state is StreamState.LIVE, limit_ms=300_000)
    await shell.trade(3)
    await shell.clock.settle()
    assert numbers(metrics, "socket_to_callback") == (3, 0)


async def test_a_stall_of_the_event_loop_is_told_long_enough_to_be_seen_and_not_for_ever() -> None:
    metrics, clock = PrometheusMetrics(strict=True), StallingClock()
    stages = ServiceStages(metrics, clock)
    stages.start()
    await clock.settle()
    clock.late_ms = 400
    await clock.advance(BEAT_MS + 400)
    clock.late_ms = 0
    await clock.advance(RECENT_MS - 1_000)
    assert "userstream_loop_stall_seconds 0.4" in metrics.render().decode()
    await clock.advance(2 * RECENT_MS)
    assert "userstream_loop_stall_seconds 0.0" in metrics.render().decode()
    await stages.stop()
    await stages.stop()


class StallingClock(ManualClock):
    """Its sleepers wake late."""

    late_ms = 0

    async def sleep(self, duration_ms: int) -> None:
        await super().sleep(duration_ms + self.late_ms)
