"""Stop orders wait for their price, trail it, and begin."""

from decimal import Decimal

import pytest

from tests.unit.sim.spot.kit import START, check_books, later, market, money, open_exchange, orders_told, stop, story, wish
from userstream.sim.books import OrderStatus
from userstream.sim.spot.books import Expiry, NewSpotOrder
from userstream.sim.spot.exchange import SpotExchange

D = Decimal


def order_of(exchange: SpotExchange, place: int = 0) -> OrderStatus:
    return exchange.orders("alice")[place].status


@pytest.mark.parametrize(
    ("order", "quiet", "due"),
    [
        (stop("sell", "0.1", "79000"), "79000.01", "79000"),
        (stop("buy", "0.1", "81000"), "80999.99", "81000"),
        (wish("take_profit", "sell", quantity="0.1", stop_price="81000"), "80999.99", "81000"),
        (wish("take_profit", "buy", quantity="0.1", stop_price="79000"), "79000.01", "79000"),
    ],
)
def test_a_stop_begins_when_its_price_is_reached(order: NewSpotOrder, quiet: str, due: str) -> None:
    exchange = open_exchange()
    exchange.place("alice", order, START)
    exchange.move_price("BTCUSDT", D(quiet), later(1))
    assert order_of(exchange) is OrderStatus.NEW
    exchange.drain()
    exchange.move_price("BTCUSDT", D(due), later(2))
    assert order_of(exchange) is OrderStatus.FILLED
    begun, *fills = orders_told(exchange.drain())
    assert begun.order.working
    assert begun.order.working_time == later(2)
    assert fills
    check_books(exchange)


def test_a_stop_with_a_limit_rests_when_the_market_is_beyond_it() -> None:
    exchange = open_exchange()
    exchange.place("alice", wish("stop_loss_limit", "sell", quantity="0.1", stop_price="79000", price="78900"), START)
    exchange.move_price("BTCUSDT", D(78000), later(1))
    assert order_of(exchange) is OrderStatus.NEW
    assert story(exchange.drain()) == ["stop_loss_limit new new", "stop_loss_limit new new"]
    exchange.move_price("BTCUSDT", D(79000), later(2))
    assert order_of(exchange) is OrderStatus.FILLED
    assert exchange.fills("alice")[0].price == D(78900)


def test_a_waiting_stop_locks_and_a_cancelled_one_gives_back() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", stop("buy", "0.5", "90000"), START)
    assert money(exchange, "alice", "USDT") == (D(55000), D(45000))
    exchange.cancel("alice", "BTCUSDT", order_id=order.order_id, now=START)
    exchange.move_price("BTCUSDT", D(91000), later(1))
    assert order_of(exchange) is OrderStatus.CANCELED
    assert money(exchange, "alice", "USDT") == (D(100_000), D(0))


def test_a_stop_that_cannot_be_paid_any_more_expires() -> None:
    exchange = open_exchange("alice", balances={"USDT": D(81_000)})
    exchange.place("alice", stop("buy", "1", "81000"), START)
    exchange.move_price("BTCUSDT", D(85000), later(1))
    assert order_of(exchange) is OrderStatus.EXPIRED
    assert exchange.order("alice", "BTCUSDT", order_id=exchange.orders("alice")[0].order_id).expiry is Expiry.INSUFFICIENT_LIQUIDITY
    check_books(exchange, {"USDT": D(81_000)})


@pytest.mark.parametrize(
    ("kind", "side", "path", "turn"),
    [
        ("stop_loss", "sell", ["80500", "81000"], "80190"),
        ("stop_loss", "buy", ["79500", "79000"], "79790"),
        ("take_profit", "sell", ["79500", "79000"], "79790"),
        ("take_profit", "buy", ["80500", "81000"], "80190"),
    ],
)
def test_a_trailing_stop_follows_and_begins_when_the_price_turns(kind: str, side: str, path: list[str], turn: str) -> None:
    exchange = open_exchange()
    order = exchange.place("alice", wish(kind, side, quantity="0.1", trailing_delta=100), START)
    assert exchange.order("alice", "BTCUSDT", order_id=order.order_id).trailing_time == START
    for step, price in enumerate(path):
        exchange.move_price("BTCUSDT", D(price), later(step))
        assert order_of(exchange) is OrderStatus.NEW
    exchange.move_price("BTCUSDT", D(turn), later(5))
    assert order_of(exchange) is OrderStatus.FILLED


def test_a_trailing_stop_with_a_stop_price_follows_from_there() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", stop("sell", "0.1", "79000", trailing_delta=100), START)
    exchange.move_price("BTCUSDT", D(81000), later(1))
    assert exchange.order("alice", "BTCUSDT", order_id=order.order_id).trailing_time == 0
    exchange.move_price("BTCUSDT", D(78900), later(2))
    assert exchange.order("alice", "BTCUSDT", order_id=order.order_id).trailing_time == later(2)
    exchange.move_price("BTCUSDT", D(80000), later(3))
    assert order_of(exchange) is OrderStatus.NEW
    exchange.move_price("BTCUSDT", D(79200), later(4))
    assert order_of(exchange) is OrderStatus.FILLED


def test_a_stop_does_not_begin_twice() -> None:
    exchange = open_exchange()
    exchange.place("alice", stop("sell", "0.1", "79000"), START)
    for step, price in enumerate(("78000", "80000", "78000")):
        exchange.move_price("BTCUSDT", D(price), later(step))
    exchange.place("alice", market("sell", "0.1"), later(9))
    assert sum(fill.quantity for fill in exchange.fills("alice")) == D("0.2")
