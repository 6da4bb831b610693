"""Names that are spelled in more than one way: whichever it is, the same message is read, and no other."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import LISTEN_KEY, RECEIVED, encoded
from userstream.domain.events import Event, LiabilityChanged, MarginCalled, StreamChanged, Unrecognized
from userstream.kernel.ids import AccountId
from userstream.venues import find_venue
from userstream.venues.binance.languages import RISK_LANGUAGE
from userstream.venues.binance.spellings import AnySpelling, folded

RISK = find_venue("binance-margin-risk")
LEVEL = {"E": 1_790_000_000_000, "l": "1.24", "s": "MARGIN_CALL"}
DEBT = {"E": 1_790_000_000_000, "a": "USDT", "t": "BORROW", "p": "100", "i": "0.01"}


def told(name: str, fields: dict[str, object], *, wrapped: bool = False) -> tuple[Event, ...]:
    message = {"e": name, **fields}
    frame = {"stream": LISTEN_KEY, "data": message} if wrapped else message
    return RISK.make_decoder(AccountId("alice")).decode(encoded(frame), RECEIVED)


@st.composite
def spellings(draw: st.DrawFn, name: str) -> str:
    """The letters of a name in any case, with underscores anywhere between them."""
    letters = [draw(st.sampled_from((letter.lower(), letter.upper()))) for letter in name if letter != "_"]
    return "".join(letter + draw(st.sampled_from(("", "", "_"))) for letter in letters)


@given(spellings("MARGIN_LEVEL_STATUS_CHANGE"), st.booleans())
def test_a_warning_is_read_in_any_spelling(name: str, wrapped: bool) -> None:
    assert told(name, LEVEL, wrapped=wrapped) == told("MARGIN_LEVEL_STATUS_CHANGE", LEVEL)
    assert isinstance(told(name, LEVEL)[0], MarginCalled)


@given(spellings("USER_LIABILITY_CHANGE"), st.booleans())
def test_a_debt_is_read_in_any_spelling(name: str, wrapped: bool) -> None:
    assert told(name, DEBT, wrapped=wrapped) == told("USER_LIABILITY_CHANGE", DEBT)
    assert isinstance(told(name, DEBT)[0], LiabilityChanged)


@pytest.mark.parametrize("name", ["listenKeyExpired", "LISTEN_KEY_EXPIRED", "SERVER_SHUTDOWN"])
def test_words_about_the_stream_too(name: str) -> None:
    assert [type(event) for event in told(name, {"E": 1, "listenKey": LISTEN_KEY} if "xpir" in name.lower() else {"E": 1})] == [
        StreamChanged
    ]


@given(st.text(max_size=30))
def test_another_name_stays_unknown(name: str) -> None:
    if folded(name) not in {folded(known) for known in RISK_LANGUAGE.shapes}:
        assert [type(event) for event in told(name, LEVEL)] == [Unrecognized]


def test_a_new_field_is_told_beside_the_message_whatever_its_name() -> None:
    warning, news = told("marginlevelstatuschange", {**LEVEL, "brandNew": 1})
    assert isinstance(warning, MarginCalled)
    assert isinstance(news, Unrecognized) and "brandNew" in news.name


@pytest.mark.parametrize("frame", [b"[]", b'{"l":"1"}', b'{"e":7}', b'{"e":"marginLevelStatusChange"}', b'{"e":"other"}'])
def test_what_is_wrong_otherwise_is_wrong_as_before(frame: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        RISK_LANGUAGE.bare(frame)


def test_shapes_are_found_by_every_spelling_and_listed_once() -> None:
    shapes = AnySpelling({"A_NAME": {"x": None}, "aName": {"y": None}})
    assert (shapes["A_NAME"], shapes["aName"], shapes.get("ANAME")) == ({"x": None}, {"y": None}, {"y": None})
    assert (list(shapes), len(shapes), shapes.get("other")) == (["A_NAME", "aName"], 2, None)
