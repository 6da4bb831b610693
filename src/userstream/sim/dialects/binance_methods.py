"""The WebSocket API of the Binance family: calls as methods on a socket, and a session for Ed25519 keys (6.1, 6.5, 3.4)."""

from collections.abc import Callable, Mapping
from typing import Final, Generic

import msgspec

from userstream.sim.actions import Answer
from userstream.sim.books import Millis
from userstream.sim.dialects.binance_calls import (
    Asked,
    Outcome,
    Product,
    Security,
    check_signature,
    check_timestamp,
    check_trading,
    counted_rows,
    find_key,
)
from userstream.sim.dialects.binance_errors import VenueError, missing
from userstream.sim.dialects.binance_parameters import Parameters, plain_text
from userstream.sim.keys import ApiKey, KeyType
from userstream.sim.room import Room
from userstream.sim.venue import Frame, Json

SESSION_WEIGHT: Final = 2


class MethodRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request on the socket; parameters keep the digits they were sent with."""

    method: str
    id: int | str | None = None
    params: dict[str, msgspec.Raw] = {}


class MethodSession(Generic[Asked]):
    """One socket of the WebSocket API. By itself it never carries events."""

    messages_per_second = 0

    def __init__(self, room: Room, product: Product[Asked], address: str, query: Mapping[str, str], now: Millis) -> None:
        self._room = room
        self._product = product
        self._address = address
        self._shows_limits = query.get("returnRateLimits") != "false"
        self._connected_at = now
        self._authorized_at = Millis(0)
        self._key: ApiKey | None = None
        self.wants_close = False
        self._own: dict[str, Callable[[Parameters, Millis], Json]] = {
            "session.logon": self._log_on,
            "session.logout": self._log_out,
            "session.status": self._tell_status,
        }

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
            return [self._failure(None, VenueError(-1135), now)]
        prepared = self._room.faults.answer_for("WS", f"{self._product.socket_path}/{request.method}")
        if prepared is not None and not prepared.apply:
            return self._prepared(request, prepared, now)
        reply = self._reply(request, parameters, now)
        behind = self._take_behind()
        return [reply, *behind] if prepared is None else [*self._prepared(request, prepared, now), *behind]

    def _take_behind(self) -> list[bytes]:
        """Frames that go out behind the answer that caused them."""
        return []

    # --- calls ---------------------------------------------------------------------------------------------------------

    def _reply(self, request: MethodRequest, parameters: Parameters, now: Millis) -> bytes:
        try:
            return self._success(request, self._carry_out(request.method, parameters, now), parameters, now)
        except VenueError as wrong:
            return self._failure(request.id if wrong.is_answer else None, wrong, now)

    def _carry_out(self, method: str, parameters: Parameters, now: Millis) -> Outcome:
        own = self._own.get(method)
        if own is not None:
            self._product.charge(self._room, self._address, SESSION_WEIGHT, now)
            return Outcome(body=own(parameters, now))
        if method not in self._product.methods:
            raise VenueError(-1020)
        endpoint = self._product.endpoints[self._product.methods[method]]
        return self._product.serve(
            self._room, endpoint, parameters, self._address, now, lambda security: self._authenticate(security, parameters, now)
        )

    def _authenticate(self, security: Security, parameters: Parameters, now: Millis) -> ApiKey | None:
        if security is Security.NONE:
            return None
        key = self._find_key(parameters)
        if security is Security.KEY:
            return key
        check_timestamp(parameters, self._room.stated(now), self._product.manners)
        if self._key is None or key != self._key or parameters.maybe_text("signature"):
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

    def _log_on(self, parameters: Parameters, now: Millis) -> Json:
        key = self._signer(parameters, now)
        if key.key_type is not KeyType.ED25519:
            raise self._product.manners.vocabulary.refuse(-4056)
        self._key, self._authorized_at = key, self._room.stated(now)
        return self._tell_status(parameters, now)

    def _signer(self, parameters: Parameters, now: Millis) -> ApiKey:
        """The key that signed this request by itself, whatever session there is."""
        key = find_key(self._room, parameters.text("apiKey"))
        check_timestamp(parameters, self._room.stated(now), self._product.manners)
        check_signature(key, parameters.maybe_text("signature"), [signed_text(parameters)])
        return key

    def _log_out(self, parameters: Parameters, now: Millis) -> Json:
        self._key = None
        return self._tell_status(parameters, now)

    def _tell_status(self, parameters: Parameters, now: Millis) -> Json:
        del parameters
        return self._status(now)

    def _status(self, now: Millis) -> dict[str, Json]:
        return {
            "apiKey": None if self._key is None else self._key.api_key,
            "authorizedSince": None if self._key is None else self._authorized_at,
            "connectedSince": self._connected_at,
            "returnRateLimits": self._shows_limits,
            "serverTime": self._room.stated(now),
        }

    # --- replies -------------------------------------------------------------------------------------------------------

    def _shown(self, body: Json) -> Json:
        """The result in the form that the socket asked for."""
        return body

    def _success(self, request: MethodRequest, outcome: Outcome, parameters: Parameters, now: Millis) -> bytes:
        shows = self._shows_limits if parameters.maybe_text("returnRateLimits") is None else parameters.flag("returnRateLimits")
        message: dict[str, Json] = {"id": request.id, "status": 200, "result": self._shown(outcome.body)}
        limits = counted_rows(self._room, self._product.manners, self._address, outcome.use, now)
        return msgspec.json.encode(message | ({"rateLimits": limits} if shows else {}))

    def _failure(self, number: int | str | None, wrong: VenueError, now: Millis) -> bytes:
        error = wrong.body | self._advice(wrong.headers, now)
        # A banned address loses its sockets (3.2).
        self.wants_close = self.wants_close or wrong.status == 418
        message: dict[str, Json] = {"id": number, "status": wrong.status, "error": error}
        limits = counted_rows(self._room, self._product.manners, self._address, None, now)
        return msgspec.json.encode(message | ({"rateLimits": limits} if self._shows_limits else {}))

    def _advice(self, headers: Mapping[str, str], now: Millis) -> dict[str, Json]:
        """When to come back, which a reply on a socket says in its error and not in a header (3.2)."""
        wait_s = headers.get("Retry-After", "")
        if not wait_s.isdecimal():
            return {}
        stated = self._room.stated(now)
        return {"data": {"serverTime": stated, "retryAfter": stated + int(wait_s) * 1000}}

    def _prepared(self, request: MethodRequest, answer: Answer, now: Millis) -> list[bytes]:
        """The answer that was prepared: a JSON body is the error object itself, with the advice of a header."""
        if answer.abort:
            self.wants_close = True
            return []
        body = answer.body.encode() or msgspec.json.encode(VenueError(-1000).body)
        try:
            error = msgspec.json.decode(body)
        except msgspec.DecodeError:
            error = {"code": -1000, "msg": answer.body}
        if isinstance(error, dict):
            error = self._advice(answer.headers, now) | error
        return [msgspec.json.encode({"id": request.id, "status": answer.status, "error": error})]


def signed_text(parameters: Parameters) -> bytes:
    """What a method's signature is of: all parameters but the signature, sorted by name, not percent-encoded."""
    pairs = sorted((name, value) for name, value in parameters.values.items() if name != "signature")
    return "&".join(f"{name}={value}" for name, value in pairs).encode()
