"""What Binance Spot says when it says no: codes, texts and HTTP statuses (Binance Spot, 3.3)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from userstream.sim.books import Refused
from userstream.sim.dialects.binance_usdm_errors import VenueError, missing, missing_both, not_required
from userstream.sim.venue import Json

__all__ = ["RULES", "TEXTS", "DetailedError", "VenueError", "missing", "missing_both", "not_required", "refuse", "translate"]

TEXTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        -1000: "An unknown error occurred while processing the request.",
        -1002: "You are not authorized to execute this request.",
        -1016: "This service is no longer available.",
        -1020: "This operation is not supported.",
        -1021: "Timestamp for this request is outside of the recvWindow.",
        -1022: "Signature for this request is not valid.",
        -1111: "Parameter has too much precision.",
        -1115: "Invalid timeInForce.",
        -1116: "Invalid orderType.",
        -1117: "Invalid side.",
        -1121: "Invalid symbol.",
        -1127: "More than 24 hours between startTime and endTime.",
        -1128: "Combination of optional parameters invalid.",
        -1130: "Data sent for a parameter is not valid.",
        -1131: "recvWindow must be less than 60000",
        -1135: "Invalid JSON Request",
        -1136: "Invalid newOrderRespType.",
        -1145: "Invalid cancelRestrictions",
        -2011: "Unknown order sent.",
        -2013: "Order does not exist.",
        -2014: "API-key format invalid.",
        -2015: "Invalid API-key, IP, or permissions for action.",
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
STATUSES: Final[Mapping[int, int]] = MappingProxyType({-1002: 401, -2014: 401, -2015: 401})

# What the books call a broken rule -> code and text of this venue.
RULES: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "amend_not_possible": (-2038, "Order amend is not supported for this order."),
        "amend_not_smaller": (-2038, "Order amend (quantity increase) is not supported."),
        "bad_amount": (-1130, TEXTS[-1130]),
        "bad_client_order_id": (
            -1100,
            "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[a-zA-Z0-9-_]{1,36}$'.",
        ),
        "bad_list": (-1158, "The orders of the list do not fit together."),
        "bad_lot": (-1013, "Filter failure: LOT_SIZE"),
        "bad_market_lot": (-1013, "Filter failure: MARKET_LOT_SIZE"),
        "bad_order_type": (-1116, TEXTS[-1116]),
        "bad_quote_quantity": (-1106, "Parameter 'quoteOrderQty' sent when not required."),
        "bad_self_trade_prevention": (-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid."),
        "bad_strategy_type": (-1130, "Data sent for parameter 'strategyType' is not valid."),
        "bad_tick": (-1013, "Filter failure: PRICE_FILTER"),
        "bad_time_in_force": (-1115, TEXTS[-1115]),
        "balance_insufficient": (-2010, "Account has insufficient balance for requested action."),
        "cancel_restricted": (-2011, "Order was not canceled due to cancel restrictions."),
        "duplicate_client_order_id": (-2010, "Duplicate order sent."),
        "duplicate_list_id": (-2010, "Duplicate order sent."),
        "iceberg_not_gtc": (-1013, "Iceberg orders must be GTC."),
        "iceberg_parts": (-1013, "Filter failure: ICEBERG_PARTS"),
        "min_notional": (-1013, "Filter failure: NOTIONAL"),
        "not_resting": (-2011, TEXTS[-2011]),
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
        "unknown_order": (-2013, TEXTS[-2013]),
        "unknown_symbol": (-1121, TEXTS[-1121]),
        "would_trigger_immediately": (-2010, "Stop price would trigger immediately."),
    }
)


class DetailedError(VenueError):
    """An error that says more than a code and a text: `data` goes out with them."""

    def __init__(self, code: int, data: Json, *, status: int) -> None:
        super().__init__(code, TEXTS[code], status=status)
        self.data = data


def refuse(code: int, text: str = "") -> VenueError:
    """The error of this venue with its own text, unless another one says more."""
    return VenueError(code, text or TEXTS.get(code, TEXTS[-1000]), status=STATUSES.get(code, 400))


def translate(refused: Refused, *, unknown: int = 0) -> VenueError:
    """The venue's words for a rule of the books. `unknown`: the code for an order or list that is not there, where it is another."""
    code, text = RULES.get(refused.rule, (-1000, TEXTS[-1000]))
    return refuse(unknown) if unknown and code in (-2013, -2018) else refuse(code, text)


def invalid(name: str) -> VenueError:
    """-1130 for a value that does not fit."""
    return refuse(-1130, f"Data sent for parameter '{name}' is not valid.")
