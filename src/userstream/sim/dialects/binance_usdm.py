"""Binance USD-M futures as the paper exchange speaks it: one table of calls, the stream sockets and the WebSocket API."""

from types import MappingProxyType
from typing import Final

from userstream.sim.dialects import (
    binance_futures_account,
    binance_futures_history,
    binance_futures_public,
    binance_futures_settings,
    binance_futures_trading,
)
from userstream.sim.dialects.binance_calls import Product, table_of
from userstream.sim.dialects.binance_futures import Futures
from userstream.sim.dialects.binance_futures_calls import MANNERS, Request
from userstream.sim.dialects.binance_futures_methods import COMMON, USDM_ACCOUNT, below
from userstream.sim.dialects.binance_sockets import StreamSession, open_stream
from userstream.sim.instruments import DEFAULT_INSTRUMENTS
from userstream.sim.room import Room
from userstream.sim.venue import Venue

NAME: Final = "binance-usdm"
PRODUCT: Final = Product(
    manners=MANNERS,
    request=Request,
    endpoints=MappingProxyType(
        table_of(
            binance_futures_public.ENDPOINTS,
            binance_futures_account.ENDPOINTS,
            binance_futures_history.ENDPOINTS,
            binance_futures_trading.ENDPOINTS,
            binance_futures_settings.ENDPOINTS,
        )
    ),
    methods=below("/fapi", COMMON, USDM_ACCOUNT),
    socket_path="/ws-fapi/v1",
    prefixes=("/fapi/", "/ws-fapi/", "/private/", "/public/", "/market/", "/ws/"),
)


class BinanceUsdm(Futures):
    """The dialect of this venue over one room."""

    def __init__(self, room: Room) -> None:
        super().__init__(room, PRODUCT)

    def serves(self, path: str) -> bool:
        return super().serves(path) or path in ("/ws", "/stream")

    def _open_stream(self, path: str, query: str) -> StreamSession | None:
        return open_stream(self._room, path, query)


VENUE: Final = Venue(name=NAME, instruments=DEFAULT_INSTRUMENTS, budget="binance-futures", open=BinanceUsdm)
