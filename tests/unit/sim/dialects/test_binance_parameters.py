"""Reading parameters."""

from decimal import Decimal
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.sim.dialects.binance_errors import VenueError
from userstream.sim.dialects.binance_parameters import Parameters, read_pairs, signed_payloads


def test_query_and_body_are_read_together_and_the_query_wins() -> None:
    assert read_pairs("a=1&b=2", b"b=3&c=%2F") == {"a": "1", "b": "2", "c": "/"}


@given(st.text(alphabet="ab=&+%2F;é", max_size=30))
def test_whatever_is_sent_is_taken_apart_as_the_standard_library_does(query: str) -> None:
    assert read_pairs(query, b"") == dict(parse_qsl(query, keep_blank_values=True))


@pytest.mark.parametrize(
    ("query", "body", "signed"),
    [
        ("a=1&signature=x", b"", ["a=1"]),
        ("", b"a=1&signature=x", ["a=1"]),
        ("a=1", b"b=2&signature=x", ["a=1b=2"]),
        ("a=1&signature=x", b"b=2", ["a=1b=2"]),
        ("a=1&signature=x&b=2", b"", ["a=1&b=2"]),
        ("a=%5B1%5D", b"", ["a=%5B1%5D", "a=[1]"]),
    ],
)
def test_the_signed_text_is_query_and_body_without_the_signature(query: str, body: bytes, signed: list[str]) -> None:
    assert signed_payloads(query, body) == [each.encode() for each in signed]


@pytest.mark.parametrize("value", ["", "1.5", "1e3", "0x1", "²", "--1", "1 ", "9" * 100])
def test_a_malformed_whole_number_is_a_missing_one(value: str) -> None:
    with pytest.raises(VenueError) as raised:
        Parameters({"n": value}).whole("n")
    assert raised.value.code == -1102
    assert "'n'" in raised.value.text


@pytest.mark.parametrize("value", ["", "NaN", "Infinity", "-inf", "abc", "1,5", "1e999", "1" * 100])
def test_a_malformed_amount_is_a_missing_one(value: str) -> None:
    with pytest.raises(VenueError) as raised:
        Parameters({"n": value}).amount("n")
    assert raised.value.code == -1102


@given(st.decimals(-(10**15), 10**15, places=8))
def test_amounts_stay_exact(amount: Decimal) -> None:
    assert Parameters({"n": f"{amount:f}"}).amount("n") == amount


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    parameters = Parameters({"n": text})
    for read in (parameters.maybe_whole, parameters.maybe_amount, parameters.maybe_flag):
        try:
            read("n")
        except VenueError as wrong:
            assert wrong.code in (-1102, -1130)


def test_flags_words_and_defaults() -> None:
    parameters = Parameters({"on": "TRUE", "side": "BUY", "odd": "BUYE"})
    assert parameters.flag("on")
    assert not parameters.flag("off")
    assert parameters.word("side", {"BUY": 1}, VenueError(-1117)) == 1
    assert parameters.word("none", {"X": 2}, VenueError(-1117), "X") == 2
    with pytest.raises(VenueError, match="-1117"):
        parameters.word("odd", {"BUY": 1}, VenueError(-1117))
    with pytest.raises(VenueError, match="-1102"):
        parameters.word("none", {"BUY": 1}, VenueError(-1117))
