"""What an API key may do: one signed question, the same for all products of the venue (Binance USD-M, 3.3). The test networks do not
answer it."""

from __future__ import annotations

from typing import Final

import msgspec

from userstream.kernel.errors import DecodeError, SettingsError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.kernel.text import printable
from userstream.venues.binance.errors import error_of, is_success
from userstream.venues.binance.signing import key_header, make_signer, signed_query
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.rights import KeyRights
from userstream.wire.venue import Credentials

PATH: Final = "/sapi/v1/account/apiRestrictions"
LABEL: Final = f"GET {PATH}"
WEIGHT: Final = 1
LONGEST_NAME: Final = 60

_TRADING: Final = frozenset(
    {
        "enableSpotAndMarginTrading",
        "enableMargin",
        "enableFutures",
        "enableVanillaOptions",
        "enablePortfolioMarginTrading",
        "enableFixApiTrade",
    }
)
_HARMLESS: Final = frozenset({"enableFixReadOnly", "ipRestrict", "enableReading"})
_LEAVING: Final = frozenset({"enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer"})
_KNOWN: Final = _TRADING | _HARMLESS | _LEAVING

_FLAGS: Final = msgspec.json.Decoder(dict[str, bool | int | float | str | None]).decode


class BinanceRights:
    """`RightsDialect` of Binance. The answer costs weight 1 per address."""

    real_url = "https://api.binance.com"

    def request(self, credentials: Credentials, venue_now: Millis) -> HttpRequest:
        """As in `RightsDialect`."""
        if credentials.api_secret is None:
            raise SettingsError("api_secret is missing: without it the venue does not say what the key may do")
        query = signed_query({}, make_signer(credentials.api_secret), venue_now)
        header = key_header(credentials.api_key)
        return HttpRequest(method="GET", target=Secret(f"{PATH}?{query}"), label=LABEL, headers=(header,), weight=WEIGHT)

    def answer(self, credentials: Credentials, response: HttpResponse, venue_now: Millis) -> KeyRights:
        """As in `RightsDialect`."""
        if not is_success(response):
            hidden = tuple(secret for secret in (credentials.api_key, credentials.api_secret) if secret is not None)
            raise error_of(response, LABEL, repeatable=True, venue_now=venue_now, hidden=hidden)
        flags = _read_flags(response.body)
        withdraw, inside, universal = (
            _told(flags, name) for name in ("enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer")
        )
        return KeyRights(
            read=_told(flags, "enableReading"),
            trade=any(flags.get(name) for name in _TRADING),
            withdraw=withdraw,
            transfer=inside or universal,
            ip_restricted=_told(flags, "ipRestrict"),
            unknown=tuple(sorted(printable(name)[:LONGEST_NAME] for name, value in flags.items() if value is True and name not in _KNOWN)),
        )


def _read_flags(body: bytes) -> dict[str, bool | int | float | str | None]:
    try:
        return _FLAGS(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise DecodeError(f"{LABEL}: an answer that is not the venue's own") from None


def _told(flags: dict[str, bool | int | float | str | None], name: str) -> bool:
    """What is not told counts as granted nowhere and refused nowhere: it is not known."""
    value = flags.get(name)
    if not isinstance(value, bool):
        raise DecodeError(f"{LABEL}: the answer does not say {name}")
    return value
