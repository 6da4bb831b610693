"""Spot's words and ours, as tables, where they differ from those of the futures. What is missing here is counted when it comes."""

from __future__ import annotations

from typing import Final

from userstream.domain.words import OrderStatus
from userstream.venues.binance.words import STATUSES

# Binance Spot, 4.3.1 and 7.1. PENDING_CANCEL is in the documents and not in use: such an order is still open.
SPOT_STATUSES: Final[dict[str, OrderStatus]] = {
    **STATUSES,
    "PENDING_NEW": OrderStatus.PENDING,
    "PENDING_CANCEL": OrderStatus.NEW,
}


def _lowered(words: str) -> dict[str, str]:
    return {word: word.lower() for word in words.split()}


def _phrases(words: str) -> dict[str, str]:
    return {word: word.lower().replace("_", " ") for word in words.split()}


MAKER_ONLY: Final = "LIMIT_MAKER"
SPOT_ORDER_TYPES: Final = _lowered("LIMIT MARKET STOP_LOSS STOP_LOSS_LIMIT TAKE_PROFIT TAKE_PROFIT_LIMIT LIMIT_MAKER")
SPOT_TIMES_IN_FORCE: Final = _lowered("GTC IOC FOK")

# One word for the same thing on every venue: what Spot calls replaced is an amended order.
SPOT_EXECUTIONS: Final = _lowered("NEW CANCELED REJECTED TRADE EXPIRED TRADE_PREVENTION") | {"REPLACED": "amendment"}
FILLING_EXECUTION: Final = "TRADE"
AMENDED: Final = "REPLACED"

SPOT_SELF_TRADE_PREVENTIONS: Final = _lowered("NONE EXPIRE_MAKER EXPIRE_TAKER EXPIRE_BOTH DECREMENT TRANSFER")

# Open sets (Binance Spot, 4.3.1).
NO_REJECTION: Final = frozenset({"", "NONE"})
REJECT_REASONS: Final = _phrases("INSUFFICIENT_BALANCES STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY WOULD_MATCH_IMMEDIATELY OCO_BAD_PRICES")
SPOT_EXPIRY_REASONS: Final = _phrases(
    "REJECTED EXCHANGE_CANCELED OCO_TRIGGER OTO_PHASE_ONE_EXPIRED UNFILLED_IOC_QUANTITY_EXPIRED UNFILLED_FOK_ORDER_EXPIRED "
    "INSUFFICIENT_LIQUIDITY EXECUTION_RULE_PRICE_RANGE_EXCEEDED"
)

# Binance Spot, 4.3.4.
CONTINGENCIES: Final = _lowered("OCO OTO OTOCO OPO")
LIST_UPDATES: Final = _lowered("RESPONSE EXEC_STARTED UPDATED ALL_DONE")
LIST_STATUSES: Final = _lowered("EXECUTING ALL_DONE REJECT")

ALLOCATION: Final = "A:"
"""Begins the trade id of an execution that has an allocation id instead: the two count apart."""

BALANCE_UPDATE: Final = "balance_update"
"""The reason of a movement: one event tells deposits, withdrawals and transfers, and does not say which (Binance Spot, 4.3.3)."""
