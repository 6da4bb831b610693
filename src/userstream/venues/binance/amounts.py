"""Amounts a frame may not carry: NaN, infinity, and numbers whose plain digits would fill the memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cache
from typing import Final

import msgspec

from userstream.kernel.errors import DecodeError

MOST_DIGITS: Final = 60
"""Before the point, and after it. No venue comes near; `1E+999999999` is a valid decimal text of a billion digits."""

LEAST_DIGITS: Final = -MOST_DIGITS


def is_sound(amount: Decimal) -> bool:
    """Whether it is a finite number of a size that can be printed."""
    return amount.is_finite() and LEAST_DIGITS < amount.adjusted() < MOST_DIGITS


def check_amounts(amounts: Iterable[Decimal | None]) -> None:
    """Raises DecodeError if one of them is no sound number. None is an amount that was not said."""
    for amount in amounts:
        if amount is not None and not (amount.is_finite() and LEAST_DIGITS < amount.adjusted() < MOST_DIGITS):
            raise DecodeError("an amount is no finite number")


def unsound_paths(part: msgspec.Struct, path: str) -> Iterator[str]:
    """The fields of a message that `check_amounts` refuses, by the venue's own keys."""
    for name, key in _keys_of(type(part)):
        yield from _unsound_behind(getattr(part, name), f"{path}.{key}")


@cache
def _keys_of(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    """Our names of a part's fields and the venue's; found out once, because msgspec reads all annotations for it."""
    return tuple((described.name, described.encode_name) for described in msgspec.structs.fields(kind))


def _unsound_behind(value: object, path: str) -> Iterator[str]:
    match value:
        case Decimal():
            if not is_sound(value):
                yield path
        case msgspec.Struct():
            yield from unsound_paths(value, path)
        case tuple():
            for item in value:
                yield from _unsound_behind(item, path)
        case _:
            return
