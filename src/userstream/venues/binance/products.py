"""The futures products as rows of one table: where they are read, what it weighs, how their sockets are opened, how far back they tell.

Both share one hedge-mode setting, one request weight per address and one order rate per account (Binance COIN-M, 1.3); calls, sockets and
events of each are its own.
"""

from __future__ import annotations

from typing import Final

import msgspec

from userstream.kernel.ids import VenueName
from userstream.venues.binance.forms import ALL_EVENTS, KEY_EXPIRY, Form
from userstream.venues.binance.languages import COIN_M_LANGUAGE, RISK_LANGUAGE, USD_M_LANGUAGE, Language

DAY_MS: Final = 24 * 3600 * 1000
LONGEST_WINDOW_MS: Final = 7 * DAY_MS - 1_000
"""Orders want less than seven days between the two times, trades at most seven (Binance USD-M, 6.1)."""

HISTORY_DEPTH_MS: Final = 89 * DAY_MS
"""Fills are kept for three months; the three shortest months in a row have 89 days."""

UNFILLED_DEPTH_MS: Final = 3 * DAY_MS
"""An order that was cancelled or expired without a fill is told for three days (Binance USD-M, 6.1)."""

PAGE: Final = 1_000


class Read(msgspec.Struct, frozen=True):
    """A call that reads the books. `weight`: per address. `of_host`: it counts in the budget of the host (see `HttpRequest`)."""

    path: str
    weight: int
    of_host: bool = False

    @property
    def label(self) -> str:
        return f"GET {self.path}"


class Reads(msgspec.Struct, frozen=True, kw_only=True):
    """Where each question is asked. `conditional_...`: of the service that keeps conditional orders."""

    clock: Read
    balances: Read
    positions: Read
    modes: Read
    symbol_settings: Read
    open_orders: Read
    conditional_open_orders: Read
    order: Read
    conditional_order: Read
    orders: Read
    conditional_orders: Read
    fills: Read
    movements: Read


class KeyedFeed(msgspec.Struct, frozen=True, kw_only=True):
    """A feed behind a listen key. socket_path: what stands between the address and the form. forms: the ways to open a socket, in the
    order in which they are tried. events: all names of the feed. renewal_names_key: the call that extends the key must say which."""

    listen_key_path: str
    socket_path: str
    forms: tuple[Form, ...]
    events: tuple[str, ...]
    language: Language
    renewal_names_key: bool = False


class FuturesProduct(msgspec.Struct, frozen=True, kw_only=True):
    """One futures product.

    orders_page, fills_page, movements_page: how many rows a page may be asked for. orders_by_symbol: order history wants a symbol.
    settings_in_account: leverage and margin type are told with the account, and modes by a call of their own. tells_all_legs: positions
    lists every symbol, also those never traded.
    """

    name: VenueName
    feed: KeyedFeed
    reads: Reads
    orders_page: int = PAGE
    fills_page: int = PAGE
    movements_page: int = PAGE
    orders_by_symbol: bool = False
    settings_in_account: bool = False
    tells_all_legs: bool = False


# Binance margin, 2.1 and 2.5: warnings of the cross account.
MARGIN_RISK: Final = KeyedFeed(
    listen_key_path="/sapi/v1/margin/listen-key",
    socket_path="",
    forms=(Form.PATH, Form.COMBINED),
    events=("MARGIN_LEVEL_STATUS_CHANGE", "USER_LIABILITY_CHANGE", KEY_EXPIRY),
    language=RISK_LANGUAGE,
    renewal_names_key=True,
)

# Binance USD-M, 2.1, 2.2, 6.1.
USD_M: Final = FuturesProduct(
    name=VenueName("binance-usdm"),
    feed=KeyedFeed(
        listen_key_path="/fapi/v1/listenKey",
        socket_path="/private",
        forms=(Form.QUERY, Form.PATH, Form.SUBSCRIBE),
        events=ALL_EVENTS,
        language=USD_M_LANGUAGE,
    ),
    reads=Reads(
        clock=Read("/fapi/v1/time", 1),
        balances=Read("/fapi/v3/balance", 5),
        positions=Read("/fapi/v3/positionRisk", 5),
        modes=Read("/fapi/v1/accountConfig", 5),
        symbol_settings=Read("/fapi/v1/symbolConfig", 5),
        open_orders=Read("/fapi/v1/openOrders", 40),
        conditional_open_orders=Read("/fapi/v1/openAlgoOrders", 40),
        order=Read("/fapi/v1/order", 1),
        conditional_order=Read("/fapi/v1/algoOrder", 1),
        orders=Read("/fapi/v1/allOrders", 5),
        conditional_orders=Read("/fapi/v1/allAlgoOrders", 5),
        fills=Read("/fapi/v1/userTrades", 5),
        movements=Read("/fapi/v1/income", 30),
    ),
)

# Binance COIN-M, 1, 1.3, 2.1, 6.6. The split of the stream addresses does not concern this product (1.2). Its order history was documented
# with pages of 100 and of 1000 rows: the smaller ones are good for both.
COIN_M: Final = FuturesProduct(
    name=VenueName("binance-coinm"),
    feed=KeyedFeed(
        listen_key_path="/dapi/v1/listenKey",
        socket_path="",
        forms=(Form.PATH, Form.COMBINED, Form.SUBSCRIBE),
        events=tuple(name for name in ALL_EVENTS if name not in ("TRADE_LITE", "CONDITIONAL_ORDER_TRIGGER_REJECT")),
        language=COIN_M_LANGUAGE,
    ),
    reads=Reads(
        clock=Read("/dapi/v1/time", 1),
        balances=Read("/dapi/v1/balance", 1),
        positions=Read("/dapi/v1/positionRisk", 1),
        modes=Read("/dapi/v1/positionSide/dual", 30),
        symbol_settings=Read("/dapi/v1/account", 5),
        open_orders=Read("/dapi/v1/openOrders", 40),
        conditional_open_orders=Read("/dapi/v1/openAlgoOrders", 40),
        order=Read("/dapi/v1/order", 1),
        conditional_order=Read("/dapi/v1/algoOrder", 1),
        orders=Read("/dapi/v1/allOrders", 5),
        conditional_orders=Read("/dapi/v1/allAlgoOrders", 5),
        fills=Read("/dapi/v1/userTrades", 5),
        movements=Read("/dapi/v1/income", 20),
    ),
    orders_page=100,
    orders_by_symbol=True,
    settings_in_account=True,
    tells_all_legs=True,
)
