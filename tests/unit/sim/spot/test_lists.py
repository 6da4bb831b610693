"""Order lists: of a pair only one order ever trades, and what is pending begins when it is due."""

from decimal import Decimal

import pytest

from tests.unit.sim.spot.kit import (
    START,
    buy_pair,
    check_books,
    check_news,
    exact,
    later,
    limit,
    listed,
    market,
    money,
    oco,
    open_exchange,
    oto,
    otoco,
    refusal,
    sell_pair,
    stop,
    story,
    wish,
)
from userstream.sim.books import ListHappened, OrderStatus
from userstream.sim.spot.books import Expiry, NewList

D = Decimal
BOUGHT = limit("buy", "0.5", "79500")


def test_a_pair_locks_once_and_is_told_as_a_list() -> None:
    exchange = open_exchange()
    made = exchange.place_list("alice", oco(sell_pair()), START)
    assert money(exchange, "alice", "BTC") == exact(1, 1)
    told = exchange.drain()
    assert story(told) == ["oco exec_started", "limit_maker new new", "stop_loss new new"]
    [begun] = [each for each in told if isinstance(each, ListHappened)]
    assert tuple(order.order_id for order in begun.orders) == made.order_ids
    check_books(exchange)


def test_a_buying_pair_locks_the_dearer_of_both() -> None:
    exchange = open_exchange()
    made = exchange.place_list("alice", oco(buy_pair()), START)
    assert money(exchange, "alice", "USDT") == exact(18000, 82000)
    _, maker = made.order_ids
    exchange.counter_fill("alice", maker, "BTCUSDT", D("0.4"), later(1))
    assert money(exchange, "alice", "USDT") == exact(21000, 47400)
    check_books(exchange)


@pytest.mark.parametrize("quantity", ["0.1", "1"])
def test_the_first_fill_of_one_order_ends_the_other(quantity: str) -> None:
    exchange = open_exchange()
    made = exchange.place_list("alice", oco(sell_pair()), START)
    exchange.drain()
    exchange.counter_fill("alice", made.order_ids[0], "BTCUSDT", D(quantity), later(1))
    maker, stopping = listed(exchange, made.list_id)
    assert (stopping.status, stopping.expiry) == (OrderStatus.EXPIRED, Expiry.OCO_TRIGGER)
    told = exchange.drain()
    ends = ["oco all_done"] if maker.status is OrderStatus.FILLED else []
    assert story(told) == ["stop_loss expired expired", f"limit_maker trade {maker.status}", *ends]
    exchange.move_price("BTCUSDT", D(70000), later(2))
    assert listed(exchange, made.list_id)[1].filled_quantity == 0
    check_books(exchange)
    check_news(exchange, told)


def test_a_triggered_stop_ends_the_other_order_before_it_trades() -> None:
    exchange = open_exchange()
    made = exchange.place_list("alice", oco(sell_pair()), START)
    exchange.drain()
    exchange.move_price("BTCUSDT", D(78000), later(1))
    maker, stopping = listed(exchange, made.list_id)
    assert (maker.status, stopping.status) == (OrderStatus.EXPIRED, OrderStatus.FILLED)
    told = story(exchange.drain())
    assert told[:2] == ["limit_maker expired expired", "stop_loss new new"]
    assert told[-2:] == ["stop_loss trade filled", "oco all_done"]
    check_books(exchange)


@pytest.mark.parametrize("place", [0, 1])
def test_cancelling_one_order_cancels_the_list(place: int) -> None:
    exchange = open_exchange()
    made = exchange.place_list("alice", oco(buy_pair()), START)
    exchange.cancel("alice", "BTCUSDT", order_id=made.order_ids[place], new_client_order_id="enough", now=later(1))
    assert {order.status for order in listed(exchange, made.list_id)} == {OrderStatus.CANCELED}
    assert {order.cancel_id for order in listed(exchange, made.list_id)} == {"enough"}
    assert story(exchange.drain())[-1] == "oco all_done"
    assert exchange.order_lists("alice", open_only=True) == []
    assert money(exchange, "alice", "USDT") == exact(100_000, 0)


def test_a_list_is_cancelled_by_its_name_and_only_once() -> None:
    exchange = open_exchange()
    exchange.place_list("alice", oco(sell_pair(), client_list_id="mine"), START)
    assert refusal(lambda: exchange.cancel_list("alice", "ETHUSDT", client_list_id="mine", now=START)) == "unknown_list"
    assert exchange.cancel_list("alice", "BTCUSDT", client_list_id="mine", now=START).is_done
    assert refusal(lambda: exchange.cancel_list("alice", "BTCUSDT", client_list_id="mine", now=START)) == "unknown_list"


def test_a_prevented_order_of_a_pair_ends_the_other_too() -> None:
    exchange = open_exchange()
    made = exchange.place_list("alice", oco(sell_pair(above="80000.01")), START)
    exchange.place("alice", limit("buy", "0.1", "80000.01", self_trade_prevention="decrement"), START)
    maker, stopping = listed(exchange, made.list_id)
    assert maker.prevented_quantity == D("0.1")
    assert stopping.status is OrderStatus.EXPIRED
    assert money(exchange, "alice", "BTC") == exact("1.1", "0.9")
    check_books(exchange)


# --- what is pending ---------------------------------------------------------------------------------------------------


def test_a_pending_order_locks_nothing_and_begins_when_the_first_is_filled() -> None:
    exchange = open_exchange("alice", balances={"USDT": D(100_000)})
    made = exchange.place_list("alice", oto(BOUGHT, limit("sell", "0.4", "81000")), START)
    first, pending = made.order_ids
    assert [order.status for order in listed(exchange, made.list_id)] == [OrderStatus.NEW, OrderStatus.PENDING_NEW]
    assert money(exchange, "alice", "BTC") == exact(0, 0)
    exchange.counter_fill("alice", first, "BTCUSDT", D("0.2"), later(1))
    assert exchange.order("alice", "BTCUSDT", order_id=pending).status is OrderStatus.PENDING_NEW
    exchange.counter_fill("alice", first, "BTCUSDT", None, later(2))
    assert exchange.order("alice", "BTCUSDT", order_id=pending).status is OrderStatus.NEW
    assert money(exchange, "alice", "BTC") == exact("0.0995", "0.4")
    assert story(exchange.drain()) == [
        "oto exec_started",
        "limit new pending_new",
        "limit new new",
        "limit trade partially_filled",
        "limit trade filled",
        "limit new new",
    ]
    exchange.counter_fill("alice", pending, "BTCUSDT", None, later(3))
    assert story(exchange.drain()) == ["limit trade filled", "oto all_done"]
    check_books(exchange, {"USDT": D(100_000)})


def test_a_pending_pair_is_a_pair_once_it_has_begun() -> None:
    exchange = open_exchange()
    made = exchange.place_list("alice", otoco(BOUGHT, sell_pair("0.4")), START)
    exchange.counter_fill("alice", made.order_ids[0], "BTCUSDT", None, later(1))
    assert [order.status for order in listed(exchange, made.list_id)] == [OrderStatus.FILLED, OrderStatus.NEW, OrderStatus.NEW]
    assert money(exchange, "alice", "BTC")[1] == D("0.4")
    exchange.counter_fill("alice", made.order_ids[1], "BTCUSDT", None, later(2))
    assert [order.status for order in listed(exchange, made.list_id)] == [OrderStatus.FILLED, OrderStatus.FILLED, OrderStatus.EXPIRED]
    assert story(exchange.drain())[-1] == "oto all_done"
    check_books(exchange)


def test_what_waits_for_an_order_ends_with_it() -> None:
    exchange = open_exchange()
    canceled = exchange.place_list("alice", otoco(BOUGHT, sell_pair("0.4")), START)
    exchange.cancel("alice", "BTCUSDT", order_id=canceled.order_ids[0], now=START)
    assert {order.status for order in listed(exchange, canceled.list_id)} == {OrderStatus.CANCELED}
    dying = limit("buy", "0.5", "79500", time_in_force="ioc")
    expired = exchange.place_list("alice", oto(dying, limit("sell", "0.4", "81000")), START)
    assert [order.status for order in listed(exchange, expired.list_id)] == [OrderStatus.EXPIRED, OrderStatus.EXPIRED]
    assert listed(exchange, expired.list_id)[1].expiry is Expiry.OTO_PHASE_ONE_EXPIRED
    assert exchange.order_lists("alice", open_only=True) == []
    check_books(exchange)


def test_cancelling_what_is_pending_cancels_what_works() -> None:
    exchange = open_exchange()
    made = exchange.place_list("alice", oto(BOUGHT, limit("sell", "0.4", "81000")), START)
    exchange.cancel("alice", "BTCUSDT", order_id=made.order_ids[1], now=START)
    assert {order.status for order in listed(exchange, made.list_id)} == {OrderStatus.CANCELED}
    check_books(exchange)


@pytest.mark.parametrize(
    "second",
    [limit("sell", "0.6", "81000"), wish("limit_maker", "sell", quantity="0.4", price="70000"), stop("sell", "0.4", "85000")],
    ids=["cannot be paid", "would take", "would trigger"],
)
def test_what_cannot_begin_any_more_expires_as_rejected(second: object) -> None:
    assert isinstance(second, type(BOUGHT))
    exchange = open_exchange("alice", balances={"USDT": D(100_000)})
    made = exchange.place_list("alice", oto(BOUGHT, second), START)
    exchange.counter_fill("alice", made.order_ids[0], "BTCUSDT", None, later(1))
    _, pending = listed(exchange, made.list_id)
    assert (pending.status, pending.expiry) == (OrderStatus.EXPIRED, Expiry.REJECTED)
    assert story(exchange.drain())[-1] == "oto all_done"
    check_books(exchange, {"USDT": D(100_000)})


def test_a_working_order_that_is_filled_at_once_lets_the_others_begin_at_once() -> None:
    exchange = open_exchange()
    made = exchange.place_list("alice", oto(limit("buy", "0.5", "80500"), market("sell", "0.4")), START)
    assert [order.status for order in listed(exchange, made.list_id)] == [OrderStatus.FILLED, OrderStatus.FILLED]
    check_books(exchange)


# --- amending and refusing ---------------------------------------------------------------------------------------------


def test_an_amended_order_of_a_list_is_told_as_an_update() -> None:
    exchange = open_exchange()
    made = exchange.place_list("alice", oco(sell_pair()), START)
    exchange.amend("alice", "BTCUSDT", order_id=made.order_ids[0], quantity=D("0.4"), now=START)
    assert money(exchange, "alice", "BTC") == exact(1, 1)
    exchange.amend("alice", "BTCUSDT", order_id=made.order_ids[1], quantity=D("0.4"), now=START)
    assert money(exchange, "alice", "BTC") == exact("1.6", "0.4")
    assert story(exchange.drain())[-2:] == ["stop_loss amendment new", "oco updated"]
    check_books(exchange)


LISTS = [
    (oco((sell_pair()[1], sell_pair()[0])), "bad_list"),
    (oco((sell_pair()[0], stop("sell", "0.5", "79000"))), "bad_list"),
    (oco((sell_pair()[0], stop("buy", "1", "81000"))), "bad_list"),
    (oco(sell_pair(above="79500", below="79600")), "oco_bad_prices"),
    (oco(sell_pair(above="82000", below="81000")), "oco_bad_prices"),
    (oco(buy_pair(above="82000", below="81000")), "oco_bad_prices"),
    (oco(sell_pair("3")), "balance_insufficient"),
    (oto(market("buy", "0.1"), limit("sell", "0.1", "81000")), "bad_order_type"),
    (oto(limit("buy", "2", "79500"), limit("sell", "0.1", "81000")), "balance_insufficient"),
    (oto(BOUGHT, limit("sell", "0.4", "81000", symbol="ETHUSDT")), "bad_list"),
    (
        oto(limit("buy", "0.5", "79500", client_order_id="a"), limit("sell", "0.4", "81000", client_order_id="a")),
        "duplicate_client_order_id",
    ),
    (otoco(BOUGHT, sell_pair("0.4", above="79000", below="79500")), "oco_bad_prices"),
    (NewList(kind="oco", symbol="BTCUSDT", orders=sell_pair()[:1]), "bad_list"),
    (NewList(kind="trio", symbol="BTCUSDT", orders=sell_pair()), "bad_list"),
    (oco(sell_pair(), client_list_id="a b"), "bad_client_order_id"),
]


@pytest.mark.parametrize(("new", "rule"), LISTS, ids=[f"{rule}-{place}" for place, (_, rule) in enumerate(LISTS)])
def test_a_refused_list_changes_nothing(new: NewList, rule: str) -> None:
    exchange = open_exchange()
    assert refusal(lambda: exchange.place_list("alice", new, START)) == rule
    assert exchange.orders("alice") == []
    assert exchange.order_lists("alice") == []
    assert exchange.drain() == []


def test_lists_are_counted() -> None:
    exchange = open_exchange()
    for _ in range(20):
        exchange.place_list("alice", oto(limit("buy", "0.001", "70000"), limit("sell", "0.001", "90000")), START)
    more = oto(limit("buy", "0.001", "70000"), limit("sell", "0.001", "90000"))
    assert refusal(lambda: exchange.place_list("alice", more, START)) == "too_many_lists"
