"""Names for what is text or a number everywhere, so that the checker keeps them apart."""

from __future__ import annotations

from typing import NewType

AccountId = NewType("AccountId", str)
VenueName = NewType("VenueName", str)
Symbol = NewType("Symbol", str)
OrderId = NewType("OrderId", str)
ClientOrderId = NewType("ClientOrderId", str)
Millis = NewType("Millis", int)
"""A point in time: milliseconds since 1970 (UTC). Whose clock it is, the field's name says."""
