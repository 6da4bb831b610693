"""What a call of Binance USD-M or COIN-M is to its handler, and how these products tell of their limits (Binance USD-M, 3.2, 1.3)."""

from typing import Final, TypeAlias

from userstream.sim.dialects import binance_calls
from userstream.sim.dialects.binance_calls import Interval, Manners, Security
from userstream.sim.dialects.binance_futures_errors import VOCABULARY
from userstream.sim.exchange import Exchange, contracts_of

__all__ = ["MANNERS", "Endpoint", "Request", "Security"]

MANNERS: Final = Manners(
    vocabulary=VOCABULARY,
    slow_text="Too many requests; current limit of IP is {limit} requests per minute. Please use the websocket for live updates.",
    ban_text="Way too many requests; IP banned until {until}. Please use the websocket for live updates to avoid bans.",
    intervals=(
        Interval(mark="10s", letter="10S", unit="SECOND", number=10, words="10 seconds", length_ms=10_000),
        Interval(mark="1m", letter="1M", unit="MINUTE", number=1, words="minute", length_ms=60_000),
    ),
)


class Request(binance_calls.Request):
    """A request to a venue of contracts."""

    @property
    def exchange(self) -> Exchange:
        return contracts_of(self.room.exchange)


Endpoint: TypeAlias = binance_calls.Endpoint[Request]
