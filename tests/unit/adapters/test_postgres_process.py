"""The process that fills PostgreSQL, seen by who asks it: answers, refusals, ends of every kind, and no secret where others can look."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest
import uvloop

from tests.support.clock import ManualClock
from tests.support.events import balance_set, filled
from tests.support.processes import is_running, until_ended
from tests.support.records import make_batch, place, record
from userstream.adapters.postgres_process import ANSWER_LIMIT_MS, END_LIMIT_MS, Assignment, PostgresProcess
from userstream.kernel.errors import StoreError
from userstream.kernel.secret import Secret

CHILD: Final = "tests.support.child_writer"
CANARY: Final = "s3cret-canary"


def process_of(clock: ManualClock, module: str = CHILD) -> PostgresProcess:
    return PostgresProcess(module, clock, Secret(f"postgresql://u:{CANARY}@h/d"), Secret(CANARY), journal="one", migrate=False)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def tables(clock: ManualClock) -> AsyncIterator[PostgresProcess]:
    made = process_of(clock)
    yield made
    await made.close()


def shown_of(pid: int) -> bytes:
    """What everybody on the machine, and what its user, can read of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()


async def test_one_process_answers_all_questions(tables: PostgresProcess) -> None:
    assert tables.pid is None
    assert await tables.position("seven") == 7
    first = tables.pid
    assert await asyncio.gather(*(tables.position("seven") for _ in range(5))) == [7] * 5
    assert tables.pid == first


async def test_records_arrive_with_their_events(tables: PostgresProcess) -> None:
    records = place([record(filled(), balance_set(), sequence=1), record(filled(trade_id="2"), sequence=3)], 40)
    with pytest.raises(StoreError) as told:
        await tables.apply("tables", records)
    assert str(told.value) == repr([(stored.position, stored.record.sequence, stored.record.events) for stored in records])


async def test_packed_records_arrive_as_they_lie(tables: PostgresProcess) -> None:
    packed = make_batch([record(filled(), balance_set(), sequence=1), record(filled(trade_id="2"), sequence=3)], 40).place()
    with pytest.raises(StoreError) as told:
        await tables.apply("tables", packed)
    assert str(told.value) == repr([(stored.position, stored.record.sequence, stored.record.events) for stored in packed])


async def test_a_refusal_is_the_answer_and_the_process_goes_on(tables: PostgresProcess) -> None:
    with pytest.raises(StoreError) as refused:
        await tables.position("assignment")
    assert json.loads(str(refused.value)) == [f"postgresql://u:{CANARY}@h/d", CANARY, "one", False]
    pid = tables.pid
    assert await tables.position("seven") == 7 and tables.pid == pid


@pytest.mark.parametrize(("wish", "told"), [("die", "has ended"), ("mumble", "cannot be used"), ("print", "cannot be used")])
async def test_what_ends_or_speaks_nonsense_is_replaced_at_the_next_question(tables: PostgresProcess, wish: str, told: str) -> None:
    await tables.position("seven")
    former = tables.pid
    with pytest.raises(StoreError, match=f"^the process that fills PostgreSQL {told}.*: it is started again when it is needed$"):
        await tables.position(wish)
    assert tables.pid is None
    assert await tables.position("seven") == 7
    assert tables.pid != former


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_one_that_was_killed_between_two_questions_is_replaced(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A closed pipe is an error of another kind on each event loop."""

    async def kill_and_ask() -> None:
        tables = process_of(ManualClock())
        await tables.position("seven")
        assert tables.pid is not None
        os.kill(tables.pid, signal.SIGKILL)
        await until_ended(tables.pid)
        with pytest.raises(StoreError, match="has ended"):
            await tables.position("seven")
        assert await tables.position("seven") == 7
        await tables.close()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(kill_and_ask())


async def test_what_cannot_be_run_is_told_in_one_line(clock: ManualClock) -> None:
    tables = process_of(clock, "userstream.no_such_module")
    with pytest.raises(StoreError) as told:
        await tables.position("seven")
    assert "\n" not in str(told.value) and CANARY not in str(told.value)
    await tables.close()


async def test_who_gives_up_waiting_never_hears_another_ones_answer(tables: PostgresProcess) -> None:
    await tables.position("seven")
    pid = tables.pid
    assert pid is not None
    waiting = asyncio.ensure_future(tables.position("sleep"))
    await asyncio.sleep(0.005)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await tables.position("seven") == 7
    await until_ended(pid)


async def test_one_that_gives_no_answer_is_killed_and_told(tables: PostgresProcess, clock: ManualClock) -> None:
    await tables.position("seven")
    waiting = asyncio.ensure_future(tables.position("sleep"))
    await clock.advance(ANSWER_LIMIT_MS - 1)
    assert not waiting.done()
    await clock.advance(1)
    with pytest.raises(StoreError, match="has ended"):
        await waiting
    assert await tables.position("seven") == 7


async def test_closed_while_it_starts_it_leaves_no_process_behind(clock: ManualClock) -> None:
    tables = process_of(clock)
    asking = asyncio.ensure_future(tables.position("seven"))
    await asyncio.sleep(0)
    await tables.close()
    with pytest.raises(StoreError, match="filled no more"):
        await asking
    await tables.close()
    assert tables.pid is None


async def test_a_close_that_is_given_up_ends_the_process_all_the_same(clock: ManualClock) -> None:
    tables = process_of(clock)
    await tables.position("seven")
    pid = tables.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    closing = asyncio.ensure_future(tables.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await until_ended(pid)
    await tables.close()


async def test_closed_it_ends_its_process_and_starts_no_other(tables: PostgresProcess) -> None:
    await tables.position("seven")
    pid = tables.pid
    assert pid is not None
    await tables.close()
    await tables.close()
    assert not is_running(pid)
    with pytest.raises(StoreError, match="filled no more"):
        await tables.position("seven")


async def test_a_process_that_does_not_end_by_itself_is_killed(clock: ManualClock) -> None:
    tables = process_of(clock)
    await tables.position("seven")
    pid = tables.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    closing = asyncio.ensure_future(tables.close())
    await clock.advance(END_LIMIT_MS - 1)
    assert is_running(pid) and not closing.done()
    await clock.advance(1)
    await closing
    assert not is_running(pid)


async def test_no_secret_stands_where_other_users_or_logs_can_read_it(tables: PostgresProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERSTREAM_VAULT_KEYS", "ALICE_SECRET", "DESK_POSTGRES"):
        monkeypatch.setenv(name, CANARY)
    await tables.position("seven")
    assert tables.pid is not None
    assert CANARY.encode() not in shown_of(tables.pid)
    assert CANARY not in f"{tables!r} {Assignment(f'postgresql://u:{CANARY}@h/d', CANARY, 'one', True)!r}"
