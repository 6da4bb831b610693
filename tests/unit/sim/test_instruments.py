"""The rules that an order's numbers must keep, at their edges."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paper import BTC, refusal
from userstream.sim.books import Instrument, Side
from userstream.sim.instruments import (
    DEFAULT_INSTRUMENTS,
    check_client_id,
    check_notional,
    check_price,
    check_price_band,
    check_quantity,
)


@pytest.mark.parametrize("price", ["0.1", "80000", "80000.10"])
def test_good_prices(price: str) -> None:
    check_price(BTC, Decimal(price))


@pytest.mark.parametrize("price", ["0", "-0.1", "80000.05", "NaN", "Infinity", "1E+40"])
def test_bad_prices(price: str) -> None:
    assert refusal(lambda: check_price(BTC, Decimal(price))) == "bad_tick"


@pytest.mark.parametrize(
    ("quantity", "market", "rule"),
    [
        ("0.0005", False, "quantity_too_small"),
        ("0", False, "quantity_too_small"),
        ("-1", False, "quantity_too_small"),
        ("0.0015", False, "bad_step"),
        ("NaN", False, "bad_step"),
        ("sNaN", False, "bad_step"),
        ("1000.001", False, "quantity_too_large"),
        ("100.001", True, "quantity_too_large"),
    ],
)
def test_bad_quantities(quantity: str, market: bool, rule: str) -> None:
    assert refusal(lambda: check_quantity(BTC, Decimal(quantity), market=market)) == rule


@pytest.mark.parametrize(("quantity", "market"), [("0.001", True), ("1000", False), ("100", True)])
def test_good_quantities(quantity: str, market: bool) -> None:
    check_quantity(BTC, Decimal(quantity), market=market)


def test_notional_has_a_floor() -> None:
    check_notional(BTC, Decimal(5000), Decimal("0.001"))
    assert refusal(lambda: check_notional(BTC, Decimal("4999.9"), Decimal("0.001"))) == "min_notional"


def test_a_buyer_is_held_back_above_and_a_seller_below_the_mark_price() -> None:
    mark = Decimal(80000)
    check_price_band(Side.BUY, Decimal(84000), mark)
    check_price_band(Side.BUY, Decimal(1), mark)
    check_price_band(Side.SELL, Decimal(76000), mark)
    check_price_band(Side.SELL, Decimal(1_000_000), mark)
    assert refusal(lambda: check_price_band(Side.BUY, Decimal("84000.1"), mark)) == "percent_price"
    assert refusal(lambda: check_price_band(Side.SELL, Decimal("75999.9"), mark)) == "percent_price"


@pytest.mark.parametrize("client_id", ["a", "x-1:b/c.d_E", "a" * 36])
def test_good_client_ids(client_id: str) -> None:
    check_client_id(client_id)


@pytest.mark.parametrize("client_id", ["", "a" * 37, "a b", "ü", "a\n", "autoclose-1", "adl_autoclose", "settlement_autoclose-9"])
def test_bad_client_ids(client_id: str) -> None:
    assert refusal(lambda: check_client_id(client_id)) == "bad_client_order_id"


@pytest.mark.parametrize("instrument", DEFAULT_INSTRUMENTS, ids=lambda each: each.symbol)
def test_every_contract_is_tradable_at_its_start(instrument: Instrument) -> None:
    check_price(instrument, instrument.start_price)
    check_quantity(instrument, instrument.max_market_quantity, market=True)
    check_quantity(instrument, instrument.min_quantity, market=False)
    assert instrument.symbol == instrument.base + instrument.quote


@given(st.integers(1, 10_000_000))
def test_each_multiple_of_the_step_within_the_limits_is_accepted(steps: int) -> None:
    quantity = steps * BTC.step_size
    if quantity <= BTC.max_quantity:
        check_quantity(BTC, quantity, market=False)
    else:
        assert refusal(lambda: check_quantity(BTC, quantity, market=False)) == "quantity_too_large"
