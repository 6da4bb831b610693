"""The law about orders that no message told can fail: words that come, come late, and never come."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.simulation.claims import Violation
from tests.simulation.ground import TrueOrder
from tests.simulation.orders import KNOWN_WITHIN_MS, OrderWatch
from tests.support.events import order_changed
from userstream.kernel.ids import Millis
from userstream.sim.books import Millis as BooksMillis
from userstream.sim.books import Order, OrderStatus, Side

BEGINNING = Millis(0)
IN_TIME, LATE = Millis(1_000 + KNOWN_WITHIN_MS), Millis(1_001 + KNOWN_WITHIN_MS)


def became(status: OrderStatus, filled: str = "0", *, at: int = 1_000) -> list[TrueOrder]:
    order = Order(
        order_id=7,
        account="alice",
        symbol="BTCUSDT",
        client_order_id="bot-7",
        side=Side.BUY,
        order_type="limit",
        original_type="limit",
        time_in_force="gtc",
        quantity=Decimal(1),
        filled_quantity=Decimal(filled),
        status=status,
        created_time=BooksMillis(at),
        updated_time=BooksMillis(at),
    )
    return [TrueOrder(order=order, happened=Millis(at))]


def test_an_order_that_nothing_told_is_overdue_after_its_time_and_not_before() -> None:
    watch = OrderWatch(by_symbol=False)
    watch.learn(became(OrderStatus.NEW))
    watch.look(IN_TIME, BEGINNING)
    watch.look(LATE, Millis(2_000))
    with pytest.raises(Violation, match="I1 orders"):
        watch.look(LATE, BEGINNING)


def test_an_end_that_nothing_told_is_overdue_as_well() -> None:
    watch = OrderWatch(by_symbol=True)
    watch.learn(became(OrderStatus.NEW, at=500))
    watch.take(order_changed(order_id="7", status="new", filled_quantity="0"))
    watch.look(LATE, BEGINNING)
    watch.learn(became(OrderStatus.CANCELED))
    with pytest.raises(Violation, match="canceled"):
        watch.look(LATE, BEGINNING)
    watch.take(order_changed(order_id="7", status="canceled", filled_quantity="0"))
    watch.look(LATE, BEGINNING)


def test_one_that_came_and_went_unfilled_may_stay_unknown_where_the_past_is_told_by_symbol() -> None:
    watch = OrderWatch(by_symbol=True)
    watch.learn(became(OrderStatus.CANCELED))
    watch.look(LATE, BEGINNING)
    watch.learn(became(OrderStatus.CANCELED, "0.5"))
    with pytest.raises(Violation, match="I1 orders"):
        watch.look(LATE, BEGINNING)


def test_after_a_restart_everything_is_due_that_the_disk_does_not_tell() -> None:
    watch = OrderWatch(by_symbol=False)
    watch.learn(became(OrderStatus.FILLED, "1"))
    watch.take(order_changed(order_id="7", status="filled", filled_quantity="1"))
    watch.look(LATE, BEGINNING)
    watch.begin_anew()
    with pytest.raises(Violation, match="I1 orders"):
        watch.look(LATE, BEGINNING)


def test_what_was_told_before_its_truth_was_looked_up_is_not_overdue() -> None:
    watch = OrderWatch(by_symbol=False)
    watch.take(order_changed(order_id="7", status="filled", filled_quantity="1"))
    watch.learn([*became(OrderStatus.NEW), *became(OrderStatus.FILLED, "1")])
    watch.look(LATE, BEGINNING)
