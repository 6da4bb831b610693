"""What each feed behind a listen key can say: its messages, bare and wrapped, and the keys that they may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, get_args

import msgspec

from userstream.venues.binance.coin_messages import CoinEnvelope, CoinMessage
from userstream.venues.binance.margin_risk import RiskEnvelope, RiskMessage
from userstream.venues.binance.messages import AnyMessage, Envelope
from userstream.venues.binance.shapes import SHAPES, Shape, shapes_of
from userstream.venues.binance.spellings import AnySpelling

Told: TypeAlias = AnyMessage | CoinMessage | RiskMessage


class Language(msgspec.Struct, frozen=True):
    """A product's messages: `bare` and `wrapped` read a whole frame and raise errors of msgspec; `shapes` has an entry for each name."""

    bare: Callable[[bytes], Told]
    wrapped: Callable[[bytes], Envelope | CoinEnvelope | RiskEnvelope]
    shapes: Mapping[str, Shape]


USD_M_LANGUAGE: Final = Language(msgspec.json.Decoder(AnyMessage).decode, msgspec.json.Decoder(Envelope).decode, SHAPES)
COIN_M_LANGUAGE: Final = Language(
    msgspec.json.Decoder(CoinMessage).decode, msgspec.json.Decoder(CoinEnvelope).decode, shapes_of(get_args(CoinMessage))
)
_RISK_SHAPES: Final = AnySpelling(shapes_of(get_args(RiskMessage)))
RISK_LANGUAGE: Final = Language(
    _RISK_SHAPES.reader(msgspec.json.Decoder(RiskMessage).decode), msgspec.json.Decoder(RiskEnvelope).decode, _RISK_SHAPES
)
