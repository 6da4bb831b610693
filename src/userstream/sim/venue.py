"""What a venue's dialect and the server that carries it say to each other: values and protocols, no I/O.

A dialect is called with a request and a time and answers at once; it never waits and never sees a socket.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import msgspec

from userstream.sim.books import Happening, Instrument, Millis
from userstream.sim.exchange import Exchange
from userstream.sim.limits import LimitSettings
from userstream.sim.marketplace import Marketplace

if TYPE_CHECKING:
    from userstream.sim.room import Room

DEFAULT_BALANCES: Mapping[str, Decimal] = MappingProxyType({"USDT": Decimal(100_000)})

Json: TypeAlias = bool | int | str | Sequence["Json"] | Mapping[str, "Json"] | None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request. `query` is the raw text after the question mark; header names are lower case."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = {}
    address: str = "127.0.0.1"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One event of one account as the venue writes it, before a socket wraps it.

    `key` restricts it to the sockets of one listen key.
    """

    account: str
    event: str
    body: bytes
    key: str = ""


class Locations(msgspec.Struct, frozen=True, kw_only=True):
    """Where clients find a venue."""

    rest_url: str
    ws_url: str
    ws_api_url: str


class SocketSession(Protocol):
    """One open socket as the venue sees it."""

    messages_per_second: int
    """Incoming messages above which the venue cuts the socket; 0 where it does not count them."""
    wants_close: bool
    """True once the venue wants this socket closed after its last answer."""

    @property
    def accounts(self) -> frozenset[str]:
        """Whose events this socket asked for, also when its key died meanwhile."""

    def receive(self, text: str, now: Millis) -> list[bytes]:
        """Answers to a text frame of the client."""

    def wrap(self, frame: Frame) -> list[bytes]:
        """The text frames this socket gets for an event; none when it is filtered out or its key is dead."""

    def announce(self, body: bytes) -> bytes:
        """A message of the server itself in the form of this socket."""


class Dialect(Protocol):
    """How one venue reads requests and writes answers and events. `event_names`: of all that accounts may be told
    of, whatever happens to them."""

    @property
    def event_names(self) -> frozenset[str]: ...

    def serves(self, path: str) -> bool:
        """True of every path that is this venue's."""

    def answer(self, call: Call, now: Millis) -> Reply:
        """Answer a request; a mistake of the client is a Reply, too."""

    def open_socket(self, path: str, query: str, address: str, now: Millis) -> SocketSession | None:
        """The session behind a socket path; None where the venue has no socket."""

    def write(self, happenings: Sequence[Happening], now: Millis) -> list[Frame]:
        """The events of these happenings in the order of publication."""

    def tick(self, now: Millis) -> list[Frame]:
        """What time alone brings, for instance expired listen keys."""

    def locations(self, http_url: str, ws_url: str) -> Locations:
        """Where clients find this venue on that server."""

    def shutdown_notice(self, now: Millis) -> bytes:
        """The message that the server will go down."""

    def rare_event(self, account: str, name: str, fields: Mapping[str, str | int | bool], now: Millis) -> Frame:
        """A sample of an event that the books never cause. Raises ValueError for a name the venue does not have."""


@runtime_checkable
class Subscribed(Protocol):
    """A socket whose subscriptions the venue itself may end."""

    def terminate(self, account: str, now: Millis) -> list[bytes]:
        """End the subscription of the account; the frames that say so. None where the account has none here."""


def found_contracts(instruments: Sequence[Instrument], seed: int, start_time: Millis) -> Marketplace:
    """A new exchange for contracts."""
    return Exchange(instruments, seed=seed, start_time=start_time)


def enrol_plainly(exchange: Marketplace, account: str, balances: Mapping[str, Decimal]) -> None:
    """One account at the exchange."""
    exchange.open_account(account, balances)


def has_none_besides(exchange: Marketplace, user: str, name: str) -> bool:
    """Each user has one account."""
    del exchange, user, name
    return False


class Venue(msgspec.Struct, frozen=True, kw_only=True):
    """A venue that can be served: what is traded there, the name of the weight budget it shares, its dialect and its habits."""

    name: str
    instruments: tuple[Instrument, ...]
    budget: str
    open: "Callable[[Room], Dialect]"
    found: Callable[[Sequence[Instrument], int, Millis], Marketplace] = found_contracts
    enrol: Callable[[Marketplace, str, Mapping[str, Decimal]], None] = enrol_plainly
    besides: Callable[[Marketplace, str, str], bool] = has_none_besides
    """Whether the user has an account USER.NAME besides; one that can be opened is opened by asking."""
    premises: str = ""
    """Venues of the same premises share one exchange and its keys when they run together; empty: its own name."""
    limits: LimitSettings = LimitSettings()
    home: tuple[str, ...] = ()
    """Beginnings of the paths that are this venue's even where another venue answers some of them as a guest."""
    balances: Mapping[str, Decimal] = msgspec.field(default_factory=lambda: DEFAULT_BALANCES)
    """What an account begins with where nobody said anything else."""
    has_listen_keys: bool = True
    ping_interval_s: float = 180
    pong_deadline_s: float = 600
