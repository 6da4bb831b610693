"""Writing for people and for programs: results on standard output, complaints on standard error."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime


def say(line: str = "") -> None:
    """One line of results, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """What went wrong, in words, without a traceback."""
    sys.stderr.write(f"userstream: {text}\n")
    sys.stderr.flush()


def show_time(moment: int) -> str:
    """A time in ms since 1970 as UTC, to the millisecond; a number that is no time of a calendar stays a number."""
    try:
        shown = datetime.fromtimestamp(moment / 1_000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{moment} ms"
    return shown.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def hush_broken_pipe() -> None:
    """The reader of our output went away: nothing more can be written, and Python must not complain about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
