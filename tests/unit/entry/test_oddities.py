"""Messages that nobody understood: a line at growing numbers, and never one for each."""

from __future__ import annotations

import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import unrecognized
from userstream.domain.events import Unrecognized
from userstream.entry.oddities import Oddities


def odd(name: str) -> Unrecognized:
    event = unrecognized(name=name, reason="no text")
    assert isinstance(event, Unrecognized)
    return event


def lines_of(names: list[str]) -> list[tuple[str, int]]:
    oddities = Oddities()
    with structlog.testing.capture_logs() as entries:
        for name in names:
            oddities.note(odd(name))
    assert all(entry["action"] == "unrecognized" and entry["account"] == "alice" for entry in entries)
    return [(entry["name"], entry["count"]) for entry in entries]


def test_a_storm_is_a_few_lines_and_each_kind_has_its_own() -> None:
    assert lines_of(["unreadable"] * 1_234) == [("unreadable", 1), ("unreadable", 10), ("unreadable", 100), ("unreadable", 1_000)]
    assert lines_of(["a", "b", "a"]) == [("a", 1), ("b", 1)]


def test_the_line_says_how_many_and_why() -> None:
    oddities = Oddities()
    with structlog.testing.capture_logs() as entries:
        for _ in range(10):
            oddities.note(odd("unreadable"))
    assert [entry["event"] for entry in entries] == [
        "a message could not be understood",
        "10 messages of a kind could not be understood since the start",
    ]
    assert {(entry["log_level"], entry["reason"]) for entry in entries} == {("warning", "no text")}


@given(st.lists(st.integers(0, 2_000), max_size=400))
def test_a_venue_that_invents_names_fills_no_log(numbers: list[int]) -> None:
    told = lines_of([f"event {number}" for number in numbers])
    assert len(told) <= Oddities.MOST_NAMES + 3 * (1 + len(numbers) // 10)
    assert sum(count == 1 for _, count in told) <= Oddities.MOST_NAMES + 1
