"""Binance COIN-M futures as the paper exchange speaks it: inverse contracts below /dapi, sockets of dstream (Binance COIN-M, 4.2, 6.6).

Weight and orders are counted together with USD-M, and so is the position mode of an owner who has accounts at both (1.3).
"""

import random
from collections.abc import Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from userstream.sim.books import Instrument, Millis
from userstream.sim.dialects import binance_coinm_account as account
from userstream.sim.dialects import binance_coinm_public as public
from userstream.sim.dialects import binance_futures_account as futures_account
from userstream.sim.dialects import binance_futures_history as history
from userstream.sim.dialects import binance_futures_public as futures_public
from userstream.sim.dialects import binance_futures_settings as settings
from userstream.sim.dialects import binance_futures_trading as trading
from userstream.sim.dialects.binance_calls import Product, table_of
from userstream.sim.dialects.binance_coinm_messages import CoinmWriter
from userstream.sim.dialects.binance_futures import Futures
from userstream.sim.dialects.binance_futures_calls import MANNERS, Endpoint, Request, Security
from userstream.sim.dialects.binance_futures_messages import MessageWriter
from userstream.sim.dialects.binance_futures_methods import COINM_ACCOUNT, COMMON, below
from userstream.sim.dialects.binance_sockets import StreamSession, open_unrouted
from userstream.sim.exchange import Exchange
from userstream.sim.instruments import DEFAULT_INVERSE
from userstream.sim.marketplace import Marketplace
from userstream.sim.room import Room
from userstream.sim.venue import Locations, Venue

NAME: Final = "binance-coinm"
STREAMS: Final = "/dstream"
V1: Final = "/dapi/v1/"
NONE, KEY, TRADE = Security.NONE, Security.KEY, Security.TRADE

PUBLIC: Final = (
    Endpoint(method="GET", path=V1 + "ping", handler=futures_public.ping, security=NONE),
    Endpoint(method="GET", path=V1 + "time", handler=futures_public.get_time, security=NONE),
    Endpoint(method="GET", path=V1 + "exchangeInfo", handler=public.get_rules, security=NONE),
    Endpoint(method="GET", path=V1 + "ticker/price", handler=public.get_price, weight_without_symbol=2, security=NONE),
    Endpoint(method="GET", path=V1 + "ticker/bookTicker", handler=public.get_book_ticker, weight=2, weight_without_symbol=5, security=NONE),
    Endpoint(method="GET", path=V1 + "ticker/24hr", handler=public.get_day_ticker, weight_without_symbol=40, security=NONE),
    Endpoint(method="GET", path=V1 + "premiumIndex", handler=public.get_premium_index, weight=10, security=NONE),
    Endpoint(method="GET", path=V1 + "depth", handler=futures_public.get_depth, weight=2, security=NONE),
    Endpoint(method="GET", path=V1 + "klines", handler=futures_public.get_nothing, security=NONE),
    Endpoint(method="GET", path=V1 + "trades", handler=futures_public.get_nothing, weight=5, security=NONE),
    Endpoint(method="GET", path=V1 + "aggTrades", handler=futures_public.get_nothing, weight=20, security=NONE),
    Endpoint(method="POST", path=V1 + "listenKey", handler=futures_public.open_listen_key, security=KEY),
    Endpoint(method="PUT", path=V1 + "listenKey", handler=futures_public.extend_listen_key, security=KEY),
    Endpoint(method="DELETE", path=V1 + "listenKey", handler=futures_public.close_listen_key, security=KEY),
)
ACCOUNT: Final = (
    Endpoint(method="GET", path=V1 + "balance", handler=account.get_balance),
    Endpoint(method="GET", path=V1 + "account", handler=account.get_account, weight=5),
    Endpoint(method="GET", path=V1 + "positionRisk", handler=account.get_positions),
    Endpoint(method="GET", path=V1 + "leverageBracket", handler=account.get_pair_brackets),
    Endpoint(method="GET", path="/dapi/v2/leverageBracket", handler=account.get_brackets, weight_without_symbol=2),
    Endpoint(method="GET", path=V1 + "positionSide/dual", handler=futures_account.get_position_mode, weight=30),
    Endpoint(method="GET", path=V1 + "commissionRate", handler=futures_account.get_fees, weight=20),
    Endpoint(method="GET", path=V1 + "adlQuantile", handler=futures_account.get_adl, weight=5),
    Endpoint(method="GET", path=V1 + "rateLimit/order", handler=futures_account.get_order_rates),
    Endpoint(method="GET", path="/sapi/v1/account/apiRestrictions", handler=futures_account.get_key_rights),
)
HISTORY: Final = (
    Endpoint(method="GET", path=V1 + "order", handler=history.get_order),
    Endpoint(method="GET", path=V1 + "openOrder", handler=history.get_open_order),
    Endpoint(method="GET", path=V1 + "openOrders", handler=account.get_open_orders, weight_without_symbol=40),
    Endpoint(method="GET", path=V1 + "allOrders", handler=account.get_all_orders, weight=5),
    Endpoint(method="GET", path=V1 + "userTrades", handler=account.get_user_trades, weight=5),
    Endpoint(method="GET", path=V1 + "income", handler=history.get_income, weight=20),
    Endpoint(method="GET", path=V1 + "forceOrders", handler=history.get_force_orders, weight=20, weight_without_symbol=50),
    Endpoint(method="GET", path=V1 + "openAlgoOrders", handler=history.get_open_algo_orders, weight_without_symbol=40),
    Endpoint(method="GET", path=V1 + "algoOrder", handler=history.get_algo_order),
    Endpoint(method="GET", path=V1 + "allAlgoOrders", handler=history.get_all_algo_orders, weight=5),
    Endpoint(method="GET", path=V1 + "orderAmendment", handler=trading.get_amendments),
)
TRADING: Final = (
    Endpoint(method="POST", path=V1 + "order", handler=trading.place_order, weight=0, security=TRADE, orders=(1, 1)),
    Endpoint(method="PUT", path=V1 + "order", handler=trading.amend_order, weight=0, security=TRADE, orders=(1, 1)),
    Endpoint(method="DELETE", path=V1 + "order", handler=trading.cancel_order, security=TRADE),
    Endpoint(method="POST", path=V1 + "batchOrders", handler=trading.place_batch, weight=5, security=TRADE, orders=(5, 1)),
    Endpoint(method="PUT", path=V1 + "batchOrders", handler=trading.amend_batch, weight=5, security=TRADE, orders=(5, 1)),
    Endpoint(method="DELETE", path=V1 + "batchOrders", handler=trading.cancel_batch, security=TRADE),
    Endpoint(method="DELETE", path=V1 + "allOpenOrders", handler=trading.cancel_all, security=TRADE),
    Endpoint(method="POST", path=V1 + "countdownCancelAll", handler=trading.set_countdown, weight=10, security=TRADE),
    Endpoint(method="POST", path=V1 + "algoOrder", handler=settings.place_algo, weight=0, security=TRADE, orders=(1, 1)),
    Endpoint(method="DELETE", path=V1 + "algoOrder", handler=settings.cancel_algo, security=TRADE),
    Endpoint(method="DELETE", path=V1 + "algoOpenOrders", handler=settings.cancel_all_algo, security=TRADE),
    Endpoint(method="POST", path=V1 + "leverage", handler=account.set_leverage, security=TRADE),
    Endpoint(method="POST", path=V1 + "marginType", handler=settings.set_margin_type, security=TRADE),
    Endpoint(method="POST", path=V1 + "positionMargin", handler=settings.change_position_margin, security=TRADE),
    Endpoint(method="POST", path=V1 + "positionSide/dual", handler=settings.set_position_mode, security=TRADE),
)
PRODUCT: Final = Product(
    manners=MANNERS,
    request=Request,
    endpoints=MappingProxyType(table_of(PUBLIC, ACCOUNT, HISTORY, TRADING)),
    methods=below("/dapi", COMMON, COINM_ACCOUNT),
    socket_path="/ws-dapi/v1",
    prefixes=("/dapi/", "/ws-dapi/", STREAMS + "/", "/ws/"),
)


class BinanceCoinm(Futures):
    """The dialect of this venue over one room. Its stream sockets are at /dstream, and at the root where no other venue is meant."""

    def __init__(self, room: Room) -> None:
        super().__init__(room, PRODUCT)

    def _open_writer(self, chance: random.Random) -> MessageWriter:
        return CoinmWriter(chance, self._room.exchange.instruments)

    def serves(self, path: str) -> bool:
        return super().serves(path) or path in ("/ws", "/stream")

    def locations(self, http_url: str, ws_url: str) -> Locations:
        return Locations(rest_url=http_url, ws_url=ws_url + STREAMS, ws_api_url=ws_url + self._product.socket_path)

    def _open_stream(self, path: str, query: str) -> StreamSession | None:
        return open_unrouted(self._room, path.removeprefix(STREAMS), query)


def found_inverse(instruments: Sequence[Instrument], seed: int, start_time: Millis) -> Marketplace:
    """A new exchange for inverse contracts; its news show all positions (Binance COIN-M, 4.2)."""
    return Exchange(instruments, seed=seed, start_time=start_time, tells_all_positions=True)


VENUE: Final = Venue(
    name=NAME,
    instruments=DEFAULT_INVERSE,
    budget="binance-futures",
    open=BinanceCoinm,
    found=found_inverse,
    balances=MappingProxyType({"BTC": Decimal(2), "ETH": Decimal(50), "BNB": Decimal(100)}),
    home=("/dapi/", "/ws-dapi/", STREAMS + "/"),
)
