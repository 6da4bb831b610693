"""Binance Spot as the paper exchange speaks it: one table of calls and the WebSocket API, which carries the user data streams."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from userstream.sim.books import Happening, Instrument, Millis
from userstream.sim.dialects import (
    binance_margin_account,
    binance_margin_streams,
    binance_margin_trading,
    binance_spot_account,
    binance_spot_history,
    binance_spot_lists,
    binance_spot_messages,
    binance_spot_public,
    binance_spot_trading,
)
from userstream.sim.dialects.binance_calls import Product, table_of
from userstream.sim.dialects.binance_dialect import RestDoor
from userstream.sim.dialects.binance_margin_messages import KEY_EVENT, RISK_EVENTS, listen_key_expired
from userstream.sim.dialects.binance_sockets import StreamSession, open_unrouted
from userstream.sim.dialects.binance_spot_calls import LIMITS, MANNERS, Request
from userstream.sim.dialects.binance_spot_methods import METHODS, SOCKET_PATH, SpotSession
from userstream.sim.dialects.binance_spot_times import answer_in_microseconds
from userstream.sim.marketplace import Marketplace
from userstream.sim.room import Room
from userstream.sim.spot.exchange import SpotExchange
from userstream.sim.spot.instruments import DEFAULT_PAIRS
from userstream.sim.venue import Call, Frame, Json, Reply, Venue

NAME: Final = "binance-spot"
RISK_STREAMS: Final = "/margin-stream"
OWN_PREFIXES: Final = ("/api/", "/ws-api/", "/sapi/v1/margin/", RISK_STREAMS + "/")
PRODUCT: Final = Product(
    manners=MANNERS,
    request=Request,
    endpoints=MappingProxyType(
        table_of(
            binance_spot_public.ENDPOINTS,
            binance_spot_account.ENDPOINTS,
            binance_spot_history.ENDPOINTS,
            binance_spot_trading.ENDPOINTS,
            binance_spot_lists.ENDPOINTS,
            binance_margin_streams.ENDPOINTS,
            binance_margin_account.ENDPOINTS,
            binance_margin_trading.ENDPOINTS,
        )
    ),
    methods=METHODS,
    socket_path=SOCKET_PATH,
    prefixes=OWN_PREFIXES,
)


class BinanceSpot(RestDoor[Request]):
    """The dialect of this venue over one room."""

    def __init__(self, room: Room) -> None:
        super().__init__(room, PRODUCT)

    def _payloads(self, call: Call) -> list[bytes]:
        """The signature is of the text exactly as it was sent, percent-encoded where it was (Binance Spot, 3.4)."""
        return super()._payloads(call)[:1]

    def _reply(self, call: Call, status: int, body: Json, now: Millis, headers: Mapping[str, str]) -> Reply:
        if call.headers.get("x-mbx-time-unit", "").upper() == "MICROSECOND":
            body = answer_in_microseconds(body)
        return super()._reply(call, status, body, now, headers)

    def _used(self, call: Call, now: Millis) -> dict[str, str]:
        limits = self._room.limits
        if call.path.startswith("/sapi/"):
            return {"X-SAPI-USED-IP-WEIGHT-1M": str(limits.wallet(call.address).used(now)), **self._used_by_account(call, now)}
        weight = str(limits.address(call.address).used(now))
        return {"X-MBX-USED-WEIGHT": weight, "X-MBX-USED-WEIGHT-1M": weight}

    def _used_by_account(self, call: Call, now: Millis) -> dict[str, str]:
        key = self._room.keys.find(call.headers.get("x-mbx-apikey", ""))
        if key is None:
            return {}
        return {"X-SAPI-USED-UID-WEIGHT-1M": str(self._room.limits.account_weight(self._room.owner(key.account)).used(now))}

    @property
    def event_names(self) -> frozenset[str]:
        return binance_spot_messages.EVENT_NAMES

    # --- sockets -------------------------------------------------------------------------------------------------------

    def open_socket(self, path: str, query: str, address: str, now: Millis) -> SpotSession | StreamSession | None:
        """The WebSocket API, or a risk socket of margin. Only JSON is spoken: a socket that asks for another form is refused."""
        if path.startswith((RISK_STREAMS + "/", "/ws/")):
            return open_unrouted(self._room, path.removeprefix(RISK_STREAMS), query, RISK_EVENTS)
        wishes = dict(parse_qsl(query))
        if path != SOCKET_PATH or wishes.get("responseFormat", "json").lower() != "json":
            return None
        return SpotSession(self._room, self._product, address, wishes, now)

    def write(self, happenings: Sequence[Happening], now: Millis) -> list[Frame]:
        return binance_spot_messages.write(happenings, self._room.stated(now))

    def tick(self, now: Millis) -> list[Frame]:
        """Listen keys of risk sockets and listen tokens that expire (Binance Spot, 2.1 and 2.4)."""
        stated, room = self._room.stated(now), self._room
        ended = msgspec.json.encode(binance_spot_messages.stream_terminated(stated))
        return [
            *(
                Frame(
                    account=known.account, event=KEY_EVENT, body=msgspec.json.encode(listen_key_expired(known.key, stated)), key=known.key
                )
                for known in room.listen_keys.expire_due(now)
            ),
            *(
                Frame(account=known.account, event="eventStreamTerminated", body=ended, key=known.token)
                for known in room.listen_tokens.expire_due(now)
            ),
        ]

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
    premises=NAME,
    has_listen_keys=False,
    ping_interval_s=20,
    pong_deadline_s=60,
)
