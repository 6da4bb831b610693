"""What the rest of the program knows of a venue product: a table row, not a class to inherit from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from userstream.domain.events import Filled
from userstream.kernel.ids import AccountId, Millis, Symbol, VenueName
from userstream.kernel.secret import Secret
from userstream.wire.question import RestDialect
from userstream.wire.request import HttpResponse
from userstream.wire.session import FrameDecoder, Session
from userstream.wire.switchboard import Switchboard


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """An account's key. Without `api_secret` the stream can be read but nothing can be asked. `api_secret` is the HMAC secret, or
    a private key in PEM (RSA PKCS#8 or Ed25519)."""

    api_key: Secret
    api_secret: Secret | None = None
    passphrase: Secret | None = None


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Where a venue is: real, its test network, or a paper exchange. No trailing slash."""

    rest_url: str
    ws_url: str
    ws_api_url: str = ""


class AccountPlace(msgspec.Struct, frozen=True, kw_only=True):
    """All a venue's factories need to speak for one account.

    symbols: those whose history is always read, where the venue tells it by symbol only. isolated_symbol: the pair of an isolated margin
    account (empty: the cross account). session_logon: log in on the socket, and sign
    no more there, where the venue offers both. microseconds: ask for times in that unit, where the venue does. shared_socket: whether the
    account may share its sockets with others, where the venue lets them.
    """

    account: AccountId
    venue: VenueName
    credentials: Credentials
    endpoints: Endpoints
    jitter_seed: int = 0
    listen_key_keep_alive_ms: int = 25 * 60 * 1000
    own_ping_ms: int = 20_000
    silence_limit_ms: int = 45_000
    rotate_after_ms: int = 23 * 3600 * 1000
    first_delay_ms: int = 1_000
    max_delay_ms: int = 60_000
    events: tuple[str, ...] = ()
    close_listen_key_on_stop: bool = False
    connection_form: int = 0
    symbols: tuple[Symbol, ...] = ()
    isolated_symbol: Symbol = Symbol("")
    session_logon: bool = False
    microseconds: bool = False
    shared_socket: bool = True


def shared_place(place: AccountPlace) -> AccountPlace:
    """The place of a session on a shared socket. A line may join until the socket is half as old as sockets may be, and lives for the other
    half: so it is replaced ahead of the limit, however old the socket was when it joined."""
    return msgspec.structs.replace(place, rotate_after_ms=place.rotate_after_ms // 2)


class Sharing(msgspec.Struct, frozen=True, kw_only=True):
    """How accounts of a product share sockets. Weights are of the request budget: of a dial, and of a line's opening.
    `dials_per_5_minutes`: those that this process makes at the most, below the venue's limit for its address."""

    make_switchboard: Callable[[], Switchboard]
    may_share: Callable[[AccountPlace], bool]
    dial_weight: int
    line_weight: int
    dials_per_5_minutes: int


class VenueSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One venue product: its name, its places, and how to make its session and its REST dialect."""

    name: VenueName
    title: str
    real: Endpoints
    test: Endpoints | None
    other_real_hosts: tuple[str, ...] = ()
    """Further hosts, in lower case, behind which the real venue answers and counts as behind that of `real.rest_url`."""
    weight_limit_per_minute: int
    budget: str = ""
    """Products with the same word share one request budget; without one the product has a budget of its own."""
    pause_of: Callable[[HttpResponse, Millis], int]
    """For how long (ms) the venue wants no call from this address after an answer, as of a venue time (ms); 0 for most."""
    used_weight_header: str = ""
    make_session: Callable[[AccountPlace, int, Millis], Session]
    make_dialect: Callable[[AccountPlace], RestDialect]
    make_decoder: Callable[[AccountId], FrameDecoder]
    has_isolated_accounts: bool = False
    """Whether a pair may have an account of its own: `AccountPlace.isolated_symbol`."""
    has_microseconds: bool = False
    """Whether the stream can tell its times in that unit: `AccountPlace.microseconds`."""
    raw_message_of: Callable[[Filled], dict[str, object]] | None = None
    """A recovered fill in the shape of the venue's own stream message (classic surface)."""
    is_reply: Callable[[Mapping[str, object]], bool] | None = None
    """Whether a frame only answers a request of our own: the classic surface tells the venue's events alone."""
    host_of: VenueName | None = None
    """The product in whose budget the venue counts what is asked on the sockets, and calls that say so, where that is not this one's."""
    sharing: Sharing | None = None
    """How several accounts use one socket, where the product lets them."""
