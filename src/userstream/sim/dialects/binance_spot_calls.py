"""One call of Binance Spot, over REST or over a socket: who may make it and what it costs (Binance Spot, 3.2 to 3.4)."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeAlias

import msgspec

from userstream.sim.books import Instrument, Millis, Order, Refused
from userstream.sim.dialects.binance_spot_errors import VenueError, refuse, translate
from userstream.sim.dialects.binance_spot_times import LEAST_MICROSECONDS, in_milliseconds
from userstream.sim.dialects.binance_usdm_calls import Security, check_signature, find_key
from userstream.sim.dialects.binance_usdm_parameters import Parameters
from userstream.sim.history import Books
from userstream.sim.keys import ApiKey
from userstream.sim.limits import Charge, LimitSettings, OrderUse, Verdict
from userstream.sim.room import Room
from userstream.sim.spot.books import SpotOrder, spot_order
from userstream.sim.spot.exchange import SpotExchange, spot_of
from userstream.sim.venue import Json

__all__ = ["Endpoint", "Handler", "Outcome", "Request", "Security", "check_signature", "find_key", "serve"]

DEFAULT_WINDOW_MS = 5000
LONGEST_WINDOW_MS = 60_000
AHEAD_MS = 1000
LIMITS = LimitSettings(weight_per_minute=6000, orders_per_10s=100, orders_per_minute=0, orders_per_day=200_000, connects_per_5_minutes=300)


class Request:
    """What a handler gets: the account that asks, its parameters, the time of the books and the time the gateway states."""

    def __init__(self, room: Room, account: str, parameters: Parameters, now: Millis, key: ApiKey | None = None) -> None:
        self.room = room
        self.key = key
        self.account = account
        self.parameters = parameters
        self.now = now

    @property
    def exchange(self) -> SpotExchange:
        return spot_of(self.room.exchange)

    @property
    def books(self) -> Books:
        """What a reading call may see, a little older than the truth when a lag is on."""
        return self.room.books(self.now)

    @property
    def stated(self) -> Millis:
        return self.room.stated(self.now)

    def instrument(self, symbol: str) -> Instrument:
        """The pair; -1121 for a symbol that is not traded here."""
        if symbol not in self.exchange.instruments:
            raise refuse(-1121)
        return self.exchange.instruments[symbol]

    def symbol(self) -> str:
        """The mandatory parameter `symbol`."""
        return self.instrument(self.parameters.text("symbol")).symbol

    def maybe_symbol(self) -> str | None:
        name = self.parameters.maybe_text("symbol")
        return None if name is None else self.instrument(name).symbol

    def maybe_time(self, name: str) -> Millis | None:
        """A time in milliseconds or microseconds."""
        found = self.parameters.maybe_whole(name)
        return None if found is None else in_milliseconds(found)

    def open_orders(self, symbol: str | None) -> list[SpotOrder]:
        return [spot_order(order) for order in self.books.open_orders(self.account, symbol)]

    def orders(self, symbol: str) -> list[SpotOrder]:
        orders: list[Order] = list(self.books.orders(self.account, symbol))
        return [spot_order(order) for order in orders]


Handler: TypeAlias = Callable[[Request], Json]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A call with its weight and how many orders it counts. `is_free`: the weight is charged only when the call fails."""

    method: str
    path: str
    handler: Handler
    weight: int = 1
    weight_without_symbol: int | None = None
    weight_with_order: int | None = None
    security: Security = Security.SIGNED
    orders: int = 0
    is_free: bool = False

    def cost(self, parameters: Mapping[str, str]) -> int:
        if self.weight_without_symbol is not None and not parameters.get("symbol"):
            return self.weight_without_symbol
        if self.weight_with_order is not None and parameters.get("orderId"):
            return self.weight_with_order
        return self.weight


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a call gave, and the order counts where it counted."""

    body: Json
    use: OrderUse | None = None


def check_timestamp(parameters: Parameters, stated: Millis) -> None:
    """In milliseconds or microseconds: less than a second ahead of the gateway, not older than recvWindow; -1021 otherwise."""
    sent = parameters.whole("timestamp")
    timestamp = Decimal(sent) / 1000 if sent >= LEAST_MICROSECONDS else Decimal(sent)
    window = parameters.maybe_amount("recvWindow")
    if window is not None and window > LONGEST_WINDOW_MS:
        raise refuse(-1131)
    if timestamp >= stated + AHEAD_MS:
        raise refuse(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if stated - timestamp > (DEFAULT_WINDOW_MS if window is None else window):
        raise refuse(-1021)


def check_trading(key: ApiKey, security: Security) -> None:
    if security is Security.TRADE and not key.can_trade:
        raise refuse(-2015)


def check_charge(charge: Charge, settings: LimitSettings) -> None:
    """-1003 with 429 for too much weight, with 418 for an address that did not slow down."""
    if charge.verdict is Verdict.ALLOWED:
        return
    advice = {"Retry-After": str(charge.retry_after_s)}
    if charge.verdict is Verdict.BANNED:
        text = f"Way too much request weight used; IP banned until {charge.banned_until}. Please use WebSocket Streams for live updates."
        raise VenueError(-1003, text, status=418, headers=advice)
    text = f"Too much request weight used; current limit is {settings.weight_per_minute} request weight per 1 MINUTE."
    raise VenueError(-1003, text, status=429, headers=advice)


def check_order_use(use: OrderUse, settings: LimitSettings, now: Millis) -> None:
    """-1015 for too many orders."""
    if not use.exceeded:
        return
    limit, length, window_ms = (
        (settings.orders_per_10s, "10 SECOND", 10_000) if use.exceeded == "10s" else (settings.orders_per_day, "1 DAY", 86_400_000)
    )
    advice = {"Retry-After": str(-(-(window_ms - now % window_ms) // 1000))}
    raise VenueError(-1015, f"Too many new orders; current limit is {limit} orders per {length}.", status=429, headers=advice)


def order_headers(use: OrderUse) -> dict[str, str]:
    return {"X-MBX-ORDER-COUNT-10S": str(use.ten_seconds), "X-MBX-ORDER-COUNT-1D": str(use.day)}


def serve(
    room: Room, endpoint: Endpoint, parameters: Parameters, address: str, now: Millis, find: Callable[[Security], ApiKey | None]
) -> Outcome:
    """Carry out a call; `find` gives the key that signed it. Placing and cancelling cost weight only when they fail. Raises VenueError."""
    limits, weight = room.limits, endpoint.cost(parameters.values)
    check_charge(limits.charge(address, 0 if endpoint.is_free else weight, now), limits.settings)
    try:
        key = find(endpoint.security)
        return _perform(room, endpoint, key, parameters, now)
    except VenueError:
        if endpoint.is_free:
            limits.charge(address, weight, now)
        raise


def _perform(room: Room, endpoint: Endpoint, key: ApiKey | None, parameters: Parameters, now: Millis) -> Outcome:
    account = key.account if key is not None else ""
    use = None
    if endpoint.orders:
        use = room.limits.account(account).add(endpoint.orders, 0, now)
        check_order_use(use, room.limits.settings, now)
    try:
        return Outcome(body=endpoint.handler(Request(room, account, parameters, now, key)), use=use)
    except Refused as refused:
        raise translate(refused) from refused
