"""Times for people."""

from __future__ import annotations

from datetime import UTC, datetime


def show_time(moment: int) -> str:
    """A time in ms since 1970 as UTC, to the millisecond; a number that is no time of a calendar stays a number."""
    try:
        shown = datetime.fromtimestamp(moment / 1_000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{moment} ms"
    return shown.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
