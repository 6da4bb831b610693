"""What the watch over order lists takes for a breach."""

from __future__ import annotations

import pytest

from tests.simulation.claims import Violation
from tests.simulation.lists import ListWatch
from userstream.domain.events import OrderListChanged
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol, VenueName
from userstream.sim.books import Millis as BooksMillis
from userstream.sim.spot.books import OrderList

OPEN, DONE = "executing", "all_done"


def told(status: str, *, symbol: str = "BTCUSDT", orders: tuple[str, ...] = ("1", "2")) -> OrderListChanged:
    return OrderListChanged(
        account=AccountId("alice"),
        venue=VenueName("binance-spot"),
        received_time=Millis(1),
        symbol=Symbol(symbol),
        order_list_id="7",
        status=status,
        order_ids=tuple(map(OrderId, orders)),
        transaction_time=Millis(1),
    )


def in_the_books(list_id: int, *, is_done: bool, orders: tuple[int, ...] = (1, 2)) -> OrderList:
    return OrderList(
        list_id=list_id,
        client_list_id=f"list-{list_id}",
        account="alice",
        symbol="BTCUSDT",
        kind="oco",
        order_ids=orders,
        is_done=is_done,
        time=BooksMillis(1),
    )


def watch_of(*events: OrderListChanged) -> ListWatch:
    watch = ListWatch()
    for event in events:
        watch.take(event)
    return watch


def test_a_list_that_was_told_stands_as_in_the_books() -> None:
    watch = watch_of(told(OPEN), told(OPEN), told(DONE))
    assert watch.standing() == watch.true_standing([in_the_books(7, is_done=True)], set()) == {"7": ("BTCUSDT", ("1", "2"), True)}


def test_a_list_that_the_books_end_and_nobody_told_of_stands_otherwise() -> None:
    watch = watch_of(told(OPEN))
    assert watch.standing() != watch.true_standing([in_the_books(7, is_done=True)], set())


def test_an_open_list_must_be_told_and_one_that_ended_only_if_an_order_of_it_was() -> None:
    lists = [in_the_books(8, is_done=False, orders=(3, 4)), in_the_books(9, is_done=True, orders=(5, 6))]
    assert list(ListWatch().true_standing(lists, set())) == ["8"]
    assert list(ListWatch().true_standing(lists, {"6"})) == ["8", "9"]


@pytest.mark.parametrize("after", [told(OPEN), told(DONE)])
def test_nothing_may_be_told_of_a_list_after_its_end(after: OrderListChanged) -> None:
    with pytest.raises(Violation, match="after its end"):
        watch_of(told(DONE), after)


@pytest.mark.parametrize("other", [told(OPEN, symbol="ETHUSDT"), told(OPEN, orders=("1", "3"))])
def test_a_list_keeps_its_symbol_and_its_orders(other: OrderListChanged) -> None:
    with pytest.raises(Violation, match="another list"):
        watch_of(told(OPEN), other)


def test_a_process_that_comes_up_is_told_everything_once_more() -> None:
    watch = watch_of(told(DONE))
    watch.begin_anew()
    watch.take(told(DONE))
    assert list(watch.standing()) == ["7"]
