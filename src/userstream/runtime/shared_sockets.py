"""A `Transport` for each account that shares sockets with others: many lines, few dials.

Whoever wants a line while a dial is on its way waits for the same dial. Lines are handed out some at a time, each with the request weight
that its opening needs: so accounts that were cut off together return quickly, within the venue's limits, and leave the loop to others.
"""

from __future__ import annotations

import asyncio
from typing import Final

from userstream.kernel.errors import ConnectionError, UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.ports import Clock, Socket, SocketEvents, Transport
from userstream.runtime.gate import Gate
from userstream.runtime.wires import SharedLine, Wire
from userstream.wire.switchboard import DialPace
from userstream.wire.venue import AccountPlace, Sharing

LINES_AT_ONCE: Final = 50
SOON_MS: Final = 10_000
"""Who lost a line wants another one by then; and what was paid for those who do not is forgotten."""
LONGEST_NAP_MS: Final = 1_000
LONG_MS: Final = 1 << 62
"""The one for whom a socket was chosen gets it, even if the request budget made him wait for it."""


class Caller:
    """Somebody who waits for a line until the time is over."""

    __slots__ = ("events", "expires_at", "line", "owner", "until_age_ms")

    def __init__(self, owner: Secret, until_age_ms: int, events: SocketEvents, expires_at: Millis) -> None:
        self.owner, self.until_age_ms, self.events, self.expires_at = owner, until_age_ms, events, expires_at
        self.line: asyncio.Future[SharedLine] = asyncio.get_running_loop().create_future()

    def refuse(self, reason: str) -> None:
        if not self.line.done():
            self.line.set_exception(ConnectionError(reason))


class SharedSockets:
    """The shared sockets of one request budget; `line_transport` gives an account its own `Transport`. Owned by whoever closes it.
    `pace`: of all dials to the venue from here, whoever else makes some; without it nobody does."""

    def __init__(self, transport: Transport, clock: Clock, gate: Gate, sharing: Sharing, pace: DialPace | None = None) -> None:
        self.clock = clock
        self._transport, self._gate, self._sharing = transport, gate, sharing
        self._exchanges: dict[Secret, SocketExchange] = {}
        self._pace = pace or DialPace(sharing.dials_per_5_minutes, clock.now())

    def line_transport(self, place: AccountPlace) -> LineTransport:
        """The sockets of one account: lines on sockets it shares. The place is one of `wire.venue.shared_place`: its session asks for a
        successor after as long a time as a socket takes new lines."""
        return LineTransport(self, self._owner_of(place), place.rotate_after_ms)

    def own_transport(self, place: AccountPlace) -> OwnTransport:
        """The sockets of an account that shares none: they are dialed in the same pace, and what is asked there weighs the same."""
        return OwnTransport(self, self._owner_of(place))

    def wire(self) -> Wire:
        """A socket that is not dialed yet."""
        return Wire(self._sharing.make_switchboard(), self.clock, self._gate, _forget)

    async def dial(self, url: Secret, wire: Wire, time_limit_ms: int) -> Socket:
        return await self._transport.connect(url, wire, time_limit_ms=time_limit_ms)

    async def may_dial(self, limit_ms: int) -> int:
        """Returns when the venue's limits allow a dial, which is counted then, and how much of the time limit is left. Raises
        ConnectionError when that is over before: whoever asked may want no socket any more, and a ban that ends must not find a crowd."""
        expires_at = self.clock.now() + limit_ms
        while wait_ms := self._gate.pause_ms or self._pace.wait_ms(self.clock.now()):
            nap_ms = min(wait_ms, LONGEST_NAP_MS)
            if self.clock.now() + nap_ms > expires_at:
                raise ConnectionError(f"the venue's limits allowed no dial within {limit_ms} ms")
            await self.clock.sleep(nap_ms)
        await self._gate.grant_vital(self._sharing.dial_weight)
        left_ms = expires_at - self.clock.now()
        if left_ms <= 0:
            raise ConnectionError(f"the venue's request budget allowed no dial within {limit_ms} ms")
        return left_ms

    @staticmethod
    def _owner_of(place: AccountPlace) -> Secret:
        """An isolated pair is an account of its own, whosever key it has."""
        key, pair = place.credentials.api_key, place.isolated_symbol
        return Secret(f"{key.reveal()} {pair}") if pair else key

    def at(self, url: Secret) -> SocketExchange:
        """The sockets that are open to an address."""
        if url not in self._exchanges:
            self._exchanges[url] = SocketExchange(url, self._transport, self.clock, self._gate, self._sharing, self._pace)
        return self._exchanges[url]

    @property
    def wires(self) -> list[Wire]:
        """The sockets that are open now."""
        return [wire for exchange in self._exchanges.values() for wire in exchange.wires]

    async def close(self) -> None:
        """Ends all sockets with their lines; whoever waits for one is refused."""
        serving = [exchange.close() for exchange in self._exchanges.values()]
        await asyncio.gather(*(task for task in serving if task is not None), return_exceptions=True)
        await self.clock.sleep(0)


class LineTransport:
    """The `Transport` of one account, whose sockets are lines."""

    def __init__(self, sockets: SharedSockets, owner: Secret, until_age_ms: int) -> None:
        self._sockets, self._owner, self._until_age_ms = sockets, owner, until_age_ms
        self._lines: list[SharedLine] = []

    async def connect(self, url: Secret, events: SocketEvents, *, time_limit_ms: int) -> SharedLine:
        """A line on a socket that is open or is being opened; the time limit covers all waiting. Raises ConnectionError as `Transport`."""
        line = await self._sockets.at(url).call(self._owner, self._until_age_ms, events, time_limit_ms)
        self._lines = [*(known for known in self._lines if known.is_open), line]
        return line

    async def close(self) -> None:
        """Hangs up this account's lines, and waits until they have told so."""
        for line in self._lines:
            line.close()
        await self._sockets.clock.sleep(0)


class OwnTransport:
    """The `Transport` of one account that shares no socket: each is a wire with one line."""

    def __init__(self, sockets: SharedSockets, owner: Secret) -> None:
        self._sockets, self._owner = sockets, owner
        self._lines: list[SharedLine] = []

    async def connect(self, url: Secret, events: SocketEvents, *, time_limit_ms: int) -> SharedLine:
        """A socket of its own; the time limit covers all waiting. Raises ConnectionError as `Transport`."""
        left_ms = await self._sockets.may_dial(time_limit_ms)
        wire = self._sockets.wire()
        wire.carry(await self._sockets.dial(url, wire, left_ms))
        line = wire.join(self._owner, events, 0)
        self._lines = [*(known for known in self._lines if known.is_open), line]
        asyncio.get_running_loop().call_soon(line.hand_over)
        return line

    async def close(self) -> None:
        """Hangs up this account's sockets, and waits until they have told so."""
        for line in self._lines:
            line.close()
        await self._sockets.clock.sleep(0)


def _forget(gone: Wire) -> None:
    """Nobody else waits for what an account had for itself."""


class SocketExchange:
    """The open sockets of one address and those who wait for a line."""

    def __init__(self, url: Secret, transport: Transport, clock: Clock, gate: Gate, sharing: Sharing, pace: DialPace) -> None:
        self._url, self._transport, self._clock, self._gate, self._sharing, self._pace = url, transport, clock, gate, sharing, pace
        self.wires: list[Wire] = []
        self._callers: dict[Caller, None] = {}
        self._openings = Openings(gate, clock, sharing.line_weight)
        self._server: asyncio.Task[None] | None = None

    async def call(self, owner: Secret, until_age_ms: int, events: SocketEvents, time_limit_ms: int) -> SharedLine:
        caller = Caller(owner, until_age_ms, events, Millis(self._clock.now() + time_limit_ms))
        self._callers[caller] = None
        if self._server is None or self._server.done():
            self._server = self._clock.spawn(self._serve(), "shared sockets")
        limit = self._clock.call_at(caller.expires_at, lambda: caller.refuse(f"no line within {time_limit_ms} ms"))
        try:
            line = await caller.line
        except asyncio.CancelledError:
            if caller.line.done() and not caller.line.cancelled() and caller.line.exception() is None:
                caller.line.result().close()
            raise
        finally:
            limit.cancel()
            del self._callers[caller]
        asyncio.get_running_loop().call_soon(line.hand_over)
        return line

    def close(self) -> asyncio.Task[None] | None:
        """Ends all; returns the task that is about to end with it."""
        if self._server is not None:
            self._server.cancel()
        for caller in self._callers:
            caller.refuse("all sockets are being closed")
        for wire in list(self.wires):
            wire.close()
        return self._server

    # --- serving those who wait ---

    async def _serve(self) -> None:
        while callers := self._waiting():
            wire = self._wire_for(callers[0]) or await self._dial()
            if wire is not None:
                await self._hand_out(wire, callers[0])

    def _waiting(self) -> list[Caller]:
        return [caller for caller in self._callers if not caller.line.done()]

    def _wire_for(self, caller: Caller) -> Wire | None:
        return next((wire for wire in self.wires if wire.can_take(caller.owner, caller.until_age_ms)), None)

    async def _dial(self) -> Wire | None:
        """Opens a socket, when the venue's limits allow. Where that fails all who wait are refused: each tries again in its own time."""
        if wait_ms := self._pace.wait_ms(self._clock.now()):
            await self._clock.sleep(min(wait_ms, LONGEST_NAP_MS))
            return None
        await self._gate.grant_vital(self._sharing.dial_weight)
        if not (waiting := self._waiting()):
            return None
        left_ms = max(each.expires_at for each in waiting) - self._clock.now()
        wire = Wire(self._sharing.make_switchboard(), self._clock, self._gate, self._part_with)
        try:
            socket = await self._transport.connect(self._url, wire, time_limit_ms=max(1, left_ms))
        except UserStreamError as error:
            for caller in self._callers:
                caller.refuse(str(error))
            return None
        wire.carry(socket)
        self.wires.append(wire)
        return wire

    async def _hand_out(self, wire: Wire, first: Caller) -> None:
        """Lines for the first and some others who can have one here; a socket that nobody wants is closed."""
        await self._openings.pay(len(self._waiting()))
        for caller in self._waiting()[:LINES_AT_ONCE]:
            until_age_ms = LONG_MS if caller is first else caller.until_age_ms
            if wire.can_take(caller.owner, until_age_ms) and self._openings.take():
                caller.line.set_result(wire.join(caller.owner, caller.events, self._sharing.line_weight))
        if not wire.lines:
            wire.close()
        await self._clock.sleep(0)

    def _part_with(self, gone: Wire) -> None:
        self._openings.expect(len(gone.lines))
        if gone in self.wires:
            self.wires.remove(gone)


class Openings:
    """The request weight of lines to be opened, taken for all who need one before the first has one: the books of those who come first must
    not use up what the last need to come at all."""

    def __init__(self, gate: Gate, clock: Clock, weight: int) -> None:
        self._gate, self._clock, self._weight = gate, clock, weight
        self._paid = self._expected = 0
        self._expected_at = self._paid_at = clock.now()

    def expect(self, lines: int) -> None:
        """So many lines were lost together, and will be wanted again."""
        if lines:
            self._expected, self._expected_at = lines, self._clock.now()

    async def pay(self, waiting: int) -> None:
        """Returns when at least one opening is paid, as many as the budget allows of those who wait or will soon."""
        now = self._clock.now()
        self._paid = self._paid if now - self._paid_at < SOON_MS else 0
        expected = self._expected if now - self._expected_at < SOON_MS else 0
        unpaid = max(waiting, expected) - self._paid
        if unpaid <= 0 or (self._paid and not self._room()):
            return
        lines = max(1, min(unpaid, self._room()))
        await self._gate.grant_vital(self._weight * lines)
        self._paid, self._paid_at = self._paid + lines, self._clock.now()

    def take(self) -> bool:
        """One opening, if one is paid."""
        if not self._paid:
            return False
        self._paid -= 1
        self._expected = max(0, self._expected - 1)
        return True

    def _room(self) -> int:
        """Openings for which the current minute has weight."""
        return max(0, self._gate.budget.limit - self._gate.used_weight) // self._weight
