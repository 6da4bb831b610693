"""Frames of a shared socket that say oddly, or not at all, whose they are: none reaches whom it is not for, and none is lost unnoticed."""

from __future__ import annotations

import json
from typing import Final

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.venues.binance.switchboard_kit import CAROL, event, heard, make_board, route, warned
from userstream.wire.switchboard import Deliver

IDS = st.one_of(st.none(), st.integers(-3, 9), st.text(max_size=2), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
NAMES = st.sampled_from(["executionReport", "balanceUpdate", "outboundAccountPosition", "listStatus", "brandNew"])


@given(IDS, NAMES, st.booleans(), st.booleans())
def test_no_line_hears_an_accounts_event_that_does_not_name_its_subscription(number: object, name: str, bare: bool, named: bool) -> None:
    made = make_board()
    inner: dict[str, object] = {"e": name, "E": 1, "a": "BTC", "d": "1", "T": 1}
    outer = inner if bare else {"event": inner}
    frame = json.dumps(({"subscriptionId": number} if named else {}) | outer).encode()
    lines = heard(made, frame)
    if named and type(number) is int and number in (0, 1):
        assert lines == [number + 1]
    elif name != "brandNew" and (not named or number is None):
        assert lines == []
    else:
        assert len(lines) <= 1


BOBS: Final = b'{"subscriptionId":1,'
WHOLE: Final = (event(1), event(1, "executionReport"), b'{"subscriptionId":1,"event":{"e":"brandNew","E":1,"q":["x",{"y":null}]}}')


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A frame of Bob's of which some bytes behind his name are other ones, or which breaks off."""
    whole = bytearray(draw(st.sampled_from(WHOLE)))
    for place in draw(st.lists(st.integers(len(BOBS), len(whole) - 1), max_size=4)):
        whole[place] = draw(st.integers(0, 255))
    return bytes(whole[: draw(st.integers(len(BOBS), len(whole)))])


def is_object(frame: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(frame), dict)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False


@given(st.one_of(damaged(), st.binary(max_size=80).map(BOBS.__add__)))
def test_whatever_is_wrong_with_a_frame_it_is_told_to_the_one_whom_it_names(frame: bytes) -> None:
    assert route(make_board(), frame) == [Deliver((2,))]


@given(
    st.one_of(
        st.binary(max_size=80), st.sampled_from(WHOLE).flatmap(lambda whole: st.integers(0, len(BOBS) - 1).map(lambda end: whole[:end]))
    )
)
def test_of_a_frame_that_nobody_can_read_everybody_knows(frame: bytes) -> None:
    assume(not is_object(frame))
    made = make_board()
    effects = route(made, frame)
    assert [line for effect in effects if isinstance(effect, Deliver) for line in effect.lines] + warned(effects) == [1, 2]
    assert made.strays == 1


@given(st.lists(st.one_of(damaged(), st.binary(max_size=40)), max_size=8))
def test_no_broken_frame_changes_whose_the_others_are(frames: list[bytes]) -> None:
    made = make_board()
    for frame in frames:
        route(made, frame)
    assert [heard(made, event(number)) for number in (0, 1)] == [[1], [2]]
    assert made.can_take(CAROL)
