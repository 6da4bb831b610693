"""The user data subscriptions of one socket of the WebSocket API (Binance Spot, 2.3)."""

from typing import Final

import msgspec

from userstream.sim.books import Millis
from userstream.sim.dialects.binance_margin_messages import RISK_EVENTS
from userstream.sim.dialects.binance_spot_errors import refuse
from userstream.sim.dialects.binance_spot_messages import stream_terminated
from userstream.sim.dialects.binance_spot_times import event_in_microseconds
from userstream.sim.venue import Frame, Json

MOST_ACTIVE: Final = 1000
MOST_OVER_A_LIFE: Final = 65_535


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """One account's events on a socket. `by_logon`: it ends with the session; with a `token` it ends with that."""

    number: int
    account: str
    by_logon: bool
    token: str = ""


class Subscriptions:
    """Who is subscribed under which number. Numbers rise from 0 and are never used again on the same socket."""

    def __init__(self, *, microseconds: bool) -> None:
        self._microseconds = microseconds
        self._by_account: dict[str, Subscription] = {}
        self._given = 0

    @property
    def accounts(self) -> frozenset[str]:
        return frozenset(self._by_account)

    @property
    def numbers(self) -> list[int]:
        return sorted(each.number for each in self._by_account.values())

    def open(self, account: str, *, by_logon: bool, token: str = "") -> int:
        """Subscribe to the account's events. -2035 when it is subscribed already, -2042 when the socket had too many.

        Another token of the account extends a subscription that began with one, and gives its number again.
        """
        known = self._by_account.get(account)
        if known is not None and known.token and token:
            self._by_account[account] = msgspec.structs.replace(known, token=token)
            return known.number
        if known is not None:
            raise refuse(-2035)
        if len(self._by_account) >= MOST_ACTIVE or self._given >= MOST_OVER_A_LIFE:
            raise refuse(-2042)
        number = self._given
        self._given += 1
        self._by_account[account] = Subscription(number=number, account=account, by_logon=by_logon, token=token)
        return number

    def close(self, number: int | None, now: Millis) -> list[bytes]:
        """End one subscription, or all without a number; the frames that say so. -2036 for a number that is not active."""
        ending = [each for each in self._by_account.values() if number in (None, each.number)]
        if number is not None and not ending:
            raise refuse(-2036)
        return [self._end(each, now) for each in ending]

    def close_account(self, account: str, now: Millis) -> list[bytes]:
        known = self._by_account.get(account)
        return [] if known is None else [self._end(known, now)]

    def close_logon(self, now: Millis) -> list[bytes]:
        """The session is over: end what was subscribed by it."""
        return [self._end(each, now) for each in list(self._by_account.values()) if each.by_logon]

    def wrap(self, frame: Frame) -> list[bytes]:
        """The event in its envelope; nothing for an account without a subscription. A frame with a key ends what began with that token."""
        known = self._by_account.get(frame.account)
        if known is None or frame.event in RISK_EVENTS or (frame.key and frame.key != known.token):
            return []
        if frame.key:
            del self._by_account[frame.account]
        return [self._envelope(known, frame.body)]

    def announce(self, body: bytes) -> bytes:
        """An event of the connection: its envelope has no number."""
        return b'{"event":%s}' % self._timed(body)

    def _end(self, subscription: Subscription, now: Millis) -> bytes:
        del self._by_account[subscription.account]
        return self._envelope(subscription, msgspec.json.encode(stream_terminated(now)))

    def _envelope(self, subscription: Subscription, body: bytes) -> bytes:
        return b'{"subscriptionId":%d,"event":%s}' % (subscription.number, self._timed(body))

    def _timed(self, body: bytes) -> bytes:
        if not self._microseconds:
            return body
        event: dict[str, Json] = msgspec.json.decode(body)
        return msgspec.json.encode(event_in_microseconds(event))
