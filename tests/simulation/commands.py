"""What the commands of the simulation have in common: mistakes are one line, a number that means nothing is one, Ctrl-C is none."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Final, NoReturn

from userstream.sim.dialects.registry import VENUES

PLAYED: Final = tuple(sorted(VENUES))
"""The products that the paper exchange can be: a stream that belongs to another product is played with that."""

INTERRUPTED: Final = 130


class Parser(ArgumentParser):
    """Tells a mistake in one line, and ends with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def positive(text: str) -> int:
    """A number of things to do, of which there must be one at least. Raises ArgumentTypeError."""
    try:
        number = int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < 1:
        raise ArgumentTypeError(f"{text} must be 1 or more")
    return number


def until_interrupted(work: Callable[[], int], words: str = "interrupted") -> int:
    """The exit code of the work, or 130 and one line where Ctrl-C ended it."""
    try:
        return work()
    except KeyboardInterrupt:
        # behind a line of progress
        sys.stderr.write(f"{chr(10) if sys.stderr.isatty() else ''}{words}\n")
        return INTERRUPTED
