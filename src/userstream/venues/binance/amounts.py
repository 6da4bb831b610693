"""Amounts of frames and of histories: read from the venue's text, and those that neither may carry: NaN, infinity, and numbers whose plain
digits would fill the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Final, NewType, TypeAlias, Union, get_args, get_origin

import msgspec

from userstream.kernel.errors import DecodeError

MOST_DIGITS: Final = 60
"""Before the point, and after it. No venue comes near; `1E+999999999` is a valid decimal text of a billion digits."""

LEAST_DIGITS: Final = -MOST_DIGITS

AmountText: TypeAlias = Annotated[str, msgspec.Meta(extra={"amount": True})]
"""An amount as the venue wrote it."""

MOST_KEPT: Final = 4_096
LONGEST_KEPT: Final = 32

_TEXTS: Final = (AmountText, AmountText | None)
_WITHOUT_AMOUNTS: Final = frozenset({str, int, bool, bytes, NoneType, msgspec.Raw})


def is_sound(amount: Decimal) -> bool:
    """Whether it is a finite number of a size that can be printed."""
    return amount.is_finite() and LEAST_DIGITS < amount.adjusted() < MOST_DIGITS


def check_amounts(amounts: Iterable[Decimal | None]) -> None:
    """Raises DecodeError if one of them is no sound number. None is an amount that was not said."""
    for amount in amounts:
        if amount is not None and not (amount.is_finite() and LEAST_DIGITS < amount.adjusted() < MOST_DIGITS):
            raise DecodeError("an amount is no finite number")


class _Amounts(dict[AmountText, Decimal]):
    def __missing__(self, text: AmountText) -> Decimal:
        try:
            amount = Decimal(text)
        except InvalidOperation:
            raise DecodeError("an amount is no finite number") from None
        check_amounts((amount,))
        if len(text) <= LONGEST_KEPT:
            if len(self) >= MOST_KEPT:
                self.clear()
            self[text] = amount
        return amount


class _OptionalAmounts(dict[AmountText | None, Decimal | None]):
    def __missing__(self, text: AmountText | None) -> Decimal | None:
        amount = None if text is None else read_amount(text)
        if text is None or len(text) <= LONGEST_KEPT:
            if len(self) >= MOST_KEPT:
                self.clear()
            self[text] = amount
        return amount


read_amount: Final[Callable[[AmountText], Decimal]] = _Amounts().__getitem__
"""The exact value of a venue's text. Raises DecodeError for what is no sound number. A feed's amounts repeat (an order's price comes with
each of its messages, and most messages hold zeros), so those of late are remembered: looking one up costs a third of reading it."""

read_optional: Final[Callable[[AmountText | None], Decimal | None]] = _OptionalAmounts().__getitem__
"""As `read_amount`; None, an amount that was not said, stays None."""


def unsound_paths(part: msgspec.Struct, path: str) -> Iterator[str]:
    """The fields of a message that `check_amounts` refuses, by the venue's own keys."""
    for name, key, is_text in _keys_of(type(part)):
        value = getattr(part, name)
        if is_text:
            if not _is_sound_text(value):
                yield f"{path}.{key}"
        elif not (type(value) is Decimal and value.is_finite() and LEAST_DIGITS < value.adjusted() < MOST_DIGITS):
            yield from _unsound_behind(value, f"{path}.{key}")


@cache
def has_numbers(kind: type[msgspec.Struct]) -> bool:
    """Whether it has amounts that were made numbers before anybody checked them."""
    return any(not is_text for _, _, is_text in _keys_of(kind))


@cache
def text_keys(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The venue's keys of the amounts that are kept as text until they are read."""
    return frozenset(key for _, key, is_text in _keys_of(kind) if is_text)


def _is_sound_text(text: AmountText | None) -> bool:
    try:
        read_optional(text)
    except DecodeError:
        return False
    return True


@cache
def _keys_of(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, bool], ...]:
    """Our names and the venue's of the fields that can hold amounts, and whether as text; found out once, because msgspec reads all
    annotations for it."""
    return tuple(
        (described.name, described.encode_name, is_text)
        for described in msgspec.structs.fields(kind)
        if (is_text := described.type in _TEXTS) or _may_hold_amounts(described.type)
    )


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
