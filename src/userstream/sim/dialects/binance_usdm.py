"""Binance USD-M futures as the paper exchange speaks it: one table of calls, the stream sockets and the WebSocket API."""

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from userstream.sim.books import Happening, Millis
from userstream.sim.dialects import (
    binance_usdm_account,
    binance_usdm_history,
    binance_usdm_messages,
    binance_usdm_public,
    binance_usdm_settings,
    binance_usdm_trading,
)
from userstream.sim.dialects.binance_usdm_calls import (
    Endpoint,
    Outcome,
    Security,
    check_charge,
    check_signature,
    check_timestamp,
    check_trading,
    find_key,
    order_headers,
    perform,
)
from userstream.sim.dialects.binance_usdm_errors import VenueError
from userstream.sim.dialects.binance_usdm_messages import MessageWriter, frame_of
from userstream.sim.dialects.binance_usdm_methods import SOCKET_PATH, MethodSession
from userstream.sim.dialects.binance_usdm_parameters import Parameters, read_pairs, signed_payloads
from userstream.sim.dialects.binance_usdm_sockets import StreamSession, open_stream
from userstream.sim.instruments import DEFAULT_INSTRUMENTS
from userstream.sim.keys import ApiKey
from userstream.sim.room import Room
from userstream.sim.venue import Call, Frame, Locations, Reply, Venue

NAME: Final = "binance-usdm"
ENDPOINTS: Final[Mapping[tuple[str, str], Endpoint]] = MappingProxyType(
    {
        (endpoint.method, endpoint.path): endpoint
        for endpoint in (
            *binance_usdm_public.ENDPOINTS,
            *binance_usdm_account.ENDPOINTS,
            *binance_usdm_history.ENDPOINTS,
            *binance_usdm_trading.ENDPOINTS,
            *binance_usdm_settings.ENDPOINTS,
        )
    }
)
PATHS: Final = frozenset(path for _, path in ENDPOINTS)
OWN_PREFIXES: Final = ("/fapi/", "/ws-fapi/", "/private/", "/public/", "/market/", "/ws/")
JSON_TYPE: Final = {"Content-Type": "application/json;charset=UTF-8"}


class BinanceUsdm:
    """The dialect of this venue over one room. It lives at the root of the server, as the venue does."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._writer = MessageWriter(random.Random(room.chance.random()))

    def serves(self, path: str) -> bool:
        return path in PATHS or path.startswith(OWN_PREFIXES) or path in ("/ws", "/stream")

    def locations(self, http_url: str, ws_url: str) -> Locations:
        return Locations(rest_url=http_url, ws_url=ws_url, ws_api_url=ws_url + SOCKET_PATH)

    # --- REST ----------------------------------------------------------------------------------------------------------

    def answer(self, call: Call, now: Millis) -> Reply:
        try:
            outcome = self._answer(call, now)
        except VenueError as wrong:
            return self._reply(call, wrong.status, msgspec.json.encode({"code": wrong.code, "msg": wrong.text}), now, wrong.headers)
        headers = {} if outcome.use is None else order_headers(outcome.use)
        return self._reply(call, 200, msgspec.json.encode(outcome.body), now, headers)

    def _answer(self, call: Call, now: Millis) -> Outcome:
        endpoint = ENDPOINTS.get((call.method, call.path))
        parameters = Parameters(read_pairs(call.query, call.body))
        weight = 1 if endpoint is None else endpoint.cost(parameters.values)
        check_charge(self._room.limits.charge(call.address, weight, now))
        if endpoint is None:
            raise VenueError(-5000, f"Path {call.path}, Method {call.method} is invalid", status=404)
        key = self._authenticate(endpoint.security, call, parameters, now)
        return perform(self._room, endpoint, key, parameters, now)

    def _authenticate(self, security: Security, call: Call, parameters: Parameters, now: Millis) -> ApiKey | None:
        if security is Security.NONE:
            return None
        key = find_key(self._room, call.headers.get("x-mbx-apikey", ""))
        if security is Security.KEY:
            return key
        check_timestamp(parameters, self._room.stated(now))
        check_signature(key, parameters.maybe_text("signature"), signed_payloads(call.query, call.body))
        check_trading(key, security)
        return key

    def _reply(self, call: Call, status: int, body: bytes, now: Millis, headers: Mapping[str, str]) -> Reply:
        used = {"X-MBX-USED-WEIGHT-1M": str(self._room.limits.address(call.address).used(now))}
        return Reply(status=status, body=body, headers=JSON_TYPE | used | dict(headers))

    # --- sockets -------------------------------------------------------------------------------------------------------

    def open_socket(self, path: str, query: str, address: str, now: Millis) -> StreamSession | MethodSession | None:
        if path == SOCKET_PATH:
            return MethodSession(self._room, ENDPOINTS, address, dict(parse_qsl(query)), now)
        return open_stream(self._room, path, query)

    def write(self, happenings: Sequence[Happening], now: Millis) -> list[Frame]:
        return self._writer.write(happenings, self._room.stated(now))

    def tick(self, now: Millis) -> list[Frame]:
        stated = self._room.stated(now)
        return [
            frame_of(known.account, binance_usdm_messages.listen_key_expired(known.key, stated), known.key)
            for known in self._room.listen_keys.expire_due(now)
        ]

    def shutdown_notice(self, now: Millis) -> bytes:
        return msgspec.json.encode(binance_usdm_messages.server_shutdown(self._room.stated(now)))

    def rare_event(self, account: str, name: str, fields: Mapping[str, str | int | bool], now: Millis) -> Frame:
        return frame_of(account, binance_usdm_messages.rare_event(name, fields, self._room.stated(now)))


VENUE: Final = Venue(name=NAME, instruments=DEFAULT_INSTRUMENTS, budget="binance-futures", open=BinanceUsdm)
