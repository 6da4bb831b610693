"""Asks a venue what a key may do, before anything else is done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from userstream.entry.addresses import endpoints_of
from userstream.entry.bootstrap import AccountSettings, place_of
from userstream.entry.gates import AddressedHttp, is_real
from userstream.entry.key_identity import LOOK_LIMIT_MS
from userstream.kernel.errors import OrderNotFound, RequestRefused, RetryLater
from userstream.kernel.ids import Millis, OrderId, Symbol, VenueName
from userstream.ports import Clock, HttpClient
from userstream.runtime.gate import Gate
from userstream.venues import REGISTRY, find_venue
from userstream.venues.binance.identity import IDENTITIES
from userstream.venues.binance.rights import BinanceRights
from userstream.wire.question import AskClock, AskOrder
from userstream.wire.request import HttpRequest, HttpResponse
from userstream.wire.rights import KeyRights, RightsDialect
from userstream.wire.venue import VenueSpec

DIALECTS: Final[Mapping[VenueName, RightsDialect]] = {name: BinanceRights() for name in REGISTRY if name.startswith("binance-")}

COUNTED_WITH: Final = VenueName("binance-margin")
"""The real venue counts the question for rights in the budget of this product (Binance margin, 1: all below /sapi)."""

EVERY_MS: Final = 24 * 3600 * 1000
AGAIN_MS: Final = 3600 * 1000
"""After how long a venue that gave no answer is asked again about the same key."""

MOST_AT_ONCE: Final = 50
TakeGate = Callable[[VenueSpec, str], Gate]


class RightsCalendar:
    """When each account's key is looked at next, by our own steady clock (ms). Former looks are told in our wall clock's ms."""

    def __init__(self) -> None:
        self._due: dict[str, Millis] = {}
        self._told: dict[str, Millis | None] = {}
        self._closed_until = Millis(0)

    def take_up(self, looked: Mapping[str, Millis | None], now: Millis, wall: Millis) -> None:
        """All keys that are looked at from now on, each with its last look: one a day after that, at once where that is over or there was
        none. A look that was heard of before changes nothing."""
        heard = {name: self._due[name] for name in looked if name in self._due and self._told[name] == looked[name]}
        self._due = {name: heard.get(name, _due_after(time, now, wall)) for name, time in looked.items()}
        self._told = dict(looked)

    def due(self, now: Millis) -> list[str]:
        """Some of those whose turn it is, longest due first; none while the venue wants silence."""
        found = sorted((due, name) for name, due in self._due.items() if due <= now)
        return [] if now < self._closed_until else [name for _, name in found[:MOST_AT_ONCE]]

    def note_asked(self, name: str, now: Millis) -> None:
        """The venue said what there is to say of the key today."""
        self._due[name] = Millis(now + EVERY_MS)

    def note_silence(self, name: str, now: Millis, wait_ms: int) -> None:
        """The venue gave no answer. `wait_ms`: how long it wants silence, as far as it said."""
        self._due[name] = Millis(now + max(wait_ms, AGAIN_MS))
        self._closed_until = Millis(now + wait_ms)


def _due_after(time: Millis | None, now: Millis, wall: Millis) -> Millis:
    if time is None:
        return now
    # a wall clock that was put back must not put the look off for longer than a day
    left_ms = min(EVERY_MS, EVERY_MS - (wall - time))
    return Millis(now + max(0, left_ms))


class RightsDesk:
    """Asks for keys' rights, and whose they are, over one HTTP client, which stays its owner's. `OwnerDesk` of `key_identity.py`."""

    def __init__(self, http: HttpClient, clock: Clock, environment: Mapping[str, str], take_gate: TakeGate | None = None) -> None:
        """`take_gate`: of a product's request budget at an address, where calls share it with whoever else asks the venue from here."""
        self._http, self._clock, self._environment, self._take_gate = http, clock, environment, take_gate

    async def ask(self, settings: AccountSettings) -> KeyRights:
        """What the account's key may do, within 7.5 s. Costs two calls of weight 1. Raises SettingsError where the key cannot sign,
        RetryLater without a call while the venue wants silence and once the time is over, and the error that says how to react where the
        venue does not tell; a test network does not."""
        spec = find_venue(settings.venue)
        dialect = DIALECTS.get(spec.name)
        if dialect is None:
            raise RequestRefused(f"{spec.name} is not asked for the rights of a key by this version")
        rest_url = endpoints_of(settings, spec, self._environment).rest_url
        until = Millis(self._clock.now() + LOOK_LIMIT_MS)
        venue_now = await self._venue_now(spec, settings, rest_url, until)
        request = dialect.request(settings.credentials, venue_now)
        asked = (find_venue(COUNTED_WITH), dialect.real_url) if is_real(spec, rest_url) else (spec, rest_url)
        response = await self._send(*asked, request, until)
        return dialect.answer(settings.credentials, response, venue_now)

    async def identify(self, settings: AccountSettings, limit_ms: int = LOOK_LIMIT_MS) -> str:
        """What the venue calls the account that the key opens; empty where it does not tell. Raises as `ask`."""
        spec = find_venue(settings.venue)
        dialect = IDENTITIES.get(spec.name)
        if dialect is None:
            return ""
        rest_url = endpoints_of(settings, spec, self._environment).rest_url
        until = Millis(self._clock.now() + limit_ms)
        venue_now = await self._venue_now(spec, settings, rest_url, until)
        request = dialect.request(settings.credentials, venue_now)
        counted = dialect.counted_with if is_real(spec, rest_url) else None
        response = await self._send(spec if counted is None else find_venue(counted), rest_url, request, until)
        return dialect.answer(settings.credentials, response, venue_now)

    async def knows_order(self, settings: AccountSettings, symbol: Symbol, order_id: OrderId) -> bool:
        """Whether the account that the key opens has had this order. Raises as `ask`."""
        spec = find_venue(settings.venue)
        rest_url = endpoints_of(settings, spec, self._environment).rest_url
        until = Millis(self._clock.now() + LOOK_LIMIT_MS)
        books, question = spec.make_dialect(place_of(settings, spec)), AskOrder(symbol, order_id, conditional=False)
        venue_now = await self._venue_now(spec, settings, rest_url, until)
        response = await self._send(spec, rest_url, books.request(question, venue_now), until)
        try:
            books.answer(question, response, venue_now, venue_now)
        except OrderNotFound:
            return False
        return True

    async def _venue_now(self, spec: VenueSpec, settings: AccountSettings, rest_url: str, until: Millis) -> Millis:
        return Millis(self._clock.wall() + await self._measure_clock(spec, settings, rest_url, until))

    async def _measure_clock(self, spec: VenueSpec, settings: AccountSettings, rest_url: str, until: Millis) -> int:
        """By how much (ms) the venue's clock is ahead of ours."""
        books, question, before = spec.make_dialect(place_of(settings, spec)), AskClock(), self._clock.wall()
        response = await self._send(spec, rest_url, books.request(question, before), until)
        after = self._clock.wall()
        told = books.answer(question, response, after, after).venue_time
        if told is None:
            raise RetryLater("the venue does not tell its time")
        return int(told) - (before + after) // 2

    async def _send(self, spec: VenueSpec, url: str, request: HttpRequest, until: Millis) -> HttpResponse:
        """`spec`: of the product in whose budget it is counted. `until`: of our steady clock (ms)."""
        if self._take_gate is None:
            return await self._http.send(url, request, time_limit_ms=self._left_ms(until))
        gate = self._take_gate(spec, url)
        host = gate if spec.host_of is None else self._take_gate(find_venue(spec.host_of), url)
        if pause_ms := max(gate.pause_ms, host.pause_ms):
            raise RetryLater(f"the venue wants no calls from this address for {-(-pause_ms // 1_000)} s", pause_ms)
        await self._await_grant(gate, request.weight, until)
        return await gate.send(request, time_limit_ms=self._left_ms(until), http=AddressedHttp(url, self._http, host))

    async def _await_grant(self, gate: Gate, weight: int, until: Millis) -> None:
        grant = self._clock.spawn(gate.grant(weight, urgent=False), "rights of a key")
        timer = self._clock.call_at(until, partial(_end, grant))
        try:
            await asyncio.wait([grant])
        finally:
            timer.cancel()
            grant.cancel()
        if grant.cancelled():
            raise RetryLater("no room in the venue's request budget in time")

    def _left_ms(self, until: Millis) -> int:
        if (left_ms := until - self._clock.now()) <= 0:
            raise RetryLater("the venue told nothing in time")
        return left_ms


def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
