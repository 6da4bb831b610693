"""What Binance USD-M says when it says no: codes, texts and HTTP statuses (Binance USD-M, 3.3)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from userstream.sim.books import Refused

TEXTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        -1000: "An unknown error occurred while processing the request.",
        -1002: "You are not authorized to execute this request.",
        -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
        -1021: "Timestamp for this request is outside of the recvWindow.",
        -1022: "Signature for this request is not valid.",
        -1023: "Start time is greater than end time.",
        -1111: "Precision is over the maximum defined for this asset.",
        -1115: "Invalid timeInForce.",
        -1116: "Invalid orderType.",
        -1117: "Invalid side.",
        -1121: "Invalid symbol.",
        -1125: "This listenKey does not exist.",
        -1128: "Combination of optional parameters invalid.",
        -1130: "Data sent for a parameter is not valid.",
        -1131: "recvWindow must be less than 60000",
        -1136: "Invalid newOrderRespType",
        -2011: "Unknown order sent.",
        -2013: "Order does not exist.",
        -2014: "API-key format invalid.",
        -2015: "Invalid API-key, IP, or permissions for action.",
        -2018: "Balance is insufficient.",
        -2019: "Margin is insufficient.",
        -2020: "Unable to fill.",
        -2021: "Order would immediately trigger.",
        -2022: "ReduceOnly Order is rejected.",
        -2023: "User in liquidation mode now.",
        -2024: "Position is not sufficient.",
        -2025: "Reach max open order limit.",
        -2026: "This OrderType is not supported when reduceOnly.",
        -2027: "Exceeded the maximum allowable position at current leverage.",
        -2028: "Leverage is smaller than permitted: insufficient margin balance.",
        -4001: "Price less than 0.",
        -4003: "Quantity less than or equal to zero.",
        -4004: "Quantity less than min quantity.",
        -4005: "Quantity greater than max quantity.",
        -4014: "Price not increased by tick size.",
        -4015: "Client order id is not valid.",
        -4016: "Price is higher than mark price multiplier cap.",
        -4023: "Qty not increased by step size.",
        -4024: "Price is lower than mark price multiplier floor.",
        -4028: "Leverage is not valid.",
        -4045: "Reach max stop order limit.",
        -4046: "No need to change margin type.",
        -4047: "Margin type cannot be changed if there exists open orders.",
        -4048: "Margin type cannot be changed if there exists position.",
        -4049: "Add margin only support for isolated position.",
        -4050: "Cross balance insufficient.",
        -4051: "Isolated balance insufficient.",
        -4055: "Amount must be positive.",
        -4056: "Invalid api key type.",
        -4059: "No need to change position side.",
        -4060: "Invalid position side.",
        -4061: "Order's position side does not match user's setting.",
        -4062: "Invalid or improper reduceOnly value.",
        -4067: "Position side cannot be changed if there exists open orders.",
        -4068: "Position side cannot be changed if there exists position.",
        -4116: "ClientOrderId is duplicated.",
        -4118: "ReduceOnly Order Failed. Please check your existing position and open orders.",
        -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
        -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
        -4136: "Target strategy invalid for orderType and closePosition.",
        -4137: "Quantity must be zero with closePosition equals true.",
        -4138: "Reduce only must not be sent with closePosition equals true.",
        -4161: "Leverage reduction is not supported in Isolated Margin Mode with open positions.",
        -4164: "Order's notional must be no smaller than 5 (unless you choose reduce only).",
        -4165: "Invalid time interval: more than 7 days between startTime and endTime.",
        -4166: "Search window is restricted to recent 90 days only.",
        -4167: "Unable to adjust to Multi-Assets mode with symbols under isolated-margin mode.",
        -4168: "Unable to adjust to isolated-margin mode under the Multi-Assets mode.",
        -4170: "Unable to adjust Multi-Assets Mode with open orders.",
        -4171: "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.",
        -5021: "Due to the order could not be filled immediately, the FOK order has been rejected.",
        -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected.",
        -5025: "Only limit order is supported.",
        -5026: "Exceed maximum modify order limit.",
        -5027: "No need to modify the order.",
        -5037: "Invalid price match.",
        -5038: "Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT.",
        -5039: "Invalid self trade prevention mode.",
        -5040: "The goodTillDate timestamp must be greater than the current time plus 600 seconds and smaller than 253402300799000.",
        -5041: "No depth matches this BBO order.",
    }
)

UNAUTHORIZED: Final = frozenset({-2014, -2015})

# What the books call a broken rule -> what this venue calls it.
RULES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "amend_no_change": -5027,
        "amend_side_mismatch": -1117,
        "bad_amount": -4055,
        "bad_callback_rate": -1130,
        "bad_client_order_id": -4015,
        "bad_countdown": -1130,
        "bad_margin_type": -1130,
        "bad_order_type": -1116,
        "bad_price_match": -5037,
        "bad_self_trade_prevention": -5039,
        "bad_step": -4023,
        "bad_tick": -4014,
        "bad_time_in_force": -1115,
        "bad_working_type": -1130,
        "balance_insufficient": -2018,
        "close_position_conflict": -4136,
        "duplicate_client_order_id": -4116,
        "fok_not_fillable": -5021,
        "good_till_too_soon": -5040,
        "insufficient_cross_margin": -4050,
        "insufficient_isolated_margin": -4051,
        "isolated_with_multi_assets": -4168,
        "leverage_insufficient_margin": -2028,
        "leverage_out_of_range": -4028,
        "leverage_reduction_isolated": -4161,
        "margin_insufficient": -2019,
        "margin_type_open_orders": -4047,
        "margin_type_open_positions": -4048,
        "min_notional": -4164,
        "mode_change_open_orders": -4067,
        "mode_change_open_positions": -4068,
        "multi_assets_with_isolated": -4167,
        "not_isolated": -4049,
        "no_need_to_change_margin_type": -4046,
        "no_need_to_change_multi_assets": -4171,
        "no_need_to_change_position_side": -4059,
        "no_position": -2024,
        "percent_price": -4016,
        "position_side_mismatch": -4061,
        "post_only_would_take": -5022,
        "quantity_too_large": -4005,
        "quantity_too_small": -4004,
        "reduce_only_rejected": -2022,
        "too_many_amendments": -5026,
        "too_many_conditional_orders": -4045,
        "too_many_open_orders": -2025,
        "trading_disabled": -2015,
        "unknown_asset": -1130,
        "unknown_order": -2013,
        "unknown_symbol": -1121,
        "user_in_liquidation": -2023,
        "would_trigger_immediately": -2021,
    }
)


class VenueError(Exception):
    """An answer that is an error: code and text as the venue gives them, and the HTTP status that carries it."""

    def __init__(self, code: int, text: str = "", *, status: int = 0, headers: Mapping[str, str] | None = None) -> None:
        self.code = code
        self.text = text or TEXTS.get(code, TEXTS[-1000])
        self.status = status or (401 if code in UNAUTHORIZED else 400)
        self.headers = dict(headers or {})
        super().__init__(f"{self.code}: {self.text}")


def missing(name: str) -> VenueError:
    """-1102 for a parameter that is missing, empty or malformed."""
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def missing_both(one: str, other: str) -> VenueError:
    """-1102 where one of two parameters must be there."""
    return VenueError(-1102, f"Param '{one}' or '{other}' must be sent, but both were empty/null!")


def invalid(name: str) -> VenueError:
    """-1130 for a value that does not fit."""
    return VenueError(-1130, f"Data sent for parameter '{name}' is not valid.")


def not_required(name: str) -> VenueError:
    """-1106 for a parameter that does not belong here."""
    return VenueError(-1106, f"Parameter '{name}' sent when not required.")


def translate(refused: Refused, *, unknown_order: int = -2013) -> VenueError:
    """The venue's words for a rule of the books. Cancelling an unknown order has another code than asking for one."""
    code = RULES.get(refused.rule, -1000)
    return VenueError(unknown_order if code == -2013 else code)
