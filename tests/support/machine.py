"""A machine driven in virtual time against the truth of one account: sockets, calls and a timer without an event loop.

The driver plays the shell and the world: it ticks the machine exactly at `deadline()`, carries out `take_wishes()`, and lets frames and
answers travel as a `Fate` decides. Everything that happens is a function of the script and the fate, so a run can be run again. After
each step the laws of `tests.support.laws` are held against the truth.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from tests.support.laws import Laws
from tests.support.scripted import (
    BROKEN,
    GARBAGE,
    NO_ANSWER,
    NOT_NOW,
    PLACE,
    SKEWED,
    UNREADABLE,
    Script,
    frame_of,
    question_of,
    respond,
    spec_of,
)
from tests.support.truth import Truth
from userstream.domain.events import Event
from userstream.domain.words import StreamState
from userstream.kernel.errors import UserStreamError
from userstream.kernel.ids import Millis, OrderId
from userstream.wire.feed import Ask, Dial, Fail, FeedPolicy, Hang, Pause, SendPing, SendText, SessionCall, Wish
from userstream.wire.machine import Machine, MachinePolicy
from userstream.wire.pacing import Backoff
from userstream.wire.question import Question
from userstream.wire.recovery import Policy
from userstream.wire.request import HttpResponse
from userstream.wire.venue import AccountPlace

START: Final = Millis(1_000_000)
WALL_AHEAD_MS: Final = 1_759_999_000_000
"""The machine's wall clock, counted from its clock that never jumps."""

VENUE_AHEAD_MS: Final = 140
"""How far the venue's clock is ahead of the machine's wall clock."""

BRISK: Final = MachinePolicy(
    feed=FeedPolicy(backoff=Backoff(seed=7)),
    books=Policy(lag_ms=2_000, overlap_ms=4_000, audit_ms=20_000, history_ms=60_000, poll_ms=5_000),
    polling_after_failures=3,
)
"""All cares in quick succession, so that a minute of virtual time sees each of them."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """How one call ends: answered after `delay_ms` from books that are `lag_ms` old, or with `instead`. `outward_ms`: how much of that it
    took to reach the venue (None: half)."""

    delay_ms: int = 30
    outward_ms: int | None = None
    lag_ms: int = 0
    instead: HttpResponse | None = None


class Fate:
    """How the world treats what travels: always well. Troubles are made by overriding."""

    def copies(self, connection: int, now: Millis) -> tuple[int, ...]:
        """The delays (ms) of a frame's copies; none: it is lost. Within a socket nothing overtakes."""
        return (5,)

    def dial_ms(self, connection: int, now: Millis) -> int | None:
        """How long opening a socket takes; None: it is refused."""
        return 40

    def reply(self, question: Question, now: Millis) -> Reply:
        return Reply()

    def session_reply(self, tag: str, now: Millis) -> Reply:
        return Reply()


class Instead(Fate):
    """Questions of some kind are answered with other responses, one after the other; then all is well."""

    def __init__(self, kinds: type | tuple[type, ...], *responses: HttpResponse) -> None:
        self._kinds, self._responses = kinds, list(responses)

    def reply(self, question: Question, now: Millis) -> Reply:
        if isinstance(question, self._kinds) and self._responses:
            return Reply(instead=self._responses.pop(0))
        return super().reply(question, now)


class Storm(Fate):
    """Chance decides until `until`, then all is well. Delays and lags stay below the policy's lag: what lies beyond is promised by
    nobody."""

    TROUBLES: Final = (BROKEN, NO_ANSWER, NOT_NOW, SKEWED, UNREADABLE)

    def __init__(self, seed: int, *, until: Millis, lag_ms: int, loss: float = 0.1) -> None:
        self._chance, self._until, self._lag_ms, self._loss = random.Random(seed), until, lag_ms, loss

    def copies(self, connection: int, now: Millis) -> tuple[int, ...]:
        if now >= self._until:
            return super().copies(connection, now)
        chance = self._chance.random()
        count = 0 if chance < self._loss else 2 if chance > 0.9 else 1
        return tuple(self._delay_ms() for _ in range(count))

    def dial_ms(self, connection: int, now: Millis) -> int | None:
        if now >= self._until:
            return super().dial_ms(connection, now)
        return None if self._chance.random() < 0.2 else self._chance.randrange(10, 800)

    def reply(self, question: Question, now: Millis) -> Reply:
        if now >= self._until:
            return super().reply(question, now)
        return self._rough_reply()

    def session_reply(self, tag: str, now: Millis) -> Reply:
        return super().session_reply(tag, now) if now >= self._until else self._rough_reply()

    def _rough_reply(self) -> Reply:
        instead = self._chance.choice(self.TROUBLES) if self._chance.random() < 0.2 else None
        return Reply(delay_ms=self._delay_ms(), lag_ms=self._chance.randrange(self._lag_ms), instead=instead)

    def _delay_ms(self) -> int:
        return self._chance.randrange(1, self._lag_ms // 2)


class Swell(Storm):
    """Everything takes its time and answers are as old as they may be, for ever; nothing is lost."""

    def __init__(self, seed: int, *, lag_ms: int) -> None:
        super().__init__(seed, until=START, lag_ms=lag_ms)

    def copies(self, connection: int, now: Millis) -> tuple[int, ...]:
        return (self._delay_ms(),)

    def reply(self, question: Question, now: Millis) -> Reply:
        return Reply(delay_ms=self._delay_ms(), lag_ms=self._chance.randrange(self._lag_ms))


class Socket:
    """One socket as the world sees it. deaf: the venue tells it nothing, but answers pings. frozen: nothing passes at all."""

    def __init__(self, connection: int, form: str) -> None:
        self.connection, self.form = connection, form
        self.deaf = self.frozen = False
        self.last_arrival = Millis(0)


class Driver:
    """Shell and world around one machine. `facts` is all that was published, `asked` what REST was asked, in order, with the time."""

    def __init__(
        self,
        fate: Fate | None = None,
        *,
        policy: MachinePolicy = BRISK,
        place: AccountPlace = PLACE,
        script: Script | None = None,
    ) -> None:
        self.now = START
        self._place = place
        self.fate, self.script, self.policy = fate or Fate(), script or Script(), policy
        self.venue_ahead_ms = VENUE_AHEAD_MS
        self.truth = Truth(self.venue_now)
        self.truth.outbox.clear()
        self.machine = Machine(spec_of(self.script), place, policy, now=self.now, wall=self.wall)
        self.account = self.machine.account
        self.laws = Laws(self.truth, self.account, policy.books, began=self.venue_now)
        self.facts: list[Event] = []
        self.asked: list[tuple[Millis, Question]] = []
        self.wished: Counter[str] = Counter()
        self.sockets: dict[int, Socket] = {}
        self.deaf_forms: set[str] = set()
        self.error: UserStreamError | None = None
        self._coming: list[tuple[Millis, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    # --- clocks ---

    @property
    def wall(self) -> Millis:
        return Millis(self.now + WALL_AHEAD_MS)

    @property
    def venue_now(self) -> Millis:
        return Millis(self.now + WALL_AHEAD_MS + self.venue_ahead_ms)

    @property
    def connections(self) -> list[int]:
        """The open sockets, oldest first."""
        return list(self.sockets)

    # --- time ---

    def start(self) -> Driver:
        self._note(self.machine.start(self.now, self.wall))
        return self

    def stop(self) -> None:
        self._note(self.machine.stop(self.now, self.wall))

    def restart(self, dark_ms: int = 0, *, checkpoint: tuple[Event, ...] = ()) -> None:
        """The process is killed, and `dark_ms` later another one takes up its journal, or a checkpoint of now. What was on its way or
        planned is lost."""
        self._coming.clear()
        self.sockets.clear()
        self.now = Millis(self.now + dark_ms)
        journal, connections = list(self.facts), [line.connection for line in self.machine.feed.lines.values()]
        self.machine = Machine(spec_of(self.script), self._place, self.policy, now=self.now, wall=self.wall)
        self.account = self.machine.account
        self.machine.feed.start_numbering(max(connections, default=0))
        if journal:
            self.machine.restore(checkpoint or journal, journal[-1].sequence, journal[-1].received_time)
        self.laws.restarted(self.account)
        self.start()

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Something of the world happens later. Of two things in one millisecond the one planned first comes first."""
        heapq.heappush(self._coming, (Millis(self.now + delay_ms), next(self._numbers), action))

    def step(self, until: Millis) -> bool:
        """The next thing that happens, if it happens by `until`."""
        coming = self._coming[0][0] if self._coming else None
        deadline = self.machine.deadline()
        if coming is not None and coming <= min(until, deadline):
            self.now = max(self.now, coming)
            heapq.heappop(self._coming)[2]()
            return True
        if deadline > until:
            return False
        self.now = max(self.now, deadline)
        self._note(self.machine.tick(self.now, self.wall))
        assert self.machine.deadline() > self.now, "a tick at the deadline did not move it: a busy loop"
        return True

    def run_until(self, until: Millis) -> None:
        while self.step(until):
            pass
        self.now = until

    def run_for(self, duration_ms: int) -> None:
        self.run_until(Millis(self.now + duration_ms))

    def run_until_live(self, limit_ms: int = 60_000) -> Driver:
        """Stops at the moment the account is live."""
        until = Millis(self.now + limit_ms)
        while self.account.state is not StreamState.LIVE:
            assert self.step(until), f"not live within {limit_ms} ms: {self.account.state}, {self.machine.feed.reason}"
        return self

    def stall(self, duration_ms: int) -> None:
        """The process does not run for a while; what came in the meantime is taken late."""
        self.now = Millis(self.now + duration_ms)

    # --- deeds of the account, told to every socket ---

    def place(self, quantity: str = "0.3", *, conditional: bool = False) -> OrderId:
        order_id = self.truth.place(self.venue_now, quantity=quantity, conditional=conditional)
        self.tell()
        return order_id

    def fill(self, order_id: OrderId, quantity: str = "0.1") -> None:
        self.truth.fill(self.venue_now, order_id, quantity)
        self.tell()

    def trade(self, quantity: str = "0.1") -> OrderId:
        """An order and its only fill, within one millisecond."""
        order_id = self.truth.place(self.venue_now, quantity=quantity)
        self.truth.fill(self.venue_now, order_id, quantity)
        self.tell()
        return order_id

    def cancel(self, order_id: OrderId, *, conditional: bool = False) -> None:
        self.truth.cancel(self.venue_now, order_id, conditional=conditional)
        self.tell()

    def tell(self) -> None:
        """Sends what the truth has to tell."""
        frames, self.truth.outbox = self.truth.outbox, []
        for frame in frames:
            for connection in self.connections:
                self.send(connection, frame_of(frame))

    def tell_nobody(self) -> None:
        """The venue keeps to itself what just happened."""
        self.truth.outbox.clear()

    # --- sockets ---

    def send(self, connection: int, frame: bytes) -> None:
        """The venue sends a frame; it travels as the fate decides."""
        socket = self.sockets[connection]
        if socket.deaf or socket.frozen:
            return
        for delay_ms in self.fate.copies(connection, self.now):
            arrival = socket.last_arrival = max(socket.last_arrival, Millis(self.now + delay_ms))
            self.after(arrival - self.now, lambda: self._deliver(connection, frame))

    def send_garbage(self, connection: int) -> None:
        self.send(connection, GARBAGE)

    def cut(self, connection: int, reason: str = "connection reset") -> None:
        """A socket breaks: what is on its way is lost."""
        if self.sockets.pop(connection, None) is not None:
            self._note(self.machine.closed(connection, reason, self.now, self.wall))

    def cut_all(self) -> None:
        for connection in self.connections:
            self.cut(connection)

    def _deliver(self, connection: int, frame: bytes) -> None:
        socket = self.sockets.get(connection)
        if socket is not None and not socket.frozen:
            self._note(self.machine.frame(connection, frame, self.now, self.wall))

    # --- wishes ---

    def _note(self, facts: tuple[Event, ...]) -> None:
        self.facts += facts
        self.laws.hold(facts, self.machine, self.venue_now)
        for wish in self.machine.take_wishes():
            self.wished[type(wish).__name__] += 1
            self.laws.hold_wish(wish)
            self._carry_out(wish)

    def _carry_out(self, wish: Wish) -> None:
        match wish:
            case Dial(connection, url):
                self._dial(connection, url.reveal().rpartition("/")[2])
            case Hang(connection):
                self.sockets.pop(connection, None)
            case SendText():
                pass  # nothing here waits for a greeting
            case SendPing(connection):
                self._ping(connection)
            case SessionCall(connection, tag):
                self._session_call(connection, tag)
            case Ask(ask):
                self._ask(ask)
            case Pause():
                pass  # these venues set no limits
            case Fail(error):
                self.error = error

    def _dial(self, connection: int, form: str) -> None:
        delay_ms = self.fate.dial_ms(connection, self.now)
        if delay_ms is None:
            self.after(40, lambda: self._note(self.machine.closed(connection, "connection refused", self.now, self.wall)))
            return
        self.after(delay_ms, lambda: self._open(connection, form))

    def _open(self, connection: int, form: str) -> None:
        if connection in self.machine.feed.lines:
            socket = self.sockets[connection] = Socket(connection, form)
            socket.deaf = form in self.deaf_forms
            self._note(self.machine.connected(connection, self.now, self.wall))

    def _ping(self, connection: int) -> None:
        def pong() -> None:
            socket = self.sockets.get(connection)
            if socket is not None and not socket.frozen:
                self._note(self.machine.pinged(connection, self.now, self.wall))

        self.after(20, pong)

    def _session_call(self, connection: int, tag: str) -> None:
        reply = self.fate.session_reply(tag, self.now)
        response = reply.instead or HttpResponse(status=200, body=b"listen-key-1")
        self.after(reply.delay_ms, lambda: self._note(self.machine.session_response(connection, tag, response, self.now, self.wall)))

    def _ask(self, ask: int) -> None:
        """The call goes out at once; the venue looks into its books when it arrives."""
        request = self.machine.prepare(ask, self.now)
        if request is None:
            return
        question = question_of(request)
        self.asked.append((self.now, question))
        reply = self.fate.reply(question, self.now)
        outward_ms = reply.delay_ms // 2 if reply.outward_ms is None else reply.outward_ms
        self.after(outward_ms, lambda: self._look_up(ask, question, reply, reply.delay_ms - outward_ms))

    def _look_up(self, ask: int, question: Question, reply: Reply, back_ms: int) -> None:
        seen = Millis(self.venue_now - reply.lag_ms)
        response = reply.instead or respond(self.truth, self.script, question, seen=seen, venue_now=self.venue_now)
        self.after(back_ms, lambda: self._note(self.machine.answered(ask, response, self.now, self.wall)))
