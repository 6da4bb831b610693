"""What programs on the classic surface write themselves again and again, once and tested: a filter, batches, a bounded cache."""

from __future__ import annotations

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterator
from threading import Lock
from types import TracebackType
from typing import Final, Generic, Self, TypeVar, overload

import structlog

from userstream.entry.classic import Message, MessageHandler
from userstream.kernel.errors import SettingsError, nearest
from userstream.kernel.ids import Millis
from userstream.kernel.settings import check
from userstream.ports import Clock, Timer
from userstream.venues.binance.forms import ALL_EVENTS
from userstream.venues.binance.words import ALGO_STATUSES, FINISHED, STATUSES

Key = TypeVar("Key")
Value = TypeVar("Value")
Other = TypeVar("Other")

WORDS_OF_STATUSES: Final = (*STATUSES, *(word for word in ALGO_STATUSES if word not in STATUSES), FINISHED)
DEEPEST: Final = 3

_log = structlog.get_logger("userstream.classic")


class MessageFilter:
    """Which messages a handler wants: `MessageFilter(events={"ORDER_TRADE_UPDATE"}, statuses={"NEW", "FILLED"}).before(handler)`.

    `events`: the values of `e`. `statuses`: the values of `X`; they limit messages about an order and no others. `symbols`: messages about
    other symbols alone do not pass; what tells of a wallet, or of no symbol, does. What is left out limits nothing. Who leaves out
    PARTIALLY_FILLED leaves out fills: those found by REST have that status too. Raises SettingsError for words the venue does not use
    (Binance USD-M, 4.1 and 7.1).
    """

    def __init__(
        self,
        *,
        events: Collection[str] | None = None,
        statuses: Collection[str] | None = None,
        symbols: Collection[str] | None = None,
    ) -> None:
        self._events = _words("events", events, ALL_EVENTS)
        self._statuses = _words("statuses", statuses, WORDS_OF_STATUSES)
        self._symbols = _words("symbols", symbols)

    def __call__(self, message: Message) -> bool:
        """Whether the message passes."""
        if self._events is not None and message.get("e") not in self._events:
            return False
        if self._statuses is not None and (status := _status_of(message)) is not None and status not in self._statuses:
            return False
        return self._symbols is None or self._is_about(message, self._symbols)

    def before(self, handler: MessageHandler) -> MessageHandler:
        """The handler, sync or async, behind this filter. Of a batch it gets what passes, and nothing when nothing does."""

        def take(message: Message | list[Message]) -> object:
            if isinstance(message, list):
                wanted = [each for each in message if self(each)]
                return handler(wanted) if wanted else None
            return handler(message) if self(message) else None

        return take  # type: ignore[return-value]  # hands on whatever the handler returns

    @staticmethod
    def _is_about(message: Message, symbols: frozenset[str]) -> bool:
        update = message.get("a")
        if isinstance(update, dict) and update.get("B"):
            return True
        named = set(_symbols_in(message, DEEPEST))
        return not named or not named.isdisjoint(symbols)


def _words(name: str, given: Collection[str] | None, known: Collection[str] = ()) -> frozenset[str] | None:
    if given is None:
        return None
    if isinstance(given, str):
        raise SettingsError(f"{name} = {given!r} must be a collection of words, such as {{{given!r}}}")
    for word in given:
        if known and word not in known:
            raise SettingsError(f"{name}: {word!r} is not known; {nearest(str(word), known)}")
    return frozenset(given)


def _status_of(message: Message) -> str | None:
    order = message.get("o")
    status = order.get("X") if isinstance(order, dict) else message.get("X")
    return status if isinstance(status, str) else None


def _symbols_in(part: object, depth: int) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(symbol := part.get("s"), str):
            yield symbol
        parts = list(part.values())
    else:
        parts = part if isinstance(part, list) else []
    for inner in parts if depth else ():
        yield from _symbols_in(inner, depth - 1)


class BatchProcessor:
    """Collects messages and hands them over in lists: up to `batch_size` at a time, and never older than `batch_age` seconds.

    `async with BatchProcessor(save) as batches: await client.user_stream(..., message_handler=batches)`. The receiver is called with one
    list at a time, in order. When it raises, its messages wait and are handed over again `batch_age` later (`errors` counts,
    `last_error` tells); of more than `max_waiting` the oldest go, and `dropped` counts them. Leaving the block hands over the rest.
    """

    def __init__(
        self,
        receiver: MessageHandler,
        batch_size: int = 100,
        batch_age: float = 1.0,
        *,
        max_waiting: int = 100_000,
        clock: Clock | None = None,
    ) -> None:
        check(batch_size >= 1, "batch_size", batch_size, "must be at least 1")
        check(0 < batch_age < 86_400, "batch_age", batch_age, "must be above 0 and below 86400 (seconds)")
        check(max_waiting >= batch_size, "max_waiting", max_waiting, "must not be below batch_size")
        self._receiver, self._clock = receiver, clock
        self.batch_size, self._age_ms, self._max_waiting = batch_size, max(1, int(batch_age * 1_000)), max_waiting
        self.batch: list[Message] = []
        self.errors = self.dropped = 0
        self.last_error: Exception | None = None
        self._refused = False
        self._turn = asyncio.Lock()
        self._timer: Timer | None = None

    async def __call__(self, message: Message) -> None:
        """As `add`: the processor is itself a message handler."""
        await self.add(message)

    async def add(self, message: Message) -> None:
        """Takes a message, and hands over what makes a whole batch; waits while the receiver is busy. Never raises what it raises."""
        self.batch.append(message)
        excess = len(self.batch) - self._max_waiting
        if excess > 0:
            del self.batch[:excess]
            self.dropped += excess
        if not self._refused:
            await self._try(self.process_batch)
        self._arm()

    async def process_batch(self) -> None:
        """Hands over whole batches only. Raises what the receiver raises; the messages then wait."""
        while len(self.batch) >= self.batch_size:
            await self._hand_over(self.batch_size)

    async def flush_batch(self) -> None:
        """Hands over all that waits. Raises what the receiver raises; the messages then wait."""
        while self.batch or self._turn.locked():
            await self._hand_over(1)

    async def _hand_over(self, least: int) -> None:
        async with self._turn:
            if len(self.batch) < least:
                return
            part, self.batch = self.batch[: self.batch_size], self.batch[self.batch_size :]
            try:
                waiting = self._receiver(part)
                if waiting is not None and inspect.isawaitable(waiting):
                    await waiting
            except BaseException:
                self.batch = part + self.batch
                raise

    async def _try(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
            self._refused = False
        except Exception as error:
            self._refused = True
            self.errors += 1
            self.last_error = error
            _log.warning("a batch was not taken; it waits", action="batch_refused", waiting=len(self.batch), error=str(error))

    def _arm(self) -> None:
        """One timer for all that waits, as long as something waits."""
        if self._timer is None and self.batch:
            clock = self._own_clock()
            self._timer = clock.call_at(Millis(clock.now() + self._age_ms), self._grow_old)

    def _grow_old(self) -> None:
        self._timer = None
        self._own_clock().spawn(self._flush_old(), "batch by age")

    async def _flush_old(self) -> None:
        await self._try(self.flush_batch)
        self._arm()

    def _own_clock(self) -> Clock:
        if self._clock is None:
            from userstream.adapters.clock import SystemClock

            self._clock = SystemClock()
        return self._clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.flush_batch()


class BoundedCache(Generic[Key, Value]):
    """The newest `max_cache_size` things by key: what was added or changed longest ago goes first. Safe to use from several threads."""

    def __init__(self, max_cache_size: int = 1_000) -> None:
        check(max_cache_size >= 1, "max_cache_size", max_cache_size, "must be at least 1")
        self.max_cache_size = max_cache_size
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    @property
    def cache(self) -> dict[Key, Value]:
        """A copy, oldest first."""
        with self._lock:
            return dict(self._kept)

    def add_to_cache(self, key: Key, value: Value) -> None:
        """Adds or replaces. Nothing else goes for a key that is there already."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = value
            if len(self._kept) > self.max_cache_size:
                self._kept.popitem(last=False)

    def discard(self, key: Key) -> None:
        """Forgets the key, if it is there."""
        with self._lock:
            self._kept.pop(key, None)

    @overload
    def get(self, key: Key) -> Value | None: ...

    @overload
    def get(self, key: Key, default: Other) -> Value | Other: ...

    def get(self, key: Key, default: object = None) -> object:
        """The value of the key, or the default."""
        with self._lock:
            return self._kept.get(key, default)

    def __getitem__(self, key: Key) -> Value:
        """The value of the key. Raises KeyError when it is not, or no longer, there."""
        with self._lock:
            return self._kept[key]

    def __setitem__(self, key: Key, value: Value) -> None:
        self.add_to_cache(key, value)

    def __contains__(self, key: object) -> bool:
        with self._lock:
            return key in self._kept

    def __iter__(self) -> Iterator[Key]:
        return iter(self.cache)

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    def __repr__(self) -> str:
        return f"<BoundedCache: {len(self)} of {self.max_cache_size}>"
