"""Reading orders, lists, fills and prevented matches, with the windows, limits and retention of Binance Spot (6.2)."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TypeVar

from userstream.sim.books import Fill, Millis, OrderStatus, Refused
from userstream.sim.dialects.binance_errors import invalid, missing_both
from userstream.sim.dialects.binance_spot_calls import Endpoint, Request
from userstream.sim.dialects.binance_spot_errors import refuse, translate
from userstream.sim.dialects.binance_spot_objects import amendment_row, list_row, order_row, prevented_row, trade_row
from userstream.sim.spot.books import OrderList, SpotOrder, spot_order
from userstream.sim.venue import Json

DAY_MS = 86_400_000
UNFILLED_KEPT_MS = 90 * DAY_MS
DEFAULT_LIMIT = 500
MOST_ROWS = 1000
ENDED_WITHOUT_FILL = frozenset({OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.EXPIRED_IN_MATCH})

Row = TypeVar("Row")


def names_of(request: Request, number: str = "orderId", text: str = "origClientOrderId") -> tuple[int | None, str | None]:
    """The two names of an order or list; -1102 when both are missing."""
    first, second = request.parameters.maybe_whole(number), request.parameters.maybe_text(text)
    if first is None and second is None:
        raise missing_both(text, number)
    return first, second


def is_archived(order: SpotOrder, now: Millis) -> bool:
    """Ended without a fill more than 90 days ago."""
    return order.status in ENDED_WITHOUT_FILL and not order.filled_quantity and now - order.updated_time > UNFILLED_KEPT_MS


def limit_of(request: Request) -> int:
    limit = request.parameters.maybe_whole("limit")
    if limit is None:
        return DEFAULT_LIMIT
    if limit < 1:
        raise invalid("limit")
    return min(limit, MOST_ROWS)


def window_of(request: Request) -> tuple[int, int] | None:
    """First and last millisecond asked for, a day at most; None when no time was given."""
    start, end = request.maybe_time("startTime"), request.maybe_time("endTime")
    if start is not None and end is not None:
        if end < start:
            raise refuse(-1128)
        if end - start > DAY_MS:
            raise refuse(-1127)
        return start, end
    if start is not None:
        return start, start + DAY_MS
    return None if end is None else (end - DAY_MS, end)


def page_of(rows: Sequence[Row], time_of: Callable[[Row], int], request: Request) -> Sequence[Row]:
    """Oldest first: the first rows of the window when it has a start, else the newest ones."""
    window, limit = window_of(request), limit_of(request)
    if window is None:
        return rows[-limit:]
    first, last = window
    inside = [row for row in rows if first <= time_of(row) <= last]
    return inside[:limit] if request.parameters.maybe_text("startTime") else inside[-limit:]


# --- orders ------------------------------------------------------------------------------------------------------------


def get_order(request: Request) -> Json:
    symbol = request.symbol()
    order_id, client_order_id = names_of(request)
    try:
        order = spot_order(request.books.order(request.account, symbol, order_id=order_id, client_order_id=client_order_id))
    except Refused as refused:
        raise translate(refused) from refused
    if is_archived(order, request.now):
        raise refuse(-2026)
    return order_row(order)


def get_open_orders(request: Request) -> Json:
    return [order_row(order) for order in request.open_orders(request.maybe_symbol())]


def get_all_orders(request: Request) -> Json:
    """With orderId: that one and later ones. Otherwise by time."""
    orders = [order for order in request.orders(request.symbol()) if not is_archived(order, request.now)]
    order_id = request.parameters.maybe_whole("orderId")
    if order_id is not None:
        if window_of(request) is not None:
            raise refuse(-1128)
        return [order_row(order) for order in orders if order.order_id >= order_id][: limit_of(request)]
    return [order_row(order) for order in page_of(orders, lambda order: order.created_time, request)]


def get_amendments(request: Request) -> Json:
    """The amendments of one order, oldest first."""
    symbol, order_id = request.symbol(), request.parameters.whole("orderId")
    first = request.parameters.maybe_whole("fromExecutionId") or 0
    rows = [each for each in request.exchange.amendments(request.account, symbol, order_id) if each.amendment_id >= first]
    return [amendment_row(each) for each in rows[: limit_of(request)]]


# --- fills -------------------------------------------------------------------------------------------------------------


def get_trades(request: Request) -> Json:
    """Fills of a symbol; `orderId` goes with nothing but `fromId`, and `fromId` never with times (Binance Spot, 6.2)."""
    symbol, parameters = request.symbol(), request.parameters
    order_id, from_id = parameters.maybe_whole("orderId"), parameters.maybe_whole("fromId")
    if (order_id is not None or from_id is not None) and window_of(request) is not None:
        raise refuse(-1128)
    fills = request.books.fills(request.account, symbol)
    if order_id is not None:
        fills = [fill for fill in fills if fill.order_id == order_id]
    chosen = _chosen(fills, from_id, request)
    orders = request.exchange
    return [trade_row(fill, orders.order(request.account, symbol, order_id=fill.order_id).list_id) for fill in chosen]


def _chosen(fills: Sequence[Fill], from_id: int | None, request: Request) -> Sequence[Fill]:
    if from_id is None:
        return page_of(fills, lambda fill: fill.time, request)
    return fills[bisect_left(fills, from_id, key=lambda fill: fill.trade_id) :][: limit_of(request)]


def get_prevented(request: Request) -> Json:
    """Prevented matches of a symbol, by their own id or by an order's."""
    symbol, parameters = request.symbol(), request.parameters
    match_id, order_id = parameters.maybe_whole("preventedMatchId"), parameters.maybe_whole("orderId")
    if match_id is None and order_id is None:
        raise missing_both("preventedMatchId", "orderId")
    first = parameters.maybe_whole("fromPreventedMatchId") or 0
    found = [
        each
        for each in request.exchange.prevented_matches(request.account, symbol)
        if match_id in (None, each.match_id) and order_id in (None, each.taker_order_id, each.maker_order_id) and each.match_id >= first
    ]
    return [prevented_row(each) for each in found[: limit_of(request)]]


def get_allocations(request: Request) -> Json:
    """There are none: nobody allocates on the paper exchange."""
    request.symbol()
    return []


# --- lists -------------------------------------------------------------------------------------------------------------


def shown_list(request: Request, found: OrderList, *, as_begun: bool = False) -> dict[str, Json]:
    orders = orders_of(request, found)
    return list_row(found, orders, as_begun=as_begun)


def orders_of(request: Request, found: OrderList) -> list[SpotOrder]:
    return [request.exchange.order(request.account, found.symbol, order_id=order_id) for order_id in found.order_ids]


def get_list(request: Request) -> Json:
    list_id, client_list_id = names_of(request, "orderListId", "origClientOrderId")
    return shown_list(request, request.exchange.order_list(request.account, list_id=list_id, client_list_id=client_list_id))


def get_open_lists(request: Request) -> Json:
    return [shown_list(request, each) for each in request.exchange.order_lists(request.account, open_only=True)]


def get_all_lists(request: Request) -> Json:
    lists = request.exchange.order_lists(request.account)
    from_id = request.parameters.maybe_whole("fromId")
    if from_id is not None:
        if window_of(request) is not None:
            raise refuse(-1128)
        return [shown_list(request, each) for each in lists if each.list_id >= from_id][: limit_of(request)]
    return [shown_list(request, each) for each in page_of(lists, lambda each: each.time, request)]


PATH = "/api/v3/"
ENDPOINTS = (
    Endpoint(method="GET", path=PATH + "order", handler=get_order, weight=4),
    Endpoint(method="GET", path=PATH + "openOrders", handler=get_open_orders, weight=6, weight_without_symbol=80),
    Endpoint(method="GET", path=PATH + "allOrders", handler=get_all_orders, weight=20),
    Endpoint(method="GET", path=PATH + "order/amendments", handler=get_amendments, weight=4),
    Endpoint(method="GET", path=PATH + "myTrades", handler=get_trades, weight=20, weight_with_order=5),
    Endpoint(method="GET", path=PATH + "myPreventedMatches", handler=get_prevented, weight=2, weight_with_order=20),
    Endpoint(method="GET", path=PATH + "myAllocations", handler=get_allocations, weight=20),
    Endpoint(method="GET", path=PATH + "orderList", handler=get_list, weight=4),
    Endpoint(method="GET", path=PATH + "openOrderList", handler=get_open_lists, weight=6),
    Endpoint(method="GET", path=PATH + "allOrderList", handler=get_all_lists, weight=20),
)
