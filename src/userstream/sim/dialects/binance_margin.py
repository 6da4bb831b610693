"""Binance margin as the paper exchange speaks it: at the address of Spot, with risk sockets of its own (Binance Spot, 2.4, 2.5, 4.4).

Both venues share one exchange when they run together: orders of spot and of margin accounts meet in the same books.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from userstream.sim.dialects.binance_margin_messages import RISK_EVENTS
from userstream.sim.dialects.binance_spot import NAME as SPOT
from userstream.sim.dialects.binance_spot import OWN_PREFIXES, RISK_STREAMS, BinanceSpot, found_spot
from userstream.sim.dialects.binance_spot_calls import LIMITS
from userstream.sim.marketplace import Marketplace
from userstream.sim.spot.exchange import spot_of
from userstream.sim.spot.instruments import DEFAULT_PAIRS
from userstream.sim.venue import Locations, Venue

NAME: Final = "binance-margin"


class BinanceMargin(BinanceSpot):
    """The dialect of Spot, told to clients with the address of the risk stream, which is also at the root where no other venue is meant."""

    @property
    def event_names(self) -> frozenset[str]:
        return super().event_names | RISK_EVENTS

    def serves(self, path: str) -> bool:
        return super().serves(path) or path.startswith("/ws/")

    def locations(self, http_url: str, ws_url: str) -> Locations:
        return Locations(rest_url=http_url, ws_url=ws_url + RISK_STREAMS, ws_api_url=ws_url + self._product.socket_path)


def open_margin(exchange: Marketplace, account: str, balances: Mapping[str, Decimal]) -> None:
    """A user with a cross margin account; isolated ones are opened when they are first named."""
    spot_of(exchange).open_margin_account(account, balances)


def has_besides(exchange: Marketplace, user: str, name: str) -> bool:
    """The spot account, and an isolated one for each pair."""
    spot = spot_of(exchange)
    if name in spot.instruments:
        spot.margin_account(user, name)
        return True
    return f"{user}.{name}" == spot.spot_account(user)


VENUE: Final = Venue(
    name=NAME,
    instruments=DEFAULT_PAIRS,
    budget="binance-spot",
    premises=SPOT,
    open=BinanceMargin,
    found=found_spot,
    enrol=open_margin,
    besides=has_besides,
    limits=LIMITS,
    home=OWN_PREFIXES,
    ping_interval_s=20,
    pong_deadline_s=60,
)
