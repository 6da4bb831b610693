"""Placing, amending, cancelling and replacing orders on Binance Spot (6.2, 6.4)."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from userstream.sim.books import ZERO, Fill, Refused
from userstream.sim.dialects.binance_errors import VenueError, invalid, missing, not_required
from userstream.sim.dialects.binance_parameters import Parameters
from userstream.sim.dialects.binance_spot_account import commission
from userstream.sim.dialects.binance_spot_calls import Endpoint, Request, Security
from userstream.sim.dialects.binance_spot_errors import refuse, translate
from userstream.sim.dialects.binance_spot_history import names_of, orders_of, shown_list
from userstream.sim.dialects.binance_spot_objects import amended, canceled, placed
from userstream.sim.dialects.binance_spot_words import (
    ORDER_TYPES,
    PREVENTIONS,
    RESPONSE_TYPES,
    RESTRICTIONS,
    SIDES,
    TIMES_IN_FORCE,
)
from userstream.sim.spot.books import LIMIT_TYPES, NewSpotOrder, Replaced, SpotOrder
from userstream.sim.spot.exchange import SpotExchange
from userstream.sim.venue import Json

CONFLICT: Final = 409
FULL_BY_DEFAULT: Final = frozenset({"limit", "market"})
TIMED_TYPES: Final = LIMIT_TYPES - {"limit_maker"}
MOST_DIGITS: Final = 8


def read_amount(parameters: Parameters, name: str) -> Decimal:
    """A positive amount with at most 8 decimals; 0 where there is none."""
    found = parameters.maybe_amount(name)
    if found is None:
        return ZERO
    if found <= ZERO:
        raise refuse(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    if found != round(found, MOST_DIGITS):
        raise refuse(-1111, f"Parameter '{name}' has too much precision.")
    return found


def read_prevention(parameters: Parameters) -> str:
    return parameters.word("selfTradePreventionMode", PREVENTIONS, invalid("selfTradePreventionMode"), "EXPIRE_MAKER")


def read_new_order(request: Request) -> NewSpotOrder:
    """An order from its parameters; which of them a type needs and which it must not have is held here (Binance Spot, 6.2)."""
    parameters = request.parameters
    symbol = request.symbol()
    side = parameters.word("side", SIDES, refuse(-1117))
    order_type = parameters.word("type", ORDER_TYPES, refuse(-1116))
    _check_presence(parameters, order_type)
    return NewSpotOrder(
        symbol=symbol,
        side=side,
        order_type=order_type,
        time_in_force=_read_time_in_force(parameters, order_type),
        quantity=read_amount(parameters, "quantity"),
        quote_quantity=read_amount(parameters, "quoteOrderQty"),
        price=read_amount(parameters, "price"),
        stop_price=read_amount(parameters, "stopPrice"),
        trailing_delta=parameters.maybe_whole("trailingDelta") or 0,
        iceberg_quantity=read_amount(parameters, "icebergQty"),
        client_order_id=parameters.maybe_text("newClientOrderId") or "",
        self_trade_prevention=read_prevention(parameters),
        strategy_id=parameters.maybe_whole("strategyId"),
        strategy_type=parameters.maybe_whole("strategyType"),
    )


def _check_presence(parameters: Parameters, order_type: str) -> None:
    has = parameters.maybe_text
    if order_type in LIMIT_TYPES and has("price") is None:
        raise missing("price")
    if order_type not in LIMIT_TYPES and has("price") is not None:
        raise not_required("price")
    if order_type != "market" and has("quoteOrderQty") is not None:
        raise not_required("quoteOrderQty")
    if has("quantity") is None and has("quoteOrderQty") is None:
        raise missing("quantity")
    if order_type in ("limit", "limit_maker", "market"):
        for name in ("stopPrice", "trailingDelta"):
            if has(name) is not None:
                raise not_required(name)


def _read_time_in_force(parameters: Parameters, order_type: str) -> str:
    if order_type in TIMED_TYPES:
        return parameters.word("timeInForce", TIMES_IN_FORCE, refuse(-1115))
    if parameters.maybe_text("timeInForce") is not None:
        raise not_required("timeInForce")
    return "gtc"


# --- placing -----------------------------------------------------------------------------------------------------------


def place_order(request: Request) -> Json:
    kind = read_kind(request.parameters)
    new = read_new_order(request)
    return shown(request, request.exchange.place(request.account, new, request.now), kind)


def read_kind(parameters: Parameters) -> str:
    if parameters.maybe_text("newOrderRespType") is None:
        return ""
    return parameters.word("newOrderRespType", RESPONSE_TYPES, refuse(-1136))


def shown(request: Request, order: SpotOrder, kind: str) -> dict[str, Json]:
    """By default the full answer for LIMIT and MARKET, a short one for the others."""
    kind = kind or ("full" if order.order_type in FULL_BY_DEFAULT else "ack")
    return placed(order, _fills_of(request.exchange, order) if kind == "full" else [], kind)


def _fills_of(exchange: SpotExchange, order: SpotOrder) -> list[Fill]:
    """What the order traded; a new order's fills are among the last of its symbol."""
    found: list[Fill] = []
    for fill in reversed(exchange.fills(order.account, order.symbol)):
        if fill.time < order.created_time:
            break
        if fill.order_id == order.order_id:
            found.append(fill)
    return found[::-1]


def test_order(request: Request) -> Json:
    """Checks the parameters, not the books."""
    new = read_new_order(request)
    if not request.parameters.flag("computeCommissionRates"):
        return {}
    rates = commission(request, request.instrument(new.symbol))
    return {
        "standardCommissionForOrder": rates["standardCommission"],
        "specialCommissionForOrder": rates["specialCommission"],
        "taxCommissionForOrder": rates["taxCommission"],
        "discount": rates["discount"],
    }


# --- cancelling and amending -------------------------------------------------------------------------------------------


def cancel_order(request: Request) -> Json:
    """An order of a list takes the whole list with it; the answer shows only the order that was named."""
    parameters, symbol = request.parameters, request.symbol()
    order_id, client_order_id = names_of(request)
    try:
        order = request.exchange.cancel(
            request.account,
            symbol,
            order_id=order_id,
            client_order_id=client_order_id,
            new_client_order_id=parameters.maybe_text("newClientOrderId") or "",
            restriction=_read_restriction(parameters),
            now=request.now,
        )
    except Refused as refused:
        raise translate(refused, unknown=-2011) from refused
    return canceled(order)


def _read_restriction(parameters: Parameters) -> str:
    found = parameters.maybe_text("cancelRestrictions") or ""
    if found not in RESTRICTIONS:
        raise refuse(-1145)
    return RESTRICTIONS[found]


def cancel_all(request: Request) -> Json:
    """All open orders of a symbol; orders of a list are shown inside their list. -2011 when there is nothing to cancel."""
    symbol, exchange = request.symbol(), request.exchange
    orders = exchange.cancel_open(request.account, symbol, request.now)
    if not orders:
        raise refuse(-2011)
    rows: list[Json] = [canceled(order) for order in orders if order.list_id < 0]
    for list_id in dict.fromkeys(order.list_id for order in orders if order.list_id >= 0):
        found = exchange.order_list(request.account, list_id=list_id)
        reports = [canceled(order) for order in orders_of(request, found)]
        rows.append(shown_list(request, found) | {"orderReports": reports})
    return rows


def amend_order(request: Request) -> Json:
    """A smaller quantity; the order keeps its id and its place."""
    parameters, symbol = request.parameters, request.symbol()
    order_id, client_order_id = names_of(request)
    quantity = read_amount(parameters, "newQty")
    if not quantity:
        raise missing("newQty")
    try:
        made = request.exchange.amend(
            request.account,
            symbol,
            order_id=order_id,
            client_order_id=client_order_id,
            quantity=quantity,
            new_client_order_id=parameters.maybe_text("newClientOrderId") or "",
            now=request.now,
        )
    except Refused as refused:
        raise translate(refused) from refused
    order = request.exchange.order(request.account, symbol, order_id=made.order_id)
    row = amended(order, made)
    if order.list_id < 0:
        return row
    return row | {"listStatus": shown_list(request, request.exchange.order_list(request.account, list_id=order.list_id))}


# --- replacing ---------------------------------------------------------------------------------------------------------


def replace_order(request: Request) -> Json:
    """Cancel one, place another. 409 when one half failed, 400 when both did or the second was not tried (Binance Spot, 6.2)."""
    parameters, symbol = request.parameters, request.symbol()
    mode = parameters.text("cancelReplaceMode")
    if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
        raise invalid("cancelReplaceMode")
    kind, wish = read_kind(parameters), read_new_order(request)
    order_id, client_order_id = names_of(request, "cancelOrderId", "cancelOrigClientOrderId")
    done = request.exchange.replace(
        request.account,
        symbol,
        wish,
        request.now,
        order_id=order_id,
        client_order_id=client_order_id,
        new_client_order_id=parameters.maybe_text("cancelNewClientOrderId") or "",
        restriction=_read_restriction(parameters),
        stop_on_failure=mode == "STOP_ON_FAILURE",
    )
    answer = _shown_replacement(request, done, kind)
    if done.is_whole:
        return answer
    half = done.canceled is not None or done.placed is not None
    raise refuse(-2021 if half else -2022, data=answer, status=CONFLICT if half else 400)


def _shown_replacement(request: Request, done: Replaced, kind: str) -> dict[str, Json]:
    attempted = done.placed is not None or done.refusal is not None
    return {
        "cancelResult": "SUCCESS" if done.canceled is not None else "FAILURE",
        "newOrderResult": ("SUCCESS" if done.placed is not None else "FAILURE") if attempted else "NOT_ATTEMPTED",
        "cancelResponse": canceled(done.canceled) if done.canceled is not None else _error(done.cancel_refusal, -2011),
        "newOrderResponse": shown(request, done.placed, kind) if done.placed is not None else _error(done.refusal, 0),
    }


def _error(refusal: tuple[str, str] | None, unknown: int) -> Mapping[str, Json] | None:
    if refusal is None:
        return None
    error: VenueError = translate(Refused(*refusal), unknown=unknown)
    return {"code": error.code, "msg": error.text}


PATH = "/api/v3/"
TRADE = Security.TRADE
ENDPOINTS = (
    Endpoint(method="POST", path=PATH + "order", handler=place_order, security=TRADE, orders=(1, 0), is_free=True),
    Endpoint(method="POST", path=PATH + "order/test", handler=test_order, security=TRADE),
    Endpoint(method="DELETE", path=PATH + "order", handler=cancel_order, security=TRADE, is_free=True),
    Endpoint(method="DELETE", path=PATH + "openOrders", handler=cancel_all, security=TRADE, is_free=True),
    Endpoint(method="POST", path=PATH + "order/cancelReplace", handler=replace_order, security=TRADE, orders=(1, 0), is_free=True),
    Endpoint(method="PUT", path=PATH + "order/amend/keepPriority", handler=amend_order, weight=4, security=TRADE),
)
