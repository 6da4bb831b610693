"""A running account for other threads than the event loop's: reads that never wait, iteration and waits that block."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from userstream.domain.certificate import Certificate
from userstream.domain.events import Event, Fact
from userstream.domain.figures import Order
from userstream.domain.words import StreamState
from userstream.kernel.errors import ConnectionError, UserStreamError
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.runtime.views import Health

if TYPE_CHECKING:
    from userstream.runtime.live import Delivery, EventStream, LiveAccount

Result = TypeVar("Result")
LOOK_S: Final = 0.5
STILL_LOOKS: Final = 6
"""A loop that stood still at so many looks in a row, which is 3 s, has ended; whoever drives one in several calls rests for less."""

ENDED: Final = "the event loop of the account has ended"


class SyncAccount:
    """A running account for another thread than the event loop's: the same reads (`orders`, `positions`, `balances`, `fills`, `health`),
    blocking iteration, blocking waits. Made by `account.sync()` on the event loop, or by `with` instead of `async with`.

    What waits raises ConnectionError once the event loop has ended: closed, or not running for 3 s; a shorter rest between two of its runs
    is waited for. It raises UserStreamError on the event loop itself, which would wait for itself for ever.
    """

    def __init__(self, account: LiveAccount, loop: asyncio.AbstractEventLoop) -> None:
        self._account, self._loop = account, loop
        self.orders, self.positions = account.orders, account.positions
        self.balances, self.fills = account.balances, account.fills

    @property
    def id(self) -> AccountId:
        """As `LiveAccount.id`."""
        return self._account.id

    @property
    def venue(self) -> VenueName:
        """As `LiveAccount.venue`."""
        return self._account.venue

    @property
    def state(self) -> StreamState:
        """As `LiveAccount.state`."""
        return self._account.state

    @property
    def sequence(self) -> int:
        """As `LiveAccount.sequence`."""
        return self._account.sequence

    @property
    def complete_since(self) -> Millis | None:
        """As `LiveAccount.complete_since`."""
        return self._account.complete_since

    @property
    def health(self) -> Health:
        """As `LiveAccount.health`."""
        return self._account.health

    def events(
        self, *, after: int | None = None, types: Collection[type[Fact]] | None = None, delivery: Delivery = "lossless"
    ) -> Iterator[Event]:
        """As `LiveAccount.events`, blocking: `for event in account.sync().events():`."""

        async def open_stream() -> EventStream:
            return self._account.events(after=after, types=types, delivery=delivery)

        return self._iterate(self._wait(open_stream))

    def _iterate(self, stream: EventStream) -> Iterator[Event]:
        while True:
            try:
                yield self._wait(lambda: anext(stream))
            except StopAsyncIteration:
                return

    def certificate(self, since: Millis | None = None, until: Millis | None = None) -> Certificate:
        """As `LiveAccount.certificate`, blocking."""
        return self._wait(lambda: self._account.certificate(since, until))

    def wait_ready(self, timeout: float | None = None) -> None:
        """As `LiveAccount.wait_ready`, blocking."""
        self._wait(lambda: self._account.wait_ready(timeout))

    def wait_proven(self, timeout: float | None = None) -> None:
        """As `LiveAccount.wait_proven`, blocking."""
        self._wait(lambda: self._account.wait_proven(timeout))

    def wait_for(self, order_id: str | int, *, final: bool = True, timeout: float | None = None) -> Order:
        """As `LiveAccount.wait_for`, blocking."""
        return self._wait(lambda: self._account.wait_for(order_id, final=final, timeout=timeout))

    def __repr__(self) -> str:
        return repr(self._account)

    def _wait(self, begin: Callable[[], Awaitable[Result]]) -> Result:
        return wait_there(self._loop, begin)


def wait_there(loop: asyncio.AbstractEventLoop, begin: Callable[[], Awaitable[Result]], *, look_s: float = LOOK_S) -> Result:
    """Lets the account's event loop do something, and waits for it in another thread. Raises what that raises, ConnectionError once the
    loop is closed or was seen at rest at each of 6 looks in a row (3 s, unless `look_s`, in seconds, says otherwise), and UserStreamError
    on the loop itself."""

    async def outcome() -> Result:
        return await begin()

    if _is_running_here(loop):
        raise UserStreamError("this waits for the event loop: call it from another thread, or use the account itself")
    work = outcome()
    try:
        waiting = asyncio.run_coroutine_threadsafe(work, loop)
    except RuntimeError:  # it was closed in this very moment
        work.close()
        raise ConnectionError(ENDED) from None
    try:
        return _result_of(waiting, loop, look_s)
    except concurrent.futures.CancelledError:
        raise ConnectionError(ENDED) from None
    finally:
        waiting.cancel()
        if loop.is_closed() or _never_began(work, loop):
            work.close()


def _result_of(waiting: concurrent.futures.Future[Result], loop: asyncio.AbstractEventLoop, look_s: float) -> Result:
    """A loop that ends while it is asked never answers, closed or not: that is looked for now and then. One that is driven by several
    calls rests between them, and goes on."""
    still = 0
    while not waiting.done():
        concurrent.futures.wait([waiting], timeout=look_s)
        still = 0 if loop.is_running() else still + 1
        if (loop.is_closed() or still == STILL_LOOKS) and not waiting.done():
            raise concurrent.futures.CancelledError
    return waiting.result()


def _never_began(work: Coroutine[object, object, object], loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop stopped before it took the question up, so that nobody else will close it."""
    return not loop.is_running() and inspect.getcoroutinestate(work) == inspect.CORO_CREATED


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
