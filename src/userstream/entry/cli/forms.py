"""An event as commands print it: amounts as text, with the digits the venue sent."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from userstream.domain.events import Event, public_form
from userstream.kernel.amount import plain_amount


def plain_form(event: Event) -> dict[str, object]:
    """The event's public form, ready to be written: no amount in it has an exponent."""
    return {name: _plain(value) for name, value in public_form(event).items()}


def _plain(value: object) -> object:
    match value:
        case Decimal():
            return plain_amount(value)
        case tuple():
            return [_plain(each) for each in value]
        case msgspec.Struct():
            return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
        case _:
            return value
