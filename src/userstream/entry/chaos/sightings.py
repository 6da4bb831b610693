"""What a user saw, as its program told it line by line."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final, Literal

import msgspec

FillKey = tuple[str, str, str]
OrderKey = tuple[str, str]
LegKey = tuple[str, str]
OrderState = tuple[str, Decimal]

STATES: Final = {
    "new": "open",
    "partially_filled": "open",
    "pending": "open",
    "pending_new": "open",
    "closed": "filled",
    "canceled": "ended",
    "expired": "ended",
    "expired_in_match": "ended",
    "rejected": "ended",
}
"""Clients have their own words; what all of them tell apart is whether an order is open, filled, or ended otherwise."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a user's program. Amounts are decimals as text, `at_ms` is the time the user saw it (ms since 1970)."""

    kind: Literal["ready", "fill", "order", "position", "trouble"]
    at_ms: int
    symbol: str = ""
    trade_id: str = ""
    order_id: str = ""
    price: str = "0"
    quantity: str = "0"
    status: str = ""
    client_order_id: str = ""
    filled: str = "0"
    side: str = "both"
    amount: str = "0"
    words: str = ""


class SeenFill(msgspec.Struct, frozen=True, kw_only=True):
    """A fill as the user was told it, and when (ms since 1970)."""

    key: FillKey
    price: Decimal
    quantity: Decimal
    at_ms: int


class Sightings:
    """Everything one user saw: each fill told, the last state told of each order and leg. A wallet is a leg of its asset."""

    def __init__(self) -> None:
        self.is_ready = False
        self.fills: list[SeenFill] = []
        self.orders: dict[OrderKey, OrderState] = {}
        self.names: dict[OrderKey, str] = {}
        self.legs: dict[LegKey, Decimal] = {}
        self.troubles: list[str] = []
        self.noise = 0

    def take(self, text: bytes) -> None:
        """One line of output. What is none (a client that prints) is counted and left."""
        try:
            self._take(msgspec.json.decode(text, type=Line))
        except (msgspec.MsgspecError, InvalidOperation):
            self.noise += 1

    def _take(self, line: Line) -> None:
        match line.kind:
            case "ready":
                self.is_ready = True
            case "trouble":
                self.troubles.append(line.words)
            case "fill":
                key = (line.symbol, line.trade_id, line.order_id)
                self.fills.append(SeenFill(key=key, price=Decimal(line.price), quantity=Decimal(line.quantity), at_ms=line.at_ms))
            case "order":
                self.orders[line.symbol, line.order_id] = (state_of(line.status), Decimal(line.filled))
                self.names[line.symbol, line.order_id] = line.client_order_id
            case "position":
                self.legs[line.symbol, line.side] = Decimal(line.amount)

    def saw(self, key: FillKey) -> bool:
        return any(fill.key == key for fill in self.fills)


def state_of(status: str) -> str:
    """The common word for a client's word, however it is written; an unknown word stays, and is no state of the books."""
    return STATES.get(status.lower(), status)
