"""Floor 4: the venues, one folder each, and their registry. Pure; venues do not know each other."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from userstream.kernel.errors import DID_YOU_MEAN, SettingsError, nearest
from userstream.kernel.ids import VenueName
from userstream.venues import binance
from userstream.wire.venue import VenueSpec

REGISTRY: Final[Mapping[VenueName, VenueSpec]] = MappingProxyType(
    {spec.name: spec for spec in (binance.USDM, binance.COINM, binance.SPOT, binance.MARGIN, binance.RISK)}
)
"""Every venue product that can be connected."""

PLANNED: Final = frozenset({"bitfinex", "bybit", "okx", "kucoin-spot", "kucoin-futures"})
"""Names that are fixed for products this version cannot speak yet."""

UNSUPPORTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "binance-portfolio": "Binance portfolio margin keeps several markets in one account, with calls and a feed of its own",
        "binance-portfolio-pro": "the address of the listen key of Binance portfolio margin pro is not documented reliably",
        "binance-options": "the feed of Binance options has messages of other meaning under the names of the futures' ones",
    }
)
"""Products that exist and are not planned, each with the reason."""


def find_venue(name: str) -> VenueSpec:
    """The venue product of that name. Raises SettingsError: with what can be connected for a product that is not built yet or not
    supported at all, with the nearest name for one nobody has heard of."""
    spec = REGISTRY.get(VenueName(name))
    if spec is not None:
        return spec
    if name in UNSUPPORTED:
        raise SettingsError(
            f"venue {name!r} is not supported: {UNSUPPORTED[name]}; this version can connect: {', '.join(sorted(REGISTRY))}"
        )
    if name in PLANNED:
        raise SettingsError(f"venue {name!r} is not built yet; this version can connect: {', '.join(sorted(REGISTRY))}")
    close = nearest(name, {*REGISTRY, *PLANNED, *UNSUPPORTED})
    hint = close if close.startswith(DID_YOU_MEAN) else f"known: {', '.join(sorted(REGISTRY))}"
    raise SettingsError(f"venue {name!r} is not known; {hint}")
