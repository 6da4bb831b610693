"""Laws of exact decimals."""

from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from userstream.kernel.amount import format_amount, parse_amount, plain_amount

amounts = st.decimals(min_value=Decimal(-(10**20)), max_value=Decimal(10**20), places=18, allow_nan=False, allow_infinity=False)


@given(amounts)
def test_printing_and_reading_gives_the_same_value(value: Decimal) -> None:
    text = format_amount(value)
    assert parse_amount(text) == value
    assert format_amount(parse_amount(text)) == text


@given(amounts)
def test_the_printed_form_is_plain_and_shortest(value: Decimal) -> None:
    text = format_amount(value)
    assert "e" not in text.lower()
    assert text != "-0"
    assert "." not in text or not text.endswith(("0", "."))


plain_texts = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?", fullmatch=True)


@given(plain_texts)
def test_plain_digits_come_back_as_they_were_sent(text: str) -> None:
    assert plain_amount(parse_amount(text)) == text


any_amounts = st.builds(lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(-(10**25), 10**25), st.integers(-40, 40))


@given(any_amounts)
def test_any_exponent_is_read_back(value: Decimal) -> None:
    assert parse_amount(str(value)) == value == parse_amount(format_amount(value)) == parse_amount(plain_amount(value))
    assert "e" not in plain_amount(value).lower()


@given(st.text(max_size=12))
def test_any_text_is_a_finite_number_or_refused(text: str) -> None:
    try:
        value = parse_amount(text)
    except ValueError:
        return
    assume(len(text) > 0)
    assert value.is_finite()
