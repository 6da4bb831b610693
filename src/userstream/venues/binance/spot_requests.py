"""Requests on a Spot socket, and what their refusals mean (Binance Spot, 2.3, 3.2-3.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from userstream.kernel.errors import SettingsError, UserStreamError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.venues.binance.errors import error_of, pause_ms
from userstream.venues.binance.frames import TROUBLE, milliseconds
from userstream.venues.binance.signing import RECEIVE_WINDOW_MS, Signer
from userstream.venues.binance.spot_messages import RateLimit, Reply
from userstream.wire.request import HttpResponse
from userstream.wire.session import Connect, Send
from userstream.wire.venue import AccountPlace

SOCKET_PATH: Final = "/ws-api/v3"
TIME: Final = "time"
LOGON: Final = "session.logon"
SUBSCRIBE: Final = "userDataStream.subscribe"
SUBSCRIBE_SIGNED: Final = "userDataStream.subscribe.signature"
SUBSCRIBE_TOKEN: Final = "userDataStream.subscribe.listenToken"
ADDRESS_WEIGHT: Final = ("REQUEST_WEIGHT", "MINUTE", 1)
NOBODY: Final = -2015
UNAUTHORIZED: Final = 401

RETIRED: Final = (
    "Spot has no listen keys any more: its REST calls /api/v3/userDataStream and the sockets behind them were removed on 2026-02-20; the "
    "stream is now subscribed with a signed request on the WebSocket API"
)
RETIRED_ADDRESSES: Final = ("listenkey", "userdatastream", "//stream.binance.", "//stream.testnet.binance.", "/ws/")

_RATE_LIMITS: Final = msgspec.json.Decoder(tuple[RateLimit, ...]).decode


def check_not_retired(place: AccountPlace) -> None:
    """Raises SettingsError for what belongs to Spot's listen keys, which are no more (Binance Spot, 1 and 10)."""
    for name in ("rest_url", "ws_url", "ws_api_url"):
        address: str = getattr(place.endpoints, name)
        if any(part in f"{address.lower()}/" for part in RETIRED_ADDRESSES):
            raise SettingsError(f"{name} names a listen-key address. {RETIRED}: leave {name} out, or give ws_api_url")
    if place.close_listen_key_on_stop:
        raise SettingsError(f"close_listen_key_on_stop has no meaning here. {RETIRED}: leave it out")
    if place.events:
        raise SettingsError("events: a Spot subscription delivers every event of the account; leave the list out")


def connect(place: AccountPlace) -> Connect:
    """The socket to open; no secret is in its address."""
    address = place.endpoints.ws_api_url or place.endpoints.ws_url
    label = address if address.endswith(SOCKET_PATH) else f"{address}{SOCKET_PATH}"
    unit = "?timeUnit=MICROSECOND" if place.microseconds else ""
    return Connect(Secret(f"{label}{unit}"), label)


def request(number: str, method: str, parameters: Mapping[str, str | int] | None = None) -> Send:
    """One request; its answer carries the same id."""
    frame: dict[str, object] = {"id": number, "method": method}
    if parameters:
        frame["params"] = dict(parameters)
    return Send(Secret(msgspec.json.encode(frame).decode()))


def signed(api_key: Secret, signer: Signer, venue_now: Millis) -> dict[str, str | int]:
    """The parameters that prove who asks: the signature is over all others by name, as plain text (Binance Spot, 3.4). `venue_now` is the
    venue's ms."""
    parameters: dict[str, str | int] = {
        "apiKey": api_key.reveal().strip(),
        "recvWindow": RECEIVE_WINDOW_MS,
        "timestamp": venue_now,
    }
    payload = "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))
    return {**parameters, "signature": signer(payload)}


def refusal_of_reply(reply: Reply, label: str, hidden: Iterable[Secret]) -> UserStreamError:
    """The error that says how to react to a refused request. A limit's end comes as a venue time, and becomes a wait."""
    response, venue_now = _as_answer(reply)
    return error_of(response, label, repeatable=True, venue_now=venue_now, hidden=hidden)


def pause_of_reply(reply: Reply) -> int:
    """For how long (ms) the venue wants no call at all from this address after such an answer, as of one by REST; 0 for most (Binance
    Spot, 3.2)."""
    response, venue_now = _as_answer(reply)
    return pause_ms(response, Millis(0) if venue_now is None else venue_now)


def used_weight_of(reply: Reply) -> int:
    """What the answer says is used of the address's weight in this minute, as the header of a REST answer does; 0 where it does not say
    (Binance Spot, 3.2)."""
    try:
        limits = _RATE_LIMITS(reply.rate_limits) if reply.rate_limits else ()
    except TROUBLE:
        return 0
    found = (limit.count for limit in limits if (limit.kind, limit.interval, limit.intervals) == ADDRESS_WEIGHT)
    return max(0, next(found, 0))


def _as_answer(reply: Reply) -> tuple[HttpResponse, Millis | None]:
    """The answer as REST would give it, and the venue's time (ms) where it is told."""
    error = reply.error
    code, text = (0, "") if error is None else (error.code, error.msg)
    body = msgspec.json.encode({"code": code or (NOBODY if reply.status == UNAUTHORIZED else 0), "msg": text})
    headers: dict[str, str] = {}
    venue_now: Millis | None = None
    if error is not None and error.data is not None and error.data.retry_after:
        venue_now = milliseconds(error.data.server_time)
        wait_ms = max(0, milliseconds(error.data.retry_after) - venue_now) if venue_now else 0
        headers = {"retry-after": str(-(-wait_ms // 1000))} if wait_ms else {}
    return HttpResponse(status=reply.status, body=body, headers=headers), venue_now


def is_refused(reply: Reply) -> bool:
    """Whether the venue did not do what was asked."""
    return reply.error is not None or not 200 <= reply.status < 300
