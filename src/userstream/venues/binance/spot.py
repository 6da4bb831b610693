"""One Spot private stream: socket, time, subscription, silence, rotation (Binance Spot, 2.3, 3.1). Never awaits, reads no clock.

The session cares for answers to its own requests and for events of its own subscription only: several accounts can share one socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

from userstream.domain.events import Event, StreamChanged, Unrecognized
from userstream.kernel.errors import AuthenticationError, ClockSkewed, SettingsError, UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.venues.binance.frames import milliseconds
from userstream.venues.binance.signing import is_ed25519, key_header, make_signer
from userstream.venues.binance.socket_life import NEVER, WITH_SOCKET, Phase, SocketLife
from userstream.venues.binance.spot_decoding import SHUTDOWN, TERMINATED, Notice, ShutdownAnnounced, SpotDecoder, SubscriptionEnded
from userstream.venues.binance.spot_messages import Reply
from userstream.venues.binance.spot_requests import (
    LOGON,
    SUBSCRIBE,
    SUBSCRIBE_SIGNED,
    TIME,
    check_not_retired,
    connect,
    is_refused,
    pause_of_reply,
    refusal_of_reply,
    request,
    signed,
)
from userstream.wire.request import HttpResponse
from userstream.wire.session import Effect, Emit, Opened, Refrain, Troubled
from userstream.wire.venue import AccountPlace

ANSWER_LIMIT_MS: Final = 10_000
MOST_SKEWS: Final = 3
"""So often the time is asked again at once after a refused time stamp; then with waits."""

STATE_MISMATCHES: Final = frozenset({-2035, -2036, -2042})
"""The venue's picture of this socket's subscriptions is not ours: another socket begins anew (Binance Spot, 3.3)."""


class SpotSession(SocketLife):
    """One socket's life, owned by one driver; see `wire.session.Session`.

    Promises: `Opened` only after the venue has acknowledged the subscription; nothing is told before. Neither key nor signature is in a
    reason, label or repr.
    """

    def __init__(self, place: AccountPlace, connection: int, now: Millis) -> None:
        """Raises SettingsError where the key cannot sign, and for settings of the retired listen keys."""
        if place.credentials.api_secret is None:
            raise SettingsError("api_secret is missing: Spot tells an account's events only to whoever signs for it")
        check_not_retired(place)
        key_header(place.credentials.api_key)
        if place.session_logon and not is_ed25519(place.credentials.api_secret):
            raise SettingsError("session_logon needs an Ed25519 key: give its private key in PEM, or leave session_logon out")
        super().__init__(place, connection, now)
        self._sign = make_signer(place.credentials.api_secret)
        self._hidden: tuple[Secret, ...] = (place.credentials.api_key, place.credentials.api_secret)
        self._decoder = SpotDecoder(place.account, place.venue)
        self._way_in = LOGON if place.session_logon else SUBSCRIBE_SIGNED
        self._subscription: int | None = None
        self._requests = 0
        self._pending = self._method = ""
        self._answer_by = NEVER
        self._venue_time, self._venue_time_at = Millis(0), now
        self._skews = 0

    @property
    def drift(self) -> Mapping[str, int]:
        """As in `wire.session.Session`."""
        return self._decoder.drift

    @property
    def listen_key(self) -> Secret | None:
        """None: Spot has no listen keys any more."""
        return None

    @property
    def common_key(self) -> Secret | None:
        """None: each socket is subscribed for itself."""
        return None

    def open(self, now: Millis) -> list[Effect]:
        self._phase = Phase.CONNECTING
        return [connect(self._place)]

    def connected(self, now: Millis) -> list[Effect]:
        if self._phase is not Phase.CONNECTING:
            return []
        self._begin(now)
        return self._ask(TIME, now)

    # --- requests and their answers ---

    def _ask(self, method: str, now: Millis) -> list[Effect]:
        """The next request of the opening. Its id is like no other on the socket, whoever else asks there."""
        self._requests += 1
        self._phase, self._method = Phase.ASKING, method
        self._pending = f"{self._place.jitter_seed & 0xFFFFFFFF:x}-{self._connection}-{self._requests}"
        self._answer_by, self._retry_at = Millis(now + ANSWER_LIMIT_MS), NEVER
        return [request(self._pending, method, self._parameters(method, now))]

    def _parameters(self, method: str, now: Millis) -> dict[str, str | int] | None:
        """What is said beside a method."""
        if method not in (LOGON, SUBSCRIBE_SIGNED):
            return None
        venue_now = Millis(self._venue_time + now - self._venue_time_at)
        return signed(self._place.credentials.api_key, self._sign, venue_now)

    def _answered(self, reply: Reply, now: Millis) -> list[Effect]:
        if self._phase not in WITH_SOCKET:
            return []
        if reply.id is None and is_refused(reply):
            return self._refused(reply, now)
        if reply.id != self._pending or self._phase is not Phase.ASKING:
            return []
        self._pending, self._answer_by = "", NEVER
        if is_refused(reply):
            return self._refused(reply, now)
        return self._go_on(reply, now)

    def _go_on(self, reply: Reply, now: Millis) -> list[Effect]:
        result = reply.result
        if self._method == TIME and result is not None and result.server_time:
            self._venue_time, self._venue_time_at = milliseconds(result.server_time), now
            return self._ask(self._way_in, now)
        if self._method == LOGON:
            return self._ask(SUBSCRIBE, now)
        if result is None or result.subscription_id is None:
            return self._replace(f"{self._method}: an answer that is not the venue's own", alive=False)
        self._subscription, self._phase = result.subscription_id, Phase.OPEN
        self._failures = self._skews = 0
        return [Opened()]

    def _refused(self, reply: Reply, now: Millis) -> list[Effect]:
        """Without an id the refusal is about the session, whatever was asked last (Binance Spot, 2.3)."""
        error = refusal_of_reply(reply, self._method, self._hidden)
        if isinstance(error, AuthenticationError):
            return self._give_up(error)
        if reply.error is not None and reply.error.code in STATE_MISMATCHES:
            return self._replace(str(error), alive=False)
        if self._phase is not Phase.ASKING:
            return []
        if isinstance(error, ClockSkewed) and self._skews < MOST_SKEWS:
            self._skews += 1
            return self._ask(TIME, now)
        return self._wait(error, now)

    def _wait(self, error: UserStreamError, now: Millis) -> list[Effect]:
        self._phase = Phase.WAITING
        self._retry_later(error, now)
        return [Troubled(str(error))]

    # --- what arrives ---

    def receive(self, frame: bytes, now: Millis, received_time: Millis) -> list[Effect]:
        self._heard_at = now
        events = self._decoder.decode(frame, received_time)
        number = self._decoder.subscription
        if self._decoder.notice is None and self._phase is Phase.OPEN and (number is None or number == self._subscription):
            return [Emit(events)] if events else []
        return self._receive_other(events, number, now)

    def _receive_other(self, events: tuple[Event, ...], number: int | None, now: Millis) -> list[Effect]:
        """Notices, and frames of others. What comes before the acknowledgement lies in the time that is read from the books anyway."""
        is_ours = number is None or number == self._subscription
        told = tuple(event for event in events if isinstance(event, Unrecognized) or (is_ours and self._phase is Phase.OPEN))
        facts = tuple(event for event in told if not isinstance(event, StreamChanged))
        effects: list[Effect] = [Emit(facts)] if facts else []
        return effects + self._react(self._decoder.notice, is_ours, now)

    def _react(self, notice: Notice | None, is_ours: bool, now: Millis) -> list[Effect]:
        match notice:
            case None:
                return []
            case Reply():
                pause_ms = pause_of_reply(notice) if is_refused(notice) else 0
                return [*([Refrain(pause_ms)] if pause_ms else []), *self._answered(notice, now)]
            case ShutdownAnnounced():
                return self._replace(SHUTDOWN, alive=True)
            case SubscriptionEnded():
                return self._replace(TERMINATED, alive=False) if is_ours else []
            case _:
                assert_never(notice)

    def respond(self, tag: str, response: HttpResponse, now: Millis) -> list[Effect]:
        """Spot's session makes no calls."""
        return []

    # --- time ---

    def tick(self, now: Millis) -> list[Effect]:
        if self._phase not in WITH_SOCKET:
            return []
        if self._is_silent(now):
            return self._replace("silent socket", alive=False)
        if now >= self._answer_by:
            return self._replace(f"{self._method} unanswered", alive=False)
        again = self._ask(TIME, now) if now >= self._retry_at else []
        return [*again, *self._keep(now)]

    def deadline(self) -> Millis:
        if self._phase is not Phase.OPEN and self._phase not in WITH_SOCKET:
            return NEVER
        return min(self._kept_until(), self._answer_by, self._retry_at)

    def close(self, now: Millis) -> list[Effect]:
        """The subscription ends with the socket."""
        self._phase = Phase.ENDED
        return []
