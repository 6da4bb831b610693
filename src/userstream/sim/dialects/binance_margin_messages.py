"""The events of the risk stream of cross margin (Binance Spot, 2.5 and 4.4)."""

from typing import Final

from userstream.sim.books import LiabilityHappened, MarginLevelHappened, Millis
from userstream.sim.dialects.binance_spot_words import text_of
from userstream.sim.venue import Json

LEVEL_EVENT: Final = "MARGIN_LEVEL_STATUS_CHANGE"
LIABILITY_EVENT: Final = "USER_LIABILITY_CHANGE"
KEY_EVENT: Final = "listenKeyExpired"
RISK_EVENTS: Final = frozenset({LEVEL_EVENT, LIABILITY_EVENT, KEY_EVENT})


def liability_change(happening: LiabilityHappened, now: Millis) -> dict[str, Json]:
    """USER_LIABILITY_CHANGE: principal and interest of this change."""
    return {
        "e": LIABILITY_EVENT,
        "E": max(now, happening.time),
        "a": happening.asset,
        "t": happening.kind.upper(),
        "p": text_of(happening.principal),
        "i": text_of(happening.interest),
    }


def level_change(happening: MarginLevelHappened, now: Millis) -> dict[str, Json]:
    """MARGIN_LEVEL_STATUS_CHANGE; the words of the status are not confirmed (9)."""
    return {
        "e": LEVEL_EVENT,
        "E": max(now, happening.time),
        "l": text_of(round(happening.level, 8)),
        "s": happening.status.upper(),
    }


def listen_key_expired(key: str, now: Millis) -> dict[str, Json]:
    """The key of a risk socket is dead; the socket stays open (2.1)."""
    return {"e": KEY_EVENT, "E": now, "listenKey": key}
