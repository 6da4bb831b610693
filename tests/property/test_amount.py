"""Laws of exact decimals."""

from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from userstream.kernel.amount import format_amount, is_multiple, parse_amount, round_down

amounts = st.decimals(min_value=Decimal(-(10**20)), max_value=Decimal(10**20), places=18, allow_nan=False, allow_infinity=False)
steps = st.sampled_from(("0", "0.000000000000000001", "0.00000001", "0.001", "0.10", "0.25", "0.5", "1", "5", "1000")).map(Decimal)


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


any_amounts = st.builds(lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(-(10**25), 10**25), st.integers(-40, 40))


@given(any_amounts)
def test_any_exponent_is_read_back(value: Decimal) -> None:
    assert parse_amount(str(value)) == value == parse_amount(format_amount(value))


@given(amounts, steps)
def test_rounding_down_never_grows_and_obeys_the_step(value: Decimal, step: Decimal) -> None:
    rounded = round_down(value, step)
    assert is_multiple(rounded, step)
    assert abs(rounded) <= abs(value)
    assert step == 0 or abs(value - rounded) < step
    assert rounded == 0 or (rounded < 0) == (value < 0)
    assert round_down(rounded, step) == rounded


@given(amounts, steps)
def test_a_multiple_is_what_rounding_leaves_alone(value: Decimal, step: Decimal) -> None:
    assert is_multiple(value, step) == (round_down(value, step) == value)


@given(st.text(max_size=12))
def test_any_text_is_a_finite_number_or_refused(text: str) -> None:
    try:
        value = parse_amount(text)
    except ValueError:
        return
    assume(len(text) > 0)
    assert value.is_finite()
