"""The ways to open a USD-M user stream (Binance USD-M, 2.2). Sources disagree which of them deliver, so there is an order to try."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final
from urllib.parse import quote

import msgspec

from userstream.kernel.errors import SettingsError, nearest
from userstream.kernel.secret import Secret
from userstream.wire.session import Connect, Send

# The full list: a filter hides everything that is not in it.
ALL_EVENTS: Final = (
    "ORDER_TRADE_UPDATE",
    "ACCOUNT_UPDATE",
    "MARGIN_CALL",
    "ACCOUNT_CONFIG_UPDATE",
    "TRADE_LITE",
    "ALGO_UPDATE",
    "listenKeyExpired",
    "STRATEGY_UPDATE",
    "GRID_UPDATE",
    "CONDITIONAL_ORDER_TRIGGER_REJECT",
)
KEY_EXPIRY: Final = "listenKeyExpired"
SUBSCRIBE_ID: Final = 1


class Form(IntEnum):
    """In the order in which they are tried: key and events in the query, key in the path, key in a control frame."""

    QUERY = 0
    PATH = 1
    SUBSCRIBE = 2


def event_list(wanted: Sequence[str]) -> tuple[str, ...]:
    """The events to ask for: all of them where none are named. The key's expiry is always among them.

    Raises SettingsError for a name the venue does not have: it would hide events without a word.
    """
    for name in wanted:
        if name not in ALL_EVENTS:
            raise SettingsError(f"events: {name!r} is no event of this stream; {nearest(name, ALL_EVENTS)}")
    if not wanted:
        return ALL_EVENTS
    return tuple(wanted) if KEY_EXPIRY in wanted else (*wanted, KEY_EXPIRY)


def connect(form: Form, ws_url: str, key: Secret, events: Sequence[str]) -> Connect:
    """The socket to open. Only the query form can limit the events."""
    text = quote(key.reveal(), safe="")
    label = f"{ws_url}/private/ws"
    if form is Form.QUERY:
        return Connect(Secret(f"{label}?listenKey={text}&events={'/'.join(events)}"), label)
    if form is Form.PATH:
        return Connect(Secret(f"{label}/{text}"), label)
    label = f"{ws_url}/private/stream"
    return Connect(Secret(label), label)


def subscribe(key: Secret) -> Send:
    """The control frame of the last form; its answer carries the same id."""
    frame = {"method": "SUBSCRIBE", "params": [key.reveal()], "id": SUBSCRIBE_ID}
    return Send(Secret(msgspec.json.encode(frame).decode()))
