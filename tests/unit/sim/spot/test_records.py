"""What one account has on paper is found by every name it has."""

from functools import partial

from tests.unit.sim.spot.kit import START, limit, oco, open_exchange, refusal, sell_pair
from userstream.sim.spot.books import OrderList
from userstream.sim.spot.records import SpotRecords


def records() -> SpotRecords:
    exchange, made = open_exchange(), SpotRecords()
    for name in ("a", "b"):
        made.add(exchange.place("alice", limit("buy", "0.1", "70000", client_order_id=name), START))
    return made


def test_an_order_is_found_by_id_by_client_id_and_by_both() -> None:
    made = records()
    first, second = made.orders
    assert made.order("BTCUSDT", first, None).client_order_id == "a"
    assert made.order("BTCUSDT", None, "b").order_id == second
    assert made.order("BTCUSDT", second, "b").order_id == second
    for order_id, name, symbol in (
        (first, "b", "BTCUSDT"),
        (first, "nobody", "BTCUSDT"),
        (None, None, "BTCUSDT"),
        (first, None, "ETHUSDT"),
    ):
        assert refusal(partial(made.order, symbol, order_id, name)) == "unknown_order"


def test_a_renamed_order_is_known_by_its_new_name_only() -> None:
    made = records()
    made.rename(made.order("BTCUSDT", None, "a"), "c")
    assert made.order("BTCUSDT", None, "c").client_order_id == "c"
    assert refusal(lambda: made.order("BTCUSDT", None, "a")) == "unknown_order"
    assert not made.has_open_client_id("a")
    assert made.has_open_client_id("c")


def test_a_closed_order_is_history() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "0.1", "70000", client_order_id="a"), START)
    exchange.cancel("alice", "BTCUSDT", order_id=order.order_id, now=START)
    assert exchange.open_orders("alice") == []
    assert [each.order_id for each in exchange.orders("alice")] == [order.order_id]
    again = exchange.place("alice", limit("buy", "0.1", "70000", client_order_id="a"), START)
    assert exchange.order("alice", "BTCUSDT", client_order_id="a").order_id == again.order_id


def test_a_list_is_found_by_id_or_by_its_latest_name() -> None:
    exchange = open_exchange()
    made: OrderList = exchange.place_list("alice", oco(sell_pair("0.1"), client_list_id="mine"), START)
    assert exchange.order_list("alice", list_id=made.list_id) == made
    assert exchange.order_list("alice", client_list_id="mine") == made
    assert refusal(lambda: exchange.order_list("alice", client_list_id="other")) == "unknown_list"
    assert refusal(lambda: exchange.place_list("alice", oco(sell_pair("0.1"), client_list_id="mine"), START)) == "duplicate_list_id"
    exchange.cancel_list("alice", "BTCUSDT", list_id=made.list_id, now=START)
    again = exchange.place_list("alice", oco(sell_pair("0.1"), client_list_id="mine"), START)
    assert exchange.order_list("alice", client_list_id="mine").list_id == again.list_id
