"""The venues that the paper exchange can serve: one line for each."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from userstream.sim.dialects import binance_coinm, binance_margin, binance_spot, binance_usdm
from userstream.sim.venue import Venue

VENUES: Final[Mapping[str, Venue]] = MappingProxyType(
    {venue.name: venue for venue in (binance_usdm.VENUE, binance_coinm.VENUE, binance_spot.VENUE, binance_margin.VENUE)}
)
