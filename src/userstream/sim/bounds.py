"""Which numbers an action or the time of a step may have: read by people from files and command lines, so that each is checked. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

LONGEST_S: Final = Decimal(1_000_000_000)
"""Some thirty years: longer than any exchange is played, and short enough for every sum of it."""
SHORTEST_STEP_S: Final = Decimal("0.001")
SECONDS: Final = "_s"
RATES: Final = frozenset({"events_per_s"})
MOST_EVENTS_PER_S: Final = 10_000
"""More than one process can play: whoever asks for more than that meant something else."""


def check_numbers(record: msgspec.Struct) -> None:
    """Raises ValueError that names the field, its value and the rule: a decimal is a number that is not endless, and seconds (a field
    whose name ends with `_s`) lie between 0 and `LONGEST_S`, events per second between 0 and `MOST_EVENTS_PER_S`."""
    for field in record.__struct_fields__:
        value = getattr(record, field)
        if not isinstance(value, Decimal):
            continue
        if not value.is_finite():
            raise ValueError(f"{field} {value} must be a finite number")
        if field in RATES and not 0 <= value <= MOST_EVENTS_PER_S:
            raise ValueError(f"{field} {value} must be between 0 and {MOST_EVENTS_PER_S} events per second")
        if field.endswith(SECONDS) and field not in RATES and not 0 <= value <= LONGEST_S:
            raise ValueError(f"{field} {value} must be between 0 and {LONGEST_S} seconds")
