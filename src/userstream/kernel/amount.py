"""Exact decimals: parsing, printing without exponent, rounding to a venue's steps."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal, InvalidOperation

ZERO = Decimal(0)


def parse_amount(text: str) -> Decimal:
    """The exact value of a venue's decimal text. Raises ValueError for anything that is not a finite number."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"not a decimal number: {text!r}") from None
    if not value.is_finite():
        raise ValueError(f"not a finite number: {text!r}")
    return value


def format_amount(value: Decimal) -> str:
    """Plain digits: no exponent, no trailing zeros after the point, never '-0'."""
    if value == 0:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def round_down(value: Decimal, step: Decimal) -> Decimal:
    """The nearest multiple of `step` towards zero. A step of 0 means that the venue sets no rule."""
    if step == 0:
        return value
    return (value / step).to_integral_value(rounding=ROUND_DOWN) * step


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether `value` obeys a tick or lot rule; a step of 0 allows everything."""
    return step == 0 or value % step == 0
