"""Other processes of this machine, seen from a test."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether it lives, or stands still; not one that has ended and waits to be noticed."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return Path("/proc/self").exists() is False
    return state != "Z"


async def until_ended(pid: int) -> None:
    while is_running(pid):
        await asyncio.sleep(0.002)
