"""One margin private stream: Spot's, subscribed with a listen token that is renewed before it ends (Binance margin, 2.4). Never awaits,
reads no clock."""

from __future__ import annotations

from typing import Final

from userstream.kernel.errors import AuthenticationError, ListenKeyGone, SettingsError, UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.venues.binance import listen_token
from userstream.venues.binance.frames import milliseconds
from userstream.venues.binance.listen_token import ListenToken
from userstream.venues.binance.socket_life import NEVER, Phase, advice_ms
from userstream.venues.binance.spot import SpotSession
from userstream.venues.binance.spot_messages import Reply
from userstream.venues.binance.spot_requests import SUBSCRIBE_TOKEN, is_refused, refusal_of_reply, request
from userstream.wire.request import HttpResponse
from userstream.wire.session import Call, Effect
from userstream.wire.venue import AccountPlace

TOKEN: Final = "listen_token"
RENEWAL_RETRY_MS: Final = 30_000
RENEWAL_TRIES: Final = 20
"""A token of a short life is asked for sooner again: so often in the time it had when it was given."""

SHORTEST_RETRY_MS: Final = 100
RENEWED_AFTER: Final = (3, 4)
"""A token is renewed when three quarters of its life are over."""

REPLACED_AFTER: Final = (19, 20)
"""Where that did not succeed so far, the socket is replaced by one with another token."""


class MarginSession(SpotSession):
    """As `SpotSession`; besides, the token is fetched before the socket is opened, and again on the open socket before it ends. A socket
    whose token could not be renewed is replaced while it still delivers. The token is in no reason, label or repr."""

    def __init__(self, place: AccountPlace, connection: int, now: Millis) -> None:
        """Raises SettingsError where the key cannot sign, and for settings that margin has not."""
        if place.credentials.api_secret is None:
            raise SettingsError("api_secret is missing: without it the margin account's books cannot be asked")
        if place.session_logon:
            raise SettingsError("session_logon has no meaning for margin, whose streams are subscribed with a listen token: leave it out")
        super().__init__(place, connection, now)
        self._way_in = SUBSCRIBE_TOKEN
        self._token: ListenToken | None = None
        self._renew_at = self._replace_at = NEVER
        self._retry_ms = RENEWAL_RETRY_MS
        self._renewal = ""

    @property
    def listen_key(self) -> Secret | None:
        """The token of this socket, None before the venue gave one."""
        return None if self._token is None else self._token.token

    def open(self, now: Millis) -> list[Effect]:
        self._retry_at = NEVER
        return [self._fetch()]

    def _fetch(self) -> Call:
        place = self._place
        return Call(TOKEN, listen_token.ask(place.credentials.api_key, place.isolated_symbol or None))

    def respond(self, tag: str, response: HttpResponse, now: Millis) -> list[Effect]:
        if tag != TOKEN or self._phase not in (Phase.NEW, Phase.OPEN):
            return []
        try:
            token = listen_token.read_token(response, self._hidden)
        except AuthenticationError as error:
            return self._give_up(error)
        except UserStreamError as error:
            return self._not_fetched(response, error, now)
        self._token, self._hidden = token, (*self._hidden[:2], token.token)
        if self._phase is Phase.NEW:
            self._failures = 0
            return super().open(now)
        self._renew_at = Millis(now + self._retry_ms)  # unless the answer comes before
        return self._ask_renewal()

    def _not_fetched(self, response: HttpResponse, error: UserStreamError, now: Millis) -> list[Effect]:
        if self._phase is Phase.OPEN:
            self._renew_at = Millis(now + self._wait_ms(error))
            return []
        self._retry_later(error, now)
        return [self._words_for(response, error)]

    # --- the subscription and its renewal ---

    def _parameters(self, method: str, now: Millis) -> dict[str, str | int] | None:
        if method == SUBSCRIBE_TOKEN and self._token is not None:
            return {"listenToken": self._token.token.reveal()}
        return super()._parameters(method, now)

    def _go_on(self, reply: Reply, now: Millis) -> list[Effect]:
        effects = super()._go_on(reply, now)
        if self._phase is Phase.OPEN:
            self._lives(reply, now)
        return effects

    def _lives(self, reply: Reply, now: Millis) -> None:
        """The answer tells the end in either unit; without it the token's own counts (Binance margin, 2.4)."""
        told = reply.result.expiration_time if reply.result is not None else 0
        token_ends = self._token.ends_time if self._token is not None else Millis(0)
        left_ms = max(0, (milliseconds(told) or token_ends) - (self._venue_time + now - self._venue_time_at))
        self._retry_ms = max(SHORTEST_RETRY_MS, min(RENEWAL_RETRY_MS, left_ms // RENEWAL_TRIES))
        self._renew_at, self._replace_at = (Millis(now + left_ms * part // whole) for part, whole in (RENEWED_AFTER, REPLACED_AFTER))

    def _ask_renewal(self) -> list[Effect]:
        self._requests += 1
        self._renewal = f"{self._place.jitter_seed & 0xFFFFFFFF:x}-{self._connection}-{self._requests}"
        token = self._token
        return [] if token is None else [request(self._renewal, SUBSCRIBE_TOKEN, {"listenToken": token.token.reveal()})]

    def _answered(self, reply: Reply, now: Millis) -> list[Effect]:
        if self._phase is not Phase.OPEN or not self._renewal or reply.id != self._renewal:
            return super()._answered(reply, now)
        self._renewal = ""
        if is_refused(reply):
            error = refusal_of_reply(reply, SUBSCRIBE_TOKEN, self._hidden)
            if isinstance(error, AuthenticationError):
                return self._give_up(error)
            self._renew_at = Millis(now + self._wait_ms(error))
            return []
        if reply.result is not None and reply.result.subscription_id is not None:
            self._subscription = reply.result.subscription_id
        self._lives(reply, now)
        return []

    def _wait_ms(self, error: UserStreamError) -> int:
        """How long (ms) a renewal that failed waits for the next try: as long as the venue says, and a while at least."""
        return max(self._retry_ms, advice_ms(error))

    def _refused(self, reply: Reply, now: Millis) -> list[Effect]:
        """A token that the venue does not know any more is not offered again: the next socket fetches another."""
        error = refusal_of_reply(reply, self._method, self._hidden)
        if isinstance(error, ListenKeyGone):
            return self._replace("listen token refused", alive=False)
        return super()._refused(reply, now)

    # --- time ---

    def tick(self, now: Millis) -> list[Effect]:
        if self._phase is Phase.NEW:
            return self.open(now) if now >= self._retry_at else []
        effects = super().tick(now)
        if self._phase is not Phase.OPEN:
            return effects
        if now >= self._replace_at:
            self._renew_at = self._replace_at = NEVER
            return [*effects, *self._replace("listen token not renewed", alive=True)]
        if now >= self._renew_at:
            self._renew_at = NEVER  # until the answer sets it
            effects.append(self._fetch())
        return effects

    def deadline(self) -> Millis:
        if self._phase is Phase.NEW:
            return self._retry_at
        due = super().deadline()
        return min(due, self._renew_at, self._replace_at) if self._phase is Phase.OPEN else due
