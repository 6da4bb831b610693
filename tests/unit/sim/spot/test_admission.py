"""Every reason to refuse an order before it exists, and what an order must be able to pay."""

from decimal import Decimal

import pytest

from tests.unit.sim.spot.kit import OPENING, PAIRS, START, later, limit, market, money, open_exchange, refusal, stop, wish
from userstream.sim.books import Side
from userstream.sim.spot.admission import cost_of_taking, need_of, offers, order_of, quantity_for
from userstream.sim.spot.books import NewSpotOrder
from userstream.sim.spot.world import SpotAccount, SpotWorld

D = Decimal

REFUSED = [
    (wish("iceberg", "buy", quantity="1"), "bad_order_type"),
    (limit("buy", "1", "80000", time_in_force="gtx"), "bad_time_in_force"),
    (limit("buy", "1", "80000", self_trade_prevention="transfer"), "bad_self_trade_prevention"),
    (limit("buy", "1", "80000", strategy_type=999), "bad_strategy_type"),
    (limit("buy", "1", "0"), "bad_tick"),
    (market("buy", "1", price="80000"), "bad_tick"),
    (limit("buy", "1", "80000", stop_price="81000"), "stop_missing"),
    (wish("stop_loss", "buy", quantity="1"), "stop_missing"),
    (stop("sell", "1", "79000", trailing_delta=5), "trailing_delta"),
    (limit("buy", "1", "80000", quote_quantity="5"), "bad_quote_quantity"),
    (wish("market", "buy", quantity="1", quote_quantity="500"), "bad_quote_quantity"),
    (limit("buy", "1", "80000", client_order_id="a b"), "bad_client_order_id"),
    (limit("buy", "1", "80000.001"), "bad_tick"),
    (limit("buy", "1", "900000"), "percent_price"),
    (limit("buy", "0.000001", "80000"), "bad_lot"),
    (market("sell", "1000"), "bad_market_lot"),
    (limit("buy", "0.00005", "80000"), "min_notional"),
    (wish("market", "buy", quote_quantity="1"), "min_notional"),
    (market("sell", "1", iceberg_quantity="0.1"), "iceberg_not_gtc"),
    (wish("limit_maker", "buy", quantity="1", price="81000"), "post_only_would_take"),
    (wish("limit_maker", "sell", quantity="1", price="79000"), "post_only_would_take"),
    (stop("sell", "1", "81000"), "would_trigger_immediately"),
    (wish("take_profit", "sell", quantity="1", stop_price="79000"), "would_trigger_immediately"),
    (limit("buy", "2", "80000"), "balance_insufficient"),
    (market("buy", "2"), "balance_insufficient"),
    (limit("sell", "2.1", "80000"), "balance_insufficient"),
    (limit("buy", "1", "80000", symbol="NONE"), "unknown_symbol"),
]


@pytest.mark.parametrize(("order", "rule"), REFUSED, ids=[f"{rule}-{place}" for place, (_, rule) in enumerate(REFUSED)])
def test_a_refused_order_changes_nothing(order: NewSpotOrder, rule: str) -> None:
    exchange = open_exchange()
    assert refusal(lambda: exchange.place("alice", order, START)) == rule
    assert exchange.orders("alice") == []
    assert exchange.drain() == []
    assert {each.asset: each.available for each in exchange.balances("alice")} == OPENING


def test_an_open_client_id_is_taken_and_a_closed_one_is_free() -> None:
    exchange = open_exchange()
    mine = limit("buy", "0.1", "70000", client_order_id="mine")
    exchange.place("alice", mine, START)
    assert refusal(lambda: exchange.place("alice", mine, START)) == "duplicate_client_order_id"
    exchange.place("bob", mine, START)
    exchange.cancel("alice", "BTCUSDT", client_order_id="mine", now=START)
    exchange.place("alice", mine, START)


def test_stops_and_open_orders_are_counted() -> None:
    exchange = open_exchange()
    for _ in range(5):
        exchange.place("alice", stop("sell", "0.01", "79000"), START)
    assert refusal(lambda: exchange.place("alice", stop("sell", "0.01", "79000"), START)) == "too_many_stop_orders"
    for _ in range(195):
        exchange.place("alice", limit("buy", "0.001", "70000"), START)
    assert refusal(lambda: exchange.place("alice", limit("buy", "0.001", "70000"), START)) == "too_many_open_orders"


def test_a_locked_account_may_not_trade() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "0.1", "70000"), START)
    exchange.set_can_trade("alice", False, later(1))
    assert refusal(lambda: exchange.place("alice", limit("buy", "0.1", "70000"), later(1))) == "trading_disabled"
    small = D("0.05")
    assert refusal(lambda: exchange.amend("alice", "BTCUSDT", order_id=order.order_id, quantity=small, now=later(1))) == "trading_disabled"
    exchange.cancel("alice", "BTCUSDT", order_id=order.order_id, now=later(1))


def test_a_market_order_needs_what_its_levels_cost() -> None:
    world = SpotWorld(PAIRS, 1, START)
    account = world.accounts["alice"] = SpotAccount("alice", 1, OPENING, START)
    order = order_of(world, account, market("buy", "0.5"))
    order.working = True
    cost = cost_of_taking(world, order)
    assert need_of(world, order) == cost > D("0.5") * world.last_price("BTCUSDT")
    levels = list(zip(range(50), offers(world, order), strict=False))
    assert [level.price for _, level in levels] == sorted(level.price for _, level in levels)


def test_a_quote_amount_buys_whole_steps_and_never_spends_more() -> None:
    exchange = open_exchange()
    for wanted in ("500", "12345.67", "99000"):
        free, _ = money(exchange, "alice", "USDT")
        order = exchange.place("bob", wish("market", "buy", quote_quantity=wanted), START)
        assert order.filled_quote <= D(wanted)
        assert D(wanted) - order.filled_quote < 2
        assert order.quantity % exchange.instruments["BTCUSDT"].step_size == 0
        exchange.transfer("bob", "USDT", order.filled_quote, START)
        assert free == OPENING["USDT"]
    world = SpotWorld(PAIRS, 1, START)
    account = world.accounts["alice"] = SpotAccount("alice", 1, OPENING, START)
    sold = order_of(world, account, wish("market", "sell", quote_quantity="1000"))
    assert sold.side is Side.SELL
    assert 0 < quantity_for(world, sold) * world.last_price("BTCUSDT") < D(1001)
