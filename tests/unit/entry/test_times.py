"""Times for people."""

from __future__ import annotations

import pytest

from userstream.entry.times import show_time


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (0, "1970-01-01 00:00:00.000"),
        (1_790_000_001_202, "2026-09-21 14:13:21.202"),
        (1 << 62, f"{1 << 62} ms"),
        (-1, "1969-12-31 23:59:59.999"),
    ],
)
def test_times_are_shown_to_the_millisecond(moment: int, shown: str) -> None:
    assert show_time(moment) == shown
