"""The WebSocket API of Binance Spot: calls as methods, a session for Ed25519 keys, and the user data streams (2.3, 3.2, 6.2)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from userstream.sim.actions import Answer
from userstream.sim.books import Millis
from userstream.sim.dialects.binance_spot_calls import (
    Endpoint,
    Outcome,
    Security,
    check_charge,
    check_signature,
    check_timestamp,
    check_trading,
    find_key,
    serve,
)
from userstream.sim.dialects.binance_spot_errors import DetailedError, VenueError, missing, refuse
from userstream.sim.dialects.binance_spot_subscriptions import Subscriptions
from userstream.sim.dialects.binance_spot_times import answer_in_microseconds
from userstream.sim.dialects.binance_usdm_methods import signed_text
from userstream.sim.dialects.binance_usdm_parameters import Parameters
from userstream.sim.dialects.binance_usdm_trading import plain_text
from userstream.sim.keys import ApiKey, KeyType
from userstream.sim.limits import OrderUse
from userstream.sim.room import Room
from userstream.sim.venue import Frame, Json

SOCKET_PATH: Final = "/ws-api/v3"
CONNECT_WEIGHT: Final = 2
SESSION_WEIGHT: Final = 2
MICROSECONDS: Final = "MICROSECOND"
METHODS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "ping": ("GET", "/api/v3/ping"),
        "time": ("GET", "/api/v3/time"),
        "exchangeInfo": ("GET", "/api/v3/exchangeInfo"),
        "avgPrice": ("GET", "/api/v3/avgPrice"),
        "depth": ("GET", "/api/v3/depth"),
        "klines": ("GET", "/api/v3/klines"),
        "trades.recent": ("GET", "/api/v3/trades"),
        "trades.aggregate": ("GET", "/api/v3/aggTrades"),
        "ticker.price": ("GET", "/api/v3/ticker/price"),
        "ticker.book": ("GET", "/api/v3/ticker/bookTicker"),
        "ticker.24hr": ("GET", "/api/v3/ticker/24hr"),
        "order.place": ("POST", "/api/v3/order"),
        "order.test": ("POST", "/api/v3/order/test"),
        "order.status": ("GET", "/api/v3/order"),
        "order.cancel": ("DELETE", "/api/v3/order"),
        "order.cancelReplace": ("POST", "/api/v3/order/cancelReplace"),
        "order.amend.keepPriority": ("PUT", "/api/v3/order/amend/keepPriority"),
        "order.amendments": ("GET", "/api/v3/order/amendments"),
        "openOrders.status": ("GET", "/api/v3/openOrders"),
        "openOrders.cancelAll": ("DELETE", "/api/v3/openOrders"),
        "orderList.place": ("POST", "/api/v3/order/oco"),
        "orderList.place.oco": ("POST", "/api/v3/orderList/oco"),
        "orderList.place.oto": ("POST", "/api/v3/orderList/oto"),
        "orderList.place.otoco": ("POST", "/api/v3/orderList/otoco"),
        "orderList.status": ("GET", "/api/v3/orderList"),
        "orderList.cancel": ("DELETE", "/api/v3/orderList"),
        "openOrderLists.status": ("GET", "/api/v3/openOrderList"),
        "account.status": ("GET", "/api/v3/account"),
        "account.commission": ("GET", "/api/v3/account/commission"),
        "account.rateLimits.orders": ("GET", "/api/v3/rateLimit/order"),
        "allOrders": ("GET", "/api/v3/allOrders"),
        "allOrderLists": ("GET", "/api/v3/allOrderList"),
        "myTrades": ("GET", "/api/v3/myTrades"),
        "myPreventedMatches": ("GET", "/api/v3/myPreventedMatches"),
        "myAllocations": ("GET", "/api/v3/myAllocations"),
    }
)


class MethodRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request on the socket; parameters keep the digits they were sent with."""

    method: str
    id: int | str | None = None
    params: dict[str, msgspec.Raw] = {}


class SessionRevoked(Exception):
    """The key of the session is known no more: the next request is told so, whatever it was."""


class MethodSession:
    """One socket of the WebSocket API, with the sessions and subscriptions on it."""

    messages_per_second = 0

    def __init__(
        self, room: Room, endpoints: Mapping[tuple[str, str], Endpoint], address: str, query: Mapping[str, str], now: Millis
    ) -> None:
        self._room = room
        self._endpoints = endpoints
        self._address = address
        self._shows_limits = query.get("returnRateLimits") != "false"
        self._microseconds = query.get("timeUnit", "").upper() == MICROSECONDS
        self._connected_at = now
        self._authorized_at = Millis(0)
        self._key: ApiKey | None = None
        self._subscriptions = Subscriptions(microseconds=self._microseconds)
        self._ended: list[bytes] = []  # ends of subscriptions, told behind the answer
        self.wants_close = False
        self._own: Mapping[str, Callable[[Parameters, Millis], Json]] = {
            "session.logon": self._log_on,
            "session.logout": self._log_out,
            "session.status": self._tell_status,
            "session.subscriptions": self._tell_subscriptions,
            "userDataStream.subscribe": self._subscribe,
            "userDataStream.subscribe.signature": self._subscribe_signed,
            "userDataStream.unsubscribe": self._unsubscribe,
        }
        room.limits.charge(address, CONNECT_WEIGHT, now)

    @property
    def accounts(self) -> frozenset[str]:
        return self._subscriptions.accounts

    def wrap(self, frame: Frame) -> list[bytes]:
        return self._subscriptions.wrap(frame)

    def announce(self, body: bytes) -> bytes:
        return self._subscriptions.announce(body)

    def terminate(self, account: str, now: Millis) -> list[bytes]:
        return self._subscriptions.close_account(account, self._room.stated(now))

    def receive(self, text: str, now: Millis) -> list[bytes]:
        try:
            request = msgspec.json.decode(text, type=MethodRequest)
            parameters = Parameters({name: plain_text(bytes(value)) for name, value in request.params.items() if bytes(value) != b"null"})
        except msgspec.DecodeError:
            return [self._failure(None, refuse(-1135), now)]
        prepared = self._room.faults.answer_for("WS", f"{SOCKET_PATH}/{request.method}")
        if prepared is not None and not prepared.apply:
            return self._prepared(request, prepared)
        reply = self._reply(request, parameters, now)
        ended, self._ended = self._ended, []
        return [reply, *ended] if prepared is None else [*self._prepared(request, prepared), *ended]

    # --- calls ---------------------------------------------------------------------------------------------------------

    def _reply(self, request: MethodRequest, parameters: Parameters, now: Millis) -> bytes:
        try:
            self._check_session()
            own = self._own.get(request.method)
            if own is None:
                return self._success(request, self._perform(request.method, parameters, now), parameters, now)
            limits = self._room.limits
            check_charge(limits.charge(self._address, SESSION_WEIGHT, now), limits.settings)
            return self._success(request, Outcome(body=own(parameters, now)), parameters, now)
        except SessionRevoked:
            return self._failure(None, refuse(-2015), now)
        except VenueError as wrong:
            return self._failure(request.id, wrong, now)

    def _check_session(self) -> None:
        """A session whose key is gone ends with the next request (Binance Spot, 2.3)."""
        if self._key is not None and self._room.keys.find(self._key.api_key) is None:
            self._key = None
            raise SessionRevoked

    def _perform(self, method: str, parameters: Parameters, now: Millis) -> Outcome:
        if method not in METHODS:
            raise refuse(-1020)
        return serve(
            self._room,
            self._endpoints[METHODS[method]],
            parameters,
            self._address,
            now,
            lambda security: self._authenticate(security, parameters, now),
        )

    def _authenticate(self, security: Security, parameters: Parameters, now: Millis) -> ApiKey | None:
        if security is Security.NONE:
            return None
        key = self._find_key(parameters)
        check_timestamp(parameters, self._room.stated(now))
        if self._key is None or key != self._key or parameters.maybe_text("signature"):
            check_signature(key, parameters.maybe_text("signature"), [signed_text(parameters)])
        check_trading(key, security)
        return key

    def _find_key(self, parameters: Parameters) -> ApiKey:
        """The key of the request, or of the session."""
        name = parameters.maybe_text("apiKey")
        if name is not None:
            return find_key(self._room, name)
        if self._key is None:
            raise missing("apiKey")
        return self._key

    # --- session -------------------------------------------------------------------------------------------------------

    def _log_on(self, parameters: Parameters, now: Millis) -> Json:
        key = self._signer(parameters, now)
        if key.key_type is not KeyType.ED25519:
            raise refuse(-4056)
        self._key, self._authorized_at = key, self._room.stated(now)
        return self._tell_status(parameters, now)

    def _signer(self, parameters: Parameters, now: Millis) -> ApiKey:
        """The key that signed this request by itself, whatever session there is."""
        key = find_key(self._room, parameters.text("apiKey"))
        check_timestamp(parameters, self._room.stated(now))
        check_signature(key, parameters.maybe_text("signature"), [signed_text(parameters)])
        return key

    def _log_out(self, parameters: Parameters, now: Millis) -> Json:
        self._key = None
        self._ended += self._subscriptions.close_logon(self._room.stated(now))
        return self._tell_status(parameters, now)

    def _tell_status(self, parameters: Parameters, now: Millis) -> Json:
        del parameters
        return {
            "apiKey": None if self._key is None else self._key.api_key,
            "authorizedSince": None if self._key is None else self._authorized_at,
            "connectedSince": self._connected_at,
            "returnRateLimits": self._shows_limits,
            "serverTime": self._room.stated(now),
            "userDataStream": bool(self._subscriptions.accounts),
        }

    # --- subscriptions -------------------------------------------------------------------------------------------------

    def _subscribe(self, parameters: Parameters, now: Millis) -> Json:
        del parameters, now
        if self._key is None:
            raise refuse(-1002)
        return {"subscriptionId": self._subscriptions.open(self._key.account, by_logon=True)}

    def _subscribe_signed(self, parameters: Parameters, now: Millis) -> Json:
        return {"subscriptionId": self._subscriptions.open(self._signer(parameters, now).account, by_logon=False)}

    def _unsubscribe(self, parameters: Parameters, now: Millis) -> Json:
        self._ended += self._subscriptions.close(parameters.maybe_whole("subscriptionId"), self._room.stated(now))
        return {}

    def _tell_subscriptions(self, parameters: Parameters, now: Millis) -> Json:
        del parameters, now
        return [{"subscriptionId": number} for number in self._subscriptions.numbers]

    # --- replies -------------------------------------------------------------------------------------------------------

    def _success(self, request: MethodRequest, outcome: Outcome, parameters: Parameters, now: Millis) -> bytes:
        shows = self._shows_limits if parameters.maybe_text("returnRateLimits") is None else parameters.flag("returnRateLimits")
        body = answer_in_microseconds(outcome.body) if self._microseconds else outcome.body
        message: dict[str, Json] = {"id": request.id, "status": 200, "result": body}
        return msgspec.json.encode(message | ({"rateLimits": self._limits(outcome.use, now)} if shows else {}))

    def _failure(self, number: int | str | None, wrong: VenueError, now: Millis) -> bytes:
        error: dict[str, Json] = {"code": wrong.code, "msg": wrong.text}
        if "Retry-After" in wrong.headers:
            retry_after = now + int(wrong.headers["Retry-After"]) * 1000
            error["data"] = {"serverTime": self._room.stated(now), "retryAfter": retry_after}
        if isinstance(wrong, DetailedError):
            error["data"] = wrong.data
        # A banned address loses its sockets (Binance Spot, 3.2).
        self.wants_close = self.wants_close or wrong.status == 418
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
            rows.append(_limit("ORDERS", "DAY", 1, settings.orders_per_day, use.day))
        return rows


def _limit(kind: str, interval: str, number: int, limit: int, count: int) -> dict[str, Json]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit, "count": count}
