"""Conditional ("algo") orders, leverage, margin and modes on Binance USD-M (6.1, 6.4, 6.5)."""

from userstream.sim.books import ZERO, AlgoOrder, NewAlgo, PositionSide, Refused
from userstream.sim.dialects.binance_errors import invalid, missing, missing_both
from userstream.sim.dialects.binance_futures_calls import Endpoint, Request, Security
from userstream.sim.dialects.binance_futures_errors import refuse, translate
from userstream.sim.dialects.binance_futures_objects import algo_row, max_notional
from userstream.sim.dialects.binance_futures_trading import read_good_till, read_position_side
from userstream.sim.dialects.binance_futures_words import (
    ALGO_TYPES,
    MARGIN_TYPES,
    PREVENTIONS,
    PRICE_MATCHES,
    SIDES,
    TIMES_IN_FORCE,
    WORKING_TYPES,
    text_of,
)
from userstream.sim.venue import Json

DONE: dict[str, Json] = {"code": 200, "msg": "success"}
MARGIN_CHANGES = {"1": 1, "2": -1}  # add, take away
FEE_COIN = "BNB"
TRAILING = "trailing_stop_market"


def read_new_algo(request: Request) -> NewAlgo:
    """A conditional order from its parameters."""
    parameters = request.parameters
    if parameters.text("algoType") != "CONDITIONAL":
        raise invalid("algoType")
    symbol = request.symbol()
    order_type = parameters.word("type", ALGO_TYPES, refuse(-1116))
    close_position = parameters.flag("closePosition")
    time_in_force = parameters.word("timeInForce", TIMES_IN_FORCE, refuse(-1115), "GTC")
    return NewAlgo(
        symbol=symbol,
        side=parameters.word("side", SIDES, refuse(-1117)),
        position_side=read_position_side(request),
        order_type=order_type,
        time_in_force=time_in_force,
        quantity=(parameters.maybe_amount("quantity") or ZERO) if close_position else parameters.amount("quantity"),
        price=parameters.maybe_amount("price") or ZERO,
        trigger_price=(parameters.maybe_amount("triggerPrice") or ZERO) if order_type == TRAILING else parameters.amount("triggerPrice"),
        activation_price=parameters.maybe_amount("activatePrice") or parameters.maybe_amount("activationPrice") or ZERO,
        callback_rate=parameters.amount("callbackRate") if order_type == TRAILING else ZERO,
        client_algo_id=parameters.maybe_text("clientAlgoId") or "",
        working_type=parameters.word("workingType", WORKING_TYPES, invalid("workingType"), "CONTRACT_PRICE"),
        close_position=close_position,
        price_protect=parameters.flag("priceProtect"),
        reduce_only=parameters.flag("reduceOnly"),
        good_till_time=read_good_till(parameters, time_in_force),
        self_trade_prevention=parameters.word("selfTradePreventionMode", PREVENTIONS, refuse(-5039), "EXPIRE_MAKER"),
        price_match=parameters.word("priceMatch", PRICE_MATCHES, refuse(-5037), "NONE"),
    )


def place_algo(request: Request) -> Json:
    return algo_row(request.exchange.place_algo(request.account, read_new_algo(request), request.now))


def cancel_algo(request: Request) -> Json:
    algo = _cancel_algo(request)
    return {"algoId": algo.algo_id, "clientAlgoId": algo.client_algo_id, "code": "200", "msg": "success"}


def _cancel_algo(request: Request) -> AlgoOrder:
    algo_id, client_algo_id = request.parameters.maybe_whole("algoId"), request.parameters.maybe_text("clientAlgoId")
    if algo_id is None and client_algo_id is None:
        raise missing_both("algoId", "clientAlgoId")
    try:
        return request.exchange.cancel_algo(
            request.account, algo_id=algo_id, client_algo_id=None if algo_id is not None else client_algo_id, now=request.now
        )
    except Refused as refused:
        raise translate(refused, unknown=-2011) from refused


def cancel_all_algo(request: Request) -> Json:
    request.exchange.cancel_all_algo(request.account, request.symbol(), request.now)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def set_leverage(request: Request) -> Json:
    symbol, wanted = request.symbol(), request.parameters.whole("leverage")
    leverage = request.exchange.set_leverage(request.account, symbol, wanted, request.now)
    return {"leverage": leverage, "maxNotionalValue": str(max_notional(leverage)), "symbol": symbol}


def set_margin_type(request: Request) -> Json:
    margin_type = request.parameters.word("marginType", MARGIN_TYPES, invalid("marginType"))
    request.exchange.set_margin_type(request.account, request.symbol(), margin_type, request.now)
    return DONE


def change_position_margin(request: Request) -> Json:
    """Type 1 adds to an isolated position, type 2 takes away."""
    symbol, amount = request.symbol(), request.parameters.amount("amount")
    if amount <= ZERO:
        raise refuse(-4055)
    kind = request.parameters.text("type")
    if kind not in MARGIN_CHANGES:
        raise invalid("type")
    side: PositionSide = read_position_side(request)
    request.exchange.add_isolated_margin(request.account, symbol, side, amount * MARGIN_CHANGES[kind], request.now)
    return {"amount": text_of(amount), "code": 200, "msg": "Successfully modify position margin.", "type": int(kind)}


def set_position_mode(request: Request) -> Json:
    wanted = request.parameters.maybe_flag("dualSidePosition")
    if wanted is None:
        raise missing("dualSidePosition")
    request.exchange.set_hedge_mode(request.account, wanted, request.now)
    return DONE


def set_asset_mode(request: Request) -> Json:
    wanted = request.parameters.maybe_flag("multiAssetsMargin")
    if wanted is None:
        raise missing("multiAssetsMargin")
    request.exchange.set_multi_assets(request.account, wanted, request.now)
    return DONE


def set_fee_burn(request: Request) -> Json:
    wanted = request.parameters.maybe_flag("feeBurn")
    if wanted is None:
        raise missing("feeBurn")
    request.exchange.convert_fee_asset(request.account, FEE_COIN if wanted else "")
    return DONE


PATH = "/fapi/v1/"
TRADE = Security.TRADE
ENDPOINTS = (
    Endpoint(method="POST", path=PATH + "algoOrder", handler=place_algo, weight=0, security=TRADE, orders=(1, 1)),
    Endpoint(method="DELETE", path=PATH + "algoOrder", handler=cancel_algo, security=TRADE),
    Endpoint(method="DELETE", path=PATH + "algoOpenOrders", handler=cancel_all_algo, security=TRADE),
    Endpoint(method="POST", path=PATH + "leverage", handler=set_leverage, security=TRADE),
    Endpoint(method="POST", path=PATH + "marginType", handler=set_margin_type, security=TRADE),
    Endpoint(method="POST", path=PATH + "positionMargin", handler=change_position_margin, security=TRADE),
    Endpoint(method="POST", path=PATH + "positionSide/dual", handler=set_position_mode, security=TRADE),
    Endpoint(method="POST", path=PATH + "multiAssetsMargin", handler=set_asset_mode, security=TRADE),
    Endpoint(method="POST", path=PATH + "feeBurn", handler=set_fee_burn, security=TRADE),
)
