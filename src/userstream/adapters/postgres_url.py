"""The URL of a PostgreSQL database, taken apart. One that could be read in two ways is refused: what one reading takes for a host, and
shows, may be half of a password."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import msgspec

from userstream.kernel.errors import SettingsError
from userstream.kernel.secret import Secret

SCHEMES: Final = ("postgresql://", "postgres://")
EXAMPLE: Final = "postgresql://user@host:5432/database"
ESCAPES: Final = (
    "in user and password write @ as %40, / as %2F, # as %23, ? as %3F and % as %25, or leave the password out of it"
    " and give password_file, password_env or password"
)
LARGEST_PORT: Final = 65_535
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_HOST: Final = re.compile(r"[\w.-]+")
_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]+(?:%\w+)?)\](?::([0-9]*))?")


class PostgresUrl(msgspec.Struct, frozen=True, kw_only=True):
    """`hosts`: names, addresses, and folders for a server on this machine; none where the URL leaves that to the environment. `place`:
    hosts, ports and database, for people. `password`: as it is meant. `secrets`: all that must not be shown, also as it is written.
    `has_mode`: whether it says how the connection is encrypted."""

    hosts: tuple[str, ...]
    place: str
    password: Secret | None
    secrets: tuple[Secret, ...]
    has_mode: bool


def read_url(url: Secret) -> PostgresUrl:
    """Raises SettingsError, which shows nothing of the URL, for what is none, and for one that can be read in more than one way."""
    parts = _split(url.reveal())
    words = _words_after(parts.query)
    listed, _, database = parts.netloc.rpartition("@")[2], *parts.path.partition("/")[1:]
    if not database:
        raise _refusal("names no database")
    if "/" in database:
        raise _refusal("has a / in the name of its database")
    # As the driver reads it: what stands after ? counts only where no host stands before.
    pairs = [_host_and_port(one) for one in (listed or words.get("host", "")).split(",") if listed or "host" in words]
    common = "" if listed else words.get("port", "")
    if common and not all(map(_is_port, common.split(","))):
        raise _refusal(f"has a port that is no number from 1 to {LARGEST_PORT}")
    written = parts.password or ""
    secrets = (unquote(written), written, words.get("sslpassword", ""))
    return PostgresUrl(
        hosts=tuple(host for host, _ in pairs),
        place=f"{','.join(_shown(host, port or common) for host, port in pairs) or 'localhost'}/{database}",
        password=Secret(unquote(written)) if written else None,
        secrets=tuple(Secret(text) for text in dict.fromkeys(secrets) if text),
        has_mode="sslmode" in words,
    )


def _refusal(what: str) -> SettingsError:
    return SettingsError(f"the PostgreSQL url {what}: it must have the form {EXAMPLE}; {ESCAPES}")


def _split(text: str) -> SplitResult:
    if not text.lower().startswith(SCHEMES):
        raise _refusal("does not begin with postgresql://")
    if _CONTROL.search(text):
        raise _refusal("holds a line end or another control character")
    rest = text.partition("://")[2]
    if rest.count("@") > 1:
        raise _refusal("has more than one @")
    if "#" in rest or ("@" in rest and any(sign in rest.partition("@")[0] for sign in "/?")):
        raise _refusal("has a # somewhere, or a / or ? before its @")
    try:
        return urlsplit(text)
    except ValueError:
        raise _refusal("cannot be read") from None


def _words_after(query: str) -> Mapping[str, str]:
    """What stands after the question mark; of several with one name the last, as the driver does it."""
    try:
        words = {name: values[-1] for name, values in parse_qs(query, strict_parsing=bool(query)).items()}
    except ValueError:
        raise _refusal("has something after its ? that is no name=value") from None
    if "password" in words:
        raise _refusal("has a password after its ?")
    return words


def _host_and_port(told: str) -> tuple[str, str]:
    if told.startswith("/"):
        return told, ""
    if bracketed := _BRACKETED.fullmatch(told):
        host, port = bracketed[1], bracketed[2] or ""
    else:
        written, _, port = told.partition(":")
        host = unquote(written)
        if not (host.startswith("/") or _HOST.fullmatch(host)):
            raise _refusal("has a host that is no name and no address")
    if port and not _is_port(port):
        raise _refusal(f"has a port that is no number from 1 to {LARGEST_PORT}")
    return host, port


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_PORT)) and 0 < int(text) <= LARGEST_PORT


def _shown(host: str, port: str) -> str:
    if not port:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
