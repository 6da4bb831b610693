"""The runner: what it does with sockets, calls, the journal and its own end, whatever of them fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.transport import json_answer
from tests.unit.runtime.kit import CLOSE, CREATE, Shell
from tests.unit.venues.binance.kit import place
from userstream.domain.events import Event, Filled, OrderChanged, StreamChanged
from userstream.domain.words import StreamState
from userstream.kernel.errors import AuthenticationError
from userstream.kernel.ids import AccountId, Millis
from userstream.kernel.secret import Secret
from userstream.runtime.pressure import BACKLOG_HIGH, BACKLOG_LOW
from userstream.runtime.runner import BACKLOG_CHECK_EVERY, CHECKPOINT_MS, SAVE_LIMIT_MS, STOP_LIMIT_MS, next_checkpoint
from userstream.wire.request import HttpRequest

MINUTE_MS = 60_000
PAUSE_CALL = HttpRequest(method="GET", target=Secret("/pause"), label="GET /pause")
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


# --- opening sockets ---


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


async def test_no_socket_is_opened_that_nobody_would_read(shell: Shell) -> None:
    await shell.start()
    shell.held.held = BACKLOG_HIGH + 1
    await shell.trade(BACKLOG_CHECK_EVERY + 1)
    first = shell.socket
    first.cut()
    await shell.clock.advance(10 * MINUTE_MS)
    assert shell.socket is first
    shell.held.held = BACKLOG_LOW
    await shell.clock.advance_until(lambda: shell.socket is not first, limit_ms=MINUTE_MS)
    await shell.clock.advance(100)
    assert not paused(shell)
    assert len(shell.transport.sockets) == 2, "those that were given up meanwhile are not dialed"
    [before] = shell.account.fills.recent()[-1:]
    await shell.trade()
    assert shell.account.fills.recent()[-2] == before


async def test_a_journal_that_fails_for_good_while_reading_is_paused_does_not_silence_the_account(shell: Shell) -> None:
    await shell.start()
    shell.held.held = BACKLOG_HIGH + 1
    await shell.trade(BACKLOG_CHECK_EVERY + 1)
    assert paused(shell)
    shell.held.refusal = "the file is no database any more"
    await shell.clock.advance(5 * MINUTE_MS)
    assert not paused(shell)
    [before] = shell.account.fills.recent()[-1:]
    await shell.trade(2 * BACKLOG_CHECK_EVERY)
    assert not paused(shell), "waiting for a journal that takes nothing saves nothing"
    assert before not in shell.account.fills.recent()[-2 * BACKLOG_CHECK_EVERY :]
    assert shell.account.health.store_trouble == "the file is no database any more"


# --- failures ---


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
    await shell.clock.advance(2 * CHECKPOINT_MS)
    assert shell.account.health.store_trouble == ""


async def test_checkpoints_are_kept_when_they_are_planned(shell: Shell) -> None:
    begun = shell.clock.now()
    await shell.start()
    await shell.clock.advance_until(lambda: shell.account.health.is_healthy, limit_ms=5 * MINUTE_MS)
    planned = next_checkpoint(shell.id, begun)
    while planned <= shell.clock.now():
        planned = next_checkpoint(shell.id, planned)
    await shell.clock.advance(planned - shell.clock.now() - 1)
    before, _ = await shell.journal.load_checkpoint(shell.id)
    await shell.trade()
    await shell.clock.advance(1)
    after, _ = await shell.journal.load_checkpoint(shell.id)
    assert after > before


@given(st.integers(0, 10**12), st.integers(1, 20))
def test_accounts_that_began_together_do_not_keep_their_checkpoints_together(now: int, minutes: int) -> None:
    times = [Millis(now)] * 500
    for _ in range(minutes):
        times = [next_checkpoint(AccountId(f"desk-{number}"), time) for number, time in enumerate(times)]
    in_a_second = Counter(time // 1_000 for time in times)
    assert max(in_a_second.values()) < 30
    assert now + minutes * CHECKPOINT_MS // 2 <= min(times) <= max(times) < now + minutes * CHECKPOINT_MS * 3 // 2


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


@pytest.mark.parametrize("place_of_wait", ["farewell", "handler", "store"])
async def test_a_stop_that_is_cancelled_leaves_nothing_running(place_of_wait: str) -> None:
    shell = Shell(account_place=place(close_listen_key_on_stop=place_of_wait == "farewell"))
    shell.account.on(Filled, handler=lambda event: shell.clock.sleep(60 * MINUTE_MS if place_of_wait != "store" else 0))
    await shell.start()
    await shell.trade(3)
    if place_of_wait == "farewell":
        shell.http.hold()
    shell.held.is_stuck = place_of_wait == "store"
    stopping = asyncio.ensure_future(shell.runner.stop())
    await shell.clock.settle()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await shell.clock.settle()
    assert shell.clock.running == []
    await shell.stop()


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
