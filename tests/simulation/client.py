"""One account of ours in a simulation: the real machine, and around it what the shell does, in virtual time.

The journal is a list of which a tail is not on disk yet: a kill takes the tail. A stall is an event loop that does nothing for a while;
what arrives meanwhile is handled afterwards, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from tests.simulation.claims import check
from tests.simulation.exchange import NO_ANSWER, Exchange
from tests.simulation.gate import Gate
from tests.simulation.network import Link, Network
from tests.simulation.scheduler import EPOCH_MS, Scheduler
from tests.simulation.watch import Watch
from userstream.domain.events import Event, FillCompleted, Filled
from userstream.domain.fold import checkpoint_of
from userstream.domain.words import StreamState
from userstream.kernel.errors import UserStreamError
from userstream.kernel.ids import Millis
from userstream.ports import Record
from userstream.sim.lanes import Kind, Lane, Parcel
from userstream.wire.feed import Ask, Dial, Fail, Hang, Pause, SendPing, SendText, SessionCall, Wish
from userstream.wire.kept_frames import without_key
from userstream.wire.machine import Machine, MachinePolicy
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.venue import AccountPlace, VenueSpec

CALL_LIMIT_MS: Final = 3_000
SYNC_MS: Final = 15
CHECKPOINT_MS: Final = 7_000
LOADING_MS: Final = 5
FILLS: Final = (Filled, FillCompleted)
TEXT: Final = Kind.TEXT


class Disk:
    """What survives a kill: records that were synced, with their fills apart, and the last checkpoint."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.fills: list[Filled | FillCompleted] = []
        self.checkpoint: tuple[int, tuple[Event, ...]] = (0, ())

    def keep(self, records: Sequence[Record]) -> None:
        self.records += records
        self.fills += [event for record in records for event in record.events if isinstance(event, FILLS)]


class Socket:
    """The client's end of a socket."""

    def __init__(self, lane: Lane, link: Link) -> None:
        self.lane, self.link = lane, link


class Client:
    """Runs an account until the end of the simulation; `kill` and `start` as often as one likes."""

    def __init__(
        self,
        scheduler: Scheduler,
        network: Network,
        exchange: Exchange,
        gate: Gate,
        spec: VenueSpec,
        place: AccountPlace,
        policy: MachinePolicy,
        watch: Watch,
    ) -> None:
        self._scheduler, self._network, self._exchange, self._gate = scheduler, network, exchange, gate
        self._spec, self._place, self._policy = spec, place, policy
        self.watch = watch
        self.disk = Disk()
        self.sockets: dict[int, Socket] = {}
        self.last_opened = Millis(0)
        self.wall_error_ms = self._former_error_ms = 0
        self.sync_ms = SYNC_MS
        self.stalled_until = Millis(0)
        self.error: UserStreamError | None = None
        self.is_running = False
        self._next_start = Millis(0)
        self._life = 0
        self._missed: deque[Callable[[], None]] = deque()
        self._unsynced: list[Record] = []
        self._armed = Millis(0)
        self._next_checkpoint = Millis(0)
        self.machine: Machine = self._make_machine()

    @property
    def name(self) -> str:
        return self._place.account

    @property
    def _now(self) -> Millis:
        return self._scheduler.now

    @property
    def _wall(self) -> Millis:
        return Millis(self._scheduler.now + EPOCH_MS + self.wall_error_ms)

    # --- life ---

    def start(self) -> None:
        """A process comes up and takes up what the disk holds; nothing if one runs already. No machine starts two within a moment."""
        if self.is_running:
            return
        if self._now < self._next_start:
            self._scheduler.at(self._next_start, self.start)
            return
        self._next_start = Millis(self._now + LOADING_MS)
        self._life += 1
        self.is_running = True
        self.machine = self._make_machine()
        self._restore()
        durable = [event for record in self.disk.records for event in record.events]
        last_written = self.disk.records[-1].received_time if durable else self._wall
        set_back = self.wall_error_ms < self._former_error_ms or self._wall < last_written
        self.watch.restarted(self.machine, durable, set_back=set_back)
        self._former_error_ms = self.wall_error_ms
        self._next_checkpoint = Millis(self._now + CHECKPOINT_MS)
        self._publish(0, b"", self.machine.start(self._now, self._wall))

    def kill(self) -> None:
        """The process ends within an instruction; what was not synced is gone, and so are its sockets."""
        self._life += 1
        self.is_running = False
        self._unsynced.clear()
        self.stalled_until = Millis(0)
        self._missed.clear()
        for socket in list(self.sockets.values()):
            socket.link.is_broken = True
            self._exchange.hang_up(socket.lane)
        self.sockets.clear()
        self.watch.stopped(self._now)

    def stop(self) -> None:
        """An ordered end: all is synced, a checkpoint is kept."""
        self._publish(0, b"", self.machine.stop(self._now, self._wall))
        self._sync(len(self._unsynced))
        self._keep_checkpoint()
        self.kill()

    def _make_machine(self) -> Machine:
        return Machine(self._spec, self._place, self._policy, now=self._now, wall=self._wall)

    def _restore(self) -> None:
        if not self.disk.records:
            return
        sequence, events = self.disk.checkpoint
        known = list(events)
        for record in self.disk.records:
            if record.sequence + max(0, len(record.events) - 1) > sequence:
                known += record.events
            self.machine.feed.start_numbering(record.connection)
        last = self.disk.records[-1]
        self.machine.restore(known, last.sequence + max(0, len(last.events) - 1), last.received_time)

    # --- what it hears ---

    def hear(self, connection: int, parcel: Parcel) -> None:
        if self._is_awake:
            self._take(connection, parcel)
        else:
            self._miss(partial(self._take, connection, parcel))

    def hear_end(self, connection: int, reason: str) -> None:
        if self._is_awake:
            self._take_end(connection, reason)
        else:
            self._miss(lambda: self._take_end(connection, reason))

    def _take(self, connection: int, parcel: Parcel) -> None:
        if connection not in self.sockets:
            return
        machine = self.machine
        if parcel.kind is TEXT:
            frame = without_key(parcel.body)
            self._publish(connection, frame, machine.frame(connection, frame, self._scheduler.now, self._wall))
        elif parcel.kind is Kind.BINARY:
            facts = machine.odd_frame(connection, parcel.body, "a binary frame", self._now, self._wall)
            self._publish(connection, parcel.body, facts)
        else:
            self._publish(connection, b"", machine.pinged(connection, self._now, self._wall))

    def _take_end(self, connection: int, reason: str) -> None:
        if self.sockets.pop(connection, None) is not None:
            self._publish(connection, b"", self.machine.closed(connection, reason, self._now, self._wall))

    def _tick(self, due: Millis) -> None:
        if due != self._armed:
            return
        now = self._scheduler.now
        if self._next_checkpoint <= now:
            self._sync(len(self._unsynced))
            self._keep_checkpoint()
        self._publish(0, b"", self.machine.tick(now, self._wall))
        assert self._armed > now, "a tick at the deadline did not move it: a busy loop"

    # --- what it keeps ---

    def _publish(self, connection: int, frame: bytes, facts: tuple[Event, ...]) -> None:
        machine = self.machine
        if facts or frame:
            sequence = facts[0].sequence if facts else machine.claim_sequence()
            self._unsynced.append(Record(self._place.account, sequence, self._wall, connection, frame, facts))
            if len(self._unsynced) == 1:
                self._scheduler.after(self.sync_ms, partial(self._sync_if, self._life))
            self.watch.told(facts, machine, self._scheduler.now)
        for wish in machine.take_wishes():
            self._carry_out(wish)
        self._arm()

    def _sync_if(self, life: int) -> None:
        if life == self._life:
            self._sync(len(self._unsynced))

    def _sync(self, count: int) -> None:
        self.disk.keep(self._unsynced[:count])
        del self._unsynced[:count]

    def _keep_checkpoint(self) -> None:
        if self.machine.can_be_resumed:
            self.disk.checkpoint = (self.machine.sequence, tuple(checkpoint_of(self.machine.account)))
        self._next_checkpoint = Millis(self._now + CHECKPOINT_MS)

    # --- what it wishes ---

    def _arm(self) -> None:
        due = min(self.machine.deadline(), self._next_checkpoint)
        if due != self._armed:
            self._armed = due
            self._scheduler.at(due, self._alive(partial(self._tick, due)))

    def _carry_out(self, wish: Wish) -> None:
        match wish:
            case Ask(ask, weight, urgent):
                self._gate.grant(weight, urgent, self._alive(partial(self._ask, ask)))
            case Dial(connection, url):
                self._dial(connection, url.reveal())
            case Hang(connection):
                self._hang(connection)
            case SendText(connection, text):
                self._send(connection, lambda lane: self._exchange.receive(lane, text.reveal()))
            case SendPing(connection):
                self._send(connection, self._pong)
            case SessionCall():
                self._call_for_session(wish)
            case Pause(pause_ms):
                self._gate.refrain(pause_ms)
            case Fail(error):
                self.error = error

    def _dial(self, connection: int, url: str) -> None:
        delay_ms = self._network.dial_ms()
        if delay_ms is None:
            refused = self._alive(lambda: self._refused(connection, "connection refused"))
            self._scheduler.after(self._network.latency_ms(), refused)
            return
        self._scheduler.after(delay_ms, self._alive(lambda: self._open(connection, url)))

    def _refused(self, connection: int, reason: str) -> None:
        self._publish(connection, b"", self.machine.closed(connection, reason, self._now, self._wall))

    def _open(self, connection: int, url: str) -> None:
        if connection not in self.machine.feed.lines:
            return
        lane = self._exchange.dial(url)
        if lane is None:
            self._refused(connection, "HTTP 404 instead of a socket")
            return
        link = Link(self._network, self, connection)
        self.sockets[connection] = Socket(lane, link)
        self.last_opened = self._now
        self._exchange.connect(lane, link)
        self._publish(connection, b"", self.machine.connected(connection, self._now, self._wall))

    def _hang(self, connection: int) -> None:
        socket = self.sockets.pop(connection, None)
        if socket is not None:
            socket.link.is_broken = True
            self._exchange.hang_up(socket.lane)

    def _send(self, connection: int, arrive: Callable[[Lane], None]) -> None:
        socket = self.sockets.get(connection)
        if socket is not None and not socket.link.is_black_hole:
            self._scheduler.after(self._network.latency_ms(), lambda: None if socket.link.is_black_hole else arrive(socket.lane))

    def _pong(self, lane: Lane) -> None:
        lane.send(Parcel(kind=Kind.PONG, body=b""))
        self._exchange.wake(lane)

    def _call_for_session(self, call: SessionCall) -> None:
        def send() -> None:
            self._call(call.request, answered)

        def answered(response: HttpResponse) -> None:
            self._gate.learn(response)
            facts = self.machine.session_response(call.connection, call.tag, response, self._now, self._wall)
            self._publish(call.connection, b"", facts)

        self._gate.grant_vital(call.request.weight, self._alive(send))

    def _ask(self, ask: int) -> None:
        request = self.machine.prepare(ask, self._now)
        if request is None:
            return

        def answered(response: HttpResponse) -> None:
            machine, now = self.machine, self._scheduler.now
            self._gate.learn(response)
            facts = machine.answered(ask, response, now, self._wall)
            self._gate.learn_clock(machine.clock.measurement)
            self._publish(0, response.body if facts else b"", facts)

        self._call(request, answered)

    def _call(self, request: HttpRequest, answered: Callable[[HttpResponse], None]) -> None:
        """A call travels, is answered, the answer travels; or nothing comes within the limit."""
        scheduler, network = self._scheduler, self._network
        coming = [self._alive_with(answered)]

        def finish(response: HttpResponse) -> None:
            if coming:
                coming.pop()(response)

        def reach() -> None:
            response = self._exchange.answer(request)
            if not network.loses_answer():
                scheduler.after(network.latency_ms(), lambda: finish(response))

        def give_up() -> None:
            self._exchange.last_trouble = scheduler.now if coming else self._exchange.last_trouble
            finish(NO_ANSWER)

        scheduler.after(CALL_LIMIT_MS, give_up)
        if not network.loses_call():
            scheduler.after(network.latency_ms(), reach)

    # --- inside ---

    def _alive(self, action: Callable[[], None]) -> Callable[[], None]:
        """The action as this life of the process does it: not after a kill, and not during a stall."""
        life, scheduler = self._life, self._scheduler

        def act() -> None:
            if life != self._life:
                return
            if scheduler.now >= self.stalled_until and not self._missed:
                action()
            else:
                self._miss(action)

        return act

    def _alive_with(self, action: Callable[[HttpResponse], None]) -> Callable[[HttpResponse], None]:
        life = self._life

        def act(response: HttpResponse) -> None:
            if life != self._life:
                return
            if self._is_awake:
                action(response)
            else:
                self._miss(lambda: action(response))

        return act

    @property
    def _is_awake(self) -> bool:
        return self._scheduler.now >= self.stalled_until and not self._missed

    def _miss(self, action: Callable[[], None]) -> None:
        self._missed.append(action)
        if len(self._missed) == 1:
            self._scheduler.at(self.stalled_until, self._wake)

    def _wake(self) -> None:
        """What came during a stall, in order; another stall may have begun."""
        while self._missed and self._now >= self.stalled_until:
            self._missed.popleft()()
        if self._missed:
            self._scheduler.at(self.stalled_until, self._wake)

    def hold_at_rest(self) -> None:
        """Raises Violation unless all is known, proven and on disk."""
        check("alive", self.error is None, f"{self.name} failed: {self.error}")
        check("liveness", self.is_running, f"{self.name} does not run")
        self._sync(len(self._unsynced))
        self.watch.hold_at_rest(self.machine, self.disk.fills)

    @property
    def is_settled(self) -> bool:
        """Whether it is live and awake, and every socket it has is open and alive."""
        return self.is_settled_but_for_readings and self.machine.account.state is StreamState.LIVE

    @property
    def is_settled_but_for_readings(self) -> bool:
        """Whether it is awake, and every socket it has is open and alive."""
        lines = self.machine.feed.lines.values()
        alive = all(line.opened is not None for line in lines) and not any(socket.link.is_dead for socket in self.sockets.values())
        return alive and self._now >= self.stalled_until

    @property
    def can_deliver(self) -> bool:
        """Whether any of its sockets is more than a black hole."""
        return any(not socket.link.is_dead for socket in self.sockets.values())
