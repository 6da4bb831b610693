"""The words of Binance Spot and their meaning in the books, both ways, and how numbers are written (Binance Spot, 4.3.1)."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from userstream.sim.books import Execution, Side

SIDES: Final[Mapping[str, Side]] = MappingProxyType({"BUY": Side.BUY, "SELL": Side.SELL})
ORDER_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {word: word.lower() for word in ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")}
)
TIMES_IN_FORCE: Final[Mapping[str, str]] = MappingProxyType({"GTC": "gtc", "IOC": "ioc", "FOK": "fok"})
PREVENTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {word: word.lower() for word in ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT")}
)
RESPONSE_TYPES: Final[Mapping[str, str]] = MappingProxyType({"ACK": "ack", "RESULT": "result", "FULL": "full"})
RESTRICTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {"ONLY_NEW": "only_new", "ONLY_PARTIALLY_FILLED": "only_partially_filled", "": ""}
)
REJECT_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "balance_insufficient": "INSUFFICIENT_BALANCES",
        "post_only_would_take": "WOULD_MATCH_IMMEDIATELY",
        "would_trigger_immediately": "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY",
        "oco_bad_prices": "OCO_BAD_PRICES",
    }
)
EXECUTIONS: Final[Mapping[Execution, str]] = MappingProxyType({Execution.AMENDMENT: "REPLACED"})


def text_of(amount: Decimal) -> str:
    """A decimal as the venue writes it: always 8 places."""
    return f"{amount:.8f}"


def word_of(word: str) -> str:
    """The venue's word for a word of the books."""
    return word.upper()


def execution_word(execution: Execution) -> str:
    return EXECUTIONS.get(execution, execution.value.upper())


def reject_word(rule: str) -> str:
    """The reject reason of an event; NONE for an order that was not rejected."""
    return REJECT_REASONS.get(rule, "NONE")
