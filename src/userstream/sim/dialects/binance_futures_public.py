"""Calls that need no key: time, rules, prices; and the listen key, which needs only a key (Binance USD-M, 2.1, 6.1, 6.3)."""

from decimal import Decimal

from userstream.sim.books import ZERO, Fill, Instrument, Side
from userstream.sim.dialects.binance_calls import limit_rows
from userstream.sim.dialects.binance_futures_calls import MANNERS, Endpoint, Request, Security
from userstream.sim.dialects.binance_futures_errors import refuse
from userstream.sim.dialects.binance_futures_words import ALGO_TYPES, PLAIN_TYPES, TIMES_IN_FORCE, text_of
from userstream.sim.venue import Json

NEVER_DELIVERED_MS = 4_133_404_800_000
ONBOARD_MS = 1_569_398_400_000
DEPTH_LEVELS = 5
DAY_MS = 24 * 3_600_000
FUNDING_INTERVAL_MS = 8 * 3_600_000


def ping(request: Request) -> Json:
    del request
    return {}


def get_time(request: Request) -> Json:
    return {"serverTime": request.stated}


def get_rules(request: Request) -> Json:
    """`exchangeInfo`."""
    weight, *orders = limit_rows(request.room, MANNERS)
    instruments = request.exchange.instruments.values()
    assets = {each.margin_asset for each in instruments}
    return {
        "timezone": "UTC",
        "serverTime": request.stated,
        "futuresType": "U_MARGINED",
        "rateLimits": [weight, *reversed(orders)],
        "exchangeFilters": [],
        "assets": [{"asset": asset, "marginAvailable": True, "autoAssetExchange": "-10000"} for asset in sorted(assets)],
        "symbols": [_symbol_row(instrument) for instrument in instruments],
    }


def _symbol_row(instrument: Instrument) -> dict[str, Json]:
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": NEVER_DELIVERED_MS,
        "onboardDate": ONBOARD_MS,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.margin_asset,
        "pricePrecision": digits(instrument.tick_size),
        "quantityPrecision": digits(instrument.step_size),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": filters_of(instrument),
        "orderTypes": [*PLAIN_TYPES, *ALGO_TYPES],
        "timeInForce": list(TIMES_IN_FORCE),
    }


def filters_of(instrument: Instrument) -> list[dict[str, Json]]:
    tick, step, least = text_of(instrument.tick_size), text_of(instrument.step_size), text_of(instrument.min_quantity)
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "10000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": least, "maxQty": text_of(instrument.max_quantity), "stepSize": step},
        {"filterType": "MARKET_LOT_SIZE", "minQty": least, "maxQty": text_of(instrument.max_market_quantity), "stepSize": step},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": text_of(instrument.min_notional)},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500", "multiplierDecimal": "4"},
    ]


def digits(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def get_price(request: Request) -> Json:
    """`ticker/price`: one object for a symbol, a list without one."""
    rows: list[Json] = [{"symbol": each.symbol, "price": price_of(request, each), "time": request.stated} for each in _wanted(request)]
    return rows if request.maybe_symbol() is None else rows[0]


def get_book_ticker(request: Request) -> Json:
    rows: list[Json] = []
    for each in _wanted(request):
        quantity = text_of(each.min_quantity * 1000)
        bid, ask = (text_of(request.exchange.best_price(each.symbol, side)) for side in (Side.SELL, Side.BUY))
        rows.append(
            {"symbol": each.symbol, "bidPrice": bid, "bidQty": quantity, "askPrice": ask, "askQty": quantity, "time": request.stated}
        )
    return rows if request.maybe_symbol() is None else rows[0]


def get_day_ticker(request: Request) -> Json:
    """`ticker/24hr`: what the accounts of this exchange traded in a day, between the price it began with and the present one. The outside
    market keeps no tape."""
    rows: list[Json] = [day_row(request, each) for each in _wanted(request)]
    return rows if request.maybe_symbol() is None else rows[0]


def day_row(request: Request, instrument: Instrument) -> dict[str, Json]:
    trades = day_trades(request, instrument.symbol)
    opened, last = instrument.start_price, request.exchange.last_price(instrument.symbol)
    prices = [opened, last, *(trade.price for trade in trades)]
    volume = sum((trade.quantity for trade in trades), ZERO)
    turnover = sum((trade.quote_quantity for trade in trades), ZERO)
    return {
        "symbol": instrument.symbol,
        "priceChange": text_of(last - opened),
        "priceChangePercent": text_of(round((last - opened) / opened * 100, 3)),
        "weightedAvgPrice": text_of(round(turnover / volume, 8) if volume else last),
        "lastPrice": text_of(last),
        "lastQty": text_of(trades[-1].quantity if trades else ZERO),
        "openPrice": text_of(opened),
        "highPrice": text_of(max(prices)),
        "lowPrice": text_of(min(prices)),
        "volume": text_of(volume),
        "quoteVolume": text_of(turnover),
        "openTime": request.stated - DAY_MS,
        "closeTime": request.stated,
        "firstId": trades[0].trade_id if trades else -1,
        "lastId": trades[-1].trade_id if trades else -1,
        "count": len(trades),
    }


def day_trades(request: Request, symbol: str) -> list[Fill]:
    """Oldest first; a match of two accounts, which both have, once."""
    found: dict[int, Fill] = {}
    for account in request.exchange.accounts():
        for fill in reversed(request.exchange.fills(account, symbol)):
            if fill.time <= request.now - DAY_MS:
                break
            found[fill.trade_id] = fill
    return [found[trade_id] for trade_id in sorted(found)]


def get_premium_index(request: Request) -> Json:
    rows: list[Json] = [
        {
            "symbol": each.symbol,
            "markPrice": price_of(request, each),
            "indexPrice": price_of(request, each),
            "estimatedSettlePrice": price_of(request, each),
            "lastFundingRate": "0.00010000",
            "interestRate": "0.00010000",
            "nextFundingTime": request.now - request.now % FUNDING_INTERVAL_MS + FUNDING_INTERVAL_MS,
            "time": request.stated,
        }
        for each in _wanted(request)
    ]
    return rows if request.maybe_symbol() is None else rows[0]


def get_depth(request: Request) -> Json:
    """A few levels of the outside market: enough for a client that looks before it trades."""
    instrument = request.instrument(request.symbol())
    bid, ask = (request.exchange.best_price(instrument.symbol, side) for side in (Side.SELL, Side.BUY))
    quantity = text_of(instrument.min_quantity * 1000)
    return {
        "lastUpdateId": request.now,
        "E": request.stated,
        "T": request.now,
        "bids": [[text_of(bid - step * instrument.tick_size), quantity] for step in range(DEPTH_LEVELS)],
        "asks": [[text_of(ask + step * instrument.tick_size), quantity] for step in range(DEPTH_LEVELS)],
    }


def get_nothing(request: Request) -> Json:
    """Market history is not kept."""
    request.symbol()
    return []


def _wanted(request: Request) -> list[Instrument]:
    symbol = request.maybe_symbol()
    return [each for each in request.exchange.instruments.values() if symbol in (None, each.symbol)]


def price_of(request: Request, instrument: Instrument) -> str:
    return text_of(request.exchange.mark_price(instrument.symbol))


# --- listen keys -------------------------------------------------------------------------------------------------------


def open_listen_key(request: Request) -> Json:
    """A new key, or the living one with its life extended."""
    return {"listenKey": request.room.listen_keys.open(request.account, request.now).key}


def extend_listen_key(request: Request) -> Json:
    known = request.room.listen_keys.extend(request.account, request.now)
    if known is None:
        raise refuse(-1125)
    return {"listenKey": known.key}


def close_listen_key(request: Request) -> Json:
    request.room.listen_keys.close(request.account)
    return {}


NONE, KEY = Security.NONE, Security.KEY
ENDPOINTS = (
    Endpoint(method="GET", path="/fapi/v1/ping", handler=ping, security=NONE),
    Endpoint(method="GET", path="/fapi/v1/time", handler=get_time, security=NONE),
    Endpoint(method="GET", path="/api/v3/ping", handler=ping, security=NONE),
    Endpoint(method="GET", path="/api/v3/time", handler=get_time, security=NONE),
    Endpoint(method="GET", path="/fapi/v1/exchangeInfo", handler=get_rules, security=NONE),
    Endpoint(method="GET", path="/fapi/v1/ticker/price", handler=get_price, weight_without_symbol=2, security=NONE),
    Endpoint(method="GET", path="/fapi/v2/ticker/price", handler=get_price, weight_without_symbol=2, security=NONE),
    Endpoint(method="GET", path="/fapi/v1/ticker/bookTicker", handler=get_book_ticker, weight=2, weight_without_symbol=5, security=NONE),
    Endpoint(method="GET", path="/fapi/v1/ticker/24hr", handler=get_day_ticker, weight_without_symbol=40, security=NONE),
    Endpoint(method="GET", path="/fapi/v1/premiumIndex", handler=get_premium_index, weight_without_symbol=10, security=NONE),
    Endpoint(method="GET", path="/fapi/v1/depth", handler=get_depth, weight=2, security=NONE),
    Endpoint(method="GET", path="/fapi/v1/klines", handler=get_nothing, security=NONE),
    Endpoint(method="GET", path="/fapi/v1/trades", handler=get_nothing, weight=5, security=NONE),
    Endpoint(method="GET", path="/fapi/v1/aggTrades", handler=get_nothing, weight=20, security=NONE),
    Endpoint(method="POST", path="/fapi/v1/listenKey", handler=open_listen_key, security=KEY),
    Endpoint(method="PUT", path="/fapi/v1/listenKey", handler=extend_listen_key, security=KEY),
    Endpoint(method="DELETE", path="/fapi/v1/listenKey", handler=close_listen_key, security=KEY),
)
