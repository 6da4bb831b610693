"""What Binance Spot says when it says no: codes and texts (Binance Spot, 3.3)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from userstream.sim.dialects.binance_errors import Vocabulary

TEXTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        -1111: "Parameter has too much precision.",
        -1127: "More than 24 hours between startTime and endTime.",
        -1136: "Invalid newOrderRespType.",
        -1145: "Invalid cancelRestrictions",
        -1209: "Invalid listenToken.",
        -2018: "Order list does not exist.",
        -2021: "Order cancel-replace partially failed.",
        -2022: "Order cancel-replace failed.",
        -2026: "Order was canceled or expired with no executed qty over 90 days ago and has been archived.",
        -2035: "User Data Stream subscription already active.",
        -2036: "User Data Stream subscription not active.",
        -2042: "Too many subscriptions in this session. Open a new connection.",
        -4056: "Only an Ed25519 API key can log on to a session.",
    }
)
# What the books call a broken rule -> code and text of this venue.
RULES: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "asset_not_lent": (-3027, "Not a valid margin asset."),
        "bad_side_effect": (-1130, "Data sent for parameter 'sideEffectType' is not valid."),
        "borrow_too_much": (-3006, "Your borrow amount has exceed maximum borrow amount."),
        "no_margin_account": (-3003, "Margin account does not exist."),
        "nothing_owed": (-3015, "Repay amount exceeds borrow amount."),
        "no_margin_pair": (-3021, "Margin account are not allowed to trade this trading pair."),
        "only_own_pair": (-3028, "Not a valid margin pair."),
        "repay_too_much": (-3015, "Repay amount exceeds borrow amount."),
        "amend_not_possible": (-2038, "Order amend is not supported for this order."),
        "amend_not_smaller": (-2038, "Order amend (quantity increase) is not supported."),
        "bad_amount": (-1130, ""),
        "bad_client_order_id": (
            -1100,
            "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[a-zA-Z0-9-_]{1,36}$'.",
        ),
        "bad_list": (-1158, "The orders of the list do not fit together."),
        "bad_lot": (-1013, "Filter failure: LOT_SIZE"),
        "bad_market_lot": (-1013, "Filter failure: MARKET_LOT_SIZE"),
        "bad_order_type": (-1116, ""),
        "bad_quote_quantity": (-1106, "Parameter 'quoteOrderQty' sent when not required."),
        "bad_self_trade_prevention": (-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid."),
        "bad_strategy_type": (-1130, "Data sent for parameter 'strategyType' is not valid."),
        "bad_tick": (-1013, "Filter failure: PRICE_FILTER"),
        "bad_time_in_force": (-1115, ""),
        "balance_insufficient": (-2010, "Account has insufficient balance for requested action."),
        "cancel_restricted": (-2011, "Order was not canceled due to cancel restrictions."),
        "duplicate_client_order_id": (-2010, "Duplicate order sent."),
        "duplicate_list_id": (-2010, "Duplicate order sent."),
        "iceberg_not_gtc": (-1013, "Iceberg orders must be GTC."),
        "iceberg_parts": (-1013, "Filter failure: ICEBERG_PARTS"),
        "min_notional": (-1013, "Filter failure: NOTIONAL"),
        "not_resting": (-2011, ""),
        "oco_bad_prices": (-2010, "The relationship of the prices for the orders is not correct."),
        "percent_price": (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        "post_only_would_take": (-2010, "Order would immediately match and take."),
        "stop_missing": (-1102, "Param 'stopPrice' or 'trailingDelta' must be sent, but both were empty/null!"),
        "too_many_amendments": (-1013, "Filter failure: MAX_NUM_ORDER_AMENDS"),
        "too_many_lists": (-1013, "Filter failure: MAX_NUM_ORDER_LISTS"),
        "too_many_open_orders": (-1013, "Filter failure: MAX_NUM_ORDERS"),
        "too_many_stop_orders": (-1013, "Filter failure: MAX_NUM_ALGO_ORDERS"),
        "trading_disabled": (-2010, "This account may not place or cancel orders."),
        "trailing_delta": (-1013, "Filter failure: TRAILING_DELTA"),
        "unknown_list": (-2018, TEXTS[-2018]),
        "unknown_order": (-2013, ""),
        "unknown_symbol": (-1121, ""),
        "would_trigger_immediately": (-2010, "Stop price would trigger immediately."),
    }
)

VOCABULARY: Final = Vocabulary(TEXTS, RULES)
refuse, translate = VOCABULARY.refuse, VOCABULARY.translate
