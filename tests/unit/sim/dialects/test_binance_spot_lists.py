"""Order lists over REST (Binance Spot, 6.2)."""

from decimal import Decimal

import pytest

from tests.unit.sim.spot_kit import OCO, SpotDesk, open_spot, rows

OTO = {
    "symbol": "BTCUSDT",
    "workingType": "LIMIT",
    "workingSide": "BUY",
    "workingPrice": "80000",
    "workingQuantity": "0.1",
    "workingTimeInForce": "GTC",
}
PENDING = {"pendingType": "LIMIT_MAKER", "pendingSide": "SELL", "pendingPrice": "82000", "pendingQuantity": "0.09"}
PENDING_PAIR = {
    "pendingSide": "SELL",
    "pendingQuantity": "0.09",
    "pendingAboveType": "LIMIT_MAKER",
    "pendingAbovePrice": "82000",
    "pendingBelowType": "STOP_LOSS",
    "pendingBelowStopPrice": "79000",
}


def statuses(desk: SpotDesk, list_id: object) -> list[object]:
    found = desk.get("/api/v3/orderList", orderListId=list_id).body
    assert isinstance(found, dict)
    return [desk.get("/api/v3/order", symbol="BTCUSDT", orderId=row["orderId"])["status"] for row in rows(found, "orders")]


def test_a_pair_is_answered_with_its_orders() -> None:
    desk = open_spot()
    made = desk.oco(listClientOrderId="both", aboveClientOrderId="up", belowClientOrderId="down", belowStrategyId=5)
    assert isinstance(made.body, dict)
    assert (made["contingencyType"], made["listStatusType"], made["listClientOrderId"]) == ("OCO", "EXEC_STARTED", "both")
    assert [row["clientOrderId"] for row in rows(made.body, "orders")] == ["up", "down"]
    above, below = rows(made.body, "orderReports")
    assert (above["type"], below["type"], below["stopPrice"], below["strategyId"]) == (
        "LIMIT_MAKER",
        "STOP_LOSS_LIMIT",
        "80000.00000000",
        5,
    )
    assert below["workingTime"] == -1


def test_the_call_of_former_years_makes_the_same_pair() -> None:
    desk = open_spot()
    old = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.5", "price": "82000", "stopPrice": "80000"}
    bare = desk.call("POST", "/api/v3/order/oco", **old)
    limited = desk.call("POST", "/api/v3/order/oco", **old, stopLimitPrice="79900", stopLimitTimeInForce="GTC")
    for made, kind in ((bare, "STOP_LOSS"), (limited, "STOP_LOSS_LIMIT")):
        assert isinstance(made.body, dict)
        assert [row["type"] for row in rows(made.body, "orderReports")] == ["LIMIT_MAKER", kind]
    buying = desk.call(
        "POST", "/api/v3/order/oco", symbol="BTCUSDT", side="BUY", quantity="0.1", price="80000", stopPrice="82000", newOrderRespType="ACK"
    )
    assert isinstance(buying.body, dict)
    assert [set(row) for row in rows(buying.body, "orderReports")] == [
        {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    ] * 2


def test_what_is_pending_begins_with_the_fill_of_what_works() -> None:
    desk = open_spot()
    for path, pending, after in (
        ("oto", PENDING, ["FILLED", "NEW"]),
        ("otoco", PENDING_PAIR, ["FILLED", "NEW", "NEW"]),
    ):
        made = desk.call("POST", f"/api/v3/orderList/{path}", **OTO, **pending)
        assert isinstance(made.body, dict)
        assert made["contingencyType"] == "OTO"
        assert statuses(desk, made["orderListId"]) == ["NEW", *["PENDING_NEW"] * (len(after) - 1)]
        first = int(str(rows(made.body, "orders")[0]["orderId"]))
        desk.books.counter_fill("paper-1", first, "BTCUSDT", None, desk.clock.now())
        assert statuses(desk, made["orderListId"]) == after


def test_a_list_is_found_and_cancelled_by_either_name() -> None:
    desk = open_spot()
    made = desk.oco(listClientOrderId="both")
    assert desk.get("/api/v3/openOrderList").rows[0]["orderListId"] == made["orderListId"]
    assert desk.get("/api/v3/orderList", origClientOrderId="both")["orderListId"] == made["orderListId"]
    gone = desk.call("DELETE", "/api/v3/orderList", symbol="BTCUSDT", listClientOrderId="both")
    assert isinstance(gone.body, dict)
    assert (gone["listStatusType"], {row["status"] for row in rows(gone.body, "orderReports")}) == ("ALL_DONE", {"CANCELED"})
    assert desk.get("/api/v3/openOrderList").rows == []
    assert desk.get("/api/v3/orderList", orderListId=made["orderListId"])["listOrderStatus"] == "ALL_DONE"
    assert desk.call("DELETE", "/api/v3/orderList", symbol="BTCUSDT", listClientOrderId="both").code == -2011
    assert desk.call("DELETE", "/api/v3/orderList", symbol="BTCUSDT").code == -1102
    assert desk.get("/api/v3/orderList", orderListId=1).code == -2018


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"side": "X"}, -1117),
        ({"quantity": None}, -1102),
        ({"aboveType": "LIMIT_UP"}, -1116),
        ({"abovePrice": None}, -1102),
        ({"aboveType": "STOP_LOSS", "abovePrice": None, "aboveStopPrice": "82000"}, -1158),
        ({"belowTimeInForce": None}, -1102),
        ({"belowStopPrice": "81900", "belowPrice": "81900"}, -2010),
        ({"abovePrice": "79000"}, -2010),
        ({"quantity": "3"}, -2010),
        ({"newOrderRespType": "X"}, -1136),
    ],
)
def test_a_wrong_list_is_refused(changes: dict[str, object], code: int) -> None:
    desk = open_spot()
    assert desk.call("POST", "/api/v3/orderList/oco", **(OCO | changes)).code == code
    assert desk.books.orders("paper-1") == []


def test_the_list_of_the_books_is_the_list_that_is_shown() -> None:
    desk = open_spot()
    made = desk.oco()
    desk.books.move_price("BTCUSDT", Decimal(83_000), desk.clock.now())
    assert statuses(desk, made["orderListId"]) == ["FILLED", "EXPIRED"]
    assert desk.get("/api/v3/allOrderList").rows[0]["listStatusType"] == "ALL_DONE"
