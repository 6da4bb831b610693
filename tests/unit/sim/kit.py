"""A paper house without sockets for tests: a clock that is set by hand, and a desk that signs and listens as a client would."""

import hashlib
import hmac
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import urlencode

import msgspec

from userstream.sim.books import Millis
from userstream.sim.exchange import Exchange, contracts_of
from userstream.sim.house import Hall, House
from userstream.sim.lanes import Kind, Lane
from userstream.sim.settings import AccountListing, AccountSpec, SimulatorSettings
from userstream.sim.venue import Call, Reply

START = Millis(1_790_000_000_000)
BOOK_PRICE = Decimal("81000")


class HandClock:
    """Time as the test says."""

    def __init__(self, start: int = START) -> None:
        self._now = Millis(start)

    def now(self) -> Millis:
        return self._now

    def turn(self, milliseconds: int) -> Millis:
        self._now = Millis(self._now + milliseconds)
        return self._now


class RecordingDoors:
    """Keeps what the house asked of its sockets."""

    def __init__(self) -> None:
        self.aborted: list[Lane] = []
        self.closed: list[tuple[Lane, int, str]] = []
        self.woken: list[Lane] = []

    def wake(self, lane: Lane) -> None:
        self.woken.append(lane)

    def abort(self, lane: Lane) -> None:
        self.aborted.append(lane)

    def close(self, lane: Lane, code: int, reason: str) -> None:
        self.closed.append((lane, code, reason))


class Answered(msgspec.Struct, frozen=True):
    """A reply with its body read."""

    status: int
    body: object
    headers: Mapping[str, str]

    def __getitem__(self, name: str) -> object:
        assert isinstance(self.body, dict), self.body
        return self.body[name]

    @property
    def rows(self) -> list[dict[str, object]]:
        assert isinstance(self.body, list), self.body
        return self.body

    @property
    def code(self) -> object:
        return self["code"]


def answered(reply: Reply) -> Answered:
    return Answered(reply.status, msgspec.json.decode(reply.body), reply.headers)


def sign(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class Desk:
    """One account as its owner uses it, straight at the dialect."""

    def __init__(self, house: House, clock: HandClock, account: str) -> None:
        self.house = house
        self.clock = clock
        self.account = account
        self.listing: AccountListing = next(each for each in house.listings if each.account == account)
        self.lane: Lane | None = None

    @property
    def hall(self) -> Hall:
        return self.house.hall_of(self.account)

    @property
    def contracts(self) -> Exchange:
        """The books of a venue of contracts."""
        return contracts_of(self.hall.room.exchange)

    def send(self, method: str, path: str, query: str = "", body: str = "", *, key: str | None = None) -> Answered:
        """A request as it is."""
        headers = {"x-mbx-apikey": self.listing.api_key if key is None else key}
        now = self.clock.now()
        call = Call(method=method, path=path, query=query, body=body.encode(), headers=headers)
        reply = self.hall.dialect.answer(call, now)
        self.house.publish(self.hall, now)
        return answered(reply)

    def call(self, method: str, path: str, **parameters: object) -> Answered:
        """A signed request with its parameters in the query."""
        pairs = {name: str(value) for name, value in parameters.items() if value is not None}
        text = urlencode({**pairs, "timestamp": str(self.house.faults.skew_ms + self.clock.now())})
        return self.send(method, path, f"{text}&signature={sign(self.listing.api_secret, text)}")

    def get(self, path: str, **parameters: object) -> Answered:
        return self.call("GET", path, **parameters)

    def limit(self, **changes: object) -> Answered:
        """A resting limit order a little below the market."""
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010", "price": "80000.0"}
        return self.call("POST", "/fapi/v1/order", **(order | changes))

    def market(self, **changes: object) -> Answered:
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010", "newOrderRespType": "RESULT"}
        return self.call("POST", "/fapi/v1/order", **(order | changes))

    def open_key(self) -> str:
        key = self.send("POST", "/fapi/v1/listenKey")["listenKey"]
        assert isinstance(key, str)
        return key

    def listen(self, path: str | None = None, query: str = "") -> Lane:
        """Open a stream socket; by default the plain form with the living listen key."""
        path = path or f"/private/ws/{self.open_key()}"
        session = self.hall.dialect.open_socket(path, query, "127.0.0.1", self.clock.now())
        assert session is not None
        self.lane = self.hall.hub.open(session, self.clock.now())
        return self.lane

    def heard(self, lane: Lane | None = None) -> list[dict[str, object]]:
        """The events that left since the last look."""
        lane = lane or self.lane
        assert lane is not None
        parcels = lane.take_due(self.clock.now())
        return [msgspec.json.decode(parcel.body) for parcel in parcels if parcel.kind is Kind.TEXT]

    def heard_types(self, lane: Lane | None = None) -> list[object]:
        return [event["e"] for event in self.heard(lane)]

    def pass_time(self, milliseconds: int) -> None:
        """Turn the clock and let the house see it."""
        self.house.tick(self.clock.turn(milliseconds))


def open_house(**changes: object) -> tuple[House, HandClock, RecordingDoors]:
    """A quiet house at a fixed time; changes are fields of SimulatorSettings."""
    clock, doors = HandClock(), RecordingDoors()
    settings = msgspec.structs.replace(SimulatorSettings(accounts=2), **changes)
    return House(settings, clock, doors), clock, doors


def open_desk(**changes: object) -> Desk:
    """The first account of a house of its own."""
    house, clock, _ = open_house(**changes)
    return Desk(house, clock, house.accounts[0])


def rich(account: str = "paper-1", **changes: object) -> AccountSpec:
    """An account with several assets."""
    spec = AccountSpec(account=account, balances={"USDT": Decimal(100_000), "BNB": Decimal(10)})
    return msgspec.structs.replace(spec, **changes)
