"""The products that the kit plays: where each lists its contracts, what an account begins with, and what a sign of life trades."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import msgspec

from userstream.kernel.errors import SettingsError, nearest
from userstream.sim.actions import Place
from userstream.sim.books import Side
from userstream.venues import REGISTRY


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One venue product. `has_wallets`: it has no positions, what an account holds are its wallets. `probe_quantity` is in the venue's own
    order unit."""

    venue: str
    title: str
    listing_path: str
    balances: Mapping[str, Decimal]
    probe_symbol: str
    probe_quantity: Decimal
    probe_price: Decimal = Decimal(60_000)
    has_wallets: bool = False

    def make_probe(self, account: str, name: str) -> Place:
        """A resting order that has nothing to do with any script."""
        return Place(
            account=account,
            symbol=self.probe_symbol,
            side=Side.BUY,
            quantity=self.probe_quantity,
            price=self.probe_price,
            client_order_id=name,
        )


USDM: Final = Product(
    venue="binance-usdm",
    title="Binance USD-M",
    listing_path="/fapi/v1/exchangeInfo",
    balances={"USDT": Decimal(100_000)},
    probe_symbol="BTCUSDT",
    probe_quantity=Decimal("0.001"),
)
COINM: Final = Product(
    venue="binance-coinm",
    title="Binance COIN-M",
    listing_path="/dapi/v1/exchangeInfo",
    balances={"BTC": Decimal(10), "ETH": Decimal(100)},
    probe_symbol="BTCUSD_PERP",
    probe_quantity=Decimal(1),
)
SPOT: Final = Product(
    venue="binance-spot",
    title="Binance Spot",
    listing_path="/api/v3/exchangeInfo",
    balances={"USDT": Decimal(100_000), "BTC": Decimal(1), "ETH": Decimal(10)},
    probe_symbol="BTCUSDT",
    probe_quantity=Decimal("0.001"),
    has_wallets=True,
)
PRODUCTS: Final = MappingProxyType({product.venue: product for product in (USDM, SPOT, COINM)})


def find_products(venues: tuple[str, ...] | list[str] = ()) -> tuple[Product, ...]:
    """The named products, or all. Raises SettingsError that names the nearest known one, or for another product all that there are."""
    for venue in venues:
        if venue not in PRODUCTS:
            # a product without scripts was not mistyped: its nearest neighbour was not meant
            advice = f"there are some for {', '.join(PRODUCTS)}" if venue in REGISTRY else nearest(venue, PRODUCTS)
            raise SettingsError(f"--venue {venue!r} has no fault scripts; {advice}")
    return tuple(product for product in PRODUCTS.values() if not venues or product.venue in venues)
