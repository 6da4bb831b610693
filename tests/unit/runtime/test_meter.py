"""The meter: the text that Prometheus reads, compared with what was done to the account."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from tests.support.events import margin_called
from tests.support.transport import json_answer
from tests.unit.runtime.kit import SPEC, STREAM_ONLY, Shell, balance_frame
from tests.unit.venues.binance.kit import order_frame, place
from userstream.adapters.metrics import PrometheusMetrics
from userstream.domain.events import Event, Filled, GapOpened, Mismatch
from userstream.domain.words import StreamState
from userstream.kernel.ids import AccountId, Millis
from userstream.kernel.secret import Secret
from userstream.runtime.gate import Gate
from userstream.runtime.keeper import RETRY_MS
from userstream.runtime.meter import ACCOUNTS_OF_A_TURN, COUNTED, Meter
from userstream.runtime.pressure import BACKLOG_LOW
from userstream.wire.pacing import WeightBudget
from userstream.wire.request import HttpRequest

MINUTE_MS = 60_000
ACCOUNT = 'account="alice",venue="binance-usdm"'


class Gauges:
    """A shell and the numbers that are reported of it."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.metrics = PrometheusMetrics(strict=True)
        self.meter = Meter(self.metrics, shell.clock, shell.journal)
        shell.runner.count = self.meter.count
        self.running = True

    def text(self) -> str:
        accounts = [self.shell.account] if self.running else []
        self.meter.report(accounts, [self.shell.gate], sink_lags={"tables": 7})
        return self.metrics.render().decode()

    def value(self, name: str, labels: str = ACCOUNT) -> float:
        """The number behind a name; its absence is an error."""
        sought = f"userstream_{name}{{{labels}}}" if labels else f"userstream_{name}"
        [number] = re.findall(rf"^{re.escape(sought)} (\S+)$", self.text(), flags=re.MULTILINE)
        return float(number)


@pytest.fixture
async def gauges() -> AsyncIterator[Gauges]:
    shell = Shell()
    made = Gauges(shell)
    yield made
    await shell.stop()


async def live(shell: Shell) -> None:
    await shell.start()
    await shell.go_live()


async def test_every_kind_of_event_is_counted_as_often_as_it_was_told(gauges: Gauges) -> None:
    shell = gauges.shell
    await live(shell)
    await shell.trade(3)
    shell.socket.cut()
    await shell.clock.advance_until(lambda: shell.account.health.reconnects == 1, limit_ms=MINUTE_MS)
    await shell.clock.advance(MINUTE_MS)
    kinds = [type(event) for event in shell.events]
    assert {Filled, GapOpened} <= set(kinds)
    for name in set(COUNTED.values()):
        assert gauges.value(name) == sum(COUNTED.get(kind) == name for kind in kinds), name
    assert gauges.value("mismatches_total") == sum(isinstance(event, Mismatch) and not event.resolved for event in shell.events) > 0


async def test_an_account_that_is_to_run_and_does_not_has_no_open_socket(gauges: Gauges) -> None:
    alice, bob, venue = AccountId("alice"), AccountId("bob"), gauges.shell.account.venue
    gauges.meter.expected = lambda: {alice: venue, bob: venue}
    gauges.running = False
    bobs = 'account="bob",venue="binance-usdm"'
    assert gauges.value("active_connections") == gauges.value("active_connections", bobs) == 0
    await live(gauges.shell)
    gauges.running = True
    await gauges.shell.trade(2)
    assert gauges.value("active_connections") == 1, "the same curve goes on"
    assert gauges.value("fills_total") == 2
    await gauges.meter.report_in_turns({"alice": gauges.shell.account}, [], sink_lags={})
    assert gauges.value("active_connections", bobs) == 0
    gauges.meter.expected = lambda: {alice: venue}
    text = gauges.text()
    assert "bob" not in text and "alice" in text, "whoever is not to run raises no alarm"


async def test_totals_do_not_grow_by_being_read(gauges: Gauges) -> None:
    await live(gauges.shell)
    await gauges.shell.trade(2)
    first = gauges.value("fills_total"), gauges.value("messages_received_total"), gauges.value("journal_records_total", "")
    assert first == (gauges.value("fills_total"), gauges.value("messages_received_total"), gauges.value("journal_records_total", ""))
    await gauges.shell.trade()
    assert gauges.value("fills_total") == first[0] + 1 == 3
    assert gauges.value("messages_received_total") == first[1] + 1
    assert gauges.value("journal_records_total", "") == first[2] + 1 == len(gauges.shell.records)


async def test_all_counters_of_an_account_are_there_from_the_beginning(gauges: Gauges) -> None:
    await gauges.shell.start()
    text = gauges.text()
    for name in {*COUNTED.values(), "mismatches_total", "polls_total", "reconnects_total", "fills_recovered_total", "odd_frames_total"}:
        assert f"userstream_{name}{{{ACCOUNT}}} " in text, f"{name}: a curve that begins at its first trouble shows no rise"


async def test_sockets_and_their_trouble(gauges: Gauges) -> None:
    shell = gauges.shell
    shell.transport.refusals.append("no route")
    await shell.start()
    await shell.clock.advance_until(lambda: shell.account.health.connections == 1, limit_ms=MINUTE_MS)
    assert gauges.value("connect_failures_total") == 1
    assert gauges.value("active_connections") == 1
    shell.socket.deliver_odd(b"\x00\xff", "binary")
    await shell.trade()
    shell.socket.deliver('{"e":"SOMETHING_NEW","E":1790000001200}')
    await shell.clock.settle()
    assert gauges.value("odd_frames_total") == 1
    assert gauges.value("unrecognized_total") == shell.account.health.unrecognized > 1
    for _ in range(2):
        shell.socket.deliver(order_frame())
    await shell.clock.settle()
    assert gauges.value("duplicates_dropped_total") == shell.account.health.duplicates_dropped > 0
    shell.socket.cut()
    await shell.clock.settle()
    assert gauges.value("active_connections") == 0


async def test_the_state_of_each_account_is_one_of_all_states(gauges: Gauges) -> None:
    await gauges.shell.start()
    for step in (0, MINUTE_MS):
        await gauges.shell.clock.advance(step)
        counted = {state: gauges.value("accounts", f'state="{state.value}",venue="binance-usdm"') for state in StreamState}
        assert {state for state, number in counted.items() if number} == {gauges.shell.account.state}
        assert sum(counted.values()) == 1


async def test_ages_grow_with_the_clock_that_never_jumps(gauges: Gauges) -> None:
    shell = gauges.shell
    shell.transport.hold()
    await shell.start()
    await shell.clock.advance(20_000)
    shell.clock.jump_wall(-3_600_000)
    assert gauges.value("staleness_seconds") == 20, "an account that never heard anything is as old as its start"
    assert gauges.value("unproven_seconds") == 20
    assert gauges.value("gap_seconds") == 0
    shell.transport.let_go()
    await shell.clock.advance_until(lambda: shell.account.state is StreamState.LIVE, limit_ms=5 * MINUTE_MS)
    assert gauges.value("unproven_seconds") < 60
    shell.transport.hold()
    shell.socket.cut()
    await shell.clock.advance(30_000)
    assert 30 <= gauges.value("gap_seconds") < 60
    assert gauges.value("staleness_seconds") >= 30
    shell.transport.let_go()


async def test_with_a_key_alone_no_age_of_proof_is_told() -> None:
    shell = Shell(account_place=place(credentials=STREAM_ONLY))
    gauges = Gauges(shell)
    await shell.start()
    assert "unproven_seconds{" not in gauges.text()
    assert gauges.value("staleness_seconds") == 0
    await shell.stop()


async def test_polling_is_counted(gauges: Gauges) -> None:
    shell = gauges.shell
    shell.transport.refusals.extend(["no route"] * 1_000)
    await shell.start()
    await shell.clock.advance(20 * MINUTE_MS)
    assert shell.account.state is StreamState.POLLING
    assert gauges.value("polls_total") >= 10


async def test_the_way_of_a_message_is_measured_in_the_venues_time(gauges: Gauges) -> None:
    shell = gauges.shell
    shell.http.plan("GET /fapi/v1/time", lambda request: json_answer({"serverTime": shell.clock.wall() + 5_000}))
    await live(shell)
    assert gauges.value("clock_skew_seconds", 'venue="binance-usdm"') == 5
    ways = 'stage="venue_to_socket"'
    before = gauges.value("stage_latency_seconds_sum", ways), gauges.value("stage_latency_seconds_count", ways)
    committed = gauges.value("stage_latency_seconds_count", 'stage="socket_to_journal"')
    shell.socket.deliver(balance_frame(event_time=shell.clock.wall() + 5_000 - 30))
    await shell.clock.settle()
    assert gauges.value("stage_latency_seconds_sum", ways) == pytest.approx(before[0] + 0.03)
    assert gauges.value("stage_latency_seconds_count", ways) == before[1] + 1, "one of each account and report"
    assert gauges.value("stage_latency_seconds_count", ways) == before[1] + 1, "and none where nothing came"
    assert gauges.value("stage_latency_seconds_count", 'stage="socket_to_journal"') == committed + 1 == len(shell.records)
    assert gauges.value("stage_latency_seconds_sum", 'stage="socket_to_journal"') == 0


async def test_what_the_journal_refuses_is_counted_once_and_the_journal_called_failed_until_it_has_all(gauges: Gauges) -> None:
    shell = gauges.shell
    await live(shell)
    assert gauges.value("journal_failed", "") == 0
    shell.held.held = BACKLOG_LOW
    assert gauges.value("journal_backlog", "") == BACKLOG_LOW
    shell.held.held, shell.held.refusal = 0, "the disk is gone"
    kept = gauges.value("journal_records_total", "")
    await shell.trade(2)
    assert (gauges.value("fills_total"), gauges.value("journal_records_total", "")) == (2, kept)
    assert gauges.value("journal_failed", "") == 1
    shell.held.refusal = None
    await shell.clock.advance(RETRY_MS)
    assert gauges.value("fills_total") == 2
    assert gauges.value("journal_records_total", "") > kept
    assert gauges.value("journal_failed", "") == 0
    assert gauges.value("sink_lag", 'sink="tables"') == 7


async def test_the_end_of_a_warning_is_no_margin_call(gauges: Gauges) -> None:
    told = [margin_called(status=status, sequence=place) for place, status in enumerate(("margin_call", "normal", ""), 1)]
    gauges.meter.count(AccountId("alice"), 0, Millis(0), told)
    assert gauges.value("margin_calls_total") == 2


async def test_handlers_that_raise(gauges: Gauges) -> None:
    @gauges.shell.account.on(Filled)
    def fail(event: Event) -> None:
        raise ValueError("a handler that raises")

    await gauges.shell.start()
    await gauges.shell.trade(2)
    assert gauges.value("handler_errors_total", 'account="alice"') == 2


async def test_a_handler_that_falls_behind_skips_nothing_and_that_is_told_from_the_beginning(gauges: Gauges) -> None:
    await gauges.shell.start()
    assert gauges.value("handler_drops_total", 'account="alice"') == 0


async def test_tasks_that_an_exception_ends(gauges: Gauges) -> None:
    async def fail() -> None:
        raise ValueError("nobody expected this")

    async def wait() -> None:
        await gauges.shell.clock.sleep(MINUTE_MS)

    await gauges.shell.start()
    assert gauges.value("task_failures_total", "") == 0
    clock = gauges.shell.clock
    failing, cancelled = clock.spawn(fail(), "failing"), clock.spawn(wait(), "cancelled")
    cancelled.cancel()
    await clock.settle()
    assert failing.done() and cancelled.cancelled()
    assert [gauges.value("task_failures_total", "") for _ in range(2)] == [1, 1]
    clock.failures.clear()


async def test_the_budget_of_an_address(gauges: Gauges) -> None:
    shell = gauges.shell
    await live(shell)
    assert gauges.value("rest_weight_limit", 'budget="venue"') == 2_400
    assert gauges.value("rest_weight_used", 'budget="venue"') == shell.gate.used_weight
    shell.http.plan("GET /pause", json_answer({}, 429, retry_after="60"))
    await shell.gate.send(HttpRequest(method="GET", target=Secret("/pause"), label="GET /pause"), time_limit_ms=1_000)
    waiting = shell.clock.spawn(shell.gate.grant(1, urgent=False), "somebody")
    await shell.clock.settle()
    assert gauges.value("queue_depth", 'queue="rest venue"') == 1
    assert gauges.value("rest_waits_total", 'budget="venue"') == shell.gate.waits >= 1
    waiting.cancel()
    await shell.clock.settle()
    assert gauges.value("queue_depth", 'queue="rest venue"') == 0


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://fapi.binance.com", "fapi.binance.com"),
        ("http://127.0.0.1:8080/base", "127.0.0.1:8080"),
        ("https://user:password@proxy.example/x", "proxy.example"),
    ],
)
async def test_a_budget_is_named_by_its_host_alone(gauges: Gauges, address: str, name: str) -> None:
    shell = gauges.shell
    gates = [Gate(address, WeightBudget(100), shell.http, shell.clock, pause_of=SPEC.pause_of)]
    gauges.meter.report([], gates, sink_lags={})
    text = gauges.metrics.render().decode()
    assert f'userstream_rest_weight_limit{{budget="{name}"}} 100.0' in text
    assert "password" not in text


async def test_an_account_that_was_removed_is_not_told_and_a_namesake_begins_at_zero(gauges: Gauges) -> None:
    shell = gauges.shell
    await live(shell)
    await shell.trade(3)
    assert gauges.value("fills_total") == 3
    gauges.meter.forget_account(shell.id)
    gauges.running = False
    assert "alice" not in gauges.text()
    assert gauges.value("accounts", 'state="live",venue="binance-usdm"') == 0
    assert gauges.value("journal_records_total", "") == len(shell.records)
    gauges.running = True
    assert gauges.value("fills_total") == 0
    assert gauges.value("messages_received_total") == shell.account.health.messages


async def test_a_report_in_turns_tells_the_same_and_nothing_of_whoever_was_removed_meanwhile(gauges: Gauges) -> None:
    shell = gauges.shell
    await live(shell)
    await shell.trade(3)
    running = dict.fromkeys([f"account {number}" for number in range(ACCOUNTS_OF_A_TURN)] + [str(shell.id)], shell.account)
    reporting = asyncio.ensure_future(gauges.meter.report_in_turns(running, [shell.gate], sink_lags={"tables": 7}))
    await asyncio.sleep(0)
    running.clear()
    gauges.meter.forget_account(shell.id)
    await shell.clock.settle()
    await reporting
    assert "alice" not in gauges.metrics.render().decode(), "its last numbers would stay for ever"
    await gauges.meter.report_in_turns({shell.id: shell.account}, [shell.gate], sink_lags={"tables": 7})
    told = gauges.metrics.render().decode()
    assert numbers_of(told) == numbers_of(gauges.text())


def numbers_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("userstream_")]


async def test_an_account_with_the_name_of_a_venue_takes_no_other_numbers_with_it(gauges: Gauges) -> None:
    await live(gauges.shell)
    await gauges.shell.trade(2)
    assert gauges.value("messages_received_total") == gauges.shell.account.health.messages
    gauges.meter.forget_account(AccountId("binance-usdm"))
    assert gauges.value("messages_received_total") == gauges.shell.account.health.messages
