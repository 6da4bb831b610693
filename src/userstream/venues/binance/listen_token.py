"""The listen token of a margin account: asked for with the API key's header alone, good for a day at most (Binance margin, 2.4)."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import msgspec

from userstream.kernel.errors import RetryLater
from userstream.kernel.ids import Millis, Symbol
from userstream.kernel.secret import Secret
from userstream.venues.binance.errors import error_of, is_success
from userstream.venues.binance.signing import key_header
from userstream.wire.request import HttpRequest, HttpResponse

PATH: Final = "/sapi/v1/userListenToken"
LABEL: Final = f"POST {PATH}"
VALID_MS: Final = 24 * 60 * 60 * 1000
"""What is asked for, and the most that the venue gives."""

LONGEST_TOKEN: Final = 512


class ListenToken(msgspec.Struct, frozen=True):
    """A token, and the venue time (ms) at which it ends."""

    token: Secret
    ends_time: Millis


class _TokenBody(msgspec.Struct, frozen=True):
    token: str = ""
    expiration_time: int = msgspec.field(name="expirationTime", default=0)


_BODY: Final = msgspec.json.Decoder(_TokenBody).decode


def ask(api_key: Secret, isolated_symbol: Symbol | None) -> HttpRequest:
    """Asks for a token of the cross account, or of one isolated pair: each pair has a token of its own."""
    pair = f"isIsolated=true&symbol={quote(isolated_symbol, safe='')}" if isolated_symbol else "isIsolated=false"
    target = Secret(f"{PATH}?{pair}&validity={VALID_MS}")
    return HttpRequest(method="POST", target=target, label=LABEL, headers=(key_header(api_key),), weight=1)


def read_token(response: HttpResponse, hidden: tuple[Secret, ...]) -> ListenToken:
    """The token of an answer. Raises the error that says how to react; an answer of another shape may be repeated."""
    if not is_success(response):
        raise error_of(response, LABEL, repeatable=True, hidden=hidden)
    try:
        body = _BODY(response.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise RetryLater(f"{LABEL}: an answer that is not the venue's own") from None
    token = body.token
    if not token or len(token) > LONGEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise RetryLater(f"{LABEL}: an answer with a token of an unknown form")
    if body.expiration_time <= 0:
        raise RetryLater(f"{LABEL}: an answer with a token that has no end")
    return ListenToken(Secret(token), Millis(body.expiration_time))
