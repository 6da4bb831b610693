"""The life of spot orders: locks, fills, fees, prevention, amendments, ends; and the news of each step."""

from decimal import Decimal

import pytest

from tests.unit.sim.spot.kit import (
    START,
    check_books,
    check_news,
    exact,
    later,
    limit,
    market,
    money,
    open_exchange,
    orders_told,
    refusal,
    story,
    wish,
)
from userstream.sim.books import AccountHappened, OrderStatus
from userstream.sim.spot.books import Expiry, NewSpotOrder, spot_order
from userstream.sim.spot.exchange import SpotExchange

D = Decimal


def statuses(exchange: SpotExchange, account: str = "alice") -> list[OrderStatus]:
    return [order.status for order in exchange.orders(account)]


def test_placing_locks_what_the_order_pays_with_and_cancelling_gives_it_back() -> None:
    exchange = open_exchange()
    buy = exchange.place("alice", limit("buy", "0.5", "70000"), START)
    sell = exchange.place("alice", limit("sell", "0.5", "90000"), START)
    assert money(exchange, "alice", "USDT") == exact(65000, 35000)
    assert money(exchange, "alice", "BTC") == exact("1.5", "0.5")
    for order in (buy, sell):
        exchange.cancel("alice", "BTCUSDT", order_id=order.order_id, now=START)
    assert money(exchange, "alice", "USDT") == exact(100_000, 0)
    assert money(exchange, "alice", "BTC") == exact(2, 0)
    told = exchange.drain()
    assert story(told) == ["limit new new", "limit new new", "limit canceled canceled", "limit canceled canceled"]
    assert sum(isinstance(each, AccountHappened) for each in told) == 4
    check_news(exchange, told)


def test_a_fill_moves_base_and_quote_and_the_fee_is_of_what_came_in() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "0.5", "70000"), START)
    fill = exchange.counter_fill("alice", order.order_id, "BTCUSDT", D("0.2"), later(1))
    assert (fill.fee, fill.fee_asset, fill.maker) == (D("0.00020000"), "BTC", True)
    assert money(exchange, "alice", "BTC") == exact("2.1998", 0)
    assert money(exchange, "alice", "USDT") == exact(65000, 21000)
    better = exchange.counter_fill("alice", order.order_id, "BTCUSDT", None, later(2), price=D(69000))
    assert better.quote_quantity == D(20700)
    assert money(exchange, "alice", "USDT") == exact(65300, 0)
    assert [line.income_type for line in exchange.income("alice")] == ["trade", "trade", "commission"] * 2
    check_books(exchange)


def test_a_seller_pays_the_fee_in_quote_or_in_the_fee_asset() -> None:
    exchange = open_exchange()
    fees = []
    for asset in ("BNB", ""):
        exchange.convert_fee_asset("alice", asset)
        order = exchange.place("alice", limit("sell", "0.1", "90000"), START)
        fees.append(exchange.counter_fill("alice", order.order_id, "BTCUSDT", None, START))
    assert [fill.fee_asset for fill in fees] == ["BNB", "USDT"]
    assert fees[1].fee == D(9)
    assert money(exchange, "alice", "USDT") == exact(117_991, 0)
    told = [each for each in exchange.drain() if isinstance(each, AccountHappened)]
    assert {balance.asset for each in told for balance in each.balances} == {"BTC", "USDT", "BNB"}
    check_books(exchange)


def test_a_taker_walks_through_the_levels_and_keeps_the_rest_of_its_lock() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "0.5", "90000"), START)
    assert order.status is OrderStatus.FILLED
    assert order.filled_quote < D("0.5") * D(80200)
    assert len(exchange.fills("alice")) > 2
    assert money(exchange, "alice", "USDT") == (D(100_000) - order.filled_quote, D(0))
    check_books(exchange)


def test_two_accounts_of_the_house_trade_with_each_other() -> None:
    exchange = open_exchange()
    exchange.place("bob", limit("sell", "0.3", "80000.01"), START)
    exchange.place("alice", limit("buy", "0.3", "80000.01"), START)
    [sold], [bought] = exchange.fills("bob"), exchange.fills("alice")
    assert sold.trade_id == bought.trade_id
    assert (sold.maker, bought.maker) == (True, False)
    assert story(exchange.drain(), "bob") == ["limit new new", "limit trade filled"]
    check_books(exchange)


@pytest.mark.parametrize(
    ("order", "status", "expiry"),
    [
        (limit("buy", "1.2", "80000.02", time_in_force="ioc"), OrderStatus.EXPIRED, Expiry.UNFILLED_IOC),
        (limit("buy", "1.2", "80000.02", time_in_force="fok"), OrderStatus.EXPIRED, Expiry.UNFILLED_FOK),
        (limit("buy", "0.01", "90000", time_in_force="fok"), OrderStatus.FILLED, Expiry.NONE),
        (limit("buy", "0.01", "90000", time_in_force="ioc"), OrderStatus.FILLED, Expiry.NONE),
        (limit("buy", "1", "80000.02"), OrderStatus.PARTIALLY_FILLED, Expiry.NONE),
    ],
)
def test_what_is_not_filled_at_once_expires_or_rests(order: NewSpotOrder, status: OrderStatus, expiry: Expiry) -> None:
    exchange = open_exchange()
    placed = exchange.place("alice", order, START)
    assert (placed.status, placed.expiry) == (status, expiry)
    assert bool(exchange.open_orders("alice")) is (status is OrderStatus.PARTIALLY_FILLED)
    check_books(exchange)


def test_a_very_large_market_order_is_filled_level_by_level() -> None:
    exchange = open_exchange("alice", balances={"BTC": D(900)})
    order = exchange.place("alice", market("sell", "900"), START)
    assert order.status is OrderStatus.FILLED
    check_books(exchange, {"BTC": D(900)})


# --- self-trade prevention ---------------------------------------------------------------------------------------------


def meet(mode: str, maker: str = "0.3", taker: str = "0.5") -> SpotExchange:
    exchange = open_exchange()
    exchange.place("alice", limit("sell", maker, "80000.01"), START)
    exchange.drain()
    exchange.place("alice", limit("buy", taker, "80000.01", self_trade_prevention=mode), START)
    check_books(exchange)
    return exchange


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("none", OrderStatus.FILLED, None),
        ("expire_maker", OrderStatus.EXPIRED_IN_MATCH, None),
        ("expire_taker", OrderStatus.NEW, OrderStatus.EXPIRED_IN_MATCH),
        ("expire_both", OrderStatus.EXPIRED_IN_MATCH, OrderStatus.EXPIRED_IN_MATCH),
        ("decrement", OrderStatus.EXPIRED_IN_MATCH, None),
    ],
)
def test_the_taker_decides_who_ends_when_an_account_meets_itself(mode: str, maker: OrderStatus, taker: OrderStatus | None) -> None:
    exchange = meet(mode)
    first, second = map(spot_order, exchange.orders("alice"))
    assert first.status is maker
    assert taker is None or second.status is taker
    assert bool(exchange.prevented_matches("alice", "BTCUSDT")) is (mode != "none")
    assert any(fill.order_id == first.order_id for fill in exchange.fills("alice")) is (mode == "none")


def test_decrement_takes_the_same_from_both() -> None:
    exchange = meet("decrement")
    maker, taker = map(spot_order, exchange.orders("alice"))
    assert (maker.prevented_quantity, taker.prevented_quantity) == exact("0.3", "0.3")
    told = [each for each in orders_told(exchange.drain()) if each.prevention is not None]
    assert [each.order.status for each in told] == [OrderStatus.EXPIRED_IN_MATCH, OrderStatus.NEW]
    assert all(each.prevention is not None and each.prevention.quantity == D("0.3") for each in told)
    [match] = exchange.prevented_matches("alice", "BTCUSDT")
    assert (match.maker_order_id, match.taker_order_id, match.mode) == (maker.order_id, taker.order_id, "decrement")


def test_a_fill_or_kill_order_that_meets_its_own_account_dies() -> None:
    exchange = open_exchange()
    exchange.place("alice", limit("sell", "1", "80000.01"), START)
    killed = exchange.place("alice", limit("buy", "0.5", "80000.01", time_in_force="fok"), START)
    assert killed.expiry is Expiry.UNFILLED_FOK
    filled = exchange.place("alice", limit("buy", "0.5", "80000.01", time_in_force="fok", self_trade_prevention="none"), START)
    assert filled.status is OrderStatus.FILLED


# --- amending ----------------------------------------------------------------------------------------------------------


def test_an_amended_order_keeps_its_id_and_its_place_and_has_a_new_name() -> None:
    exchange = open_exchange("alice", "bob", "carol")
    first = exchange.place("alice", limit("sell", "0.5", "80000.01", client_order_id="old"), START)
    exchange.place("bob", limit("sell", "0.5", "80000.01"), START)
    made = exchange.amend("alice", "BTCUSDT", client_order_id="old", quantity=D("0.2"), new_client_order_id="new", now=later(1))
    assert (made.client_order_id, made.modify_id, made.quantity_before, made.quantity_after) == ("old", "new", *exact("0.5", "0.2"))
    assert money(exchange, "alice", "BTC") == exact("1.8", "0.2")
    told = orders_told(exchange.drain())[-1]
    assert (told.former_client_id, told.order.client_order_id, told.execution_id) == ("old", "new", made.amendment_id)
    exchange.place("carol", limit("buy", "0.3", "80000.01"), later(1))
    [alice] = exchange.orders("alice")
    [bob] = exchange.orders("bob")
    assert alice.order_id == first.order_id
    assert (alice.filled_quantity, bob.filled_quantity) == exact("0.2", "0.1")
    assert exchange.amendments("alice", "BTCUSDT", first.order_id) == [made]
    check_books(exchange)


def test_an_amendment_below_what_is_filled_ends_the_order() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "0.5", "70000"), START)
    exchange.counter_fill("alice", order.order_id, "BTCUSDT", D("0.3"), START)
    exchange.amend("alice", "BTCUSDT", order_id=order.order_id, quantity=D("0.2"), now=START)
    [ended] = exchange.orders("alice")
    assert (ended.status, ended.quantity) == (OrderStatus.EXPIRED, D("0.3"))
    check_books(exchange)


@pytest.mark.parametrize(("quantity", "rule"), [("0.5", "amend_not_smaller"), ("0.6", "amend_not_smaller"), ("0.00001", "min_notional")])
def test_an_amendment_only_makes_smaller(quantity: str, rule: str) -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "0.5", "70000"), START)
    assert refusal(lambda: exchange.amend("alice", "BTCUSDT", order_id=order.order_id, quantity=D(quantity), now=START)) == rule


def test_amendments_are_counted_and_names_are_looked_at() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "0.5", "70000"), START)
    exchange.place("alice", limit("buy", "0.5", "70000", client_order_id="taken"), START)

    def amend(quantity: str, name: str = "") -> None:
        exchange.amend("alice", "BTCUSDT", order_id=order.order_id, quantity=D(quantity), new_client_order_id=name, now=START)

    assert refusal(lambda: amend("0.4", "taken")) == "duplicate_client_order_id"
    assert refusal(lambda: amend("0.4", "no no")) == "bad_client_order_id"
    for step in range(10):
        amend(f"0.4{9 - step}")
    assert refusal(lambda: amend("0.3")) == "too_many_amendments"


# --- the outside -------------------------------------------------------------------------------------------------------


def test_only_what_rests_can_be_filled_from_outside() -> None:
    exchange = open_exchange()
    resting = exchange.place("alice", limit("buy", "0.5", "70000"), START)
    waiting = exchange.place("alice", wish("stop_loss_limit", "sell", quantity="0.5", price="75000", stop_price="76000"), START)

    def fill(order_id: int, quantity: str = "0.1", price: str | None = None) -> None:
        exchange.counter_fill("alice", order_id, "BTCUSDT", D(quantity), START, price=None if price is None else D(price))

    assert refusal(lambda: fill(waiting.order_id)) == "not_resting"
    assert refusal(lambda: fill(resting.order_id, "0.6")) == "bad_lot"
    assert refusal(lambda: fill(resting.order_id, "0")) == "bad_lot"
    assert refusal(lambda: fill(resting.order_id, price="70000.01")) == "bad_tick"
    assert refusal(lambda: fill(resting.order_id, price="0")) == "bad_tick"
    assert exchange.fills("alice") == []


def test_a_price_that_crosses_fills_what_rests() -> None:
    exchange = open_exchange()
    exchange.place("alice", limit("buy", "0.5", "79000"), START)
    exchange.place("alice", limit("sell", "0.5", "81000"), START)
    exchange.move_price("BTCUSDT", D(78000), later(1))
    assert statuses(exchange) == [OrderStatus.FILLED, OrderStatus.NEW]
    exchange.move_price("BTCUSDT", D(82000), later(2))
    assert statuses(exchange) == [OrderStatus.FILLED, OrderStatus.FILLED]
    assert [fill.price for fill in exchange.fills("alice")] == [D(79000), D(81000)]
    check_books(exchange)
