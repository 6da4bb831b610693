"""Binance Spot as the paper exchange speaks it: one table of calls and the WebSocket API, which carries the user data streams."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from userstream.sim.books import Happening, Instrument, Millis
from userstream.sim.dialects import (
    binance_spot_account,
    binance_spot_history,
    binance_spot_lists,
    binance_spot_messages,
    binance_spot_public,
    binance_spot_trading,
)
from userstream.sim.dialects.binance_spot_calls import (
    LIMITS,
    Endpoint,
    Outcome,
    Security,
    check_charge,
    check_signature,
    check_timestamp,
    check_trading,
    find_key,
    order_headers,
    serve,
)
from userstream.sim.dialects.binance_spot_errors import DetailedError, VenueError
from userstream.sim.dialects.binance_spot_methods import SOCKET_PATH, MethodSession
from userstream.sim.dialects.binance_spot_times import answer_in_microseconds
from userstream.sim.dialects.binance_usdm_parameters import Parameters, read_pairs, signed_payloads
from userstream.sim.keys import ApiKey
from userstream.sim.marketplace import Marketplace
from userstream.sim.room import Room
from userstream.sim.spot.exchange import SpotExchange
from userstream.sim.spot.instruments import DEFAULT_PAIRS
from userstream.sim.venue import Call, Frame, Json, Locations, Reply, Venue

NAME: Final = "binance-spot"
ENDPOINTS: Final[Mapping[tuple[str, str], Endpoint]] = MappingProxyType(
    {
        (endpoint.method, endpoint.path): endpoint
        for endpoint in (
            *binance_spot_public.ENDPOINTS,
            *binance_spot_account.ENDPOINTS,
            *binance_spot_history.ENDPOINTS,
            *binance_spot_trading.ENDPOINTS,
            *binance_spot_lists.ENDPOINTS,
        )
    }
)
PATHS: Final = frozenset(path for _, path in ENDPOINTS)
OWN_PREFIXES: Final = ("/api/", "/ws-api/")
JSON_TYPE: Final = {"Content-Type": "application/json;charset=UTF-8"}


class BinanceSpot:
    """The dialect of this venue over one room. It lives at the root of the server, as the venue does."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def serves(self, path: str) -> bool:
        return path in PATHS or path.startswith(OWN_PREFIXES)

    def locations(self, http_url: str, ws_url: str) -> Locations:
        return Locations(rest_url=http_url, ws_url=ws_url, ws_api_url=ws_url + SOCKET_PATH)

    # --- REST ----------------------------------------------------------------------------------------------------------

    def answer(self, call: Call, now: Millis) -> Reply:
        try:
            outcome = self._answer(call, now)
        except VenueError as wrong:
            error: dict[str, Json] = {"code": wrong.code, "msg": wrong.text}
            error |= {"data": wrong.data} if isinstance(wrong, DetailedError) else {}
            return self._reply(call, wrong.status, error, now, wrong.headers)
        headers = {} if outcome.use is None else order_headers(outcome.use)
        return self._reply(call, 200, outcome.body, now, headers)

    def _answer(self, call: Call, now: Millis) -> Outcome:
        endpoint = ENDPOINTS.get((call.method, call.path))
        parameters = Parameters(read_pairs(call.query, call.body))
        if endpoint is None:
            check_charge(self._room.limits.charge(call.address, 1, now), self._room.limits.settings)
            raise VenueError(-1000, f"Path {call.path}, Method {call.method} is invalid", status=404)
        return serve(
            self._room, endpoint, parameters, call.address, now, lambda security: self._authenticate(security, call, parameters, now)
        )

    def _authenticate(self, security: Security, call: Call, parameters: Parameters, now: Millis) -> ApiKey | None:
        """The signature is of the text exactly as it was sent, percent-encoded where it was (Binance Spot, 3.4)."""
        if security is Security.NONE:
            return None
        key = find_key(self._room, call.headers.get("x-mbx-apikey", ""))
        check_timestamp(parameters, self._room.stated(now))
        check_signature(key, parameters.maybe_text("signature"), signed_payloads(call.query, call.body)[:1])
        check_trading(key, security)
        return key

    def _reply(self, call: Call, status: int, body: Json, now: Millis, headers: Mapping[str, str]) -> Reply:
        weight = str(self._room.limits.address(call.address).used(now))
        used = {"X-MBX-USED-WEIGHT": weight, "X-MBX-USED-WEIGHT-1M": weight}
        if call.headers.get("x-mbx-time-unit", "").upper() == "MICROSECOND":
            body = answer_in_microseconds(body)
        return Reply(status=status, body=msgspec.json.encode(body), headers=JSON_TYPE | used | dict(headers))

    # --- sockets -------------------------------------------------------------------------------------------------------

    def open_socket(self, path: str, query: str, address: str, now: Millis) -> MethodSession | None:
        """Only JSON is spoken: a socket that asks for another form is refused."""
        wishes = dict(parse_qsl(query))
        if path != SOCKET_PATH or wishes.get("responseFormat", "json").lower() != "json":
            return None
        return MethodSession(self._room, ENDPOINTS, address, wishes, now)

    def write(self, happenings: Sequence[Happening], now: Millis) -> list[Frame]:
        return binance_spot_messages.write(happenings, self._room.stated(now))

    def tick(self, now: Millis) -> list[Frame]:
        """Nothing: there are no keys that expire."""
        del now
        return []

    def shutdown_notice(self, now: Millis) -> bytes:
        return msgspec.json.encode(binance_spot_messages.server_shutdown(self._room.stated(now)))

    def rare_event(self, account: str, name: str, fields: Mapping[str, str | int | bool], now: Millis) -> Frame:
        return binance_spot_messages.frame_of(account, binance_spot_messages.rare_event(name, fields, self._room.stated(now)))


def found_spot(instruments: Sequence[Instrument], seed: int, start_time: Millis) -> Marketplace:
    """A new spot exchange."""
    return SpotExchange(instruments, seed=seed, start_time=start_time)


VENUE: Final = Venue(
    name=NAME,
    instruments=DEFAULT_PAIRS,
    budget="binance-spot",
    open=BinanceSpot,
    found=found_spot,
    limits=LIMITS,
    home=OWN_PREFIXES,
    has_listen_keys=False,
    ping_interval_s=20,
    pong_deadline_s=60,
)
