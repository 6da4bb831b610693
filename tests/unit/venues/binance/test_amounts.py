"""What is a sound amount, and naming the one that is not."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, NewType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.kernel.errors import DecodeError
from userstream.venues.binance.amounts import (
    LONGEST_KEPT,
    MOST_KEPT,
    AmountText,
    check_amounts,
    is_sound,
    read_amount,
    read_optional,
    unsound_paths,
)

BAD = [Decimal(word) for word in ("NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "1E+60", "1E-60", "-1E+999999", "0E+999999")]


Name = NewType("Name", str)


class Leg(msgspec.Struct):
    amount: Decimal = msgspec.field(name="pa")
    note: str = "x"


class Book(msgspec.Struct):
    total: Decimal | None = None
    legs: tuple[Leg, ...] = ()


@pytest.mark.parametrize("amount", BAD, ids=str)
def test_hostile_numbers_are_refused(amount: Decimal) -> None:
    assert not is_sound(amount)
    with pytest.raises(DecodeError, match="no finite number"):
        check_amounts((Decimal(1), None, amount))


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=18))
def test_amounts_of_any_market_are_sound(amount: Decimal) -> None:
    assert is_sound(amount)
    check_amounts((amount, None))


@given(st.decimals())
def test_both_checks_agree(amount: Decimal) -> None:
    refused = False
    try:
        check_amounts((amount,))
    except DecodeError:
        refused = True
    assert refused is not is_sound(amount)


def test_unsound_amounts_are_named_by_the_venues_keys() -> None:
    book = Book(total=Decimal("NaN"), legs=(Leg(amount=Decimal(1)), Leg(amount=Decimal("Infinity"))))
    assert list(unsound_paths(book, "M")) == ["M.total", "M.legs.pa"]
    assert list(unsound_paths(Book(), "M")) == []


class Mixture(msgspec.Struct):
    name: Name
    number: int
    time: Annotated[int, msgspec.Meta(ge=0)]
    maybe_word: str | None
    maybe_amount: Decimal | None
    noted: Annotated[Decimal, msgspec.Meta(description="x")]
    leg: Leg | None
    anything: object


def test_an_amount_is_found_wherever_a_field_may_hold_one() -> None:
    bad = Decimal("NaN")
    mixture = Mixture(Name("x"), 1, 2, None, bad, bad, Leg(amount=bad), (Leg(amount=bad), Decimal(1), bad))
    assert list(unsound_paths(mixture, "M")) == ["M.maybe_amount", "M.noted", "M.leg.pa", "M.anything.pa", "M.anything"]


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=18))
def test_a_text_is_read_exactly_and_the_same_each_time(amount: Decimal) -> None:
    text = str(amount)
    for _ in range(2):
        assert str(read_amount(text)) == str(read_optional(text)) == text
    assert read_optional(None) is None


@given(st.sampled_from([*map(str, BAD), "", "x", "0x10", "1,5", "--1"]))
def test_a_text_that_is_no_sound_amount_is_refused_each_time(text: str) -> None:
    for read in (read_amount, read_optional, read_amount):
        with pytest.raises(DecodeError, match="no finite number"):
            read(text)


def test_what_is_remembered_stays_small() -> None:
    """Many amounts, and long ones, do not fill the memory."""
    for number in range(MOST_KEPT * 2 + 7):
        assert read_amount(str(number)) == read_optional(str(number)) == number
    long = "1." + "0" * LONGEST_KEPT
    assert read_amount(long) is not read_amount(long)
    assert read_optional(None) is None
    for memory in (read_amount.__self__, read_optional.__self__):  # type: ignore[attr-defined]
        assert len(memory) <= MOST_KEPT


class Written(msgspec.Struct):
    size: AmountText = msgspec.field(name="q")
    cost: AmountText | None = None


def test_an_amount_of_text_is_named_too() -> None:
    assert list(unsound_paths(Written(size="NaN", cost="1e99"), "M")) == ["M.q", "M.cost"]
    assert list(unsound_paths(Written(size="0.10", cost=None), "M")) == []
