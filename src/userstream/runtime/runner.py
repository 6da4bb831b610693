"""AccountRunner: the owner of one account. Drives its machine with sockets, calls and a timer; hands every fact to the journal and to
whoever listens. It decides nothing: what to do is the machine's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from userstream.domain.events import Event
from userstream.domain.fold import checkpoint_of
from userstream.kernel.errors import ConnectionError, StoreError, UserStreamError
from userstream.kernel.ids import AccountId, Millis
from userstream.kernel.secret import Secret
from userstream.ports import Clock, Journal, Record, Socket, Timer, Transport
from userstream.runtime.gate import Gate
from userstream.runtime.listeners import Listeners
from userstream.wire.feed import NEVER, Ask, Dial, Fail, Hang, SendPing, SendText, SessionCall, Wish
from userstream.wire.machine import Machine, without_key
from userstream.wire.request import HttpResponse

SAVE_LIMIT_MS: Final = 2_000
"""How long a store in trouble may hold up a stop; without a checkpoint the next start reads more of the journal, nothing else."""

STOP_LIMIT_MS: Final = 1_500
"""How long farewells to the venue and handlers that are behind may hold up a stop, together."""

CHECKPOINT_MS: Final = 60_000
BACKLOG_HIGH: Final = 200_000
BACKLOG_LOW: Final = 50_000
READ_BATCH: Final = 1_000
BACKLOG_CHECK_EVERY: Final = 255


class LineSocket:
    """One socket's ear: passes what arrives to the runner with the connection's number, on the same stack."""

    __slots__ = ("_connection", "_runner", "socket")

    def __init__(self, runner: AccountRunner, connection: int) -> None:
        self._runner, self._connection = runner, connection
        self.socket: Socket | None = None

    def on_frame(self, frame: bytes) -> None:
        self._runner.take_frame(self._connection, frame)

    def on_odd_frame(self, frame: bytes, reason: str) -> None:
        self._runner.take_odd_frame(self._connection, frame, reason)

    def on_ping(self) -> None:
        self._runner.take_ping(self._connection)

    def on_closed(self, reason: str) -> None:
        self._runner.take_close(self._connection, reason)


class AccountRunner:
    """Runs one account from `start` to `stop`. `failed` holds the error that only a person can mend, `store_error` the store's trouble
    now, `lost_error` why events are in no journal for good; `on_record` hears every record, `on_refused` those with events that the
    journal did not take."""

    def __init__(
        self, machine: Machine, *, clock: Clock, transport: Transport, gate: Gate, journal: Journal, dial_limit_ms: int, call_limit_ms: int
    ) -> None:
        self.machine, self.account = machine, machine.account
        self.listeners = Listeners(self.account.id, journal, clock, lambda: machine.sequence)
        self._clock, self._transport, self._gate, self._journal = clock, transport, gate, journal
        self._sockets: dict[int, LineSocket] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: Timer | None = None
        self._timer_due = Millis(0)
        self._next_checkpoint = Millis(0)
        self._paused = False
        self._stopping_since: Millis | None = None
        self._has_begun = self._stopped = False
        self._farewells: list[asyncio.Task[None]] = []
        self._dial_limit_ms, self._call_limit_ms = dial_limit_ms, call_limit_ms
        self.on_record: Callable[[Record], None] | None = None
        self.on_refused: Callable[[Record], None] | None = None
        self.store_error: StoreError | None = None
        self.lost_error: StoreError | None = None
        self.started = clock.now()
        self.connect_failures = self.odd_frames = 0

    # --- life ---

    async def start(self) -> None:
        """Takes up what the journal knows of the account, then begins. Raises StoreError when that cannot be read, ConnectionError when
        the account was stopped meanwhile."""
        await self._restore()
        if self._stopping_since is not None:
            raise ConnectionError(f"account {self.account.id} was stopped while it started")
        self._has_begun = True
        self._next_checkpoint = Millis(self._clock.now() + CHECKPOINT_MS)
        now, wall = self._clock.now(), self._clock.wall()
        self._publish(0, b"", self.machine.start(now, wall), wall)
        self._carry_out()

    def begin_stop(self) -> None:
        """Closes the sockets; nothing is published any more. `stop` waits for the rest. May be called twice."""
        if self._stopping_since is not None:
            return
        self._stopping_since = self._clock.now()
        if self._has_begun:
            now, wall = self._clock.now(), self._clock.wall()
            self._publish(0, b"", self.machine.stop(now, wall), wall)
            self._farewells = self._carry_out()
        if self._timer is not None:
            self._timer.cancel()
        self.listeners.end()

    async def stop(self) -> None:
        """Closes the sockets, lets handlers finish with what was delivered (1.5 s after `begin_stop` they are cancelled), saves a
        checkpoint if the store takes it within 2 s, and ends. May be called twice: the second call waits for nothing."""
        self.begin_stop()
        if self._stopped:
            return
        self._stopped = True
        await self._wait(self._farewells, self._stop_time_left_ms())
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.listeners.close(limit_ms=self._stop_time_left_ms())
        if self._has_begun:
            await self._save_in_time()

    async def _wait(self, tasks: Collection[asyncio.Task[None]], limit_ms: int) -> None:
        """Until all are done or the time is over."""
        limit = self._clock.spawn(self._clock.sleep(limit_ms), f"{self.account.id}: stop limit")
        waiting = set(tasks)
        try:
            while waiting and not limit.done():
                await asyncio.wait({*waiting, limit}, return_when=asyncio.FIRST_COMPLETED)
                waiting = {task for task in waiting if not task.done()}
        finally:
            limit.cancel()

    async def _save_in_time(self) -> None:
        saving = self._spawn(self.save(), "last checkpoint")
        try:
            await self._wait([saving], SAVE_LIMIT_MS)
        finally:
            if not saving.done():
                saving.cancel()
                self.store_error = self.store_error or StoreError(f"{self.account.id}: the store did not take the last checkpoint in time")

    def _stop_time_left_ms(self) -> int:
        since = self._clock.now() if self._stopping_since is None else self._stopping_since
        return max(0, since + STOP_LIMIT_MS - self._clock.now())

    async def _restore(self) -> None:
        account = self.account.id
        last_sequence = await self._journal.last_sequence(account)
        if last_sequence == 0:
            return
        sequence, events = await self._journal.load_checkpoint(account)
        known, heard = list(events), Millis(0)
        while records := await self._journal.read_account(account, after=sequence, limit=READ_BATCH):
            for record in records:
                known += record.events
                sequence = max(sequence, record.sequence + max(0, len(record.events) - 1))
                heard = record.received_time
                self.machine.feed.start_numbering(record.connection)
        self.machine.restore(known, last_sequence, heard or self._last_word(known) or await self._first_word())

    @staticmethod
    def _last_word(events: list[Event]) -> Millis:
        return max((event.received_time for event in events), default=Millis(0))

    async def _first_word(self) -> Millis | None:
        """When the earliest kept record came: all that is known of a run that learned nothing of the account."""
        records = await self._journal.read_account(self.account.id, after=0, limit=1)
        return records[0].received_time if records else None

    def note_store(self, trouble: StoreError | None) -> None:
        """The store says that it cannot keep anything now, or (None) that it keeps everything again."""
        self.store_error = trouble or self.lost_error

    async def save(self) -> None:
        """Keeps a checkpoint; the store's trouble shows in `store_error` until a later one succeeds, or for good if events were lost."""
        try:
            await self._journal.flush()
            if self.machine.can_be_resumed:
                await self._journal.save_checkpoint(self.account.id, self.machine.sequence, checkpoint_of(self.account))
        except StoreError as error:
            self.store_error = error
        else:
            self.store_error = self.lost_error

    # --- what the sockets tell ---

    def take_frame(self, connection: int, frame: bytes) -> None:
        clock = self._clock
        now, wall = clock.now(), clock.wall()
        machine = self.machine
        frame = without_key(frame)
        facts = machine.frame(connection, frame, now, wall)
        self._publish(connection, frame, facts, wall)
        if machine.has_wishes:
            self._carry_out()
        elif machine.doubt_tick < self._timer_due:
            self._arm()
        if machine.messages & BACKLOG_CHECK_EVERY == 0:
            self._mind_backlog()

    def take_odd_frame(self, connection: int, frame: bytes, reason: str) -> None:
        self.odd_frames += 1
        now, wall = self._clock.now(), self._clock.wall()
        self._publish(connection, frame, self.machine.odd_frame(connection, frame, reason, now, wall), wall)
        self._carry_out()

    def take_ping(self, connection: int) -> None:
        now, wall = self._clock.now(), self._clock.wall()
        self._publish(connection, b"", self.machine.pinged(connection, now, wall), wall)
        self._carry_out()

    def take_close(self, connection: int, reason: str) -> None:
        self._sockets.pop(connection, None)
        now, wall = self._clock.now(), self._clock.wall()
        self._publish(connection, b"", self.machine.closed(connection, reason, now, wall), wall)
        self._carry_out()

    # --- facts ---

    def _publish(self, connection: int, frame: bytes, facts: tuple[Event, ...], wall: Millis) -> None:
        if not facts and not frame:
            return
        sequence = facts[0].sequence if facts else self.machine.claim_sequence()
        record = Record(self.account.id, sequence, wall, connection, frame, facts)
        try:
            self._journal.append(record)
        except StoreError as error:
            self._lose(record, error)
        if facts:
            self.listeners.publish(facts)
        if self.on_record is not None:
            self.on_record(record)

    def _lose(self, record: Record, error: StoreError) -> None:
        self.store_error = error
        if record.events:
            self.lost_error = error
            self.listeners.lose(error, record.sequence, record.events[-1].sequence)
            if self.on_refused is not None:
                self.on_refused(record)

    def _mind_backlog(self) -> None:
        backlog = self._journal.backlog
        if not self._paused and backlog > BACKLOG_HIGH and self.lost_error is None:
            self._paused = True
            for line in self._sockets.values():
                if line.socket is not None:
                    line.socket.pause()
            self._spawn(self._resume_later(), "resume")

    async def _resume_later(self) -> None:
        # a journal that refuses records does not catch up by waiting
        while self._journal.backlog > BACKLOG_LOW and self.lost_error is None:
            await self._clock.sleep(10)
        self._paused = False
        for line in self._sockets.values():
            if line.socket is not None:
                line.socket.resume()

    # --- wishes ---

    def _carry_out(self) -> list[asyncio.Task[None]]:
        started = [task for wish in self.machine.take_wishes() if (task := self._carry_out_one(wish)) is not None]
        if self._stopping_since is None:
            self._arm()
        return started

    def _carry_out_one(self, wish: Wish) -> asyncio.Task[None] | None:
        match wish:
            case Dial(connection, url, _):
                return self._spawn(self._dial(connection, url), f"dial {connection}")
            case Hang(connection):
                line = self._sockets.pop(connection, None)
                if line is not None and line.socket is not None:
                    line.socket.close()
            case SendText(connection, text):
                if (line := self._sockets.get(connection)) is not None and line.socket is not None:
                    line.socket.send(text.reveal())
            case SendPing(connection):
                if (line := self._sockets.get(connection)) is not None and line.socket is not None:
                    line.socket.ping()
            case SessionCall():
                return self._spawn(self._call_for_session(wish), f"call {wish.tag}")
            case Ask(number, weight, urgent):
                return self._spawn(self._ask(number, weight, urgent), f"ask {number}")
            case Fail(error):
                self.listeners.fail(error)
        return None

    async def _dial(self, connection: int, url: Secret) -> None:
        line = LineSocket(self, connection)
        self._sockets[connection] = line
        try:
            socket = await self._transport.connect(url, line, time_limit_ms=self._dial_limit_ms)
        except ConnectionError as error:
            self.connect_failures += 1
            self.take_close(connection, str(error))
            return
        if self._sockets.get(connection) is not line:
            socket.close()
            return
        line.socket = socket
        if self._paused:
            socket.pause()
        now, wall = self._clock.now(), self._clock.wall()
        self._publish(connection, b"", self.machine.connected(connection, now, wall), wall)
        self._carry_out()

    async def _call_for_session(self, call: SessionCall) -> None:
        if not await self._pass_gate(call):
            return
        response = await self._gate.send(call.request, time_limit_ms=self._call_limit_ms)
        now, wall = self._clock.now(), self._clock.wall()
        facts = self.machine.session_response(call.connection, call.tag, response, now, wall)
        self._publish(call.connection, b"", facts, wall)
        self._carry_out()

    async def _pass_gate(self, call: SessionCall) -> bool:
        """Waits until the call may go out; False if nobody wants it any more. A pause that the venue asked for is no fault of the socket:
        it does not count against the time in which that must open, so that no second socket asks for the same."""
        line = self.machine.feed.lines.get(call.connection)
        if line is None:  # a farewell: its line is gone already
            await self._gate.grant_vital(call.request.weight)
            return True
        began, dialing_since = self._clock.now(), line.dialing_since
        line.dialing_since = NEVER
        try:
            await self._gate.grant_vital(call.request.weight)
        finally:
            line.dialing_since = Millis(dialing_since + self._clock.now() - began)
        if self._stopping_since is None:
            self._arm()
        return self.machine.feed.lines.get(call.connection) is line

    async def _ask(self, number: int, weight: int, urgent: bool) -> None:
        await self._gate.grant(weight, urgent=urgent)
        request = self.machine.prepare(number, self._clock.now())
        if request is None:
            return
        response: HttpResponse = await self._gate.send(request, time_limit_ms=self._call_limit_ms)
        now, wall = self._clock.now(), self._clock.wall()
        self._gate.learn_clock(self.machine.clock.at(now) - now)
        facts = self.machine.answered(number, response, now, wall)
        self._publish(0, response.body if facts else b"", facts, wall)
        self._carry_out()

    # --- time ---

    def _arm(self) -> None:
        due = min(self.machine.deadline(), self._next_checkpoint)
        if self._timer is not None:
            if self._timer_due == due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._clock.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now, wall = self._clock.now(), self._clock.wall()
        self._publish(0, b"", self.machine.tick(now, wall), wall)
        if self._next_checkpoint <= now:
            self._next_checkpoint = Millis(now + CHECKPOINT_MS)
            self._spawn(self.save(), "checkpoint")
        self._carry_out()

    def _spawn(self, work: object, name: str) -> asyncio.Task[None]:
        task = self._clock.spawn(work, f"{self.account.id}: {name}")  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def failed(self) -> UserStreamError | None:
        return self.machine.error

    @property
    def id(self) -> AccountId:
        return self.account.id
