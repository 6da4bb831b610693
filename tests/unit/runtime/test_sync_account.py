"""The live account from another thread: the same reads, blocking iteration and waits, and an end that is told."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable

import pytest

from tests.unit.runtime.kit import Shell
from userstream.domain.events import Event, Filled
from userstream.domain.words import StreamState
from userstream.kernel.errors import ConnectionError, UserStreamError
from userstream.runtime.sync_account import STILL_LOOKS, SyncAccount, wait_there


async def in_thread(shell: Shell, work: Callable[[SyncAccount], object]) -> object:
    """What `work` gives in a thread of its own, while the loop runs."""
    account = shell.account.sync()
    return await asyncio.wait_for(asyncio.to_thread(work, account), 10)


async def test_a_thread_reads_waits_and_iterates_to_the_end(shell: Shell) -> None:
    account = shell.account.sync()
    stream = await asyncio.to_thread(account.events, types={Filled})
    await shell.trade(3)
    assert (await in_thread(shell, lambda other: other.wait_for("svc7-000123"))) == shell.account.orders["svc7-000123"]
    shell.runner.begin_stop()
    assert await asyncio.to_thread(list, stream) == [event for event in shell.events if isinstance(event, Filled)]
    assert account.health.state is StreamState.STOPPED


async def test_a_thread_reads_the_certificate(shell: Shell) -> None:
    await shell.go_live()
    assert (await in_thread(shell, lambda account: account.certificate())) == await shell.account.certificate()


async def test_a_thread_that_stops_iterating_leaves_no_reader(shell: Shell) -> None:
    def first(account: SyncAccount) -> Event:
        for event in account.events(after=0):
            return event
        raise AssertionError("nothing came")

    await shell.trade()
    assert (await in_thread(shell, first)) == shell.events[0]
    gc.collect()
    await shell.clock.settle()
    assert shell.readers == 0


async def test_waiting_for_the_loop_on_the_loop_is_refused(shell: Shell) -> None:
    account = shell.account.sync()
    for call in (account.wait_proven, account.events, lambda: account.wait_for("nobody")):
        with pytest.raises(UserStreamError, match="another thread"):
            call()


def test_after_the_end_of_the_loop_a_thread_is_told_so() -> None:
    async def run() -> SyncAccount:
        shell = Shell()
        await shell.start()
        account = shell.account.sync()
        await shell.stop()
        return account

    account = asyncio.run(run())
    assert account.health.state is StreamState.STOPPED
    with pytest.raises(ConnectionError, match="ended"):
        account.wait_proven()
    with pytest.raises(ConnectionError, match="ended"):
        account.events()


def test_a_thread_that_waits_when_the_loop_ends_is_told_so() -> None:
    outcome: list[BaseException] = []

    def wait(account: SyncAccount) -> None:
        try:
            account.wait_for("nobody")
        except BaseException as error:
            outcome.append(error)

    async def run() -> asyncio.Future[None]:
        shell = Shell()
        await shell.start()
        waiting = asyncio.get_running_loop().run_in_executor(None, wait, shell.account.sync())
        while shell.readers == 0:
            await asyncio.sleep(0)
        return waiting

    asyncio.run(run())
    assert [type(error) for error in outcome] == [ConnectionError]


async def test_what_is_read_without_waiting_is_the_same(shell: Shell) -> None:
    account, same = shell.account, shell.account.sync()
    await shell.go_live()
    await in_thread(shell, lambda other: other.wait_ready(5))
    assert (same.id, same.venue, same.state) == (account.id, account.venue, StreamState.LIVE)
    assert (same.sequence, same.complete_since) == (account.sequence, account.complete_since)
    assert repr(same).startswith(f"<account {account.id} on {account.venue}: live")


def test_a_loop_that_stops_unclosed_while_it_works_leaves_nobody_waiting() -> None:
    loop, runs = asyncio.new_event_loop(), threading.Event()

    async def never() -> None:
        loop.stop()
        await asyncio.Event().wait()

    loop.call_soon(runs.set)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        assert runs.wait(10)
        with pytest.raises(ConnectionError, match="has ended"):
            wait_there(loop, never, look_s=0.001)
    finally:
        thread.join()
        loop.run_until_complete(asyncio.sleep(0))  # what was cancelled ends
        loop.close()


def test_a_loop_that_rests_between_two_runs_is_waited_for() -> None:
    loop, asked, answers = asyncio.new_event_loop(), threading.Event(), list[object]()

    async def answer() -> str:
        asked.set()
        for _ in range(3):
            await asyncio.sleep(0)
        return "answer"

    def ask() -> None:
        try:
            answers.append(wait_there(loop, answer, look_s=10))
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=ask)
    thread.start()  # the loop does not run yet
    while not asked.is_set():
        loop.run_until_complete(asyncio.sleep(0))
    while thread.is_alive():
        loop.run_until_complete(asyncio.sleep(0))
    thread.join()
    loop.close()
    assert answers == ["answer"]


class RestingLoop(asyncio.AbstractEventLoop):
    """Never answers, and says whether it runs as the script has it, then that it does not."""

    def __init__(self, script: list[bool]) -> None:
        self.script = script

    def is_running(self) -> bool:
        return self.script.pop(0) if self.script else False

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, *asked: object, **more: object) -> asyncio.Handle:
        return asyncio.Handle(lambda: None, (), self)

    def get_debug(self) -> bool:
        return False


def test_only_rests_without_a_run_between_them_are_an_end() -> None:
    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    script = [*[False] * (STILL_LOOKS - 1), True] * 3
    loop = RestingLoop(script + [False] * STILL_LOOKS)  # type: ignore[abstract]
    with pytest.raises(ConnectionError, match="has ended"):
        wait_there(loop, never, look_s=0.0001)
    assert loop.script == []


class DeafLoop(asyncio.AbstractEventLoop):
    """Ends while it is asked, by closing or by standing still: before the question is taken, or behind it."""

    def __init__(self, *, takes: bool, closes: bool) -> None:
        self._takes, self._closes, self._was_asked = takes, closes, False

    def is_running(self) -> bool:
        return self._closes or not self._was_asked

    def is_closed(self) -> bool:
        return self._closes

    def call_soon_threadsafe(self, *asked: object, **more: object) -> asyncio.Handle:
        self._was_asked = True
        if not self._takes:
            raise RuntimeError("Event loop is closed")
        return asyncio.Handle(lambda: None, (), self)

    def get_debug(self) -> bool:
        return False


@pytest.mark.parametrize(("takes", "closes"), [(True, True), (False, True), (True, False)])
def test_a_loop_that_ends_while_it_is_asked_leaves_nobody_waiting(takes: bool, closes: bool) -> None:
    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(ConnectionError, match="has ended"):
        wait_there(DeafLoop(takes=takes, closes=closes), never, look_s=0.001)  # type: ignore[abstract]
