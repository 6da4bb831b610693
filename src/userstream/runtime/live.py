"""LiveAccount: what a program holds of one running account. Reads never await; three ways to listen; waiters."""

from __future__ import annotations

import asyncio
import inspect
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from typing import Final, Literal, Never, TypeAlias, TypeVar, cast, get_args, overload

from userstream.domain.certificate import Certificate, certify
from userstream.domain.events import BalanceSet, Event, Fact, OrderChanged, PositionSet
from userstream.domain.figures import Order
from userstream.domain.words import StreamState
from userstream.kernel.errors import ConnectionError, UserStreamError, nearest
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.ports import Clock, EvidenceReader, Handler, Journal
from userstream.runtime.evidence import JournalEvidence
from userstream.runtime.listeners import Ended, Listeners, Reader
from userstream.runtime.runner import AccountRunner
from userstream.runtime.sync_account import SyncAccount
from userstream.runtime.views import BalancesView, FillsView, Health, OrdersView, PositionsView

Result = TypeVar("Result")
First = TypeVar("First", bound=Fact)
Second = TypeVar("Second", bound=Fact)
Third = TypeVar("Third", bound=Fact)
Kind = TypeVar("Kind")
Answer = TypeVar("Answer", bound=Awaitable[None] | None)
Handling: TypeAlias = Callable[[Kind], Answer]
AnyHandler: TypeAlias = Handling[Never, Awaitable[None] | None]
Decorator: TypeAlias = Callable[[Never], AnyHandler]
HandlerType = TypeVar("HandlerType", bound=Handler)
Delivery = Literal["lossless", "latest"]

LONGEST_TIMEOUT_S: Final = 1_000_000_000

ABOUT_FILLS: Final = frozenset({"order", "position", "fills", "question"})
"""The subjects of mismatches that may mean that a fill is missing. (History that is lost ends before `complete_since`.)"""


class LiveAccount:
    """One account, kept current. Made by `connect`, `Fleet.add` or `paper`; never by hand.

    What can be read at any time, without waiting, also from another thread:

    orders: `orders.open()`, `orders["8886774"]`, `orders.get(id)`: open orders and those that ended lately.
    positions: `positions["BTCUSDT"].amount`, `positions.open()`, `positions.leg("BTCUSDT", "long")`.
    balances: `balances["USDT"].total`, `balances.get("BNB")`.
    fills: `fills.recent()`: the last fills, newest last.
    health: how far all this can be trusted right now.

    An account of `paper` has one thing more, `exchange`: the other side, which places and fills orders, moves prices, cuts sockets.
    """

    orders: OrdersView
    positions: PositionsView
    balances: BalancesView
    fills: FillsView

    def __init__(
        self,
        runner: AccountRunner,
        clock: Clock,
        journal: Journal,
        evidence: EvidenceReader | None = None,
        trouble_beside: Callable[[], str] = str,
    ) -> None:
        """`trouble_beside`: what is wrong with the store beside its journal; empty if nothing is."""
        self._runner, self._clock, self._journal, self._trouble_beside = runner, clock, journal, trouble_beside
        self._evidence = evidence or JournalEvidence(journal, clock)
        self.orders = OrdersView(runner.account)
        self.positions = PositionsView(runner.account)
        self.balances = BalancesView(runner.account)
        self.fills = FillsView(runner.account)

    @property
    def parts(self) -> tuple[AccountRunner, Clock, Journal, EvidenceReader, Callable[[], str]]:
        """What it is made of, for another face of the same account."""
        return self._runner, self._clock, self._journal, self._evidence, self._trouble_beside

    @property
    def id(self) -> AccountId:
        """The account's name, as it was given."""
        return self._runner.account.id

    @property
    def venue(self) -> VenueName:
        """The venue's name, such as binance-usdm."""
        return self._runner.account.venue

    @property
    def state(self) -> StreamState:
        """How much the picture can be trusted, in one word; `health` says more."""
        return self._runner.account.state

    @property
    def sequence(self) -> int:
        """The place of the newest event."""
        return self._runner.machine.sequence

    @property
    def complete_since(self) -> Millis | None:
        """Venue time (ms) since when every fill is known to be in, up to `health.proven_until`; None while that is not proven, a gap is
        open, a sum says that a fill is missing, or events are in no journal for good. It begins anew behind what the venue keeps no more.
        What was so before, interval by interval, tells `certificate`."""
        account, books = self._runner.account, self._runner.machine.books
        if not account.proven_until or account.gap_since is not None or books is None or self._runner.lost_error is not None:
            return None
        if any(subject in ABOUT_FILLS for subject, _ in books.mismatches):
            return None
        return max(account.positions_known_since or account.began, account.began)

    async def certificate(self, since: Millis | None = None, until: Millis | None = None) -> Certificate:
        """What is proven of the account between two venue times (ms), interval by interval: PROVEN, REPAIRED, STREAM_ONLY, KNOWN_GAP or
        UNKNOWN, with the fills known of each and the open mismatches, arithmetic's among them. `since`: None asks from the first thing
        known; `until`: None asks up to now. It reads the store (without one: the journal in memory, as far as that reaches back).
        Raises TypeError for times that are no whole numbers, ValueError when `until` is not after `since` or one is negative, StoreError
        when the store cannot be read."""
        _check_time("since", since)
        _check_time("until", until)
        await self._journal.flush()
        evidence = await self._evidence.gather(self.id)
        if self.state not in (StreamState.STOPPED, StreamState.FAILED) and self._runner.keeper.is_level:
            evidence.heard_until = evidence.gathered = self._runner.machine.clock.at(self._clock.now())
            evidence.is_growing = True
        return certify(evidence, since, until)

    @property
    def listen_key_in_use(self) -> str | None:
        """The venue's key of the current socket, for the classic surface. A secret: do not print it."""
        line = self._runner.machine.feed.current
        key = line.session.listen_key if line is not None else None
        return None if key is None else key.reveal()

    @property
    def health(self) -> Health:
        """The state of the feed, of the proof and of the store as they are now, with the counters since the start."""
        machine, account = self._runner.machine, self._runner.account
        books, feed = machine.books, machine.feed
        mismatches = len(books.mismatches) if books is not None else 0
        trouble = str(self._runner.store_error or "") or self._trouble_beside()
        healthy = account.state is StreamState.LIVE and account.gap_since is None and not mismatches and not trouble
        drift = dict(feed.drift)
        lines = list(feed.lines.values())
        for line in lines:
            for name, times in list(line.session.drift.items()):
                drift[name] = drift.get(name, 0) + times
        return Health(
            state=account.state,
            is_healthy=healthy and books is not None,
            reason=self._runner.reason if account.state is not StreamState.LIVE else "",
            connections=sum(line.opened is not None for line in lines),
            age_ms=self._clock.now() - feed.last_heard if feed.opened_count else None,
            proven_until=account.proven_until,
            gap_since=account.gap_since,
            mismatches=mismatches,
            reconnects=max(0, feed.opened_count - 1),
            messages=machine.messages,
            duplicates_dropped=account.duplicates,
            fills_recovered=books.recovered_fills if books is not None else 0,
            fills_missed_by_stream=books.missed_by_stream if books is not None else 0,
            unrecognized=machine.unrecognized,
            drift=drift,
            journal_backlog=self._journal.backlog,
            store_trouble=trouble,
            handler_errors=self._runner.listeners.handler_errors,
        )

    # --- listening ---

    def events(
        self, *, after: int | None = None, types: Collection[type[Fact]] | None = None, delivery: Delivery = "lossless"
    ) -> EventStream:
        """Every event from this call on, once, in order: `async for event in account.events():`. `after`: go on behind this sequence
        (from the journal). `types`: only these kinds. `latest`: of what waits, only the newest state of each order, position and
        balance; fills are never merged. Raises AuthenticationError when the venue refuses the key for good, StoreError when it has to
        read on from a journal that cannot give it, UserStreamError off the event loop (there: `sync`); ends when the account is
        stopped. A wait that is cancelled loses nothing. Raises TypeError for kinds that are no collection of event classes, and ValueError
        for another `delivery` and for an `after` that this account has not reached."""
        _check_kinds(types)
        if delivery not in get_args(Delivery):
            raise ValueError(f"delivery {delivery!r} is not known; {nearest(str(delivery), get_args(Delivery))}")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise UserStreamError("events are read on the event loop: in another thread, use account.sync()") from None
        if after is not None and after > (newest := self._runner.machine.sequence):
            raise ValueError(f"after={after} is above the newest event {newest} of {self.id}: it is a place in another store")
        kind = LatestStream if delivery == "latest" else EventStream
        return kind(self._runner.listeners, self._runner.listeners.open_reader(after, types), loop)

    @overload
    def on(self, kind: type[First], /) -> Callable[[Handling[First, Answer]], Handling[First, Answer]]: ...

    @overload
    def on(self, kind: type[First], /, *, handler: Handling[First, Answer]) -> Handling[First, Answer]: ...

    @overload
    def on(
        self, kind: type[First], other: type[Second], /
    ) -> Callable[[Handling[First | Second, Answer]], Handling[First | Second, Answer]]: ...

    @overload
    def on(
        self, kind: type[First], other: type[Second], /, *, handler: Handling[First | Second, Answer]
    ) -> Handling[First | Second, Answer]: ...

    @overload
    def on(
        self, kind: type[First], other: type[Second], third: type[Third], /
    ) -> Callable[[Handling[First | Second | Third, Answer]], Handling[First | Second | Third, Answer]]: ...

    @overload
    def on(
        self, kind: type[First], other: type[Second], third: type[Third], /, *, handler: Handling[First | Second | Third, Answer]
    ) -> Handling[First | Second | Third, Answer]: ...

    @overload
    def on(self, *types: type[Fact]) -> Callable[[HandlerType], HandlerType]: ...

    @overload
    def on(self, *types: type[Fact], handler: HandlerType) -> HandlerType: ...

    def on(self, *types: type[Fact], handler: AnyHandler | None = None) -> AnyHandler | Decorator:
        """Calls a function, sync or async, for each event of these kinds (all, if none is named): as a decorator `@account.on(Filled)`.
        Raises TypeError for what is no class of an event, or no function. A handler that raises is logged and counted
        (`health.handler_errors`). For type checkers the handler takes the kinds that are named; from four on, and without any, it takes an
        `Event`."""
        _check_kinds(types)

        def attach(chosen: AnyHandler) -> AnyHandler:
            if not callable(chosen):
                raise TypeError(f"handler {chosen!r} is no function")
            # it is called with the kinds it was checked against, and with no other
            self._runner.listeners.attach(cast(Handler, chosen), types or None)
            return chosen

        return attach if handler is None else attach(handler)

    def sync(self) -> SyncAccount:
        """The same account for threads. Call it on the event loop, use it elsewhere."""
        return SyncAccount(self, asyncio.get_running_loop())

    # --- waiting ---

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Returns when a socket delivers. `timeout` in seconds (None: for ever). Raises TimeoutError, AuthenticationError when the key is
        refused, or ConnectionError when the account is stopped; TypeError or ValueError for a `timeout` that is none."""
        await self._wait_until(lambda: self._runner.machine.feed.is_lit, timeout, self._words_for_state)

    async def wait_proven(self, timeout: float | None = None) -> None:
        """Returns when the state is proven complete (with a key alone: when a socket delivers), or when it was read in full and what
        contradicts it is told as open mismatches: `health.is_healthy` tells which. Raises like `wait_ready`, and StoreError when the
        journal will not hold what was proven."""
        await self._wait_until(self._is_proven, timeout, self._words_for_state)

    def _is_proven(self) -> bool:
        if (lost := self._runner.lost_error) is not None:
            raise lost
        return self.state is StreamState.LIVE

    async def wait_for(self, order_id: str | int, *, final: bool = True, timeout: float | None = None) -> Order:
        """Returns the order with this id or client order id once it is final (or, with `final=False`, once it is known).
        `timeout` in seconds. Raises TypeError for what is no id, and otherwise like `wait_ready`; TimeoutError says how far it came."""
        key = _order_key(order_id)

        def holds() -> bool:
            order = self.orders.get(key)
            return order is not None and not (final and order.is_open)

        await self._wait_until(holds, timeout, lambda: self._words_for_order(key))
        return self.orders[key]

    def _words_for_order(self, key: str) -> str:
        order = self.orders.get(key)
        words = f"order {key!r} is not known" if order is None else f"order {key!r} is still {order.status}"
        return words if self.state is StreamState.LIVE else f"{words}; the account is {self._words_for_state()}"

    def _words_for_state(self) -> str:
        reason = self.health.reason
        return f"still {self.state}: {reason}" if reason else f"still {self.state}"

    async def _wait_until(self, holds: Callable[[], bool], timeout: float | None, say: Callable[[], str]) -> None:
        """`say`: how far it came, for people, when the time is over."""
        _check_timeout(timeout)
        reader = self._runner.listeners.open_reader(None, None)
        try:
            await self._in_time(self._watch(holds, reader), timeout, say)
        finally:
            self._runner.listeners.close_reader(reader)

    async def _watch(self, holds: Callable[[], bool], reader: Reader) -> None:
        while not holds():
            if self._runner.failed is not None:
                raise self._runner.failed
            try:
                await reader.take()
            except Ended:
                raise ConnectionError("the account was stopped") from None

    async def _in_time(self, work: Coroutine[object, object, Result], timeout: float | None, say: Callable[[], str]) -> Result:
        if timeout is None:
            return await work
        task = asyncio.ensure_future(work)  # noqa: TID251 - raced against the clock's own sleep, so that tests can turn it
        alarm = self._clock.spawn(self._clock.sleep(int(timeout * 1_000)), "time limit")
        try:
            await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise TimeoutError(f"after {timeout:g} s {say()}")
            return task.result()
        finally:
            alarm.cancel()
            task.cancel()

    async def close(self) -> None:
        """Stops the account. Safe to call twice."""
        await self._runner.stop()

    def __repr__(self) -> str:
        health = self.health
        age = "never heard" if health.age_ms is None else f"heard {health.age_ms / 1000:.1f} s ago"
        return f"<account {self.id} on {self.venue}: {health.state}, {age}, {health.messages} messages>"


class EventStream(AsyncIterator[Event]):
    """What `LiveAccount.events` gives: an asynchronous iterator. One that nobody holds any more is closed by itself."""

    def __init__(self, listeners: Listeners, reader: Reader, loop: asyncio.AbstractEventLoop) -> None:
        self._listeners, self._reader, self._loop = listeners, reader, loop
        self._waiting: deque[Event] = deque()
        self._closed = False

    async def __anext__(self) -> Event:
        while not self._waiting:
            self._waiting.extend(await self._take())
        return self._waiting.popleft()

    async def _take(self) -> list[Event]:
        if self._closed:
            raise StopAsyncIteration
        try:
            return await self._reader.take()
        except Ended:
            await self.aclose()
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Gives up its place; what waits is dropped. May be called twice."""
        self._closed = True
        self._waiting.clear()
        self._listeners.close_reader(self._reader)

    def __del__(self) -> None:
        # never at once: this may run in the middle of a delivery, or on another thread
        if not self._closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._listeners.close_reader, self._reader)


class LatestStream(EventStream):
    """Of what waits, only the newest state of each order, position and balance, at the place of the newest; everything else whole."""

    def __init__(self, listeners: Listeners, reader: Reader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(listeners, reader, loop)
        self._newest: OrderedDict[object, Event] = OrderedDict()

    async def __anext__(self) -> Event:
        while self._reader.backlog or not self._newest:
            for event in await self._take():
                key = _state_key(event)
                self._newest.pop(key, None)
                self._newest[key] = event
        return self._newest.popitem(last=False)[1]

    async def aclose(self) -> None:
        await super().aclose()
        self._newest.clear()


def _check_kinds(types: object) -> None:
    """Raises TypeError for what a program meant otherwise than it wrote: a word finds nothing, and a class is no collection."""
    if types is None:
        return
    if not isinstance(types, Collection) or isinstance(types, str | bytes | type):
        raise TypeError(f"types must be a collection of event classes such as {{userstream.Filled}}, not {_shown(types)}")
    for kind in types:
        if inspect.isroutine(kind):
            wanted = "write @account.on(userstream.Filled), or @account.on() for events of all kinds"
            raise TypeError(f"{kind.__name__} is a function, and no class of an event: {wanted}")
        if not (isinstance(kind, type) and issubclass(kind, Fact)):
            raise TypeError(f"{_shown(kind)} is no class of an event: name classes, such as userstream.Filled")


def _shown(thing: object) -> str:
    return thing.__qualname__ if isinstance(thing, type) else repr(thing)


def _state_key(event: Event) -> object:
    match event:
        case OrderChanged():
            return ("order", event.symbol, event.order_id, event.conditional)
        case PositionSet():
            return ("position", event.symbol, event.position_side)
        case BalanceSet():
            return ("balance", event.asset)
    return ("event", event.sequence)


def _check_timeout(timeout: object) -> None:
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout is a number of seconds or None, not {type(timeout).__name__}")
    if not 0 <= timeout <= LONGEST_TIMEOUT_S:
        raise ValueError(f"timeout {timeout} must be seconds from 0 to {LONGEST_TIMEOUT_S}; None waits for ever")


def _check_time(name: str, time: object) -> None:
    if time is None:
        return
    if isinstance(time, bool) or not isinstance(time, int):
        raise TypeError(f"{name} is a venue time in whole milliseconds or None, not {type(time).__name__}")
    if time < 0:
        raise ValueError(f"{name} {time} must be a time in ms since 1970")


def _order_key(order_id: object) -> str:
    if isinstance(order_id, bool) or not isinstance(order_id, str | int):
        raise TypeError(f"an order id is text or a whole number, not {type(order_id).__name__}")
    return str(order_id)
