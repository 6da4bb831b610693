"""For programs without an event loop: what is entered by `async with` is entered by `with`, and its loop runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, TypeVar

from userstream.kernel.errors import UserStreamError

Result = TypeVar("Result")
Held = TypeVar("Held")


class LoopThread:
    """An event loop in a thread of its own, from now until `stop`."""

    def __init__(self, name: str) -> None:
        started: Future[asyncio.AbstractEventLoop] = Future()
        # a program that ends without leaving its block must not wait for this thread for ever
        self._thread = threading.Thread(target=_serve, args=[started], name=name, daemon=True)
        self._thread.start()
        self._loop = started.result()

    def run(self, work: Coroutine[object, object, Result]) -> Result:
        """Waits until the work is done there, and returns or raises what it does. Ctrl-C meanwhile cancels the work."""
        waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return waiting.result()
        finally:
            waiting.cancel()

    def stop(self) -> None:
        """What still runs there is cancelled; returns once it has ended."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def _serve(started: Future[asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner() as runner:
        try:
            loop = runner.get_loop()
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(loop)
        loop.run_forever()


class Blocking(ABC, Generic[Held]):
    """An asynchronous block that programs without an event loop enter by `with`. Off the loop it gives what they can hold of it."""

    _thread: LoopThread | None = None

    @abstractmethod
    async def _enter(self) -> Held:
        """Enters the block."""

    @abstractmethod
    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leaves it."""

    def __enter__(self) -> Held:
        _check_off_the_loop(type(self).__name__)
        self._thread = LoopThread(f"userstream {type(self).__name__}")
        try:
            return self._thread.run(self._enter())
        except BaseException:
            self._thread.stop()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._thread is not None
        try:
            self._thread.run(self.__aexit__(kind, error, trace))
        finally:
            self._thread.stop()


def _check_off_the_loop(door: str) -> None:
    """Raises UserStreamError on an event loop, which would stand still."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UserStreamError(f"`with {door}(...)` is for programs without an event loop: here, write `async with {door}(...)`")
