"""From the journal to the tables in batches, from a saved position on.

At the tail the pump takes the records that a commit hands over; when it starts, or has fallen behind, it reads them from the journal. The
steps of a turn: 1. take a batch, 2. apply it, which saves the position with the result, 3. only then count it as done. A turn that fails is
made again with the same batch; what was applied already is ignored by the projection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Protocol

from userstream.kernel.errors import StoreError
from userstream.kernel.ids import Millis
from userstream.ports import Clock, Projection, StoredRecord, Timer

_TAIL_BATCHES: Final = 8
_FIRST_RETRY_MS: Final = 100
_MAX_RETRY_MS: Final = 10_000


class PlacedJournal(Protocol):
    """The part of a journal that a pump reads: records with their positions, as they are committed and afterwards."""

    def watch_stored(self, callback: Callable[[Sequence[StoredRecord]], None]) -> None: ...

    async def read(self, *, after: int, limit: int) -> list[StoredRecord]: ...


class Pump:
    """Brings one projection up to date and keeps it there. Owned by whoever calls `start` and `stop`.

    batch: the most records of one turn. interval_ms: how long commits are collected for a turn, unless a batch is full or somebody
    waits in `drain`. on_trouble: hears once when turns begin to fail, and None once they succeed again.
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
        on_trouble: Callable[[Exception | None], None] | None = None,
    ) -> None:
        self.name = reader_name
        self._journal, self._projection, self._clock = journal, projection, clock
        self._batch, self._interval_ms = batch, interval_ms
        self._on_trouble = on_trouble
        self._tail: deque[StoredRecord] = deque()
        self._behind = True
        self._position: int | None = None
        self._newest = 0
        self._wakeup = asyncio.Event()
        self._drains: list[asyncio.Future[None]] = []
        self._trouble: Exception | None = None
        self._retry_ms = _FIRST_RETRY_MS
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Goes on from the saved position. Needs a running event loop."""
        if self._task is not None:
            raise StoreError(f"the pump {self.name!r} runs already")
        self._journal.watch_stored(self._take)
        self._task = self._clock.spawn(self._run(), f"pump {self.name}")

    @property
    def position(self) -> int:
        """How far the tables have come, 0 before the first look."""
        return self._position or 0

    @property
    def backlog(self) -> int:
        """Committed records that are known and not yet applied; a pump that reads from the journal does not know how many follow."""
        return len(self._tail)

    @property
    def trouble(self) -> Exception | None:
        """Why turns fail right now; None while all is well."""
        return self._trouble

    async def drain(self) -> None:
        """Returns when all that was committed so far is applied. Raises StoreError if the pump does not run, or is stopped meanwhile."""
        if self._task is None or self._task.done():
            raise StoreError(f"the pump {self.name!r} does not run")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._drains.append(done)
        self._wakeup.set()
        await done

    async def stop(self, *, limit_ms: int = 2_000) -> None:
        """Applies what is committed, for at most `limit_ms`, then ends. What remains is applied after the next start."""
        if self._task is None:
            return
        task = self._task
        limit = self._clock.call_at(Millis(self._clock.now() + limit_ms), task.cancel)
        try:
            if not task.done():
                await self.drain()
        except StoreError:
            # The limit has passed, or the pump had ended: the journal keeps what remains.
            pass
        finally:
            limit.cancel()
            task.cancel()
            await asyncio.wait([task])

    def _take(self, records: Sequence[StoredRecord]) -> None:
        self._newest = max(self._newest, records[-1].position)
        if self._behind and self._position is not None:
            # It will be read from the journal.
            pass
        self._tail.extend(records)
        if len(self._tail) > self._batch * _TAIL_BATCHES:
            self._tail.clear()
            self._behind = True
        self._wakeup.set()
