"""Reading orders, fills, income and algo orders, with the windows, limits and retention of Binance USD-M (6.1)."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TypeVar

import msgspec

from userstream.sim.books import AlgoOrder, Fill, Income, Millis, Order, OrderStatus, Refused
from userstream.sim.dialects.binance_errors import invalid, missing_both
from userstream.sim.dialects.binance_futures_calls import Endpoint, Request
from userstream.sim.dialects.binance_futures_errors import refuse, translate
from userstream.sim.dialects.binance_futures_objects import algo_row, income_row, order_row, trade_row
from userstream.sim.dialects.binance_futures_words import income_word
from userstream.sim.history import OPEN_ALGO_STATUSES, OPEN_STATUSES
from userstream.sim.venue import Json

DAY_MS = 86_400_000
WINDOW_MS = 7 * DAY_MS
UNFILLED_KEPT_MS = 3 * DAY_MS
KEPT_MS = 90 * DAY_MS
DEFAULT_LIMIT = 500
DEFAULT_INCOME_LIMIT = 100
MOST_ROWS = 1000
ENDED_WITHOUT_FILL = frozenset({OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.EXPIRED_IN_MATCH})
FORCED_PREFIXES = {"LIQUIDATION": "autoclose-", "ADL": "adl_autoclose"}

Row = TypeVar("Row")
_time_of: Callable[[Fill | Income], int] = attrgetter("time")
_creation_of: Callable[[Order], int] = attrgetter("created_time")


def find_order(request: Request) -> Order:
    """The order that orderId or origClientOrderId names. -2013 also for one that is no longer kept."""
    symbol = request.symbol()
    order_id, client_order_id = _order_names(request)
    try:
        order = request.books.order(request.account, symbol, order_id=order_id, client_order_id=client_order_id)
    except Refused as refused:
        raise translate(refused) from refused
    if not is_kept(order, request.now):
        raise refuse(-2013)
    return order


def _order_names(request: Request) -> tuple[int | None, str | None]:
    order_id = request.parameters.maybe_whole("orderId")
    client_order_id = request.parameters.maybe_text("origClientOrderId")
    if order_id is None and client_order_id is None:
        raise missing_both("orderId", "origClientOrderId")
    return order_id, None if order_id is not None else client_order_id


def is_kept(order: Order, now: Millis) -> bool:
    """Ended without a fill: 3 days. Otherwise: 90 days. Open orders stay."""
    if order.status in OPEN_STATUSES:
        return True
    unfilled = order.status in ENDED_WITHOUT_FILL and not order.filled_quantity
    return now - order.updated_time <= (UNFILLED_KEPT_MS if unfilled else KEPT_MS)


def limit_of(request: Request, default: int = DEFAULT_LIMIT) -> int:
    limit = request.parameters.maybe_whole("limit")
    if limit is None:
        return default
    if limit < 1:
        raise invalid("limit")
    return min(limit, MOST_ROWS)


def window_of(request: Request) -> tuple[int, int, bool]:
    """First and last millisecond asked for, and whether the rows count from the first one. Windows are 7 days at most."""
    start, end = request.parameters.maybe_whole("startTime"), request.parameters.maybe_whole("endTime")
    if start is not None and end is not None:
        if start > end:
            raise refuse(-1023)
        if end - start > WINDOW_MS:
            raise refuse(-4165)
    if start is not None and start < request.stated - KEPT_MS:
        raise refuse(-4166)
    if start is not None:
        return start, min(end if end is not None else start + WINDOW_MS, start + WINDOW_MS), True
    last = request.stated if end is None else end
    # A lag or a skew must not hide the newest rows from somebody who gave no times at all.
    return last - WINDOW_MS, last if end is not None else max(last, request.now), False


def page_of(rows: Sequence[Row], time_of: Callable[[Row], int], request: Request, default: int = DEFAULT_LIMIT) -> list[Row]:
    """The rows inside the window: the first ones when a start was given, else the newest ones; oldest first."""
    first, last, from_start = window_of(request)
    inside = [row for row in rows if first <= time_of(row) <= last]
    limit = limit_of(request, default)
    return inside[:limit] if from_start else inside[-limit:]


def get_order(request: Request) -> Json:
    return _row(request, find_order(request))


def get_open_order(request: Request) -> Json:
    order = find_order(request)
    if order.status not in OPEN_STATUSES:
        raise refuse(-2013)
    return _row(request, order)


def _row(request: Request, order: Order) -> Json:
    if order.status in OPEN_STATUSES:
        return order_row(order, request.instrument(order.symbol))
    rows = request.room.ended_rows
    known = rows.get(order.order_id)
    if known is None:
        known = rows[order.order_id] = _written(order_row(order, request.instrument(order.symbol)))
    return known


def get_open_orders(request: Request) -> Json:
    return [_row(request, order) for order in request.books.open_orders(request.account, request.maybe_symbol())]


def get_all_orders(request: Request) -> Json:
    kept = [order for order in request.books.orders(request.account, request.maybe_symbol()) if is_kept(order, request.now)]
    return orders_page(request, kept)


def orders_page(request: Request, kept: Sequence[Order]) -> Json:
    """Of these orders, with orderId that one and later ones, otherwise by time."""
    order_id = request.parameters.maybe_whole("orderId")
    if order_id is not None:
        return [_row(request, order) for order in kept if order.order_id >= order_id][: limit_of(request)]
    return [_row(request, order) for order in page_of(kept, _creation_of, request)]


def get_user_trades(request: Request) -> Json:
    """Fills of a symbol."""
    return trades_of(request, [request.symbol()])


def trades_of(request: Request, symbols: Sequence[str]) -> list[Json]:
    """Fills of these symbols, oldest first. `fromId` does not go together with times, and goes with one symbol only."""
    parameters = request.parameters
    from_id, order_id = parameters.maybe_whole("fromId"), parameters.maybe_whole("orderId")
    if from_id is not None and (parameters.maybe_text("startTime") or parameters.maybe_text("endTime")):
        raise refuse(-1128)
    fills = sorted((fill for symbol in symbols for fill in request.books.fills(request.account, symbol)), key=_time_of)
    fills = fills[bisect_left(fills, request.now - KEPT_MS, key=_time_of) :]
    if from_id is not None:
        fills = fills[bisect_left(fills, from_id, key=lambda fill: fill.trade_id) :]
    if order_id is not None:
        fills = [fill for fill in fills if fill.order_id == order_id]
    chosen = fills[: limit_of(request)] if from_id is not None else page_of(fills, _time_of, request)
    return [_trade_row(request, fill) for fill in chosen]


def _trade_row(request: Request, fill: Fill) -> msgspec.Raw:
    rows, key = request.room.fill_rows, (fill.symbol, fill.trade_id, fill.order_id)
    known = rows.get(key)
    if known is None:
        known = rows[key] = _written(trade_row(fill, request.instrument(fill.symbol)))
    return known


def _written(row: Mapping[str, Json]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(row))


def get_income(request: Request) -> Json:
    """The cash history; `page` counts pages of `limit` rows from 1."""
    symbol, income_type = request.maybe_symbol(), request.parameters.maybe_text("incomeType")
    page = request.parameters.maybe_whole("page")
    rows = [income for income in request.books.income(request.account) if _is_wanted(income, symbol, income_type, request.now)]
    if page is None:
        return [income_row(income) for income in page_of(rows, _time_of, request, DEFAULT_INCOME_LIMIT)]
    if page < 1:
        raise invalid("page")
    first, last, _ = window_of(request)
    limit = limit_of(request, DEFAULT_INCOME_LIMIT)
    inside = [income for income in rows if first <= income.time <= last]
    return [income_row(income) for income in inside[(page - 1) * limit : page * limit]]


def _is_wanted(income: Income, symbol: str | None, income_type: str | None, now: Millis) -> bool:
    if now - income.time > KEPT_MS or symbol not in (None, income.symbol):
        return False
    return income_type is None or income_word(income.income_type) == income_type


def get_force_orders(request: Request) -> Json:
    """Orders that the exchange itself made to close a position."""
    kind = request.parameters.maybe_text("autoCloseType")
    if kind is not None and kind not in FORCED_PREFIXES:
        raise invalid("autoCloseType")
    prefixes = tuple(FORCED_PREFIXES.values()) if kind is None else (FORCED_PREFIXES[kind],)
    forced = [
        order for order in request.books.orders(request.account, request.maybe_symbol()) if order.client_order_id.startswith(prefixes)
    ]
    first, last, _ = window_of(request)
    inside = [order for order in forced if first <= order.created_time <= last]
    limit = min(limit_of(request, 50), 100)
    return [_row(request, order) for order in inside[-limit:]]


def get_open_algo_orders(request: Request) -> Json:
    algos = request.books.algo_orders(request.account, request.maybe_symbol(), open_only=True)
    algo_id = request.parameters.maybe_whole("algoId")
    return [algo_row(algo) for algo in algos if algo.status in OPEN_ALGO_STATUSES and algo_id in (None, algo.algo_id)]


def find_algo(request: Request) -> AlgoOrder:
    """The algo order that algoId or clientAlgoId names."""
    algo_id, client_algo_id = request.parameters.maybe_whole("algoId"), request.parameters.maybe_text("clientAlgoId")
    if algo_id is None and client_algo_id is None:
        raise missing_both("algoId", "clientAlgoId")
    for algo in reversed(request.books.algo_orders(request.account)):
        if algo.algo_id == algo_id or (algo_id is None and algo.client_algo_id == client_algo_id):
            return algo
    raise refuse(-2013)


def get_algo_order(request: Request) -> Json:
    algo = find_algo(request)
    return algo_row(algo, single=True, actual_type=_actual_type(algo))


def _actual_type(algo: AlgoOrder) -> str:
    if not algo.order_id:
        return ""
    return "LIMIT" if algo.order_type in ("stop", "take_profit") else "MARKET"


def get_all_algo_orders(request: Request) -> Json:
    """History of algo orders of a symbol; with algoId: that one and later ones."""
    algos = sorted(request.books.algo_orders(request.account, request.symbol()), key=lambda algo: algo.algo_id)
    algo_id = request.parameters.maybe_whole("algoId")
    if algo_id is not None:
        return [algo_row(algo) for algo in algos if algo.algo_id >= algo_id][: limit_of(request)]
    return [algo_row(algo) for algo in page_of(algos, lambda algo: algo.created_time, request)]


PREFIX = "/fapi/v1/"
ENDPOINTS = (
    Endpoint(method="GET", path=PREFIX + "order", handler=get_order),
    Endpoint(method="GET", path=PREFIX + "openOrder", handler=get_open_order),
    Endpoint(method="GET", path=PREFIX + "openOrders", handler=get_open_orders, weight_without_symbol=40),
    Endpoint(method="GET", path=PREFIX + "allOrders", handler=get_all_orders, weight=5),
    Endpoint(method="GET", path=PREFIX + "userTrades", handler=get_user_trades, weight=5),
    Endpoint(method="GET", path=PREFIX + "income", handler=get_income, weight=30),
    Endpoint(method="GET", path=PREFIX + "forceOrders", handler=get_force_orders, weight=20, weight_without_symbol=50),
    Endpoint(method="GET", path=PREFIX + "openAlgoOrders", handler=get_open_algo_orders, weight_without_symbol=40),
    Endpoint(method="GET", path=PREFIX + "algoOrder", handler=get_algo_order),
    Endpoint(method="GET", path=PREFIX + "allAlgoOrders", handler=get_all_algo_orders, weight=5),
)
