"""The objects of the answers, where no call shows them whole."""

from tests.unit.sim.spot.kit import START, limit, listed, oco, open_exchange, sell_pair, stop, wish
from userstream.sim.dialects.binance_spot_objects import canceled, list_row, order_row, placed


def test_a_waiting_stop_does_not_work_yet() -> None:
    exchange = open_exchange()
    row = order_row(exchange.place("alice", stop("sell", "0.1", "79000", strategy_id=3), START))
    assert (row["isWorking"], row["workingTime"], row["stopPrice"], row["strategyId"]) == (False, -1, "79000.00000000", 3)


def test_a_trailing_stop_shows_when_it_began_to_trail() -> None:
    exchange = open_exchange()
    row = order_row(exchange.place("alice", wish("stop_loss", "sell", quantity="0.1", trailing_delta=100), START))
    assert (row["trailingDelta"], row["trailingTime"]) == (100, START)


def test_why_an_order_expired_is_shown() -> None:
    exchange = open_exchange()
    row = order_row(exchange.place("alice", limit("buy", "1", "79000", time_in_force="ioc"), START))
    assert row["expiryReason"] == "UNFILLED_IOC_QUANTITY_EXPIRED"


def test_what_was_prevented_is_shown() -> None:
    exchange = open_exchange()
    exchange.place("alice", limit("sell", "0.2", "80000.01"), START)
    taker = exchange.place("alice", limit("buy", "0.5", "80000.01", self_trade_prevention="decrement"), START)
    row = order_row(taker)
    assert (row["preventedQuantity"], row["preventedMatchId"]) == ("0.20000000", 301)


def test_an_answer_is_as_long_as_it_was_asked_to_be() -> None:
    order = open_exchange().place("alice", limit("buy", "0.1", "79000", iceberg_quantity="0.01"), START)
    short, middle, full = (placed(order, [], kind) for kind in ("ack", "result", "full"))
    assert set(short) < set(middle) < set(full)
    assert middle["icebergQty"] == "0.01000000"


def test_a_cancelled_order_without_a_request_keeps_its_name() -> None:
    order = open_exchange().place("alice", limit("buy", "0.1", "79000", client_order_id="mine"), START)
    assert canceled(order)["clientOrderId"] == "mine"
    order.cancel_id = "bye"
    assert canceled(order)["clientOrderId"] == "bye"


def test_a_list_can_be_shown_as_it_began() -> None:
    exchange = open_exchange()
    made = exchange.place_list("alice", oco(sell_pair("0.1")), START)
    made.is_done = True
    orders = listed(exchange, made.list_id)
    assert list_row(made, orders)["listStatusType"] == "ALL_DONE"
    assert list_row(made, orders, as_begun=True)["listStatusType"] == "EXEC_STARTED"
