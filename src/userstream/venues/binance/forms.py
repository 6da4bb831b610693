"""The ways to open a futures user stream (Binance USD-M, 2.2; Binance COIN-M, 1). Sources disagree which deliver, so each product has an
order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, assert_never
from urllib.parse import quote

import msgspec

from userstream.kernel.errors import SettingsError, nearest
from userstream.kernel.secret import Secret
from userstream.wire.session import Connect, Send

# The full list of USD-M: a filter hides everything that is not in it.
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
    """Key and events in the query, key in the path, key in a control frame, key as the name of a combined stream."""

    QUERY = 0
    PATH = 1
    SUBSCRIBE = 2
    COMBINED = 3


def event_list(wanted: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The events to ask for: all `known` ones where none are named. The key's expiry is always among them.

    Raises SettingsError for a name the venue does not have: it would hide events without a word.
    """
    for name in wanted:
        if name not in known:
            raise SettingsError(f"events: {name!r} is no event of this stream; {nearest(name, known)}")
    if not wanted:
        return tuple(known)
    return tuple(wanted) if KEY_EXPIRY in wanted else (*wanted, KEY_EXPIRY)


def connect(form: Form, base: str, key: Secret, events: Sequence[str]) -> Connect:
    """The socket to open below `base`. Only the query form can limit the events."""
    text = quote(key.reveal(), safe="")
    raw, combined = f"{base}/ws", f"{base}/stream"
    match form:
        case Form.QUERY:
            return Connect(Secret(f"{raw}?listenKey={text}&events={'/'.join(events)}"), raw)
        case Form.PATH:
            return Connect(Secret(f"{raw}/{text}"), raw)
        case Form.SUBSCRIBE:
            return Connect(Secret(combined), combined)
        case Form.COMBINED:
            return Connect(Secret(f"{combined}?streams={text}"), combined)
        case _:
            assert_never(form)


def subscribe(key: Secret) -> Send:
    """The control frame of the last form; its answer carries the same id."""
    frame = {"method": "SUBSCRIBE", "params": [key.reveal()], "id": SUBSCRIBE_ID}
    return Send(Secret(msgspec.json.encode(frame).decode()))
