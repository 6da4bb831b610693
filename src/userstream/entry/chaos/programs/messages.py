"""What the user of a raw client reads in the venue's own messages (Binance USD-M, 4.1; Binance Spot, 4). Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .told import Witness

EXECUTIONS = ("TRADE", "CALCULATED")


def tell_message(witness: Witness, message: Mapping[str, Any]) -> None:
    """Tells the order, the fill and the positions or wallets of one message; other messages have none."""
    match message.get("e"):
        case "ORDER_TRADE_UPDATE":
            _tell_order(witness, message["o"])
        case "executionReport" if message["x"] != "REJECTED":
            _tell_order(witness, message)
        case "ACCOUNT_UPDATE":
            for leg in message["a"].get("P", ()):
                witness.position(symbol=leg["s"], side=leg["ps"].lower(), amount=leg["pa"])
        case "outboundAccountPosition":
            for wallet in message["B"]:
                witness.wallet(asset=wallet["a"], amount=str(Decimal(wallet["f"]) + Decimal(wallet["l"])))


def _tell_order(witness: Witness, order: Mapping[str, Any]) -> None:
    symbol, order_id = order["s"], str(order["i"])
    if order["x"] in EXECUTIONS:
        witness.fill(symbol=symbol, trade_id=str(order["t"]), order_id=order_id, price=order["L"], quantity=order["l"])
    name = order.get("C") or order["c"]  # of a cancelled Spot order `c` is the id of the cancelling
    witness.order(symbol=symbol, order_id=order_id, client_order_id=name, status=order["X"].lower(), filled=order["z"])
