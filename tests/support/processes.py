"""Other processes of this machine, seen from a test; on Linux."""

from __future__ import annotations

import asyncio
from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether it lives, or stands still; not one that has ended and waits to be noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until_ended(pid: int) -> None:
    while is_running(pid):
        await asyncio.sleep(0.002)
