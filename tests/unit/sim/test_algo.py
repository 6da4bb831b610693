"""Conditional orders from their placement to each of their ends."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import pytest

from tests.support.paper import INSTRUMENTS, START, algo, algos_told, amount, hold, later, limit, open_exchange, refusal, story
from userstream.sim.algo import MAX_WAITING, Conditionals, is_met, triggers_rising
from userstream.sim.books import AlgoHappened, AlgoStatus, Millis, NewAlgo, OrderHappened, OrderStatus, PositionSide, Side
from userstream.sim.exchange import Exchange
from userstream.sim.trading import Trading
from userstream.sim.world import Account, World


def statuses(exchange: Exchange) -> list[AlgoStatus]:
    return [each.algo.status for each in algos_told(exchange.drain())]


def stop_loss(**fields: object) -> NewAlgo:
    return algo("stop_market", "sell", **{"quantity": "1", "trigger_price": "79000", "client_algo_id": "sl", **fields})


@pytest.mark.parametrize(
    ("order_type", "side", "rising"),
    [
        ("stop", Side.BUY, True),
        ("stop_market", Side.SELL, False),
        ("take_profit", Side.BUY, False),
        ("take_profit_market", Side.SELL, True),
    ],
)
def test_which_way_the_price_must_go(order_type: str, side: Side, rising: bool) -> None:
    assert triggers_rising(order_type, side) is rising
    assert is_met(rising, Decimal(2) if rising else Decimal(1), Decimal("1.5"))
    assert is_met(rising, Decimal("1.5"), Decimal("1.5"))


def test_a_stop_loss_closes_the_position() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    placed = exchange.place_algo("alice", stop_loss(reduce_only=True), START)
    assert statuses(exchange) == [AlgoStatus.NEW]
    exchange.move_price("BTCUSDT", Decimal("79000.1"), later(1))
    assert statuses(exchange) == []
    exchange.move_price("BTCUSDT", Decimal(79000), later(2))
    told = exchange.drain()
    order = exchange.order("alice", "BTCUSDT", client_order_id="sl")
    names = [each.algo.status if isinstance(each, AlgoHappened) else type(each).__name__ for each in told]
    assert names[:3] == [AlgoStatus.TRIGGERING, AlgoStatus.TRIGGERED, "OrderHappened"]
    assert names[-1] == AlgoStatus.FINISHED
    ended = algos_told(told)[-1]
    assert (ended.algo.order_id, ended.actual_type) == (order.order_id, "market")
    assert (ended.algo.average_price, ended.algo.filled_quantity) == (order.average_price, Decimal(1))
    assert ended.algo.triggered_time == START + 2
    assert (order.original_type, order.order_type, order.stop_price) == ("stop_market", "market", Decimal(79000))
    assert amount(exchange, "alice") == 0
    assert exchange.algo_orders("alice", open_only=True) == []
    assert exchange.algo_orders("alice")[0].algo_id == placed.algo_id


def test_a_stop_limit_rests_and_finishes_when_its_order_is_cancelled() -> None:
    exchange = open_exchange()
    wish = algo("stop", "buy", quantity="1", price="80500", trigger_price="81000", client_algo_id="breakout")
    exchange.place_algo("alice", wish, START)
    exchange.move_price("BTCUSDT", Decimal(81000), START)
    [order] = exchange.open_orders("alice")
    assert (order.client_order_id, order.price, order.status) == ("breakout", Decimal(80500), OrderStatus.NEW)
    exchange.counter_fill("alice", order.order_id, "BTCUSDT", Decimal("0.4"), START)
    assert statuses(exchange) == [AlgoStatus.NEW, AlgoStatus.TRIGGERING, AlgoStatus.TRIGGERED]
    exchange.cancel("alice", "BTCUSDT", client_order_id="breakout", now=START)
    told = exchange.drain()
    assert isinstance(told[0], OrderHappened)
    assert [each.algo.filled_quantity for each in algos_told(told)] == [Decimal("0.4")]


def test_a_refused_placement_rejects_with_the_reason() -> None:
    exchange = open_exchange()
    exchange.place_algo("alice", stop_loss(reduce_only=True), START)
    exchange.move_price("BTCUSDT", Decimal(78000), START)
    told = algos_told(exchange.drain())
    assert [each.algo.status for each in told][-2:] == [AlgoStatus.TRIGGERING, AlgoStatus.REJECTED]
    assert told[-1].algo.reject_reason
    assert exchange.orders("alice") == []


def test_closing_orders_take_the_whole_position_or_expire() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "0.7")
    wish = stop_loss(quantity="0", close_position=True)
    exchange.place_algo("alice", wish, START)
    exchange.move_price("BTCUSDT", Decimal(78000), START)
    done = exchange.order("alice", "BTCUSDT", client_order_id="sl")
    assert (done.quantity, done.close_position, amount(exchange, "alice")) == (Decimal("0.7"), True, Decimal(0))
    exchange.drain()
    exchange.place_algo("alice", algo("stop_market", "sell", trigger_price="77000", close_position=True), START)
    exchange.move_price("BTCUSDT", Decimal(76000), START)
    assert statuses(exchange) == [AlgoStatus.NEW, AlgoStatus.TRIGGERING, AlgoStatus.EXPIRED]


def test_a_leg_is_closed_without_reduce_only() -> None:
    exchange = open_exchange()
    exchange.set_hedge_mode("alice", True, START)
    hold(exchange, "alice", "-1", side=PositionSide.SHORT)
    wish = algo("take_profit_market", "buy", trigger_price="79000", close_position=True, position_side=PositionSide.SHORT)
    exchange.place_algo("alice", wish, START)
    exchange.move_price("BTCUSDT", Decimal(78000), START)
    assert amount(exchange, "alice", side=PositionSide.SHORT) == 0


def test_a_trailing_stop_waits_for_its_activation_and_follows_the_price() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    wish = algo("trailing_stop_market", "sell", quantity="1", activation_price="81000", callback_rate="1")
    exchange.place_algo("alice", wish, START)
    for price in ("80900", "79000"):
        exchange.move_price("BTCUSDT", Decimal(price), START)
    assert [each.algo.activated for each in algos_told(exchange.drain())] == [False]
    for price in ("81000", "82000", "81180.1"):
        exchange.move_price("BTCUSDT", Decimal(price), START)
    assert [(each.algo.status, each.algo.activated) for each in algos_told(exchange.drain())] == [(AlgoStatus.NEW, True)]
    exchange.move_price("BTCUSDT", Decimal(81180), START)
    assert statuses(exchange) == [AlgoStatus.TRIGGERING, AlgoStatus.TRIGGERED, AlgoStatus.FINISHED]


def test_a_trailing_buy_without_activation_price_is_active_at_once() -> None:
    exchange = open_exchange()
    exchange.place_algo("alice", algo("trailing_stop_market", "buy", quantity="1", callback_rate="0.5"), START)
    assert [each.algo.activated for each in algos_told(exchange.drain())] == [False, True]
    exchange.move_price("BTCUSDT", Decimal(70000), START)
    exchange.move_price("BTCUSDT", Decimal(70349), START)
    assert statuses(exchange) == []
    exchange.move_price("BTCUSDT", Decimal(70350), START)
    assert amount(exchange, "alice") == 1


def test_the_working_type_chooses_the_price() -> None:
    exchange = open_exchange()
    exchange.place_algo("alice", stop_loss(trigger_price="79999.5", working_type="mark_price"), START)
    exchange.place_algo("alice", stop_loss(trigger_price="79999.5", client_algo_id="last"), START)
    seen = {}
    for step in range(1, 2000):
        exchange.advance(later(step * 100))
        for each in algos_told(exchange.drain()):
            if each.algo.status is AlgoStatus.TRIGGERING:
                seen[each.algo.working_type] = (exchange.last_price("BTCUSDT"), exchange.mark_price("BTCUSDT"))
    assert seen["contract_price"][0] <= Decimal("79999.5")
    assert seen["mark_price"][1] <= Decimal("79999.5")


def test_cancelling_and_expiring() -> None:
    exchange = open_exchange()
    exchange.place_algo("alice", stop_loss(), START)
    exchange.place_algo("alice", stop_loss(client_algo_id="two"), START)
    exchange.place_algo("alice", stop_loss(client_algo_id="gtd", time_in_force="gtd", good_till_time=Millis(START + 700_000)), START)
    exchange.place_algo("alice", algo("stop", "sell", quantity="1", price="2000", trigger_price="2000", symbol="ETHUSDT"), START)
    exchange.drain()
    assert exchange.cancel_algo("alice", client_algo_id="sl", now=START).status is AlgoStatus.CANCELED
    assert refusal(partial(exchange.cancel_algo, "alice", client_algo_id="sl", now=START)) == "unknown_order"
    assert refusal(partial(exchange.cancel_algo, "alice", algo_id=1, now=START)) == "unknown_order"
    exchange.move_price("BTCUSDT", Decimal(90000), START)
    exchange.advance(later(700_000))
    assert [each.client_algo_id for each in exchange.algo_orders("alice", "BTCUSDT", open_only=True)] == ["two"]
    assert exchange.cancel_all_algo("alice", "BTCUSDT", later(700_001)) == 1
    assert statuses(exchange) == [AlgoStatus.CANCELED, AlgoStatus.EXPIRED, AlgoStatus.CANCELED]
    assert [each.symbol for each in exchange.algo_orders("alice", open_only=True)] == ["ETHUSDT"]


def test_cancelling_plain_orders_leaves_conditional_ones() -> None:
    exchange = open_exchange()
    exchange.place_algo("alice", stop_loss(), START)
    exchange.place("alice", limit("buy", "1", "70000"), START)
    assert exchange.cancel_all("alice", "BTCUSDT", START) == 1
    assert len(exchange.algo_orders("alice", open_only=True)) == 1


def test_price_protection_holds_a_trigger_back_while_the_prices_are_torn() -> None:
    world = World(INSTRUMENTS, 1, START)
    conditionals = Conditionals(world, Trading(world))
    account = world.accounts["alice"] = Account("alice", {"USDT": Decimal(100000)}, START)
    protected = conditionals.place(account, stop_loss(price_protect=True))
    bare = conditionals.place(account, stop_loss(client_algo_id="bare"))
    market = world.markets["BTCUSDT"]
    market.jump(Decimal(75000), mark=Decimal(80000))
    conditionals.watch("BTCUSDT")
    assert (protected.status, bare.status) == (AlgoStatus.NEW, AlgoStatus.FINISHED)
    market.jump(Decimal(75000), mark=Decimal(76000))
    conditionals.watch("BTCUSDT")
    assert protected.status is AlgoStatus.FINISHED


@pytest.mark.parametrize(
    ("wish", "rule"),
    [
        (stop_loss(symbol="XYZUSDT"), "unknown_symbol"),
        (stop_loss(trigger_price="80000"), "would_trigger_immediately"),
        (algo("stop", "buy", quantity="1", price="80000", trigger_price="79999"), "would_trigger_immediately"),
        (algo("take_profit", "sell", quantity="1", price="80000", trigger_price="79999"), "would_trigger_immediately"),
        (algo("trailing_stop_market", "sell", quantity="1", callback_rate="1", activation_price="79000"), "would_trigger_immediately"),
        (algo("trailing_stop_market", "sell", quantity="1", callback_rate="0.05"), "bad_callback_rate"),
        (algo("trailing_stop_market", "sell", quantity="1", callback_rate="NaN"), "bad_callback_rate"),
        (algo("limit", "sell", quantity="1", price="80000"), "bad_order_type"),
        (stop_loss(time_in_force="day"), "bad_time_in_force"),
        (stop_loss(working_type="index"), "bad_working_type"),
        (stop_loss(trigger_price="79000.05"), "bad_tick"),
        (algo("stop", "sell", quantity="1", trigger_price="79000"), "bad_tick"),
        (stop_loss(quantity="0"), "quantity_too_small"),
        (stop_loss(quantity="101"), "quantity_too_large"),
        (stop_loss(close_position=True), "close_position_conflict"),
        (stop_loss(quantity="0", close_position=True, reduce_only=True), "close_position_conflict"),
        (algo("stop", "sell", price="79000", trigger_price="79000", close_position=True), "close_position_conflict"),
        (stop_loss(position_side=PositionSide.SHORT), "position_side_mismatch"),
        (stop_loss(time_in_force="gtd"), "good_till_too_soon"),
        (stop_loss(client_algo_id="autoclose-1"), "bad_client_order_id"),
    ],
)
def test_refused(wish: NewAlgo, rule: str) -> None:
    exchange = open_exchange()
    assert refusal(partial(exchange.place_algo, "alice", wish, START)) == rule
    assert exchange.drain() == []


def test_client_ids_are_unique_among_waiting_ones_and_waiting_ones_are_counted() -> None:
    exchange = open_exchange()
    exchange.place_algo("alice", stop_loss(), START)
    assert refusal(partial(exchange.place_algo, "alice", stop_loss(), START)) == "duplicate_client_order_id"
    for number in range(MAX_WAITING - 1):
        exchange.place_algo("alice", stop_loss(client_algo_id=f"n{number}"), START)
    assert refusal(partial(exchange.place_algo, "alice", stop_loss(client_algo_id="more"), START)) == "too_many_conditional_orders"
    exchange.cancel_algo("alice", client_algo_id="sl", now=START)
    exchange.place_algo("alice", stop_loss(), START)


def test_a_triggered_order_with_a_client_id_in_use_is_rejected() -> None:
    exchange = open_exchange()
    exchange.place("alice", limit("buy", "0.1", "70000", client_order_id="sl"), START)
    exchange.place_algo("alice", stop_loss(), START)
    exchange.drain()
    exchange.move_price("BTCUSDT", Decimal(78000), START)
    told = exchange.drain()
    assert [each.algo.status for each in algos_told(told)] == [AlgoStatus.TRIGGERING, AlgoStatus.REJECTED]
    assert story(told) == []


def test_a_gtd_stop_keeps_its_time_as_a_plain_order() -> None:
    exchange = open_exchange()
    end = Millis(START + 700_000)
    wish = algo("stop", "buy", quantity="1", price="80900", trigger_price="90000", time_in_force="gtd", good_till_time=end)
    exchange.place_algo("alice", wish, START)
    exchange.move_price("BTCUSDT", Decimal(90000), later(650_000))
    [order] = exchange.open_orders("alice")
    assert order.good_till_time == end
    exchange.advance(end)
    assert exchange.order("alice", "BTCUSDT", order_id=order.order_id).status is OrderStatus.EXPIRED
    assert statuses(exchange)[-1] is AlgoStatus.FINISHED
