"""What all sockets share: which addresses and certificates are trusted, and the words for trouble on the way.

What is said about an address never holds its path, query or user.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
from functools import cache
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from userstream.kernel.errors import SettingsError

_BEGIN: Final = re.compile(r"[a-z][a-z0-9+.-]{0,20}://[^/?#\\]{0,80}", re.IGNORECASE)
_STANDARD_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class Address(NamedTuple):
    """Where a connection goes, without secrets."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_address(url: str, *, secure: str, plain: str) -> Address:
    """The host and port of `url`. Raises SettingsError unless it is `secure` (https, wss), or `plain` to this very machine."""
    parts, port = _split(url)
    scheme, host = parts.scheme.lower(), parts.hostname
    if scheme not in (secure, plain) or not host:
        raise SettingsError(f"an address must be {secure}://HOST[:PORT]/..., or {plain}:// to this machine; {_shown(url)} is none")
    if parts.username is not None or parts.fragment:
        raise SettingsError(f"the address of {host} must not hold a user name, a password or a '#'")
    if scheme == plain and not is_loopback(host):
        raise SettingsError(f"{plain}://{host}: unencrypted connections are allowed to this machine only; use {secure}://")
    return Address(scheme, host, _STANDARD_PORTS[scheme] if port is None else port)


def _split(url: str) -> tuple[SplitResult, int | None]:
    wrong = SettingsError(f"an address must be SCHEME://HOST[:PORT]/..., with a port from 1 to 65535; {_shown(url)} is none")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    if port == 0:
        raise wrong
    return parts, port


def _shown(url: str) -> str:
    """Scheme, host and port as they were written, where they can be told from what may be secret."""
    begin = _BEGIN.match(url)
    return repr(begin[0]) if begin is not None and "@" not in url else "this"


def is_loopback(host: str) -> bool:
    """True of `localhost` and of the loopback addresses of IPv4 and IPv6."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@cache  # reading the roots takes 20 ms, in which no stream of this process hears anything
def trusted_roots(extra_roots: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer, host name and certificate verified against this system's roots and `extra_roots` (PEM text). The same context for
    all who ask for the same: nobody may change it.

    Raises SettingsError when `extra_roots` holds no certificate.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if extra_roots is not None:
        try:
            context.load_verify_locations(cadata=extra_roots)
        except (ssl.SSLError, ValueError):
            raise SettingsError("extra root certificates must be PEM text with at least one certificate") from None
    return context


def words_for(error: BaseException) -> str:
    """One line for people on why a connection failed, without the address's secrets."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"certificate not trusted ({_told_by(error, 'verify_message')})"
        case ssl.SSLError():
            return f"TLS failed ({_told_by(error, 'reason')})"
        case socket.gaierror() | UnicodeError():
            return "name does not resolve"
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectionResetError() | BrokenPipeError() | EOFError():
            return "the connection broke off"
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case _:
            return type(error).__name__


def _told_by(error: ssl.SSLError, name: str) -> str:
    # such errors carry their fields only when OpenSSL itself raised them
    return str(getattr(error, name, None) or "no reason given").replace("_", " ").lower()
