"""Exact decimals: parsing, and printing without exponent."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

ZERO: Final = Decimal(0)

MOST_DIGITS: Final = 200
"""No venue writes longer numbers; a hostile exponent would fill the memory when printed."""

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


def parse_amount(text: str) -> Decimal:
    """The exact value of a venue's decimal text. Raises ValueError for anything that is not a finite number of sane length."""
    if len(text) > MOST_DIGITS or _NUMBER.fullmatch(text) is None:
        raise ValueError(f"not a decimal number: {text[:40]!r}")
    value = Decimal(text)
    if abs(value.adjusted()) > MOST_DIGITS:
        raise ValueError(f"not a number of sane length: {text[:40]!r}")
    return value


def plain_amount(value: Decimal) -> str:
    """The digits the amount came with, zeros at its end too, without the exponent that Decimal gives to small ones."""
    text = str(value)
    return format(value, "f") if "E" in text else text


def format_amount(value: Decimal) -> str:
    """Plain digits: no exponent, no trailing zeros after the point, never '-0'."""
    if value == 0:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
