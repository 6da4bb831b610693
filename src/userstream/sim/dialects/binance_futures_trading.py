"""Placing, amending and cancelling plain orders on Binance USD-M, one by one and in batches (6.1, 6.4, 6.5)."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar

import msgspec

from userstream.sim.books import ZERO, Millis, NewOrder, Order, PositionSide, Refused
from userstream.sim.dialects.binance_errors import VenueError, invalid, missing, missing_both, not_required
from userstream.sim.dialects.binance_futures_calls import Endpoint, Request, Security
from userstream.sim.dialects.binance_futures_errors import refuse, translate
from userstream.sim.dialects.binance_futures_history import find_order
from userstream.sim.dialects.binance_futures_objects import order_result
from userstream.sim.dialects.binance_futures_words import (
    ALGO_TYPES,
    PLAIN_TYPES,
    POSITION_SIDES,
    PREVENTIONS,
    PRICE_MATCHES,
    RESPONSE_TYPES,
    SIDES,
    TIMES_IN_FORCE,
    text_of,
)
from userstream.sim.dialects.binance_parameters import Parameters, plain_text
from userstream.sim.venue import Json

MOST_PLACED_AT_ONCE = 5
MOST_CANCELED_AT_ONCE = 10
IMMEDIATE = frozenset({"ioc", "fok"})

Name = TypeVar("Name", int, str)


def read_position_side(request: Request) -> PositionSide:
    """Mandatory in hedge mode; -4061 there without it."""
    return request.parameters.word("positionSide", POSITION_SIDES, refuse(-4060), "BOTH")


def read_new_order(request: Request) -> NewOrder:
    """A plain order from its parameters. Conditional types belong to the algo calls: -4120."""
    parameters = request.parameters
    symbol = request.symbol()
    side = parameters.word("side", SIDES, refuse(-1117))
    if parameters.text("type") in ALGO_TYPES:
        raise refuse(-4120)
    order_type = parameters.word("type", PLAIN_TYPES, refuse(-1116))
    price_match = parameters.word("priceMatch", PRICE_MATCHES, refuse(-5037), "NONE")
    time_in_force = _read_time_in_force(parameters, order_type)
    return NewOrder(
        symbol=symbol,
        side=side,
        position_side=read_position_side(request),
        order_type=order_type,
        time_in_force=time_in_force,
        quantity=read_quantity(parameters),
        price=_read_price(parameters, order_type, price_match),
        client_order_id=parameters.maybe_text("newClientOrderId") or "",
        reduce_only=_read_reduce_only(request),
        good_till_time=read_good_till(parameters, time_in_force),
        self_trade_prevention=parameters.word("selfTradePreventionMode", PREVENTIONS, refuse(-5039), "EXPIRE_MAKER"),
        price_match=price_match,
    )


def _read_time_in_force(parameters: Parameters, order_type: str) -> str:
    if order_type == "market":
        return "gtc"
    return parameters.word("timeInForce", TIMES_IN_FORCE, refuse(-1115))


def read_quantity(parameters: Parameters) -> Decimal:
    quantity = parameters.amount("quantity")
    if quantity <= ZERO:
        raise refuse(-4003)
    return quantity


def _read_price(parameters: Parameters, order_type: str, price_match: str) -> Decimal:
    price = parameters.maybe_amount("price")
    if order_type == "market" or price_match != "none":
        if price:
            raise not_required("price")
        return ZERO
    if price is None:
        raise missing("price")
    if price <= ZERO:
        raise refuse(-4001)
    return price


def _read_reduce_only(request: Request) -> bool:
    """Not known in hedge mode at all, even when false: -1106."""
    wanted = request.parameters.maybe_flag("reduceOnly")
    if wanted is not None and request.exchange.settings(request.account).hedge_mode:
        raise not_required("reduceonly")
    return bool(wanted)


def read_good_till(parameters: Parameters, time_in_force: str) -> Millis:
    """Whole seconds; only with GTD."""
    if time_in_force != "gtd":
        return Millis(0)
    return Millis(parameters.whole("goodTillDate") // 1000 * 1000)


def place_order(request: Request) -> Json:
    wanted = request.parameters.word("newOrderRespType", RESPONSE_TYPES, refuse(-1136), "ACK")
    new = read_new_order(request)
    order = request.exchange.place(request.account, new, request.now)
    final = wanted == "result" and (new.order_type == "market" or new.time_in_force in IMMEDIATE)
    return order_result(order, request.instrument(order.symbol), as_new=not final)


def test_order(request: Request) -> Json:
    """Checks the parameters, not the books."""
    read_new_order(request)
    return {}


def amend_order(request: Request) -> Json:
    """LIMIT only; needs side, quantity and price; the order keeps its ids and loses its place."""
    order = _amend(request)
    modify_id = request.parameters.maybe_text("modifyId")
    instrument = request.instrument(order.symbol)
    shown = order_result(order, instrument) | {"pair": instrument.pair}
    return shown | {"modifyId": int(modify_id) if modify_id.isdigit() else modify_id} if modify_id else shown


def _amend(request: Request) -> Order:
    parameters = request.parameters
    symbol = request.symbol()
    order_id, client_order_id = _names(parameters)
    if parameters.maybe_text("price") is None and parameters.maybe_text("priceMatch") is None:
        raise missing("price")
    try:
        return request.exchange.amend(
            request.account,
            symbol,
            order_id=order_id,
            client_order_id=client_order_id,
            side=parameters.word("side", SIDES, refuse(-1117)),
            quantity=read_quantity(parameters),
            price=parameters.amount("price"),
            modify_id=parameters.maybe_text("modifyId") or "",
            now=request.now,
        )
    except Refused as refused:
        raise translate(refused) from refused


def cancel_order(request: Request) -> Json:
    order_id, client_order_id = _names(request.parameters)
    return _cancel(request, request.symbol(), order_id, client_order_id)


def _cancel(request: Request, symbol: str, order_id: int | None, client_order_id: str | None) -> dict[str, Json]:
    try:
        order = request.exchange.cancel(request.account, symbol, order_id=order_id, client_order_id=client_order_id, now=request.now)
    except Refused as refused:
        raise translate(refused, unknown=-2011) from refused
    return order_result(order, request.instrument(order.symbol))


def _names(parameters: Parameters) -> tuple[int | None, str | None]:
    order_id, client_order_id = parameters.maybe_whole("orderId"), parameters.maybe_text("origClientOrderId")
    if order_id is None and client_order_id is None:
        raise missing_both("orderId", "origClientOrderId")
    return order_id, None if order_id is not None else client_order_id


def cancel_all(request: Request) -> Json:
    request.exchange.cancel_all(request.account, request.symbol(), request.now)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


# --- batches -----------------------------------------------------------------------------------------------------------


def place_batch(request: Request) -> Json:
    return [_each(request, element, place_order) for element in _read_batch(request.parameters)]


def amend_batch(request: Request) -> Json:
    return [_each(request, element, amend_order) for element in _read_batch(request.parameters)]


def _each(request: Request, element: Mapping[str, str], handler: Callable[[Request], Json]) -> Json:
    """The result of one element, or its error object; one bad element does not stop the others."""
    single = Request(request.room, request.account, Parameters(element), request.now, request.key)
    try:
        return handler(single)
    except Refused as refused:
        error = translate(refused)
    except VenueError as wrong:
        error = wrong
    return {"code": error.code, "msg": error.text}


def _read_batch(parameters: Parameters) -> list[dict[str, str]]:
    try:
        elements = msgspec.json.decode(parameters.text("batchOrders"), type=list[dict[str, msgspec.Raw]])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise missing("batchOrders") from None
    if not 1 <= len(elements) <= MOST_PLACED_AT_ONCE:
        raise invalid("batchOrders")
    return [{name: plain_text(bytes(value)) for name, value in element.items()} for element in elements]


def cancel_batch(request: Request) -> Json:
    """By orderIdList, or by origClientOrderIdList."""
    symbol = request.symbol()
    names: list[tuple[int | None, str | None]] = [(order_id, None) for order_id in _read_list(request.parameters, "orderIdList", list[int])]
    names = names or [(None, name) for name in _read_list(request.parameters, "origClientOrderIdList", list[str])]
    if not names:
        raise missing_both("orderIdList", "origClientOrderIdList")
    if len(names) > MOST_CANCELED_AT_ONCE:
        raise invalid("orderIdList")
    return [_cancel_one(request, symbol, order_id, client_order_id) for order_id, client_order_id in names]


def _read_list(parameters: Parameters, name: str, kind: type[list[Name]]) -> list[Name]:
    text = parameters.maybe_text(name)
    if text is None:
        return []
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise missing(name) from None


def _cancel_one(request: Request, symbol: str, order_id: int | None, client_order_id: str | None) -> Json:
    try:
        return _cancel(request, symbol, order_id, client_order_id)
    except VenueError as wrong:
        return {"code": wrong.code, "msg": wrong.text}


def set_countdown(request: Request) -> Json:
    """The dead man's switch of a symbol; 0 stops it."""
    symbol, countdown_ms = request.symbol(), request.parameters.whole("countdownTime")
    if countdown_ms < 0:
        raise invalid("countdownTime")
    request.exchange.set_countdown(request.account, symbol, countdown_ms, request.now)
    return {"symbol": symbol, "countdownTime": str(countdown_ms)}


def get_amendments(request: Request) -> Json:
    """The accepted amendments of one order, newest first."""
    order = find_order(request)
    rows: list[Json] = [
        {
            "amendmentId": each.amendment_id,
            "symbol": each.symbol,
            "pair": request.instrument(each.symbol).pair,
            "orderId": each.order_id,
            "clientOrderId": each.client_order_id,
            "time": each.time,
            "amendment": {
                "price": {"before": text_of(each.price_before), "after": text_of(each.price_after)},
                "origQty": {"before": text_of(each.quantity_before), "after": text_of(each.quantity_after)},
                "count": each.count,
                "modifyId": each.modify_id,
            },
        }
        for each in request.exchange.amendments(request.account, order.symbol, order.order_id)
    ]
    return rows[::-1][: request.parameters.maybe_whole("limit") or 50]


PATH = "/fapi/v1/"
TRADE = Security.TRADE
ENDPOINTS = (
    Endpoint(method="POST", path=PATH + "order", handler=place_order, weight=0, security=TRADE, orders=(1, 1)),
    Endpoint(method="POST", path=PATH + "order/test", handler=test_order, weight=0, security=TRADE),
    Endpoint(method="PUT", path=PATH + "order", handler=amend_order, weight=0, security=TRADE, orders=(1, 1)),
    Endpoint(method="DELETE", path=PATH + "order", handler=cancel_order, security=TRADE),
    Endpoint(method="POST", path=PATH + "batchOrders", handler=place_batch, weight=5, security=TRADE, orders=(5, 1)),
    Endpoint(method="PUT", path=PATH + "batchOrders", handler=amend_batch, weight=5, security=TRADE, orders=(5, 1)),
    Endpoint(method="DELETE", path=PATH + "batchOrders", handler=cancel_batch, security=TRADE),
    Endpoint(method="DELETE", path=PATH + "allOpenOrders", handler=cancel_all, security=TRADE),
    Endpoint(method="POST", path=PATH + "countdownCancelAll", handler=set_countdown, weight=10, security=TRADE),
    Endpoint(method="GET", path=PATH + "orderAmendment", handler=get_amendments),
)
