"""The runner: what it does with sockets, calls, the journal and its own end, whatever of them fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import structlog

from tests.support.clock import ManualClock
from tests.support.transport import json_answer
from tests.unit.runtime.kit import CLOSE, CREATE, STREAM_ONLY, Shell
from tests.unit.venues.binance.kit import place
from userstream.adapters.sqlite import SqliteStore
from userstream.adapters.sqlite_commits import SqliteSettings
from userstream.domain.events import Event, Filled, GapOpened, OrderChanged, StreamChanged
from userstream.domain.words import StreamState
from userstream.kernel.errors import AuthenticationError, StoreError, UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.runtime.keeper import RETRY_MS
from userstream.runtime.runner import BACKLOG_CHECK_EVERY, BACKLOG_HIGH, BACKLOG_LOW, CHECKPOINT_MS, LOOK_MS, SAVE_LIMIT_MS, STOP_LIMIT_MS
from userstream.wire.feed import DOUBT_LIMIT_MS
from userstream.wire.machine import STOOD_STILL
from userstream.wire.question import Answer
from userstream.wire.request import HttpRequest, HttpResponse

MINUTE_MS = 60_000
PAUSE_CALL = HttpRequest(method="GET", target=Secret("/pause"), label="GET /pause")
REFUSED = json_answer({"code": -1003, "msg": "too many"}, 429, retry_after="120")
BANNED = json_answer({"code": -1003, "msg": "banned"}, 418, retry_after="120")


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    made = Shell()
    yield made
    await made.stop()


def states(shell: Shell) -> list[StreamState]:
    return [event.state for event in shell.events if isinstance(event, StreamChanged)]


def paused(shell: Shell) -> bool:
    return shell.socket.is_paused


async def settled(shell: Shell, reached: Callable[[], bool]) -> None:
    """Turns the clock until it is so, while a thread of the store works beside it."""
    for _ in range(2_000):
        if reached():
            return
        await asyncio.sleep(0.001)
        await shell.clock.advance(200)
    raise AssertionError("not reached")


# --- the way of a message ---


async def test_a_frame_becomes_events_state_and_a_record(shell: Shell) -> None:
    await shell.start()
    told: list[Event] = []
    shell.account.on(Filled, OrderChanged, handler=told.append)
    await shell.trade()
    assert [type(event) for event in told] == [OrderChanged, Filled] or [type(event) for event in told] == [Filled, OrderChanged]
    kept = await shell.journal.read_account(shell.id, after=0, limit=1_000)
    assert [record for record in kept if record.connection and record.frame and record.events][-1].events == tuple(told)
    assert [event.sequence for event in shell.events] == sorted({event.sequence for event in shell.events})


async def test_the_account_becomes_live_and_a_restart_knows_what_it_knew(shell: Shell) -> None:
    await shell.start()
    await shell.clock.advance_until(lambda: shell.account.state is StreamState.LIVE, limit_ms=5 * MINUTE_MS)
    await shell.trade()
    fills = [fill.trade_id for fill in shell.account.fills.recent()]
    await shell.runner.stop()
    again = Shell(journal=shell.journal)
    await again.start()
    assert [fill.trade_id for fill in again.account.fills.recent()] == fills != []
    assert again.account.sequence > shell.account.sequence
    await again.stop()


async def test_each_question_is_signed_once_and_its_weight_is_the_calls(shell: Shell) -> None:
    await shell.start()
    await shell.clock.advance(10 * MINUTE_MS)
    [dialect] = shell.dialects
    asked = [label for label in shell.http.labels if "listenKey" not in label]
    assert dialect.signed == len(asked) > 10
    assert all(alone == with_call for alone, with_call in dialect.weighed)


# --- opening sockets ---


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


async def test_a_refused_connection_is_tried_again(shell: Shell) -> None:
    shell.transport.refusals.extend(["no route", "no route"])
    await shell.start()
    await shell.clock.advance_until(lambda: shell.account.health.connections == 1, limit_ms=MINUTE_MS)
    assert shell.account.health.reconnects == 0
    assert shell.runner.connect_failures == 2


async def test_a_socket_that_nobody_wants_any_more_is_closed(shell: Shell) -> None:
    shell.transport.hold()
    await shell.start()
    shell.runner.take_close(1, "given up while it was opened")
    shell.transport.let_go()
    await shell.clock.advance(MINUTE_MS)
    assert len(shell.transport.sockets) == 2
    assert len(shell.transport.open_sockets) == 1


# --- a journal that is too full ---


async def test_reading_is_paused_while_the_journal_is_too_full(shell: Shell) -> None:
    await shell.start()
    shell.held.held = BACKLOG_HIGH + 1
    await shell.trade(BACKLOG_CHECK_EVERY + 1)
    assert paused(shell)
    shell.held.held = BACKLOG_LOW
    await shell.clock.advance(10)
    assert not paused(shell)


async def test_a_socket_that_is_opened_meanwhile_is_paused_too(shell: Shell) -> None:
    await shell.start()
    shell.held.held = BACKLOG_HIGH + 1
    await shell.trade(BACKLOG_CHECK_EVERY + 1)
    first = shell.socket
    first.cut()
    await shell.clock.advance_until(lambda: shell.socket is not first, limit_ms=MINUTE_MS)
    await shell.clock.settle()
    assert paused(shell)
    shell.held.held = BACKLOG_LOW
    await shell.clock.advance(10)
    assert not paused(shell)
    before = len(shell.account.fills)
    await shell.trade()
    assert len(shell.account.fills) == before + 1


async def test_a_journal_that_fails_for_good_while_reading_is_paused_does_not_silence_the_account(shell: Shell) -> None:
    await shell.start()
    shell.held.held = BACKLOG_HIGH + 1
    await shell.trade(BACKLOG_CHECK_EVERY + 1)
    assert paused(shell)
    shell.held.refusal = "the file is no database any more"
    await shell.clock.advance(5 * MINUTE_MS)
    assert not paused(shell)
    known = len(shell.account.fills)
    await shell.trade(2 * BACKLOG_CHECK_EVERY)
    assert not paused(shell), "waiting for a journal that takes nothing saves nothing"
    assert len(shell.account.fills) > known
    assert shell.account.health.store_trouble == "the file is no database any more"


async def test_while_reading_is_paused_silence_is_ours_and_no_socket_is_replaced(shell: Shell) -> None:
    await shell.start()
    shell.held.held = BACKLOG_HIGH + 1
    await shell.trade(BACKLOG_CHECK_EVERY + 1)
    assert paused(shell)
    await shell.clock.advance(30 * MINUTE_MS)
    assert len(shell.transport.sockets) == 1
    assert "nothing is read from the venue" in shell.account.health.store_trouble
    shell.socket.answers_pings = False
    shell.held.held = BACKLOG_LOW
    await shell.clock.advance(10)
    assert not paused(shell)
    assert shell.account.health.store_trouble == ""
    pings = shell.socket.pings
    assert pings > 0, "who could not hear asks at once who is still there"
    await shell.clock.advance_until(lambda: len(shell.transport.sockets) == 2, limit_ms=2 * DOUBT_LIMIT_MS)


# --- sleep ---


@pytest.mark.parametrize("answers", [True, False], ids=["alive", "dead"])
async def test_after_a_sleep_every_socket_must_show_that_it_lives_and_the_books_are_read(shell: Shell, answers: bool) -> None:
    await shell.start()
    await shell.clock.advance_until(lambda: shell.account.state is StreamState.LIVE, limit_ms=5 * MINUTE_MS)
    first = shell.socket
    pings, first.answers_pings = first.pings, answers
    shell.clock.jump_wall(60 * MINUTE_MS)
    await shell.clock.advance(LOOK_MS)
    assert first.pings == pings + 1
    assert [event.reason for event in shell.events if isinstance(event, GapOpened)][-1] == STOOD_STILL
    assert shell.account.state is not StreamState.LIVE
    await shell.clock.advance(DOUBT_LIMIT_MS)
    assert first.is_open is answers
    await shell.clock.advance_until(lambda: shell.account.health.is_healthy, limit_ms=5 * MINUTE_MS)
    await shell.clock.advance(MINUTE_MS)
    assert shell.account.health.is_healthy, "a sleep is told once"


async def test_a_wall_clock_that_is_set_a_little_or_back_means_nothing(shell: Shell) -> None:
    await shell.start()
    await shell.clock.advance_until(lambda: shell.account.state is StreamState.LIVE, limit_ms=5 * MINUTE_MS)
    gaps = sum(isinstance(event, GapOpened) for event in shell.events)
    for step in (4_000, -3_600_000, 4_000):
        shell.clock.jump_wall(step)
        await shell.clock.advance(2 * LOOK_MS)
    assert sum(isinstance(event, GapOpened) for event in shell.events) == gaps


# --- why it is dark ---


async def test_a_venue_that_cannot_be_reached_is_named_once_for_each_reason() -> None:
    shell = Shell()
    shell.http.plan(CREATE, *[HttpResponse(status=0, body=b"connection refused")] * 4, json_answer({"listenKey": "k" * 64}))
    shell.transport.refusals.extend(["no route to the venue"] * 2)
    await shell.start()
    words = "cannot reach https://fapi.example: connection refused"
    assert shell.account.health.reason == f"{words}, next try in 1 s"
    await shell.clock.advance_until(lambda: shell.account.health.connections == 1, limit_ms=5 * MINUTE_MS)
    told = [event.reason for event in shell.events if isinstance(event, StreamChanged)]
    assert told[:3] == ["starting", words, "cannot connect: no route to the venue"]
    assert told.count(words) == 1 and len(told) == 4
    await shell.stop()


async def test_waiting_for_the_venues_budget_is_said(shell: Shell) -> None:
    shell.gate.budget.report(2_400, Millis(shell.clock.wall()))
    await shell.start()
    assert shell.account.health.reason == "waiting 40 s for the venue's request budget"
    await shell.clock.advance(MINUTE_MS)
    assert "budget" not in shell.account.health.reason


async def test_waiting_for_the_end_of_a_ban_is_said(shell: Shell) -> None:
    shell.http.plan("GET /pause", BANNED)
    await shell.gate.send(PAUSE_CALL, time_limit_ms=1_000)
    await shell.start()
    assert shell.account.health.reason == "waiting 120 s, as long as the venue wants no calls from this address"


# --- failures ---


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


async def test_a_fault_that_leaves_an_answer_half_read_ends_the_account_aloud(shell: Shell) -> None:
    await shell.start()
    [dialect] = shell.dialects
    dialect.spoiled = Answer(events=("no event",))  # type: ignore[arg-type]
    with structlog.testing.capture_logs() as entries:
        await shell.clock.advance(MINUTE_MS)
    assert "own_fault" in [entry["action"] for entry in entries]
    assert states(shell)[-1] is StreamState.FAILED
    assert "a fault of our own" in shell.account.health.reason
    with pytest.raises(UserStreamError, match="see the log"):
        await shell.account.wait_proven()


async def test_what_the_journal_refused_is_kept_later_and_no_checkpoint_tells_what_it_lacks(shell: Shell) -> None:
    await shell.start()
    await shell.clock.advance_until(lambda: shell.account.state is StreamState.LIVE, limit_ms=5 * MINUTE_MS)
    await shell.runner.save()
    sequence, _ = await shell.held.load_checkpoint(shell.id)
    shell.held.refusal = "no more are taken"
    await shell.trade()
    shell.held.refusal = None
    shell.held.is_refusing_records = True
    await shell.runner.save()
    assert (await shell.held.load_checkpoint(shell.id))[0] == sequence, "the journal lacks a fill"
    assert shell.account.health.store_trouble == "no more are taken"
    shell.held.is_refusing_records = False
    await shell.clock.advance(RETRY_MS)
    assert shell.account.health.store_trouble == ""
    kept = [event for record in await shell.held.read_account(shell.id, after=0, limit=10_000) for event in record.events]
    assert [event.sequence for event in kept] == [event.sequence for event in shell.events]


async def test_a_fill_that_no_journal_took_is_read_from_the_venue_by_the_next_start(tmp_path: Path) -> None:
    clock = ManualClock()
    store = await SqliteStore.open(tmp_path / "a.db", clock, settings=SqliteSettings(max_backlog=60, max_pages=60, flush_limit_ms=500))
    shell = Shell(journal=store)
    shell.runner.keeper._most_bytes = 20_000
    await shell.start()
    await settled(shell, lambda: shell.account.state is StreamState.LIVE)
    for _ in range(40):
        await shell.trade(20)
        await asyncio.sleep(0.002)
    assert shell.runner.lost_error is not None
    assert shell.account.complete_since is None
    lost = shell.account.fills.recent()[-1].trade_id
    saving = asyncio.ensure_future(shell.runner.stop())
    await settled(shell, saving.done)
    await saving
    with contextlib.suppress(StoreError):
        await store.close()
    async with await SqliteStore.open(tmp_path / "a.db", ManualClock()) as again:
        _, checkpoint = await again.load_checkpoint(shell.id)
        kept, after = set[str](), 0
        while records := await again.read_account(shell.id, after=after, limit=1_000):
            kept |= {event.trade_id for record in records for event in record.events if isinstance(event, Filled)}
            after = records[-1].last_sequence
        assert lost not in kept
        assert {event.trade_id for event in checkpoint if isinstance(event, Filled)} <= kept
        second = Shell(journal=again)
        await second.start()
        assert second.account.health.gap_since is not None, "the next start knows that something may be missing, and since when"
        assert lost not in {fill.trade_id for fill in second.account.fills.recent()}
        stopping = asyncio.ensure_future(second.runner.stop())
        await settled(second, stopping.done)
        await stopping
    await shell.gate.close()
    await second.gate.close()


async def test_a_refused_key_ends_the_account_with_its_error() -> None:
    shell = Shell()
    shell.http.plan(CREATE, json_answer({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, 401))
    await shell.start()
    assert isinstance(shell.runner.failed, AuthenticationError)
    assert states(shell)[-1] is StreamState.FAILED
    with pytest.raises(AuthenticationError):
        await anext(shell.account.events())
    with pytest.raises(AuthenticationError):
        await shell.account.wait_ready()
    asked = len(shell.http.labels)
    await shell.clock.advance(MINUTE_MS * 60)
    assert len(shell.http.labels) == asked, "a venue that refused the key is left alone"
    await shell.stop()


async def test_a_store_that_fails_ends_nothing_and_is_told(shell: Shell) -> None:
    await shell.start()
    told: list[Event] = []
    shell.account.on(Filled, handler=told.append)
    shell.held.refusal = "the disk is gone"
    await shell.trade(2)
    assert len(told) == len(shell.account.fills) == 2
    assert shell.account.health.store_trouble == "the disk is gone"
    assert not shell.account.health.is_healthy


async def test_a_store_that_recovers_without_a_loss_is_no_trouble_any_more(shell: Shell) -> None:
    await shell.start()
    await shell.clock.advance_until(lambda: shell.account.health.is_healthy, limit_ms=5 * MINUTE_MS)
    shell.held.refusal = "slow disk"
    await shell.runner.save()
    assert shell.account.health.store_trouble == "slow disk"
    shell.held.refusal = None
    await shell.clock.advance(CHECKPOINT_MS)
    assert shell.account.health.store_trouble == ""


# --- the end ---


async def test_the_stop_closes_the_socket_tells_so_and_keeps_a_checkpoint(shell: Shell) -> None:
    await shell.start()
    await shell.trade()
    await shell.stop()
    await shell.runner.stop()
    assert states(shell)[-1] is StreamState.STOPPED
    sequence, events = await shell.journal.load_checkpoint(shell.id)
    assert sequence == shell.account.sequence
    assert any(isinstance(event, Filled) for event in events)


async def test_a_farewell_that_is_never_answered_does_not_hold_up_the_stop() -> None:
    shell = Shell(account_place=place(close_listen_key_on_stop=True))
    await shell.start()
    shell.http.hold()
    began = shell.clock.now()
    await shell.stop()
    assert shell.http.labels[-1] == CLOSE
    assert shell.clock.now() - began == STOP_LIMIT_MS


async def test_farewells_and_handlers_share_the_limit() -> None:
    shell = Shell(account_place=place(close_listen_key_on_stop=True))
    await shell.start()
    told: list[Event] = []

    @shell.account.on(Filled)
    async def slow(event: Event) -> None:
        await shell.clock.sleep(400)
        told.append(event)

    await shell.trade(9)
    shell.http.hold()
    began = shell.clock.now()
    await shell.stop()
    assert shell.clock.now() - began == STOP_LIMIT_MS
    assert len(told) == 3


async def test_a_store_that_does_not_answer_does_not_hold_up_the_stop(shell: Shell) -> None:
    await shell.start()
    shell.held.is_stuck = True
    began = shell.clock.now()
    await shell.stop()
    assert shell.clock.now() - began == SAVE_LIMIT_MS
    assert "checkpoint" in shell.account.health.store_trouble


@pytest.mark.parametrize("slow", [0, 100], ids=["quick", "slow"])
async def test_handlers_get_everything_that_was_delivered_before_the_stop(shell: Shell, slow: int) -> None:
    await shell.start()
    told: list[Event] = []

    @shell.account.on(Filled, StreamChanged)
    async def handle(event: Event) -> None:
        await shell.clock.sleep(slow)
        told.append(event)

    for _ in range(5):
        await shell.trade()
    await shell.stop()
    assert sum(isinstance(event, Filled) for event in told) == 5
    assert isinstance(told[-1], StreamChanged) and told[-1].state is StreamState.STOPPED


@pytest.mark.parametrize("turns", range(12))
async def test_it_can_be_stopped_at_any_moment_of_its_beginning(turns: int) -> None:
    shell = Shell()
    starting = asyncio.ensure_future(shell.runner.start())
    for _ in range(turns):
        await asyncio.sleep(0)
    await starting
    await shell.stop()


@pytest.mark.parametrize("place_of_wait", ["gate", "http", "dial"])
async def test_it_can_be_stopped_wherever_it_waits(shell: Shell, place_of_wait: str) -> None:
    match place_of_wait:
        case "gate":
            shell.http.plan("GET /pause", BANNED)
            await shell.gate.send(PAUSE_CALL, time_limit_ms=1_000)
        case "http":
            shell.http.hold()
        case _:
            shell.transport.hold()
    await shell.start()
    began = shell.clock.now()
    await shell.stop()
    assert shell.clock.now() == began


async def test_what_comes_after_the_stop_changes_nothing(shell: Shell) -> None:
    await shell.start()
    socket = shell.socket
    await shell.stop()
    count = len(shell.records)
    shell.runner.take_close(1, "late")
    shell.runner.take_ping(1)
    socket.deliver("{}")
    await shell.clock.advance(10 * MINUTE_MS)
    assert len(shell.records) == count
