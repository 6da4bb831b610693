"""The indexes of an account's paper agree with the orders themselves."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paper import START, refusal
from userstream.sim.books import ZERO, Order, OrderStatus, PositionSide, Side
from userstream.sim.engine import execute, finish, is_open, remaining
from userstream.sim.records import Records, is_reducing

SIDES = list(PositionSide)


def order(order_id: int, side: Side, position_side: PositionSide, *, reduce_only: bool = False, price: int = 100) -> Order:
    return Order(
        order_id=order_id,
        account="alice",
        symbol="BTCUSDT",
        client_order_id=f"c{order_id % 5}",
        side=side,
        position_side=position_side,
        order_type="limit",
        original_type="limit",
        time_in_force="gtc",
        quantity=Decimal(10),
        price=Decimal(price),
        reduce_only=reduce_only,
        created_time=START,
        updated_time=START,
    )


@pytest.mark.parametrize(
    ("side", "position_side", "reduce_only", "reducing"),
    [
        (Side.BUY, PositionSide.BOTH, False, False),
        (Side.SELL, PositionSide.BOTH, True, True),
        (Side.BUY, PositionSide.LONG, False, False),
        (Side.SELL, PositionSide.LONG, False, True),
        (Side.BUY, PositionSide.SHORT, False, True),
        (Side.SELL, PositionSide.SHORT, False, False),
    ],
)
def test_what_only_reduces(side: Side, position_side: PositionSide, reduce_only: bool, reducing: bool) -> None:
    assert is_reducing(order(1, side, position_side, reduce_only=reduce_only)) is reducing


@given(
    st.lists(st.tuples(st.sampled_from(Side), st.sampled_from(SIDES), st.booleans(), st.integers(0, 200), st.integers(0, 12)), max_size=25)
)
def test_indexes_and_notionals_follow_the_orders(wishes: list[tuple[Side, PositionSide, bool, int, int]]) -> None:
    records = Records()
    orders = []
    for number, (side, position_side, reduce_only, price, fate) in enumerate(wishes):
        made = order(number, side, position_side, reduce_only=reduce_only, price=price)
        records.add(made)
        orders.append(made)
        if 0 < fate <= 10:
            execute(made, Decimal(price), Decimal(fate), START)
            records.weigh(made)
        if fate > 10:
            finish(made, OrderStatus.CANCELED, START)
        if not is_open(made):
            records.close(made)
    alive = [each for each in orders if is_open(each)]
    assert records.open_orders("BTCUSDT") == records.open_orders() == alive
    for side, shown in ((Side.BUY, records.notional("BTCUSDT").bids), (Side.SELL, records.notional("BTCUSDT").asks)):
        assert shown == sum((each.price * remaining(each) for each in alive if each.side is side), ZERO)
    for position_side in SIDES:
        opening = records.opening_notional("BTCUSDT", position_side)
        mine = [each for each in alive if each.position_side is position_side]
        assert opening.bids == sum((each.price * remaining(each) for each in mine if each.side is Side.BUY and not is_reducing(each)), ZERO)
        assert opening.asks == sum(
            (each.price * remaining(each) for each in mine if each.side is Side.SELL and not is_reducing(each)), ZERO
        )
        assert records.reducing("BTCUSDT", position_side) == [each for each in mine if is_reducing(each)]
        assert (("BTCUSDT", position_side) in records.symbols_with_opening()) == bool(opening.bids or opening.asks)


def test_the_latest_order_with_a_client_id_is_found() -> None:
    records = Records()
    first, second = order(1, Side.BUY, PositionSide.BOTH), order(6, Side.BUY, PositionSide.BOTH)
    records.add(first)
    finish(first, OrderStatus.CANCELED, START)
    records.close(first)
    assert not records.has_open_client_id("c1")
    assert records.order("BTCUSDT", None, "c1") is first
    assert refusal(lambda: records.open_order("BTCUSDT", None, "c1")) == "unknown_order"
    records.add(second)
    assert records.has_open_client_id("c1")
    assert records.open_order("BTCUSDT", None, "c1") is second
    assert records.order("BTCUSDT", 1, None) is first


def test_an_order_of_another_symbol_is_unknown() -> None:
    records = Records()
    records.add(order(1, Side.BUY, PositionSide.BOTH))
    assert refusal(lambda: records.order("ETHUSDT", 1, None)) == "unknown_order"
    assert refusal(lambda: records.order("ETHUSDT", None, "c1")) == "unknown_order"
    assert refusal(lambda: records.order("BTCUSDT", None, None)) == "unknown_order"
