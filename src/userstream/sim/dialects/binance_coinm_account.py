"""Reading balances, positions, orders and brackets on Binance COIN-M, and changing the leverage (Binance COIN-M, 6.6)."""

from userstream.sim.books import Instrument, Position
from userstream.sim.dialects.binance_coinm_objects import account_position, balance_row, max_coins, position_row
from userstream.sim.dialects.binance_errors import missing, missing_both
from userstream.sim.dialects.binance_futures_account import Picture, asset_row
from userstream.sim.dialects.binance_futures_calls import Request
from userstream.sim.dialects.binance_futures_errors import refuse
from userstream.sim.dialects.binance_futures_history import is_kept, orders_page, trades_of
from userstream.sim.dialects.binance_futures_objects import alias_of, max_notional, order_row
from userstream.sim.dialects.binance_futures_words import text_of
from userstream.sim.venue import Json


def get_balance(request: Request) -> Json:
    picture = Picture(request)
    alias = alias_of(request.account)
    return [balance_row(balance, alias, picture.profit(balance.asset, cross_only=True)) for balance in picture.balances]


def get_account(request: Request) -> Json:
    """Assets in coins, and all contracts, flat or not."""
    picture = Picture(request)
    settings = request.books.settings(request.account)
    return {
        "feeTier": settings.fee_tier,
        "canTrade": settings.can_trade,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "assets": [asset_row(balance, picture) for balance in picture.balances],
        "positions": [account_position(each, request.instrument(each.symbol), picture.orders(each)) for each in picture.positions],
    }


def get_positions(request: Request) -> Json:
    """All contracts, or those of a pair, or of a margin asset."""
    return [
        position_row(each, request.instrument(each.symbol))
        for each in request.books.positions(request.account, all=True)
        if _is_wanted(each, request.instrument(each.symbol), request)
    ]


def _is_wanted(position: Position, instrument: Instrument, request: Request) -> bool:
    asset, pair = request.parameters.maybe_text("marginAsset"), request.parameters.maybe_text("pair")
    del position
    return asset in (None, instrument.margin_asset) and pair in (None, instrument.pair)


def get_user_trades(request: Request) -> Json:
    """Fills of a contract, or of all contracts of a pair; exactly one of the two is named."""
    symbol, pair = request.maybe_symbol(), request.parameters.maybe_text("pair")
    if (symbol is None) == (pair is None):
        raise missing("symbol") if symbol is None else refuse(-1128)
    if symbol is not None:
        return trades_of(request, [symbol])
    if request.parameters.maybe_text("fromId") is not None:
        raise refuse(-1128)
    symbols = [each.symbol for each in request.exchange.instruments.values() if each.pair == pair]
    if not symbols:
        raise refuse(-1121)
    return trades_of(request, symbols)


def get_open_orders(request: Request) -> Json:
    """All, those of a contract, or those of a pair."""
    orders = request.books.open_orders(request.account, request.maybe_symbol())
    return [order_row(order, request.instrument(order.symbol)) for order in orders if _is_of_pair(request, order.symbol)]


def get_all_orders(request: Request) -> Json:
    """Those of a contract, or of a pair; one of the two is needed."""
    symbol, pair = request.maybe_symbol(), request.parameters.maybe_text("pair")
    if symbol is None and pair is None:
        raise missing_both("symbol", "pair")
    orders = [order for order in request.books.orders(request.account, symbol) if _is_of_pair(request, order.symbol)]
    return orders_page(request, [order for order in orders if is_kept(order, request.now)])


def _is_of_pair(request: Request, symbol: str) -> bool:
    return request.parameters.maybe_text("pair") in (None, request.instrument(symbol).pair)


def get_brackets(request: Request) -> Json:
    """`v2/leverageBracket`: one bracket for each contract; the paper exchange has one maintenance rate."""
    wanted = request.maybe_symbol()
    return [
        {"symbol": each.symbol, "notionalCoef": "1.00", "brackets": [_bracket(each, request)]}
        for each in request.exchange.instruments.values()
        if wanted in (None, each.symbol)
    ]


def get_pair_brackets(request: Request) -> Json:
    """`v1/leverageBracket`: the same by pair."""
    wanted = request.parameters.maybe_text("pair")
    pairs = {each.pair: each for each in reversed(list(request.exchange.instruments.values())) if wanted in (None, each.pair)}
    return [{"pair": pair, "brackets": [_bracket(each, request)]} for pair, each in pairs.items()]


def _bracket(instrument: Instrument, request: Request) -> dict[str, Json]:
    price = request.exchange.mark_price(instrument.symbol)
    return {
        "bracket": 1,
        "initialLeverage": instrument.max_leverage,
        "qtyCap": max_notional(1) // max(int(price), 1),
        "qtyFloor": 0,
        "maintMarginRatio": text_of(instrument.maintenance_rate),
        "cum": "0",
    }


def set_leverage(request: Request) -> Json:
    symbol, wanted = request.symbol(), request.parameters.whole("leverage")
    leverage = request.exchange.set_leverage(request.account, symbol, wanted, request.now)
    return {"leverage": leverage, "maxQty": max_coins(leverage, request.exchange.mark_price(symbol)), "symbol": symbol}
