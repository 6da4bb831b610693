"""Where a PostgreSQL server is, how it is reached, and what its errors mean. No password leaves this file in clear."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import asyncpg

from userstream.adapters.postgres_url import read_url
from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.secret import Secret

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SERVER_TROUBLE: Final = (OSError, ValueError, OverflowError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises when the server is away, slow, or refuses, and for values that cannot be sent."""
CONNECT_LIMIT_S: Final = 10.0
NEAR_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
TWO_PASSWORDS: Final = "the url holds a password, and password, password_env or password_file gives another: keep one of them"
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

KIND_ADVICE: Final[Mapping[type[BaseException], str]] = MappingProxyType(
    {
        socket.gaierror: "check the host in the url",
        ssl.SSLCertVerificationError: "name who signed the server's certificate, ?sslmode=verify-full&sslrootcert=FILE in the url",
    }
)
WORD_ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "rejected SSL upgrade": "let it encrypt (ssl = on over there), or write ?sslmode=disable in the url where the way to it is safe",
        "`sslmode` parameter": "correct sslmode in the url, or PGSSLMODE",
        "`sslnegotiation` parameter": "correct sslnegotiation in the url, or PGSSLNEGOTIATION",
        "unrecognized configuration parameter": "take it out of what stands after ? in the url: the server does not know it",
    }
)
"""The same for what has no such state, or one that says too little."""

NOBODY_LISTENS: Final = "no server listens in that folder: start it, or check the folder"
NO_SUCH_FILE: Final = "a file that the url or the environment names is not there: check sslrootcert, sslcert and sslkey"


class UnfitValue(StoreError):
    """A value that PostgreSQL cannot hold, such as a text with a zero byte."""


class PostgresAddress:
    """One database on one server. `label` names it for people: host, port and database, never user or password.

    password: where the URL has none. Raises SettingsError, which shows nothing of it, for what is no such URL, for one that can be read in
    more than one way, and for two passwords.
    """

    def __init__(self, url: Secret, password: Secret | None = None) -> None:
        self._url, found = url, read_url(url)
        if password and found.password:
            raise SettingsError(TWO_PASSWORDS)
        self._password = password or found.password
        # as the driver does where the url names no host
        hosts = found.hosts or tuple(filter(None, os.environ.get("PGHOST", "").split(",")))
        self._is_folder = all(host.startswith("/") for host in hosts)
        self._is_near = all(host.startswith("/") or host.lower() in NEAR_HOSTS for host in hosts)
        self._has_mode = found.has_mode
        self.label = found.place if found.hosts or not hosts else f"{','.join(hosts)}/{found.place.partition('/')[2]}"
        # Not the URL as a whole: its beginning is a word that everybody may read.
        self.secrets: tuple[Secret, ...] = ((password,) if password else ()) + found.secrets

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
        advice = _advice_for(error)
        return kind(f"PostgreSQL at {self.label}: {told}{f': {advice}' if advice else ''}")

    def _words_for(self, error: BaseException) -> str:
        if isinstance(error, FileNotFoundError):
            return NOBODY_LISTENS if self._is_folder else NO_SUCH_FILE
        return _words_of(error)

    def _clean(self, text: str) -> str:
        for secret in sorted(self.secrets, key=lambda one: -len(one.reveal())):
            text = text.replace(secret.reveal(), _MASK)
        return text


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


def _advice_for(error: BaseException) -> str:
    """By the server's own number where there is one, else by the kind of the error, or by what the driver says of it."""
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        told = ADVICE.get(state) or ADVICE.get(state[:2])
        if told:
            return told
    kinds = (advice for kind, advice in KIND_ADVICE.items() if isinstance(error, kind))
    words = (advice for words, advice in WORD_ADVICE.items() if words in str(error))
    return next(words, "") or next(kinds, "")
