"""The sockets of one account: make before break. A successor is opened before its predecessor is closed, whenever that one still delivers;
a silent successor never replaces a speaking predecessor. Pure: sessions wish, the feed decides, the shell carries out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from userstream.domain.events import Event
from userstream.kernel.errors import UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.wire.assurance import PUNCTUAL_MS, Assurance
from userstream.wire.pacing import Backoff, VenueClock
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.session import Call, Connect, Effect, GiveUp, Opened, Ping, Refrain, Reset, Send, Session, Troubled

STARTING: Final = "starting"
NEVER: Final = Millis(2**62)

SHORT_LIFE_MS: Final = 10_000
"""A socket that ends sooner counts as a failed try, so that a venue that hangs up at once is not called in a loop."""


KEY_DIED: Final = "the listen key of the former socket died, nobody knows when"
UNANSWERED: Final = "the former socket gave no sign of life before it was replaced"

DOUBT_LIMIT_MS: Final = 5_000
"""How long a socket in doubt may take to show that it lives."""


class Dial(msgspec.Struct, frozen=True, tag=True):
    """Open a socket for this connection number."""

    connection: int
    url: Secret
    label: str


class Hang(msgspec.Struct, frozen=True, tag=True):
    """Close the socket of this connection, if it is open."""

    connection: int


class SendText(msgspec.Struct, frozen=True, tag=True):
    connection: int
    text: Secret


class SendPing(msgspec.Struct, frozen=True, tag=True):
    connection: int


class SessionCall(msgspec.Struct, frozen=True, tag=True):
    """Make a call for a session; the answer goes to `Machine.session_response`."""

    connection: int
    tag: str
    request: HttpRequest


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Ask the venue's REST when the weight budget allows: `Machine.prepare(ask)` makes the call, `Machine.answered` takes the answer."""

    ask: int
    weight: int
    urgent: bool


class Pause(msgspec.Struct, frozen=True, tag=True):
    """No call goes out for so long, of whichever account behind this address: the venue said so on a socket."""

    pause_ms: int


class Fail(msgspec.Struct, frozen=True, tag=True):
    """The account cannot go on: a person must act. All sockets are being closed."""

    error: UserStreamError


Wish: TypeAlias = Dial | Hang | SendText | SendPing | SessionCall | Ask | Pause | Fail


class Line:
    """One socket's place in the feed."""

    __slots__ = (
        *("connection", "session", "dialed", "dialing_since", "opened", "retiring_at", "frames", "frames_at_succession"),
        *("trouble", "doubted_until", "frames_at_doubt", "told", "asked_at"),
    )

    def __init__(self, connection: int, session: Session, now: Millis) -> None:
        self.connection, self.session = connection, session
        self.opened: Millis | None = None
        self.retiring_at: Millis | None = None
        self.frames = 0
        self.frames_at_succession = 0
        self.dialing_since = now
        self.dialed = False
        self.trouble = ""
        self.doubted_until: Millis | None = None
        self.frames_at_doubt = 0
        self.told: tuple[Event, ...] = ()
        self.asked_at: Millis | None = None


class Break(msgspec.Struct, frozen=True):
    """Up to `after` (our steady ms) all was told; what happened between that and the next socket's opening may not have been."""

    after: Millis
    reason: str


class FeedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """redundancy: how many sockets deliver at any time. drain_ms: how long a predecessor goes on beside its successor, for what
    the venue tells so much later than it happened. opening_limit_ms: how long a socket may take from the first wish to delivery."""

    redundancy: int = 1
    drain_ms: int = 5_000
    opening_limit_ms: int = 30_000
    backoff: Backoff = Backoff()


class Feed:
    """Keeps `redundancy` delivering sockets. `is_lit` says whether at least one delivers; `lit_since` since when without a break."""

    def __init__(self, make_session: Callable[[int, int, Millis], Session], policy: FeedPolicy, clock: VenueClock) -> None:
        self._make_session, self._policy = make_session, policy
        self.assurance = Assurance(clock)
        self.lines: dict[int, Line] = {}
        self.wishes: list[Wish] = []
        self.lit_since: Millis | None = None
        self.last_heard = Millis(0)
        self.failures = 0
        self.opened_count = 0
        self.reason = STARTING
        self.form = 0
        self.drift: dict[str, int] = {}
        self.broken: Break | None = None
        self._numbers = 0
        self._next_dial = Millis(0)
        self._stopped = False

    @property
    def is_lit(self) -> bool:
        return self.lit_since is not None

    def take_break(self, now: Millis) -> Break | None:
        """Why something may be missing though a socket delivered all the time, once: its predecessor did not live until it opened."""
        found, self.broken = self.broken, None
        if found is not None:
            self.assurance.begin_anew(now)
        return found

    @property
    def current(self) -> Line | None:
        """The newest delivering socket."""
        for line in reversed(self.lines.values()):
            if line.opened is not None:
                return line
        return None

    def sure_until(self, now: Millis) -> Millis:
        """Up to when (our steady time) the sockets told all that happened; what was made shortly before may be overtaken."""
        return self.assurance.until(self.lines.values(), now)

    @property
    def next_try(self) -> Millis | None:
        """When a socket that could not be opened is tried again; None while one is open, or a try is on its way."""
        if self.is_lit or self._stopped:
            return None
        troubled = [line.session.deadline() for line in self.lines.values() if line.trouble and not line.dialed]
        due = min(troubled, default=NEVER) if self.lines else self._next_dial
        return None if due >= NEVER else due

    def start_numbering(self, after: int) -> None:
        """Connection numbers go on after those of earlier runs."""
        self._numbers = max(self._numbers, after)

    def start(self, now: Millis) -> None:
        self._keep_lines(now)

    def stop(self, now: Millis) -> None:
        """Closes everything; nothing is opened again."""
        self._stopped = True
        for line in list(self.lines.values()):
            self._carry(line, line.session.close(now), now)
            self._drop(line, "stopped", now)

    # --- what the shell reports ---

    def connected(self, connection: int, now: Millis) -> None:
        if line := self.lines.get(connection):
            self._carry(line, line.session.connected(now), now)

    def pinged(self, connection: int, now: Millis) -> None:
        if line := self.lines.get(connection):
            self.last_heard = now
            line.doubted_until = None
            self.assurance.heard(line)
            self._carry(line, line.session.pinged(now), now)

    def excuse_silence(self, now: Millis) -> None:
        """Nothing is read from the sockets now: their silence is ours, and no sign of their death."""
        for line in list(self.lines.values()):
            if line.opened is not None:
                self._carry(line, line.session.pinged(now), now)

    def doubt_sockets(self, now: Millis) -> None:
        """Every open socket may be dead: it is pinged at once, and replaced unless it shows soon that it lives."""
        for line in self.lines.values():
            if line.opened is not None:
                line.doubted_until, line.frames_at_doubt = Millis(now + DOUBT_LIMIT_MS), line.frames
                self.wishes.append(SendPing(line.connection))

    def closed(self, connection: int, reason: str, now: Millis) -> None:
        if line := self.lines.get(connection):
            self._replace(line, reason, alive=False, now=now)

    def respond(self, connection: int, tag: str, response: HttpResponse, now: Millis) -> None:
        if line := self.lines.get(connection):
            self._carry(line, line.session.respond(tag, response, now), now)

    def carry(self, line: Line, effect: Effect, now: Millis) -> None:
        """Carries out what a session wished beside its events."""
        self._carry(line, [effect], now)

    def suspect(self, reason: str, now: Millis) -> None:
        """The books show something that no socket told: replace the socket, by another way of subscribing if it never spoke."""
        line = self.current
        if line is not None and line.retiring_at is None:
            if line.frames == 0:
                self.form += 1
            self._replace(line, reason, alive=True, now=now)

    def tick(self, now: Millis) -> None:
        for line in list(self.lines.values()):
            if line.connection in self.lines and (due := line.session.deadline()) <= now:
                effects = line.session.tick(now)
                if now - due <= PUNCTUAL_MS and any(isinstance(effect, Ping | Send) for effect in effects):
                    line.asked_at = now
                self._carry(line, effects, now)
        for line in list(self.lines.values()):
            if line.connection in self.lines:
                self._tick_line(line, now)
        self._keep_lines(now)

    def deadline(self) -> Millis:
        due, missing = NEVER, self._policy.redundancy
        for line in self.lines.values():
            if (wanted := line.session.deadline()) < due:
                due = wanted
            if line.opened is None:
                due = min(due, Millis(line.dialing_since + self._policy.opening_limit_ms))
            if line.doubted_until is not None:
                due = min(due, line.doubted_until)
            if line.retiring_at is None:
                missing -= 1
            elif self._has_successor(line):
                due = min(due, line.retiring_at)
        return min(due, self._next_dial) if missing > 0 and not self._stopped else due

    # --- inside ---

    def _carry(self, line: Line, effects: list[Effect], now: Millis) -> None:
        """Passes over `Emit`: only a frame brings events, and the machine takes them from it."""
        for effect in effects:
            if line.connection not in self.lines:
                return
            match effect:
                case Connect(url, label):
                    line.dialed = True
                    self.wishes.append(Dial(line.connection, url, label))
                case Send(text):
                    self.wishes.append(SendText(line.connection, text))
                case Ping():
                    self.wishes.append(SendPing(line.connection))
                case Call(tag, request):
                    self.wishes.append(SessionCall(line.connection, tag, request))
                case Opened():
                    self._open(line, now)
                case Reset(reason, alive):
                    self._replace(line, reason, alive=alive, now=now)
                case Troubled(reason):
                    self._note_trouble(line, reason)
                case Refrain(pause_ms):
                    self.wishes.append(Pause(pause_ms))
                case GiveUp(error):
                    self.wishes.append(Fail(error))
                    self.stop(now)

    def _note_trouble(self, line: Line, reason: str) -> None:
        line.trouble = reason
        if not self.is_lit:
            self.reason = reason

    def _open(self, line: Line, now: Millis) -> None:
        if line.opened is not None:
            return
        self.sure_until(now)
        self.assurance.opened(line, now, was_lit=self.is_lit)
        if self.is_lit and self.assurance.key_died_after is not None:
            self.broken = Break(self.assurance.key_died_after, KEY_DIED)
        self._ask_for_signs(now)
        line.opened = self.last_heard = now
        self.opened_count += 1
        if self.lit_since is None:
            self.lit_since = now
        for other in self.lines.values():
            other.frames_at_succession = other.frames
            if other.retiring_at is not None:  # the full time beside each successor, also when an earlier one did not last
                other.retiring_at = Millis(now + self._policy.drain_ms)

    def _ask_for_signs(self, now: Millis) -> None:
        """A successor vouches for what comes from now on; up to now its predecessors must."""
        for line in self.lines.values():
            if line.opened is not None:
                line.asked_at = now
                self.wishes.append(SendPing(line.connection))

    def _replace(self, line: Line, reason: str, *, alive: bool, now: Millis) -> None:
        self.reason = reason
        if alive and line.opened is not None:
            if line.retiring_at is None:
                line.retiring_at = Millis(now + self._policy.drain_ms)
                self._next_dial = now
        else:
            lived = now - line.opened if line.opened is not None else None
            self._drop(line, reason, now)
            self.form += lived is None and line.dialed  # another way of subscribing helps only where a socket was tried
            self.failures = self.failures + 1 if lived is None or lived < SHORT_LIFE_MS else 0
            self._next_dial = Millis(now + self._policy.backoff.delay_ms(self.failures))
        self._keep_lines(now)

    def _drop(self, line: Line, reason: str, now: Millis) -> None:
        if self.lines.pop(line.connection, None) is None:
            return
        self.assurance.hear_out(line, now)
        for name, times in line.session.drift.items():
            self.drift[name] = self.drift.get(name, 0) + times
        self.wishes.append(Hang(line.connection))
        remaining = [other.opened for other in self.lines.values() if other.opened is not None]
        if not remaining:
            self.lit_since = self.broken = None
            self.reason = reason
        elif line.opened is not None and (sure := self.sure_until(now)) < min(remaining):
            self.broken = self.broken or Break(sure, UNANSWERED)

    def _tick_line(self, line: Line, now: Millis) -> None:
        if line.opened is None:
            if now >= line.dialing_since + self._policy.opening_limit_ms:
                self._replace(line, line.trouble or "the socket did not open in time", alive=False, now=now)
        elif line.doubted_until is not None and now >= line.doubted_until:
            line.doubted_until = None
            if line.frames == line.frames_at_doubt:
                self._replace(line, "the socket gave no sign of life after a pause of ours", alive=False, now=now)
        elif line.retiring_at is not None and now >= line.retiring_at and self._has_successor(line):
            self._retire(line, now)

    def _retire(self, line: Line, now: Millis) -> None:
        """Ends a predecessor, unless it told more than its successor since both are open: then that one is deaf."""
        successor = self._successor(line)
        if successor is not None and successor.frames == 0 and line.frames > line.frames_at_succession:
            self.form += 1
            line.frames_at_succession = line.frames
            line.retiring_at = Millis(now + self._policy.drain_ms)
            self._drop(successor, "the new socket stayed silent while the old one spoke", now)
            self.failures += 1
            self._next_dial = Millis(now + self._policy.backoff.delay_ms(self.failures))
            return
        self.failures = 0
        self._drop(line, "replaced", now)

    def _successor(self, line: Line) -> Line | None:
        fresh = [other for other in self.lines.values() if other.opened is not None and other.retiring_at is None]
        return fresh[-1] if fresh else None

    def _has_successor(self, line: Line) -> bool:
        return self._successor(line) is not None

    def _missing_lines(self) -> int:
        return self._policy.redundancy - sum(line.retiring_at is None for line in self.lines.values())

    def _keep_lines(self, now: Millis) -> None:
        while not self._stopped and self._missing_lines() > 0 and now >= self._next_dial:
            self._numbers += 1
            line = Line(self._numbers, self._make_session(self._numbers, self.form, now), now)
            self.lines[line.connection] = line
            self._carry(line, line.session.open(now), now)
