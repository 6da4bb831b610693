"""The listen key: asked for, kept alive and given up by calls that only the API key's header authorises (Binance USD-M, 2.1). `path` is
the product's."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import msgspec

from userstream.kernel.errors import RetryLater
from userstream.kernel.secret import Secret
from userstream.venues.binance.errors import error_of, is_success
from userstream.venues.binance.signing import key_header
from userstream.wire.request import HttpRequest, HttpResponse

VALID_MS: Final = 60 * 60 * 1000
LONGEST_KEY: Final = 512


class _KeyBody(msgspec.Struct, frozen=True):
    listen_key: str = msgspec.field(name="listenKey", default="")


_BODY: Final = msgspec.json.Decoder(_KeyBody).decode


def create(path: str, api_key: Secret) -> HttpRequest:
    """Asks for a key. While one is alive the venue answers the same key and extends it by 60 minutes, so it may be repeated."""
    return _request("POST", path, api_key)


def extend(path: str, api_key: Secret, named: Secret | None = None) -> HttpRequest:
    """Extends the key to 60 minutes from now. `named`: the key itself, where the venue wants it said."""
    return _request("PUT", path, api_key, "" if named is None else f"?listenKey={quote(named.reveal(), safe='')}")


def give_up(path: str, api_key: Secret) -> HttpRequest:
    """Ends the key for every process of the account that uses it."""
    return _request("DELETE", path, api_key)


def _request(method: str, path: str, api_key: Secret, query: str = "") -> HttpRequest:
    return HttpRequest(method=method, target=Secret(f"{path}{query}"), label=f"{method} {path}", headers=(key_header(api_key),), weight=1)


def read_key(response: HttpResponse, label: str, hidden: tuple[Secret, ...]) -> Secret | None:
    """The key an answer names; None where a good answer names none (older documents: PUT answers an empty object).

    Raises the error that says how to react; an answer of another shape may be repeated.
    """
    if not is_success(response):
        raise error_of(response, label, repeatable=True, hidden=hidden)
    try:
        key = _BODY(response.body).listen_key
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise RetryLater(f"{label}: an answer that is not the venue's own") from None
    if len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise RetryLater(f"{label}: an answer with a key of an unknown form")
    return Secret(key) if key else None
