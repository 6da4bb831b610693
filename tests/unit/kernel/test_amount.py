from decimal import Decimal

import pytest

from userstream.kernel.amount import format_amount, parse_amount, plain_amount


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0.00000001", "0.00000001"),
        ("1E-8", "0.00000001"),
        ("1.5e3", "1500"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+2", "2"),
        ("123456789012345678901234567890.123456789012345678", "123456789012345678901234567890.123456789012345678"),
    ],
)
def test_a_venues_text_is_read_exactly(text: str, value: str) -> None:
    assert parse_amount(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", " ", " 1", "1 ", "1_000", "1,5", "NaN", "sNaN", "Infinity", "-inf", "0x10", "--1", "1e", "٣", "1e99999", "1e-9999"]
)
def test_what_is_no_finite_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_amount(text)


def test_a_number_of_absurd_length_is_refused() -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_amount("9" * 300)


def test_the_refusal_of_a_long_text_is_short() -> None:
    with pytest.raises(ValueError) as refusal:
        parse_amount("x" * 10_000)
    assert len(str(refusal.value)) < 100


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("-0.000", "0"),
        ("0E-18", "0"),
        ("1E+3", "1000"),
        ("100", "100"),
        ("0.10", "0.1"),
        ("-61250.100", "-61250.1"),
        ("1E-8", "0.00000001"),
        ("7.000", "7"),
    ],
)
def test_it_is_printed_in_plain_digits(value: str, text: str) -> None:
    assert format_amount(Decimal(value)) == text


@pytest.mark.parametrize("text", ["0.00000000", "-0.00000050", "61250.10", "0", "-0", "100", "0.000000000000000001", "9" * 60 + ".10"])
def test_the_digits_that_were_sent_are_printed_again(text: str) -> None:
    assert plain_amount(parse_amount(text)) == text
