"""What goes out on one socket, and when: order, lateness, silence and displacement. Pure; the server only carries the bytes."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from userstream.sim.actions import EVERYBODY
from userstream.sim.books import Millis
from userstream.sim.faults import ActiveSilence, FaultPlan
from userstream.sim.venue import Frame, SocketSession

LONGEST_DISPLACEMENT_MS = 1000


class Kind(StrEnum):
    TEXT = "text"
    BINARY = "binary"
    PING = "ping"
    PONG = "pong"


TEXT = Kind.TEXT


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes ready for the wire."""

    kind: Kind
    body: bytes


class Lane:
    """The way out to one socket. Events pass the faults; answers, pings and pongs only wait while the socket is silent."""

    def __init__(self, number: int, venue: str, session: SocketSession, plan: FaultPlan, opened_at: Millis) -> None:
        self.number = number
        self.venue = venue
        self.session = session
        self.opened_at = opened_at
        self.close_at: Millis | None = None
        self._plan = plan
        self._events: deque[tuple[Millis, Parcel]] = deque()
        self._others: deque[Parcel] = deque()
        self._shelf: list[bytes] = []
        self._shelf_size = 0
        self._shelved_at = Millis(0)
        self._silence = plan.silence_of(session.accounts, opened_at)

    def belongs_to(self, account: str) -> bool:
        return account == EVERYBODY or account in self.session.accounts

    def offer(self, frame: Frame, now: Millis) -> None:
        """An event for this socket, if it asked for it."""
        if not self._plan.has_rules and self._silence is None and not self._shelf_size:
            for body in self.session.wrap(frame):
                self._queue(body, now + self._plan.lateness_ms(frame.account))
            return
        for body in self.session.wrap(frame):
            if self._loses(now):
                self._plan.counters.dropped += 1
                continue
            for _ in range(self._plan.copies(frame.account, frame.event, now)):
                self._shelve_or_queue(body, frame, now)

    def send(self, parcel: Parcel) -> None:
        """An answer, a ping or a pong, or a frame made by hand."""
        self._others.append(parcel)

    def silence(self, active: ActiveSilence) -> None:
        self._silence = active

    def resume(self) -> None:
        self._silence = None

    def is_silent(self, now: Millis) -> bool:
        """True while not even a pong may leave."""
        active = self._active(now)
        return active is not None and not active.silence.deaf

    def take_due(self, now: Millis) -> list[Parcel]:
        """What may leave now, in order."""
        active = self._active(now)
        if active is not None and not active.silence.deaf:
            return []
        parcels = list(self._others)
        self._others.clear()
        if active is None and (self._events or self._shelf):
            parcels += self._take_events(now)
        self._plan.counters.sent += len(parcels)
        return parcels

    def next_due(self, now: Millis) -> Millis | None:
        """When to look again, if time alone brings something."""
        if not self._events and not self._shelf and self._silence is None:
            return None
        moments = [self._events[0][0]] if self._events else []
        if self._shelf:
            moments.append(Millis(self._shelved_at + LONGEST_DISPLACEMENT_MS))
        active = self._active(now)
        if active is not None:
            moments = [] if active.until is None else [active.until]
        return min(moments, default=None)

    @property
    def waiting(self) -> int:
        return len(self._events) + len(self._others) + len(self._shelf)

    def _take_events(self, now: Millis) -> list[Parcel]:
        if self._shelf and now >= self._shelved_at + LONGEST_DISPLACEMENT_MS:
            self._clear_shelf(now)
        parcels = []
        while self._events and self._events[0][0] <= now:
            parcels.append(self._events.popleft()[1])
        return parcels

    def _shelve_or_queue(self, body: bytes, frame: Frame, now: Millis) -> None:
        if self._shelf_size == 0:
            self._shelf_size = self._plan.displaced(frame.account, frame.event, now)
            self._shelved_at = now
        if self._shelf_size == 0:
            self._queue(body, now + self._plan.lateness_ms(frame.account))
            return
        self._shelf.append(body)
        if len(self._shelf) >= self._shelf_size:
            self._clear_shelf(now)

    def _clear_shelf(self, now: Millis) -> None:
        for body in self._plan.mix(self._shelf):
            self._queue(body, now)
        self._shelf, self._shelf_size = [], 0

    def _queue(self, body: bytes, due: int) -> None:
        # One TCP stream cannot overtake itself, so a short lateness waits behind a long one.
        last = self._events[-1][0] if self._events else 0
        self._events.append((Millis(max(due, last)), Parcel(kind=TEXT, body=body)))

    def _active(self, now: Millis) -> ActiveSilence | None:
        silence = self._silence
        if silence is not None and not silence.holds(now):
            silence = self._silence = None
        return silence

    def _loses(self, now: Millis) -> bool:
        active = self._active(now)
        if active is None:
            return False
        self._plan.counters.withheld += 1
        return active.silence.lose


class Hub:
    """The lanes of one venue, found by account."""

    def __init__(self, venue: str, plan: FaultPlan) -> None:
        self._venue = venue
        self._plan = plan
        self._numbers = itertools.count(1)
        self._lanes: dict[int, Lane] = {}
        self._by_account: dict[str, dict[int, Lane]] = {}
        self._accounts_of: dict[int, frozenset[str]] = {}

    def open(self, session: SocketSession, now: Millis) -> Lane:
        lane = Lane(next(self._numbers), self._venue, session, self._plan, now)
        self._lanes[lane.number] = lane
        self.refile(lane)
        return lane

    def close(self, lane: Lane) -> None:
        self._lanes.pop(lane.number, None)
        self._forget_accounts(lane)

    def refile(self, lane: Lane) -> None:
        """The session may have subscribed or unsubscribed."""
        accounts = lane.session.accounts
        if accounts == self._accounts_of.get(lane.number):
            return
        self._forget_accounts(lane)
        self._accounts_of[lane.number] = accounts
        for account in accounts:
            self._by_account.setdefault(account, {})[lane.number] = lane

    def publish(self, frames: Iterable[Frame], now: Millis) -> list[Lane]:
        """Give each event to the sockets of its account; returns the lanes that have something to do, oldest first."""
        touched: dict[Lane, None] = {}  # a set would give them in another order in each run
        for frame in frames:
            if not self._plan.publishes(frame.account, frame.event, now):
                continue
            for lane in self._by_account.get(frame.account, {}).values():
                lane.offer(frame, now)
                touched[lane] = None
        return list(touched)

    def lanes(self, account: str = EVERYBODY) -> Iterator[Lane]:
        if account == EVERYBODY:
            return iter(list(self._lanes.values()))
        return iter(list(self._by_account.get(account, {}).values()))

    def _forget_accounts(self, lane: Lane) -> None:
        for account in self._accounts_of.pop(lane.number, frozenset()):
            lanes = self._by_account[account]
            lanes.pop(lane.number, None)
            if not lanes:
                del self._by_account[account]
