"""The stream sockets of the Binance family: their addresses, subscriptions and control frames (Binance USD-M, 1.2, 2.2)."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from userstream.sim.books import Millis
from userstream.sim.room import Room
from userstream.sim.venue import Frame, Json

MESSAGES_PER_SECOND: Final = 10
ROUTED: Final = "/private"
# Other routes, and the addresses without a route, connect and answer control frames but carry no private events.
SILENT_ROUTES: Final = ("", "/public", "/market")


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A listen key on a socket. No events means all of them; `by_frame` marks those that came with a SUBSCRIBE."""

    key: str
    account: str | None
    events: frozenset[str] | None = None
    by_frame: bool = False


class ControlFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A control frame of the client."""

    method: str
    params: list[str | bool] = []
    id: int | str | None = None


class StreamSession:
    """One stream socket. `wrapped` frames name their stream; a socket off the private route never gets an event.

    `has_filters`: a product where the address may name the events that it wants, and may have to. `carries`: the only events there are.
    """

    messages_per_second = MESSAGES_PER_SECOND
    wants_close = False

    def __init__(
        self, room: Room, *, wrapped: bool, private: bool, has_filters: bool = True, carries: frozenset[str] | None = None
    ) -> None:
        self._room = room
        self._wrapped = wrapped
        self._private = private
        self._has_filters = has_filters
        self._carries = carries
        self._subscriptions: dict[str, Subscription] = {}

    @property
    def accounts(self) -> frozenset[str]:
        if not self._private:
            return frozenset()
        return frozenset(each.account for each in self._subscriptions.values() if each.account is not None)

    def subscribe(self, key: str, events: frozenset[str] | None = None, *, by_frame: bool = False) -> None:
        """Ask for the events of a key. A key that nobody has is taken and stays silent."""
        account = self._room.listen_keys.owner(key)
        self._subscriptions[key] = Subscription(key=key, account=account, events=events, by_frame=by_frame)

    def wrap(self, frame: Frame) -> list[bytes]:
        if not self._private or (self._carries is not None and frame.event not in self._carries):
            return []
        wanted = [each for each in self._subscriptions.values() if self._delivers(each, frame)]
        return [self._in_envelope(each.key, frame.body) for each in wanted]

    def announce(self, body: bytes) -> bytes:
        return self._in_envelope(next(iter(self._subscriptions), ""), body)

    def receive(self, text: str, now: Millis) -> list[bytes]:
        del now
        try:
            frame = msgspec.json.decode(text, type=ControlFrame)
        except msgspec.ValidationError as wrong:
            return [_error(2, f"Invalid request: {wrong}", None)]
        except msgspec.DecodeError as wrong:
            return [_error(3, f"Invalid JSON: {wrong}", None)]
        return [self._obey(frame)]

    def _delivers(self, subscription: Subscription, frame: Frame) -> bool:
        if frame.key:
            reached = frame.key == subscription.key
        else:
            reached = subscription.account == frame.account and self._room.listen_keys.owner(subscription.key) == frame.account
        if not reached:
            return False
        if subscription.events is None:
            return subscription.by_frame or not (self._has_filters and self._room.faults.strict)
        return frame.event in subscription.events

    def _in_envelope(self, stream: str, body: bytes) -> bytes:
        return b'{"stream":%s,"data":%s}' % (msgspec.json.encode(stream), body) if self._wrapped else body

    def _obey(self, frame: ControlFrame) -> bytes:
        match frame.method:
            case "SUBSCRIBE" | "UNSUBSCRIBE":
                return self._change(frame)
            case "LIST_SUBSCRIPTIONS":
                return _result(list(self._subscriptions), frame.id)
            case "GET_PROPERTY" if frame.params == ["combined"]:
                return _result(self._wrapped, frame.id)
            case "SET_PROPERTY" if len(frame.params) == 2 and frame.params[0] == "combined" and isinstance(frame.params[1], bool):
                self._wrapped = frame.params[1]
                return _result(None, frame.id)
            case "SET_PROPERTY" | "GET_PROPERTY":
                return _error(0, "Unknown property", frame.id)
        return _error(2, f"Invalid request: unknown method {frame.method!r}", frame.id)

    def _change(self, frame: ControlFrame) -> bytes:
        keys = [param for param in frame.params if isinstance(param, str)]
        if not keys or len(keys) != len(frame.params):
            return _error(2, "Invalid request: params must be a list of stream names", frame.id)
        for key in keys:
            if frame.method == "SUBSCRIBE":
                self.subscribe(key, by_frame=True)
            else:
                self._subscriptions.pop(key, None)
        return _result(None, frame.id)


def open_stream(room: Room, path: str, query: str) -> StreamSession | None:
    """The session of a stream address of USD-M; None for an address that is none."""
    for route in (ROUTED, *SILENT_ROUTES):
        if path.startswith(route + "/") and (session := _open(room, path.removeprefix(route), query, private=route == ROUTED)):
            return session
    return None


def open_unrouted(room: Room, path: str, query: str, carries: frozenset[str] | None = None) -> StreamSession | None:
    """The session of a stream address of a product without routes, where every address is private (Binance COIN-M, 2.1)."""
    return _open(room, path, query, private=True, has_filters=False, carries=carries)


def _open(
    room: Room, below: str, query: str, *, private: bool, has_filters: bool = True, carries: frozenset[str] | None = None
) -> StreamSession | None:
    if below not in ("/ws", "/stream") and not below.startswith("/ws/"):
        return None
    session = StreamSession(room, wrapped=below == "/stream", private=private, has_filters=has_filters, carries=carries)
    for key, events in _keys_of(below.removeprefix("/ws/") if below.startswith("/ws/") else "", query).items():
        session.subscribe(key, events)
    return session


def _keys_of(in_path: str, query: str) -> dict[str, frozenset[str] | None]:
    """The keys in the address with their events; `listenKey` and `events` come in pairs, `events` belongs to the key before it."""
    keys: dict[str, frozenset[str] | None] = {in_path: None} if in_path else {}
    last = in_path
    for name, value in parse_qsl(query):
        if name == "listenKey":
            last = value
            keys[value] = None
        elif name == "streams":
            keys |= dict.fromkeys(value.split("/"))
        elif name == "events" and last:
            keys[last] = (keys.get(last) or frozenset()) | frozenset(value.split("/"))
    return keys


def _result(result: Json, number: int | str | None) -> bytes:
    return _encode({"result": result, "id": number})


def _error(code: int, text: str, number: int | str | None) -> bytes:
    return _encode({"error": {"code": code, "msg": text}, "id": number})


def _encode(message: Mapping[str, Json]) -> bytes:
    return msgspec.json.encode(message)
