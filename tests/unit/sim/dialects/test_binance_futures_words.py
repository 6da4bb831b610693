"""Words and numbers as the venue writes them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.sim.books import Side
from userstream.sim.dialects.binance_futures_words import PRICE_MATCHES, SIDES, income_word, margin_word, text_of, word_of


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12))
def test_numbers_are_written_without_exponent_and_read_back_exactly(amount: Decimal) -> None:
    text = text_of(amount)
    assert "E" not in text.upper()
    assert Decimal(text) == amount


@pytest.mark.parametrize("zero", ["0", "-0", "0E-8", "-0.00", "0E+3"])
def test_zero_is_always_written_the_same(zero: str) -> None:
    assert text_of(Decimal(zero)) == "0"


def test_words_go_both_ways() -> None:
    assert all(word_of(side) == word for word, side in SIDES.items())
    assert word_of(Side.SELL) == "SELL"
    assert PRICE_MATCHES["OPPONENT_5"] == "opponent_5"
    assert (margin_word("cross"), margin_word("isolated")) == ("CROSSED", "ISOLATED")


def test_the_venue_has_its_own_spelling_of_one_income_type() -> None:
    assert income_word("delivered_settlement") == "DELIVERED_SETTELMENT"
    assert income_word("funding_fee") == "FUNDING_FEE"
