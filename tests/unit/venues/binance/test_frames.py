"""What is read of a frame before its message is known."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.kernel.ids import Millis
from userstream.venues.binance.frames import MOST_LEVELS, event_time_of, has_more_levels, is_reply, milliseconds, time_of


@given(st.integers(0, 10**14 - 1))
def test_milliseconds_stay_what_they_are(time: int) -> None:
    assert milliseconds(time) == time


@given(st.integers(10**11, 10**13), st.integers(0, 999))
def test_microseconds_lose_their_fraction(time: int, rest: int) -> None:
    assert milliseconds(time * 1_000 + rest) == time


@pytest.mark.parametrize(("value", "time"), [(12, 12), ("12", 12), ("", 0), ("x", 0), ("1" * 16, 0), ("\u0662", 0)])
def test_a_time_may_be_told_as_text(value: int | str, time: int) -> None:
    assert time_of(value) == Millis(time)


@pytest.mark.parametrize(("top", "time"), [({"E": b"7"}, 7), ({"E": b'"7"'}, 7), ({"E": b"{}"}, 0), ({}, 0)])
def test_the_time_of_what_cannot_be_read(top: dict[str, bytes], time: int) -> None:
    assert event_time_of({key: msgspec.Raw(value) for key, value in top.items()}) == time


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_levels_are_counted_outside_of_text(brackets: str) -> None:
    opened, closed = brackets[0], brackets[1]
    assert not has_more_levels((opened * MOST_LEVELS + closed * MOST_LEVELS).encode(), MOST_LEVELS)
    assert has_more_levels((opened * (MOST_LEVELS + 1) + closed * (MOST_LEVELS + 1)).encode(), MOST_LEVELS)
    assert not has_more_levels(('"' + opened * 99 + '"').encode(), MOST_LEVELS)


@given(st.sampled_from(("result", "error", "status")), st.sampled_from(("e", "event", "stream", "data")))
def test_an_answer_is_what_has_an_id_and_an_outcome_and_is_no_event(outcome: str, event: str) -> None:
    answered: dict[str, object] = {"id": 1, outcome: {}}
    assert is_reply(answered)
    assert not is_reply({outcome: {}})
    assert not is_reply({"id": 1})
    assert not is_reply(answered | {event: {}})
