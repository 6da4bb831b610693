"""The records that know a little about themselves."""

from decimal import Decimal

import pytest

from tests.unit.sim.spot.kit import START, limit, open_exchange, stop
from userstream.sim.books import Order, Side
from userstream.sim.spot.books import OrderList, Replaced, is_stop, is_waiting, left_of, spot_order, triggers_rising


def order_list(kind: str, *order_ids: int) -> OrderList:
    return OrderList(list_id=1, client_list_id="a", account="alice", symbol="BTCUSDT", kind=kind, order_ids=order_ids, time=START)


def test_a_list_knows_its_pair_and_its_first() -> None:
    for kind, ids, pair, first, word in (
        ("oco", (1, 2), (1, 2), None, "oco"),
        ("oto", (1, 2), (), 1, "oto"),
        ("otoco", (1, 2, 3), (2, 3), 1, "oto"),
    ):
        found = order_list(kind, *ids)
        assert (found.pair, found.first, found.contingency) == (pair, first, word)


def test_a_stop_waits_until_it_works() -> None:
    exchange = open_exchange()
    waiting = exchange.place("alice", stop("sell", "0.1", "79000"), START)
    plain = exchange.place("alice", limit("sell", "0.1", "81000"), START)
    assert is_stop(waiting)
    assert is_waiting(waiting)
    assert not is_stop(plain)
    assert not is_waiting(plain)
    waiting.working = True
    assert not is_waiting(waiting)


def test_what_was_prevented_is_not_left() -> None:
    order = open_exchange().place("alice", limit("sell", "1", "81000"), START)
    order.filled_quantity, order.prevented_quantity = Decimal("0.25"), Decimal("0.5")
    assert left_of(order) == Decimal("0.25")


@pytest.mark.parametrize(
    ("order_type", "side", "rising"),
    [
        ("stop_loss", Side.BUY, True),
        ("stop_loss_limit", Side.SELL, False),
        ("take_profit", Side.BUY, False),
        ("take_profit", Side.SELL, True),
    ],
)
def test_a_stop_knows_from_which_side_it_is_met(order_type: str, side: Side, rising: bool) -> None:
    assert triggers_rising(order_type, side) is rising


def test_an_order_of_other_books_is_a_mistake_of_the_program() -> None:
    other = Order(
        order_id=1,
        account="a",
        symbol="s",
        client_order_id="c",
        side=Side.BUY,
        order_type="limit",
        original_type="limit",
        time_in_force="gtc",
        quantity=Decimal(1),
        created_time=START,
        updated_time=START,
    )
    with pytest.raises(TypeError, match="not a spot order"):
        spot_order(other)


def test_a_replacement_is_whole_with_both_halves() -> None:
    order = open_exchange().place("alice", limit("sell", "1", "81000"), START)
    assert not Replaced(canceled=order).is_whole
    assert Replaced(canceled=order, placed=order).is_whole
