"""An event as commands print it: amounts as text, with the digits the venue sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from userstream.domain.events import Event, public_form
from userstream.kernel.amount import plain_amount

_encode: Final = msgspec.json.Encoder().encode


def plain_form(event: Event) -> dict[str, object]:
    """The event's public form, ready to be written: no amount in it has an exponent."""
    return {name: _plain(value) for name, value in public_form(event).items()}


def plain_json(event: Event) -> bytes:
    """The plain form as JSON."""
    data = _encode(public_form(event))
    # few events hold an exponent, and looking for one is far cheaper than going through all their fields
    return _encode(plain_form(event)) if b"E-" in data or b"E+" in data else data


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return plain_amount(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    return value
