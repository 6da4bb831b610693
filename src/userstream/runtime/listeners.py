"""Who listens to an account: each with a bounded queue of its own, so that a slow or broken one hurts nobody else.

Lossless is the default: a reader that falls behind reads on from the journal and comes back to the queue when it has caught up.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog

from userstream.domain.events import Event, Fact
from userstream.kernel.errors import UserStreamError
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Clock, Handler
from userstream.runtime.keeper import CatchUp, Keeper

QUEUE_LIMIT: Final = 10_000
YIELD_EVERY: Final = 1_024
LAST_WORDS_MS: Final = 100
"""How long a handler that was cancelled may take to clean up."""

_log = structlog.get_logger("userstream.listeners")


class Ended(Exception):
    """No more events will come."""


class Reader:
    """One reader's place in an account's events. `after`: the sequence of the last event it was given."""

    def __init__(self, catch_up: CatchUp, newest: int, types: Collection[type[Fact]] | None) -> None:
        self._catch_up = catch_up
        self._types = frozenset(types) if types else None
        self._queue: deque[Event] = deque()
        self._behind = False
        self._wake: asyncio.Future[None] | None = None
        self._ended = False
        self._error: UserStreamError | None = None
        self.after = self._queued_until = newest

    def read_from(self, after: int) -> None:
        """Goes back to a place in the journal; what came since is read from there."""
        self.after, self._behind = after, True
        self._queue.clear()

    def put(self, events: Sequence[Event]) -> None:
        if not self._behind:
            types, queue = self._types, self._queue
            queue.extend(events if types is None else [event for event in events if type(event) in types])
            self._queued_until = events[-1].sequence
            self._behind = len(queue) > QUEUE_LIMIT
        if self._wake is not None and (self._behind or self._queue):
            self._awake()

    def end(self, error: UserStreamError | None = None) -> None:
        self._ended, self._error = True, self._error or error
        self._awake()

    @property
    def backlog(self) -> int:
        return len(self._queue)

    async def take(self) -> list[Event]:
        """The next events, at least one. Raises Ended, or the account's final error; StoreError when the journal cannot give what comes
        next: NotKept when it never took it or holds it no longer, else when it is in trouble and the account has ended or five minutes
        are over."""
        while True:
            if self._queue:
                events = list(self._queue)
                self._queue.clear()
                self.after = self._queued_until
                return events
            if self._behind:
                if events := await self._read_on():
                    return events
                continue
            if self._ended:
                raise self._error or Ended
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    async def _read_on(self) -> list[Event]:
        """From the journal; back to the queue once nothing newer exists."""
        records = await self._catch_up.read(self.after, is_over=lambda: self._ended)
        self._behind = not self._catch_up.is_level
        events = [event for record in records for event in record.events if event.sequence > self.after]
        if records:
            self.after = max(self.after, records[-1].last_sequence)
        return [event for event in events if self._types is None or type(event) in self._types]

    def _awake(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)


class Listeners:
    """All readers of one account."""

    def __init__(self, account: AccountId, keeper: Keeper, clock: Clock, newest: Callable[[], int]) -> None:
        self._account, self._keeper, self._clock, self._newest = account, keeper, clock, newest
        self._readers: list[Reader] = []
        self._tasks: dict[asyncio.Task[None], Reader] = {}
        self._error: UserStreamError | None = None
        self._ended = self._cut = False
        self.handler_errors = 0

    def publish(self, events: Sequence[Event]) -> None:
        for reader in self._readers:
            reader.put(events)

    def open_reader(self, after: int | None, types: Collection[type[Fact]] | None) -> Reader:
        """A reader of what comes from now on, or of everything behind the sequence `after`. Of an account that failed or was stopped it
        gives what there is, then ends."""
        reader = Reader(CatchUp(self._keeper, self._clock, self._newest), self._newest(), types)
        if after is not None:
            reader.read_from(after)
        if self._ended:
            reader.end(self._error)
        self._readers.append(reader)
        return reader

    def close_reader(self, reader: Reader) -> None:
        if reader in self._readers:
            self._readers.remove(reader)

    def attach(self, handler: Handler, types: Collection[type[Fact]] | None) -> None:
        """Runs a handler on every event of these types, one at a time, in order; what it raises is logged and counted."""
        reader = self.open_reader(None, types)
        name = getattr(handler, "__name__", type(handler).__name__)
        task = self._clock.spawn(self._feed(reader, handler, name), f"{self._account}: handler {name}")
        self._tasks[task] = reader
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _feed(self, reader: Reader, handler: Handler, name: str) -> None:
        try:
            while not self._cut:
                await self._hand_over_all(handler, await reader.take())
        except Ended:
            return
        except UserStreamError as error:
            if error is not self._error:
                self.handler_errors += 1
                _log.error("a handler gets no more events", action="handler_ended", account=self._account, handler=name, reason=str(error))
        finally:
            self.close_reader(reader)

    async def _hand_over_all(self, handler: Handler, events: list[Event]) -> None:
        for begin in range(0, len(events), YIELD_EVERY):
            if begin:
                await self._clock.sleep(0)
            await self._hand_over(handler, events[begin : begin + YIELD_EVERY])
            if self._cut:
                return

    async def _hand_over(self, handler: Handler, events: list[Event]) -> None:
        for event in events:
            try:
                waiting = handler(event)
                if waiting is not None and inspect.isawaitable(waiting):
                    await waiting
                    if self._cut:
                        return
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                self._note_raised(event)  # something it waited for was cancelled, not the handler
            except Exception:
                self._note_raised(event)

    def _note_raised(self, event: Event) -> None:
        self.handler_errors += 1
        _log.exception("a handler raised", action="handler_raised", account=self._account, kind=type(event).__name__)

    def fail(self, error: UserStreamError) -> None:
        """The account cannot go on: readers get what was delivered before, then the error."""
        self._error = self._error or error
        self.end()

    def end(self) -> None:
        """Nothing will be published any more: readers and handlers get what was delivered before, then end."""
        self._ended = True
        for reader in self._readers:
            reader.end(self._error)

    async def close(self, *, limit_ms: int) -> None:
        """Ends everything. Handlers may finish with what was delivered before for at most `limit_ms`, then they are cancelled; who calls
        this out of a handler does not wait for that one."""
        self.end()
        slow = await self._settle(limit_ms)
        self.cut()
        if not slow:
            return
        _log.warning(
            "handlers were cancelled before they had all events", action="handlers_cut_off", account=self._account, handlers=len(slow)
        )
        await self._settle(LAST_WORDS_MS)

    def cut(self) -> None:
        """Ends everything at once: handlers are cancelled wherever they are, but for the one that calls this."""
        self.end()
        self._cut = True
        for task in self._tasks.keys() - {asyncio.current_task()}:
            task.cancel()

    async def _settle(self, limit_ms: int) -> set[asyncio.Task[None]]:
        """Waits for the handlers; returns those that are not done in time."""
        over = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(Millis(self._clock.now() + limit_ms), lambda: None if over.done() else over.set_result(None))
        waiting = set(self._tasks) - {asyncio.current_task()}
        try:
            while waiting and not over.done():
                await asyncio.wait({*waiting, over}, return_when=asyncio.FIRST_COMPLETED)
                waiting = {task for task in waiting if not task.done()}
        finally:
            timer.cancel()
            over.cancel()
        return waiting
