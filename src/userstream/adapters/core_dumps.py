"""A process that holds secrets leaves no picture of its memory behind: neither when it crashes nor for a debugger of the same user.

Python cannot promise that a secret is overwritten in memory once it is not needed; this only keeps the memory where it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import Final

_SET_DUMPABLE: Final = 4
_GET_DUMPABLE: Final = 3

if sys.platform == "win32":

    def _limit_core() -> None:
        """Windows writes no core files."""

else:
    import resource

    def _limit_core() -> None:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def forbid_core_dumps() -> None:
    """For this process and those that it starts: no core file; on Linux also no debugger without the rights of root. Where the system
    refuses, nothing is changed."""
    _limit_core()
    if sys.platform == "linux":
        _call_prctl(_SET_DUMPABLE, 0)


def is_dumpable() -> bool | None:
    """Whether another process of the user may read this one's memory; None where the system does not tell."""
    answer = _call_prctl(_GET_DUMPABLE, 0) if sys.platform == "linux" else None
    return None if answer is None or answer < 0 else answer != 0


def _call_prctl(option: int, value: int) -> int | None:
    try:
        return int(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0))
    except (OSError, AttributeError):
        return None
