"""The objects of the answers: orders, lists, fills, prevented matches (Binance Spot, 6.2)."""

from collections.abc import Sequence

from userstream.sim.books import Amendment, Fill, Side
from userstream.sim.dialects.binance_spot_words import text_of, word_of
from userstream.sim.spot.books import OrderList, PreventedMatch, SpotOrder, is_waiting
from userstream.sim.venue import Json

NOT_WORKING = -1


def order_row(order: SpotOrder) -> dict[str, Json]:
    """An order as the reading calls show it."""
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_order_id,
        **_amounts(order),
        **_terms(order),
        "stopPrice": text_of(order.stop_price),
        "icebergQty": text_of(order.iceberg_quantity),
        "time": order.created_time,
        "updateTime": order.updated_time,
        "isWorking": not is_waiting(order) and order.working,
        "workingTime": order.working_time or NOT_WORKING,
        "origQuoteOrderQty": text_of(order.quote_wish),
        "selfTradePreventionMode": word_of(order.self_trade_prevention),
        **_conditional(order),
    }


def _amounts(order: SpotOrder) -> dict[str, Json]:
    return {
        "price": text_of(order.price),
        "origQty": text_of(order.quantity),
        "executedQty": text_of(order.filled_quantity),
        "cummulativeQuoteQty": text_of(order.filled_quote),
    }


def _terms(order: SpotOrder) -> dict[str, Json]:
    return {
        "status": word_of(order.status),
        "timeInForce": word_of(order.time_in_force),
        "type": word_of(order.order_type),
        "side": word_of(order.side),
    }


def _conditional(order: SpotOrder) -> dict[str, Json]:
    """What only some orders have."""
    found: dict[str, Json] = {}
    if order.strategy_id is not None:
        found["strategyId"] = order.strategy_id
    if order.strategy_type is not None:
        found["strategyType"] = order.strategy_type
    if order.trailing_delta:
        found["trailingDelta"] = order.trailing_delta
    if order.trailing_time:
        found["trailingTime"] = order.trailing_time
    if order.prevented_match_id:
        found["preventedMatchId"] = order.prevented_match_id
        found["preventedQuantity"] = text_of(order.prevented_quantity)
    if order.expiry:
        found["expiryReason"] = word_of(order.expiry)
    return found


def placed(order: SpotOrder, fills: Sequence[Fill], kind: str) -> dict[str, Json]:
    """The answer to placing: `kind` is ack, result or full."""
    head: dict[str, Json] = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_order_id,
        "transactTime": order.created_time,
    }
    if kind == "ack":
        return head
    body = head | {
        **_amounts(order),
        "origQuoteOrderQty": text_of(order.quote_wish),
        **_terms(order),
        "workingTime": order.working_time or NOT_WORKING,
        "selfTradePreventionMode": word_of(order.self_trade_prevention),
        **_stop_part(order),
        **_conditional(order),
    }
    return body if kind == "result" else body | {"fills": [_fill_part(fill) for fill in fills]}


def _stop_part(order: SpotOrder) -> dict[str, Json]:
    found: dict[str, Json] = {}
    if order.stop_price:
        found["stopPrice"] = text_of(order.stop_price)
    if order.iceberg_quantity:
        found["icebergQty"] = text_of(order.iceberg_quantity)
    return found


def _fill_part(fill: Fill) -> dict[str, Json]:
    return {
        "price": text_of(fill.price),
        "qty": text_of(fill.quantity),
        "commission": text_of(fill.fee),
        "commissionAsset": fill.fee_asset,
        "tradeId": fill.trade_id,
    }


def canceled(order: SpotOrder) -> dict[str, Json]:
    """The answer to cancelling: the order's own id stands in `origClientOrderId`, that of the request in `clientOrderId`."""
    return {
        "symbol": order.symbol,
        "origClientOrderId": order.client_order_id,
        "orderId": order.order_id,
        "orderListId": order.list_id,
        "clientOrderId": order.cancel_id or order.client_order_id,
        "transactTime": order.updated_time,
        **_amounts(order),
        "origQuoteOrderQty": text_of(order.quote_wish),
        **_terms(order),
        **_stop_part(order),
        **_conditional(order),
        "selfTradePreventionMode": word_of(order.self_trade_prevention),
    }


def amended(order: SpotOrder, made: Amendment) -> dict[str, Json]:
    """The answer to an amendment."""
    return {
        "transactTime": made.time,
        "executionId": made.amendment_id,
        "amendedOrder": {
            "symbol": order.symbol,
            "orderId": order.order_id,
            "orderListId": order.list_id,
            "origClientOrderId": made.client_order_id,
            "clientOrderId": order.client_order_id,
            "price": text_of(order.price),
            "qty": text_of(order.quantity),
            "executedQty": text_of(order.filled_quantity),
            "preventedQty": text_of(order.prevented_quantity),
            "quoteOrderQty": text_of(order.quote_wish),
            "cumulativeQuoteQty": text_of(order.filled_quote),
            **_terms(order),
            "workingTime": order.working_time or NOT_WORKING,
            "selfTradePreventionMode": word_of(order.self_trade_prevention),
        },
    }


def amendment_row(made: Amendment) -> dict[str, Json]:
    return {
        "symbol": made.symbol,
        "orderId": made.order_id,
        "executionId": made.amendment_id,
        "origClientOrderId": made.client_order_id,
        "newClientOrderId": made.modify_id,
        "origQty": text_of(made.quantity_before),
        "newQty": text_of(made.quantity_after),
        "time": made.time,
    }


def trade_row(fill: Fill, list_id: int) -> dict[str, Json]:
    """A fill of `myTrades`."""
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": list_id,
        "price": text_of(fill.price),
        "qty": text_of(fill.quantity),
        "quoteQty": text_of(fill.quote_quantity),
        "commission": text_of(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.time,
        "isBuyer": fill.side is Side.BUY,
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def list_row(found: OrderList, orders: Sequence[SpotOrder], *, as_begun: bool = False) -> dict[str, Json]:
    """An order list; `as_begun` shows it as it was when it was placed, whatever became of it at once."""
    done = found.is_done and not as_begun
    return {
        "orderListId": found.list_id,
        "contingencyType": word_of(found.contingency),
        "listStatusType": "ALL_DONE" if done else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if done else "EXECUTING",
        "listClientOrderId": found.client_list_id,
        "transactionTime": found.time,
        "symbol": found.symbol,
        "orders": [{"symbol": each.symbol, "orderId": each.order_id, "clientOrderId": each.client_order_id} for each in orders],
    }


def prevented_row(match: PreventedMatch) -> dict[str, Json]:
    """A prevented match of `myPreventedMatches`."""
    return {
        "symbol": match.symbol,
        "preventedMatchId": match.match_id,
        "takerOrderId": match.taker_order_id,
        "makerSymbol": match.symbol,
        "makerOrderId": match.maker_order_id,
        "tradeGroupId": match.group_id,
        "selfTradePreventionMode": word_of(match.mode),
        "price": text_of(match.price),
        "makerPreventedQuantity": text_of(match.maker_prevented),
        "takerPreventedQuantity": text_of(match.taker_prevented),
        "transactTime": match.time,
    }
