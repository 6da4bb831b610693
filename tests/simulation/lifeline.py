"""Processes that end with the one that started them, whatever ended that: a kill cannot be caught, but the end of a pipe can be read.

As a command, `python -m tests.simulation.lifeline MODULE WORDS...` runs a module on the lifeline that is its standard input.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import Self


class Lifeline:
    """Held by a process for programs that it starts: their standard input is `end`, and they end when it lets go or is no more."""

    def __init__(self) -> None:
        self.end, self._held = os.pipe()
        self._is_held = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        os.close(self.end)

    def let_go(self) -> None:
        """Ends all that hang on it, and all that will."""
        if self._is_held:
            self._is_held = False
            os.close(self._held)


def begin_worker() -> None:
    """What a process of a pool does first. Ctrl-C ends it without a word, and so does the end of its parent."""
    parent = parent_process()
    assert parent is not None
    sentinel = parent.sentinel
    _end_after(lambda: wait([sentinel]))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def command_on(module: str, *words: str) -> list[str]:
    """How a module is run on a lifeline."""
    return [sys.executable, "-m", "tests.simulation.lifeline", module, *words]


def _end_after(last: Callable[[], object]) -> None:
    def hold() -> None:
        last()
        os._exit(1)

    Thread(target=hold, name="lifeline", daemon=True).start()


def main() -> None:
    """Runs the module that the first word names, as `python -m` does."""
    line = os.dup(0)  # a test runner puts another file in the place of its input
    _end_after(lambda: os.read(line, 1))
    _, *sys.argv = sys.argv
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
