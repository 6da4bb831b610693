"""One private stream behind a listen key (futures, margin risk): key, socket, keep-alive, silence, rotation (Binance USD-M, 2.1, 2.2,
3.1). Never awaits, reads no clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

from userstream.domain.events import Event, StreamChanged, Unrecognized
from userstream.kernel.errors import AuthenticationError, ListenKeyGone, RetryLater, UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.venues.binance import listen_key
from userstream.venues.binance.decoding import KEY_EXPIRED, SHUTDOWN, ControlReply, Decoder, KeyExpired, Notice, ShutdownAnnounced
from userstream.venues.binance.forms import SUBSCRIBE_ID, Form, connect, event_list, subscribe
from userstream.venues.binance.products import USD_M, KeyedFeed
from userstream.venues.binance.socket_life import NEVER, WITH_SOCKET, Phase, SocketLife, advice_ms
from userstream.wire.request import HttpResponse
from userstream.wire.session import Call, Effect, Emit, Opened
from userstream.wire.venue import AccountPlace

CREATE: Final = "listen_key"
EXTEND: Final = "keep_alive"
GIVE_UP: Final = "listen_key_close"

SUBSCRIBE_LIMIT_MS: Final = 10_000
FIRST_RENEWAL_WAIT_MS: Final = 30_000
LONGEST_RENEWAL_WAIT_MS: Final = 60_000


class FuturesSession(SocketLife):
    """One socket's life, owned by one driver; see `wire.session.Session`.

    The listen key is in no reason, label or repr. `connection_form` of its place counts on without end: the forms are tried in turn.
    """

    def __init__(self, place: AccountPlace, connection: int, now: Millis, feed: KeyedFeed = USD_M.feed) -> None:
        """Raises SettingsError for a key no header can carry and for event names the venue does not have."""
        super().__init__(place, connection, now)
        self._feed = feed
        self._form = feed.forms[place.connection_form % len(feed.forms)]
        self._events = event_list(place.events, feed.events)
        self._create = listen_key.create(feed.listen_key_path, place.credentials.api_key)
        self._decoder = Decoder(place.account, place.venue, feed.language)
        self._key: Secret | None = None
        self._subscribe_by = self._key_ends_at = self._renew_at = NEVER
        self._failed_renewals = 0

    @property
    def drift(self) -> Mapping[str, int]:
        """As in `wire.session.Session`."""
        return self._decoder.drift

    @property
    def listen_key(self) -> Secret | None:
        """The key of this socket, None before the venue gave one."""
        return self._key

    @property
    def common_key(self) -> Secret | None:
        """The listen key: an account has one at a time (Binance USD-M, 2.1)."""
        return self._key

    def open(self, now: Millis) -> list[Effect]:
        self._phase = Phase.FETCHING
        return [Call(CREATE, self._create)]

    def connected(self, now: Millis) -> list[Effect]:
        if self._phase is not Phase.CONNECTING or self._key is None:
            return []
        self._begin(now)
        if self._form is not Form.SUBSCRIBE:
            return self._delivering()
        self._phase = Phase.ASKING
        self._subscribe_by = Millis(now + SUBSCRIBE_LIMIT_MS)
        return [subscribe(self._key)]

    def _delivering(self) -> list[Effect]:
        self._phase = Phase.OPEN
        self._subscribe_by = NEVER
        return [Opened()]

    def receive(self, frame: bytes, now: Millis, received_time: Millis) -> list[Effect]:
        self._heard_at = now
        events = self._decoder.decode(frame, received_time)
        notice = self._decoder.notice
        if notice is None and self._phase is not Phase.ASKING:
            return [Emit(events)] if events else []
        return self._receive_with_notice(events, notice)

    def _receive_with_notice(self, events: tuple[Event, ...], notice: Notice | None) -> list[Effect]:
        """The stream's own news, told by effects; whoever drives the session tells people of them."""
        facts = tuple(event for event in events if not isinstance(event, StreamChanged))
        effects: list[Effect] = []
        if self._phase is Phase.ASKING and any(not isinstance(event, Unrecognized) for event in facts):
            effects += self._delivering()
        if facts:
            effects.append(Emit(facts))
        return effects + self._react(notice)

    def _react(self, notice: Notice | None) -> list[Effect]:
        match notice:
            case None:
                return []
            case ControlReply():
                return self._subscribed(notice)
            case KeyExpired():
                return self._replace(KEY_EXPIRED, alive=False)
            case ShutdownAnnounced():
                return self._replace(SHUTDOWN, alive=True)
            case _:
                assert_never(notice)

    def _subscribed(self, reply: ControlReply) -> list[Effect]:
        if self._phase is not Phase.ASKING or reply.request_id not in (SUBSCRIBE_ID, None):
            return []
        if reply.refusal:
            return self._replace("subscription refused", alive=False)
        return self._delivering()

    def respond(self, tag: str, response: HttpResponse, now: Millis) -> list[Effect]:
        if tag == CREATE and self._phase is Phase.FETCHING:
            return self._created(response, now)
        if tag == EXTEND and self._phase in WITH_SOCKET:
            return self._extended(response, now)
        return []

    def _created(self, response: HttpResponse, now: Millis) -> list[Effect]:
        try:
            key = self._read_key(response, self._create.label)
            if key is None:
                raise RetryLater(f"{self._create.label}: an answer without a key")
        except AuthenticationError as error:
            return self._give_up(error)
        except UserStreamError as error:
            self._phase = Phase.RETRYING
            self._retry_later(error, now)
            return [self._words_for(response, error)]
        self._key = key
        self._phase = Phase.CONNECTING
        self._key_lives(now)
        return [connect(self._form, f"{self._place.endpoints.ws_url}{self._feed.socket_path}", key, self._events)]

    def _key_lives(self, now: Millis) -> None:
        self._failed_renewals = 0
        self._key_ends_at = Millis(now + listen_key.VALID_MS)
        self._renew_at = Millis(now + self._place.listen_key_keep_alive_ms)

    def _extended(self, response: HttpResponse, now: Millis) -> list[Effect]:
        try:
            key = self._read_key(response, "PUT listen key")
        except ListenKeyGone:
            return self._replace("listen key gone", alive=False)
        except AuthenticationError as error:
            return self._give_up(error)
        except UserStreamError as error:
            self._failed_renewals += 1
            wait = min(FIRST_RENEWAL_WAIT_MS * self._failed_renewals, LONGEST_RENEWAL_WAIT_MS)
            self._renew_at = Millis(now + max(wait, advice_ms(error)))
            return []
        if key is not None and key != self._key:
            return self._replace("listen key replaced by another process", alive=False)
        self._key_lives(now)
        return []

    def _read_key(self, response: HttpResponse, label: str) -> Secret | None:
        own = self._place.credentials.api_key
        return listen_key.read_key(response, label, (own,) if self._key is None else (own, self._key))

    def tick(self, now: Millis) -> list[Effect]:
        if self._phase is Phase.RETRYING and now >= self._retry_at:
            return self.open(now)
        if self._phase not in WITH_SOCKET:
            return []
        if trouble := self._trouble(now):
            return self._replace(trouble, alive=False)
        return [*self._renew(now), *self._keep(now)]

    def _trouble(self, now: Millis) -> str:
        """Why the socket cannot be trusted any more; empty if it can."""
        if self._is_silent(now):
            return "silent socket"
        if now >= self._subscribe_by:
            return "subscription unanswered"
        return "listen key not extended for 60 minutes" if now >= self._key_ends_at else ""

    def _renew(self, now: Millis) -> list[Effect]:
        if now < self._renew_at:
            return []
        self._renew_at = NEVER  # until the answer sets it
        named = self._key if self._feed.renewal_names_key else None
        return [Call(EXTEND, listen_key.extend(self._feed.listen_key_path, self._place.credentials.api_key, named))]

    def deadline(self) -> Millis:
        if self._phase is not Phase.OPEN and self._phase not in WITH_SOCKET:
            return self._retry_at if self._phase is Phase.RETRYING else NEVER
        return min(self._kept_until(), self._renew_at, self._subscribe_by, self._key_ends_at)

    def close(self, now: Millis) -> list[Effect]:
        self._phase = Phase.ENDED
        if self._key is None or not self._place.close_listen_key_on_stop:
            return []
        return [Call(GIVE_UP, listen_key.give_up(self._feed.listen_key_path, self._place.credentials.api_key))]
