"""One REST call of Binance USD-M: who may make it, what it costs, and what its handler gets (Binance USD-M, 3.2 to 3.4)."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from userstream.sim.books import Instrument, Millis, Refused
from userstream.sim.dialects.binance_usdm_errors import VenueError, missing, translate
from userstream.sim.dialects.binance_usdm_parameters import Parameters
from userstream.sim.exchange import Exchange, contracts_of
from userstream.sim.history import Books
from userstream.sim.keys import ApiKey, verify
from userstream.sim.limits import Charge, OrderUse, Verdict
from userstream.sim.room import Room
from userstream.sim.venue import Json

DEFAULT_WINDOW_MS = 5000
LONGEST_WINDOW_MS = 60_000
AHEAD_MS = 1000
KEY_FORM = re.compile(r"[A-Za-z0-9]{64}")


class Security(StrEnum):
    NONE = "none"
    KEY = "key"  # the key header only
    SIGNED = "signed"
    TRADE = "trade"  # signed, and the key may trade


class Request:
    """What a handler gets: the account that asks, its parameters, the time of the books and the time the gateway states."""

    def __init__(self, room: Room, account: str, parameters: Parameters, now: Millis, key: ApiKey | None = None) -> None:
        self.room = room
        self.key = key
        self.account = account
        self.parameters = parameters
        self.now = now

    @property
    def exchange(self) -> Exchange:
        return contracts_of(self.room.exchange)

    @property
    def books(self) -> Books:
        """What a reading call may see, a little older than the truth when a lag is on."""
        return self.room.books(self.now)

    @property
    def stated(self) -> Millis:
        return self.room.stated(self.now)

    def instrument(self, symbol: str) -> Instrument:
        """The contract; -1121 for a symbol that is not traded here."""
        if symbol not in self.exchange.instruments:
            raise VenueError(-1121)
        return self.exchange.instruments[symbol]

    def symbol(self) -> str:
        """The mandatory parameter `symbol`."""
        return self.instrument(self.parameters.text("symbol")).symbol

    def maybe_symbol(self) -> str | None:
        name = self.parameters.maybe_text("symbol")
        return None if name is None else self.instrument(name).symbol


Handler: TypeAlias = Callable[[Request], Json]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A call with its weight and what it counts in the order limits (ten seconds, minute)."""

    method: str
    path: str
    handler: Handler
    weight: int = 1
    weight_without_symbol: int | None = None
    security: Security = Security.SIGNED
    orders: tuple[int, int] = (0, 0)

    def cost(self, parameters: Mapping[str, str]) -> int:
        if self.weight_without_symbol is not None and not parameters.get("symbol"):
            return self.weight_without_symbol
        return self.weight


def find_key(room: Room, api_key: str) -> ApiKey:
    """The known key: -2014 for something that cannot be a key, -2015 for one nobody has."""
    key = room.keys.find(api_key)
    if key is None:
        raise VenueError(-2015 if KEY_FORM.fullmatch(api_key) else -2014)
    return key


def check_trading(key: ApiKey, security: Security) -> None:
    if security is Security.TRADE and not key.can_trade:
        raise VenueError(-2015)


def check_timestamp(parameters: Parameters, stated: Millis) -> None:
    """Not more than a second ahead of the gateway, not older than recvWindow: -1021 otherwise."""
    timestamp = parameters.whole("timestamp")
    window = parameters.maybe_amount("recvWindow")
    if window is not None and window > LONGEST_WINDOW_MS:
        raise VenueError(-1131)
    if timestamp >= stated + AHEAD_MS:
        raise VenueError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if stated - timestamp > (DEFAULT_WINDOW_MS if window is None else window):
        raise VenueError(-1021)


def check_signature(key: ApiKey, signature: str | None, payloads: list[bytes]) -> None:
    if not signature:
        raise missing("signature")
    if not any(verify(key, payload, signature) for payload in payloads):
        raise VenueError(-1022)


def check_charge(charge: Charge) -> None:
    """-1003 with 429 for too much weight, with 418 for an address that did not slow down."""
    if charge.verdict is Verdict.ALLOWED:
        return
    advice = {"Retry-After": str(charge.retry_after_s)}
    if charge.verdict is Verdict.BANNED:
        text = f"Way too many requests; IP banned until {charge.banned_until}. Please use the websocket for live updates to avoid bans."
        raise VenueError(-1003, text, status=418, headers=advice)
    text = "Too many requests; current limit of IP is 2400 requests per minute. Please use the websocket for live updates."
    raise VenueError(-1003, text, status=429, headers=advice)


def check_order_use(use: OrderUse, room: Room, now: Millis) -> None:
    """-1015 for too many orders."""
    if not use.exceeded:
        return
    settings = room.limits.settings
    limit, length, window_ms = (
        (settings.orders_per_10s, "10 seconds", 10_000) if use.exceeded == "10s" else (settings.orders_per_minute, "minute", 60_000)
    )
    advice = {"Retry-After": str(-(-(window_ms - now % window_ms) // 1000))}
    raise VenueError(-1015, f"Too many new orders; current limit is {limit} orders per {length}.", status=429, headers=advice)


def order_headers(use: OrderUse) -> dict[str, str]:
    return {"X-MBX-ORDER-COUNT-10S": str(use.ten_seconds), "X-MBX-ORDER-COUNT-1M": str(use.minute)}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a call gave, and the order counts where it counted."""

    body: Json
    use: OrderUse | None = None


def perform(room: Room, endpoint: Endpoint, key: ApiKey | None, parameters: Parameters, now: Millis) -> Outcome:
    """Carry out a call that was let in; the caller checked key, time and signature. Raises VenueError."""
    account = key.account if key is not None else ""
    use = None
    if endpoint.orders != (0, 0):
        use = room.limits.account(account).add(*endpoint.orders, now)
        check_order_use(use, room, now)
    try:
        return Outcome(body=endpoint.handler(Request(room, account, parameters, now, key)), use=use)
    except Refused as refused:
        raise translate(refused) from refused
