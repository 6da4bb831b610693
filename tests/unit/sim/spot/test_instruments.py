"""The rules an order's numbers must keep."""

from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sim.spot.kit import BTC, refusal
from userstream.sim.books import Side
from userstream.sim.spot import instruments as rules
from userstream.sim.spot.instruments import DEFAULT_PAIRS

D = Decimal


def test_every_default_pair_has_exact_quote_amounts() -> None:
    assert len({each.symbol for each in DEFAULT_PAIRS}) == len(DEFAULT_PAIRS)
    for each in DEFAULT_PAIRS:
        smallest = each.tick_size * each.step_size
        assert smallest == smallest.quantize(D("0.00000001"))
        assert each.start_price % each.tick_size == 0


@pytest.mark.parametrize(("price", "rule"), [("0", "bad_tick"), ("-1", "bad_tick"), ("80000.005", "bad_tick"), ("NaN", "bad_tick")])
def test_a_price_is_a_positive_multiple_of_the_tick(price: str, rule: str) -> None:
    assert refusal(lambda: rules.check_price(BTC, D(price))) == rule


@pytest.mark.parametrize(
    ("quantity", "market", "rule"),
    [
        ("0", False, "bad_lot"),
        ("0.000001", False, "bad_lot"),
        ("9001", False, "bad_lot"),
        ("0.000015", False, "bad_lot"),
        ("901", True, "bad_market_lot"),
    ],
)
def test_a_quantity_is_within_its_limits(quantity: str, market: bool, rule: str) -> None:
    assert refusal(lambda: rules.check_quantity(BTC, D(quantity), market=market)) == rule


def test_only_a_limit_order_can_be_worth_too_much() -> None:
    rules.check_notional(BTC, D(80000), D(500), market=True)
    assert refusal(lambda: rules.check_notional(BTC, D(80000), D(500), market=False)) == "min_notional"
    assert refusal(lambda: rules.check_notional(BTC, D(80000), D("0.00006"), market=True)) == "min_notional"


def test_a_price_far_from_the_market_is_refused() -> None:
    rules.check_price_band(Side.BUY, D(16000), D(80000))
    for price in ("15999.99", "400000.01"):
        assert refusal(partial(rules.check_price_band, Side.SELL, D(price), D(80000))) == "percent_price"


@pytest.mark.parametrize(
    ("iceberg", "time_in_force", "rule"),
    [("0.1", "ioc", "iceberg_not_gtc"), ("0.01", "gtc", "iceberg_parts"), ("2", "gtc", "iceberg_parts"), ("0.000001", "gtc", "bad_lot")],
)
def test_an_iceberg_has_parts_of_a_size(iceberg: str, time_in_force: str, rule: str) -> None:
    rules.check_iceberg(BTC, D(0), D(1), "ioc")
    rules.check_iceberg(BTC, D("0.1"), D(1), "gtc")
    assert refusal(lambda: rules.check_iceberg(BTC, D(iceberg), D(1), time_in_force)) == rule


@pytest.mark.parametrize("delta", [-5, 9, 2001])
def test_a_trailing_delta_has_bounds(delta: int) -> None:
    for fine in (0, 10, 2000):
        rules.check_trailing(fine)
    assert refusal(lambda: rules.check_trailing(delta)) == "trailing_delta"


@given(st.text(max_size=40))
def test_a_client_id_is_letters_digits_and_two_signs(text: str) -> None:
    fine = 0 < len(text) <= 36 and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in text)
    if fine:
        rules.check_client_id(text)
    else:
        assert refusal(lambda: rules.check_client_id(text)) == "bad_client_order_id"
