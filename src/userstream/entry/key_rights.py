"""Asks a venue what a key may do, before anything else is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from userstream.entry.addresses import endpoints_of
from userstream.entry.bootstrap import AccountSettings, place_of
from userstream.kernel.errors import RequestRefused, RetryLater
from userstream.kernel.ids import Millis, VenueName
from userstream.ports import Clock, HttpClient
from userstream.venues import REGISTRY, find_venue
from userstream.venues.binance.rights import BinanceRights
from userstream.wire.question import AskClock
from userstream.wire.rights import KeyRights, RightsDialect
from userstream.wire.venue import VenueSpec

CALL_LIMIT_MS: Final = 10_000
DIALECTS: Final[Mapping[VenueName, RightsDialect]] = {name: BinanceRights() for name in REGISTRY if name.startswith("binance-")}


class RightsDesk:
    """Asks for keys' rights over one HTTP client, which stays its owner's."""

    def __init__(self, http: HttpClient, clock: Clock, environment: Mapping[str, str]) -> None:
        self._http, self._clock, self._environment = http, clock, environment

    async def ask(self, settings: AccountSettings) -> KeyRights:
        """What the account's key may do. Costs two calls of weight 1. Raises SettingsError where the key cannot sign, and the error that
        says how to react where the venue does not tell; a test network does not."""
        spec = find_venue(settings.venue)
        dialect = DIALECTS.get(spec.name)
        if dialect is None:
            raise RequestRefused(f"{spec.name} is not asked for the rights of a key by this version")
        rest_url = endpoints_of(settings, spec, self._environment).rest_url
        ahead_ms = await self._measure_clock(spec, settings, rest_url)
        url = dialect.real_url if rest_url == spec.real.rest_url else rest_url
        venue_now = Millis(self._clock.wall() + ahead_ms)
        request = dialect.request(settings.credentials, venue_now)
        response = await self._http.send(url, request, time_limit_ms=CALL_LIMIT_MS)
        return dialect.answer(settings.credentials, response, venue_now)

    async def _measure_clock(self, spec: VenueSpec, settings: AccountSettings, rest_url: str) -> int:
        """By how much (ms) the venue's clock is ahead of ours."""
        books, question, before = spec.make_dialect(place_of(settings, spec)), AskClock(), self._clock.wall()
        response = await self._http.send(rest_url, books.request(question, before), time_limit_ms=CALL_LIMIT_MS)
        after = self._clock.wall()
        told = books.answer(question, response, after, after).venue_time
        if told is None:
            raise RetryLater("the venue does not tell its time")
        return int(told) - (before + after) // 2
