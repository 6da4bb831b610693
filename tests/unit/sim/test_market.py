"""The outside market: seeded, positive, on the grid, and endless."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paper import BTC, START
from userstream.sim.books import Instrument, Millis, Order, Side
from userstream.sim.engine import Book, execute, remaining
from userstream.sim.instruments import DEFAULT_INSTRUMENTS
from userstream.sim.market import Dice, Market, cross, grid_after

CHEAP = DEFAULT_INSTRUMENTS[5]


def walked(instrument: Instrument, seed: int, steps: int) -> list[tuple[Decimal, Decimal]]:
    market = Market(instrument, seed)
    path = []
    for _ in range(steps):
        market.step()
        path.append((market.last, market.mark))
    return path


def test_the_seed_decides_the_path() -> None:
    assert walked(BTC, 7, 200) == walked(BTC, 7, 200)
    assert walked(BTC, 7, 200) != walked(BTC, 8, 200)


def test_orders_do_not_bend_the_path() -> None:
    market = Market(BTC, 7)
    path = []
    for step in range(50):
        market.step()
        list(islice(market.levels(Side.BUY if step % 2 else Side.SELL), 5))
        market.dice.chance(0.5)
        market.funding_rate()
        path.append((market.last, market.mark))
    assert path == walked(BTC, 7, 50)


@pytest.mark.parametrize("instrument", DEFAULT_INSTRUMENTS, ids=lambda each: each.symbol)
def test_prices_stay_on_the_grid_positive_and_near(instrument: Instrument) -> None:
    path = walked(instrument, 3, 5000)
    assert all(last > 0 and last % instrument.tick_size == 0 for last, _ in path)
    assert len({last for last, _ in path}) > 20
    assert all(abs(last / instrument.start_price - 1) < Decimal("0.2") for last, _ in path)
    assert all(abs(mark / last - 1) < Decimal("0.01") for last, mark in path)


@given(st.integers(0, 1000), st.integers(0, 30), st.sampled_from(Side))
def test_levels_get_worse_and_hold_whole_steps(seed: int, steps: int, side: Side) -> None:
    market = Market(BTC, seed)
    for _ in range(steps):
        market.step()
    levels = list(islice(market.levels(side), 25))
    prices = [level.price for level in levels]
    assert prices[0] == market.best(side)
    assert prices == sorted(set(prices), reverse=side is Side.SELL)
    assert all(level.quantity > 0 and level.quantity % BTC.step_size == 0 for level in levels)
    assert all(level.price % BTC.tick_size == 0 for level in levels)
    assert sum(level.price * level.quantity for level in levels) > 1_000_000
    assert market.best_bid < market.best_ask


def test_the_bid_side_of_a_cheap_contract_ends_before_zero() -> None:
    market = Market(CHEAP, 1)
    market.jump(CHEAP.tick_size * 3)
    assert all(level.price > 0 for level in market.levels(Side.SELL))
    assert market.best_bid > 0


def test_a_jump_moves_every_price_at_once() -> None:
    market = Market(BTC, 1)
    market.jump(Decimal("70000.1"))
    assert (market.last, market.mark) == (Decimal("70000.1"), Decimal("70000.1"))
    market.step()
    assert abs(market.last - 70000) < 100


def test_the_mark_price_follows_slowly() -> None:
    path = walked(BTC, 3, 500)
    last_moves = sum(abs(now[0] - before[0]) for before, now in pairwise(path))
    mark_moves = sum(abs(now[1] - before[1]) for before, now in pairwise(path))
    assert 0 < mark_moves < last_moves / 2


def test_places_in_the_queue() -> None:
    market = Market(BTC, 1)
    prices = [level.price for level in islice(market.levels(Side.BUY), 20)]
    assert market.depth_price(Side.BUY, 1) == prices[0] == market.best_ask
    assert market.depth_price(Side.BUY, 20) == prices[19]


def test_funding_rates_are_small_and_of_both_signs() -> None:
    market = Market(BTC, 1)
    rates = [market.funding_rate() for _ in range(50)]
    assert all(abs(rate) <= Decimal("0.0003") for rate in rates)
    assert min(rates) < 0 < max(rates)


@given(st.integers(0, 1000), st.lists(st.integers(1, 30), min_size=1, max_size=12))
def test_a_weighed_choice_is_that_of_the_standard_library(seed: int, weights: list[int]) -> None:
    dice, random = Dice(seed, "a"), Random(f"{seed}:a")
    options = range(len(weights))
    assert [dice.weigh(options, tuple(weights)) for _ in range(20)] == [random.choices(options, weights)[0] for _ in range(20)]


def test_dice_of_different_names_differ_and_keep_their_bounds() -> None:
    one, same, other = Dice(1, "a"), Dice(1, "a"), Dice(1, "b")
    draws = [one.between(1, 1000) for _ in range(20)]
    assert draws == [same.between(1, 1000) for _ in range(20)]
    assert draws != [other.between(1, 1000) for _ in range(20)]
    assert all(0 < one.share() < 1 and 0 <= one.draw() < 1 for _ in range(100))
    assert {one.choose("xyz") for _ in range(100)} == set("xyz")
    assert {one.weigh("xyz", (1, 0, 1)) for _ in range(100)} == {"x", "z"}


@given(st.integers(0, 10**13), st.integers(1, 10**8))
def test_the_grid_goes_on(time: int, interval_ms: int) -> None:
    after = grid_after(Millis(time), interval_ms)
    assert time < after <= time + interval_ms
    assert after % interval_ms == 0
    assert grid_after(START, 100) == START + 100


def rest(number: int, side: Side, price: Decimal) -> Order:
    return Order(
        order_id=number,
        client_order_id=str(number),
        account="alice",
        symbol=BTC.symbol,
        side=side,
        order_type="limit",
        original_type="limit",
        time_in_force="gtc",
        quantity=Decimal(number),
        price=price,
        created_time=START,
        updated_time=START,
    )


@given(st.lists(st.tuples(st.sampled_from(Side), st.integers(-40, 40)), min_size=1, max_size=12), st.booleans())
def test_what_the_outside_reaches_is_filled_best_first_and_nothing_else(places: list[tuple[Side, int]], in_parts: bool) -> None:
    book, market, filled = Book(), Market(BTC, 7), list[tuple[Order, Decimal]]()
    orders = [rest(number, side, market.last + ticks * BTC.tick_size) for number, (side, ticks) in enumerate(places, start=1)]
    for order in orders:
        book.insert(order)
    reached = [each for each in orders if (each.price >= market.best_ask if each.side is Side.BUY else each.price <= market.best_bid)]

    def fill(order: Order, quantity: Decimal) -> None:
        filled.append((order, quantity))
        execute(order, order.price, quantity, Millis(START + 1))
        if not remaining(order):
            book.discard(order)

    cross(book, market, remaining, fill, in_parts=in_parts)
    assert all(order in reached and quantity > 0 for order, quantity in filled)
    for side, sign in ((Side.BUY, -1), (Side.SELL, 1)):
        took = [order for order, _ in filled if order.side is side]
        assert took == sorted(took, key=lambda order: (sign * order.price, order.order_id))
        assert not [order for order in took[:-1] if remaining(order)], "a part of one ends its side"
    if not in_parts:
        assert sorted(order.order_id for order, _ in filled) == [order.order_id for order in reached]
        assert not any(remaining(order) for order in reached)
