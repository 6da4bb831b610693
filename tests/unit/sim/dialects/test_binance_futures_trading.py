"""Placing, amending and cancelling over REST."""

import json
from collections.abc import Mapping
from decimal import Decimal

import pytest

from tests.unit.sim.kit import START, Answered, Desk, open_desk

RESULT_KEYS = {
    *("orderId", "symbol", "status", "clientOrderId", "price", "origQty", "executedQty", "cumQty", "timeInForce", "type", "reduceOnly"),
    *("closePosition", "side", "positionSide", "stopPrice", "workingType", "priceProtect", "origType", "priceMatch"),
    *("selfTradePreventionMode", "goodTillDate", "updateTime"),
}


def order_of(desk: Desk, **names: object) -> Answered:
    return desk.get("/fapi/v1/order", symbol="BTCUSDT", **names)


def cancel(desk: Desk, **names: object) -> Answered:
    return desk.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", **names)


def amend(desk: Desk, **changes: object) -> Answered:
    wanted = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010", "price": "79990.0"}
    return desk.call("PUT", "/fapi/v1/order", **(wanted | changes))


def test_a_placed_order_is_shown_as_accepted_without_average_price() -> None:
    placed = open_desk().limit(newClientOrderId="mine-1")
    assert placed.status == 200
    assert isinstance(placed.body, dict)
    assert set(placed.body) == RESULT_KEYS
    assert (placed["status"], placed["clientOrderId"], placed["executedQty"], placed["price"]) == ("NEW", "mine-1", "0", "80000.0")
    assert isinstance(placed["orderId"], int)


def test_an_acknowledged_market_order_looks_new_and_a_result_is_final() -> None:
    desk = open_desk()
    assert desk.market(newOrderRespType="ACK")["status"] == "NEW"
    final = desk.market()
    assert (final["status"], final["executedQty"]) == ("FILLED", "0.010")
    assert desk.limit(newOrderRespType="RESULT", price="82000")["status"] == "NEW"
    assert desk.limit(newOrderRespType="RESULT", price="82000", timeInForce="IOC")["status"] == "FILLED"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "NONE"}, -1121),
        ({"symbol": ""}, -1102),
        ({"side": "LONG"}, -1117),
        ({"side": ""}, -1102),
        ({"type": "STOP_MARKET"}, -4120),
        ({"type": "TRAILING_STOP_MARKET"}, -4120),
        ({"type": "ICEBERG"}, -1116),
        ({"timeInForce": ""}, -1102),
        ({"timeInForce": "SOON"}, -1115),
        ({"quantity": "0"}, -4003),
        ({"quantity": "-1"}, -4003),
        ({"quantity": "0.0005"}, -4004),
        ({"quantity": "1001"}, -4005),
        ({"quantity": "0.0105"}, -4023),
        ({"quantity": "much"}, -1102),
        ({"price": ""}, -1102),
        ({"price": "0"}, -4001),
        ({"price": "-1"}, -4001),
        ({"price": "80000.05"}, -4014),
        ({"price": "99000"}, -4016),
        ({"price": "10", "quantity": "0.010"}, -4164),
        ({"quantity": "900"}, -2019),
        ({"newClientOrderId": "what a name"}, -4015),
        ({"newClientOrderId": "autoclose-1"}, -4015),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"positionSide": "LONG"}, -4061),
        ({"positionSide": "UP"}, -4060),
        ({"reduceOnly": "true"}, -2022),
        ({"reduceOnly": "perhaps"}, -1130),
        ({"timeInForce": "GTX", "price": "82000"}, -5022),
        ({"timeInForce": "FOK", "price": "81000.2", "quantity": "20"}, -5021),
        ({"timeInForce": "GTD"}, -1102),
        ({"timeInForce": "GTD", "goodTillDate": START + 500_000}, -5040),
        ({"selfTradePreventionMode": "ALWAYS"}, -5039),
        ({"priceMatch": "BEST"}, -5037),
        ({"priceMatch": "QUEUE"}, -1106),
        ({"newOrderRespType": "FULL"}, -1136),
    ],
)
def test_a_broken_rule_has_its_code_and_leaves_no_order(changes: dict[str, object], code: int) -> None:
    desk = open_desk()
    desk.listen()
    refused = desk.limit(**changes)
    assert (refused.status, refused.code) == (400, code), refused.body
    assert desk.get("/fapi/v1/openOrders").rows == []
    assert desk.heard() == []


def test_a_good_till_date_is_kept_in_whole_seconds() -> None:
    placed = open_desk().limit(timeInForce="GTD", goodTillDate=START + 700_999)
    assert placed["goodTillDate"] == START + 700_000


def test_a_client_id_is_taken_while_its_order_is_open() -> None:
    desk = open_desk()
    desk.limit(newClientOrderId="one")
    assert desk.limit(newClientOrderId="one").code == -4116
    cancel(desk, origClientOrderId="one")
    assert desk.limit(newClientOrderId="one").status == 200


def test_a_matched_price_needs_no_price() -> None:
    placed = open_desk().limit(price=None, priceMatch="QUEUE_5")
    assert placed.status == 200, placed.body
    assert (placed["priceMatch"], Decimal(str(placed["price"])) > 0) == ("QUEUE_5", True)


def test_amending_keeps_the_ids_and_shows_the_modify_id() -> None:
    desk = open_desk()
    placed = desk.limit(newClientOrderId="one")
    changed = amend(desk, orderId=placed["orderId"], modifyId=12)
    assert isinstance(changed.body, dict)
    assert set(changed.body) == {*RESULT_KEYS, "pair", "modifyId"}
    assert (changed["orderId"], changed["clientOrderId"], changed["price"], changed["modifyId"]) == (
        placed["orderId"],
        "one",
        "79990.0",
        12,
    )
    [row] = desk.get("/fapi/v1/orderAmendment", symbol="BTCUSDT", orderId=placed["orderId"]).rows
    assert row["amendment"] == {
        "price": {"before": "80000.0", "after": "79990.0"},
        "origQty": {"before": "0.010", "after": "0.010"},
        "count": 1,
        "modifyId": "12",
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"orderId": 1}, -2013),
        ({"origClientOrderId": "one", "price": None}, -1102),
        ({"origClientOrderId": "one", "quantity": None}, -1102),
        ({"origClientOrderId": "one", "side": None}, -1102),
        ({"origClientOrderId": "one", "price": "80000", "quantity": "0.010"}, -5027),
        ({}, -1102),
    ],
)
def test_an_amendment_that_cannot_be(changes: dict[str, object], code: int) -> None:
    desk = open_desk()
    desk.limit(newClientOrderId="one")
    assert amend(desk, **changes).code == code


def test_cancelling_shows_the_end_and_cannot_be_repeated() -> None:
    desk = open_desk()
    order_id = desk.limit()["orderId"]
    assert cancel(desk, orderId=order_id)["status"] == "CANCELED"
    again = cancel(desk, orderId=order_id)
    assert (again.status, again.code) == (400, -2011)
    assert cancel(desk).code == -1102


def test_cancelling_all_of_a_symbol_leaves_the_others() -> None:
    desk = open_desk()
    desk.limit()
    desk.limit(price="79000")
    desk.limit(symbol="ETHUSDT", price="2800", quantity="0.1")
    assert desk.call("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")["code"] == 200
    assert [row["symbol"] for row in desk.get("/fapi/v1/openOrders").rows] == ["ETHUSDT"]


def batch(desk: Desk, method: str, *elements: Mapping[str, object]) -> Answered:
    return desk.call(method, "/fapi/v1/batchOrders", batchOrders=json.dumps(elements))


LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010", "price": "80000"}


def test_a_batch_answers_each_element_by_itself() -> None:
    desk = open_desk()
    rows = batch(desk, "POST", LIMIT, LIMIT | {"reduceOnly": "true"}, LIMIT | {"price": 79000.5, "newClientOrderId": "b"}).rows
    assert [row.get("code", row.get("status")) for row in rows] == ["NEW", -2022, "NEW"]
    assert rows[2]["price"] == "79000.5"
    changed = batch(desk, "PUT", {"symbol": "BTCUSDT", "side": "BUY", "origClientOrderId": "b", "quantity": "0.02", "price": "79001"}).rows
    assert changed[0]["origQty"] == "0.02"


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]", "no json", json.dumps([LIMIT] * 6)])
def test_a_batch_that_is_none(text: str) -> None:
    assert open_desk().call("POST", "/fapi/v1/batchOrders", batchOrders=text).code in (-1102, -1130)


def test_cancelling_by_lists_of_ids() -> None:
    desk = open_desk()
    one, two = desk.limit()["orderId"], desk.limit(price="79000", newClientOrderId="two")["orderId"]
    rows = desk.call("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", orderIdList=f"[{one},1]").rows
    assert [row.get("status", row.get("code")) for row in rows] == ["CANCELED", -2011]
    rows = desk.call("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", origClientOrderIdList='["two"]').rows
    assert (rows[0]["orderId"], rows[0]["status"]) == (two, "CANCELED")
    assert desk.call("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT").code == -1102
    assert desk.call("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", orderIdList="[1,2").code == -1102
    assert desk.call("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", orderIdList=str(list(range(11)))).code == -1130


def test_a_dead_man_s_switch_cancels_the_symbol_unless_it_is_repeated_or_stopped() -> None:
    desk = open_desk()
    desk.limit()
    path = "/fapi/v1/countdownCancelAll"
    assert desk.call("POST", path, symbol="BTCUSDT", countdownTime=5000).body == {"symbol": "BTCUSDT", "countdownTime": "5000"}
    desk.pass_time(4000)
    desk.call("POST", path, symbol="BTCUSDT", countdownTime=5000)
    desk.pass_time(4000)
    assert len(desk.get("/fapi/v1/openOrders").rows) == 1
    desk.pass_time(1000)
    assert desk.get("/fapi/v1/openOrders").rows == []
    desk.limit()
    desk.call("POST", path, symbol="BTCUSDT", countdownTime=5000)
    desk.call("POST", path, symbol="BTCUSDT", countdownTime=0)
    desk.pass_time(6000)
    assert len(desk.get("/fapi/v1/openOrders").rows) == 1


def test_a_test_order_changes_nothing() -> None:
    desk = open_desk()
    assert desk.call("POST", "/fapi/v1/order/test", **LIMIT).body == {}
    assert desk.get("/fapi/v1/openOrders").rows == []


def test_reduce_only_is_not_a_word_of_hedge_mode() -> None:
    desk = open_desk()
    desk.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
    assert desk.limit(reduceOnly="false", positionSide="LONG").code == -1106
    assert desk.limit().code == -4061
    assert desk.limit(positionSide="LONG")["positionSide"] == "LONG"


def test_the_order_is_found_by_either_id() -> None:
    desk = open_desk()
    placed = desk.limit(newClientOrderId="mine")
    assert order_of(desk, orderId=placed["orderId"])["clientOrderId"] == "mine"
    assert order_of(desk, origClientOrderId="mine")["orderId"] == placed["orderId"]
