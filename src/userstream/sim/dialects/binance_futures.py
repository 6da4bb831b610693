"""What USD-M and COIN-M have in common at the door: sockets of two kinds, events, keys that expire (Binance USD-M, 2.1, 4.1)."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

import msgspec

from userstream.sim.books import Happening, Millis
from userstream.sim.dialects import binance_futures_messages
from userstream.sim.dialects.binance_calls import Product
from userstream.sim.dialects.binance_dialect import RestDoor
from userstream.sim.dialects.binance_errors import VenueError
from userstream.sim.dialects.binance_futures_calls import Request
from userstream.sim.dialects.binance_futures_messages import MessageWriter, frame_of
from userstream.sim.dialects.binance_methods import MethodSession
from userstream.sim.dialects.binance_sockets import StreamSession
from userstream.sim.room import Room
from userstream.sim.venue import Frame


class Futures(RestDoor[Request], ABC):
    """The dialect of a venue of contracts over one room."""

    def __init__(self, room: Room, product: Product[Request]) -> None:
        super().__init__(room, product)
        self._writer = self._open_writer(random.Random(room.chance.random()))

    def _open_writer(self, chance: random.Random) -> MessageWriter:
        return MessageWriter(chance)

    def _unknown_path(self, text: str) -> VenueError:
        return VenueError(-5000, text, status=404)

    def open_socket(self, path: str, query: str, address: str, now: Millis) -> StreamSession | MethodSession[Request] | None:
        if path == self._product.socket_path:
            return MethodSession(self._room, self._product, address, dict(parse_qsl(query)), now)
        return self._open_stream(path, query)

    @abstractmethod
    def _open_stream(self, path: str, query: str) -> StreamSession | None:
        """The session of a stream address; None for an address that is none."""

    @property
    def event_names(self) -> frozenset[str]:
        return self._writer.event_names

    def write(self, happenings: Sequence[Happening], now: Millis) -> list[Frame]:
        return self._writer.write(happenings, self._room.stated(now))

    def tick(self, now: Millis) -> list[Frame]:
        stated = self._room.stated(now)
        return [
            frame_of(known.account, binance_futures_messages.listen_key_expired(known.key, stated), known.key)
            for known in self._room.listen_keys.expire_due(now)
        ]

    def shutdown_notice(self, now: Millis) -> bytes:
        return msgspec.json.encode(binance_futures_messages.server_shutdown(self._room.stated(now)))

    def rare_event(self, account: str, name: str, fields: Mapping[str, str | int | bool], now: Millis) -> Frame:
        return frame_of(account, self._writer.rare_event(account, name, fields, self._room.stated(now)))
