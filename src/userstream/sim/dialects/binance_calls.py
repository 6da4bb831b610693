"""One call of the Binance family, over REST or over a socket: who may make it, what it costs, what its handler gets (3.2 to 3.4)."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Final, Generic, TypeVar

import msgspec

from userstream.sim.books import Instrument, Millis, Refused
from userstream.sim.dialects.binance_errors import VenueError, Vocabulary, missing
from userstream.sim.dialects.binance_parameters import Parameters
from userstream.sim.history import Books
from userstream.sim.keys import ApiKey, verify
from userstream.sim.limits import Charge, LimitSettings, OrderUse, Verdict
from userstream.sim.room import Room
from userstream.sim.venue import Json

DEFAULT_WINDOW_MS: Final = 5000
LONGEST_WINDOW_MS: Final = 60_000
AHEAD_MS: Final = 1000
LEAST_MICROSECONDS: Final = 100_000_000_000_000
KEY_FORM: Final = re.compile(r"[A-Za-z0-9]{64}")


class Security(StrEnum):
    NONE = "none"
    KEY = "key"  # the key header only
    SIGNED = "signed"
    TRADE = "trade"  # signed, and the key may trade


TRADE: Final = Security.TRADE
ALLOWED: Final = Verdict.ALLOWED
UNCOUNTED: Final = (0, 0)


class Request:
    """What a handler gets: the account that asks, its parameters, the time of the books and the time the gateway states."""

    def __init__(self, room: Room, account: str, parameters: Parameters, now: Millis, key: ApiKey | None = None) -> None:
        self.room = room
        self.key = key
        self.account = account
        self.parameters = parameters
        self.now = now

    @property
    def books(self) -> Books:
        """What a reading call may see, a little older than the truth when a lag is on."""
        return self.room.books(self.now)

    @property
    def stated(self) -> Millis:
        return self.room.stated(self.now)

    def instrument(self, symbol: str) -> Instrument:
        """What is traded under the symbol; -1121 for one that is not traded here."""
        if symbol not in self.room.exchange.instruments:
            raise VenueError(-1121)
        return self.room.exchange.instruments[symbol]

    def symbol(self) -> str:
        """The mandatory parameter `symbol`."""
        return self.instrument(self.parameters.text("symbol")).symbol

    def maybe_symbol(self) -> str | None:
        name = self.parameters.maybe_text("symbol")
        return None if name is None else self.instrument(name).symbol


Asked = TypeVar("Asked", bound=Request)


class Endpoint(msgspec.Struct, Generic[Asked], frozen=True, kw_only=True):
    """A call with its weight and what it counts in the order limits (ten seconds, minute).

    `is_free`: the weight is charged only when the call fails. `by_account`: the weight is the account's, not the address's.
    """

    method: str
    path: str
    handler: Callable[[Asked], Json]
    weight: int = 1
    weight_without_symbol: int | None = None
    weight_with_order: int | None = None
    security: Security = Security.SIGNED
    orders: tuple[int, int] = (0, 0)
    is_free: bool = False
    by_account: bool = False

    @property
    def is_of_wallet(self) -> bool:
        """A call of wallets or margin: these have a weight budget of their own."""
        return self.path.startswith("/sapi/")

    def cost(self, parameters: Mapping[str, str]) -> int:
        if self.weight_without_symbol is not None and not parameters.get("symbol"):
            return self.weight_without_symbol
        if self.weight_with_order is not None and parameters.get("orderId"):
            return self.weight_with_order
        return self.weight


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """One order limit: `mark` is its name in the limits, `letter` in the headers; unit and number stand in the rate limit rows."""

    mark: str
    letter: str
    unit: str
    number: int
    words: str
    length_ms: int


class Manners(msgspec.Struct, frozen=True, kw_only=True):
    """How one product of the family tells of its limits. `{limit}` and `{until}` stand in the texts for the figures."""

    vocabulary: Vocabulary
    slow_text: str
    ban_text: str
    intervals: tuple[Interval, ...]
    takes_microseconds: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a call gave, and the order counts where it counted."""

    body: Json
    use: OrderUse | None = None


def find_key(room: Room, api_key: str) -> ApiKey:
    """The known key: -2014 for something that cannot be a key, -2015 for one nobody has."""
    key = room.keys.find(api_key)
    if key is None:
        raise VenueError(-2015 if KEY_FORM.fullmatch(api_key) else -2014)
    return key


def check_trading(key: ApiKey, security: Security) -> None:
    if security is TRADE and not key.can_trade:
        raise VenueError(-2015)


def check_timestamp(parameters: Parameters, stated: Millis, manners: Manners) -> None:
    """Less than a second ahead of the gateway, not older than recvWindow: -1021 otherwise."""
    sent = parameters.whole("timestamp")
    timestamp = Decimal(sent) / 1000 if manners.takes_microseconds and sent >= LEAST_MICROSECONDS else sent
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
    for payload in payloads:
        if verify(key, payload, signature):
            return
    raise VenueError(-1022)


def check_charge(charge: Charge, budget: int, manners: Manners) -> None:
    """-1003 with 429 for more weight than the budget, with 418 for an address that did not slow down."""
    if charge.verdict is ALLOWED:
        return
    advice = {"Retry-After": str(charge.retry_after_s)}
    if charge.verdict is Verdict.BANNED:
        raise VenueError(-1003, manners.ban_text.format(until=charge.banned_until), status=418, headers=advice)
    raise VenueError(-1003, manners.slow_text.format(limit=budget), status=429, headers=advice)


def check_order_use(use: OrderUse, settings: LimitSettings, manners: Manners, now: Millis) -> None:
    """-1015 for too many orders."""
    for each in manners.intervals:
        if each.mark == use.exceeded:
            advice = {"Retry-After": str(-(-(each.length_ms - now % each.length_ms) // 1000))}
            text = f"Too many new orders; current limit is {settings.orders_in(each.mark)} orders per {each.words}."
            raise VenueError(-1015, text, status=429, headers=advice)


def order_headers(use: OrderUse, manners: Manners) -> dict[str, str]:
    return {f"X-MBX-ORDER-COUNT-{each.letter}": str(use.counted(each.mark)) for each in manners.intervals}


def limit_rows(room: Room, manners: Manners) -> list[dict[str, Json]]:
    """The limits as `exchangeInfo` shows them: weight, then orders."""
    settings = room.limits.settings
    weight = _limit_row("REQUEST_WEIGHT", "MINUTE", 1, settings.weight_per_minute)
    return [weight, *(_limit_row("ORDERS", each.unit, each.number, settings.orders_in(each.mark)) for each in manners.intervals)]


def counted_rows(room: Room, manners: Manners, address: str, use: OrderUse | None, now: Millis) -> list[Json]:
    """The limits with what is used of them, as the WebSocket API shows them; orders only where the call counted any."""
    weight, *orders = limit_rows(room, manners)
    rows: list[Json] = [weight | {"count": room.limits.address(address).used(now)}]
    if use is not None:
        rows += [row | {"count": use.counted(each.mark)} for row, each in zip(orders, manners.intervals, strict=True)]
    return rows


def _limit_row(kind: str, unit: str, number: int, limit: int) -> dict[str, Json]:
    return {"rateLimitType": kind, "interval": unit, "intervalNum": number, "limit": limit}


class Product(msgspec.Struct, Generic[Asked], frozen=True, kw_only=True):
    """One product: its calls, its manners, and how its handlers see a request.

    `methods` names the calls of the WebSocket API at `socket_path`; `prefixes` are the beginnings of its own paths.
    """

    manners: Manners
    request: Callable[[Room, str, Parameters, Millis, ApiKey | None], Asked]
    endpoints: Mapping[tuple[str, str], Endpoint[Asked]]
    methods: Mapping[str, tuple[str, str]]
    socket_path: str
    prefixes: tuple[str, ...]

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(path for _, path in self.endpoints)

    def serve(
        self,
        room: Room,
        endpoint: Endpoint[Asked],
        parameters: Parameters,
        address: str,
        now: Millis,
        find: Callable[[Security], ApiKey | None],
    ) -> Outcome:
        """Carry out a call; `find` gives the key that may make it. Free calls cost their weight only when they fail. Raises VenueError."""
        weight = endpoint.cost(parameters.values)
        self._charge_address(room, endpoint, address, weight, now)
        try:
            key = find(endpoint.security)
            if endpoint.by_account and key is not None:
                charge = room.limits.charge_account(room.owner(key.account), weight, now)
                check_charge(charge, room.limits.settings.account_weight_per_minute, self.manners)
            return self._perform(room, endpoint, key, parameters, now)
        except VenueError:
            if endpoint.is_free:
                room.limits.charge(address, weight, now)
            raise

    def _charge_address(self, room: Room, endpoint: Endpoint[Asked], address: str, weight: int, now: Millis) -> None:
        """A free call and one that is weighed by account cost the address nothing, but a banned address may not make them either."""
        spent = 0 if endpoint.is_free or endpoint.by_account else weight
        if endpoint.is_of_wallet:
            charge = room.limits.charge_wallet(address, spent, now)
            check_charge(charge, room.limits.settings.wallet_weight_per_minute, self.manners)
        else:
            self.charge(room, address, spent, now)

    def charge(self, room: Room, address: str, weight: int, now: Millis) -> None:
        """Spend weight or raise -1003."""
        check_charge(room.limits.charge(address, weight, now), room.limits.settings.weight_per_minute, self.manners)

    def _perform(self, room: Room, endpoint: Endpoint[Asked], key: ApiKey | None, parameters: Parameters, now: Millis) -> Outcome:
        account = key.account if key is not None else ""
        use = None
        if endpoint.orders != UNCOUNTED:
            use = room.limits.account(room.owner(account)).add(*endpoint.orders, now)
            check_order_use(use, room.limits.settings, self.manners, now)
        try:
            return Outcome(body=endpoint.handler(self.request(room, account, parameters, now, key)), use=use)
        except Refused as refused:
            raise self.manners.vocabulary.translate(refused) from refused


def table_of(*groups: tuple[Endpoint[Asked], ...]) -> dict[tuple[str, str], Endpoint[Asked]]:
    """The calls of a product by method and path."""
    return {(endpoint.method, endpoint.path): endpoint for group in groups for endpoint in group}
