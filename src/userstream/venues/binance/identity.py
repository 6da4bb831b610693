"""Which account a key opens, in the venue's own name for it: futures tell an alias with each balance (Binance USD-M, 6.1; COIN-M, 6.6),
Spot a number of the user (6.2), to whom the margin accounts belong as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from userstream.kernel.errors import DecodeError, SettingsError
from userstream.kernel.ids import Millis, VenueName
from userstream.kernel.secret import Secret
from userstream.kernel.text import printable
from userstream.venues.binance.errors import error_of, is_success
from userstream.venues.binance.products import Read
from userstream.venues.binance.signing import key_header, make_signer, signed_query
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.venue import Credentials

LONGEST: Final = 60


class _Balance(msgspec.Struct):
    account_alias: str = msgspec.field(name="accountAlias", default="")


class _Account(msgspec.Struct):
    uid: int | str = ""


_BALANCES: Final = msgspec.json.Decoder(list[_Balance]).decode
_ACCOUNT: Final = msgspec.json.Decoder(_Account).decode


def _alias_of(body: bytes) -> str:
    return next((row.account_alias for row in _BALANCES(body) if row.account_alias), "")


def _number_of(body: bytes) -> str:
    return str(_ACCOUNT(body).uid)


class BinanceIdentity:
    """`IdentityDialect` of one product."""

    def __init__(self, read: Read, find: Callable[[bytes], str], *, parameters: Mapping[str, str], counted_with: VenueName | None) -> None:
        self._read, self._find, self._parameters, self.counted_with = read, find, parameters, counted_with

    def request(self, credentials: Credentials, venue_now: Millis) -> HttpRequest:
        """As in `IdentityDialect`."""
        if credentials.api_secret is None:
            raise SettingsError("api_secret is missing: without it the venue does not say whose account it is")
        query = signed_query(self._parameters, make_signer(credentials.api_secret), venue_now)
        header = key_header(credentials.api_key)
        target = Secret(f"{self._read.path}?{query}")
        return HttpRequest(method="GET", target=target, label=self._read.label, headers=(header,), weight=self._read.weight)

    def answer(self, credentials: Credentials, response: HttpResponse, venue_now: Millis) -> str:
        """As in `IdentityDialect`."""
        if not is_success(response):
            hidden = tuple(secret for secret in (credentials.api_key, credentials.api_secret) if secret is not None)
            raise error_of(response, self._read.label, repeatable=True, venue_now=venue_now, hidden=hidden)
        try:
            return printable(self._find(response.body))[:LONGEST]
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise DecodeError(f"{self._read.label}: an answer that is not the venue's own") from None


def _of_futures(read: Read) -> BinanceIdentity:
    return BinanceIdentity(read, _alias_of, parameters={}, counted_with=None)


_OF_USER: Final = BinanceIdentity(
    Read("/api/v3/account", 20), _number_of, parameters={"omitZeroBalances": "true"}, counted_with=VenueName("binance-spot")
)

IDENTITIES: Final[Mapping[VenueName, BinanceIdentity]] = {
    VenueName("binance-usdm"): _of_futures(Read("/fapi/v3/balance", 5)),
    VenueName("binance-coinm"): _of_futures(Read("/dapi/v1/balance", 1)),
    VenueName("binance-spot"): _OF_USER,
    VenueName("binance-margin"): _OF_USER,
    VenueName("binance-margin-risk"): _OF_USER,
}
"""How each product is asked. `counted_with` of margin: what is not below /sapi counts in the budget of Spot (1)."""
