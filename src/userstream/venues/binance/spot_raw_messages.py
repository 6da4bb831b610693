"""Recovered facts in the shape of Spot's own stream messages, for programs that read those (the classic surface)."""

from __future__ import annotations

from userstream.domain.events import Filled
from userstream.kernel.amount import format_amount
from userstream.venues.binance.raw_messages import RECOVERY
from userstream.venues.binance.spot_messages import NO_LIST
from userstream.venues.binance.spot_words import ALLOCATION


def spot_raw_message_of(event: Filled) -> dict[str, object]:
    """A fill as an executionReport in its envelope (Binance Spot, 2.3 and 4.3.1), with `_source` "recovery" and no `subscriptionId`.

    The trade history does not know the order: its quantity, price, cumulative quantity and type are "0" or empty here, its status is
    PARTIALLY_FILLED, which every order with a fill has been or could have been. `n` and `N` are absent while the fee is unknown.
    """
    value = format_amount(event.quantity * event.price)
    report: dict[str, object] = {
        "e": "executionReport",
        "E": event.event_time,
        "s": event.symbol,
        "c": event.client_order_id,
        "S": event.side.value.upper(),
        "o": "",
        "f": "",
        "q": "0",
        "p": "0",
        "P": "0",
        "F": "0",
        "g": NO_LIST,
        "C": "",
        "x": "TRADE",
        "X": "PARTIALLY_FILLED",
        "r": "NONE",
        "i": int(event.order_id),
        "l": format_amount(event.quantity),
        "z": "0",
        "L": format_amount(event.price),
        "T": event.transaction_time,
        "t": -1,
        "w": True,
        "m": bool(event.maker),
        "M": False,
        "O": event.transaction_time,
        "Z": "0",
        "Y": value,
        "Q": "0",
        "V": "NONE",
    }
    report |= _number_of(event.trade_id)
    if event.fee is not None:
        report |= {"n": format_amount(event.fee), "N": event.fee_asset}
    return {"event": report, "_source": RECOVERY}


def _number_of(trade_id: str) -> dict[str, int]:
    """An allocation has no trade id, but one of its own kind."""
    if trade_id.startswith(ALLOCATION):
        return {"a": int(trade_id.removeprefix(ALLOCATION))}
    return {"t": int(trade_id)}
