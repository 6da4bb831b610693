"""What a user's program is told at its start, and how it tells what its user sees: one JSON object a line. Standard library only.

A line: `kind` (ready, fill, order, position, trouble), `at_ms` (milliseconds since 1970, when the user saw it), and the fields.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "USERSTREAM_CHAOS_"


@dataclass(frozen=True)
class Place:
    """Where the exchange is, who the user is, and how the user works. The repr hides the secret.

    work_s: what the user does after each thing seen. watch_s: after how long a silent socket should be doubted, for clients that can
    be told. life_s: how long the venue lets a socket live.
    """

    venue: str
    rest_url: str
    ws_url: str
    ws_api_url: str
    api_key: str
    api_secret: str
    work_s: float
    watch_s: float
    life_s: float

    def __repr__(self) -> str:
        return f"Place({self.venue!r}, {self.rest_url!r})"


def read_place(environment: Mapping[str, str] = os.environ) -> Place:
    """The place that the environment names. Raises KeyError where a name is missing."""

    def text(name: str) -> str:
        return environment[PREFIX + name]

    return Place(
        venue=text("VENUE"),
        rest_url=text("REST_URL"),
        ws_url=text("WS_URL"),
        ws_api_url=text("WS_API_URL"),
        api_key=text("API_KEY"),
        api_secret=text("API_SECRET"),
        work_s=int(text("WORK_MS")) / 1000,
        watch_s=int(text("WATCH_MS")) / 1000,
        life_s=int(text("LIFE_MS")) / 1000,
    )


class Witness:
    """Says on standard output what the user sees, at once and with the time. Amounts are texts."""

    def ready(self) -> None:
        """The client says that it listens, or everything it asks of its user is done."""
        self._tell("ready")

    def fill(self, *, symbol: str, trade_id: str, order_id: str, price: str, quantity: str) -> None:
        self._tell("fill", symbol=symbol, trade_id=trade_id, order_id=order_id, price=price, quantity=quantity)

    def order(self, *, symbol: str, order_id: str, client_order_id: str, status: str, filled: str) -> None:
        """The order is now in this state, as the user is told."""
        self._tell("order", symbol=symbol, order_id=order_id, client_order_id=client_order_id, status=status, filled=filled)

    def position(self, *, symbol: str, side: str, amount: str) -> None:
        """The leg (both, long, short) is now of this signed amount."""
        self._tell("position", symbol=symbol, side=side, amount=amount)

    def wallet(self, *, asset: str, amount: str) -> None:
        """The account now holds so much of the asset, free and locked together."""
        self._tell("position", symbol=asset, side="wallet", amount=amount)

    def trouble(self, words: object) -> None:
        """The client told its user of an error."""
        self._tell("trouble", words=str(words)[:200])

    def _tell(self, kind: str, **fields: str) -> None:
        line = {"kind": kind, "at_ms": time.time_ns() // 1_000_000} | fields
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
