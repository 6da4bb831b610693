"""The venue's words and ours, as tables. What is missing here is seen and counted when it comes, never dropped."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from userstream.domain.words import MarginType, OrderStatus, Origin, PositionSide, Side


def _lowered(words: str) -> dict[str, str]:
    return {word: word.lower() for word in words.split()}


# Plain dicts: a read of a MappingProxyType costs twice as much, and these are read for every frame.
SIDES: Final[dict[str, Side]] = {"BUY": Side.BUY, "SELL": Side.SELL}

POSITION_SIDES: Final[dict[str, PositionSide]] = {
    "BOTH": PositionSide.BOTH,
    "LONG": PositionSide.LONG,
    "SHORT": PositionSide.SHORT,
}

# Binance USD-M, 7.1: the last two are gone from the documents and still mapped by others as open orders.
STATUSES: Final[dict[str, OrderStatus]] = {
    "NEW": OrderStatus.NEW,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
    "NEW_INSURANCE": OrderStatus.NEW,
    "NEW_ADL": OrderStatus.NEW,
}

STATUS_ORIGINS: Final[dict[str, Origin]] = {"NEW_INSURANCE": Origin.INSURANCE, "NEW_ADL": Origin.ADL}

# Binance USD-M, 4.1.6. FINISHED is not here: what it means, the quantities say.
ALGO_STATUSES: Final[dict[str, OrderStatus]] = {
    "NEW": OrderStatus.NEW,
    "CANCELED": OrderStatus.CANCELED,
    "TRIGGERING": OrderStatus.PENDING,
    "TRIGGERED": OrderStatus.TRIGGERED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
}
FINISHED: Final = "FINISHED"

# Binance USD-M, 4.1.3: lower case in ACCOUNT_UPDATE, CROSSED and ISOLATED in MARGIN_CALL and symbolConfig.
MARGIN_TYPES: Final[dict[str, MarginType]] = {
    "cross": MarginType.CROSS,
    "isolated": MarginType.ISOLATED,
    "CROSS": MarginType.CROSS,
    "CROSSED": MarginType.CROSS,
    "ISOLATED": MarginType.ISOLATED,
}

ORDER_TYPES: Final = _lowered("LIMIT MARKET STOP STOP_MARKET TAKE_PROFIT TAKE_PROFIT_MARKET TRAILING_STOP_MARKET LIQUIDATION")
TRAILING: Final = "TRAILING_STOP_MARKET"
LIQUIDATION: Final = "LIQUIDATION"

TIMES_IN_FORCE: Final = _lowered("GTC IOC FOK GTX GTD RPI GTE_GTC")
POST_ONLY: Final = frozenset({"GTX", "RPI"})

EXECUTION_TYPES: Final = _lowered("NEW CANCELED CALCULATED EXPIRED TRADE AMENDMENT")
FILLING: Final = frozenset({"TRADE", "CALCULATED"})

ALGO_EXECUTIONS: Final = _lowered("NEW CANCELED TRIGGERING TRIGGERED FINISHED REJECTED EXPIRED")

SELF_TRADE_PREVENTIONS: Final = _lowered("NONE EXPIRE_TAKER EXPIRE_MAKER EXPIRE_BOTH")
WORKING_TYPES: Final = _lowered("CONTRACT_PRICE MARK_PRICE")

# Binance USD-M, 4.1.3: an open set.
ACCOUNT_REASONS: Final = _lowered(
    "DEPOSIT WITHDRAW ORDER FUNDING_FEE WITHDRAW_REJECT ADJUSTMENT INSURANCE_CLEAR ADMIN_DEPOSIT ADMIN_WITHDRAW MARGIN_TRANSFER "
    "MARGIN_TYPE_CHANGE ASSET_TRANSFER OPTIONS_PREMIUM_FEE OPTIONS_SETTLE_PROFIT AUTO_EXCHANGE COIN_SWAP_DEPOSIT COIN_SWAP_WITHDRAW"
)

# Binance USD-M, 6.1; the spelling of DELIVERED_SETTELMENT is theirs.
INCOME_TYPES: Final = _lowered(
    "TRANSFER WELCOME_BONUS REALIZED_PNL FUNDING_FEE COMMISSION INSURANCE_CLEAR REFERRAL_KICKBACK COMMISSION_REBATE API_REBATE "
    "CONTEST_REWARD CROSS_COLLATERAL_TRANSFER OPTIONS_PREMIUM_FEE OPTIONS_SETTLE_PROFIT INTERNAL_TRANSFER AUTO_EXCHANGE "
    "DELIVERED_SETTELMENT COIN_SWAP_DEPOSIT COIN_SWAP_WITHDRAW POSITION_LIMIT_INCREASE_FEE STRATEGY_UMFUTURES_TRANSFER FEE_RETURN "
    "BFUSD_REWARD SPECIAL_FUNDING_FEE"
)
TRADE_INCOMES: Final = frozenset({"REALIZED_PNL", "COMMISSION"})

# Binance USD-M, 4.1.8.
STRATEGY_TYPES: Final = _lowered("GRID")
STRATEGY_STATUSES: Final = _lowered("NEW WORKING CANCELLED EXPIRED")
STRATEGY_REASONS: Final[dict[int, str]] = {
    8001: "parameters changed",
    8002: "cancelled by the user",
    8003: "an order was placed or cancelled by hand",
    8004: "stop limit reached",
    8005: "position liquidated",
    8006: "order limit reached",
    8007: "new grid order",
    8008: "margin not sufficient",
    8009: "price out of bounds",
    8010: "market closed",
    8011: "closing the position failed",
    8012: "notional limit reached",
    8013: "identity check not sufficient",
    8014: "quantitative rules violated",
    8015: "position empty",
}

# Binance USD-M, 4.1.1, the table of `er`; an open set. "0" is no reason and is never looked up.
NO_REASON: Final = frozenset({"", "0"})
EXPIRY_REASONS: Final[dict[str, str]] = {
    "1": "self-trade prevention",
    "2": "immediate-or-cancel remainder",
    "3": "immediate-or-cancel remainder after self-trade prevention",
    "4": "displaced by a reduce-only order of higher priority, or the position would reverse",
    "5": "account liquidated",
    "6": "good-till-expiry condition no longer met",
    "7": "symbol delisted",
    "8": "the first order expired after its stop was triggered",
    "9": "market order remainder",
    "10": "fill-or-kill not fillable",
    "11": "post-only check failed",
}

# Binance USD-M, 7.5.
ORIGINS: Final[Mapping[str, Origin]] = MappingProxyType(
    {
        "autoclose-": Origin.LIQUIDATION,
        "adl_autoclose": Origin.ADL,
        "settlement_autoclose-": Origin.SETTLEMENT,
        "delivery_autoclose-": Origin.SETTLEMENT,
        "web_": Origin.EXTERNAL,
        "ios_": Origin.EXTERNAL,
        "android_": Origin.EXTERNAL,
        "electron_": Origin.EXTERNAL,
    }
)
ORIGIN_PREFIXES: Final = tuple(ORIGINS)


def origin_of(client_order_id: str) -> Origin:
    """Who made the order, told by the prefix of its client id (Binance USD-M, 7.5)."""
    if not client_order_id.startswith(ORIGIN_PREFIXES):
        return Origin.OWN
    return next(origin for prefix, origin in ORIGINS.items() if client_order_id.startswith(prefix))
