"""One socket that many lines share, and a line of it, which is a socket to its owner.

What goes wrong in one line ends that line: its owner's own fault, frames held for it beyond measure, a request that cannot be told from
another's. What happens to the socket happens to all its lines.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.ports import Clock, Socket, SocketEvents, Timer
from userstream.runtime.gate import Gate
from userstream.wire.session import Refrain
from userstream.wire.switchboard import NOBODY, Cut, Deliver, End, Switchboard, SwitchEffect, Transmit, Used, Warn

MOST_HELD_FRAMES: Final = 10_000
MOST_HELD_BYTES: Final = 16 * 1024 * 1024
"""Of a paused line whose neighbours read on. Beyond it the line is cut: a hole that is read from the books, and no hole for others."""

TOLD_AT_ONCE: Final = 50
DRAINED_AT_ONCE: Final = 500
"""So many call-backs in one turn of the event loop; others get their turn before the next."""

UNREADABLE: Final = "a message on the shared socket that nobody can read"
BETWEEN_PINGS_MS: Final = 250
"""Lines that ask for a ping so soon after one was sent share the next one: the venue counts what it is sent."""

Held = tuple[bytes, str | None] | None
"""A frame; an odd frame and why it is odd; or a ping."""

_log = structlog.stdlib.get_logger("userstream.socket")


class SharedLine:
    """A line of a wire: the `Socket` of one owner, who hears nothing before he has it."""

    __slots__ = ("_events", "_held", "_held_bytes", "_is_known", "_reason", "_wire", "is_paused", "number", "prepaid")

    def __init__(self, wire: Wire, number: int, events: SocketEvents, prepaid: int) -> None:
        self._wire, self.number, self._events = wire, number, events
        self.prepaid = prepaid
        self.is_paused = self._is_known = False
        self._held: deque[Held] | None = deque()
        self._held_bytes = 0
        self._reason: str | None = None

    def __repr__(self) -> str:
        return f"SharedLine({self.number}, {self._reason or 'open'})"

    @property
    def is_open(self) -> bool:
        return self._reason is None

    def hand_over(self) -> None:
        """The owner has the line: he hears what was held for him, and what comes."""
        self._is_known = True
        self._drain()

    # --- the owner's side ---

    def send(self, text: str) -> None:
        """Sends a text message as soon as the venue's request budget has room for it; does nothing once the line is closed."""
        if self._reason is None:
            self._wire.send(self, Secret(text))

    def ping(self) -> None:
        """Asks for a sign of life: `on_ping` follows once the socket answers a ping that was sent now or later."""
        if self._reason is None:
            self._wire.ping(self)

    def pause(self) -> None:
        if self._reason is None and not self.is_paused:
            self.is_paused = True
            self._held = deque() if self._held is None else self._held
            self._wire.mind_pauses(+1)

    def resume(self) -> None:
        if self._reason is None and self.is_paused:
            self.is_paused = False
            self._wire.mind_pauses(-1)
            asyncio.get_running_loop().call_soon(self._drain)

    def close(self) -> None:
        if self._reason is None:
            self._wire.hang_up(self)
            self._end("closed by us")

    # --- the wire's side ---

    def take(self, frame: bytes) -> None:
        if self._held is None:
            self._events.on_frames((frame,))
        else:
            self._hold((frame, None))

    def take_odd(self, frame: bytes, reason: str) -> None:
        if self._held is None:
            self._events.on_odd_frame(frame, reason)
        else:
            self._hold((frame, reason))

    def take_ping(self) -> None:
        if self._held is None:
            self._events.on_ping()
        elif not self._held or self._held[-1] is not None:
            self._hold(None)

    def lose(self, reason: str) -> None:
        """The wire is gone, or this line was cut from it."""
        if self._reason is None:
            self._end(reason)

    # --- inside ---

    def _hold(self, what: Held) -> None:
        if self._reason is not None or self._held is None:
            return
        self._held.append(what)
        self._held_bytes += 0 if what is None else len(what[0])
        if len(self._held) > MOST_HELD_FRAMES or self._held_bytes > MOST_HELD_BYTES:
            self._wire.cut(self.number, "too far behind its socket")

    def _drain(self) -> None:
        """Tells what was held, in turns, until all is told or the owner pauses or closes."""
        told = 0
        while self._is_known and self._held and not self.is_paused and self._reason is None:
            if told == DRAINED_AT_ONCE:
                asyncio.get_running_loop().call_soon(self._drain)
                return
            what = self._held.popleft()
            self._held_bytes -= 0 if what is None else len(what[0])
            self._wire.guard(self, lambda line, what=what: line._tell(what))  # type: ignore[misc]
            told += 1
        if self._is_known and not self._held and not self.is_paused and self._reason is None:
            self._held = None

    def _tell(self, what: Held) -> None:
        match what:
            case None:
                self._events.on_ping()
            case (frame, None):
                self._events.on_frames((frame,))
            case (frame, reason):
                self._events.on_odd_frame(frame, reason)

    def _end(self, reason: str) -> None:
        self._reason = reason
        self._held = deque()  # what comes late is dropped
        asyncio.get_running_loop().call_soon(self._tell_end, reason)

    def _tell_end(self, reason: str) -> None:
        try:
            self._events.on_closed(reason)
        except Exception as error:
            _log.error("the owner of a line failed", action="socket_owner_failed", exc_info=error)


class Wire:
    """The owner of one open socket: what it tells goes to the lines, what they say goes out within the request budget. `on_gone` hears
    its end, once."""

    def __init__(self, switchboard: Switchboard, clock: Clock, gate: Gate, on_gone: Callable[[Wire], None]) -> None:
        self.switchboard, self._clock, self._gate, self._on_gone = switchboard, clock, gate, on_gone
        self.lines: dict[int, SharedLine] = {}
        self.is_gone = False
        self.opened_at = clock.now()
        self._line_of = switchboard.line_of
        self._socket: Socket | None = None
        self._numbers = NOBODY
        self._paused = 0
        self._is_still = False
        self._next_ping = Millis(0)
        self._ping_timer: Timer | None = None
        self._unasked: set[int] = set()
        self._outbox: deque[Transmit] = deque()
        self._sender: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Wire, {len(self.lines)} lines, {'gone' if self.is_gone else 'open'}>"

    def carry(self, socket: Socket) -> None:
        """The socket is open."""
        self._socket, self.opened_at = socket, self._clock.now()

    def can_take(self, owner: Secret, until_age_ms: int) -> bool:
        """Whether a line more may join: the socket is young enough, and the venue lets the owner subscribe on it."""
        return not self.is_gone and self._clock.now() - self.opened_at <= until_age_ms and self.switchboard.can_take(owner)

    def join(self, owner: Secret, events: SocketEvents, prepaid: int) -> SharedLine:
        """A line more. `prepaid`: request weight that is granted already."""
        self._numbers += 1
        self.switchboard.join(self._numbers, owner)
        line = self.lines[self._numbers] = SharedLine(self, self._numbers, events, prepaid)
        self.mind_pauses(0)
        return line

    def close(self, reason: str = "closed by us") -> None:
        """Ends the socket and all its lines."""
        if self.is_gone:
            return
        self._lose_all(reason)
        if self._socket is not None:
            self._socket.close()

    # --- what the socket tells ---

    def on_frames(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            if not self.is_gone:
                self._take_frame(frame)

    def _take_frame(self, frame: bytes) -> None:
        line = self.lines.get(self._line_of(frame))
        if line is not None:
            try:
                line.take(frame)
            except Exception as error:
                self._blame(line, error)
            return
        for effect in self.switchboard.sort(frame):
            self._carry_out(effect, frame)

    def on_odd_frame(self, frame: bytes, reason: str) -> None:
        for effect in self.switchboard.unreadable():
            match effect:
                case Deliver(numbers):
                    self._tell(numbers, lambda line: line.take_odd(frame, reason))
                case _:
                    self._carry_out(effect)

    def on_ping(self) -> None:
        """A sign of life is none for a line whose ping is not even sent: it would vouch for a moment after the answered one."""
        for line in list(self.lines.values()):
            if line.number not in self._unasked:
                self.guard(line, SharedLine.take_ping)

    def on_closed(self, reason: str) -> None:
        if not self.is_gone:
            self._lose_all(reason)

    # --- what the lines say ---

    def send(self, line: SharedLine, text: Secret) -> None:
        for effect in self.switchboard.send(line.number, text):
            if isinstance(effect, Transmit) and effect.weight <= line.prepaid and self._socket is not None:
                line.prepaid -= effect.weight
                self._socket.send(effect.text.reveal())
            else:
                line.prepaid = 0
                self._carry_out(effect)

    def ping(self, line: SharedLine) -> None:
        """One ping for all that ask in the same turn, or too soon after the last one."""
        self._unasked.add(line.number)
        if self._ping_timer is None:
            self._ping_timer = self._clock.call_at(Millis(max(self._clock.now(), self._next_ping)), self._send_ping)

    def hang_up(self, line: SharedLine) -> None:
        if self.lines.pop(line.number, None) is None:
            return
        self._paused -= line.is_paused
        for effect in self.switchboard.hang_up(line.number):
            self._carry_out(effect)
        self.mind_pauses(0)

    def cut(self, number: int, reason: str) -> None:
        """Ends one line; the others go on."""
        line = self.lines.get(number)
        if line is not None:
            self.hang_up(line)
            line.lose(reason)

    def mind_pauses(self, change: int) -> None:
        """Stops reading where every line wants it, and nobody is hurt by it."""
        self._paused += change
        is_still = 0 < len(self.lines) == self._paused
        if is_still == self._is_still or self._socket is None or self.is_gone:
            return
        self._is_still = is_still
        if is_still:
            self._socket.pause()
        else:
            self._socket.resume()

    def guard(self, line: SharedLine, tell: Callable[[SharedLine], None]) -> None:
        """Tells a line something; a fault of its owner ends this line and no other."""
        try:
            tell(line)
        except Exception as error:
            self._blame(line, error)

    # --- inside ---

    def _carry_out(self, effect: SwitchEffect, frame: bytes = b"") -> None:
        match effect:
            case Deliver(numbers):
                self._tell(numbers, lambda line: line.take(frame))
            case Warn(numbers):
                self._tell(numbers, lambda line: line.take_odd(b"", UNREADABLE))
            case Transmit():
                self._outbox.append(effect)
                if self._sender is None or self._sender.done():
                    self._sender = self._clock.spawn(self._send_in_turn(), "shared socket: sender")
            case Used(weight):
                self._gate.learn_used(weight)
            case Refrain(pause_ms):
                self._gate.refrain(pause_ms)
            case Cut(number, reason):
                self.cut(number, reason)
            case End(reason):
                self.close(reason)

    def _tell(self, numbers: Iterable[int], tell: Callable[[SharedLine], None]) -> None:
        for number in numbers:
            if (line := self.lines.get(number)) is not None:
                self.guard(line, tell)

    def _send_ping(self) -> None:
        self._ping_timer = None
        self._unasked.clear()
        if self._socket is not None and not self.is_gone:
            self._next_ping = Millis(self._clock.now() + BETWEEN_PINGS_MS)
            self._socket.ping()

    async def _send_in_turn(self) -> None:
        while self._outbox and self._socket is not None:
            message = self._outbox.popleft()
            await self._gate.grant_vital(message.weight)
            self._socket.send(message.text.reveal())

    def _blame(self, line: SharedLine, error: Exception) -> None:
        _log.error("the owner of a line failed", action="socket_owner_failed", exc_info=error)
        self.cut(line.number, f"our own fault while handling a message: {type(error).__name__}")

    def _lose_all(self, reason: str) -> None:
        self.is_gone = True
        if self._sender is not None:
            self._sender.cancel()
        if self._ping_timer is not None:
            self._ping_timer.cancel()
        self._outbox.clear()
        self._on_gone(self)
        lost, self.lines = list(self.lines.values()), {}
        self._lose_some(lost, reason)

    def _lose_some(self, lost: list[SharedLine], reason: str) -> None:
        for line in lost[:TOLD_AT_ONCE]:
            line.lose(reason)
        if rest := lost[TOLD_AT_ONCE:]:
            asyncio.get_running_loop().call_soon(self._lose_some, rest, reason)
