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
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Clock, Handler, Journal, Record

QUEUE_LIMIT: Final = 10_000
READ_BATCH: Final = 1_000
YIELD_EVERY: Final = 256
STORE_PAUSE_MS: Final = 500
STORE_PATIENCE_MS: Final = 300_000
"""How long a reader that is behind waits for a store in trouble: a full disk may be emptied in that time."""

MOST_SPANS: Final = 64
"""Losses beyond so many count as one with what lies between them."""

LAST_WORDS_MS: Final = 100
"""How long a handler that was cancelled may take to clean up."""

_log = structlog.get_logger("userstream.listeners")


class Ended(Exception):
    """No more events will come."""


class Losses:
    """The events that the journal did not take: whoever reads on from the journal must be told."""

    def __init__(self) -> None:
        self.error: StoreError | None = None
        self._spans: list[tuple[int, int]] = []

    def note(self, error: StoreError, first: int, last: int) -> None:
        """`first`, `last`: sequences of the events that are in no journal."""
        self.error = error
        if self._spans and (first == self._spans[-1][1] + 1 or len(self._spans) == MOST_SPANS):
            first = self._spans.pop()[0]
        self._spans.append((first, last))

    def end_of_journal(self, after: int) -> int | None:
        """The sequence at which a reader that was given all up to `after` can go no further; None if nothing ahead of it is lost."""
        return next((first for first, last in self._spans if last > after), None)


class Reader:
    """One reader's place in an account's events. `after`: the sequence of the last event it was given."""

    def __init__(
        self,
        account: AccountId,
        journal: Journal,
        clock: Clock,
        newest: Callable[[], int],
        losses: Losses,
        types: Collection[type[Fact]] | None,
    ) -> None:
        self._account, self._journal, self._clock, self._newest, self._losses = account, journal, clock, newest, losses
        self._types = frozenset(types) if types else None
        self._queue: deque[Event] = deque()
        self._behind = False
        self._stuck_since: Millis | None = None
        self._wake: asyncio.Future[None] | None = None
        self._ended = False
        self._error: UserStreamError | None = None
        self.after = newest()

    def read_from(self, after: int) -> None:
        """Goes back to a place in the journal; what came since is read from there."""
        self.after, self._behind = after, True
        self._queue.clear()

    def put(self, events: tuple[Event, ...]) -> None:
        if not self._behind:
            types, queue = self._types, self._queue
            queue.extend(events if types is None else [event for event in events if type(event) in types])
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
        next: because it did not take it, or because it is in trouble and the account has ended or five minutes are over."""
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
        trouble: StoreError | None = None
        records: list[Record] = []
        try:
            await self._journal.flush()
        except StoreError as error:
            trouble = error
        try:
            records = self._before_losses(await self._journal.read_account(self._account, after=self.after, limit=READ_BATCH))
        except StoreError as error:
            trouble = trouble or error
        if records:
            return self._advance(records)
        if self._losses.end_of_journal(self.after) is not None:
            raise StoreError(f"{self._account}: events after {self.after} are not in the journal: {self._losses.error}")
        if trouble is not None:
            await self._bear(trouble)
        elif self._newest() == target:
            self._behind, self._stuck_since = False, None
        return []

    def _before_losses(self, records: list[Record]) -> list[Record]:
        end = self._losses.end_of_journal(self.after)
        return records if end is None else [record for record in records if record.sequence < end]

    def _advance(self, records: list[Record]) -> list[Event]:
        events = [event for record in records for event in record.events if event.sequence > self.after]
        last = records[-1]
        self.after = max(self.after, last.events[-1].sequence if last.events else last.sequence)
        self._stuck_since = None
        return [event for event in events if self._types is None or type(event) in self._types]

    async def _bear(self, trouble: StoreError) -> None:
        now = self._clock.now()
        if self._stuck_since is None:
            self._stuck_since = now
        if self._ended or now - self._stuck_since >= STORE_PATIENCE_MS:
            raise trouble
        await self._clock.sleep(STORE_PAUSE_MS)

    def _awake(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)


class Listeners:
    """All readers of one account."""

    def __init__(self, account: AccountId, journal: Journal, clock: Clock, newest: Callable[[], int]) -> None:
        self._account, self._journal, self._clock, self._newest = account, journal, clock, newest
        self._readers: list[Reader] = []
        self._tasks: dict[asyncio.Task[None], Reader] = {}
        self._losses = Losses()
        self._error: UserStreamError | None = None
        self._ended = self._cut = False
        self.handler_errors = 0

    def publish(self, events: tuple[Event, ...]) -> None:
        for reader in self._readers:
            reader.put(events)

    def lose(self, error: StoreError, first: int, last: int) -> None:
        """The journal did not take the events with these sequences. Who is up to date gets them all the same."""
        self._losses.note(error, first, last)

    def open_reader(self, after: int | None, types: Collection[type[Fact]] | None) -> Reader:
        """A reader of what comes from now on, or of everything behind the sequence `after`. Of an account that failed or was stopped it
        gives what there is, then ends."""
        reader = Reader(self._account, self._journal, self._clock, self._newest, self._losses, types)
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
