"""A product of the Binance family at the door of the server: REST requests let in, errors written, headers added (3.2 to 3.4)."""

from collections.abc import Mapping
from typing import Final, Generic

import msgspec

from userstream.sim.books import Millis
from userstream.sim.dialects.binance_calls import (
    Asked,
    Outcome,
    Product,
    Security,
    check_signature,
    check_timestamp,
    check_trading,
    find_key,
    order_headers,
)
from userstream.sim.dialects.binance_errors import VenueError
from userstream.sim.dialects.binance_parameters import Parameters, read_pairs, signed_payloads
from userstream.sim.keys import ApiKey
from userstream.sim.room import Room
from userstream.sim.venue import Call, Json, Locations, Reply

JSON_TYPE: Final = "application/json;charset=UTF-8"
NONE: Final = Security.NONE
KEY: Final = Security.KEY


class RestDoor(Generic[Asked]):
    """The REST side of a dialect over one room. It lives at the root of the server, as the venue does."""

    def __init__(self, room: Room, product: Product[Asked]) -> None:
        self._room = room
        self._product = product

    def serves(self, path: str) -> bool:
        return path in self._product.paths or path.startswith(self._product.prefixes)

    def locations(self, http_url: str, ws_url: str) -> Locations:
        return Locations(rest_url=http_url, ws_url=ws_url, ws_api_url=ws_url + self._product.socket_path)

    def answer(self, call: Call, now: Millis) -> Reply:
        try:
            outcome = self._answer(call, now)
        except VenueError as wrong:
            return self._reply(call, wrong.status, wrong.body, now, wrong.headers)
        headers = {} if outcome.use is None else order_headers(outcome.use, self._product.manners)
        return self._reply(call, 200, outcome.body, now, headers)

    def _answer(self, call: Call, now: Millis) -> Outcome:
        endpoint = self._product.endpoints.get((call.method, call.path))
        parameters = Parameters(read_pairs(call.query, call.body))
        if endpoint is None:
            self._product.charge(self._room, call.address, 1, now)
            raise self._unknown_path(f"Path {call.path}, Method {call.method} is invalid")
        return self._product.serve(
            self._room, endpoint, parameters, call.address, now, lambda security: self._authenticate(security, call, parameters, now)
        )

    def _unknown_path(self, text: str) -> VenueError:
        return VenueError(-1000, text, status=404)

    def _authenticate(self, security: Security, call: Call, parameters: Parameters, now: Millis) -> ApiKey | None:
        if security is NONE:
            return None
        key = find_key(self._room, call.headers.get("x-mbx-apikey", ""))
        if security is KEY:
            return key
        check_timestamp(parameters, self._room.stated(now), self._product.manners)
        check_signature(key, parameters.maybe_text("signature"), self._payloads(call))
        check_trading(key, security)
        return key

    def _payloads(self, call: Call) -> list[bytes]:
        """The texts of which one must be signed."""
        return signed_payloads(call.query, call.body)

    def _reply(self, call: Call, status: int, body: Json, now: Millis, headers: Mapping[str, str]) -> Reply:
        headers = {"Content-Type": JSON_TYPE, **self._used(call, now), **headers}
        return Reply(status=status, body=msgspec.json.encode(body), headers=headers)

    def _used(self, call: Call, now: Millis) -> dict[str, str]:
        return {"X-MBX-USED-WEIGHT-1M": str(self._room.limits.address(call.address).used(now))}
