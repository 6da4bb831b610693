"""Numbers for Prometheus. The table says all there is to count; whoever counts names a line of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from userstream.adapters.series import Histograms, Kind, Line, Series, Values
from userstream.kernel.errors import SettingsError, nearest
from userstream.ports import Clock

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of what `render` returns: the form that every Prometheus reads."""

_OF_ACCOUNT: Final = ("venue", "account")
_log = structlog.stdlib.get_logger("userstream.metrics")

TABLE: Final[Mapping[str, Line]] = MappingProxyType(
    {
        line.name: line
        for line in (
            Line("active_connections", "gauge", "Open sockets.", _OF_ACCOUNT),
            Line("accounts", "gauge", "Accounts by state of their feed.", ("venue", "state")),
            Line("reconnects_total", "counter", "Sockets that were replaced after trouble.", _OF_ACCOUNT),
            Line("connect_failures_total", "counter", "Attempts to open a socket that failed.", _OF_ACCOUNT),
            Line("messages_received_total", "counter", "Messages that came over sockets.", _OF_ACCOUNT),
            Line("odd_frames_total", "counter", "Frames that are no text message.", _OF_ACCOUNT),
            Line("order_updates_total", "counter", "Changes of orders.", _OF_ACCOUNT),
            Line("position_updates_total", "counter", "Changes of positions.", _OF_ACCOUNT),
            Line("balance_updates_total", "counter", "Changes of balances.", _OF_ACCOUNT),
            Line("margin_calls_total", "counter", "Margin calls.", _OF_ACCOUNT),
            Line("account_config_updates_total", "counter", "Changes of leverage, margin type and position mode.", _OF_ACCOUNT),
            Line("fills_total", "counter", "Fills, however they became known.", _OF_ACCOUNT),
            Line("fills_recovered_total", "counter", "Fills that the stream did not bring and recovery did.", _OF_ACCOUNT),
            Line("duplicates_dropped_total", "counter", "Events that told nothing new.", _OF_ACCOUNT),
            Line("unrecognized_total", "counter", "Messages, fields and words that the venue's documents do not know.", _OF_ACCOUNT),
            Line("mismatches_total", "counter", "Differences found between stream, snapshot and arithmetic.", _OF_ACCOUNT),
            Line("open_mismatches", "gauge", "Differences that are not resolved.", _OF_ACCOUNT),
            Line("gaps_total", "counter", "Intervals in which events may have been missed.", _OF_ACCOUNT),
            Line("gap_seconds", "gauge", "Age of the oldest gap that is not repaired; 0 without one.", _OF_ACCOUNT),
            Line("staleness_seconds", "gauge", "Time since the venue's last sign of life.", _OF_ACCOUNT),
            Line("unproven_seconds", "gauge", "Time since the last moment up to which the feed is proven complete.", _OF_ACCOUNT),
            Line("polls_total", "counter", "Snapshots taken because the stream was away.", _OF_ACCOUNT),
            Line("clock_skew_seconds", "gauge", "How far the venue's clock is ahead of this machine's.", ("venue",)),
            Line("rest_weight_used", "gauge", "Weight of requests that the venue counts in its current interval.", ("budget",)),
            Line("rest_weight_limit", "gauge", "Weight of requests that the venue allows in an interval.", ("budget",)),
            Line("rest_requests_total", "counter", "HTTP calls by status; 0 where no answer came.", ("request", "status")),
            Line("rest_waits_total", "counter", "HTTP calls that waited for the budget.", ("budget",)),
            Line("journal_backlog", "gauge", "Records handed to the journal and not yet durable."),
            Line("journal_records_total", "counter", "Records made durable."),
            Line("journal_failed", "gauge", "1 when the journal cannot keep records any more."),
            Line("queue_depth", "gauge", "Items waiting in a queue.", ("queue",)),
            Line("stage_latency_seconds", "histogram", "Time of a message from one stage of its way to another.", ("stage",)),
            Line("handler_errors_total", "counter", "Exceptions out of handlers.", ("account",)),
            Line(
                "handler_drops_total",
                "counter",
                "Events that a handler had to skip: 0, for a slow one reads on from the journal.",
                ("account",),
            ),
            Line("sink_lag", "gauge", "Records of the journal that a sink has not taken yet.", ("sink",)),
            Line("sink_errors_total", "counter", "Batches that a sink refused.", ("sink",)),
            Line("risk_actions_total", "counter", "Actions of the risk engine; dry runs too.", ("account", "action", "outcome")),
            Line("breaker_state", "gauge", "Circuit breaker: 0 closed, 1 half-open, 2 open.", ("account",)),
            Line(
                "http_refused_total",
                "counter",
                "Callers of the HTTP API beyond a limit of connections: of all, of one address.",
                ("limit",),
            ),
            Line("alerts_total", "counter", "Tries to deliver alerts, by how they ended.", ("receiver", "outcome")),
            Line("open_incidents", "gauge", "Incidents that were told and are not over.", ("kind",)),
            Line("task_failures_total", "counter", "Tasks that an exception ended."),
            Line("loop_stall_seconds", "gauge", "The longest stall of the event loop in the last minute or two."),
            Line("unknown_metrics_total", "counter", "Numbers reported under a name or a label that is not in the table."),
        )
    }
)


class PrometheusMetrics:
    """Keeps the numbers of `TABLE`, and those that the client library tells of the process. A label that is left out is empty.

    A name, kind or label that is not in the table raises SettingsError if `strict`; else it is logged once and counted, because a
    wrong name must not end a feed.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        self._series = {line.name: Series(line) for line in TABLE.values() if line.kind != "histogram"}
        self._histograms = {line.name: Histograms(line) for line in TABLE.values() if line.kind == "histogram"}
        self._known_problems: set[str] = set()

    def count(self, name: str, amount: int = 1, labels: Mapping[str, str] | None = None) -> None:
        """Adds `amount` (not negative) to a counter."""
        if (problem := _problem(name, "counter", labels or {}, amount)) is not None:
            self._complain(problem)
            return
        self._series[name].add(_values(TABLE[name], labels or {}), amount)

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Sets a gauge."""
        if (problem := _problem(name, "gauge", labels or {})) is not None:
            self._complain(problem)
            return
        self._series[name].set(_values(TABLE[name], labels or {}), value)

    def observe(self, name: str, values: Mapping[float, int], labels: Mapping[str, str] | None = None) -> None:
        """Adds each value so many times to a histogram."""
        if (problem := _problem(name, "histogram", labels or {})) is not None:
            self._complain(problem)
            return
        self._histograms[name].add(_values(TABLE[name], labels or {}), values)

    def forget_account(self, account: str) -> None:
        """Drops all numbers of an account that was removed: the last staleness of a feed that is no more would raise alarms for ever."""
        for series in self._series.values():
            series.forget("account", account)

    def render(self) -> bytes:
        """The text that Prometheus reads; its media type is `CONTENT_TYPE`."""
        return b"".join(self._parts())

    async def render_in_turns(self, clock: Clock) -> bytes:
        """The same, but messages may pass after every line of the table."""
        parts = []
        for part in self._parts():
            parts.append(part)
            await clock.sleep(0)
        return b"".join(parts)

    def _parts(self) -> Iterator[bytes]:
        yield generate_latest(self._process)
        for series in list(self._series.values()):
            yield series.text().encode()
        for histograms in list(self._histograms.values()):
            yield histograms.text().encode()

    def _complain(self, problem: str) -> None:
        if self._strict:
            raise SettingsError(problem)
        self._series["unknown_metrics_total"].add((), 1)
        if problem not in self._known_problems:
            self._known_problems.add(problem)
            _log.error("a number was not counted", action="metric_refused", reason=problem)


def _values(line: Line, labels: Mapping[str, str]) -> Values:
    return tuple(labels.get(label, "") for label in line.labels)


def _problem(name: str, kind: Kind, labels: Mapping[str, str], amount: int = 0) -> str | None:
    line = TABLE.get(name)
    if line is None:
        return f"metric {name!r}: {nearest(name, TABLE)}"
    if line.kind != kind:
        return f"metric {name!r} is a {line.kind}, not a {kind}"
    if line.labels != tuple(labels) and (foreign := sorted(set(labels) - set(line.labels))):
        return f"metric {name!r} has no label {foreign[0]!r}; it has: {', '.join(line.labels) or 'none'}"
    return f"metric {name!r} cannot go back" if amount < 0 else None
