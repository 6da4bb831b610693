"""Who listens to an account: each with a bounded queue of its own, so that a slow or broken one hurts nobody else.

Lossless is the default: a reader that falls behind reads on from the journal and comes back to the queue when it has caught up.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

import structlog

from userstream.domain.events import Event, Fact
from userstream.kernel.errors import StoreError, UserStreamError
from userstream.kernel.ids import AccountId
from userstream.ports import Clock, Handler, Journal

QUEUE_LIMIT: Final = 10_000
READ_BATCH: Final = 1_000
YIELD_EVERY: Final = 256
STORE_PAUSE_MS: Final = 500

_log = structlog.get_logger("userstream.listeners")


class Ended(Exception):
    """No more events will come."""


class Reader:
    """One reader's place in an account's events. `after`: the sequence of the last event it was given."""

    def __init__(
        self, account: AccountId, journal: Journal, clock: Clock, newest: Callable[[], int], types: Collection[type[Fact]] | None
    ) -> None:
        self._account, self._journal, self._clock, self._newest = account, journal, clock, newest
        self._types = frozenset(types) if types else None
        self._queue: deque[Event] = deque()
        self._behind = False
        self._wake: asyncio.Future[None] | None = None
        self._ended = False
        self._error: UserStreamError | None = None
        self.after = newest()

    def read_from(self, after: int) -> None:
        """Goes back to a place in the journal; what came since is read from there."""
        self.after, self._behind = after, True
        self._queue.clear()

    def put(self, events: tuple[Event, ...]) -> None:
        if self._behind:
            return self._awake()
        types = self._types
        if types is None:
            self._queue.extend(events)
        else:
            wanted = [event for event in events if type(event) in types]
            if not wanted:
                return None
            self._queue.extend(wanted)
        if len(self._queue) > QUEUE_LIMIT:
            self._behind = True
        return self._awake()

    def end(self, error: UserStreamError | None = None) -> None:
        self._ended, self._error = True, self._error or error
        self._awake()

    @property
    def backlog(self) -> int:
        return len(self._queue)

    async def take(self) -> list[Event]:
        """The next events, at least one. Raises Ended, or the account's final error."""
        while True:
            if self._queue:
                events = list(self._queue)
                self._queue.clear()
                self.after = events[-1].sequence
                return events
            if self._behind:
                if events := await self._catch_up():
                    return events
                continue
            if self._ended:
                raise self._error or Ended
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    async def _catch_up(self) -> list[Event]:
        """Reads on from the journal; back to the queue once nothing newer exists."""
        target = self._newest()
        try:
            await self._journal.flush()
        except StoreError:
            await self._clock.sleep(STORE_PAUSE_MS)
            return []
        records = await self._journal.read_account(self._account, after=self.after, limit=READ_BATCH)
        events = [event for record in records for event in record.events if event.sequence > self.after]
        if records:
            last = records[-1]
            self.after = max(self.after, last.events[-1].sequence if last.events else last.sequence)
        elif self._newest() == target:
            self._behind = False
        return [event for event in events if self._types is None or type(event) in self._types]

    def _awake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class Listeners:
    """All readers of one account."""

    def __init__(self, account: AccountId, journal: Journal, clock: Clock, newest: Callable[[], int]) -> None:
        self._account, self._journal, self._clock, self._newest = account, journal, clock, newest
        self._readers: list[Reader] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        self.handler_errors = 0

    def publish(self, events: tuple[Event, ...]) -> None:
        for reader in self._readers:
            reader.put(events)

    def open_reader(self, after: int | None, types: Collection[type[Fact]] | None) -> Reader:
        reader = Reader(self._account, self._journal, self._clock, self._newest, types)
        if after is not None:
            reader.read_from(after)
        if self._closed:
            reader.end()
        self._readers.append(reader)
        return reader

    def close_reader(self, reader: Reader) -> None:
        if reader in self._readers:
            self._readers.remove(reader)

    def attach(self, handler: Handler, types: Collection[type[Fact]] | None) -> None:
        """Runs a handler on every event of these types, one at a time, in order; what it raises is logged and counted."""
        reader = self.open_reader(None, types)
        name = getattr(handler, "__name__", type(handler).__name__)
        self._tasks.append(self._clock.spawn(self._feed(reader, handler), f"{self._account}: handler {name}"))

    async def _feed(self, reader: Reader, handler: Handler) -> None:
        while True:
            try:
                events = await reader.take()
            except (Ended, UserStreamError):
                return
            for number, event in enumerate(events):
                await self._hand_over(handler, event)
                if number % YIELD_EVERY == YIELD_EVERY - 1:
                    await self._clock.sleep(0)

    async def _hand_over(self, handler: Handler, event: Event) -> None:
        try:
            waiting = handler(event)
            if waiting is not None and inspect.isawaitable(waiting):
                await waiting
        except Exception:
            self.handler_errors += 1
            _log.exception("a handler raised", action="handler_raised", account=self._account, kind=type(event).__name__)

    def fail(self, error: UserStreamError) -> None:
        for reader in self._readers:
            reader.end(error)

    def close(self) -> None:
        self._closed = True
        for reader in self._readers:
            reader.end()
        for task in self._tasks:
            task.cancel()
