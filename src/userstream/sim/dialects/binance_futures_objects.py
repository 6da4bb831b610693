"""The objects of the REST answers: orders, fills, balances, positions, algo orders (Binance USD-M, 6.1 and 6.5)."""

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
from functools import cache
from hashlib import sha256

import msgspec

from userstream.sim.books import BUY, ZERO, AlgoOrder, Balance, Fill, Income, Instrument, Order, OrderStatus, Position
from userstream.sim.contracts import Contract
from userstream.sim.dialects.binance_futures_words import income_word, margin_word, text_of, word_of
from userstream.sim.venue import Json

CENTS_OF_CENTS = Decimal("0.00000001")


def order_result(order: Order, instrument: Instrument, *, as_new: bool = False) -> dict[str, Json]:
    """The answer to placing, amending and cancelling: since June 2026 without average price and quote amounts.

    `as_new` shows the order as it was accepted, which is what an ACK shows even when it was filled in the same moment.
    """
    status = OrderStatus.NEW if as_new else order.status
    filled = "0" if as_new else text_of(order.filled_quantity)
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        **({"pair": instrument.pair} if instrument.contract.is_inverse else {}),
        "status": word_of(status),
        "clientOrderId": order.client_order_id,
        "price": text_of(order.price),
        "origQty": text_of(order.quantity),
        "executedQty": filled,
        "cumQty": filled,
        **_terms(order),
        "updateTime": order.created_time if as_new else order.updated_time,
    }


def order_row(order: Order, instrument: Instrument) -> dict[str, Json]:
    """An order as the reading calls show it."""
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "pair": instrument.pair,
        "status": word_of(order.status),
        "clientOrderId": order.client_order_id,
        "price": text_of(order.price),
        "avgPrice": text_of(order.average_price),
        "origQty": text_of(order.quantity),
        "executedQty": text_of(order.filled_quantity),
        **({} if instrument.contract.is_inverse else {"cumQuote": text_of(order.filled_quote)}),
        "cumBase": text_of(base_of(order)),
        **_terms(order),
        "time": order.created_time,
        "updateTime": order.updated_time,
    }


def base_of(order: Order) -> Decimal:
    """What was filled, in the base asset."""
    return round(order.filled_base, 8) if order.filled_base != order.filled_quantity else order.filled_quantity


def _terms(order: Order) -> dict[str, Json]:
    return {
        "timeInForce": word_of(order.time_in_force),
        "type": word_of(order.order_type),
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": word_of(order.side),
        "positionSide": word_of(order.position_side),
        "stopPrice": text_of(order.stop_price),
        "workingType": word_of(order.working_type),
        "priceProtect": order.price_protect,
        "origType": word_of(order.original_type),
        "priceMatch": word_of(order.price_match),
        "selfTradePreventionMode": word_of(order.self_trade_prevention),
        "goodTillDate": order.good_till_time,
    }


def trade_row(fill: Fill, instrument: Instrument) -> dict[str, Json]:
    """A fill of `userTrades`."""
    inverse = instrument.contract.is_inverse
    return {
        "symbol": fill.symbol,
        "pair": instrument.pair,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "side": word_of(fill.side),
        "price": text_of(fill.price),
        "qty": text_of(fill.quantity),
        **({} if inverse else {"quoteQty": text_of(fill.quote_quantity)}),
        "baseQty": text_of(round(instrument.contract.base(fill.price, fill.quantity), 8) if inverse else fill.quantity),
        "realizedPnl": text_of(fill.realized_pnl),
        "commission": text_of(fill.fee),
        "commissionAsset": fill.fee_asset,
        "marginAsset": instrument.margin_asset,
        "time": fill.time,
        "positionSide": word_of(fill.position_side),
        "buyer": fill.side is BUY,
        "maker": fill.maker,
    }


def income_row(income: Income) -> dict[str, Json]:
    return {
        "symbol": income.symbol,
        "incomeType": income_word(income.income_type),
        "income": text_of(income.amount),
        "asset": income.asset,
        "info": income.info,
        "time": income.time,
        "tranId": income.transaction_id,
        "tradeId": income.trade_id,
    }


def algo_row(algo: AlgoOrder, *, single: bool = False, actual_type: str = "") -> dict[str, Json]:
    """An algo order; the call for one shows two fields more."""
    row: dict[str, Json] = {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_algo_id,
        "algoType": "CONDITIONAL",
        "orderType": word_of(algo.order_type),
        "symbol": algo.symbol,
        "side": word_of(algo.side),
        "positionSide": word_of(algo.position_side),
        "timeInForce": word_of(algo.time_in_force),
        "quantity": text_of(algo.quantity),
        "algoStatus": word_of(algo.status),
        "actualOrderId": str(algo.order_id) if algo.order_id else "",
        "actualPrice": text_of(algo.average_price),
        "triggerPrice": text_of(algo.trigger_price),
        "price": text_of(algo.price),
        "icebergQuantity": None,
        "tpTriggerPrice": "0",
        "tpPrice": "0",
        "slTriggerPrice": "0",
        "slPrice": "0",
        "tpOrderType": "",
        "selfTradePreventionMode": word_of(algo.self_trade_prevention),
        "workingType": word_of(algo.working_type),
        "priceMatch": word_of(algo.price_match),
        "closePosition": algo.close_position,
        "priceProtect": algo.price_protect,
        "reduceOnly": algo.reduce_only,
        "createTime": algo.created_time,
        "updateTime": algo.updated_time,
        "triggerTime": algo.triggered_time,
        "goodTillDate": algo.good_till_time,
    }
    if algo.order_type == "trailing_stop_market":
        row |= {"activatePrice": text_of(algo.activation_price), "callbackRate": text_of(algo.callback_rate)}
    if single:
        row |= {"actualType": actual_type, "actualQty": text_of(algo.filled_quantity)}
    return row


class OpenNotionals(msgspec.Struct, frozen=True, kw_only=True):
    """What the open orders of one leg would buy and sell, in quote units; reduce-only orders bind nothing."""

    bids: Decimal = ZERO
    asks: Decimal = ZERO
    binding_bids: Decimal = ZERO
    binding_asks: Decimal = ZERO


def notionals_of(orders: Sequence[Order], contract: Contract) -> OpenNotionals:
    """The sums over the open orders of one leg."""
    bids = asks = binding_bids = binding_asks = ZERO
    for order in orders:
        if not order.price:
            continue
        worth = contract.worth(order.price, order.quantity - order.filled_quantity)
        binding = ZERO if order.reduce_only else worth
        if order.side is BUY:
            bids, binding_bids = bids + worth, binding_bids + binding
        else:
            asks, binding_asks = asks + worth, binding_asks + binding
    return OpenNotionals(bids=bids, asks=asks, binding_bids=binding_bids, binding_asks=binding_asks)


def order_margin(position: Position, open_notionals: OpenNotionals, contract: Contract) -> Decimal:
    """What the worse side of the open orders needs more than the position alone, at the position's leverage."""
    held = contract.worth(position.mark_price, position.amount)
    worst = max(abs(held + open_notionals.binding_bids), abs(held - open_notionals.binding_asks))
    return (max(worst - abs(held), ZERO) / position.leverage).quantize(CENTS_OF_CENTS, ROUND_DOWN)


def position_row(position: Position, instrument: Instrument, orders: Sequence[Order], adl: int) -> dict[str, Json]:
    """A position of `v3/positionRisk`."""
    notionals = notionals_of(orders, instrument.contract)
    isolated = position.margin_type == "isolated"
    return {
        "symbol": position.symbol,
        "positionSide": word_of(position.position_side),
        "positionAmt": text_of(position.amount),
        "entryPrice": text_of(position.entry_price),
        "breakEvenPrice": text_of(position.break_even_price),
        "markPrice": text_of(position.mark_price),
        "unRealizedProfit": text_of(position.unrealized_pnl),
        "liquidationPrice": text_of(position.liquidation_price),
        "isolatedMargin": text_of(position.isolated_wallet + position.unrealized_pnl) if isolated else "0",
        "notional": text_of(position.amount * position.mark_price),
        "marginAsset": instrument.margin_asset,
        "isolatedWallet": text_of(position.isolated_wallet),
        "initialMargin": text_of(position.initial_margin),
        "maintMargin": text_of(position.maintenance_margin),
        "positionInitialMargin": text_of(position.initial_margin),
        "openOrderInitialMargin": text_of(order_margin(position, notionals, instrument.contract)),
        "adl": adl,
        "bidNotional": text_of(notionals.bids),
        "askNotional": text_of(notionals.asks),
        "updateTime": position.updated_time,
    }


def old_position_row(position: Position) -> dict[str, Json]:
    """A position of `v2/positionRisk`, which shows leverage and margin type and all symbols."""
    isolated = position.margin_type == "isolated"
    return {
        "symbol": position.symbol,
        "positionAmt": text_of(position.amount),
        "entryPrice": text_of(position.entry_price),
        "breakEvenPrice": text_of(position.break_even_price),
        "markPrice": text_of(position.mark_price),
        "unRealizedProfit": text_of(position.unrealized_pnl),
        "liquidationPrice": text_of(position.liquidation_price),
        "leverage": str(position.leverage),
        "maxNotionalValue": str(max_notional(position.leverage)),
        "marginType": position.margin_type,
        "isolatedMargin": text_of(position.isolated_wallet + position.unrealized_pnl) if isolated else "0.00000000",
        "isAutoAddMargin": "false",
        "positionSide": word_of(position.position_side),
        "notional": text_of(position.amount * position.mark_price),
        "isolatedWallet": text_of(position.isolated_wallet),
        "updateTime": position.updated_time,
        "isolated": isolated,
        "adlQuantile": 0,
    }


@cache
def alias_of(account: str) -> str:
    """The short opaque name under which the venue shows an account."""
    return sha256(account.encode()).hexdigest()[:8]


def balance_row(balance: Balance, alias: str, cross_profit: Decimal) -> dict[str, Json]:
    """A balance of `v3/balance`."""
    return {
        "accountAlias": alias,
        "asset": balance.asset,
        "balance": text_of(balance.wallet),
        "crossWalletBalance": text_of(balance.cross_wallet),
        "crossUnPnl": text_of(cross_profit),
        "availableBalance": text_of(balance.available),
        "maxWithdrawAmount": text_of(max(min(balance.available, balance.cross_wallet), ZERO)),
        "marginAvailable": True,
        "updateTime": balance.updated_time,
    }


def symbol_config_row(position: Position) -> dict[str, Json]:
    """A symbol of `symbolConfig`."""
    return {
        "symbol": position.symbol,
        "marginType": margin_word(position.margin_type),
        "isAutoAddMargin": False,
        "leverage": position.leverage,
        "maxNotionalValue": str(max_notional(position.leverage)),
    }


def max_notional(leverage: int) -> int:
    """The largest position value that a leverage allows; a simple ladder, the paper exchange has one maintenance rate for each symbol."""
    ladder = ((75, 50_000), (50, 250_000), (25, 1_000_000), (20, 5_000_000), (10, 10_000_000), (5, 25_000_000), (2, 50_000_000))
    return next((cap for step, cap in ladder if leverage > step), 100_000_000)
