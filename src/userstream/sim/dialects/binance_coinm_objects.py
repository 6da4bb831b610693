"""What COIN-M shows in its own way: rows of balances, positions, contracts (Binance COIN-M, 4.2 and 6.6)."""

from collections.abc import Sequence
from decimal import Decimal

from userstream.sim.books import ZERO, Balance, Instrument, Order, Position
from userstream.sim.dialects.binance_futures_objects import max_notional, notionals_of, order_margin
from userstream.sim.dialects.binance_futures_words import text_of, word_of
from userstream.sim.venue import Json


def balance_row(balance: Balance, alias: str, cross_profit: Decimal) -> dict[str, Json]:
    """A balance of `/dapi/v1/balance`, in coins."""
    return {
        "accountAlias": alias,
        "asset": balance.asset,
        "balance": text_of(balance.wallet),
        "withdrawAvailable": text_of(max(min(balance.available, balance.cross_wallet), ZERO)),
        "crossWalletBalance": text_of(balance.cross_wallet),
        "crossUnPnl": text_of(cross_profit),
        "availableBalance": text_of(balance.available),
        "updateTime": balance.updated_time,
    }


def position_row(position: Position, instrument: Instrument) -> dict[str, Json]:
    """A position of `/dapi/v1/positionRisk`: contracts, and their worth in the coin."""
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
        "maxQty": max_coins(position.leverage, position.mark_price),
        "marginType": position.margin_type,
        "isolatedMargin": text_of(position.isolated_wallet + position.unrealized_pnl) if isolated else "0.00000000",
        "isAutoAddMargin": "false",
        "positionSide": word_of(position.position_side),
        "notionalValue": text_of(round(instrument.contract.worth(position.mark_price, position.amount), 8)),
        "isolatedWallet": text_of(position.isolated_wallet),
        "updateTime": position.updated_time,
    }


def account_position(position: Position, instrument: Instrument, orders: Sequence[Order]) -> dict[str, Json]:
    """A position of `/dapi/v1/account`."""
    row = position_row(position, instrument)
    shared = ("symbol", "positionAmt", "entryPrice", "breakEvenPrice", "leverage", "maxQty", "positionSide", "notionalValue")
    return {
        **{name: row[name] for name in (*shared, "isolatedWallet", "updateTime")},
        "initialMargin": text_of(position.initial_margin),
        "maintMargin": text_of(position.maintenance_margin),
        "unrealizedProfit": text_of(position.unrealized_pnl),
        "positionInitialMargin": text_of(position.initial_margin),
        "openOrderInitialMargin": text_of(order_margin(position, notionals_of(orders, instrument.contract), instrument.contract)),
        "isolated": position.margin_type == "isolated",
    }


def max_coins(leverage: int, price: Decimal) -> str:
    """The largest position that a leverage allows, in whole coins."""
    return str(max_notional(leverage) // max(int(price), 1))
