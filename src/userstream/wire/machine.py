"""One account's whole care, without I/O: sockets (feed), state (fold), books (recovery), and when to do what.

The shell reports what happened with two clocks, `now` (milliseconds that never jump) and `wall` (the machine's time, for stamps), and
carries out `wishes`. Every method that can publish returns the facts in order, each stamped with its place in the journal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from userstream.domain.account import Account
from userstream.domain.events import (
    BalanceSet,
    Event,
    Filled,
    Frame,
    GapOpened,
    GapRepaired,
    Mismatch,
    OrderChanged,
    PositionSet,
    SnapshotTaken,
    StreamChanged,
    Unrecognized,
)
from userstream.domain.fold import FOLDS, apply, count_remembered, forget, let_go_of_bytes, newest_time
from userstream.domain.words import Source, StreamState
from userstream.kernel.errors import UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.wire.books import Books
from userstream.wire.feed import KEY_DIED, NEVER, STARTING, Ask, Fail, Feed, FeedPolicy, Wish
from userstream.wire.pacing import VenueClock
from userstream.wire.recovery import Policy, forgettable
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.session import Emit
from userstream.wire.venue import AccountPlace, VenueSpec

OWN_FACTS: Final = frozenset({StreamChanged, GapOpened, GapRepaired, SnapshotTaken, Mismatch})
"""Facts of our own making: no bytes of the venue say them."""

RESTART_LEAP: Final = 1_000_000_000
"""Sequences handed out before a crash and never committed are not given to other events afterwards: more than so many are never told
without the journal."""

SEQUENCES_OF_A_MILLISECOND: Final = 1_000
"""Runs that commit nothing at all (a full disk) still told their readers, who may have kept their place: the next run begins beyond them,
because time went on and nobody tells so many events in it. A reader's place fits 53 bits for longer than a hundred years."""

DOUBT_TICK_MS: Final = 250

FORGET_MS: Final = 60_000
UNPROVEN_MEMORY_MS: Final = 900_000
"""Without a secret nothing is ever proven: what ended longer ago than this (venue time) leaves memory all the same."""

FRESH_MS: Final = 10_000
BYTES_AT_A_TURN: Final = 128
NEXT_TURN_MS: Final = 100
"""The venue's bytes behind what ended stay for one to two times `FRESH_MS`. Letting go of so many of them at a turn takes well below a
millisecond; where there are more, the next turn comes soon."""

MOST_UNREAD: Final = 400
"""Fills and ended orders, of nearly a kilobyte each, stay in memory until history is read. Where more do, it is worth to read it early."""

STOOD_STILL: Final = "this machine slept, or its wall clock jumped"


UNREADABLE: Final = "bytes"
"""The name under which decoders report bytes that are no message."""


def _time_of(event: Event) -> Millis:
    """When the venue made it, by its books where they say so (the clock of its gateway may be ahead of them)."""
    if isinstance(event, Filled | OrderChanged | PositionSet | BalanceSet):
        return event.transaction_time or event.event_time
    return event.event_time


class MachinePolicy(msgspec.Struct, frozen=True, kw_only=True):
    feed: FeedPolicy = FeedPolicy()
    books: Policy = Policy()
    polling_after_failures: int = 5


class Machine:
    """The account's care. One machine for each account; not to be used from two threads."""

    def __init__(self, spec: VenueSpec, place: AccountPlace, policy: MachinePolicy, *, now: Millis, wall: Millis) -> None:
        self._place, self._policy = place, policy
        self.account = Account(place.account, place.venue, lag_ms=policy.books.lag_ms)
        self.clock = VenueClock(now, wall)
        self.feed = Feed(
            lambda number, form, at: spec.make_session(msgspec.structs.replace(place, connection_form=form), number, at),
            policy.feed,
            self.clock,
        )
        dialect = spec.make_dialect(place) if place.credentials.api_secret is not None else None
        self.books = Books(dialect, self.account, self.clock, policy.books, seed=place.jitter_seed) if dialect is not None else None
        self.sequence = 0
        self.messages = 0
        self.unrecognized = 0
        self.error: UserStreamError | None = None
        self._facts: list[Event] = []
        self._lines = self.feed.lines
        self._asks: list[Ask] = [] if self.books is None else self.books.wishes
        self._was_lit = False
        self._opened_before = 0
        self._told_reason = ""
        self._stopped = False
        self.doubt_tick: Millis = NEVER
        self._wall = wall
        self._next_forget = NEVER if self.books is not None else Millis(now + FORGET_MS)
        self._next_letting_go = Millis(now + FRESH_MS)
        self._no_longer_fresh = self._unread = 0
        self._read_until = Millis(0)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What the account's key is made of: in nothing that is kept or shown."""
        key = self._place.credentials
        return tuple(part for part in (key.api_key, key.api_secret, key.passphrase) if part is not None)

    def claim_sequence(self) -> int:
        """A place in the journal for bytes that told nothing new."""
        self.sequence += 1
        return self.sequence

    def wants_history(self, now: Millis) -> bool:
        """Whether so much waits for history in memory that it should be read early, if the venue's budget has room for that: not before a
        sixteenth of its interval is over, and without a secret nothing waits for it."""
        is_read = self._read_until != self.account.read_until
        return self.books is not None and not is_read and self._unread > MOST_UNREAD and self.books.agenda.may_read_early(now)

    def read_history_early(self) -> None:
        """For who wants it: at the next tick."""
        assert self.books is not None
        self.books.agenda.read_history_early()

    # --- beginning and end ---

    def restore(self, events: Iterable[Event], last_sequence: int, last_heard: Millis | None) -> None:
        """Takes up an earlier run: its events (checkpoint and journal), its last sequence and when (our wall clock, ms) its last record
        was made. Call before `start`."""
        first_heard, told = last_heard, Millis(0)
        for event in events:
            apply(self.account, event)
            if event.source is Source.STREAM:
                told = max(told, _time_of(event))
            if first_heard is not None and event.received_time:
                first_heard = min(first_heard, event.received_time)
        self.account.doubts = {doubt: number for doubt, number in self.account.doubts.items() if doubt.subject == "order"}
        self.account.duplicates = 0
        if self.account.read_until:
            forget(self.account, forgettable(self.account, self.account.read_until, self._policy.books))
        if last_sequence:
            passed_ms = 0 if last_heard is None else max(0, self._wall - last_heard)
            self.sequence = last_sequence + RESTART_LEAP + passed_ms * SEQUENCES_OF_A_MILLISECOND
        if first_heard is not None and last_heard is not None:
            # a run that never was live may have missed anything since it began, not only since it was heard last
            unsure = last_heard if self.books is None or self.account.was_live else first_heard
            if self.books is not None and (told or self.account.proven_until):
                unsure = min(unsure, told)  # a socket may have been dead, or its key, since it told something: nobody kept its pongs
            since = max(self.account.proven_until, Millis(unsure - self._policy.books.lag_ms))
            self._tell(self._gap(since, "restart"))
        self.account.state = StreamState.CONNECTING

    @property
    def can_be_resumed(self) -> bool:
        """Whether a checkpoint tells all that `restore` needs. Before the first proof only the journal tells since when nothing is sure."""
        return self.books is None or bool(self.account.proven_until)

    def start(self, now: Millis, wall: Millis) -> tuple[Event, ...]:
        self._wall = wall
        self._tell(self._stream(StreamState.CONNECTING, STARTING))
        self.feed.start(now)
        if self.books is not None:
            self.books.start(now)
        return self._settle(now)

    def stop(self, now: Millis, wall: Millis) -> tuple[Event, ...]:
        self._wall, self._stopped = wall, True
        self.feed.stop(now)
        if self.account.state not in (StreamState.FAILED, StreamState.STOPPED):
            self._tell(self._stream(StreamState.STOPPED, "stopped"))
        return self._take_facts(None)

    # --- what the shell reports ---

    def frame(self, connection: int, frame: bytes, now: Millis, wall: Millis) -> tuple[Event, ...]:
        """A frame arrived. The hot path: decode, fold, stamp."""
        line = self._lines.get(connection)
        if line is None:
            return ()
        line.frames += 1
        self.messages += 1
        self.feed.last_heard = now
        self._wall = wall
        account, facts = self.account, self._facts
        settle = False
        effects = line.session.receive(frame, now, wall)
        if not effects:
            self.feed.assurance.heard(line)
        for effect in effects:
            if type(effect) is Emit:
                for event in effect.events:
                    news = FOLDS[type(event)](account, event, connection)
                    if news is not None:
                        facts.append(news)
                        if type(news) is Unrecognized:
                            settle = self._note_unrecognized(news, now) or settle
                line.told = effect.events
            else:
                settle = True
                self.feed.carry(line, effect, now)
        if account.doubts or self.doubt_tick != NEVER:
            self._mind_doubts(now)
        return self._settle(now, frame) if settle else self._take_facts(frame)

    def odd_frame(self, connection: int, frame: bytes, reason: str, now: Millis, wall: Millis) -> tuple[Event, ...]:
        """A message arrived that is no readable text: kept, counted, and the books are read, because it may have held an event."""
        line = self._lines.get(connection)
        if line is None:
            return ()
        line.frames += 1
        self.messages += 1
        self.feed.last_heard = now
        self._wall = wall
        event = Unrecognized(
            account=self.account.id,
            venue=self.account.venue,
            received_time=wall,
            name=UNREADABLE,
            reason=reason,
            sample=frame[:100].hex(),
        )
        self._tell(event)
        self._note_unrecognized(event, now)
        return self._settle(now, frame)

    def connected(self, connection: int, now: Millis, wall: Millis) -> tuple[Event, ...]:
        self._wall = wall
        self.feed.connected(connection, now)
        return self._settle(now)

    def pinged(self, connection: int, now: Millis, wall: Millis) -> tuple[Event, ...]:
        self._wall = wall
        self.feed.pinged(connection, now)
        return self._settle(now)

    def closed(self, connection: int, reason: str, now: Millis, wall: Millis) -> tuple[Event, ...]:
        self._wall = wall
        self.feed.closed(connection, reason, now)
        return self._settle(now)

    def doubt_sockets(self, now: Millis, wall: Millis) -> tuple[Event, ...]:
        """The shell could not hear for a while: every socket must show that it still lives."""
        self._wall = wall
        self.feed.doubt_sockets(now)
        return self._settle(now)

    def stood_still(self, now: Millis, wall: Millis) -> tuple[Event, ...]:
        """The machine slept, and its steady clock with it: sockets may be dead and their last messages lost."""
        if self._has_ended:
            return ()
        self._wall = wall
        if self._was_lit and self.books is not None:
            self._tell(self._gap(self._last_sure(now), STOOD_STILL))
            self.books.message_lost(STOOD_STILL, self.clock.at(now), now)
        return self.doubt_sockets(now, wall)

    def give_up(self, error: UserStreamError, now: Millis, wall: Millis) -> tuple[Event, ...]:
        """The account cannot go on."""
        self._wall = wall
        self.feed.wishes.append(Fail(error))
        return self._settle(now)

    def session_response(self, connection: int, tag: str, response: HttpResponse, now: Millis, wall: Millis) -> tuple[Event, ...]:
        self._wall = wall
        self.feed.respond(connection, tag, response, now)
        return self._settle(now)

    def prepare(self, ask: int, now: Millis) -> HttpRequest | None:
        """The call for a granted `Ask`, signed for this instant; None when it is no longer wanted."""
        return None if self.books is None or self._has_ended else self.books.prepare(ask, now)

    def answered(self, ask: int, response: HttpResponse, now: Millis, wall: Millis) -> tuple[Event, ...]:
        self._wall = wall
        if self.books is None or self._has_ended:
            return ()
        self._facts += self.books.answered(ask, response, now, wall)
        self.feed.assurance.prove(self.account.proven_until)
        return self._settle(now, response.body)

    def tick(self, now: Millis, wall: Millis) -> tuple[Event, ...]:
        self._wall = wall
        if self._has_ended:
            return ()
        self.feed.tick(now)
        if self.books is not None:
            self.books.tick(now)
        elif self._next_forget <= now:
            self._next_forget = Millis(now + FORGET_MS)
            forget(self.account, Millis(max(0, newest_time(self.account) - UNPROVEN_MEMORY_MS)))
        if self._next_letting_go <= now:
            self._let_go_of_bytes(now)
        if self.books is not None and self.doubt_tick <= now:
            self._facts += self.books.weigh_doubts(now, wall)
            self.doubt_tick = Millis(now + DOUBT_TICK_MS) if self.account.doubts else NEVER
        return self._settle(now)

    def deadline(self) -> Millis:
        if self._has_ended:
            return NEVER
        due = self.feed.deadline()
        if self.books is not None and (asked := self.books.deadline()) < due:
            due = asked
        if self.doubt_tick < due:
            due = self.doubt_tick
        if self._next_letting_go < due and self.account.fresh:
            due = self._next_letting_go
        return self._next_forget if self._next_forget < due else due

    def take_wishes(self) -> list[Wish]:
        wishes, self.feed.wishes = self.feed.wishes, []
        if self.books is not None:
            asks = self.books.take_wishes()
            wishes += [] if self._has_ended else asks
        return wishes

    @property
    def has_wishes(self) -> bool:
        return bool(self.feed.wishes or self._asks)

    # --- inside ---

    @property
    def _has_ended(self) -> bool:
        return self._stopped or self.error is not None

    def _let_go_of_bytes(self, now: Millis) -> None:
        """What came before the turn before this one is no longer fresh."""
        account = self.account
        let_go = let_go_of_bytes(account, min(self._no_longer_fresh, BYTES_AT_A_TURN))
        self._note_unread(let_go)
        self._no_longer_fresh -= let_go
        if self._no_longer_fresh:
            self._next_letting_go = Millis(now + NEXT_TURN_MS)
        else:
            self._no_longer_fresh = len(account.fresh)
            self._next_letting_go = Millis(now + FRESH_MS)

    def _note_unread(self, facts: int) -> None:
        """So many more, which came since history was read, are remembered until it is read again."""
        if self._read_until == self.account.read_until:
            self._unread += facts
        else:  # what is younger than the reading by less than its overlap was not forgotten
            self._read_until, self._unread = self.account.read_until, count_remembered(self.account)

    def _note_unrecognized(self, event: Unrecognized, now: Millis) -> bool:
        """Counts it; unreadable bytes may have held an event: a gap, until the books were read. Returns whether that is so."""
        self.unrecognized += 1
        lost = event.name == UNREADABLE
        if lost and self.books is not None:
            self._tell(self._gap(self._last_sure(now), "a message could not be read"))
            self.books.message_lost("a message could not be read", self.clock.at(now), now)
        return lost

    def _tell(self, event: Event) -> None:
        news = apply(self.account, event)
        if news is not None:
            self._facts.append(news)

    def _take_facts(self, frame: bytes | None) -> tuple[Event, ...]:
        facts = self._facts
        if not facts:
            return ()
        told = None if frame is None else Frame.of(frame)
        sequence = self.sequence
        for event in facts:
            sequence += 1
            force_setattr(event, "sequence", sequence)
            if told is not None and type(event) not in OWN_FACTS:
                force_setattr(event, "frame", told)
        self.sequence = sequence
        taken = tuple(facts)
        facts.clear()
        return taken

    def _settle(self, now: Millis, frame: bytes | None = None) -> tuple[Event, ...]:
        """After anything but plain events: light or darkness, rounds, the account's state."""
        if self._stopped or self._failed(now):
            return self._take_facts(frame)
        self._note_light(now)
        if self.books is not None:
            self._care_for_books(now)
        self._note_state()
        self._mind_doubts(now)
        return self._take_facts(frame)

    def _mind_doubts(self, now: Millis) -> None:
        """Those that stay are weighed soon. Mostly the next message of the same execution settles them, and nobody need look."""
        if self.books is None:
            return
        if self.account.doubts and self.doubt_tick == NEVER:
            self.doubt_tick = Millis(now + DOUBT_TICK_MS)
        elif not self.account.doubts and not self.books.doubts.are_waiting:
            self.doubt_tick = NEVER

    def _failed(self, now: Millis) -> bool:
        if self.books is not None and self.books.error is not None and self.error is None:
            self.feed.wishes.append(Fail(self.books.error))
        for wish in self.feed.wishes:
            if isinstance(wish, Fail) and self.error is None:
                self.error = wish.error
                self.feed.stop(now)
                self.feed.reason = str(wish.error)  # it is why nothing is heard any more
                self._note_light(now)
                self._tell(self._stream(StreamState.FAILED, str(wish.error)))
        return self.error is not None

    def _note_light(self, now: Millis) -> None:
        lit = self.feed.is_lit
        if self._was_lit and not lit:
            self._tell(self._gap(self._last_sure(now), self.feed.reason))
        if lit and not self._was_lit and (alive := self.feed.assurance.key_died_after) is not None:
            self._tell(self._gap(self._lag_before(alive), KEY_DIED))
        if lit and self._was_lit and (found := self.feed.take_break(now)) is not None:
            self._tell(self._gap(self._lag_before(found.after), found.reason))
            if self.books is not None:
                self.books.message_lost(found.reason, self.clock.at(now), now)
        is_new = self.feed.opened_count > self._opened_before
        if lit and self.books is not None and (not self._was_lit or (self.books.is_deaf and is_new)):
            self.books.stream_opened(self.clock.at(now), now, key_died=self.feed.assurance.key_died_after is not None)
        self._was_lit, self._opened_before = lit, self.feed.opened_count

    def _last_sure(self, now: Millis) -> Millis:
        """Before this venue time nothing is missing."""
        return self._lag_before(self.feed.sure_until(now))

    def _lag_before(self, told: Millis) -> Millis:
        """What was told until then may have overtaken what was made shortly before."""
        return max(self.account.proven_until, Millis(self.clock.at(told) - self._policy.books.lag_ms))

    def _care_for_books(self, now: Millis) -> None:
        books = self.books
        assert books is not None
        if (line := self.feed.current) is not None:
            books.note_voice(line.frames > 0, now)
        if suspicion := books.take_suspicion(now):
            self.feed.suspect(suspicion, now)
            self._note_light(now)
        books.polling = not self._was_lit and self.feed.failures >= self._policy.polling_after_failures
        books.lit = self._was_lit
        books.care(now, self._wall)

    @property
    def reason(self) -> str:
        """Why the account is in the state it is in."""
        if self.error is not None:
            return str(self.error)
        return "stopped" if self._stopped else self._state()[1]

    def _note_state(self) -> None:
        """In the dark a new reason is news too: people must learn why no socket opens."""
        state, reason = self._state()
        if state is not self.account.state or (not self._was_lit and reason != self._told_reason):
            self._tell(self._stream(state, reason))

    def _state(self) -> tuple[StreamState, str]:
        if not self._was_lit:
            if self.books is not None and self.books.polling:
                return StreamState.POLLING, self.feed.reason
            return (StreamState.STALE if self.feed.opened_count else StreamState.CONNECTING), self.feed.reason
        if self.books is None:
            return StreamState.LIVE, "stream only: without a secret nothing can be proven"
        return StreamState.LIVE if self.books.is_read else StreamState.SYNCING, self.books.reason

    def _stream(self, state: StreamState, reason: str) -> StreamChanged:
        line = self.feed.current
        self._told_reason = reason
        return StreamChanged(
            account=self.account.id,
            venue=self.account.venue,
            received_time=self._wall,
            source=Source.STREAM,
            state=state,
            reason=reason,
            connection=line.connection if line is not None else 0,
        )

    def _gap(self, since: Millis, reason: str) -> GapOpened:
        return GapOpened(account=self.account.id, venue=self.account.venue, received_time=self._wall, since=since, reason=reason)
