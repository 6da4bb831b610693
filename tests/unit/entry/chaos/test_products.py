"""The products: each has its own place in the registry of venues and something to trade."""

from __future__ import annotations

from decimal import Decimal

import pytest

from userstream.entry.chaos.products import COINM, PRODUCTS, SPOT, USDM, Product, find_products
from userstream.kernel.errors import SettingsError
from userstream.venues import REGISTRY


def test_names_are_checked_and_the_nearest_is_told() -> None:
    assert find_products() == (USDM, SPOT, COINM)
    assert find_products(["binance-coinm", "binance-usdm"]) == (USDM, COINM)
    with pytest.raises(SettingsError, match="did you mean 'binance-spot'"):
        find_products(["binance-spt"])
    with pytest.raises(
        SettingsError, match=r"'binance-margin' has no fault scripts; there are some for binance-usdm, binance-spot, binance-coinm$"
    ):
        find_products(["binance-margin"])


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
def test_a_product_is_one_of_the_registry_and_its_probe_can_be_paid(product: Product) -> None:
    assert product.venue in REGISTRY
    probe = product.make_probe("a", "b")
    assert (probe.account, probe.client_order_id, probe.symbol) == ("a", "b", product.probe_symbol)
    assert probe.quantity > 0
    assert all(amount > Decimal(0) for amount in product.balances.values())
