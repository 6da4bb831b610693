"""Placing and cancelling order lists on Binance Spot: OCO, OTO, OTOCO and the OCO call of former years (6.2, 4.3.4)."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from userstream.sim.books import Refused, Side
from userstream.sim.dialects.binance_errors import missing
from userstream.sim.dialects.binance_parameters import Parameters
from userstream.sim.dialects.binance_spot_calls import Endpoint, Request, Security
from userstream.sim.dialects.binance_spot_errors import refuse, translate
from userstream.sim.dialects.binance_spot_history import names_of, orders_of, shown_list
from userstream.sim.dialects.binance_spot_objects import canceled, placed
from userstream.sim.dialects.binance_spot_trading import read_amount, read_prevention
from userstream.sim.dialects.binance_spot_words import ORDER_TYPES, RESPONSE_TYPES, SIDES, TIMES_IN_FORCE
from userstream.sim.spot.books import LIMIT_TYPES, NewList, NewSpotOrder
from userstream.sim.venue import Json

WORKING_TYPES: Final[Mapping[str, str]] = {"LIMIT": "limit", "LIMIT_MAKER": "limit_maker"}


class LegReader:
    """Reads one order of a list, whose parameters begin with a word of its own: above, below, working, pending, ..."""

    def __init__(self, request: Request, symbol: str) -> None:
        self._parameters = request.parameters
        self._symbol = symbol

    def leg(self, front: str, side: Side, quantity: Decimal, types: Mapping[str, str] = ORDER_TYPES) -> NewSpotOrder:
        read, order_type = self._parameters, self._parameters.word(front + "Type", types, refuse(-1116))
        price = read_amount(read, front + "Price")
        if (order_type in LIMIT_TYPES) != bool(price):
            raise missing(front + "Price")
        return NewSpotOrder(
            symbol=self._symbol,
            side=side,
            order_type=order_type,
            time_in_force=self._time_in_force(front, order_type),
            quantity=quantity,
            price=price,
            stop_price=read_amount(read, front + "StopPrice"),
            trailing_delta=read.maybe_whole(front + "TrailingDelta") or 0,
            iceberg_quantity=read_amount(read, front + "IcebergQty"),
            client_order_id=read.maybe_text(front + "ClientOrderId") or "",
            self_trade_prevention=read_prevention(read),
            strategy_id=read.maybe_whole(front + "StrategyId"),
            strategy_type=read.maybe_whole(front + "StrategyType"),
        )

    def _time_in_force(self, front: str, order_type: str) -> str:
        if order_type not in LIMIT_TYPES or order_type == "limit_maker":
            return "gtc"
        return self._parameters.word(front + "TimeInForce", TIMES_IN_FORCE, refuse(-1115))

    def side(self, name: str) -> Side:
        return self._parameters.word(name, SIDES, refuse(-1117))

    def quantity(self, name: str) -> Decimal:
        found = read_amount(self._parameters, name)
        if not found:
            raise missing(name)
        return found


def _place(request: Request, kind: str, symbol: str, legs: tuple[NewSpotOrder, ...]) -> Json:
    parameters = request.parameters
    wanted = parameters.word("newOrderRespType", RESPONSE_TYPES, refuse(-1136), "RESULT")
    wish = NewList(kind=kind, symbol=symbol, orders=legs, client_list_id=parameters.maybe_text("listClientOrderId") or "")
    found = request.exchange.place_list(request.account, wish, request.now)
    reports = [placed(order, [], "ack" if wanted == "ack" else "result") for order in orders_of(request, found)]
    return shown_list(request, found, as_begun=True) | {"orderReports": reports}


def place_oco(request: Request) -> Json:
    """Two orders around the market: above and below."""
    symbol = request.symbol()
    reader = LegReader(request, symbol)
    side, quantity = reader.side("side"), reader.quantity("quantity")
    return _place(request, "oco", symbol, (reader.leg("above", side, quantity), reader.leg("below", side, quantity)))


def place_former_oco(request: Request) -> Json:
    """The deprecated call: a limit maker at `price` and a stop at `stopPrice`, with a limit when `stopLimitPrice` is given."""
    symbol, parameters = request.symbol(), request.parameters
    reader = LegReader(request, symbol)
    side, quantity = reader.side("side"), reader.quantity("quantity")
    maker = NewSpotOrder(
        symbol=symbol,
        side=side,
        order_type="limit_maker",
        quantity=quantity,
        price=reader.quantity("price"),
        client_order_id=parameters.maybe_text("limitClientOrderId") or "",
        self_trade_prevention=read_prevention(parameters),
    )
    stop = _former_stop(parameters, symbol, side, quantity)
    return _place(request, "oco", symbol, (maker, stop) if side is Side.SELL else (stop, maker))


def _former_stop(parameters: Parameters, symbol: str, side: Side, quantity: Decimal) -> NewSpotOrder:
    limit = read_amount(parameters, "stopLimitPrice")
    time_in_force = parameters.word("stopLimitTimeInForce", TIMES_IN_FORCE, refuse(-1115)) if limit else "gtc"
    return NewSpotOrder(
        symbol=symbol,
        side=side,
        order_type="stop_loss_limit" if limit else "stop_loss",
        time_in_force=time_in_force,
        quantity=quantity,
        price=limit,
        stop_price=read_amount(parameters, "stopPrice"),
        trailing_delta=parameters.maybe_whole("trailingDelta") or 0,
        client_order_id=parameters.maybe_text("stopClientOrderId") or "",
        self_trade_prevention=read_prevention(parameters),
    )


def place_oto(request: Request) -> Json:
    """A working order, and one that begins when it is filled."""
    symbol = request.symbol()
    reader = LegReader(request, symbol)
    working = reader.leg("working", reader.side("workingSide"), reader.quantity("workingQuantity"), WORKING_TYPES)
    pending = reader.leg("pending", reader.side("pendingSide"), reader.quantity("pendingQuantity"))
    return _place(request, "oto", symbol, (working, pending))


def place_otoco(request: Request) -> Json:
    """A working order, and a pair that begins when it is filled."""
    symbol = request.symbol()
    reader = LegReader(request, symbol)
    working = reader.leg("working", reader.side("workingSide"), reader.quantity("workingQuantity"), WORKING_TYPES)
    side, quantity = reader.side("pendingSide"), reader.quantity("pendingQuantity")
    pair = (reader.leg("pendingAbove", side, quantity), reader.leg("pendingBelow", side, quantity))
    return _place(request, "otoco", symbol, (working, *pair))


def cancel_list(request: Request) -> Json:
    symbol = request.symbol()
    list_id, client_list_id = names_of(request, "orderListId", "listClientOrderId")
    try:
        found = request.exchange.cancel_list(
            request.account,
            symbol,
            list_id=list_id,
            client_list_id=client_list_id,
            new_client_order_id=request.parameters.maybe_text("newClientOrderId") or "",
            now=request.now,
        )
    except Refused as refused:
        raise translate(refused, unknown=-2011) from refused
    reports = [canceled(order) for order in orders_of(request, found)]
    return shown_list(request, found) | {"orderReports": reports}


PATH = "/api/v3/"
TRADE = Security.TRADE
ENDPOINTS = (
    Endpoint(method="POST", path=PATH + "orderList/oco", handler=place_oco, security=TRADE, orders=(2, 0), is_free=True),
    Endpoint(method="POST", path=PATH + "orderList/oto", handler=place_oto, security=TRADE, orders=(2, 0), is_free=True),
    Endpoint(method="POST", path=PATH + "orderList/otoco", handler=place_otoco, security=TRADE, orders=(3, 0), is_free=True),
    Endpoint(method="POST", path=PATH + "order/oco", handler=place_former_oco, security=TRADE, orders=(2, 0), is_free=True),
    Endpoint(method="DELETE", path=PATH + "orderList", handler=cancel_list, security=TRADE, is_free=True),
)
