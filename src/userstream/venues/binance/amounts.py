"""Amounts a frame may not carry: NaN, infinity, and numbers whose plain digits would fill the memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Final, NewType, Union, get_args, get_origin

import msgspec

from userstream.kernel.errors import DecodeError

MOST_DIGITS: Final = 60
"""Before the point, and after it. No venue comes near; `1E+999999999` is a valid decimal text of a billion digits."""

LEAST_DIGITS: Final = -MOST_DIGITS

_WITHOUT_AMOUNTS: Final = frozenset({str, int, bool, bytes, NoneType, msgspec.Raw})


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
        value = getattr(part, name)
        if not (type(value) is Decimal and value.is_finite() and LEAST_DIGITS < value.adjusted() < MOST_DIGITS):
            yield from _unsound_behind(value, f"{path}.{key}")


@cache
def _keys_of(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    """Our names and the venue's of the fields that can hold amounts; found out once, because msgspec reads all annotations for it."""
    return tuple((described.name, described.encode_name) for described in msgspec.structs.fields(kind) if _may_hold_amounts(described.type))


def _may_hold_amounts(kind: object) -> bool:
    """Whether a field of this type can hold an amount, however deep. What is not known to hold none may."""
    while isinstance(kind, NewType):
        kind = kind.__supertype__
    if get_origin(kind) is Annotated:
        return _may_hold_amounts(get_args(kind)[0])
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        return any(map(_may_hold_amounts, get_args(kind)))
    return kind not in _WITHOUT_AMOUNTS


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
