"""What the paper exchange is told at its start, and what it tells about itself once it runs."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from userstream.sim.bounds import MOST_EVENTS_PER_S
from userstream.sim.faults import Script
from userstream.sim.keys import KeyType, mask
from userstream.sim.limits import LimitSettings

MOST_ACCOUNTS = 10_000


class AccountSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One account of the paper exchange. Keys that are not given are made from the seed."""

    account: str
    venue: str = "binance-usdm"
    balances: Mapping[str, Decimal] | None = None
    """None: as the venue does."""
    owner: str = ""
    """Accounts of one owner at venues that share a budget count their orders together and have one position mode; empty: its own."""
    key_type: KeyType = KeyType.HMAC
    api_key: str = ""
    api_secret: str = ""
    passphrase: str = ""
    can_trade: bool = True
    can_withdraw: bool = False
    ip_restricted: bool = True
    trades: bool = True
    """Takes part in the trading that `rate` asks for."""

    def __repr__(self) -> str:
        return f"AccountSpec(account={self.account!r}, venue={self.venue!r}, key_type={self.key_type.value!r})"

    def __post_init__(self) -> None:
        if not self.account or "/" in self.account or self.account == "*":
            raise ValueError("an account needs a name without a slash, and not *")


def numbered_accounts(venues: Sequence[str], count: int) -> list[AccountSpec]:
    """So many accounts at each venue, named paper-1, paper-2, ... over all of them. The first ones of all venues have one owner."""
    places = [(venue, number) for venue in venues for number in range(1, count + 1)]
    return [
        AccountSpec(account=f"paper-{place}", venue=venue, owner=f"owner-{number}") for place, (venue, number) in enumerate(places, start=1)
    ]


class SimulatorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything the paper exchange can be told.

    Port 0 takes a free one; `accounts` is a number of accounts for each venue, or the accounts themselves.
    """

    venues: tuple[str, ...] = ("binance-usdm",)
    symbols: tuple[str, ...] = ()
    """Only these are traded, at the venues that have them; empty: all."""
    port: int = 0
    accounts: int | tuple[AccountSpec, ...] = 1
    seed: int = 0
    rate: float = 0.0
    """Events per second over all accounts, up to `MOST_EVENTS_PER_S`; 0 is a quiet exchange."""
    script: Script | None = None
    strict: bool = False
    """Private sockets opened without a list of events stay silent (one reading of the reports on Binance USD-M, 2.2)."""
    listen_key_minutes: float = 60
    ping_interval_s: float | None = None
    """None: as the venue does."""
    pong_deadline_s: float | None = None
    """None: as the venue does."""
    socket_life_s: float = 86_400
    rest_lag_ms: int = 0
    skew_ms: int = 0
    tick_ms: int = 50
    compress: bool = True
    limits: LimitSettings | None = None
    """None: as the venue does."""

    def __post_init__(self) -> None:
        if not self.venues or len(set(self.venues)) != len(self.venues):
            raise ValueError("give at least one venue, each once")
        if not 0 <= self.port <= 65_535:
            raise ValueError("port must be between 0 and 65535")
        if isinstance(self.accounts, int) and not 0 <= self.accounts <= MOST_ACCOUNTS:
            raise ValueError(f"accounts must be between 0 and {MOST_ACCOUNTS}")
        if not 0 <= self.rate <= MOST_EVENTS_PER_S:
            raise ValueError(f"rate {self.rate:g} must be between 0 and {MOST_EVENTS_PER_S} events per second")
        pings = [each for each in (self.ping_interval_s, self.pong_deadline_s) if each is not None]
        if min(self.listen_key_minutes, self.socket_life_s, self.tick_ms, *pings) <= 0:
            raise ValueError("listen_key_minutes, ping_interval_s, pong_deadline_s, socket_life_s and tick_ms must be above 0")


class VenueListing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a venue is served."""

    rest_url: str
    ws_url: str
    ws_api_url: str


class AccountListing(msgspec.Struct, frozen=True, kw_only=True):
    """How to log in as an account. The repr hides the secrets; the JSON form shows them, it is the way to hand them over."""

    account: str
    venue: str
    api_key: str
    api_secret: str
    passphrase: str

    def __repr__(self) -> str:
        return f"AccountListing(account={self.account!r}, venue={self.venue!r}, api_key={mask(self.api_key)!r})"


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What the first line of `userstream simulate` says."""

    venues: dict[str, VenueListing]
    accounts: list[AccountListing]
    control_url: str

    def to_json(self) -> str:
        """One line of JSON."""
        return msgspec.json.encode(self).decode()
