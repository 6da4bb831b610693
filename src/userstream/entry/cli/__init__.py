"""The commands. Each file is one group; everything is imported where Ctrl-C is heard already, and heavy things when their command runs."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # see the package's own __init__
if TYPE_CHECKING:
    from collections.abc import Sequence

OK, PROBLEM, USAGE = 0, 1, 2
INTERRUPTED = 130
"""Ctrl-C before the command could hear it, as shells count it: 128 and the number of the signal."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: runs one command and exits with 0, 1 (a problem was found), 2 (usage) or 130 (Ctrl-C before the command was
    ready for it). Never shows a traceback for a user's mistake."""
    try:
        _leave_when_interrupted()
        code = run_command(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        hear_interrupts()
    sys.exit(code)


def hear_interrupts() -> None:
    """For commands with something to clear up: from here on Ctrl-C is Python's own KeyboardInterrupt again."""
    import signal

    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave_when_interrupted() -> None:
    import signal

    # a shell may have us ignore it
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(number: int, frame: object) -> None:
    # no exception: where Python is in a callback or a destructor it would be shown and forgotten, and the command would go on
    os._exit(INTERRUPTED)


def run_command(arguments: list[str]) -> int:
    """Runs one command; returns its exit code."""
    try:
        return _run_told(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run_told(arguments: list[str]) -> int:
    from userstream.entry.cli.output import complain, hush_output, remedy_for
    from userstream.kernel.errors import SettingsError, UserStreamError

    try:
        from userstream.entry.cli.app import make_app

        return make_app().run(arguments)
    except SettingsError as error:
        complain(str(error))
        return USAGE
    except UserStreamError as error:
        complain(str(error))
        return PROBLEM
    except BrokenPipeError:
        hush_output()
        return OK
    except OSError as error:
        remedy = remedy_for(error)
        if not remedy:
            raise
        hush_output()
        complain(remedy)
        return PROBLEM
