"""AccountRunner: the owner of one account. Drives its machine with sockets, calls and a timer; hands every fact to the journal and to
whoever listens. It decides nothing: what to do is the machine's business.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

import structlog

from userstream.domain.events import Event
from userstream.domain.fold import checkpoint_of
from userstream.kernel.errors import ConnectionError, StoreError, UserStreamError
from userstream.kernel.ids import AccountId, Millis
from userstream.kernel.secret import Secret
from userstream.ports import Clock, HttpClient, Journal, Record, Timer, Transport
from userstream.runtime.calls import FAULT_PAUSE_MS, Calls
from userstream.runtime.gate import Gate
from userstream.runtime.keeper import READ_BATCH, Keeper
from userstream.runtime.listeners import Listeners
from userstream.runtime.pressure import BackPressure
from userstream.runtime.sockets import Sockets
from userstream.runtime.veil import Veil
from userstream.wire.feed import Ask, Dial, Fail, Hang, Pause, SendPing, SendText, SessionCall, Wish
from userstream.wire.machine import RESTART_LEAP, Machine
from userstream.wire.pacing import jitter

SAVE_LIMIT_MS: Final = 2_000
"""How long a store in trouble may hold up a stop; without a checkpoint the next start reads more of the journal, nothing else."""

STOP_LIMIT_MS: Final = 1_500
"""How long farewells to the venue and handlers that are behind may hold up a stop, together."""

CHECKPOINT_MS: Final = 60_000
"""The pause between two checkpoints, on the average."""

BACKLOG_CHECK_EVERY: Final = 255

LOOK_MS: Final = 5_000
SLEEP_MS: Final = 5_000
"""The wall clock may be set by less; who slept so long may have lost messages."""

_log = structlog.get_logger("userstream.runner")


class AccountRunner:
    """Runs one account from `start` to `stop`. `failed` holds the error that only a person can mend, `store_error` the store's trouble
    now, `lost_error` why events are in no journal for good; `on_record` hears every record, those too that
    the journal does not get, and `count` what they tell. `own_faults` counts exceptions of this program while it read an answer."""

    def __init__(
        self,
        machine: Machine,
        *,
        clock: Clock,
        transport: Transport,
        gate: Gate,
        journal: Journal,
        dial_limit_ms: int,
        call_limit_ms: int,
        http: HttpClient | None = None,
        pressure: BackPressure | None = None,
    ) -> None:
        """`http`: the connections for calls, where the gate is shared with others (None: those of the gate). `pressure`: shared by all
        accounts of the journal (None: this is the only one)."""
        self.machine, self.account = machine, machine.account
        self.keeper, self.veil, self._sockets = Keeper(self.account.id, journal, clock), Veil(machine.secrets), Sockets(self)
        self.listeners = Listeners(self.account.id, self.keeper, clock, lambda: machine.sequence)
        self._calls = Calls(self, machine, self.veil, clock=clock, gate=gate, http=http, limit_ms=call_limit_ms)
        self._clock, self._transport, self._journal, self._gate = clock, transport, journal, gate
        self._pressure = pressure or BackPressure(journal, clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: Timer | None = None
        self._timer_due = Millis(0)
        self._next_checkpoint = Millis(0)
        self._looked, self._next_look = (clock.now(), clock.wall()), Millis(0)
        self._stopping_since: Millis | None = None
        self._has_begun = self._stopped = False
        self._farewells: list[asyncio.Task[None]] = []
        self._dial_limit_ms = dial_limit_ms
        self.on_record: Callable[[Record], None] | None = None
        self.count: Callable[[AccountId, int, Millis, Sequence[Event]], None] | None = None
        self._next_backlog_check = BACKLOG_CHECK_EVERY
        self._save_error: StoreError | None = None
        self.started = clock.now()
        self.connect_failures = self.odd_frames = self.own_faults = 0

    # --- life ---

    async def start(self) -> None:
        """Takes up what the journal knows of the account, then begins. Raises StoreError when that cannot be read, or when an account that
        is new to it cannot be kept, ConnectionError when the account was stopped meanwhile."""
        is_new = not await self._restore()
        self._check_wanted()
        self._look()
        now, wall = self._clock.now(), self._clock.wall()
        self._next_checkpoint = next_checkpoint(self.account.id, now)
        self._publish(0, b"", self.machine.start(now, wall), wall)
        if is_new:
            await self._keep_beginning()
            self._check_wanted()
        self._has_begun = True
        self._pressure.join(self)
        self._carry_out()

    def _check_wanted(self) -> None:
        if self._stopping_since is not None:
            raise ConnectionError(f"account {self.account.id} was stopped while it started")

    async def _keep_beginning(self) -> None:
        """An account that is new to the store is heard once the store knows of it: else the next start would know nothing of this one, and
        not read what it left unkept."""
        await self._journal.flush()
        if self.keeper.trouble is not None:
            raise self.keeper.trouble

    def begin_stop(self) -> None:
        """Closes the sockets; nothing is published any more. `stop` waits for the rest. May be called twice."""
        if self._stopping_since is not None:
            return
        self._stopping_since = self._clock.now()
        self._pressure.leave(self)
        if self._has_begun:
            now, wall = self._clock.now(), self._clock.wall()
            self._publish(0, b"", self.machine.stop(now, wall), wall)
            self._farewells = self._carry_out()
        if self._timer is not None:
            self._timer.cancel()
        self.listeners.end()

    async def stop(self) -> None:
        """Closes the sockets, lets handlers finish with what was delivered (1.5 s after `begin_stop` they are cancelled), saves a
        checkpoint if the store takes it within 2 s, and ends. May be called twice: the second call waits for nothing. Cancelled, it ends
        everything at once."""
        self.begin_stop()
        if self._stopped:
            return
        self._stopped = True
        try:
            await self._finish()
        except asyncio.CancelledError:
            self.abandon()
            raise

    async def _finish(self) -> None:
        await self._wait(self._farewells, self._stop_time_left_ms())
        self._cancel_tasks()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.listeners.close(limit_ms=self._stop_time_left_ms())
        if self._has_begun:
            await self._save_in_time()
        self._end_keeping()

    def _end_keeping(self) -> None:
        self.keeper.close()
        self.veil.learn(())
        if not self.keeper.is_level:
            reason = str(self.lost_error or self.keeper.trouble)
            _log.error("events of this run are in no journal: the next start reads them from the venue", action="not_kept", reason=reason)

    def abandon(self) -> None:
        """Ends at once what a stop would wait for: farewells, handlers, the last checkpoint."""
        self.begin_stop()
        self._stopped = True
        self._cancel_tasks()
        self.listeners.cut()
        self._end_keeping()

    def _cancel_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()

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
                self._save_error = self.store_error or StoreError(f"{self.account.id}: the store did not take the last checkpoint in time")

    def _stop_time_left_ms(self) -> int:
        since = self._clock.now() if self._stopping_since is None else self._stopping_since
        return max(0, since + STOP_LIMIT_MS - self._clock.now())

    async def _restore(self) -> bool:
        """Whether the journal knew the account."""
        account = self.account.id
        last_sequence = await self._journal.last_sequence(account)
        if last_sequence == 0:
            return False
        sequence, events = await self._journal.load_checkpoint(account)
        known, heard = list(events), Millis(0)
        while records := await self._journal.read_account(account, after=sequence, limit=READ_BATCH):
            for record in records:
                known += record.events
                sequence = max(sequence, record.sequence + max(0, len(record.events) - 1))
                heard = record.received_time
                self.machine.feed.start_numbering(record.connection)
        self.machine.restore(known, last_sequence, heard or self._last_word(known) or await self._first_word())
        return True

    @staticmethod
    def _last_word(events: list[Event]) -> Millis:
        return max((event.received_time for event in events), default=Millis(0))

    async def _first_word(self) -> Millis | None:
        """When the earliest kept record came: all that is known of a run that learned nothing of the account."""
        records = await self._journal.read_account(self.account.id, after=0, limit=1)
        return records[0].received_time if records else None

    async def save(self) -> None:
        """Keeps a checkpoint, unless the journal lacks events that it would tell; the trouble of it shows until a later one succeeds."""
        try:
            await self._journal.flush()
            # nothing may come between the look and the checkpoint
            if self.machine.can_be_resumed and self.keeper.hand_over() and self.keeper.is_level:
                await self._journal.save_checkpoint(self.account.id, self.machine.sequence, checkpoint_of(self.account))
        except StoreError as error:
            self._save_error = error
        else:
            self._save_error = None

    @property
    def lost_error(self) -> StoreError | None:
        return self.keeper.lost

    @property
    def store_error(self) -> StoreError | None:
        if (trouble := self.keeper.lost or self.keeper.trouble or self._journal.trouble or self._save_error) is not None:
            return trouble
        if self._sockets.is_paused:
            return StoreError(f"{self._journal.backlog} records wait to be written: nothing is read from the venue until there are fewer")
        return None

    # --- what the sockets tell ---

    def take_frames(self, connection: int, frames: Sequence[bytes]) -> None:
        """They came at one moment: each is decoded, folded and given to the journal, then all that they told goes to the listeners."""
        now, wall = self._clock.now(), self._clock.wall()
        machine, hide, keep = self.machine, self.veil.hide, self._keep
        told: list[Event] = []
        try:
            for frame in frames:
                shown = hide(frame)
                facts = machine.frame(connection, shown, now, wall)
                keep(connection, shown, facts, wall)
                told += facts
                if machine.has_wishes:
                    first, told = told, []
                    self._tell(connection, first, wall)
                    self._carry_out()
                    if not self._sockets.has(connection):
                        return
        finally:
            self._tell(connection, told, wall)
        if machine.doubt_tick < self._timer_due:
            self._arm()
        if machine.messages > self._next_backlog_check:
            self._next_backlog_check = machine.messages + BACKLOG_CHECK_EVERY
            self._pressure.mind()

    def take_odd_frame(self, connection: int, frame: bytes, reason: str) -> None:
        self.odd_frames += 1
        frame = self.veil.hide_in_part(frame)
        now, wall = self._clock.now(), self._clock.wall()
        self.take_facts(connection, frame, self.machine.odd_frame(connection, frame, reason, now, wall), wall)

    def take_ping(self, connection: int) -> None:
        now, wall = self._clock.now(), self._clock.wall()
        self.take_facts(connection, b"", self.machine.pinged(connection, now, wall), wall)

    def take_close(self, connection: int, reason: str) -> None:
        self._sockets.forget(connection)
        now, wall = self._clock.now(), self._clock.wall()
        self.take_facts(connection, b"", self.machine.closed(connection, reason, now, wall), wall)

    # --- what the answers tell ---

    def take_facts(self, connection: int, frame: bytes, facts: tuple[Event, ...], wall: Millis) -> None:
        self._publish(connection, frame, facts, wall)
        self._carry_out()

    def take_error(self, error: UserStreamError) -> None:
        now, wall = self._clock.now(), self._clock.wall()
        self.take_facts(0, b"", self.machine.give_up(error, now, wall), wall)

    def take_own_fault(self, consequence: str) -> None:
        self.own_faults += 1
        _log.exception(f"a fault of our own: {consequence}", action="own_fault", account=self.account.id)

    def mind_deadlines(self) -> None:
        if self._stopping_since is None:
            self._arm()

    # --- facts ---

    def _publish(self, connection: int, frame: bytes, facts: tuple[Event, ...], wall: Millis) -> None:
        if facts or frame:
            self._keep(connection, frame, facts, wall)
            self._tell(connection, facts, wall)

    def _keep(self, connection: int, frame: bytes, facts: tuple[Event, ...], wall: Millis) -> None:
        sequence = facts[0].sequence if facts else self.machine.claim_sequence()
        record = Record(self.account.id, sequence, wall, connection, frame, facts)
        if not self.keeper.keep(record):
            self._note_lost(record)
        if self.on_record is not None:
            self.on_record(record)

    def _tell(self, connection: int, facts: Sequence[Event], wall: Millis) -> None:
        if facts:
            self.listeners.publish(facts)
            if self.count is not None:
                self.count(self.account.id, connection, wall, facts)

    def _note_lost(self, record: Record) -> None:
        if record.last_sequence - self.keeper.first_lost > RESTART_LEAP // 2 and self.failed is None and self.lost_error is not None:
            # the next start could give the same places to other events
            self._clock.call_at(self._clock.now(), partial(self.take_error, self.lost_error))

    def hold_reading(self) -> None:
        self._sockets.pause()

    def excuse_silence(self) -> None:
        self.machine.feed.excuse_silence(self._clock.now())

    def go_on_reading(self) -> None:
        self._sockets.resume()
        now, wall = self._clock.now(), self._clock.wall()
        self.take_facts(0, b"", self.machine.doubt_sockets(now, wall), wall)

    # --- wishes ---

    def _carry_out(self) -> list[asyncio.Task[None]]:
        started = [task for wish in self.machine.take_wishes() if (task := self._carry_out_one(wish)) is not None]
        self.mind_deadlines()
        return started

    def _carry_out_one(self, wish: Wish) -> asyncio.Task[None] | None:
        match wish:
            case Dial(connection, url, _):
                return self._spawn(self._dial(connection, url), f"dial {connection}")
            case Hang(connection):
                self._sockets.hang_up(connection)
            case SendText(connection, text):
                self._sockets.send(connection, text.reveal())
            case SendPing(connection):
                self._sockets.ping(connection)
            case SessionCall():
                return self._spawn(self._calls.call_for_session(wish), f"call {wish.tag}")
            case Ask(number, weight, urgent):
                return self._spawn(self._calls.ask(number, weight, urgent), f"ask {number}")
            case Pause(pause_ms):
                self._calls.refrain(pause_ms)
            case Fail(error):
                self.listeners.fail(error)
        return None

    async def _dial(self, connection: int, url: Secret) -> None:
        line = self._sockets.prepare(connection)
        await self._pressure.pass_by()  # a socket that nobody reads would not live to be opened
        if not self._sockets.expects(connection, line):
            return
        try:
            socket = await self._transport.connect(url, line, time_limit_ms=self._dial_limit_ms)
        except ConnectionError as error:
            self.connect_failures += 1
            self.take_close(connection, str(error))
            return
        if not self._sockets.take_up(connection, line, socket):
            return
        now, wall = self._clock.now(), self._clock.wall()
        self.take_facts(connection, b"", self.machine.connected(connection, now, wall), wall)

    @property
    def reason(self) -> str:
        """Why the account is in the state it is in, and when that may change, for people."""
        if waiting := self._calls.words_for_wait:
            return waiting
        reason, due = self.machine.reason, self.machine.feed.next_try
        left_ms = 0 if due is None else due - self._clock.now()
        return f"{reason}, next try in {-(-left_ms // 1_000)} s" if left_ms > 0 else reason

    # --- time ---

    @property
    def _due(self) -> Millis:
        return min(self.machine.deadline(), self._next_checkpoint, self._next_look)

    def _arm(self) -> None:
        due = self._due
        if self._timer is not None:
            if self._timer_due == due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._clock.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            if self._due <= self._clock.now():
                self._live_on()
            else:  # what it was set for has been done
                self._arm()
        except Exception:
            # without a timer nobody would look after silence, keys and readings any more
            self.take_own_fault("time goes on")
            self._timer_due = Millis(self._clock.now() + FAULT_PAUSE_MS)
            self._timer = self._clock.call_at(self._timer_due, self._tick)

    def _live_on(self) -> None:
        now, wall = self._clock.now(), self._clock.wall()
        if self._has_slept():
            self._publish(0, b"", self.machine.stood_still(now, wall), wall)
        if self.machine.wants_history(now) and self._gate.take_room():
            self.machine.read_history_early()
        self._publish(0, b"", self.machine.tick(now, wall), wall)
        if self._next_checkpoint <= now:
            self._next_checkpoint = next_checkpoint(self.account.id, now)
            self._spawn(self.save(), "checkpoint")
        self._carry_out()

    def _look(self) -> None:
        self._looked = self._clock.now(), self._clock.wall()
        self._next_look = Millis(self._looked[0] + LOOK_MS)

    def _has_slept(self) -> bool:
        """Whether the wall clock went on while the steady one stood still, as it does on some systems while the machine sleeps."""
        (now, wall), (former_now, former_wall) = (self._clock.now(), self._clock.wall()), self._looked
        slept = (wall - former_wall) - (now - former_now) > SLEEP_MS
        if slept or now >= self._next_look:
            self._look()
        return slept

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


def next_checkpoint(account: AccountId, now: Millis) -> Millis:
    """Spread, from half the usual pause to half as much again: hundreds of accounts that began together would keep theirs together, and
    hold up the journal for seconds."""
    return Millis(now + int(CHECKPOINT_MS * (0.5 + jitter(zlib.crc32(account.encode()), now))))
