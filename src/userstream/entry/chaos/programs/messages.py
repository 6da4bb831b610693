"""What the user of a raw client reads in the venue's own messages (Binance USD-M, 4.1). Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .told import Witness

EXECUTIONS = ("TRADE", "CALCULATED")


def tell_message(witness: Witness, message: Mapping[str, Any]) -> None:
    """Tells the order, the fill and the positions of one message; other messages have none."""
    if message.get("e") == "ORDER_TRADE_UPDATE":
        _tell_order(witness, message["o"])
    elif message.get("e") == "ACCOUNT_UPDATE":
        for leg in message["a"].get("P", ()):
            witness.position(symbol=leg["s"], side=leg["ps"].lower(), amount=leg["pa"])


def _tell_order(witness: Witness, order: Mapping[str, Any]) -> None:
    symbol, order_id = order["s"], str(order["i"])
    if order["x"] in EXECUTIONS:
        witness.fill(symbol=symbol, trade_id=str(order["t"]), order_id=order_id, price=order["L"], quantity=order["l"])
    witness.order(symbol=symbol, order_id=order_id, status=order["X"].lower(), filled=order["z"])
