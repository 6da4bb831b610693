"""Calls that need no key: time, rules, prices; and the listen key calls that are retired (Binance Spot, 2.1, 6.2, 6.3)."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from userstream.sim.books import Instrument, Side
from userstream.sim.dialects.binance_calls import limit_rows
from userstream.sim.dialects.binance_errors import VenueError, invalid
from userstream.sim.dialects.binance_spot_calls import MANNERS, Endpoint, Request, Security
from userstream.sim.dialects.binance_spot_errors import refuse
from userstream.sim.dialects.binance_spot_words import ORDER_TYPES, PREVENTIONS, text_of
from userstream.sim.spot.instruments import (
    LARGEST_TRAILING,
    LEAST_TRAILING,
    MAX_AMENDMENTS,
    MAX_ICEBERG_PARTS,
    MAX_LISTS,
    MAX_NOTIONAL,
    MAX_OPEN_ORDERS,
    MAX_PRICE_SHARE,
    MAX_STOP_ORDERS,
    MIN_PRICE_SHARE,
    has_margin,
)
from userstream.sim.venue import Json

DEPTH_LEVELS = 5
AVERAGE_MINUTES = 5
GONE = 410


def ping(request: Request) -> Json:
    del request
    return {}


def get_time(request: Request) -> Json:
    return {"serverTime": request.stated}


def rate_limits(request: Request) -> list[dict[str, Json]]:
    raw: dict[str, Json] = {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000}
    return [*limit_rows(request.room, MANNERS), raw]


def get_rules(request: Request) -> Json:
    """`exchangeInfo`, of all pairs or of those that `symbol` or `symbols` names."""
    return {
        "timezone": "UTC",
        "serverTime": request.stated,
        "rateLimits": rate_limits(request),
        "exchangeFilters": [],
        "symbols": [_symbol_row(instrument) for instrument in _wanted(request)],
    }


def _wanted(request: Request) -> Sequence[Instrument]:
    symbol, several = request.maybe_symbol(), request.parameters.maybe_text("symbols")
    if symbol is not None and several is not None:
        raise refuse(-1128)
    if symbol is not None:
        return [request.instrument(symbol)]
    if several is None:
        return list(request.exchange.instruments.values())
    try:
        names = msgspec.json.decode(several, type=list[str])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise invalid("symbols") from None
    return [request.instrument(name) for name in names]


def _symbol_row(instrument: Instrument) -> dict[str, Json]:
    return {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": has_margin(instrument.symbol),
        "filters": _filters(instrument),
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"] if has_margin(instrument.symbol) else ["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": list(PREVENTIONS),
    }


def _filters(instrument: Instrument) -> list[dict[str, Json]]:
    tick, step, least = text_of(instrument.tick_size), text_of(instrument.step_size), text_of(instrument.min_quantity)
    most = text_of(instrument.max_market_quantity)
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "100000000.00000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": least, "maxQty": text_of(instrument.max_quantity), "stepSize": step},
        {"filterType": "ICEBERG_PARTS", "limit": MAX_ICEBERG_PARTS},
        {"filterType": "MARKET_LOT_SIZE", "minQty": text_of(Decimal(0)), "maxQty": most, "stepSize": step},
        {
            "filterType": "TRAILING_DELTA",
            **dict.fromkeys(("minTrailingAboveDelta", "minTrailingBelowDelta"), LEAST_TRAILING),
            **dict.fromkeys(("maxTrailingAboveDelta", "maxTrailingBelowDelta"), LARGEST_TRAILING),
        },
        *_worth_filters(instrument),
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": MAX_OPEN_ORDERS},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": MAX_LISTS},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": MAX_STOP_ORDERS},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": MAX_AMENDMENTS},
    ]


def _worth_filters(instrument: Instrument) -> list[dict[str, Json]]:
    """What price and notional are held against the market."""
    return [
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            **dict.fromkeys(("bidMultiplierUp", "askMultiplierUp"), text_of(MAX_PRICE_SHARE)),
            **dict.fromkeys(("bidMultiplierDown", "askMultiplierDown"), text_of(MIN_PRICE_SHARE)),
            "avgPriceMins": AVERAGE_MINUTES,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": text_of(instrument.min_notional),
            "applyMinToMarket": True,
            "maxNotional": text_of(MAX_NOTIONAL),
            "applyMaxToMarket": False,
            "avgPriceMins": AVERAGE_MINUTES,
        },
    ]


def get_price(request: Request) -> Json:
    """`ticker/price`: one object for a symbol, a list otherwise."""
    rows: list[Json] = [{"symbol": each.symbol, "price": _price(request, each)} for each in _wanted(request)]
    return rows if request.maybe_symbol() is None else rows[0]


def get_average(request: Request) -> Json:
    instrument = request.instrument(request.symbol())
    return {"mins": AVERAGE_MINUTES, "price": _price(request, instrument), "closeTime": request.now}


def get_book_ticker(request: Request) -> Json:
    rows: list[Json] = []
    for each in _wanted(request):
        quantity = text_of(each.min_quantity * 1000)
        bid, ask = (text_of(request.exchange.best_price(each.symbol, side)) for side in (Side.SELL, Side.BUY))
        rows.append({"symbol": each.symbol, "bidPrice": bid, "bidQty": quantity, "askPrice": ask, "askQty": quantity})
    return rows if request.maybe_symbol() is None else rows[0]


def get_day_ticker(request: Request) -> Json:
    """`ticker/24hr`: the present price as a day without movement; there is no tape of the past."""
    rows: list[Json] = [_day_row(request, each) for each in _wanted(request)]
    return rows if request.maybe_symbol() is None else rows[0]


def _day_row(request: Request, instrument: Instrument) -> dict[str, Json]:
    price, nothing = _price(request, instrument), text_of(Decimal(0))
    bid, ask = (text_of(request.exchange.best_price(instrument.symbol, side)) for side in (Side.SELL, Side.BUY))
    quantity = text_of(instrument.min_quantity * 1000)
    same = dict.fromkeys(("weightedAvgPrice", "prevClosePrice", "lastPrice", "openPrice", "highPrice", "lowPrice"), price)
    return {
        "symbol": instrument.symbol,
        "priceChange": nothing,
        "priceChangePercent": "0.000",
        **same,
        "lastQty": quantity,
        "bidPrice": bid,
        "bidQty": quantity,
        "askPrice": ask,
        "askQty": quantity,
        "volume": nothing,
        "quoteVolume": nothing,
        "openTime": request.now - 86_400_000,
        "closeTime": request.now,
        "firstId": -1,
        "lastId": -1,
        "count": 0,
    }


def get_depth(request: Request) -> Json:
    """A few levels of the outside market: enough for a client that looks before it trades."""
    instrument = request.instrument(request.symbol())
    bid, ask = (request.exchange.best_price(instrument.symbol, side) for side in (Side.SELL, Side.BUY))
    quantity = text_of(instrument.min_quantity * 1000)
    return {
        "lastUpdateId": request.now,
        "bids": [[text_of(bid - step * instrument.tick_size), quantity] for step in range(DEPTH_LEVELS)],
        "asks": [[text_of(ask + step * instrument.tick_size), quantity] for step in range(DEPTH_LEVELS)],
    }


def get_nothing(request: Request) -> Json:
    """Candles and the tape: the paper exchange keeps none."""
    request.symbol()
    return []


def _price(request: Request, instrument: Instrument) -> str:
    return text_of(request.exchange.last_price(instrument.symbol))


def say_retired(request: Request) -> Json:
    """The listen keys of spot are gone since February 2026; what the venue answers is not confirmed (Binance Spot, 2.1 and 9)."""
    del request
    raise VenueError(-1016, "This service is no longer available. Use the WebSocket API to subscribe to the user data stream.", status=GONE)


PATH = "/api/v3/"
NONE = Security.NONE
RETIRED = ("/api/v1/userDataStream", "/api/v3/userDataStream")
ENDPOINTS = (
    Endpoint(method="GET", path=PATH + "ping", handler=ping, security=NONE),
    Endpoint(method="GET", path=PATH + "time", handler=get_time, security=NONE),
    Endpoint(method="GET", path=PATH + "exchangeInfo", handler=get_rules, weight=20, security=NONE),
    Endpoint(method="GET", path=PATH + "avgPrice", handler=get_average, weight=2, security=NONE),
    Endpoint(method="GET", path=PATH + "ticker/price", handler=get_price, weight=2, weight_without_symbol=4, security=NONE),
    Endpoint(method="GET", path=PATH + "ticker/bookTicker", handler=get_book_ticker, weight=2, weight_without_symbol=4, security=NONE),
    Endpoint(method="GET", path=PATH + "ticker/24hr", handler=get_day_ticker, weight=2, weight_without_symbol=80, security=NONE),
    Endpoint(method="GET", path=PATH + "depth", handler=get_depth, weight=5, security=NONE),
    Endpoint(method="GET", path=PATH + "klines", handler=get_nothing, weight=2, security=NONE),
    Endpoint(method="GET", path=PATH + "trades", handler=get_nothing, weight=25, security=NONE),
    Endpoint(method="GET", path=PATH + "aggTrades", handler=get_nothing, weight=4, security=NONE),
    *(Endpoint(method=method, path=path, handler=say_retired, security=NONE) for path in RETIRED for method in ("POST", "PUT", "DELETE")),
)
