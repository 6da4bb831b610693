"""The arithmetic of contracts."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from userstream.sim.contracts import LINEAR, Contract

INVERSE = Contract(Decimal(100))
CONTRACTS = st.sampled_from([LINEAR, INVERSE, Contract(Decimal(10))])
PRICES = st.decimals("0.01", "100000", places=2, allow_nan=False, allow_infinity=False)
SIZES = st.integers(1, 100_000).map(Decimal)
SIDES = st.sampled_from([Decimal(1), Decimal(-1)])
TINY = Decimal("1e-15")


def near(one: Decimal, other: Decimal, scale: Decimal = Decimal(1)) -> bool:
    return abs(one - other) <= TINY * max(abs(one), abs(other), abs(scale), Decimal(1))


def test_one_contract_of_a_hundred_dollars_by_hand() -> None:
    assert INVERSE.worth(Decimal(50_000), Decimal(10)) == Decimal("0.02")
    assert INVERSE.quote(Decimal(50_000), Decimal(10)) == Decimal(1000)
    assert INVERSE.base(Decimal(50_000), Decimal(10)) == Decimal("0.02")
    assert INVERSE.profit(Decimal(10), Decimal(50_000), Decimal(100_000)) == Decimal("0.01")
    assert INVERSE.profit(Decimal(-10), Decimal(50_000), Decimal(100_000)) == Decimal("-0.01")
    assert INVERSE.entry(Decimal(10), Decimal(50_000), Decimal(20), Decimal(100_000)) == Decimal(75_000)
    assert INVERSE.quantity_for(Decimal(50_000), Decimal(250)) == Decimal("2.5")


def test_a_linear_contract_is_worth_its_price() -> None:
    assert LINEAR.worth(Decimal(50_000), Decimal("-0.5")) == Decimal(-25_000)
    assert LINEAR.base(Decimal(50_000), Decimal("0.5")) == Decimal("0.5")
    assert LINEAR.profit(Decimal("-0.5"), Decimal(50_000), Decimal(51_000)) == Decimal(-500)
    assert LINEAR.entry(Decimal(1), Decimal(100), Decimal(3), Decimal(200)) == Decimal(175)
    assert LINEAR.quantity_for(Decimal(50_000), Decimal(250)) == Decimal("0.005")


@given(CONTRACTS, PRICES, SIZES)
def test_quantity_and_worth_are_the_inverse_of_each_other(contract: Contract, price: Decimal, quantity: Decimal) -> None:
    assert near(contract.quantity(price, contract.worth(price, quantity)), quantity)


@given(CONTRACTS, SIDES, PRICES, SIZES, PRICES, SIZES, PRICES)
def test_the_average_entry_wins_what_the_parts_win(
    contract: Contract, side: Decimal, one: Decimal, held: Decimal, other: Decimal, added: Decimal, price: Decimal
) -> None:
    entry = contract.entry(side * held, one, side * added, other)
    parts = contract.profit(side * held, one, price) + contract.profit(side * added, other, price)
    whole = contract.profit(side * (held + added), entry, price)
    scale = contract.worth(min(one, other, price), held + added) + contract.worth(max(one, other, price), held + added)
    assert near(whole, parts, scale)
    assert min(one, other) - TINY * one <= entry <= max(one, other) * (1 + TINY)


@given(CONTRACTS, SIDES, PRICES, SIZES, st.decimals("0", "0.001", places=6))
def test_at_the_break_even_price_the_profit_is_the_fees(
    contract: Contract, side: Decimal, entry: Decimal, size: Decimal, rate: Decimal
) -> None:
    fees = contract.worth(entry, size) * rate
    price = contract.break_even(side * size, entry, fees)
    assert near(contract.profit(side * size, entry, price), fees, contract.worth(entry, size))


@given(CONTRACTS, SIDES, PRICES, SIZES, st.decimals("0.005", "0.9", places=4))
def test_at_the_liquidation_price_equity_is_just_the_maintenance(
    contract: Contract, side: Decimal, entry: Decimal, size: Decimal, share: Decimal
) -> None:
    rate, spare = Decimal("0.004"), contract.worth(entry, size) * share
    price = contract.liquidation_price(side * size, entry, spare, rate)
    assume(price > 0)
    equity = spare + contract.profit(side * size, entry, price)
    assert near(equity, contract.worth(price, size) * rate, contract.worth(min(entry, price), size))


@pytest.mark.parametrize("price", [Decimal(60_000), Decimal(1), Decimal(10**9)])
def test_a_short_that_is_fully_backed_in_coins_has_no_liquidation_price(price: Decimal) -> None:
    backing = INVERSE.worth(Decimal(50_000), Decimal(10))
    assert INVERSE.liquidation_price(Decimal(-10), Decimal(50_000), backing * 2, Decimal("0.004")) <= 0
    assert backing * 2 + INVERSE.profit(Decimal(-10), Decimal(50_000), price) > 0 or price < 50_000


def test_nothing_is_won_without_a_position() -> None:
    assert INVERSE.profit(Decimal(0), Decimal(0), Decimal(50_000)) == 0
