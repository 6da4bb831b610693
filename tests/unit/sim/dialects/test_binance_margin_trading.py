"""Orders of margin accounts over REST."""

from decimal import Decimal

import pytest

from tests.unit.sim.margin_kit import PAIR, open_margin

PATH = "/sapi/v1/margin/"


def test_an_order_is_of_the_cross_account_unless_it_says_otherwise() -> None:
    desk = open_margin()
    desk.fund_pair()
    cross, isolated = desk.limit(), desk.limit(isIsolated="TRUE")
    assert (cross["isIsolated"], isolated["isIsolated"]) == (False, True)
    assert [order.order_id for order in desk.books.open_orders("paper-1")] == [cross["orderId"]]
    assert [order.order_id for order in desk.books.open_orders(PAIR)] == [isolated["orderId"]]
    assert [row["orderId"] for row in desk.get(PATH + "openOrders").rows] == [cross["orderId"]]
    rows = desk.get(PATH + "openOrders", isIsolated="TRUE", symbol="BTCUSDT").rows
    assert [(row["orderId"], row["isIsolated"]) for row in rows] == [(isolated["orderId"], True)]
    assert desk.get("/api/v3/openOrders").rows == []


def test_reading_cancelling_and_the_history() -> None:
    desk = open_margin()
    order_id = desk.limit()["orderId"]
    assert desk.get(PATH + "order", symbol="BTCUSDT", orderId=order_id)["status"] == "NEW"
    canceled = desk.call("DELETE", PATH + "order", symbol="BTCUSDT", orderId=order_id)
    assert (canceled["status"], canceled["isIsolated"]) == ("CANCELED", False)
    assert [row["orderId"] for row in desk.get(PATH + "allOrders", symbol="BTCUSDT").rows] == [order_id]
    desk.market()
    [trade] = desk.get(PATH + "myTrades", symbol="BTCUSDT").rows[:1]
    assert (trade["isBuyer"], trade["isIsolated"]) == (True, False)


def test_all_open_orders_of_a_pair_are_cancelled_together() -> None:
    desk = open_margin()
    for price in ("79000", "79500"):
        desk.limit(price=price)
    rows = desk.call("DELETE", PATH + "openOrders", symbol="BTCUSDT").rows
    assert [row["status"] for row in rows] == ["CANCELED", "CANCELED"]
    assert desk.call("DELETE", PATH + "openOrders", symbol="BTCUSDT").code == -2011


def test_what_was_borrowed_for_an_order_stands_in_its_answer() -> None:
    desk = open_margin()
    found = desk.market(quantity="0.5", sideEffectType="MARGIN_BUY")
    assert isinstance(found.body, dict)
    assert found["marginBuyBorrowAsset"] == "USDT"
    assert Decimal(str(found["marginBuyBorrowAmount"])) > 30_000
    plain = desk.market(side="SELL").body
    assert isinstance(plain, dict)
    assert "marginBuyBorrowAmount" not in plain


def test_a_sale_pays_back() -> None:
    desk = open_margin()
    desk.borrow("USDT", "1000")
    desk.market(side="SELL", quantity="0.1", sideEffectType="AUTO_REPAY")
    assert desk.books.debts("paper-1") == []


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"sideEffectType": "MAGIC"}, -1130),
        ({"sideEffectType": "MARGIN_BUY", "quantity": "90"}, -3006),
        ({"quantity": "1"}, -2010),
        ({"isIsolated": "TRUE", "symbol": "NOPE"}, -1121),
        ({"price": "80000.001"}, -1013),
    ],
)
def test_orders_that_are_refused(wish: dict[str, object], code: int) -> None:
    desk = open_margin()
    assert desk.limit(**wish).code == code
    assert desk.books.orders("paper-1") == []


def test_orders_count_in_the_limits_and_weigh_on_the_account() -> None:
    desk = open_margin()
    found = desk.limit()
    assert (found.headers["X-MBX-ORDER-COUNT-10S"], found.headers["X-SAPI-USED-UID-WEIGHT-1M"]) == ("1", "6")
    rows = desk.get(PATH + "rateLimit/order").rows
    assert [row["count"] for row in rows] == [1, 1]


def test_order_lists_of_margin_accounts() -> None:
    desk = open_margin()
    wish = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.1", "price": "82000", "stopPrice": "80000"}
    placed = desk.call("POST", PATH + "order/oco", **wish)
    assert (placed["contingencyType"], placed["listOrderStatus"], placed["isIsolated"]) == ("OCO", "EXECUTING", False)
    list_id = placed["orderListId"]
    assert [row["orderListId"] for row in desk.get(PATH + "openOrderList").rows] == [list_id]
    assert desk.get("/api/v3/openOrderList").rows == []
    assert desk.get(PATH + "orderList", orderListId=list_id)["listOrderStatus"] == "EXECUTING"
    canceled = desk.call("DELETE", PATH + "orderList", symbol="BTCUSDT", orderListId=list_id)
    assert canceled["listOrderStatus"] == "ALL_DONE"
    assert [row["orderListId"] for row in desk.get(PATH + "allOrderList").rows] == [list_id]


@pytest.mark.parametrize(("kind", "orders"), [("oto", 2), ("otoco", 3)])
def test_lists_that_begin_with_a_working_order(kind: str, orders: int) -> None:
    desk = open_margin()
    wish: dict[str, object] = {"symbol": "BTCUSDT", "workingType": "LIMIT", "workingSide": "BUY", "workingPrice": "80000"}
    wish |= {"workingTimeInForce": "GTC", "workingQuantity": "0.01", "pendingSide": "SELL", "pendingQuantity": "0.009"}
    if kind == "oto":
        wish |= {"pendingType": "LIMIT", "pendingPrice": "83000", "pendingTimeInForce": "GTC"}
    else:
        wish |= {"pendingAboveType": "LIMIT_MAKER", "pendingAbovePrice": "83000"}
        wish |= {"pendingBelowType": "STOP_LOSS", "pendingBelowStopPrice": "79000"}
    placed = desk.call("POST", PATH + f"order/{kind}", **wish)
    assert isinstance(placed["orders"], list), placed.body
    assert len(placed["orders"]) == orders


def test_pairs_that_are_traded_on_spot_only_are_refused() -> None:
    desk = open_margin()
    assert desk.limit(symbol="BNBBTC", price="0.011", quantity="1").code == -3021
    for path in ("myTrades", "allOrders", "openOrders"):
        assert desk.get(PATH + path, symbol="BNBBTC").code == -3021
    assert desk.get(PATH + "openOrders", symbol="BNBBTC", isIsolated="TRUE").code == -3021
