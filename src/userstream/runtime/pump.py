"""From the journal to the tables in batches, from a saved position on.

At the tail the pump takes the records that a commit hands over; when it starts, or has fallen behind, it reads them from the journal. The
steps of a turn: 1. take a batch, 2. apply it, which saves the position with the result, 3. only then count it as done. A turn that fails is
made again with the same batch; what was applied already is ignored by the projection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Final, Protocol

from userstream.kernel.errors import StoreError
from userstream.kernel.ids import Millis
from userstream.ports import MOST_PACKED_BYTES, Clock, Packed, PackedRecords, Projection, StoredRecord, first_position, last_position

TAIL_BATCHES: Final = 8
FIRST_RETRY_MS: Final = 100
MAX_RETRY_MS: Final = 10_000
REST_OF_A_TURN: Final = 3
"""While events come in, the pump rests after each turn so many times as long as the turn took: a storm goes to who listens first."""


class JoinedRecords(PackedRecords):
    """Commits that lie packed, one after the other."""

    def __init__(self, commits: Sequence[PackedRecords]) -> None:
        self._commits = commits

    @cached_property
    def packed(self) -> Sequence[Packed]:
        return [part for commit in self._commits for part in commit.packed]

    def __iter__(self) -> Iterator[StoredRecord]:
        return chain.from_iterable(self._commits)


def join(commits: Sequence[Sequence[StoredRecord]]) -> Sequence[StoredRecord]:
    """All records of some commits, packed where all of them are."""
    packed = [records for records in commits if isinstance(records, PackedRecords)]
    return JoinedRecords(packed) if len(packed) == len(commits) else list(chain.from_iterable(commits))


def _size_of(records: Sequence[StoredRecord]) -> int:
    """In bytes, of what lies packed."""
    return sum(len(part.data) for part in records.packed) if isinstance(records, PackedRecords) else 0


class PlacedJournal(Protocol):
    """The part of a journal that a pump reads: records with their positions, as they are committed and afterwards."""

    def watch_stored(self, callback: Callable[[Sequence[StoredRecord]], None]) -> None: ...

    async def read(self, *, after: int, limit: int) -> Sequence[StoredRecord]:
        """The next ones, at least `limit` where there are so many. Those that lie packed may begin with some that were asked for before,
        and end with the first MOST_PACKED_BYTES."""

    async def count(self, *, after: int) -> int:
        """How many records have a position above `after`, or at least have one: counting is bounded."""


class Pump:
    """Brings one projection up to date and keeps it there. Owned by whoever calls `start` and `stop`.

    batch: the most records of one turn, unless one commit alone holds more. interval_ms: how long commits are collected for a turn,
    unless a batch is full or somebody waits in `drain`. rests: how often the pump rests for as long as a turn took, while events come in.
    on_trouble: hears once when turns begin to fail, and None once they succeed again.
    """

    def __init__(
        self,
        journal: PlacedJournal,
        projection: Projection,
        reader_name: str,
        *,
        clock: Clock,
        batch: int = 2_000,
        interval_ms: int = 50,
        rests: int = REST_OF_A_TURN,
        on_trouble: Callable[[Exception | None], None] | None = None,
    ) -> None:
        self.name = reader_name
        self._journal, self._projection, self._clock = journal, projection, clock
        self._batch, self._interval_ms, self._rests = batch, interval_ms, rests
        self._on_trouble = on_trouble
        self._tail: deque[Sequence[StoredRecord]] = deque()
        self._backlog = self._ahead = 0
        self._behind, self._overflowed = True, False
        self._position: int | None = None
        self._turn_began = self._rested = Millis(0)
        self._pressed = False
        self._waiting = False
        self._wakeup = asyncio.Event()
        self._drains: list[asyncio.Future[None]] = []
        self._trouble: Exception | None = None
        self._retry_ms = FIRST_RETRY_MS
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Goes on from the saved position. Needs a running event loop; a pump is started once."""
        if self._task is not None:
            raise StoreError(f"the pump {self.name!r} was started already")
        self._journal.watch_stored(self._take)
        self._task = self._clock.spawn(self._run(), f"pump {self.name}")

    @property
    def position(self) -> int:
        """How far the tables have come; 0 before the first turn."""
        return self._position or 0

    @property
    def backlog(self) -> int:
        """Committed records that were handed over and are not applied yet."""
        return self._backlog

    @property
    def lag(self) -> int:
        """Committed records that the tables lack, those included that are still to be read from the journal; of very many, at least so
        many."""
        return max(self._ahead, self._backlog) if self._behind else self._backlog

    @property
    def has_work(self) -> bool:
        """Whether something waits, or the place to go on from, or the journal, is still to be read."""
        return self._behind or self._backlog > 0

    @property
    def trouble(self) -> Exception | None:
        """Why turns fail right now; None while all is well."""
        return self._trouble

    async def drain(self) -> None:
        """Returns when all that was committed so far is applied. Raises StoreError if the pump does not run, or ends before."""
        if self._task is None or self._task.done():
            raise StoreError(f"the pump {self.name!r} does not run")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._drains.append(done)
        self._wakeup.set()
        await done

    async def stop(self, *, limit_ms: int = 2_000) -> None:
        """Applies what is committed, for at most `limit_ms`, then ends. The next start goes on from there. May be called twice."""
        if self._task is None or self._task.done():
            return
        limit = self._clock.call_at(Millis(self._clock.now() + limit_ms), self._cancel)
        try:
            # Past the limit the journal keeps what remains.
            with contextlib.suppress(StoreError):
                await self.drain()
        finally:
            limit.cancel()
            self._cancel()
            await asyncio.wait([self._task])

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _take(self, records: Sequence[StoredRecord]) -> None:
        if self._task is None or self._task.done():
            return
        self._pressed = True
        self._ahead += len(records)
        self._tail.append(records)
        self._backlog += len(records)
        if self._backlog > self._batch * TAIL_BATCHES:
            self._tail.clear()
            self._backlog = 0
            self._behind = self._overflowed = True
        if self._waiting or self._backlog >= self._batch:
            self._wakeup.set()

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._turn()
                except Exception as error:
                    await self._rest_after(error)
        finally:
            for done in self._drains:
                if not done.done():
                    done.set_exception(StoreError(f"the pump {self.name!r} was stopped before all was applied"))

    async def _turn(self) -> None:
        self._turn_began, self._pressed = self._clock.now(), False
        if self._position is None:
            self._position = await self._projection.position(self.name)
        await self._apply_next(self._position)
        self._recover()
        self._rested = self._rest()
        await self._wait()

    async def _apply_next(self, position: int) -> None:
        records = await self._next_batch(position)
        if records:
            await self._projection.apply(self.name, records)
            self._position = last_position(records)

    def _rest(self) -> Millis:
        now = self._clock.now()
        return Millis(now + self._rests * (now - self._turn_began)) if self._pressed else now

    async def _next_batch(self, position: int) -> Sequence[StoredRecord]:
        if not self._behind:
            return self._oldest_commits()
        self._overflowed = False
        self._ahead = await self._journal.count(after=position)
        records = await self._journal.read(after=position, limit=self._batch)
        # A short answer was all there was; what was committed since then has been handed over, unless it was too much to keep.
        self._behind = len(records) >= self._batch or _size_of(records) >= MOST_PACKED_BYTES or self._overflowed
        return records

    def _oldest_commits(self) -> Sequence[StoredRecord]:
        """Whole ones: as many as fill a turn, at least one."""
        taken: list[Sequence[StoredRecord]] = []
        room, room_bytes = self._batch, MOST_PACKED_BYTES
        for records in self._tail:
            room, room_bytes = room - len(records), room_bytes - _size_of(records)
            if taken and min(room, room_bytes) < 0:
                break
            taken.append(records)
        return join(taken)

    async def _wait(self) -> None:
        """Until there is something to do: at once after a pause, later while turns follow each other."""
        self._drop_applied()
        if not self._behind and not self._tail:
            self._finish_drains()
            self._wakeup.clear()
            self._waiting = True
            await self._wakeup.wait()
            self._waiting = False
        while not self._drains and self._clock.now() < (due := self._due):
            self._wakeup.clear()
            timer = self._clock.call_at(due, self._wakeup.set)
            await self._wakeup.wait()
            timer.cancel()

    @property
    def _due(self) -> Millis:
        """When the next turn begins, as far as can be said now."""
        if self._behind or self._backlog >= self._batch:
            return self._rested
        return Millis(max(self._rested, self._turn_began + self._interval_ms))

    def _drop_applied(self) -> None:
        tail = self._tail
        while tail and last_position(tail[0]) <= self.position:
            self._backlog -= len(tail.popleft())
        if tail and first_position(tail[0]) <= self.position:
            rest = [stored for stored in tail[0] if stored.position > self.position]
            self._backlog -= len(tail[0]) - len(rest)
            tail[0] = rest

    def _finish_drains(self) -> None:
        drains, self._drains = self._drains, []
        for done in drains:
            if not done.done():
                done.set_result(None)

    async def _rest_after(self, error: Exception) -> None:
        # Part of the batch may be applied: only the projection knows how far it came, and the journal has the rest.
        self._position, self._behind = None, True
        if self._trouble is None:
            self._tell(error)
        self._trouble = error
        pause_ms, self._retry_ms = self._retry_ms, min(self._retry_ms * 2, MAX_RETRY_MS)
        await self._clock.sleep(pause_ms)

    def _recover(self) -> None:
        if self._trouble is not None:
            self._trouble, self._retry_ms = None, FIRST_RETRY_MS
            self._tell(None)

    def _tell(self, error: Exception | None) -> None:
        if self._on_trouble is not None:
            # In a turn of its own: what it raises is not the pump's trouble.
            asyncio.get_running_loop().call_soon(self._on_trouble, error)
