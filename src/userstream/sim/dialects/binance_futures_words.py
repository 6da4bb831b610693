"""The words of Binance USD-M and their meaning in the books, both ways, and how numbers are written (Binance USD-M, 4.1)."""

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from typing import Final

from userstream.sim.books import PositionSide, Side

SIDES: Final[Mapping[str, Side]] = MappingProxyType({"BUY": Side.BUY, "SELL": Side.SELL})
POSITION_SIDES: Final[Mapping[str, PositionSide]] = MappingProxyType(
    {"BOTH": PositionSide.BOTH, "LONG": PositionSide.LONG, "SHORT": PositionSide.SHORT}
)
PLAIN_TYPES: Final[Mapping[str, str]] = MappingProxyType({"LIMIT": "limit", "MARKET": "market"})
ALGO_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "STOP": "stop",
        "STOP_MARKET": "stop_market",
        "TAKE_PROFIT": "take_profit",
        "TAKE_PROFIT_MARKET": "take_profit_market",
        "TRAILING_STOP_MARKET": "trailing_stop_market",
    }
)
TIMES_IN_FORCE: Final[Mapping[str, str]] = MappingProxyType({"GTC": "gtc", "IOC": "ioc", "FOK": "fok", "GTX": "gtx", "GTD": "gtd"})
PREVENTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {"NONE": "none", "EXPIRE_TAKER": "expire_taker", "EXPIRE_MAKER": "expire_maker", "EXPIRE_BOTH": "expire_both"}
)
PRICE_MATCHES: Final[Mapping[str, str]] = MappingProxyType(
    {
        word: word.lower()
        for word in ("NONE", "OPPONENT", "OPPONENT_5", "OPPONENT_10", "OPPONENT_20", "QUEUE", "QUEUE_5", "QUEUE_10", "QUEUE_20")
    }
)
WORKING_TYPES: Final[Mapping[str, str]] = MappingProxyType({"CONTRACT_PRICE": "contract_price", "MARK_PRICE": "mark_price"})
RESPONSE_TYPES: Final[Mapping[str, str]] = MappingProxyType({"ACK": "ack", "RESULT": "result"})
MARGIN_TYPES: Final[Mapping[str, str]] = MappingProxyType({"CROSSED": "cross", "CROSS": "cross", "ISOLATED": "isolated"})
# The venue's income words are those of the books in capitals, but for one that it spells its own way.
INCOME_SPELLING: Final[Mapping[str, str]] = MappingProxyType({"DELIVERED_SETTLEMENT": "DELIVERED_SETTELMENT"})


def text_of(amount: Decimal) -> str:
    """A decimal as the venue writes it: no exponent, no signed zero."""
    if not amount:
        return "0"
    text = str(amount)
    return f"{amount:f}" if "E" in text else text


@cache
def word_of(word: str) -> str:
    """The venue's word for a word of the books."""
    return word.upper()


def margin_word(margin_type: str) -> str:
    """CROSSED or ISOLATED, as REST and MARGIN_CALL spell them; ACCOUNT_UPDATE keeps the lower-case words."""
    return "ISOLATED" if margin_type == "isolated" else "CROSSED"


def income_word(income_type: str) -> str:
    word = income_type.upper()
    return INCOME_SPELLING.get(word, word)
