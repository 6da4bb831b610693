"""The runner in trouble: a journal that refuses, a machine that slept, a venue that cannot be reached, and faults of our own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import structlog

from tests.support.clock import ManualClock
from tests.support.transport import json_answer
from tests.unit.runtime.kit import CREATE, Shell
from userstream.adapters.sqlite import SqliteStore
from userstream.adapters.sqlite_commits import SqliteSettings
from userstream.domain.events import Filled, GapOpened, StreamChanged
from userstream.domain.words import StreamState
from userstream.kernel.errors import StoreError
from userstream.runtime.keeper import RETRY_MS
from userstream.runtime.pressure import BACKLOG_HIGH, BACKLOG_LOW
from userstream.runtime.runner import BACKLOG_CHECK_EVERY, LOOK_MS
from userstream.wire.feed import DOUBT_LIMIT_MS
from userstream.wire.machine import STOOD_STILL
from userstream.wire.request import HttpResponse

MINUTE_MS = 60_000
KEY = "k" * 64


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


# --- reading is paused ---


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
    assert [told.count(each) for each in told[:3]] == [1, 1, 1]
    await shell.stop()


# --- faults and refusals ---


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


async def test_a_fault_of_our_own_in_a_tick_does_not_stop_the_care_of_the_account(shell: Shell) -> None:
    await shell.start()
    await shell.clock.advance_until(lambda: shell.account.state is StreamState.LIVE, limit_ms=5 * MINUTE_MS)
    [dialect] = shell.dialects
    dialect.weightless = 1
    with structlog.testing.capture_logs() as entries:
        await shell.clock.advance_until(lambda: shell.runner.own_faults > 0, limit_ms=60 * MINUTE_MS)
        await shell.clock.advance(10 * MINUTE_MS)
    assert [entry["action"] for entry in entries].count("own_fault") == 1
    assert shell.runner.machine.deadline() > shell.clock.now(), "what was due was done"


@pytest.mark.parametrize("refusing_records", [True, False])
async def test_a_new_account_that_cannot_be_kept_does_not_begin(shell: Shell, refusing_records: bool) -> None:
    shell.held.is_refusing_records = refusing_records
    shell.held.refusal = None if refusing_records else "database or disk is full"
    with pytest.raises(StoreError, match="no more are taken" if refusing_records else "disk is full"):
        await shell.runner.start()
    assert shell.http.requests == [] and shell.transport.sockets == []


# --- secrets ---


async def test_a_key_that_the_venue_repeats_in_an_answer_is_not_kept(shell: Shell) -> None:
    key = shell.runner.machine.secrets[0].reveal()
    shell.http.plan("GET /fapi/v3/balance", lambda request: json_answer({"code": -1102, "msg": f"bad parameter for {key}"}, 400))
    await shell.start()
    await shell.clock.advance(MINUTE_MS)
    kept = await shell.held.read_account(shell.id, after=0, limit=10_000)
    assert any("answer AskBalances" in str(record.events) for record in kept)
    assert key not in str(kept) and key.encode() not in b"".join(record.frame for record in kept)


async def test_the_listen_key_is_in_nothing_that_is_kept_or_told(shell: Shell) -> None:
    known: list[str] = []
    shell.runner.veil.on_known = lambda key: known.append(key.reveal())
    shell.runner.veil.on_gone = lambda key: known.remove(key.reveal())
    await shell.start()
    assert known == [KEY]
    for form in ('{"stream":"KEY","data":{}}', '{ "stream" :"KEY"}', '{"result":["KEY"],"id":3}', '["KEY"]', "KEY", '{"e":"X","q":"KEY"}'):
        shell.socket.deliver(form.replace("KEY", KEY))
    shell.socket.deliver_odd(b"\x00" + KEY.encode(), "binary frame")
    shell.socket.deliver_odd(b"\x00" * 10 + KEY.encode()[:40], "message over 1 MiB")
    await shell.clock.settle()
    kept = await shell.held.read_account(shell.id, after=0, limit=10_000)
    assert len(kept) >= 8
    for canary in (KEY, KEY[:16], KEY.encode().hex(), KEY.encode().hex()[:32]):
        assert canary not in str(kept)
        assert canary.encode() not in b"".join(record.frame for record in kept)
        assert canary not in str([event.raw() for event in shell.events])
        assert canary not in str(shell.account.health)
    await shell.stop()
    assert known == []
