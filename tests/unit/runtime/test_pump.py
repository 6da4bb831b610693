"""The pump: nothing skipped, nothing applied before its turn, patience with a projection in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import count
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clock import ManualClock
from tests.support.events import filled
from tests.support.records import make_batch, place, record
from userstream.adapters.memory import MemoryJournal
from userstream.kernel.errors import StoreError
from userstream.ports import MOST_PACKED_BYTES, Packed, PackedRecords, StoredRecord, first_position, last_position
from userstream.runtime.pump import FIRST_RETRY_MS, MAX_RETRY_MS, TAIL_BATCHES, Pump, join

PART_BYTES: Final = 100_000


class Sink:
    """A projection that notes what it is given, fails when told to, and can apply a part before it fails."""

    def __init__(self, reached: int = 0) -> None:
        self.reached = reached
        self.applied: list[StoredRecord] = []
        self.batches: list[int] = []
        self.failures: list[Exception] = []
        self.part = 0
        self.gate: asyncio.Event | None = None

    async def position(self, reader: str) -> int:
        return self.reached

    async def apply(self, reader: str, records: Sequence[StoredRecord]) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self._note(records[: self.part])
            raise self.failures.pop(0)
        self.batches.append(len(records))
        self._note(records)

    def _note(self, records: Sequence[StoredRecord]) -> None:
        fresh = [stored for stored in records if stored.position > self.reached]
        self.applied += fresh
        self.reached = fresh[-1].position if fresh else self.reached


class CountedJournal(MemoryJournal):
    """Counts how often it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def read(self, *, after: int, limit: int) -> list[StoredRecord]:
        self.reads += 1
        return await super().read(after=after, limit=limit)


class Lying(PackedRecords):
    """A commit that lies packed, in parts of one record."""

    def __init__(self, records: Sequence[StoredRecord]) -> None:
        self._records = records

    @property
    def packed(self) -> Sequence[Packed]:
        return [Packed(stored.position, 1, stored.record.received_time, bytearray(PART_BYTES)) for stored in self._records]

    def __iter__(self) -> Iterator[StoredRecord]:
        return iter(self._records)


class PackedJournal(CountedJournal):
    def watch_stored(self, callback: Callable[[Sequence[StoredRecord]], None]) -> None:
        super().watch_stored(lambda records: callback(Lying(records)))


class Bench:
    """A journal, a pump and a sink on a clock that a test turns."""

    def __init__(self, *, batch: int = 10, interval_ms: int = 50, reached: int = 0, is_packed: bool = False) -> None:
        self.clock, self.sink = ManualClock(), Sink(reached)
        self.journal = PackedJournal() if is_packed else CountedJournal()
        self.troubles: list[str | None] = []
        self.sequence = 0
        self.pump = Pump(self.journal, self.sink, "tables", clock=self.clock, batch=batch, interval_ms=interval_ms, on_trouble=self.note)

    def note(self, error: Exception | None) -> None:
        self.troubles.append(None if error is None else str(error))

    async def append(self, count: int) -> None:
        for _ in range(count):
            self.sequence += 1
            self.journal.append(record(filled(trade_id=str(self.sequence)), sequence=self.sequence))
        await self.journal.flush()

    async def start(self) -> None:
        """Starts the pump and lets it come to rest."""
        self.pump.start()
        await self.clock.advance(1_000)

    @property
    def places(self) -> list[int]:
        return [stored.position for stored in self.sink.applied]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.sink.gate = None
    made.sink.failures.clear()
    stop = asyncio.ensure_future(made.pump.stop())
    await made.clock.advance(60_000)
    await stop
    assert made.clock.failures == []
    assert made.clock.running == []


async def test_what_was_there_before_the_start_is_applied_in_batches(bench: Bench) -> None:
    await bench.append(25)
    bench.pump.start()
    await bench.pump.drain()
    assert bench.places == list(range(1, 26))
    assert bench.sink.batches == [10, 10, 5]
    assert (bench.pump.position, bench.pump.backlog) == (25, 0)


async def test_it_goes_on_from_the_saved_position() -> None:
    bench = Bench(reached=7)
    await bench.append(9)
    bench.pump.start()
    await bench.pump.drain()
    assert bench.places == [8, 9]
    await bench.pump.stop()


async def test_at_the_tail_the_journal_is_not_read_again(bench: Bench) -> None:
    bench.pump.start()
    await bench.pump.drain()
    reads = bench.journal.reads
    for _ in range(5):
        await bench.append(4)
        await bench.pump.drain()
    assert bench.places == list(range(1, 21))
    assert bench.journal.reads == reads == 1


async def test_the_first_commit_after_rest_is_applied_at_once_and_the_next_are_collected(bench: Bench) -> None:
    await bench.start()
    for _ in range(4):
        await bench.append(2)
        await bench.clock.advance(10)
    assert bench.sink.batches == [2]
    assert bench.pump.backlog == 6
    await bench.clock.advance(10)
    assert bench.sink.batches == [2, 6]


async def test_a_full_batch_does_not_wait(bench: Bench) -> None:
    await bench.start()
    await bench.append(1)
    await bench.clock.settle()
    await bench.append(10)
    await bench.clock.settle()
    assert bench.sink.batches == [1, 10]


async def test_a_pump_that_falls_far_behind_reads_on_from_the_journal(bench: Bench) -> None:
    await bench.start()
    bench.sink.gate = asyncio.Event()
    await bench.append(3)
    await bench.clock.advance(100)
    for _ in range(TAIL_BATCHES):
        await bench.append(11)
    assert bench.pump.backlog <= 10 * TAIL_BATCHES
    bench.sink.gate.set()
    await bench.pump.drain()
    assert bench.places == list(range(1, 3 + 11 * TAIL_BATCHES + 1))
    assert bench.journal.reads > 1


async def test_a_turn_that_fails_is_made_again_and_told_once(bench: Bench) -> None:
    await bench.start()
    bench.sink.failures = [StoreError("the disk is full"), StoreError("still full")]
    await bench.append(3)
    await bench.clock.settle()
    assert (bench.troubles, str(bench.pump.trouble)) == (["the disk is full"], "the disk is full")
    await bench.clock.advance(FIRST_RETRY_MS)
    assert (bench.troubles, str(bench.pump.trouble)) == (["the disk is full"], "still full")
    await bench.clock.advance(2 * FIRST_RETRY_MS)
    assert (bench.troubles, bench.pump.trouble) == (["the disk is full", None], None)
    assert bench.places == [1, 2, 3]


async def test_what_was_applied_before_the_failure_is_not_applied_twice(bench: Bench) -> None:
    await bench.start()
    bench.sink.failures, bench.sink.part = [StoreError("half way")], 2
    await bench.append(5)
    await bench.append(5)
    await bench.clock.advance(10_000)
    assert bench.places == list(range(1, 11))


async def test_the_pause_between_failures_grows_to_its_limit(bench: Bench) -> None:
    await bench.start()
    bench.sink.failures = [StoreError(str(number)) for number in range(20)]
    await bench.append(1)
    await bench.clock.settle()
    pause_ms = FIRST_RETRY_MS
    while pause_ms < MAX_RETRY_MS:
        left = len(bench.sink.failures)
        await bench.clock.advance(pause_ms - 1)
        assert len(bench.sink.failures) == left
        await bench.clock.advance(1)
        assert len(bench.sink.failures) == left - 1
        pause_ms *= 2
    left = len(bench.sink.failures)
    await bench.clock.advance(MAX_RETRY_MS)
    assert len(bench.sink.failures) == left - 1


async def test_a_bug_of_the_projection_is_trouble_too_and_ends_nothing(bench: Bench) -> None:
    await bench.start()
    bench.sink.failures = [KeyError("no such column")]
    await bench.append(1)
    await bench.clock.advance(1_000)
    assert bench.troubles == ["'no such column'", None]
    assert bench.places == [1]


async def test_stop_applies_what_is_committed(bench: Bench) -> None:
    bench.pump.start()
    await bench.append(35)
    await bench.pump.stop()
    await bench.pump.stop()
    assert bench.places == list(range(1, 36))


async def test_stop_is_bounded_and_whoever_drains_hears_of_it(bench: Bench) -> None:
    await bench.start()
    bench.sink.gate = asyncio.Event()
    await bench.append(1)
    drain = asyncio.ensure_future(bench.pump.drain())
    stop = asyncio.ensure_future(bench.pump.stop(limit_ms=500))
    await bench.clock.advance(499)
    assert not stop.done()
    await bench.clock.advance(1)
    await stop
    with pytest.raises(StoreError, match="stopped before all was applied"):
        await drain
    assert bench.places == []


async def test_drain_needs_a_running_pump(bench: Bench) -> None:
    with pytest.raises(StoreError, match="does not run"):
        await bench.pump.drain()
    bench.pump.start()
    with pytest.raises(StoreError, match="was started already"):
        bench.pump.start()
    await bench.pump.stop()
    with pytest.raises(StoreError, match="does not run"):
        await bench.pump.drain()


async def test_commits_after_the_end_are_left_to_the_next_pump(bench: Bench) -> None:
    bench.pump.start()
    await bench.pump.stop()
    await bench.append(3)
    assert (bench.pump.backlog, bench.places) == (0, [])


STEPS = st.lists(st.sampled_from(["append 1", "append 7", "append 30", "fail", "drain", "wait 10", "wait 100"]), max_size=15)


@given(before=st.integers(0, 30), steps=STEPS, batch=st.integers(1, 8), is_packed=st.booleans())
@settings(max_examples=100)
def test_whatever_happens_each_record_is_applied_once_and_in_order(before: int, steps: list[str], batch: int, is_packed: bool) -> None:
    async def check() -> None:
        bench = Bench(batch=batch, is_packed=is_packed)
        await bench.append(before)
        bench.pump.start()
        for step in steps:
            match step.split():
                case ["append", count]:
                    await bench.append(int(count))
                case ["wait", duration]:
                    await bench.clock.advance(int(duration))
                case ["fail"]:
                    bench.sink.failures.append(StoreError("now and then"))
                    bench.sink.part = batch // 2
                case _:
                    await drain(bench)
        await drain(bench)
        assert bench.places == list(range(1, bench.sequence + 1))
        assert (bench.pump.backlog, bench.pump.position) == (0, bench.sequence)
        await bench.pump.stop()

    asyncio.run(check())


async def drain(bench: Bench) -> None:
    done = asyncio.ensure_future(bench.pump.drain())
    await bench.clock.advance_until(done.done, limit_ms=100_000_000)
    await done


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), min_size=1, max_size=6), st.booleans())
def test_commits_are_joined_as_they_are_packed_or_not(commits: list[list[int]], is_mixed: bool) -> None:
    number = count()
    batches = [
        make_batch([record(filled(), account=f"account {who}", sequence=next(number) + 1) for who in told], place * 100)
        for place, told in enumerate(commits, 1)
    ]
    placed: list[Sequence[StoredRecord]] = [batch.place() for batch in batches]
    if is_mixed:
        placed[0] = list(placed[0])
    joined = join(placed)
    assert list(joined) == [stored for records in placed for stored in records]
    assert (len(joined), joined[0], joined[-1:]) == (sum(map(len, placed)), placed[0][0], placed[-1][-1:])
    assert (first_position(joined), last_position(joined)) == (placed[0][0].position, placed[-1][-1].position)
    assert isinstance(joined, PackedRecords) is not is_mixed


async def test_a_commit_is_not_cut_and_a_turn_takes_no_more_than_it_may(bench: Bench) -> None:
    await bench.start()
    bench.sink.gate = asyncio.Event()
    for size in (1, 6, 4, 3, 12, 2):
        await bench.append(size)
        await bench.clock.settle()
    bench.sink.gate.set()
    await drain(bench)
    assert bench.sink.batches == [1, 10, 3, 12, 2]
    assert bench.journal.reads == 1, "all of it was at hand"


async def test_a_turn_is_limited_in_bytes_as_well() -> None:
    bench = Bench(batch=1_000, is_packed=True)
    await bench.start()
    bench.sink.gate = asyncio.Event()
    many = MOST_PACKED_BYTES // PART_BYTES
    for size in (1, many // 2, many - many // 2, 1, many + 1, 1):
        await bench.append(size)
        await bench.clock.settle()
    bench.sink.gate.set()
    await drain(bench)
    assert bench.sink.batches == [1, many, 1, many + 1, 1]
    await bench.pump.stop()


async def test_records_that_were_read_and_then_handed_over_are_applied_once() -> None:
    """The journal may answer a read with records whose commit is told only afterwards."""
    records = place([record(filled(), sequence=number) for number in range(1, 7)])
    tellers: list[Callable[[Sequence[StoredRecord]], None]] = []

    class LateJournal:
        def watch_stored(self, callback: Callable[[Sequence[StoredRecord]], None]) -> None:
            tellers.append(callback)

        async def read(self, *, after: int, limit: int) -> list[StoredRecord]:
            return [stored for stored in records[:4] if stored.position > after][:limit]

        async def count(self, *, after: int) -> int:
            return len(await self.read(after=after, limit=100))

    clock, sink = ManualClock(), Sink()
    pump = Pump(LateJournal(), sink, "tables", clock=clock)
    pump.start()
    await pump.drain()
    for part in (records[:3], records[3:5], records[5:]):
        tellers[0](part)
        await pump.drain()
    assert sink.applied == records
    await pump.stop()


async def test_the_lag_counts_what_is_still_to_be_read_from_the_journal() -> None:
    bench = Bench(batch=5)
    await bench.append(300)
    bench.sink.failures += [StoreError("now and then")] * 3
    bench.pump.start()
    await bench.clock.settle()
    assert bench.pump.lag == 300
    await bench.append(200)
    assert bench.pump.lag == 500
    await drain(bench)
    assert bench.pump.lag == 0
    await bench.pump.stop()
