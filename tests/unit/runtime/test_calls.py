"""The calls of an account: when they go out, what they wait for, and an answer that a fault of our own left unread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
import structlog

from tests.support.transport import json_answer
from tests.unit.runtime.kit import CREATE, STREAM_ONLY, Shell
from tests.unit.venues.binance.kit import place
from userstream.domain.events import BalanceSet, SnapshotTaken, StreamChanged
from userstream.domain.words import StreamState
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.runtime.calls import Calls
from userstream.runtime.veil import Veil
from userstream.wire.pacing import Measurement
from userstream.wire.question import Answer
from userstream.wire.request import HttpRequest

MINUTE_MS = 60_000
PAUSE_CALL = HttpRequest(method="GET", target=Secret("/pause"), label="GET /pause")
REFUSED = json_answer({"code": -1003, "msg": "too many"}, 429, retry_after="120")
BALANCE = {"asset": "USDT", "balance": "7.5", "crossWalletBalance": "7.5", "availableBalance": "7.5"}
BANNED = json_answer({"code": -1003, "msg": "banned"}, 418, retry_after="120")


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    made = Shell()
    yield made
    await made.stop()


def states(shell: Shell) -> list[StreamState]:
    return [event.state for event in shell.events if isinstance(event, StreamChanged)]


async def test_each_question_is_signed_once_and_its_weight_is_the_calls(shell: Shell) -> None:
    await shell.start()
    await shell.clock.advance(10 * MINUTE_MS)
    [dialect] = shell.dialects
    asked = [label for label in shell.http.labels if "listenKey" not in label]
    assert dialect.signed == len(asked) > 10
    assert all(alone == with_call for alone, with_call in dialect.weighed)


@pytest.mark.parametrize("refusal", [REFUSED, BANNED], ids=["429", "418"])
async def test_a_key_call_that_waits_for_the_venues_pause_is_neither_abandoned_nor_doubled(refusal: object) -> None:
    shell = Shell(account_place=place(credentials=STREAM_ONLY))
    shell.http.plan("GET /pause", refusal)  # type: ignore[arg-type]
    await shell.gate.send(PAUSE_CALL, time_limit_ms=1_000)
    await shell.start()
    await shell.clock.advance(119_000)
    assert [line.connection for line in shell.runner.machine.feed.lines.values()] == [1], "the same socket is still being opened"
    assert shell.http.labels.count(CREATE) == 0
    await shell.clock.advance(5_000)
    assert shell.http.labels.count(CREATE) == 1
    assert shell.account.health.connections == 1
    await shell.stop()


async def test_the_opening_limit_counts_from_the_end_of_the_pause() -> None:
    shell = Shell(account_place=place(credentials=STREAM_ONLY))
    shell.http.plan("GET /pause", REFUSED)
    await shell.gate.send(PAUSE_CALL, time_limit_ms=1_000)
    shell.transport.hold()
    await shell.start()
    await shell.clock.advance(120_000 + 29_000)
    assert list(shell.runner.machine.feed.lines) == [1]
    await shell.clock.advance(2_000)
    assert 1 not in shell.runner.machine.feed.lines, "a socket that does not open in time is replaced"
    shell.transport.let_go()
    await shell.stop()


async def test_a_call_that_nobody_wants_any_more_is_not_made(shell: Shell) -> None:
    shell.http.plan("GET /pause", REFUSED)
    await shell.gate.send(PAUSE_CALL, time_limit_ms=1_000)
    await shell.start()
    shell.runner.take_close(1, "gone while its key was waited for")
    await shell.clock.advance(125_000)
    assert shell.http.labels.count(CREATE) == 1
    assert shell.account.health.connections == 1


async def test_an_account_that_starts_with_a_wrong_wall_clock_does_not_move_the_minutes_of_all() -> None:
    shell = Shell()
    shell.http.plan("GET /fapi/v1/time", lambda request: json_answer({"serverTime": shell.clock.wall() + 45_000}))
    shell.gate.learn_clock(Measurement(shell.clock.wall() - shell.clock.now() + 45_000, 20, shell.clock.now()))
    shell.gate.budget.report(2_270, Millis(shell.clock.wall() + 45_000))
    await shell.start()
    await shell.clock.advance(50_000)
    assert set(shell.http.labels) == {CREATE, "GET /fapi/v1/time"}, "nothing else fits the venue's minute"
    await shell.clock.advance(10_000)
    assert shell.account.state is StreamState.LIVE
    await shell.stop()


async def test_what_an_account_measured_of_the_venues_clock_is_told_to_the_gate() -> None:
    shell, ahead_ms = Shell(), 25_000
    shell.http.plan("GET /fapi/v1/time", lambda request: json_answer({"serverTime": shell.clock.wall() + ahead_ms}))
    await shell.start()
    shell.gate.learn_used(2_400)
    await shell.clock.advance(MINUTE_MS - (shell.clock.wall() + ahead_ms) % MINUTE_MS - 1)
    assert shell.gate.used_weight == 2_400
    await shell.clock.advance(1)
    assert shell.gate.used_weight < 2_400
    await shell.stop()


async def test_an_account_whose_first_question_was_long_on_its_way_does_not_move_the_minutes_of_all() -> None:
    shell = Shell()
    shell.gate.learn_clock(Measurement(shell.clock.wall() - shell.clock.now(), 20, shell.clock.now()))
    shell.http.hold()
    await shell.start()
    await shell.clock.advance(6_000)
    shell.http.let_go()
    await shell.clock.advance(100)
    clock = shell.runner.machine.clock
    assert (clock.at(shell.clock.now()) - shell.clock.wall(), clock.error_ms) == (3_000, 3_000), "its own clock is off"
    shell.gate.budget.report(2_400, shell.clock.wall())
    shell.gate.learn_clock(clock.measurement)
    left_ms = MINUTE_MS - shell.clock.wall() % MINUTE_MS
    await shell.clock.advance(left_ms - 1)
    assert shell.gate.used_weight == 2_400
    await shell.clock.advance(1)
    assert shell.gate.used_weight < 2_400, "the minute of all ends when the venue's does"
    await shell.stop()


async def test_waiting_for_the_venues_budget_is_said(shell: Shell) -> None:
    shell.gate.budget.report(2_400, Millis(shell.clock.wall()))
    await shell.start()
    assert shell.account.health.reason == "waiting 40 s for the venue's request budget"
    await shell.clock.advance(MINUTE_MS)
    assert "budget" not in shell.account.health.reason


async def test_a_long_wait_is_told_in_the_log_once_a_minute_and_a_short_one_never(shell: Shell) -> None:
    shell.gate.budget.report(2_400, Millis(shell.clock.wall()))
    with structlog.testing.capture_logs() as entries:
        await shell.start()
        await shell.clock.advance(4_900)
        assert told_of_waiting(entries) == []
        await shell.clock.advance(MINUTE_MS - 4_900)
        assert told_of_waiting(entries) == ["waiting 35 s for the venue's request budget"]
        await shell.clock.advance(10 * MINUTE_MS)
        assert len(told_of_waiting(entries)) == 1, "nothing waits any more"


async def test_who_waits_for_minutes_says_so_once_in_each(shell: Shell) -> None:
    shell.http.plan("GET /pause", json_answer({"code": -1003, "msg": "banned"}, 418, retry_after="200"))
    await shell.gate.send(PAUSE_CALL, time_limit_ms=1_000)
    with structlog.testing.capture_logs() as entries:
        await shell.start()
        await shell.clock.advance(210_000)
    words = ", as long as the venue wants no calls from this address"
    assert told_of_waiting(entries) == [f"waiting {left_s} s{words}" for left_s in (195, 135, 75, 15)]


async def test_accounts_that_wait_at_one_gate_say_so_together(shell: Shell) -> None:
    shell.http.plan("GET /pause", json_answer({"code": -1003, "msg": "banned"}, 418, retry_after="200"))
    await shell.gate.send(PAUSE_CALL, time_limit_ms=1_000)

    def another() -> Calls:
        return Calls(shell.runner, shell.runner.machine, Veil(), clock=shell.clock, gate=shell.gate, http=None, limit_ms=1_000)

    others = [another() for _ in range(5)]
    with structlog.testing.capture_logs() as entries:
        await shell.start()
        waiting = [asyncio.create_task(calls.ask(number, 1, False)) for number, calls in enumerate(others, 1_000)]
        await shell.clock.advance(150_000)
    assert len(told_of_waiting(entries)) == 3
    for task in waiting:
        task.cancel()


async def test_a_wait_of_which_there_is_nothing_to_tell_silences_no_other(shell: Shell) -> None:
    def account() -> Calls:
        return Calls(shell.runner, shell.runner.machine, Veil(), clock=shell.clock, gate=shell.gate, http=None, limit_ms=1_000)

    await shell.clock.advance(MINUTE_MS - shell.clock.wall() % MINUTE_MS - 5_000)
    shell.gate.budget.report(2_400, shell.clock.wall())
    with structlog.testing.capture_logs() as entries:
        first = asyncio.create_task(account().ask(1_000, 1, False))
        await shell.clock.advance(5_000)
        assert first.done(), "its wait was over when it was long enough to be told"
        shell.gate.refrain(30_000)
        second = asyncio.create_task(account().ask(1_001, 1, False))
        await shell.clock.advance(5_000)
    assert told_of_waiting(entries) == ["waiting 25 s, as long as the venue wants no calls from this address"]
    second.cancel()


async def test_an_account_that_is_stopped_while_it_waits_tells_nothing_more() -> None:
    shell = Shell()
    shell.gate.budget.report(2_400, Millis(shell.clock.wall()))
    with structlog.testing.capture_logs() as entries:
        await shell.start()
        await shell.stop()
        await shell.clock.advance(MINUTE_MS)
    assert told_of_waiting(entries) == []


def told_of_waiting(entries: list[MutableMapping[str, Any]]) -> list[str]:
    told = [entry for entry in entries if entry.get("action") == "budget_wait"]
    assert all((entry["budget"], entry["log_level"]) == ("venue", "warning") for entry in told)
    return [str(entry["event"]) for entry in told]


async def test_waiting_for_the_end_of_a_ban_is_said(shell: Shell) -> None:
    shell.http.plan("GET /pause", BANNED)
    await shell.gate.send(PAUSE_CALL, time_limit_ms=1_000)
    await shell.start()
    assert shell.account.health.reason == "waiting 120 s, as long as the venue wants no calls from this address"


async def test_an_answer_is_kept_for_what_the_venue_told_in_it_and_not_for_what_we_conclude(shell: Shell) -> None:
    shell.http.plan("GET /fapi/v3/balance", lambda request: json_answer([BALANCE]))
    await shell.start()
    await shell.clock.advance_until(lambda: shell.account.state is StreamState.LIVE, limit_ms=5 * MINUTE_MS)
    frames: dict[type, set[bytes]] = {}
    for record in await shell.journal.read_account(shell.account.id, after=0, limit=1_000):
        for event in record.events:
            frames.setdefault(type(event), set()).add(record.frame)
    assert all(BALANCE["asset"].encode() in frame for frame in frames[BalanceSet])
    assert frames[SnapshotTaken] == {b""}


async def test_a_fault_of_our_own_while_an_answer_is_read_is_counted_and_the_question_asked_again(shell: Shell) -> None:
    faults = iter([ValueError("never thought of"), KeyError("nor of this")])
    shell.http.plan("GET /fapi/v3/balance", lambda request: json_answer([]))
    await shell.start()
    [dialect] = shell.dialects
    dialect.faults = faults
    with structlog.testing.capture_logs() as entries:
        await shell.clock.advance_until(lambda: shell.account.state is StreamState.LIVE, limit_ms=5 * MINUTE_MS)
    assert shell.runner.own_faults == 2
    assert [entry["action"] for entry in entries].count("own_fault") == 2


async def test_a_question_whose_answer_was_half_read_is_asked_until_it_is_read(shell: Shell) -> None:
    await shell.start()
    [dialect] = shell.dialects
    dialect.spoiled = Answer(events=("no event",))  # type: ignore[arg-type]
    with structlog.testing.capture_logs() as entries:
        await shell.clock.advance(MINUTE_MS)
    assert [entry["action"] for entry in entries].count("own_fault") == shell.runner.own_faults >= 2
    assert StreamState.LIVE not in states(shell)
    dialect.spoiled = None
    await shell.clock.advance_until(lambda: shell.account.state is StreamState.LIVE, limit_ms=5 * MINUTE_MS)
