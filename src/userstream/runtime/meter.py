"""What the runtime reports to whoever draws curves: read off the accounts when it is asked for, never while a message is on its way.

Only the kinds of events have to be counted as they come.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from userstream.domain.events import (
    NO_TIME,
    AccountConfigChanged,
    BalanceMoved,
    BalanceSet,
    Event,
    Filled,
    GapOpened,
    MarginCalled,
    Mismatch,
    OrderChanged,
    PositionSet,
    SnapshotTaken,
)
from userstream.domain.words import STREAM, StreamState
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.ports import Clock, Committed, Journal, Metrics
from userstream.runtime.gate import Gate
from userstream.runtime.live import LiveAccount
from userstream.runtime.stages import METRIC, ages_of
from userstream.runtime.views import Health

COUNTED: Final[Mapping[type[Event], str]] = MappingProxyType(
    {
        OrderChanged: "order_updates_total",
        Filled: "fills_total",
        PositionSet: "position_updates_total",
        BalanceSet: "balance_updates_total",
        BalanceMoved: "balance_updates_total",
        MarginCalled: "margin_calls_total",
        AccountConfigChanged: "account_config_updates_total",
        GapOpened: "gaps_total",
    }
)

ACCOUNTS_OF_A_TURN: Final = 20

RARE: Final[frozenset[type[Event]]] = frozenset({MarginCalled, Mismatch, SnapshotTaken})
"""Kinds whose kind alone does not say what they count as."""

POLLING: Final = "polling"
"""Why a snapshot was taken, when that is because no socket delivers."""


def _nobody() -> Mapping[AccountId, VenueName]:
    return {}


class Meter:
    """Counts what accounts tell and what the journal makes durable, from its making on; `report` tells the port all there is to tell.

    Counters of the port only grow: a number is reported as what it grew by since the last report.

    expected: the accounts that are to run, with their venues. One of them that does not run has no open socket, and that is told: a number
    that is not there would raise no alarm.
    """

    def __init__(self, metrics: Metrics, clock: Clock, journal: Journal) -> None:
        self._metrics, self._clock, self._journal = metrics, clock, journal
        self._events: defaultdict[AccountId, Counter[type[Event]]] = defaultdict(Counter)
        self._rare: defaultdict[AccountId, Counter[str]] = defaultdict(Counter)
        self._newest: dict[AccountId, tuple[Millis, Millis]] = {}
        self._records = 0
        self._told: dict[tuple[str, ...], int] = {}
        self._venues: set[str] = set()
        self.expected: Callable[[], Mapping[AccountId, VenueName]] = _nobody
        self._missing: dict[AccountId, VenueName] = {}
        journal.watch_commits(self._take)

    def count(self, account: AccountId, connection: int, received_time: Millis, events: Sequence[Event]) -> None:
        """What an account tells at one moment, at least one event; on the way of every message. `connection`: the socket it came by (0:
        none)."""
        counts = self._events[account]
        for kind in map(type, events):
            counts[kind] += 1
        if not RARE.isdisjoint(map(type, events)):
            self._count_rare(account, events)
        newest = events[-1]
        if connection and newest.source is STREAM:
            self._newest[account] = (received_time, newest.event_time)

    def forget_account(self, account: AccountId) -> None:
        """Its numbers are told no more; an account of this name that is added later begins at 0."""
        self._metrics.forget_account(account)
        self._events.pop(account, None)
        self._rare.pop(account, None)
        self._newest.pop(account, None)
        self._told = {key: told for key, told in self._told.items() if key[0] != account}

    def report(self, accounts: Iterable[LiveAccount], gates: Iterable[Gate], *, sink_lags: Mapping[str, int]) -> None:
        """Tells the port everything as it is now. `sink_lags`: records that each sink has not taken yet. Call it on the event loop."""
        running = list(accounts)
        self._report_missing(running)
        for account in running:
            self._report_account(account)
        self._report_common(running, gates, sink_lags)

    async def report_in_turns(self, accounts: Mapping[str, LiveAccount], gates: Iterable[Gate], *, sink_lags: Mapping[str, int]) -> None:
        """As `report`, but messages may pass after every few accounts. `accounts`: those that run, by name; it may change meanwhile."""
        names = list(accounts)
        self._report_missing(list(accounts.values()))
        for begin in range(0, len(names), ACCOUNTS_OF_A_TURN):
            for name in names[begin : begin + ACCOUNTS_OF_A_TURN]:
                if (account := accounts.get(name)) is not None:  # else its numbers were forgotten, for good
                    self._report_account(account)
            await self._clock.sleep(0)
        self._report_common(list(accounts.values()), gates, sink_lags)

    def _report_common(self, running: Sequence[LiveAccount], gates: Iterable[Gate], sink_lags: Mapping[str, int]) -> None:
        self._report_venues(running)
        for gate in gates:
            self._report_gate(gate)
        self._report_journal(running, sink_lags)
        self._grow("task_failures_total", self._clock.task_failures)

    # --- counting ---

    def _take(self, commits: Sequence[Committed]) -> None:
        self._records += sum(commit.records for commit in commits)
        received = ((commit.first_received, commit.records) for commit in commits)
        self._metrics.observe(METRIC, ages_of(received, self._clock.wall()), {"stage": "socket_to_journal"})

    def _count_rare(self, account: AccountId, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case MarginCalled(is_over=True):
                    self._events[account][MarginCalled] -= 1
                case Mismatch(resolved=False):
                    self._rare[account]["mismatches_total"] += 1
                case SnapshotTaken(reason=reason) if reason == POLLING:
                    self._rare[account]["polls_total"] += 1

    def _grow(self, name: str, total: int, **labels: str) -> None:
        key = (labels.get("account", ""), name, *labels.values())
        told = self._told.get(key)
        if total != told:  # most numbers of most accounts are as they were
            self._metrics.count(name, max(0, total - (told or 0)), labels)
            self._told[key] = total

    # --- reporting ---

    def _report_missing(self, running: Sequence[LiveAccount]) -> None:
        venues = {account.id: account.venue for account in running}
        missing = {name: venue for name, venue in self.expected().items() if name not in venues}
        still = venues | missing
        for name, venue in self._missing.items():
            if still.get(name) != venue:  # not to run any more, or elsewhere: its 0 would stay for ever
                self.forget_account(name)
        for name, venue in missing.items():
            self._metrics.gauge("active_connections", 0, {"venue": str(venue), "account": str(name)})
        self._missing = missing

    def _report_account(self, account: LiveAccount) -> None:
        runner, health = account.parts[0], account.health
        labels = {"venue": str(account.venue), "account": str(account.id)}
        totals = {
            "reconnects_total": health.reconnects,
            "connect_failures_total": runner.connect_failures,
            "messages_received_total": health.messages,
            "odd_frames_total": runner.odd_frames,
            "fills_recovered_total": health.fills_recovered,
            "duplicates_dropped_total": health.duplicates_dropped,
            "unrecognized_total": health.unrecognized,
        }
        for name, total in (totals | self._counted(account.id)).items():
            self._grow(name, total, **labels)
        self._grow("handler_errors_total", health.handler_errors, account=str(account.id))
        # a handler that falls behind reads on from the journal, one that cannot is ended and counted above: none ever skips an event
        self._grow("handler_drops_total", 0, account=str(account.id))
        self._metrics.gauge("active_connections", health.connections, labels)
        self._metrics.gauge("open_mismatches", health.mismatches, labels)
        self._report_ages(account, health, labels)

    def _counted(self, account: AccountId) -> dict[str, int]:
        """Every counter of events, those too that are 0: a curve that begins at its first trouble shows no rise."""
        totals = dict.fromkeys(COUNTED.values(), 0)
        for kind, name in COUNTED.items():
            totals[name] += self._events[account][kind]
        return totals | {name: self._rare[account][name] for name in ("mismatches_total", "polls_total")}

    def _report_ages(self, account: LiveAccount, health: Health, labels: Mapping[str, str]) -> None:
        runner, now = account.parts[0], self._clock.now()
        venue_now = runner.machine.clock.at(now)
        since_start = now - runner.started
        age_ms = since_start if health.age_ms is None else health.age_ms
        gap_ms = 0 if health.gap_since is None else max(0, venue_now - health.gap_since)
        self._metrics.gauge("staleness_seconds", age_ms / 1_000, labels)
        self._metrics.gauge("gap_seconds", gap_ms / 1_000, labels)
        if runner.machine.books is not None:  # with a key alone nothing is ever proven: its age would say nothing
            unproven_ms = venue_now - health.proven_until if health.proven_until else since_start
            self._metrics.gauge("unproven_seconds", max(0, unproven_ms) / 1_000, labels)

    def _report_venues(self, accounts: Sequence[LiveAccount]) -> None:
        states = Counter((str(account.venue), account.state) for account in accounts)
        self._venues |= {venue for venue, _ in states}
        for venue in self._venues:
            for state in StreamState:
                self._metrics.gauge("accounts", states[venue, state], {"venue": venue, "state": state.value})
        now, wall = self._clock.now(), self._clock.wall()
        measured = [account for account in accounts if account.parts[0].machine.clock.is_measured]
        for account in measured:
            skew_ms = account.parts[0].machine.clock.at(now) - wall
            self._metrics.gauge("clock_skew_seconds", skew_ms / 1_000, {"venue": str(account.venue)})
        ways = Counter(ms / 1_000 for account in measured if (ms := self._way_ms(account, now, wall)) is not None)
        self._metrics.observe(METRIC, ways, {"stage": "venue_to_socket"})

    def _way_ms(self, account: LiveAccount, now: Millis, wall: Millis) -> int | None:
        """How long the account's newest message was on its way, on the venue's clock; None if none came since, or it says no time. One of
        each account and report: the venue's own stamp is no finer than that."""
        received_time, event_time = self._newest.pop(account.id, (Millis(0), NO_TIME))
        if not event_time:
            return None
        skew_ms = account.parts[0].machine.clock.at(now) - wall
        return max(0, received_time + skew_ms - event_time)

    def _report_gate(self, gate: Gate) -> None:
        self._grow("rest_waits_total", gate.waits, budget=gate.name)
        self._metrics.gauge("rest_weight_used", gate.used_weight, {"budget": gate.name})
        self._metrics.gauge("rest_weight_limit", gate.budget.limit, {"budget": gate.name})
        self._metrics.gauge("queue_depth", gate.waiting, {"queue": f"rest {gate.name}"})

    def _report_journal(self, accounts: Sequence[LiveAccount], sink_lags: Mapping[str, int]) -> None:
        self._grow("journal_records_total", self._records)
        self._metrics.gauge("journal_backlog", self._journal.backlog)
        self._metrics.gauge("journal_failed", int(any(not account.parts[0].keeper.is_level for account in accounts)))
        for sink, lag in sink_lags.items():
            self._metrics.gauge("sink_lag", lag, {"sink": sink})
