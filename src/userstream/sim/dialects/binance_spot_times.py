"""Milliseconds and microseconds: what a client may send, and what it gets when it asked for microseconds (Binance Spot, 2.3)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from userstream.sim.books import Millis
from userstream.sim.dialects.binance_calls import LEAST_MICROSECONDS
from userstream.sim.venue import Json

# In answers a time is told by its name, in events the same letter may mean something else in another event.
ANSWER_TIMES: Final = frozenset(
    {
        "authorizedSince",
        "closeTime",
        "connectedSince",
        "openTime",
        "serverTime",
        "time",
        "trailingTime",
        "transactTime",
        "transactionTime",
        "updateTime",
        "workingTime",
    }
)
EVENT_TIMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "executionReport": ("E", "T", "O", "W", "D"),
        "outboundAccountPosition": ("E", "u"),
        "balanceUpdate": ("E", "T"),
        "externalLockUpdate": ("E", "T"),
        "listStatus": ("E", "T"),
    }
)


def in_milliseconds(time: int) -> Millis:
    """A time of a request; its size tells the unit."""
    return Millis(time // 1000 if time >= LEAST_MICROSECONDS else time)


def answer_in_microseconds(value: Json) -> Json:
    """The same answer with its times in microseconds. A time of -1 says that there is none and stays."""
    match value:
        case Mapping():
            return {name: _widened(each) if name in ANSWER_TIMES else answer_in_microseconds(each) for name, each in value.items()}
        case list() | tuple():
            return [answer_in_microseconds(each) for each in value]
    return value


def event_in_microseconds(event: Mapping[str, Json]) -> dict[str, Json]:
    """The same event with its times in microseconds."""
    times = EVENT_TIMES.get(str(event["e"]), ("E",))
    return {name: _widened(value) if name in times else value for name, value in event.items()}


def _widened(value: Json) -> Json:
    return value * 1000 if isinstance(value, int) and value > 0 else value
