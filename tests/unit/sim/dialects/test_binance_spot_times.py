"""Milliseconds and microseconds."""

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sim.kit import START
from userstream.sim.dialects.binance_spot_times import answer_in_microseconds, event_in_microseconds, in_milliseconds
from userstream.sim.venue import Json


@given(st.integers(0, 4_102_444_800_000))
def test_the_size_of_a_time_tells_its_unit(time: int) -> None:
    assert in_milliseconds(time) == time
    if time >= 1_000_000_000_000:
        assert in_milliseconds(time * 1000 + 999) == time


def test_times_of_an_answer_are_widened_wherever_they_stand() -> None:
    answer: Json = {"time": START, "workingTime": -1, "orderId": 5, "rows": [{"updateTime": START, "price": "1"}]}
    assert answer_in_microseconds(answer) == {
        "time": START * 1000,
        "workingTime": -1,
        "orderId": 5,
        "rows": [{"updateTime": START * 1000, "price": "1"}],
    }


def test_the_same_letter_is_a_time_in_one_event_and_none_in_another() -> None:
    assert event_in_microseconds({"e": "outboundAccountPosition", "E": 2, "u": 3}) == {"e": "outboundAccountPosition", "E": 2000, "u": 3000}
    report = event_in_microseconds({"e": "executionReport", "E": 2, "u": 3, "T": 4, "O": 5, "W": 6, "D": 7, "I": 8})
    assert report == {"e": "executionReport", "E": 2000, "u": 3, "T": 4000, "O": 5000, "W": 6000, "D": 7000, "I": 8}
    assert event_in_microseconds({"e": "eventStreamTerminated", "E": 2})["E"] == 2000
