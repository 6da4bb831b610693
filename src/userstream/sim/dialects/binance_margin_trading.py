"""Orders of margin accounts: those of spot with an account to choose and loans on the side (Binance Spot, 4.4).

The calls are as people know them; the venue's document as we have it tells of the streams only.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from userstream.sim.dialects import binance_spot_history as history
from userstream.sim.dialects import binance_spot_lists as lists
from userstream.sim.dialects import binance_spot_trading as trading
from userstream.sim.dialects.binance_calls import Security
from userstream.sim.dialects.binance_errors import invalid
from userstream.sim.dialects.binance_margin_calls import aimed, is_isolated
from userstream.sim.dialects.binance_spot_account import get_order_rates
from userstream.sim.dialects.binance_spot_calls import Endpoint, Request
from userstream.sim.dialects.binance_spot_words import text_of
from userstream.sim.spot.admission import paid_asset
from userstream.sim.venue import Json

SIDE_EFFECTS: Final[Mapping[str, str]] = MappingProxyType(
    {word: word.lower() for word in ("NO_SIDE_EFFECT", "MARGIN_BUY", "AUTO_REPAY", "AUTO_BORROW_REPAY")}
)


def place_order(request: Request) -> Json:
    """The answer of spot, with what was borrowed for the order."""
    side_effect = request.parameters.word("sideEffectType", SIDE_EFFECTS, invalid("sideEffectType"), "NO_SIDE_EFFECT")
    wanted = aimed(request)
    kind = trading.read_kind(wanted.parameters)
    wish = msgspec.structs.replace(trading.read_new_order(wanted), side_effect=side_effect)
    order = wanted.exchange.place(wanted.account, wish, wanted.now)
    shown = _marked(trading.shown(wanted, order, kind), wanted)
    if not order.borrowed or not isinstance(shown, dict):
        return shown
    asset = paid_asset(wanted.instrument(order.symbol), order.side)
    return shown | {"marginBuyBorrowAmount": text_of(order.borrowed), "marginBuyBorrowAsset": asset}


def cancel_order(request: Request) -> Json:
    return _marked(trading.cancel_order(aimed(request)), request)


def cancel_all(request: Request) -> Json:
    return _marked(trading.cancel_all(aimed(request)), request)


def get_order(request: Request) -> Json:
    return _marked(history.get_order(aimed(request)), request)


def get_open_orders(request: Request) -> Json:
    return _marked(history.get_open_orders(aimed(request)), request)


def get_all_orders(request: Request) -> Json:
    return _marked(history.get_all_orders(aimed(request)), request)


def get_trades(request: Request) -> Json:
    return _marked(history.get_trades(aimed(request)), request)


# --- lists -------------------------------------------------------------------------------------------------------------


def place_oco(request: Request) -> Json:
    """In the words of the deprecated call of spot, which are those of margin."""
    return _marked(lists.place_former_oco(aimed(request)), request)


def place_oto(request: Request) -> Json:
    return _marked(lists.place_oto(aimed(request)), request)


def place_otoco(request: Request) -> Json:
    return _marked(lists.place_otoco(aimed(request)), request)


def cancel_list(request: Request) -> Json:
    return _marked(lists.cancel_list(aimed(request)), request)


def get_list(request: Request) -> Json:
    return _marked(history.get_list(aimed(request)), request)


def get_open_lists(request: Request) -> Json:
    return _marked(history.get_open_lists(aimed(request)), request)


def get_all_lists(request: Request) -> Json:
    return _marked(history.get_all_lists(aimed(request)), request)


def _marked(shown: Json, request: Request) -> Json:
    """Every object says whose it is."""
    if isinstance(shown, Mapping):
        return {**shown, "isIsolated": is_isolated(request)}
    return [_marked(each, request) for each in shown] if isinstance(shown, list) else shown


PATH: Final = "/sapi/v1/margin/"
TRADE = Security.TRADE
ENDPOINTS = (
    Endpoint(method="POST", path=PATH + "order", handler=place_order, weight=6, security=TRADE, orders=(1, 0), by_account=True),
    Endpoint(method="DELETE", path=PATH + "order", handler=cancel_order, weight=10, security=TRADE),
    Endpoint(method="GET", path=PATH + "order", handler=get_order, weight=10),
    Endpoint(method="GET", path=PATH + "openOrders", handler=get_open_orders, weight=10),
    Endpoint(method="DELETE", path=PATH + "openOrders", handler=cancel_all, security=TRADE),
    Endpoint(method="GET", path=PATH + "allOrders", handler=get_all_orders, weight=200),
    Endpoint(method="GET", path=PATH + "myTrades", handler=get_trades, weight=10),
    Endpoint(method="POST", path=PATH + "order/oco", handler=place_oco, weight=6, security=TRADE, orders=(2, 0), by_account=True),
    Endpoint(method="POST", path=PATH + "order/oto", handler=place_oto, weight=6, security=TRADE, orders=(2, 0), by_account=True),
    Endpoint(method="POST", path=PATH + "order/otoco", handler=place_otoco, weight=6, security=TRADE, orders=(3, 0), by_account=True),
    Endpoint(method="DELETE", path=PATH + "orderList", handler=cancel_list, security=TRADE, by_account=True),
    Endpoint(method="GET", path=PATH + "orderList", handler=get_list, weight=10),
    Endpoint(method="GET", path=PATH + "openOrderList", handler=get_open_lists, weight=10),
    Endpoint(method="GET", path=PATH + "allOrderList", handler=get_all_lists, weight=200),
    Endpoint(method="GET", path=PATH + "rateLimit/order", handler=get_order_rates, weight=20),
)
