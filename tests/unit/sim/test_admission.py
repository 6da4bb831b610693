"""The gate: each rule refuses what it should, and lets pass what stands just on the right side of it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.paper import START, available, hold, later, limit, market, open_exchange, refusal
from userstream.sim.admission import GOOD_TILL_LEAD_MS, MAX_OPEN_ORDERS
from userstream.sim.books import Millis, NewOrder, PositionSide
from userstream.sim.exchange import Exchange


def refused(exchange: Exchange, wish: NewOrder, account: str = "alice") -> str:
    rule = refusal(lambda: exchange.place(account, wish, START))
    assert exchange.drain() == [], "a refusal must leave no trace"
    return rule


@pytest.mark.parametrize(
    ("wish", "rule"),
    [
        (limit("buy", "0.001", "70000", symbol="XYZUSDT"), "unknown_symbol"),
        (limit("buy", "0.001", "70000", position_side=PositionSide.LONG), "position_side_mismatch"),
        (limit("buy", "0.001", "70000", order_type="iceberg"), "bad_order_type"),
        (limit("buy", "0.001", "70000", time_in_force="day"), "bad_time_in_force"),
        (market("buy", "0.001", time_in_force="gtx"), "bad_time_in_force"),
        (limit("buy", "0.001", "70000", self_trade_prevention="decrement"), "bad_self_trade_prevention"),
        (limit("buy", "0.0001", "70000"), "quantity_too_small"),
        (limit("buy", "1001", "70000"), "quantity_too_large"),
        (market("buy", "100.001"), "quantity_too_large"),
        (limit("buy", "0.0015", "70000"), "bad_step"),
        (limit("buy", "0.001", "70000.05"), "bad_tick"),
        (limit("buy", "0.001", "0"), "bad_tick"),
        (market("buy", "0.001", price=Decimal(80000)), "bad_tick"),
        (limit("buy", "0.001", "84000.1"), "percent_price"),
        (limit("sell", "0.001", "75999.9"), "percent_price"),
        (limit("buy", "0.001", "4999.9"), "min_notional"),
        (limit("buy", "0.001", "70000", client_order_id="with space"), "bad_client_order_id"),
        (limit("buy", "0.001", "70000", reduce_only=True), "reduce_only_rejected"),
        (limit("buy", "0.001", "80000.1", time_in_force="gtx"), "post_only_would_take"),
        (limit("buy", "1", "80000", time_in_force="fok"), "fok_not_fillable"),
        (limit("buy", "0.001", "0", price_match="opponent_3"), "bad_price_match"),
        (limit("buy", "0.001", "70000", price_match="queue"), "bad_price_match"),
        (limit("buy", "30", "79000"), "margin_insufficient"),
    ],
)
def test_refused(wish: NewOrder, rule: str) -> None:
    assert refused(open_exchange(), wish) == rule


@pytest.mark.parametrize(
    "wish",
    [
        limit("buy", "0.001", "84000"),
        limit("sell", "0.001", "76000"),
        limit("buy", "0.001", "5000"),
        limit("buy", "0.001", "80000", time_in_force="gtx"),
        limit("buy", "0.001", "80000.1", time_in_force="fok"),
        limit("buy", "0.001", "70000", client_order_id="a" * 36),
        limit("buy", "25", "79000"),
    ],
)
def test_accepted(wish: NewOrder) -> None:
    assert open_exchange().place("alice", wish, START).order_id > 10**9


def test_an_unknown_account() -> None:
    assert refused(open_exchange(), limit("buy", "1", "70000"), "nobody") == "unknown_account"


def test_client_ids_are_unique_among_open_orders_only() -> None:
    exchange = open_exchange()
    wish = limit("buy", "0.001", "70000", client_order_id="mine")
    exchange.place("alice", wish, START)
    exchange.place("bob", wish, START)
    exchange.drain()
    assert refused(exchange, wish) == "duplicate_client_order_id"
    exchange.cancel("alice", "BTCUSDT", client_order_id="mine", now=START)
    assert exchange.place("alice", wish, START).client_order_id == "mine"


def test_the_exchange_makes_an_id_where_none_is_given() -> None:
    exchange = open_exchange()
    made = [exchange.place("alice", limit("buy", "0.001", "70000"), START).client_order_id for _ in range(3)]
    assert len(set(made)) == 3
    assert all(made)


def test_a_good_till_time_needs_its_lead() -> None:
    exchange = open_exchange()
    edge = START + GOOD_TILL_LEAD_MS
    wish = {"side": "buy", "quantity": "0.001", "price": "70000"}
    assert refused(exchange, limit(**wish, time_in_force="gtd", good_till_time=Millis(edge))) == "good_till_too_soon"
    assert refused(exchange, limit(**wish, time_in_force="gtd", good_till_time=Millis(10**18))) == "good_till_too_soon"
    exchange.place("alice", limit(**wish, time_in_force="gtd", good_till_time=Millis(edge + 1)), START)


def test_open_orders_are_counted_by_symbol() -> None:
    exchange = open_exchange(usdt="10000000")
    for _ in range(MAX_OPEN_ORDERS):
        exchange.place("alice", limit("buy", "0.001", "70000"), START)
    exchange.drain()
    assert refused(exchange, limit("buy", "0.001", "70000")) == "too_many_open_orders"
    exchange.place("alice", limit("buy", "0.01", "2900", symbol="ETHUSDT"), START)


def test_price_match_takes_the_price_from_the_queue() -> None:
    exchange = open_exchange()
    queued = exchange.place("alice", limit("buy", "0.001", "0", price_match="queue"), START)
    assert (queued.price, queued.status, queued.price_match) == (Decimal("79999.9"), "new", "queue")
    deep = exchange.place("alice", limit("buy", "0.001", "0", price_match="queue_5"), START)
    assert deep.price < queued.price
    taking = exchange.place("alice", limit("buy", "0.001", "0", price_match="opponent"), START)
    assert (taking.price, taking.status) == (Decimal("80000.1"), "filled")


def test_reducing_needs_a_position_of_the_other_side() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    assert refused(exchange, limit("buy", "0.5", "79000", reduce_only=True)) == "reduce_only_rejected"
    exchange.place("alice", limit("sell", "0.6", "81000", reduce_only=True), START)
    exchange.place("alice", limit("sell", "0.4", "81000", reduce_only=True), START)
    exchange.drain()
    assert refused(exchange, limit("sell", "0.1", "81000", reduce_only=True)) == "reduce_only_rejected"


def test_reducing_orders_are_exempt_from_the_least_notional_and_from_margin() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "24")
    exchange.move_price("BTCUSDT", Decimal(77000), START)
    exchange.drain()
    assert refused(exchange, limit("buy", "1", "76000")) == "margin_insufficient"
    exchange.place("alice", limit("sell", "24", "80000", reduce_only=True), START)
    exchange.place("alice", limit("sell", "1", "80000"), START)


def test_in_hedge_mode_legs_are_named_and_closed_no_further_than_they_reach() -> None:
    exchange = open_exchange()
    exchange.set_hedge_mode("alice", True, START)
    hold(exchange, "alice", "1", side=PositionSide.LONG)
    assert refused(exchange, limit("buy", "0.1", "79000")) == "position_side_mismatch"
    long, short = PositionSide.LONG, PositionSide.SHORT
    assert refused(exchange, limit("sell", "0.1", "81000", position_side=long, reduce_only=True)) == "reduce_only_rejected"
    assert refused(exchange, limit("sell", "1.1", "81000", position_side=long)) == "reduce_only_rejected"
    assert refused(exchange, limit("buy", "0.1", "79000", position_side=short)) == "reduce_only_rejected"
    exchange.place("alice", limit("sell", "1", "81000", position_side=long), START)
    exchange.place("alice", limit("sell", "1", "81000", position_side=short), START)


def test_margin_counts_open_orders_on_the_worse_side_only() -> None:
    exchange = open_exchange()
    exchange.place("alice", limit("buy", "20", "80000"), START)
    assert available(exchange, "alice") == 20000
    exchange.place("alice", limit("sell", "20", "80000.1"), START)
    assert available(exchange, "alice") == Decimal("19999.9")
    exchange.drain()
    assert refused(exchange, limit("buy", "6", "80000")) == "margin_insufficient"
    exchange.place("alice", limit("buy", "4.9", "80000"), START)


def test_the_loss_at_the_mark_price_is_part_of_the_margin() -> None:
    exchange = open_exchange()
    # a bid at 84000 binds 4200 and may lose 4000, for each unit
    assert refused(exchange, limit("buy", "12.2", "84000")) == "margin_insufficient"
    exchange.place("alice", limit("buy", "12.19", "84000"), START)


def test_leverage_decides_how_much_can_be_bought() -> None:
    exchange = open_exchange()
    exchange.set_leverage("alice", "BTCUSDT", 1, START)
    exchange.drain()
    assert refused(exchange, limit("buy", "1.3", "79000")) == "margin_insufficient"
    exchange.place("alice", limit("buy", "1.2", "79000"), START)


def test_a_liquidated_account_cannot_trade_in_the_same_moment() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "24")
    exchange.move_price("BTCUSDT", Decimal(76000), START)
    exchange.drain()
    assert refused(exchange, limit("buy", "0.001", "75000")) == "user_in_liquidation"
    exchange.place("bob", limit("buy", "0.001", "75000"), START)
    exchange.transfer("alice", "USDT", Decimal(1000), later(100))
    exchange.place("alice", limit("buy", "0.001", "75000"), later(200))
