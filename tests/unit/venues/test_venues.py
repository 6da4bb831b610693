"""The registry: what can be connected, and helpful words about what cannot."""

from __future__ import annotations

import pytest

from userstream.kernel.errors import SettingsError
from userstream.venues import PLANNED, REGISTRY, UNSUPPORTED, find_venue

FIXED = {
    "binance-usdm",
    "binance-spot",
    "binance-coinm",
    "binance-margin",
    "binance-margin-risk",
    "bitfinex",
    "bybit",
    "okx",
    "kucoin-spot",
    "kucoin-futures",
}


def test_every_fixed_name_is_built_or_planned_and_no_other() -> None:
    assert {*REGISTRY, *PLANNED} == FIXED
    assert not REGISTRY.keys() & PLANNED


def test_a_built_venue_is_found_under_its_own_name() -> None:
    for name, spec in REGISTRY.items():
        assert find_venue(name) is spec
        assert spec.name == name


def test_a_planned_venue_is_said_to_be_planned() -> None:
    for name in PLANNED:
        with pytest.raises(
            SettingsError, match=f"venue '{name}' is not built yet; this version can connect: {', '.join(sorted(REGISTRY))}$"
        ):
            find_venue(name)


@pytest.mark.parametrize("name", ["binance-portfolio", "binance-portfolio-pro", "binance-options"])
def test_a_product_that_is_not_supported_is_named_with_the_reason(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        find_venue(name)
    assert str(caught.value).startswith(f"venue {name!r} is not supported: {UNSUPPORTED[name]}; this version can connect: binance-")


def test_what_is_not_supported_is_neither_built_nor_planned() -> None:
    assert not UNSUPPORTED.keys() & {*REGISTRY, *PLANNED}


@pytest.mark.parametrize(
    ("name", "words"), [("binance-usd", "did you mean 'binance-usdm'"), ("Bybit", "did you mean 'bybit'"), ("", "known: ")]
)
def test_an_unknown_venue_brings_the_nearest_name(name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        find_venue(name)
