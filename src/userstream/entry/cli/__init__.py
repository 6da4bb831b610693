"""The commands. Each file is one group; everything heavy is imported when its command runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from userstream.kernel.errors import PaperExchangeError, SettingsError, StoreError, UserStreamError

OK, PROBLEM, USAGE = 0, 1, 2
INTERRUPTED = 130
"""Ctrl-C before the command could hear it, as shells count it: 128 and the number of the signal."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: runs one command and exits with 0, 1 (a problem was found) or 2 (usage). Never shows a traceback for a
    user's mistake."""
    sys.exit(run_command(list(sys.argv[1:] if arguments is None else arguments)))


def run_command(arguments: list[str]) -> int:
    """Runs one command; returns its exit code."""
    from userstream.entry.cli.output import complain, hush_broken_pipe

    try:
        # Ctrl-C may come while this is read, which takes most of a short command's time
        from userstream.entry.cli.app import make_app

        return make_app().run(arguments)
    except SettingsError as error:
        complain(str(error))
        return USAGE
    except (StoreError, PaperExchangeError, UserStreamError) as error:
        complain(str(error))
        return PROBLEM
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        hush_broken_pipe()
        return OK
