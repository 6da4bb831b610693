"""The invariants, held against the exchange's own books at every moment of a run. A breach ends the run with its name.

I1 nothing lost, in bounded time; I2 nothing doubled or invented; I3 orders only go forward; I4 equality at rest; I6 a view that may be
stale says so; I8 a trouble of one account is none of another. (I5 conservation is the fold's own checksum: doubts that stay are a breach
of I4. I7, the weight budget, is the exchange's to say: see `run`.)
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Protocol, TypeAlias, TypeVar

from tests.simulation.claims import Violation, check
from tests.simulation.ground import Ground, TrueFill
from tests.simulation.lists import ListWatch
from tests.simulation.orders import OrderWatch
from userstream.domain.account import PositionKey
from userstream.domain.events import (
    BalanceSet,
    Event,
    FillCompleted,
    Filled,
    GapOpened,
    GapRepaired,
    Mismatch,
    OrderChanged,
    OrderListChanged,
    PositionSet,
    SnapshotTaken,
    StreamChanged,
    Unrecognized,
)
from userstream.domain.order_lists import has_list_ended
from userstream.domain.registers import ABSENT_POSITION
from userstream.domain.words import OrderStatus, PositionSide, Source, StreamState
from userstream.kernel.ids import Millis, Symbol
from userstream.sim.books import Side
from userstream.sim.venue import Frame
from userstream.wire.hearing import DEAF
from userstream.wire.machine import Machine

KNOWN_WITHIN_MS: Final = 20_000
"""B: how long a fill may stay unknown to a running process, whatever the faults of the catalogue do; while calls fail, from the last that
failed."""

DARK_TOLD_WITHIN_MS: Final = 9_000
"""W: how long an account may call itself live while none of its sockets can deliver."""

SPARED_WITHIN_MS: Final = 1_500
"""D: how late a fill of an account without troubles may be, however great the troubles of others."""

KEYLESS_TOLD_WITHIN_MS: Final = 22_000
"""K: the same, while the sockets live but the venue has nothing for them, because their listen key died in silence: it is extended every
20 s. While calls fail, from the last that failed."""

AGE_WITHIN_MS: Final = 33_000
"""How old a socket may be; the policy replaces it after 25 s, the venue would end it."""

DIALS_IN_A_LOOK: Final = 25
"""How many sockets may be tried between two looks."""

FillName: TypeAlias = tuple[str, str, str]
Key = TypeVar("Key")
TELLS_ALL_LEGS: Final = "binance-coinm"
Told: TypeAlias = dict[FillName, tuple[object, ...]]

HELD_BY_ACCOUNT: Final = frozenset({BalanceSet, PositionSet, SnapshotTaken, StreamChanged})
"""What a watch keeps nothing of."""

UNWEIGHED: Final = frozenset({OrderChanged, BalanceSet})
"""What nothing but its sequence and the books at rest are held against."""

LIVE: Final = StreamState.LIVE
WITH_A_GAP: Final = (StreamState.STALE, StreamState.POLLING)

PROBE: Final = "ORDER_TRADE_UPDATE"
"""An event that every socket of an account is there for."""


class Links(Protocol):
    """What a watch must know of an account's sockets."""

    @property
    def can_deliver(self) -> bool: ...

    @property
    def last_opened(self) -> Millis: ...


def _time_of(entry: tuple[Millis, Decimal]) -> Millis:
    return entry[0]


def name_of(fill: Filled | FillCompleted) -> FillName:
    return (str(fill.symbol), fill.trade_id, str(fill.order_id))


class Watch:
    """Watches one account. `lateness_ms`: of every fill, from its execution until it was told the first time. `answers_are_whole`: no fault
    garbles what REST says."""

    def __init__(self, account: str, exchange: Ground, *, spared: bool, by_symbol: bool = False) -> None:
        self.account, self._exchange, self._spared = account, exchange, spared
        self.lateness_ms: list[int] = []
        self.answers_are_whole = False
        self._told: dict[FillName, Filled] = {}
        self._orders = OrderWatch(by_symbol=by_symbol)
        self._orders_seen = 0
        self._lists = ListWatch()
        self._missing: dict[FillName, TrueFill] = {}
        self._true: dict[FillName, TrueFill] = {}
        self._sequence = 0
        self._proven = Millis(0)
        self._gap_since: Millis | None = None
        self._is_widened = False
        self._mismatches: set[tuple[str, str]] = set()
        self._running_since: Millis | None = None
        self._began: Millis | None = None
        self._dark_since: Millis | None = None
        self._ever_told: set[FillName] = set()
        self._highest = 0
        self._resumed_at = -1
        self._resumes = False
        self._amounts: dict[PositionKey, list[tuple[Millis, Decimal]]] = {}
        self._places: dict[PositionKey, tuple[Millis, int]] = {}
        self._keyless_since: Millis | None = None
        self._before_gap: list[TrueFill] = []
        self._read_in_gap: list[Millis] = []
        self._kept_back, self._kept_back_until = 0, Millis(0)
        self._dials = 0
        self._probe = Frame(account=account, event=PROBE, body=b"{}")
        self._calm_ms: int | None = None
        self._may_blink = True

    # --- the life of the process ---

    def restarted(self, machine: Machine, durable: Iterable[Event], *, set_back: bool = False) -> None:
        """A process comes up: only what the disk holds was told. `set_back`: its wall clock is behind that of the runs before."""
        self._running_since = self._exchange.steady_now()
        self._began = self._began if self._began is not None else Millis(self._exchange.now())
        self._told, self._mismatches, self._read_in_gap = {}, set(), []
        self._lists.begin_anew()
        self._orders.begin_anew()
        self._sequence, self._proven, self._gap_since = 0, machine.account.proven_until, None
        for event in durable:
            self._take(event)
        if self._sequence == self._resumed_at and (set_back or not self._sequence):
            self._highest = self._sequence  # the run between left nothing on disk, not even that it began, and no clock tells of it
        self._resumed_at, self._resumes = self._sequence, self._sequence > 0
        self._places.clear()
        check("I10", set(machine.account.mismatches) == self._mismatches, "what is open does not survive a restart")
        self._learn_truth()
        self._missing = {name: true for name, true in self._true.items() if name not in self._told}

    def stopped(self, now: Millis) -> None:
        self._running_since = self._dark_since = self._keyless_since = None
        self._dials = 0

    def expect_calm(self, within_ms: int | None, *, may_blink: bool = False) -> None:
        """From now on every fill is told within this time, and the account stays live without a gap, unless it `may_blink`."""
        self._calm_ms, self._may_blink, self._spared = within_ms, may_blink, False

    @property
    def missing(self) -> list[TrueFill]:
        """Executions that were not told yet, oldest first."""
        self._learn_truth()
        return list(self._missing.values())

    # --- what is told ---

    def told(self, facts: Sequence[Event], machine: Machine, now: Millis) -> None:
        self._note_what_is_kept_back()
        if not facts:
            return
        self._learn_truth()
        first = facts[0].sequence
        if first <= self._highest:
            raise Violation("order of the journal", f"{first} was given before: {self._highest} was the highest")
        self._highest = max(first, facts[-1].sequence)
        if self._resumes:
            self._resumes = False
            check("gap", machine.account.gap_since is not None, "a run follows another without a gap")
        for event in facts:
            self._take(event)
            if type(event) not in UNWEIGHED:
                self._weigh(event, machine, now)
        self._look_at_gap(machine)

    def _weigh(self, event: Event, machine: Machine, now: Millis) -> None:
        match event:
            case Filled():
                self._time(name_of(event), now)
            case SnapshotTaken():
                self._prove(machine)
            case PositionSet():
                self._place(event)
            case GapRepaired():
                unknown = [true.name for true in self._before_gap]
                check("gap", not unknown, f"since {event.since}, but {unknown} were unknown")
            case Unrecognized(source=Source.SNAPSHOT):
                check("answers", not self.answers_are_whole, f"{event.name} was read, though it cannot be: {event.sample!r}")
            case Unrecognized(name="bytes"):
                check("gap", machine.account.gap_since is not None, "bytes nobody could read, and no gap")
            case GapOpened():
                if not self._is_widened:  # what ended sockets took with them lies within the gap before the books tell of it
                    self._note_beginning(event, machine)
                check("calm", self._may_blink or event.reason == "restart", f"a gap without a cause: {event.reason}")
            case StreamChanged() if event.state is not LIVE and not self._may_blink:
                raise Violation("calm", f"{event.state} without a cause: {event.reason}")

    def _take(self, event: Event) -> None:
        if event.sequence <= self._sequence:
            raise Violation("order of the journal", f"{event.sequence} after {self._sequence}")
        self._sequence = event.sequence
        if type(event) in HELD_BY_ACCOUNT:
            return
        match event:
            case Filled():
                name = name_of(event)
                if name in self._told:
                    raise Violation("I2", f"told twice: {event}")
                self._told[name] = event
                if self._gap_since is not None and event.source is Source.SNAPSHOT and 0 < self._proven < event.transaction_time:
                    self._read_in_gap.append(event.transaction_time)
            case OrderChanged():
                self._orders.take(event)
            case GapOpened():
                since = self._gap_since
                check("gap", since is None or event.since < since, f"{event.since} within {since}")
                self._gap_since, self._is_widened = event.since, since is not None and event.reason == DEAF
            case GapRepaired():
                self._repaired(event)
            case Mismatch():
                self._disagree(event)
            case OrderListChanged():
                self._lists.take(event)

    def _note_beginning(self, gap: GapOpened, machine: Machine) -> None:
        """What ended sockets took with them must lie within the gap when it is repaired: that their key had died is known only when the
        next one opens. Of what the venue itself kept back a client knows nothing."""
        if not machine.feed.is_lit:
            self._before_gap = [true for true in self._missing.values() if (self._began or 0) <= true.fill.time]
        self._before_gap = [true for true in self._before_gap if self._kept_back_until < true.fill.time < gap.since]

    def _note_what_is_kept_back(self) -> None:
        """What happened before the venue last kept something back may be what it kept back."""
        faults = self._exchange.house.faults.counters
        if (kept_back := faults.omitted + faults.dropped + faults.withheld) != self._kept_back:
            self._kept_back, self._kept_back_until = kept_back, Millis(self._exchange.now())

    def _time(self, name: FillName, now: Millis) -> None:
        true = self._true.get(name)
        if true is None:
            raise Violation("I2", f"never happened: {name}")
        self._missing.pop(name, None)
        if name in self._ever_told:
            return  # lost with the tail of the journal, told again
        self._ever_told.add(name)
        late_ms = now - true.happened
        self.lateness_ms.append(late_ms)
        if self._calm_ms is not None and late_ms > self._calm_ms:
            raise Violation("calm", f"{name} {late_ms} ms late, without a cause")
        if self._spared and late_ms > SPARED_WITHIN_MS:
            raise Violation("I8", f"{name} {late_ms} ms late, without a trouble of its own")

    def _place(self, event: PositionSet) -> None:
        """A leg is told as it was at its time. The stream tells the values of a millisecond in the order of their making, unless a REST
        answer came between. COIN-M's messages tell all legs, also as they were before a change of the same millisecond."""
        key = (event.symbol, event.position_side)
        if event.reason == ABSENT_POSITION:
            self._places.pop(key, None)
            return
        time, amounts = event.transaction_time, self._amounts.get(key, [])
        first, end = (bisect(amounts, time, key=_time_of) for bisect in (bisect_left, bisect_right))
        known_time, known = self._places.get(key, (Millis(0), -1))
        faults = self._exchange.house.faults.counters
        if event.source is Source.STREAM and not faults.displaced:
            if time < known_time:
                raise Violation("I3", f"{key} goes back from {known_time} to {time}")
            if time == known_time and not self._is_order_lost(amounts[first:end]):
                first = max(first, known + 1)
        found = [place for place in range(first, end) if amounts[place][1] == event.amount]
        before = amounts[first - 1][1] if first else Decimal(0)
        may_be_before = first == end or event.venue == TELLS_ALL_LEGS
        if not found and not (may_be_before and event.amount == before):
            raise Violation("I3", f"{key} never was {event.amount} at {time}: {amounts[-9:]}")
        self._places[key] = (time, found[0] if found and event.source is Source.STREAM else -1)

    def _is_order_lost(self, instant: Sequence[tuple[Millis, Decimal]]) -> bool:
        """Whether nobody can tell the order of an instant's values: frames were displaced, or lost where one value stands twice, so that
        two sockets with holes of their own mean different ones of them."""
        faults = self._exchange.house.faults.counters
        return bool(faults.displaced or (faults.dropped and len({amount for _, amount in instant}) < len(instant)))

    def _repaired(self, event: GapRepaired) -> None:
        check("gap", event.since == self._gap_since, f"repaired {event.since}, open was {self._gap_since}")
        earliest = min(self._read_in_gap, default=event.since)
        check("gap", event.since <= earliest, f"since {event.since}, but what only the books told begins at {earliest}")
        self._gap_since, self._read_in_gap = None, []
        if self._running_since is not None:
            self._nothing_missing("I1 repaired", event.since, event.until)

    def _disagree(self, event: Mismatch) -> None:
        key = (event.subject, event.key)
        if event.resolved is not (key in self._mismatches):
            raise Violation("I10", f"told or resolved twice: {event}")
        if event.resolved:
            self._mismatches.discard(key)
        else:
            self._mismatches.add(key)

    def _prove(self, machine: Machine) -> None:
        proven = machine.account.proven_until
        if proven < self._proven:
            raise Violation("proof", f"the proof goes back from {self._proven} to {proven}")
        self._proven = proven
        if not machine.feed.is_lit:
            self._before_gap = [true for true in self._before_gap if true.fill.time >= proven]
        if proven and self._began is not None:
            self._nothing_missing("I1 proven", self._began, proven)

    def _nothing_missing(self, name: str, since: Millis, until: Millis) -> None:
        lost = [true for true in self._missing.values() if max(since, self._began or since) <= true.fill.time < until]
        if lost:
            raise Violation(name, f"unknown within {since}..{until}: {[true.name for true in lost]}")

    # --- from time to time ---

    def look(self, machine: Machine, links: Links, now: Millis) -> None:
        """Is anything overdue?"""
        if self._running_since is None:
            return
        self._learn_truth()
        for true in self._missing.values():
            since = max(true.happened, self._running_since, self._exchange.last_trouble)
            check("I1 bounded", now - since <= KNOWN_WITHIN_MS, f"{true.name} of {true.happened} unknown at {now}")
            break  # the oldest
        self._orders.look(now, max(self._running_since, self._exchange.last_trouble))
        self._look_at_sockets(machine, links, now)
        if links.can_deliver:
            self._dark_since = None
        elif self._dark_since is None:
            self._dark_since = now
        elif now - (since := max(self._dark_since, links.last_opened)) > DARK_TOLD_WITHIN_MS:  # one may live and die between two looks
            check("I6", machine.account.state is not StreamState.LIVE, f"live in the dark since {since}")

    def _look_at_gap(self, machine: Machine) -> None:
        """A live account with a gap was read, and is told not to be proven: a mismatch says why."""
        account = machine.account
        if account.state is LIVE and account.gap_since is not None and not account.mismatches:
            raise Violation("I6", f"live, with a gap since {account.gap_since}")

    def _look_at_sockets(self, machine: Machine, links: Links, now: Millis) -> None:
        account = machine.account
        if account.state in WITH_A_GAP and account.gap_since is None:
            raise Violation("gap", f"{account.state} without a gap")
        self._look_at_gap(machine)
        dials, self._dials = self._dials, max(machine.feed.lines, default=self._dials)
        if dials and self._dials - dials > DIALS_IN_A_LOOK:
            raise Violation("I7", f"{self._dials - dials} sockets tried at {now}")
        if self.is_delivered or self._dials > dials or account.state is not StreamState.LIVE:
            self._keyless_since = None
        elif self._keyless_since is None:
            self._keyless_since = now
        elif now - max(self._keyless_since, self._exchange.last_trouble) > KEYLESS_TOLD_WITHIN_MS:
            raise Violation("I6", f"live without a key since {self._keyless_since}")

    @property
    def is_delivered(self) -> bool:
        """Whether the venue has an open socket for this account's events, none of them too old."""
        lanes = [lane for lane in self._exchange.hall.hub.lanes(self.account) if lane.session.wrap(self._probe)]
        for lane in lanes:
            age_ms = self._exchange.now() - lane.opened_at
            if age_ms > AGE_WITHIN_MS:
                raise Violation("I6", f"a socket of {age_ms} ms delivers")
        return bool(lanes)

    def _learn_truth(self) -> None:
        truth = self._exchange.truth[self.account]
        if len(truth) > len(self._true):
            for true in truth[len(self._true) :]:
                self._true[true.name] = true
                self._missing[true.name] = true
                self._move_leg(true)
        orders = self._exchange.orders[self.account]
        if len(orders) > self._orders_seen:
            self._orders.learn(orders[self._orders_seen :])
            self._orders_seen = len(orders)

    def _move_leg(self, true: TrueFill) -> None:
        fill = true.fill
        amounts = self._amounts.setdefault((Symbol(fill.symbol), PositionSide(fill.position_side)), [])
        change = fill.quantity if fill.side is Side.BUY else -fill.quantity
        amounts.append((Millis(fill.time), (amounts[-1][1] if amounts else Decimal(0)) + change))

    # --- at the end ---

    def hold_at_rest(self, machine: Machine, durable: Sequence[Event]) -> None:
        """After a quiet time: live and proven, and what is on disk is what is true, to the last digit."""
        account = machine.account
        check("liveness", account.state is StreamState.LIVE, f"{account.state} after the quiet, {machine.feed.reason}")
        check("liveness", account.gap_since is None and self._gap_since is None, f"a gap since {account.gap_since} stays open")
        check("I5", not account.doubts, f"doubts stay: {list(account.doubts)}")
        check("I10", not self._mismatches, f"mismatches stay: {self._mismatches}")
        check("liveness", self.is_delivered, "live, but the venue has no socket for its events")
        self._same_fills(durable)
        self._same_orders()
        self._same_lists(machine)
        self._same("orders", _open_orders(machine), self._exchange.open_orders(self.account))
        self._same("positions", _positions(machine), self._exchange.positions(self.account))
        self._same("balances", _balances(machine), self._exchange.balances(self.account))

    def _same_fills(self, durable: Sequence[Event]) -> None:
        ours: Told = {}
        for event in durable:
            if isinstance(event, Filled):
                name = name_of(event)
                if name in ours:
                    raise Violation("I2", f"twice in the journal: {event}")
                ours[name] = (event.quantity, event.price, event.fee)
            elif isinstance(event, FillCompleted):
                quantity, price, fee = ours[name_of(event)]
                ours[name_of(event)] = (quantity, price, event.fee if fee is None else fee)
        truth = self._exchange.truth[self.account]
        self._same("fills", ours, {true.name: (true.fill.quantity, true.fill.price, true.fill.fee) for true in truth})

    def _same_orders(self) -> None:
        """Each order was told as it is or as it ended."""
        books = self._exchange.hall.room.exchange.orders(self.account)
        self._same("last words of orders", self._orders.standings, self._orders.true_standings(books))

    def _same_lists(self, machine: Machine) -> None:
        """Each list stands as the books say; what is told is what the account holds."""
        told, lists = self._lists.standing(), self._exchange.order_lists(self.account)
        orders = self._orders.ids() if lists else set()
        self._same("order lists", told, self._lists.true_standing(lists, orders))
        held = {key for key, each in machine.account.order_lists.items() if not has_list_ended(each)}
        is_open = {key for key, (_, _, ended) in told.items() if not ended}
        check("I4", held == is_open, f"lists held as open: {held}, told: {is_open}")

    def _same(self, what: str, ours: Mapping[Key, object], theirs: Mapping[Key, object]) -> None:
        if ours == theirs:
            return
        wrong = [f"{key}: ours {ours.get(key)}, true {theirs.get(key)}" for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
        name = "I1" if what == "fills" else "I4"
        check(name, not wrong, f"{what} differ: {'; '.join(wrong)}")


def _open_orders(machine: Machine) -> Told:
    done = {OrderStatus.TRIGGERED, OrderStatus.PENDING}
    return {
        (str(order.symbol), str(order.order_id), "algo" if order.conditional else ""): (order.quantity, order.filled_quantity)
        for order in machine.account.open_orders()
        if not order.conditional or order.status not in done
    }


def _positions(machine: Machine) -> Told:
    return {
        (str(leg.symbol), str(leg.position_side), ""): (leg.amount, leg.entry_price)
        for leg in machine.account.positions.values()
        if leg.amount
    }


def _balances(machine: Machine) -> Told:
    return {(asset, "", ""): (wallet.total,) for asset, wallet in machine.account.balances.items() if wallet.total != Decimal(0)}
