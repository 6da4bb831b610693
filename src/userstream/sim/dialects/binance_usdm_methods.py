"""The WebSocket API of Binance USD-M: the same calls as methods on a socket, with a session for Ed25519 keys (6.1, 6.5, 3.4)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from userstream.sim.actions import Answer
from userstream.sim.books import Millis
from userstream.sim.dialects.binance_usdm_calls import (
    Endpoint,
    Outcome,
    Security,
    check_charge,
    check_signature,
    check_timestamp,
    check_trading,
    find_key,
    perform,
)
from userstream.sim.dialects.binance_usdm_errors import VenueError, missing
from userstream.sim.dialects.binance_usdm_parameters import Parameters
from userstream.sim.dialects.binance_usdm_trading import plain_text
from userstream.sim.keys import ApiKey, KeyType
from userstream.sim.limits import OrderUse
from userstream.sim.room import Room
from userstream.sim.venue import Frame, Json

SOCKET_PATH: Final = "/ws-fapi/v1"
METHODS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "ping": ("GET", "/fapi/v1/ping"),
        "time": ("GET", "/fapi/v1/time"),
        "ticker.price": ("GET", "/fapi/v1/ticker/price"),
        "ticker.book": ("GET", "/fapi/v1/ticker/bookTicker"),
        "depth": ("GET", "/fapi/v1/depth"),
        "userDataStream.start": ("POST", "/fapi/v1/listenKey"),
        "userDataStream.ping": ("PUT", "/fapi/v1/listenKey"),
        "userDataStream.stop": ("DELETE", "/fapi/v1/listenKey"),
        "order.place": ("POST", "/fapi/v1/order"),
        "order.modify": ("PUT", "/fapi/v1/order"),
        "order.cancel": ("DELETE", "/fapi/v1/order"),
        "order.status": ("GET", "/fapi/v1/order"),
        "algoOrder.place": ("POST", "/fapi/v1/algoOrder"),
        "algoOrder.cancel": ("DELETE", "/fapi/v1/algoOrder"),
        "account.balance": ("GET", "/fapi/v2/balance"),
        "account.status": ("GET", "/fapi/v2/account"),
        "account.position": ("GET", "/fapi/v2/positionRisk"),
        "v2/account.balance": ("GET", "/fapi/v3/balance"),
        "v2/account.status": ("GET", "/fapi/v3/account"),
        "v2/account.position": ("GET", "/fapi/v3/positionRisk"),
    }
)
SESSION_WEIGHT: Final = 2


class MethodRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request on the socket; parameters keep the digits they were sent with."""

    method: str
    id: int | str | None = None
    params: dict[str, msgspec.Raw] = {}


class MethodSession:
    """One socket of the WebSocket API. It never carries events."""

    messages_per_second = 0

    def __init__(
        self, room: Room, endpoints: Mapping[tuple[str, str], Endpoint], address: str, query: Mapping[str, str], now: Millis
    ) -> None:
        self._room = room
        self._endpoints = endpoints
        self._address = address
        self._shows_limits = query.get("returnRateLimits") != "false"
        self._connected_at = now
        self._authorized_at = Millis(0)
        self._key: ApiKey | None = None
        self.wants_close = False

    @property
    def accounts(self) -> frozenset[str]:
        return frozenset() if self._key is None else frozenset((self._key.account,))

    def wrap(self, frame: Frame) -> list[bytes]:
        del frame
        return []

    def announce(self, body: bytes) -> bytes:
        return body

    def receive(self, text: str, now: Millis) -> list[bytes]:
        try:
            request = msgspec.json.decode(text, type=MethodRequest)
            parameters = Parameters({name: plain_text(bytes(value)) for name, value in request.params.items() if bytes(value) != b"null"})
        except msgspec.DecodeError:
            return [self._failure(None, VenueError(-1135, "Invalid JSON Request"), now)]
        prepared = self._room.faults.answer_for("WS", f"{SOCKET_PATH}/{request.method}")
        if prepared is not None and not prepared.apply:
            return self._prepared(request, prepared)
        reply = self._reply(request, parameters, now)
        return [reply] if prepared is None else self._prepared(request, prepared)

    def _reply(self, request: MethodRequest, parameters: Parameters, now: Millis) -> bytes:
        try:
            if request.method.startswith("session."):
                return self._success(request, Outcome(body=self._session_call(request.method, parameters, now)), parameters, now)
            return self._success(request, self._perform(request.method, parameters, now), parameters, now)
        except VenueError as wrong:
            return self._failure(request.id, wrong, now)

    def _perform(self, method: str, parameters: Parameters, now: Millis) -> Outcome:
        if method not in METHODS:
            raise VenueError(-1020, "This operation is not supported.")
        endpoint = self._endpoints[METHODS[method]]
        self._charge(endpoint.cost(parameters.values), now)
        key = self._authenticate(endpoint.security, parameters, now)
        return perform(self._room, endpoint, key, parameters, now)

    def _charge(self, weight: int, now: Millis) -> None:
        check_charge(self._room.limits.charge(self._address, weight, now))

    def _authenticate(self, security: Security, parameters: Parameters, now: Millis) -> ApiKey | None:
        if security is Security.NONE:
            return None
        key = self._find_key(parameters)
        if security is Security.KEY:
            return key
        check_timestamp(parameters, self._room.stated(now))
        if self._key is None or parameters.maybe_text("signature"):
            check_signature(key, parameters.maybe_text("signature"), [signed_text(parameters)])
        check_trading(key, security)
        return key

    def _find_key(self, parameters: Parameters) -> ApiKey:
        """The key of the request, or of the session; a session whose key was revoked is told so."""
        name = parameters.maybe_text("apiKey")
        if name is not None:
            return find_key(self._room, name)
        if self._key is None:
            raise missing("apiKey")
        if self._room.keys.find(self._key.api_key) is None:
            raise VenueError(-2015)
        return self._key

    # --- session -------------------------------------------------------------------------------------------------------

    def _session_call(self, method: str, parameters: Parameters, now: Millis) -> Json:
        self._charge(SESSION_WEIGHT, now)
        match method:
            case "session.logon":
                self._log_on(parameters, now)
            case "session.logout":
                self._key = None
            case "session.status":
                pass
            case _:
                raise VenueError(-1020, "This operation is not supported.")
        return self._status(now)

    def _log_on(self, parameters: Parameters, now: Millis) -> None:
        key = find_key(self._room, parameters.text("apiKey"))
        if key.key_type is not KeyType.ED25519:
            raise VenueError(-4056)
        check_timestamp(parameters, self._room.stated(now))
        check_signature(key, parameters.maybe_text("signature"), [signed_text(parameters)])
        self._key, self._authorized_at = key, self._room.stated(now)

    def _status(self, now: Millis) -> dict[str, Json]:
        return {
            "apiKey": None if self._key is None else self._key.api_key,
            "authorizedSince": None if self._key is None else self._authorized_at,
            "connectedSince": self._connected_at,
            "returnRateLimits": self._shows_limits,
            "serverTime": self._room.stated(now),
        }

    # --- replies -------------------------------------------------------------------------------------------------------

    def _success(self, request: MethodRequest, outcome: Outcome, parameters: Parameters, now: Millis) -> bytes:
        shows = self._shows_limits if parameters.maybe_text("returnRateLimits") is None else parameters.flag("returnRateLimits")
        message: dict[str, Json] = {"id": request.id, "status": 200, "result": outcome.body}
        return msgspec.json.encode(message | ({"rateLimits": self._limits(outcome.use, now)} if shows else {}))

    def _failure(self, number: int | str | None, wrong: VenueError, now: Millis) -> bytes:
        error: dict[str, Json] = {"code": wrong.code, "msg": wrong.text}
        if "Retry-After" in wrong.headers:
            retry_after = now + int(wrong.headers["Retry-After"]) * 1000
            error["data"] = {"serverTime": self._room.stated(now), "retryAfter": retry_after}
        self.wants_close = wrong.status == 418
        message: dict[str, Json] = {"id": number, "status": wrong.status, "error": error}
        return msgspec.json.encode(message | ({"rateLimits": self._limits(None, now)} if self._shows_limits else {}))

    def _prepared(self, request: MethodRequest, answer: Answer) -> list[bytes]:
        """The answer that was prepared: a JSON body is the error object itself."""
        if answer.abort:
            self.wants_close = True
            return []
        body = answer.body.encode() or b'{"code":-1000,"msg":"An unknown error occurred while processing the request."}'
        try:
            msgspec.json.decode(body)
        except msgspec.DecodeError:
            body = msgspec.json.encode({"code": -1000, "msg": answer.body})
        return [msgspec.json.encode({"id": request.id, "status": answer.status, "error": msgspec.Raw(body)})]

    def _limits(self, use: OrderUse | None, now: Millis) -> list[Json]:
        settings = self._room.limits.settings
        weight = self._room.limits.address(self._address).used(now)
        rows: list[Json] = [_limit("REQUEST_WEIGHT", "MINUTE", 1, settings.weight_per_minute, weight)]
        if use is not None:
            rows.append(_limit("ORDERS", "SECOND", 10, settings.orders_per_10s, use.ten_seconds))
            rows.append(_limit("ORDERS", "MINUTE", 1, settings.orders_per_minute, use.minute))
        return rows


def _limit(kind: str, interval: str, number: int, limit: int, count: int) -> dict[str, Json]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit, "count": count}


def signed_text(parameters: Parameters) -> bytes:
    """What a method's signature is of: all parameters but the signature, sorted by name, not percent-encoded."""
    pairs = sorted((name, value) for name, value in parameters.values.items() if name != "signature")
    return "&".join(f"{name}={value}" for name, value in pairs).encode()
