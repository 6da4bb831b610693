"""Writing for people and for programs: results on standard output, complaints on standard error."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Mapping
from typing import Final, NoReturn

ROOM: Final = "make room on the disk, or write elsewhere"
REMEDIES: Final[Mapping[int, str]] = {
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs, or raise the machine's limit of open files",
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: "raise the limit of file sizes (ulimit -f), or write less",
    errno.EROFS: "write elsewhere",
    errno.EIO: "check the disk",
}


def say(line: str = "") -> None:
    """One line of results, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """What went wrong, in words, without a traceback."""
    sys.stderr.write(f"userstream: {text}\n")
    sys.stderr.flush()


def leave_at_once(why: str) -> NoReturn:
    """For a second signal: one line, then the end of the process with exit code 1, whatever still runs in it."""
    with contextlib.suppress(OSError, ValueError):
        complain(why)
    os._exit(1)


def show_count(number: int, one: str, more: str = "") -> str:
    """As people write it: 1 hole, 2 holes, 2 mismatches."""
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def remedy_for(error: OSError) -> str:
    """What to do about a machine that has no more of something; empty for an error that is not of this kind."""
    remedy = REMEDIES.get(error.errno or 0)
    return f"{os.strerror(error.errno or 0).lower()}: {remedy}" if remedy else ""


def hush_output() -> None:
    """Nothing more can be written where our output went, and Python must not complain about what is left at exit."""
    # out of files, the output itself is well
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
