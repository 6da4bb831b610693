"""What is refused before anybody asks for what: wrong hosts, foreign pages, headers that are too large. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from userstream.entry.web.settings import LOCAL_NAMES, HttpSection

MOST_BODY_BYTES: Final = 64 * 1024
MOST_HEADER_BYTES: Final = 8 * 1024
CHANGE_HEADER: Final = "x-userstream-request"
"""A page of another origin cannot set it without being allowed to."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE"})
OWN_SITES: Final = frozenset({"same-origin", "none"})

RawHeaders = Iterable[tuple[bytes, bytes]]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is no. `retry_after_ms`: when asking again may help."""

    status: int
    code: str
    message: str
    retry_after_ms: int = 0
    challenge: bool = False


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request before it is understood: header names in small letters."""

    method: str
    headers: Mapping[str, str]
    is_socket: bool = False
    query: bytes = b""


def read_headers(raw: RawHeaders) -> dict[str, str]:
    """Headers by name; of one that is given twice, both with a comma between, so that no check sees only one of them."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


class Checks:
    """The rules of one server."""

    def __init__(self, settings: HttpSection) -> None:
        self._hosts = frozenset((*LOCAL_NAMES, settings.host.lower(), *settings.hosts))
        self._origins = frozenset(settings.origins)
        self._has_tls = settings.has_tls or settings.behind_proxy

    def refusal(self, ask: Ask) -> Refusal | None:
        """Why the request is refused; None if it may go on."""
        return (
            self._refuse_size(ask) or self._refuse_method(ask) or self._refuse_host(ask) or self._refuse_origin(ask) or _refuse_change(ask)
        )

    def _refuse_size(self, ask: Ask) -> Refusal | None:
        if sum(len(name) + len(value) for name, value in ask.headers.items()) > MOST_HEADER_BYTES:
            return Refusal(status=431, code="headers_too_large", message="the headers are larger than 8 KiB")
        length = ask.headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()):
            return Refusal(status=400, code="bad_request", message="the header content-length is no number")
        if int(length) > MOST_BODY_BYTES:
            return Refusal(status=413, code="body_too_large", message="the body is larger than 64 KiB")
        return None

    def _refuse_method(self, ask: Ask) -> Refusal | None:
        if ask.is_socket and ask.query:
            return Refusal(status=400, code="query_refused", message="the live feed takes no query: send the token in the first message")
        if ask.method not in METHODS:
            return Refusal(status=405, code="method_not_allowed", message="this method is not used here")
        return None

    def _refuse_host(self, ask: Ask) -> Refusal | None:
        """A name that is not ours: a page may have had its own name point here."""
        host = ask.headers.get("host", "").lower()
        if host in self._hosts or _without_port(host) in self._hosts:
            return None
        return Refusal(status=421, code="wrong_host", message="this server is not known by that name; [http] hosts lists the names")

    def _refuse_origin(self, ask: Ask) -> Refusal | None:
        origin = ask.headers.get("origin")
        if origin is None or origin.lower() in self._origins or origin.lower() == self._own_origin(ask):
            return None
        return Refusal(status=403, code="foreign_origin", message="pages of that origin may not use this server; [http] origins lists them")

    def _own_origin(self, ask: Ask) -> str:
        return f"{'https' if self._has_tls else 'http'}://{ask.headers.get('host', '').lower()}"


def _refuse_change(ask: Ask) -> Refusal | None:
    if ask.method in SAFE_METHODS or ask.is_socket:
        return None
    if ask.headers.get("sec-fetch-site", "none") not in OWN_SITES and "origin" not in ask.headers:
        return Refusal(status=403, code="foreign_site", message="a page of another site may not change anything here")
    if CHANGE_HEADER not in ask.headers:
        return Refusal(status=403, code="header_missing", message=f"what changes something needs the header {CHANGE_HEADER}: 1")
    return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() and not (name.startswith("[") and not name.endswith("]")) else host
