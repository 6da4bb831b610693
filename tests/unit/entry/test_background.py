"""Blocks of `async with` in programs without an event loop: entered once, left once, and no thread is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from types import TracebackType

import pytest

from userstream.entry.background import Blocking, LoopThread
from userstream.kernel.errors import UserStreamError


class Room(Blocking[str]):
    """Notes what happens to it, and where."""

    def __init__(self, *, wrong: str = "") -> None:
        self.wrong = wrong
        self.told: list[str] = []
        self.threads: set[int] = set()

    def _note(self, what: str) -> None:
        self.threads.add(threading.get_ident())
        self.told.append(what)
        if self.wrong == what:
            raise ValueError(f"not {what}")

    async def _enter(self) -> str:
        self._note("entered")
        return "key"

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._note("left" if kind is None else f"left by {kind.__name__}")


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> object:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_a_block_is_entered_and_left_in_one_other_thread() -> None:
    room = Room()
    with room as key:
        assert (key, room.told) == ("key", ["entered"])
    assert room.told == ["entered", "left"]
    assert len(room.threads) == 1
    assert threading.get_ident() not in room.threads


def test_what_the_program_raises_leaves_the_block() -> None:
    room = Room()
    with pytest.raises(KeyError), room:
        raise KeyError
    assert room.told == ["entered", "left by KeyError"]


@pytest.mark.parametrize("wrong", ["entered", "left"])
def test_what_the_block_raises_is_raised(wrong: str) -> None:
    room = Room(wrong=wrong)
    with pytest.raises(ValueError, match=f"not {wrong}"), room:
        pass
    assert room.told == (["entered"] if wrong == "entered" else ["entered", "left"])


async def test_on_an_event_loop_it_is_the_other_block() -> None:
    with pytest.raises(UserStreamError, match=r"here, write `async with Room\(\.\.\.\)`"), Room():
        pass


def test_what_still_runs_there_is_cancelled_at_the_end() -> None:
    ended: list[str] = []

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def begin() -> asyncio.Task[None]:
        task = asyncio.ensure_future(wait_for_ever())
        await asyncio.sleep(0)
        return task

    thread = LoopThread("test")
    task = thread.run(begin())
    thread.stop()
    assert (ended, task.cancelled()) == (["cancelled"], True)


@pytest.mark.skipif(os.name != "posix", reason="signals are sent to threads there only")
def test_ctrl_c_cancels_what_is_waited_for() -> None:
    ended: list[str] = []
    main = threading.main_thread().ident
    assert main is not None

    async def wait_for_ever() -> None:
        try:
            signal.pthread_kill(main, signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    thread = LoopThread("test")
    with pytest.raises(KeyboardInterrupt):
        thread.run(wait_for_ever())
    thread.stop()
    assert ended == ["cancelled"]
