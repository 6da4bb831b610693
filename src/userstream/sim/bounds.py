"""Which numbers an action or the time of a step may have: read by people from files and command lines, so that each is checked. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from userstream.sim.rules import show_value

LONGEST_S: Final = Decimal(1_000_000_000)
"""Some thirty years: longer than any exchange is played, and short enough for every sum of it."""
SHORTEST_STEP_S: Final = Decimal("0.001")
SECONDS: Final = "_s"
NEVER_NEGATIVE: Final = frozenset({"price", "quantity"})
RATES: Final = frozenset({"events_per_s"})
CLOSE_CODES: Final = (range(1000, 1004), range(1007, 1015), range(3000, 5000))
"""RFC 6455, 7.4: the others are reserved, or stand for closes without a frame."""
LONGEST_REASON: Final = 123
MOST_EVENTS_PER_S: Final = 10_000
"""More than one process can play: whoever asks for more than that meant something else."""


def check_numbers(record: msgspec.Struct) -> None:
    """Raises ValueError that names the field, its value and the rule: a decimal is a number that is not endless, prices and quantities are
    0 or more, seconds (a field whose name ends with `_s`) lie between 0 and `LONGEST_S`, events per second between 0 and
    `MOST_EVENTS_PER_S`."""
    for field in record.__struct_fields__:
        value = getattr(record, field)
        if not isinstance(value, Decimal):
            continue
        if not value.is_finite():
            raise ValueError(f"{field} {value} must be a finite number")
        if field in NEVER_NEGATIVE and value < 0:
            raise ValueError(f"{field} {value} must be 0 or more")
        if field in RATES and not 0 <= value <= MOST_EVENTS_PER_S:
            raise ValueError(f"{field} {value} must be between 0 and {MOST_EVENTS_PER_S} events per second")
        if field.endswith(SECONDS) and field not in RATES and not 0 <= value <= LONGEST_S:
            raise ValueError(f"{field} {value} must be between 0 and {LONGEST_S} seconds")


def check_close(code: int, reason: str) -> None:
    """Raises ValueError, in the same form, for a code or a reason that no close frame may carry."""
    if not any(code in codes for codes in CLOSE_CODES):
        raise ValueError(f"code {code} must be one that a WebSocket may send: 1000 to 1003, 1007 to 1014, or 3000 to 4999")
    if len(reason.encode("utf-8", "surrogatepass")) > LONGEST_REASON:
        raise ValueError(f"reason {show_value(reason)} must be {LONGEST_REASON} bytes or less")


def check_hex(text: str) -> None:
    """Raises ValueError, in the same form, for what is no bytes in hexadecimal digits."""
    try:
        bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"hex {show_value(text)} must be pairs of hexadecimal digits") from None
