"""Calls of Binance COIN-M that need no key: rules and prices, always as lists, by contract or by pair (Binance COIN-M, 6.6)."""

from collections.abc import Sequence

from userstream.sim.books import ZERO, Instrument, Side
from userstream.sim.dialects.binance_calls import limit_rows
from userstream.sim.dialects.binance_futures_calls import MANNERS, Request
from userstream.sim.dialects.binance_futures_public import (
    FUNDING_INTERVAL_MS,
    NEVER_DELIVERED_MS,
    ONBOARD_MS,
    day_row,
    day_trades,
    digits,
    filters_of,
    price_of,
)
from userstream.sim.dialects.binance_futures_words import ALGO_TYPES, PLAIN_TYPES, TIMES_IN_FORCE, text_of
from userstream.sim.venue import Json


def get_rules(request: Request) -> Json:
    """`exchangeInfo`, with the size of one contract."""
    weight, *orders = limit_rows(request.room, MANNERS)
    return {
        "timezone": "UTC",
        "serverTime": request.stated,
        "rateLimits": [weight, *reversed(orders)],
        "exchangeFilters": [],
        "symbols": [_symbol_row(instrument) for instrument in request.exchange.instruments.values()],
    }


def _symbol_row(instrument: Instrument) -> dict[str, Json]:
    return {
        "symbol": instrument.symbol,
        "pair": instrument.pair,
        "contractType": "CURRENT_QUARTER" if instrument.delivery_time else "PERPETUAL",
        "deliveryDate": instrument.delivery_time or NEVER_DELIVERED_MS,
        "onboardDate": ONBOARD_MS,
        "contractStatus": "TRADING",
        "contractSize": int(instrument.contract.size),
        "quoteAsset": instrument.quote,
        "baseAsset": instrument.base,
        "marginAsset": instrument.margin_asset,
        "pricePrecision": digits(instrument.tick_size),
        "quantityPrecision": digits(instrument.step_size),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "equalQtyPrecision": 4,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "triggerProtect": "0.0500",
        "liquidationFee": "0.015000",
        "marketTakeBound": "0.05",
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "filters": [each for each in filters_of(instrument) if each["filterType"] != "MIN_NOTIONAL"],
        "orderTypes": [*PLAIN_TYPES, *ALGO_TYPES],
        "timeInForce": list(TIMES_IN_FORCE),
    }


def _wanted(request: Request) -> Sequence[Instrument]:
    symbol, pair = request.maybe_symbol(), request.parameters.maybe_text("pair")
    return [each for each in request.exchange.instruments.values() if symbol in (None, each.symbol) and pair in (None, each.pair)]


def get_price(request: Request) -> Json:
    """`ticker/price`."""
    return [{**_names(each), "price": price_of(request, each), "time": request.stated} for each in _wanted(request)]


def get_day_ticker(request: Request) -> Json:
    """`ticker/24hr`: as on USD-M, with the turnover in coins."""
    return [_day_row(request, each) for each in _wanted(request)]


def _day_row(request: Request, instrument: Instrument) -> dict[str, Json]:
    row = day_row(request, instrument)
    trades = day_trades(request, instrument.symbol)
    coins = sum((instrument.contract.base(trade.price, trade.quantity) for trade in trades), ZERO)
    dollars = sum((trade.quote_quantity for trade in trades), ZERO)
    del row["quoteVolume"]
    average = text_of(round(dollars / coins, 8)) if coins else row["lastPrice"]
    return row | {"pair": instrument.pair, "weightedAvgPrice": average, "baseVolume": text_of(round(coins, 8))}


def get_book_ticker(request: Request) -> Json:
    rows: list[Json] = []
    for each in _wanted(request):
        quantity = text_of(each.min_quantity * 1000)
        bid, ask = (text_of(request.exchange.best_price(each.symbol, side)) for side in (Side.SELL, Side.BUY))
        prices = {"bidPrice": bid, "bidQty": quantity, "askPrice": ask, "askQty": quantity}
        rows.append({**_names(each), **prices, "time": request.stated})
    return rows


def get_premium_index(request: Request) -> Json:
    """Mark prices; a contract with a delivery date has no funding."""
    return [_premium_row(request, each) for each in _wanted(request)]


def _premium_row(request: Request, instrument: Instrument) -> dict[str, Json]:
    price, funded = price_of(request, instrument), not instrument.delivery_time
    return {
        "symbol": instrument.symbol,
        "pair": instrument.pair,
        "markPrice": price,
        "indexPrice": price,
        "estimatedSettlePrice": price,
        "lastFundingRate": "0.00010000" if funded else "",
        "interestRate": "0.00010000" if funded else "",
        "nextFundingTime": request.now - request.now % FUNDING_INTERVAL_MS + FUNDING_INTERVAL_MS if funded else 0,
        "time": request.stated,
    }


def _names(instrument: Instrument) -> dict[str, Json]:
    return {"symbol": instrument.symbol, "ps": instrument.pair}
