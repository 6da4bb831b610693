"""Recovered facts in the shape of the venue's own stream messages, for programs that read those (the classic surface)."""

from __future__ import annotations

from typing import Final

from userstream.domain.events import Filled
from userstream.kernel.amount import format_amount

RECOVERY: Final = "recovery"


def raw_message_of(event: Filled) -> dict[str, object]:
    """A fill as an ORDER_TRADE_UPDATE (Binance USD-M, 4.1.1), with `_source` "recovery".

    The trade history does not know the order: its quantity, price, average, cumulative quantity and type are "0" or empty here, its status
    is PARTIALLY_FILLED, which every order with a fill has been or could have been. `n` and `N` are absent while the fee is unknown.
    """
    order: dict[str, object] = {
        "s": event.symbol,
        "c": event.client_order_id,
        "S": event.side.value.upper(),
        "o": "",
        "f": "",
        "q": "0",
        "p": "0",
        "ap": "0",
        "sp": "0",
        "x": "TRADE",
        "X": "PARTIALLY_FILLED",
        "i": int(event.order_id),
        "l": format_amount(event.quantity),
        "z": "0",
        "L": format_amount(event.price),
        "T": event.transaction_time,
        "t": int(event.trade_id),
        "b": "0",
        "a": "0",
        "m": bool(event.maker),
        "R": False,
        "wt": "CONTRACT_PRICE",
        "ot": "",
        "ps": "BOTH" if event.position_side is None else event.position_side.value.upper(),
        "cp": False,
        "rp": "0" if event.realized_pnl is None else format_amount(event.realized_pnl),
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "NONE",
        "pm": "NONE",
        "gtd": 0,
        "er": "0",
    }
    if event.fee is not None:
        order |= {"n": format_amount(event.fee), "N": event.fee_asset}
    return {"e": "ORDER_TRADE_UPDATE", "T": event.transaction_time, "E": event.event_time, "o": order, "_source": RECOVERY}
