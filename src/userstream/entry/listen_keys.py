"""Listen keys outlive a restart: kept encrypted beside the account, used again while the venue lets them live.

All of it happens on the way of the calls, so that sessions need to know nothing: they ask for a key, and get one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from userstream.domain.events import NO_TIME
from userstream.kernel.errors import RetryLater, UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.sealed import VaultError
from userstream.kernel.secret import Secret
from userstream.ports import Clock, HttpClient, Registry, Vault
from userstream.venues.binance import listen_key
from userstream.venues.binance.products import COIN_M, MARGIN_RISK, USD_M, KeyedFeed
from userstream.wire.registration import RegisteredAccount, SealedListenKey
from userstream.wire.request import HttpRequest, HttpResponse

FIELD: Final = "listen_key"
FEEDS: Final[Mapping[str, KeyedFeed]] = {feed.listen_key_path: feed for feed in (USD_M.feed, COIN_M.feed, MARGIN_RISK)}
"""Those behind a listen key, by the path of the calls about it."""

LEAST_LEFT_MS: Final = 30 * 60 * 1000
"""A key that the venue could not be asked about is used if it lives longer than a session waits before it extends it."""

_log = structlog.stdlib.get_logger("userstream.registry")


class ListenKeys:
    """The kept listen key of one account. What cannot be saved is logged: the venue gives another one after the next start."""

    def __init__(self, account: RegisteredAccount, registry: Registry, vault: Vault, clock: Clock) -> None:
        self._account, self._registry, self._vault, self._clock = account, registry, vault, clock
        self._kept: Secret | None = None
        self._ends_at = Millis(0)
        self._saves: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<ListenKeys of {self._account.account!r}>"

    def recall(self) -> None:
        """Takes up the key of an earlier run; one that is over, or that does not open, is forgotten."""
        kept = self._account.listen_key
        if kept is None:
            return
        if kept.expires_at <= self._clock.wall() or kept.expires_at > self._clock.wall() + listen_key.VALID_MS:
            self._save(None)
            return
        try:
            self._kept, self._ends_at = self._vault.open(self._account.place, FIELD, kept.record), kept.expires_at
        except VaultError as error:
            _log.warning("a kept listen key is not used", action="listen_key_refused", account=self._account.account, reason=str(error))
            self._save(None)

    def take(self) -> tuple[Secret, Millis] | None:
        """The key of an earlier run and its end (our clock, ms); the second caller gets None: what the venue gave since is newer."""
        kept, self._kept = self._kept, None
        return None if kept is None or self._ends_at <= self._clock.wall() else (kept, self._ends_at)

    def keep(self, key: Secret, since: Millis) -> None:
        """The venue gave or extended this key, at `since` (our clock, ms) at the earliest."""
        self._save(key, Millis(since + listen_key.VALID_MS))

    def forget(self) -> None:
        """The key is no more."""
        self._kept = None
        self._save(None)

    async def flush(self) -> None:
        """Returns when all is saved, or cannot be."""
        while (saves := self._saves) is not None:
            await asyncio.wait([saves])
            if self._saves is saves:
                self._saves = None

    def _save(self, key: Secret | None, expires_at: Millis = NO_TIME) -> None:
        self._saves = self._clock.spawn(self._save_after(self._saves, key, expires_at), f"listen key of {self._account.account}")

    async def _save_after(self, before: asyncio.Task[None] | None, key: Secret | None, expires_at: Millis) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            kept = None if key is None else SealedListenKey(record=await self._seal(key), expires_at=expires_at)
            await self._registry.save_listen_key(self._account.account, self._account.record_version, kept)
        except UserStreamError as error:
            _log.warning("a listen key is not kept", action="listen_key_refused", account=self._account.account, reason=str(error))

    async def _seal(self, key: Secret) -> str:
        """Beside the account's records as they are now: their data key may have been wrapped anew since the start."""
        now = await self._registry.get(self._account.account)
        neighbour = self._account if now is None or now.record_version != self._account.record_version else now
        return self._vault.seal_beside(self._account.place, FIELD, key, neighbour.key.api_key)


class KeepingHttp:
    """An `HttpClient` that looks at the calls about the listen key: the first that asks for one gets the key of an earlier run, once the
    venue has extended it, or cannot be asked; every key that the venue gives is kept."""

    def __init__(self, http: HttpClient, keys: ListenKeys, clock: Clock) -> None:
        self._http, self._keys, self._clock = http, keys, clock

    async def send(self, base_url: str, request: HttpRequest, *, time_limit_ms: int) -> HttpResponse:
        """As in `HttpClient`."""
        method, _, path = request.label.partition(" ")
        if path not in FEEDS:
            return await self._http.send(base_url, request, time_limit_ms=time_limit_ms)
        if method == "POST" and (known := self._keys.take()) is not None:
            answer = await self._use_again(base_url, request, path, known, time_limit_ms)
            if answer is not None:
                return answer
        since = self._clock.wall()
        response = await self._http.send(base_url, request, time_limit_ms=time_limit_ms)
        self._note(method, request, response, since)
        return response

    async def close(self) -> None:
        """Nothing: the connections are shared."""

    async def _use_again(
        self, base_url: str, request: HttpRequest, path: str, known: tuple[Secret, Millis], time_limit_ms: int
    ) -> HttpResponse | None:
        """The answer with the key of an earlier run; None where it is no more."""
        key, ends_at = known
        since = self._clock.wall()
        response = await self._http.send(base_url, _extension(request, path, key), time_limit_ms=time_limit_ms)
        try:
            extended = listen_key.read_key(response, f"PUT {path}", (key,)) or key
        except RetryLater:
            return _answer_with(key) if ends_at - self._clock.wall() > LEAST_LEFT_MS else None
        except UserStreamError:
            self._keys.forget()
            return None
        self._keys.keep(extended, since)
        return _answer_with(extended)

    def _note(self, method: str, request: HttpRequest, response: HttpResponse, since: Millis) -> None:
        try:
            key = listen_key.read_key(response, request.label, ())
        except UserStreamError:
            return
        if method == "DELETE":
            self._keys.forget()
        elif key is not None:
            self._keys.keep(key, since)


def _extension(request: HttpRequest, path: str, key: Secret) -> HttpRequest:
    """The call that extends a key, with the header of the one that asks for a key."""
    named = listen_key.extend(path, request.headers[0][1], key if FEEDS[path].renewal_names_key else None)
    return msgspec.structs.replace(named, headers=request.headers)


def _answer_with(key: Secret) -> HttpResponse:
    return HttpResponse(status=200, body=msgspec.json.encode({"listenKey": key.reveal()}))
