"""A spot account at a paper house without sockets: REST as its owner calls it, and a client of the WebSocket API."""

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import cast
from urllib.parse import quote, urlencode

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.sim.kit import Answered, Desk, open_house, sign
from userstream.sim.keys import KeyType
from userstream.sim.lanes import Lane
from userstream.sim.settings import AccountSpec
from userstream.sim.spot.exchange import SpotExchange, spot_of

VENUE = "binance-spot"
SOCKET = "/ws-api/v3"
BALANCES: Mapping[str, Decimal] = {"USDT": Decimal(100_000), "BTC": Decimal(2), "BNB": Decimal(10)}
LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "80000"}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
OCO = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "quantity": "0.5",
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "82000",
    "belowType": "STOP_LOSS_LIMIT",
    "belowStopPrice": "80000",
    "belowPrice": "79900",
    "belowTimeInForce": "GTC",
}
Reply = dict[str, object]


def part(reply: Mapping[str, object], name: str) -> Reply:
    return cast(Reply, reply[name])


def rows(reply: Mapping[str, object], name: str) -> list[Reply]:
    return cast(list[Reply], reply[name])


def owner(account: str = "paper-1", **changes: object) -> AccountSpec:
    return msgspec.structs.replace(AccountSpec(account=account, venue=VENUE, balances=BALANCES), **changes)


class SpotDesk(Desk):
    """One spot account over REST."""

    @property
    def books(self) -> SpotExchange:
        return spot_of(self.hall.room.exchange)

    def call(self, method: str, path: str, **parameters: object) -> Answered:
        """A signed request with its parameters in the query, whatever kind of key the account has."""
        pairs = {name: str(value) for name, value in parameters.items() if value is not None}
        text = urlencode({**pairs, "timestamp": str(self.house.faults.skew_ms + self.clock.now())})
        return self.send(method, path, f"{text}&signature={quote(signature(self, text), safe='')}")

    def limit(self, **changes: object) -> Answered:
        return self.call("POST", "/api/v3/order", **(LIMIT | changes))

    def market(self, **changes: object) -> Answered:
        return self.call("POST", "/api/v3/order", **(MARKET | changes))

    def oco(self, **changes: object) -> Answered:
        return self.call("POST", "/api/v3/orderList/oco", **(OCO | changes))

    def publish(self) -> None:
        self.house.publish(self.hall, self.clock.now())


class Caller:
    """A client of the WebSocket API on one socket."""

    def __init__(self, desk: SpotDesk, query: str = "") -> None:
        self.desk = desk
        self.lane: Lane = desk.listen(SOCKET, query)

    def raw(self, text: str) -> list[Reply]:
        """All frames that answer a text frame; the events that it caused are heard apart."""
        replies = self.lane.session.receive(text, self.desk.clock.now())
        self.desk.hall.hub.refile(self.lane)
        self.desk.publish()
        return [msgspec.json.decode(reply) for reply in replies]

    def send(self, method: str, **params: object) -> list[Reply]:
        return self.raw(msgspec.json.encode({"id": "7", "method": method, "params": params}).decode())

    def plain(self, method: str, **params: object) -> Reply:
        [reply] = self.send(method, **params)
        return reply

    def signed(self, method: str, **params: object) -> Reply:
        return self.signed_by(self.desk, method, **params)

    def signed_by(self, signer: SpotDesk, method: str, **params: object) -> Reply:
        """Signed over all parameters in the order of their names, numbers as JSON numbers."""
        full = {"apiKey": signer.listing.api_key, "timestamp": signer.clock.now(), **params}
        text = "&".join(f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in sorted(full.items()))
        return self.plain(method, **full, signature=signature(signer, text))

    def subscribe(self, desk: SpotDesk | None = None) -> int:
        number = part(self.signed_by(desk or self.desk, "userDataStream.subscribe.signature"), "result")["subscriptionId"]
        assert isinstance(number, int)
        return number

    def heard(self) -> list[Reply]:
        """The events since the last look, without their envelopes."""
        return [part(event, "event") for event in self.desk.heard(self.lane)]

    def heard_names(self) -> list[object]:
        return [event["e"] for event in self.heard()]


def signature(desk: SpotDesk, text: str) -> str:
    secret = desk.listing.api_secret
    if not secret.startswith("-----"):
        return sign(secret, text)
    private = serialization.load_pem_private_key(secret.encode(), password=None)
    assert isinstance(private, Ed25519PrivateKey)
    return base64.b64encode(private.sign(text.encode())).decode()


def open_spot(*specs: AccountSpec, **changes: object) -> SpotDesk:
    """The first account of a quiet spot house of its own."""
    return open_desks(*specs, **changes)[0]


def open_desks(*specs: AccountSpec, **changes: object) -> list[SpotDesk]:
    wanted = specs or (owner(), owner("paper-2"))
    house, clock, _ = open_house(**{"venues": (VENUE,), "accounts": tuple(wanted), **changes})
    return [SpotDesk(house, clock, each.account) for each in wanted]


def caller(*specs: AccountSpec, query: str = "", **changes: object) -> Caller:
    return Caller(open_spot(*specs, **changes), query)


def ed25519_caller(query: str = "") -> Caller:
    return caller(owner(key_type=KeyType.ED25519), query=query)
