"""What every session of the family does about its socket: tries in turn, signs of life, a planned end (Binance USD-M, 3.1; Binance Spot,
3.1). Never awaits, reads no clock."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from userstream.kernel.errors import AuthenticationError, RetryLater, UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.text import printable
from userstream.wire.pacing import Backoff, life_ms
from userstream.wire.request import HttpResponse
from userstream.wire.session import Effect, GiveUp, Ping, Reset, Troubled
from userstream.wire.venue import AccountPlace

NEVER: Final = Millis(1 << 62)


class Phase(Enum):
    """Where a session is in its one life. FETCHING: what opens the stream is asked for by REST. RETRYING: that failed, and is asked again
    later. ASKING: a request on the socket waits for its answer. WAITING: for a better moment to ask there again."""

    NEW = auto()
    FETCHING = auto()
    RETRYING = auto()
    CONNECTING = auto()
    ASKING = auto()
    WAITING = auto()
    OPEN = auto()
    ENDED = auto()


WITH_SOCKET: Final = frozenset({Phase.ASKING, Phase.WAITING, Phase.OPEN})


class SocketLife:
    """The part of a session that knows nothing of messages.

    Promises: `Reset` at most twice, first with `alive=True`, then with `alive=False` if the socket dies before its successor took over.
    """

    def __init__(self, place: AccountPlace, connection: int, now: Millis) -> None:
        self._place, self._connection = place, connection
        self._phase = Phase.NEW
        seed = place.jitter_seed + connection
        self._backoff = Backoff(first_delay_ms=place.first_delay_ms, max_delay_ms=place.max_delay_ms, seed=seed)
        self._failures = 0
        self._retry_at = NEVER
        self._heard_at = now
        self._ping_at = self._rotate_at = NEVER
        self._handing_over = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._place.account!r}, connection {self._connection}, {self._phase.name.lower()}>"

    def pinged(self, now: Millis) -> list[Effect]:
        self._heard_at = now
        return []

    def _begin(self, now: Millis) -> None:
        """The socket is open."""
        self._heard_at = now
        self._ping_at = Millis(now + self._place.own_ping_ms)
        self._rotate_at = Millis(now + life_ms(self._place.rotate_after_ms, self._place.jitter_seed, self._connection))

    def _retry_later(self, error: UserStreamError, now: Millis) -> None:
        """After one more failure: with growing waits, and not before the venue wants it."""
        self._failures += 1
        self._retry_at = Millis(now + self._backoff.delay_ms(self._failures) + advice_ms(error))

    def _words_for(self, response: HttpResponse, error: UserStreamError) -> Troubled:
        """What became of a call, for people."""
        if response.status:
            return Troubled(str(error))
        return Troubled(f"cannot reach {self._place.endpoints.rest_url}: {printable(response.body.decode('utf-8', 'replace'))}")

    def _is_silent(self, now: Millis) -> bool:
        return now - self._heard_at >= self._place.silence_limit_ms

    def _next_ping(self) -> Millis:
        return max(self._ping_at, Millis(self._heard_at + self._place.own_ping_ms))

    def _keep(self, now: Millis) -> list[Effect]:
        """What a socket that lives wants by itself: a ping when it is quiet, a successor when it is old."""
        effects: list[Effect] = []
        if now >= self._next_ping():
            self._ping_at = Millis(now + self._place.own_ping_ms)
            effects.append(Ping())
        if now >= self._rotate_at:
            self._rotate_at = NEVER
            effects += self._replace("24 h limit", alive=True)
        return effects

    def _kept_until(self) -> Millis:
        """When `_keep` or silence is due. Asked after every frame, so it compares by itself."""
        heard_at, place = self._heard_at, self._place
        due, ping_at = heard_at + place.silence_limit_ms, heard_at + place.own_ping_ms
        if ping_at < self._ping_at:
            ping_at = self._ping_at
        if ping_at < due:
            due = ping_at
        return self._rotate_at if self._rotate_at < due else Millis(due)

    def _replace(self, reason: str, *, alive: bool) -> list[Effect]:
        if self._phase is Phase.ENDED or (alive and self._handing_over):
            return []
        if alive:
            self._handing_over = True
        else:
            self._phase = Phase.ENDED
        return [Reset(reason, alive)]

    def _give_up(self, error: AuthenticationError) -> list[Effect]:
        self._phase = Phase.ENDED
        return [GiveUp(error)]


def advice_ms(error: UserStreamError) -> int:
    """How long the venue itself wants us to wait; 0 where it does not say."""
    return (error.after_ms or 0) if isinstance(error, RetryLater) else 0
