"""Where a PostgreSQL server is, how it is reached, and what its errors mean. No password leaves this file in clear."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import asyncpg

from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.secret import Secret

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SERVER_TROUBLE: Final = (OSError, ValueError, OverflowError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises when the server is away, slow, or refuses, and for values that cannot be sent."""
SCHEMES: Final = ("postgresql", "postgres")
CONNECT_LIMIT_S: Final = 10.0
NEAR_HOSTS: Final = frozenset({"", "localhost", "127.0.0.1", "::1"})
EXAMPLE: Final = "postgresql://user@host:5432/database"
_MASK: Final = "***"
SERVER_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "application_name": "userstream",
        # A network that dies leaves our transaction open over there, with a lock that our next connection waits for.
        "idle_in_transaction_session_timeout": "15000",
        "lock_timeout": "20000",
        "TimeZone": "UTC",
        # A crash of the server may take back the last transactions of a second, each with its position: the journal brings them again.
        "synchronous_commit": "off",
        # Every statement has one form and finds its rows by an index: planned once, and never by what a young table looks like.
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
    }
)

ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "28": "check user and password",
        "3D": "create the database first",
        "42501": "grant userstream_writer to this user",
        "42P01": "run userstream db migrate",
        "3F": "run userstream db migrate",
        "25006": "this server only reads (a standby): name the primary",
        "53100": "make room on its disk",
        "53300": "it has no connection left: raise max_connections, or close others",
        "55P03": "somebody else holds it: it is tried again",
        "57P01": "the server is shutting down",
        "57P03": "the server is starting or stopping",
    }
)
"""What a person can do, by the whole SQLSTATE or its class."""


NOBODY_LISTENS: Final = "no server listens in that folder: start it, or check the folder"
NO_SUCH_FILE: Final = "a file that the url or the environment names is not there: check sslrootcert, sslcert and sslkey"


class UnfitValue(StoreError):
    """A value that PostgreSQL cannot hold, such as a text with a zero byte."""


class PostgresAddress:
    """One database on one server. `label` names it for people: host, port and database, never user or password.

    password: takes the place of the one in the URL. Raises SettingsError for what is no such URL, without showing it.
    """

    def __init__(self, url: Secret, password: Secret | None = None) -> None:
        self._url = url
        parts = _split(url)
        inline = Secret(unquote(parts.password)) if parts.password else None
        self._password = password or inline
        host = _host_of(parts)
        self._is_folder = host.startswith("/") or not host
        self._is_near, self._has_mode = host in NEAR_HOSTS or self._is_folder, "sslmode=" in parts.query
        self.label = f"{host or 'localhost'}{f':{parts.port}' if parts.port else ''}{parts.path}"
        # Not the URL as a whole: its beginning is a word that everybody may read.
        written = Secret(parts.password) if parts.password else None
        self.secrets: tuple[Secret, ...] = tuple(dict.fromkeys(secret for secret in (password, inline, written) if secret))

    def __repr__(self) -> str:
        return f"PostgresAddress({self.label!r})"

    async def connect(self) -> Connection:
        """Opens a connection; another machine must show a certificate for its name unless the URL has an sslmode. Raises StoreError."""
        try:
            return await asyncpg.connect(
                self._url.reveal(),
                password=self._password.reveal() if self._password else None,
                timeout=CONNECT_LIMIT_S,
                ssl=None if self._is_near or self._has_mode else ssl.create_default_context(),
                server_settings=dict(SERVER_SETTINGS),
            )
        except SERVER_TROUBLE as error:
            raise self.explain(error) from None

    def explain(self, error: BaseException) -> StoreError:
        """The error in one line, with what a person can do about it, and without secrets."""
        kind = UnfitValue if isinstance(error, asyncpg.DataError) else StoreError
        told = " ".join(self._clean(self._words_for(error)).split())
        advice = _advice_for(getattr(error, "sqlstate", None))
        return kind(f"PostgreSQL at {self.label}: {told}{f': {advice}' if advice else ''}")

    def _words_for(self, error: BaseException) -> str:
        if isinstance(error, FileNotFoundError):
            return NOBODY_LISTENS if self._is_folder else NO_SUCH_FILE
        return _words_of(error)

    def _clean(self, text: str) -> str:
        for secret in sorted(self.secrets, key=lambda one: -len(one.reveal())):
            text = text.replace(secret.reveal(), _MASK)
        return text


def _split(url: Secret) -> SplitResult:
    try:
        parts = urlsplit(url.reveal())
        port_is_fit = parts.port is None or parts.port > 0
    except ValueError:
        raise SettingsError(f"the PostgreSQL url cannot be read: write it as {EXAMPLE}") from None
    if parts.scheme not in SCHEMES or not port_is_fit or not parts.path.strip("/"):
        raise SettingsError(f"the PostgreSQL url must have the form {EXAMPLE}")
    return parts


def _host_of(parts: SplitResult) -> str:
    """A folder, for a server on this machine, stands among the options."""
    folder: Sequence[str] = parse_qs(parts.query).get("host", ())
    return parts.hostname or (folder[0] if folder else "")


def _words_of(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: start the server, or check host and port"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, asyncpg.InternalClientError) and "another operation" in str(error):
        # The server's last word came while nothing was asked: the driver tells of its own state and forgets what the server said.
        return "the server ended the connection"
    return str(error) or type(error).__name__


def _advice_for(state: object) -> str:
    return ADVICE.get(state) or ADVICE.get(state[:2], "") if isinstance(state, str) else ""
