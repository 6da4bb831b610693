"""The facade: what it hands out are copies, in a fixed order, and a refusal is the only thing it raises."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import pytest

from tests.support.paper import START, algo, hold, later, limit, market, open_exchange, refusal
from userstream.sim.books import PositionSide, Side
from userstream.sim.exchange import Exchange

BOTH = PositionSide.BOTH


def test_accounts_are_opened_once() -> None:
    exchange = open_exchange()
    assert exchange.accounts() == ("alice", "bob")
    assert refusal(partial(exchange.open_account, "alice", {})) == "duplicate_account"
    assert refusal(partial(exchange.open_account, "", {})) == "bad_amount"
    assert refusal(partial(exchange.open_account, "carol", {"USDT": Decimal("NaN")})) == "bad_amount"
    assert exchange.income("alice") == []
    assert "2 accounts" in repr(exchange)


def test_what_is_handed_out_is_a_copy() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "1", "79000"), START)
    waiting = exchange.place_algo("alice", algo("stop_market", "buy", quantity="1", trigger_price="90000"), START)
    order.quantity = waiting.quantity = Decimal(99)
    exchange.settings("alice").hedge_mode = True
    exchange.balances("alice")[0].wallet = Decimal(0)
    exchange.open_orders("alice")[0].price = Decimal(1)
    exchange.income("alice").clear()
    exchange.fills("alice").clear()
    assert exchange.order("alice", "BTCUSDT", order_id=order.order_id).quantity == 1
    assert exchange.algo_orders("alice")[0].quantity == 1
    assert not exchange.settings("alice").hedge_mode
    assert exchange.balances("alice")[0].wallet == 100000
    assert exchange.open_orders("alice")[0].price == 79000
    with pytest.raises(TypeError):
        exchange.instruments["X"] = exchange.instruments["BTCUSDT"]  # type: ignore[index]


def test_news_are_handed_out_once_and_do_not_change_afterwards() -> None:
    exchange = open_exchange()
    exchange.place("alice", limit("buy", "1", "79000", client_order_id="mine"), START)
    [news] = exchange.drain()
    exchange.cancel("alice", "BTCUSDT", client_order_id="mine", now=START)
    assert getattr(news, "order").status == "new"  # noqa: B009
    assert len(exchange.drain()) == 1
    assert exchange.drain() == []


@pytest.mark.parametrize("hedged", [False, True])
def test_told_positions_are_all_positions_without_liquidation_prices(hedged: bool) -> None:
    exchange = open_exchange()
    side = PositionSide.BOTH
    if hedged:
        exchange.set_hedge_mode("alice", True, START)
        side = PositionSide.LONG
    exchange.place("alice", market("buy", "5", position_side=side), START)
    full, told = exchange.positions("alice", all=True), exchange.told_positions("alice")
    assert any(each.liquidation_price for each in full)
    for each in full:
        each.liquidation_price = Decimal(0)
    assert told == full
    assert len(told) == len(exchange.instruments) * (2 if hedged else 1)


def test_reads_are_sorted_and_filtered() -> None:
    exchange = open_exchange()
    for symbol, price in (("ETHUSDT", "2900"), ("BTCUSDT", "79000"), ("BNBUSDT", "890"), ("BTCUSDT", "78000")):
        exchange.place("alice", limit("buy", "0.1", price, symbol=symbol), START)
    exchange.place("alice", market("buy", "0.01", symbol="BNBUSDT"), START)
    orders = exchange.orders("alice")
    assert [order.order_id for order in orders] == sorted(order.order_id for order in orders)
    assert [order.price for order in exchange.open_orders("alice", "BTCUSDT")] == [79000, 78000]
    assert len(exchange.orders("alice", "BNBUSDT")) == 2
    assert {fill.symbol for fill in exchange.fills("alice")} == {"BNBUSDT"}
    assert exchange.fills("alice", "BTCUSDT") == []
    assert [order.order_id for order in exchange.open_orders("alice")] == [order.order_id for order in orders[:4]]


def test_positions_are_the_open_ones_those_with_orders_or_all() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    exchange.place("alice", limit("buy", "0.1", "2900", symbol="ETHUSDT"), START)
    assert [each.symbol for each in exchange.positions("alice")] == ["BTCUSDT", "ETHUSDT"]
    assert [each.symbol for each in exchange.positions("alice", all=True)] == ["BNBUSDT", "BTCUSDC", "BTCUSDT", "ETHUSDT"]
    exchange.set_hedge_mode("bob", True, START)
    assert [each.position_side for each in exchange.positions("bob", all=True)][:2] == [PositionSide.LONG, PositionSide.SHORT]
    assert exchange.positions("bob") == []


def test_balances_are_sorted_and_follow_the_mark_price() -> None:
    exchange = open_exchange()
    exchange.transfer("alice", "BNB", Decimal(1), START)
    assert [balance.asset for balance in exchange.balances("alice")] == ["BNB", "USDT"]
    hold(exchange, "alice", "1")
    before = exchange.balances("alice")[1].available
    exchange.move_price("BTCUSDT", Decimal(81000), START)
    assert exchange.balances("alice")[1].available == before + 950


READS: list[Callable[[Exchange], object]] = [
    lambda exchange: exchange.order("nobody", "BTCUSDT", order_id=1),
    lambda exchange: exchange.open_orders("nobody"),
    lambda exchange: exchange.orders("nobody"),
    lambda exchange: exchange.fills("nobody"),
    lambda exchange: exchange.income("nobody"),
    lambda exchange: exchange.positions("nobody"),
    lambda exchange: exchange.balances("nobody"),
    lambda exchange: exchange.algo_orders("nobody"),
    lambda exchange: exchange.settings("nobody"),
    lambda exchange: exchange.trade_randomly("nobody", START),
    lambda exchange: exchange.transfer("nobody", "USDT", Decimal(1), START),
]
SYMBOL_CALLS: list[Callable[[Exchange], object]] = [
    lambda exchange: exchange.mark_price("XYZUSDT"),
    lambda exchange: exchange.last_price("XYZUSDT"),
    lambda exchange: exchange.best_price("XYZUSDT", Side.BUY),
    lambda exchange: exchange.position("alice", "XYZUSDT", BOTH),
    lambda exchange: exchange.leverage("alice", "XYZUSDT"),
    lambda exchange: exchange.margin_type("alice", "XYZUSDT"),
    lambda exchange: exchange.cancel_all("alice", "XYZUSDT", START),
    lambda exchange: exchange.cancel_all_algo("alice", "XYZUSDT", START),
    lambda exchange: exchange.set_countdown("alice", "XYZUSDT", 1, START),
    lambda exchange: exchange.set_leverage("alice", "XYZUSDT", 1, START),
    lambda exchange: exchange.set_margin_type("alice", "XYZUSDT", "cross", START),
    lambda exchange: exchange.add_isolated_margin("alice", "XYZUSDT", BOTH, Decimal(1), START),
    lambda exchange: exchange.move_price("XYZUSDT", Decimal(1), START),
    lambda exchange: exchange.fund("XYZUSDT", Decimal(0), START),
    lambda exchange: exchange.settle("XYZUSDT", START),
    lambda exchange: exchange.counter_fill("alice", 1, "XYZUSDT", None, START),
]


@pytest.mark.parametrize("call", READS)
def test_unknown_accounts_are_refused(call: Callable[[Exchange], object]) -> None:
    assert refusal(lambda: call(open_exchange())) == "unknown_account"


@pytest.mark.parametrize("call", SYMBOL_CALLS)
def test_unknown_symbols_are_refused(call: Callable[[Exchange], object]) -> None:
    exchange = open_exchange()
    assert refusal(lambda: call(exchange)) == "unknown_symbol"
    assert exchange.drain() == []


@pytest.mark.parametrize("price", ["0", "-1", "0.05", "NaN"])
def test_a_price_moves_to_prices_only(price: str) -> None:
    assert refusal(partial(open_exchange().move_price, "BTCUSDT", Decimal(price), START)) == "bad_tick"


def test_a_countdown_is_not_negative() -> None:
    assert refusal(partial(open_exchange().set_countdown, "alice", "BTCUSDT", -1, START)) == "bad_countdown"


def test_prices_for_those_who_trade() -> None:
    exchange = open_exchange()
    exchange.advance(later(1000))
    bid, ask = exchange.best_price("BTCUSDT", Side.SELL), exchange.best_price("BTCUSDT", Side.BUY)
    assert bid < exchange.last_price("BTCUSDT") < ask
    assert exchange.place("alice", market("buy", "0.001"), later(1000)).average_price == ask
    assert exchange.amendments("alice", "BTCUSDT", exchange.orders("alice")[0].order_id) == []
