"""What a call of Binance Spot is to its handler, and how Spot tells of its limits (Binance Spot, 3.2)."""

from typing import Final, TypeAlias

from userstream.sim.books import Millis, Order
from userstream.sim.dialects import binance_calls
from userstream.sim.dialects.binance_calls import Interval, Manners, Security
from userstream.sim.dialects.binance_parameters import Parameters
from userstream.sim.dialects.binance_spot_errors import VOCABULARY
from userstream.sim.dialects.binance_spot_times import in_milliseconds
from userstream.sim.keys import ApiKey
from userstream.sim.limits import LimitSettings
from userstream.sim.room import Room
from userstream.sim.spot.books import SpotOrder, spot_order
from userstream.sim.spot.exchange import SpotExchange, spot_of

__all__ = ["LIMITS", "MANNERS", "Endpoint", "Request", "Security"]

LIMITS = LimitSettings(weight_per_minute=6000, orders_per_10s=100, orders_per_minute=0, orders_per_day=200_000, connects_per_5_minutes=300)
MANNERS: Final = Manners(
    vocabulary=VOCABULARY,
    slow_text="Too much request weight used; current limit is {limit} request weight per 1 MINUTE.",
    ban_text="Way too much request weight used; IP banned until {until}. Please use WebSocket Streams for live updates.",
    intervals=(
        Interval(mark="10s", letter="10S", unit="SECOND", number=10, words="10 SECOND", length_ms=10_000),
        Interval(mark="1d", letter="1D", unit="DAY", number=1, words="1 DAY", length_ms=86_400_000),
    ),
    takes_microseconds=True,
)


class Request(binance_calls.Request):
    """A request to the spot venue. `account` is the spot account of `user`, unless a handler of margin aims at another one."""

    def __init__(self, room: Room, user: str, parameters: Parameters, now: Millis, key: ApiKey | None = None) -> None:
        account = spot_of(room.exchange).spot_account(user) if user else ""
        super().__init__(room, account, parameters, now, key)
        self.user = user

    @property
    def exchange(self) -> SpotExchange:
        return spot_of(self.room.exchange)

    def maybe_time(self, name: str) -> Millis | None:
        """A time in milliseconds or microseconds."""
        found = self.parameters.maybe_whole(name)
        return None if found is None else in_milliseconds(found)

    def open_orders(self, symbol: str | None) -> list[SpotOrder]:
        return [spot_order(order) for order in self.books.open_orders(self.account, symbol)]

    def orders(self, symbol: str) -> list[SpotOrder]:
        orders: list[Order] = list(self.books.orders(self.account, symbol))
        return [spot_order(order) for order in orders]


Endpoint: TypeAlias = binance_calls.Endpoint[Request]
