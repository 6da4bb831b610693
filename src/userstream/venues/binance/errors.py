"""What the venue's refusals mean for the caller (Binance USD-M, 3.3): one table, then the HTTP status where no code helps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from userstream.kernel.errors import (
    AuthenticationError,
    ClockSkewed,
    ConnectionError,
    ListenKeyGone,
    OrderNotFound,
    OutcomeUnknown,
    RequestRefused,
    RetryLater,
    UserStreamError,
)
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.kernel.text import printable
from userstream.venues.binance.drift import without_secrets
from userstream.wire.request import HttpResponse

TEXT_LENGTH: Final = 200
PAUSE_AFTER_LIMIT_MS: Final = 60_000
PAUSE_AFTER_BAN_MS: Final = 120_000
PAUSE_AFTER_FIREWALL_MS: Final = 60_000
LONGEST_BAN_MS: Final = 3 * 24 * 3600 * 1000
MOST_DIGITS: Final = 9

_REFUSED: Final = (
    # state mismatch of subscriptions
    *(-2035, -2036),
    # funds and margin
    *(-2010, -2018, -2019, -2027, -2028, -4050, -4051),
    # order rules
    *(-1013, -4001, -4002, -4003, -4004, -4005, -4013, -4014, -4016, -4023, -4024, -4131, -4164, -1111, -1106, -1102),
    # post-only
    *(-5022,),
    # others; -2026 is the reduce-only rule on futures, an archived order on spot
    *(-2021, -2022, -2023, -2025, -2026, -4015, -4045, -4046, -4059, -4061, -4067, -4068, -4116, -4118, -4120, -4192),
    *(-4400, -4401, -4402, -4531, -5021, -5024, -5025, -5026, -5027, -5037, -5038, -5039, -5040, -5041),
    # unknown symbol
    *(-1121,),
)

REACTIONS: Final[Mapping[int, type[UserStreamError]]] = MappingProxyType(
    {
        **dict.fromkeys((-2014, -2015, -2017, -1002, -1022, -4056, -4057), AuthenticationError),
        **dict.fromkeys((-1021, -5028), ClockSkewed),
        **dict.fromkeys((-1003, -1015, -1034), RetryLater),
        **dict.fromkeys((-1000, -1001, -1008, -1016, -1109), RetryLater),
        **dict.fromkeys((-1006, -1007), OutcomeUnknown),
        **dict.fromkeys((-1125, -1209), ListenKeyGone),
        **dict.fromkeys((-2042,), ConnectionError),
        **dict.fromkeys((-2013, -2011), OrderNotFound),
        **dict.fromkeys(_REFUSED, RequestRefused),
    }
)
"""Code -> what the caller should do. -1109 (invalid account) was seen during maintenance and passes."""

WHAT_TO_CHECK: Final[Mapping[int, str]] = MappingProxyType(
    {
        -1002: "check that the key exists and may read this product",
        -1022: "check that api_secret belongs to this api_key, and is whole (HMAC secret, or private key in PEM)",
        -2014: "check api_key: it is cut, padded, or a key of another venue",
        -2015: "check that the key exists, that this product is enabled for it, and that its IP list holds this machine's address",
        -2017: "the venue has locked this account's keys: log in there and see why",
        -4056: "check the key's type: this one may not be used here",
        -4057: "check the key's type: this one may not be used here",
    }
)

_SAFE_TO_REPEAT: Final = ("service unavailable", "internal error; unable to process your request")
_BANNED_UNTIL: Final = re.compile(r"banned until (\d{13})")


class _Body(msgspec.Struct, frozen=True):
    code: int | str
    msg: str = ""


LIST_START: Final = b"["
_BODY: Final = msgspec.json.Decoder(_Body).decode
_KEYS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Refusal(msgspec.Struct, frozen=True):
    """The venue's error body: a negative code and its text. Success bodies such as code 200 are none."""

    code: int
    text: str


def refusal_of(body: bytes) -> Refusal | None:
    """The refusal a body holds, None where it holds none in the documented form (a body such as {"239999": ...}, HTML, data)."""
    if body.startswith(LIST_START):
        return None
    try:
        found = _BODY(body)
        code = int(found.code)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return Refusal(code, found.msg) if code < 0 else None


def is_keyless_error(body: bytes) -> bool:
    """Whether it is an error body without a code, such as {"239999": "..."}: seen during maintenance, it passes (Binance USD-M, 1.3)."""
    try:
        return any(key.isdigit() for key in _KEYS(body))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False


def is_success(response: HttpResponse) -> bool:
    """Whether the venue did what was asked: a 2xx answer that holds no refusal."""
    return 200 <= response.status < 300 and refusal_of(response.body) is None


def error_of(
    response: HttpResponse, label: str, *, repeatable: bool, venue_now: Millis | None = None, hidden: Iterable[Secret] = ()
) -> UserStreamError:
    """The error that says how to react to an answer that is no success.

    label: the call, for people. repeatable: whether asking again is harmless; what is unknown is then simply asked again. venue_now: the
    venue's ms, needed to understand 'banned until'. hidden: secrets to cut out of the venue's text.
    """
    refusal = refusal_of(response.body)
    text = _text_for_people(response, label, refusal, hidden)
    after_ms = _after_ms(response, refusal, venue_now)
    reaction = _reaction(response, refusal)
    if reaction is OutcomeUnknown and repeatable:
        reaction = RetryLater
    if reaction is AuthenticationError and refusal is not None:
        text = f"{text.removesuffix('.')}: {WHAT_TO_CHECK[refusal.code]}"
    return reaction(text, after_ms) if issubclass(reaction, RetryLater) else reaction(text)


def pause_ms(response: HttpResponse, venue_now: Millis) -> int:
    """For how long (ms) the venue wants no call at all from this address after such an answer, of whichever account it is; 0 for all
    but limits, bans and the firewall (Binance USD-M, 3.3). At most three days."""
    refusal = refusal_of(response.body)
    if response.status in (429, 418) or (response.status == 403 and refusal is None):
        return _after_ms(response, refusal, venue_now) or 0
    return 0


def _reaction(response: HttpResponse, refusal: Refusal | None) -> type[UserStreamError]:
    status = response.status
    if status in (429, 418):
        return RetryLater
    if status == 503 and any(sentence in response.body.lower() for sentence in _SAFE):
        return RetryLater
    if refusal is not None and refusal.code in REACTIONS:
        return REACTIONS[refusal.code]
    if status == 0 or status == 408 or status >= 500:
        return OutcomeUnknown
    # A body without a code is trouble on the way or at the venue, not an answer (Binance USD-M, 1.3).
    return RequestRefused if refusal is not None else RetryLater


def _after_ms(response: HttpResponse, refusal: Refusal | None, venue_now: Millis | None) -> int | None:
    retry_after = response.headers.get("retry-after", "").strip()
    if retry_after.isascii() and retry_after.isdigit():
        return min(int(retry_after[:MOST_DIGITS]) * 1000, LONGEST_BAN_MS)
    if refusal is not None and venue_now is not None and (banned := _BANNED_UNTIL.search(refusal.text)):
        return min(max(int(banned[1]) - venue_now, 0), LONGEST_BAN_MS)
    return _PAUSES.get(response.status)


def _text_for_people(response: HttpResponse, label: str, refusal: Refusal | None, hidden: Iterable[Secret]) -> str:
    if refusal is not None:
        said = f"code {refusal.code}: {refusal.text}"
    elif response.status == 0:
        said = f"no answer: {response.body.decode('utf-8', 'replace')}"
    else:
        said = "an answer that is not the venue's own"
    for secret in hidden:
        if secret:
            said = said.replace(secret.reveal(), "***")
    status = f" (HTTP {response.status})" if response.status else ""
    return f"{label}{status}: {printable(without_secrets(said))[:TEXT_LENGTH]}"


_SAFE: Final = tuple(sentence.encode() for sentence in _SAFE_TO_REPEAT)
_PAUSES: Final[Mapping[int, int]] = MappingProxyType({429: PAUSE_AFTER_LIMIT_MS, 418: PAUSE_AFTER_BAN_MS, 403: PAUSE_AFTER_FIREWALL_MS})
