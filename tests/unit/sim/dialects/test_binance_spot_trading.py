"""Placing, amending, cancelling and replacing (Binance Spot, 6.2, 6.4)."""

from decimal import Decimal

import pytest

from tests.unit.sim.kit import START
from tests.unit.sim.spot_kit import open_spot, part, rows

D = Decimal
STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS", "quantity": "0.1", "stopPrice": "80000"}


def test_a_limit_order_answers_fully_and_a_stop_shortly() -> None:
    desk = open_spot()
    assert desk.limit()["fills"] == []
    short = desk.call("POST", "/api/v3/order", **STOP)
    assert isinstance(short.body, dict)
    assert set(short.body) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    result = desk.limit(newOrderRespType="RESULT")
    assert isinstance(result.body, dict)
    assert "fills" not in result.body
    assert set(result.body) >= {"status", "executedQty", "cummulativeQuoteQty", "origQuoteOrderQty", "workingTime"}


def test_a_market_order_shows_what_it_traded() -> None:
    desk = open_spot()
    found = desk.market(quantity="0.5")
    assert isinstance(found.body, dict)
    fills = rows(found.body, "fills")
    assert sum(D(str(fill["qty"])) for fill in fills) == D("0.5")
    assert sum(D(str(fill["price"])) * D(str(fill["qty"])) for fill in fills) == D(str(found["cummulativeQuoteQty"]))
    assert {fill["commissionAsset"] for fill in fills} == {"BTC"}
    trades = desk.get("/api/v3/myTrades", symbol="BTCUSDT", orderId=found["orderId"]).rows
    assert [trade["id"] for trade in trades] == [fill["tradeId"] for fill in fills]


def test_a_quote_amount_is_shown_as_asked() -> None:
    found = open_spot().market(quantity=None, quoteOrderQty="1000")
    assert (found["origQuoteOrderQty"], found["status"]) == ("1000.00000000", "FILLED")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": None}, -1102),
        ({"symbol": "NONE"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"type": "STOP"}, -1116),
        ({"timeInForce": "GTX"}, -1115),
        ({"timeInForce": None}, -1102),
        ({"price": None}, -1102),
        ({"price": "0"}, -1102),
        ({"price": "80000.005"}, -1013),
        ({"price": "80000.123456789"}, -1111),
        ({"quantity": None}, -1102),
        ({"quantity": "1e9"}, -1013),
        ({"quantity": "0.00001"}, -1013),
        ({"quantity": "2"}, -2010),
        ({"stopPrice": "79000"}, -1106),
        ({"trailingDelta": "100"}, -1106),
        ({"quoteOrderQty": "100"}, -1106),
        ({"icebergQty": "0.00001"}, -1013),
        ({"newClientOrderId": "a.b"}, -1100),
        ({"newOrderRespType": "ALL"}, -1136),
        ({"selfTradePreventionMode": "TRANSFER"}, -1130),
        ({"strategyType": "5"}, -1130),
        ({"type": "LIMIT_MAKER"}, -1106),
        ({"type": "LIMIT_MAKER", "timeInForce": None, "price": "90000"}, -2010),
        ({"type": "MARKET", "timeInForce": None}, -1106),
    ],
)
def test_a_wrong_order_is_refused_by_its_rule(changes: dict[str, object], code: int) -> None:
    desk = open_spot()
    found = desk.limit(**changes)
    assert (found.status, found.code) == (400, code)
    assert desk.books.orders("paper-1") == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"stopPrice": None}, -1102), ({"stopPrice": "82000"}, -2010), ({"price": "80000"}, -1106), ({"trailingDelta": "5"}, -1013)],
)
def test_a_wrong_stop_is_refused(changes: dict[str, object], code: int) -> None:
    assert open_spot().call("POST", "/api/v3/order", **(STOP | changes)).code == code


def test_a_test_checks_the_parameters_and_can_tell_the_fees() -> None:
    desk = open_spot()
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "5"}
    assert desk.call("POST", "/api/v3/order/test", **order).body == {}
    told = desk.call("POST", "/api/v3/order/test", **order, computeCommissionRates="true").body
    assert isinstance(told, dict)
    assert part(told, "standardCommissionForOrder")["taker"] == "0.00100000"
    assert desk.call("POST", "/api/v3/order/test", **(order | {"side": "UP"})).code == -1117
    assert desk.books.orders("paper-1") == []


def test_cancelling_names_the_order_and_the_request() -> None:
    desk = open_spot()
    desk.limit(newClientOrderId="mine")
    found = desk.call("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine", newClientOrderId="bye")
    assert (found["origClientOrderId"], found["clientOrderId"], found["status"], found["transactTime"]) == (
        "mine",
        "bye",
        "CANCELED",
        START,
    )
    assert desk.get("/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine")["clientOrderId"] == "mine"
    assert desk.call("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine").code == -2011
    assert desk.call("DELETE", "/api/v3/order", symbol="BTCUSDT").code == -1102
    assert desk.call("DELETE", "/api/v3/openOrders", symbol="BTCUSDT").code == -2011


def test_a_restriction_on_cancelling_is_held() -> None:
    desk = open_spot()
    order = desk.limit()
    name = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    assert desk.call("DELETE", "/api/v3/order", **name, cancelRestrictions="ONLY_PARTIALLY_FILLED").code == -2011
    assert desk.call("DELETE", "/api/v3/order", **name, cancelRestrictions="ONLY_OLD").code == -1145
    assert desk.call("DELETE", "/api/v3/order", **name, cancelRestrictions="ONLY_NEW").status == 200


def test_cancelling_all_shows_lists_as_lists() -> None:
    desk = open_spot()
    desk.limit()
    desk.oco()
    single, listed = desk.call("DELETE", "/api/v3/openOrders", symbol="BTCUSDT").rows
    assert (single["status"], listed["contingencyType"], listed["listOrderStatus"]) == ("CANCELED", "OCO", "ALL_DONE")
    assert [row["status"] for row in rows(listed, "orderReports")] == ["CANCELED", "CANCELED"]


def test_an_amendment_shows_both_names_and_is_remembered() -> None:
    desk = open_spot()
    order = desk.limit(newClientOrderId="mine")
    name = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    found = desk.call("PUT", "/api/v3/order/amend/keepPriority", **name, newQty="0.004", newClientOrderId="less")
    assert isinstance(found.body, dict)
    amended = part(found.body, "amendedOrder")
    assert (amended["origClientOrderId"], amended["clientOrderId"], amended["qty"]) == ("mine", "less", "0.00400000")
    [row] = desk.get("/api/v3/order/amendments", **name).rows
    assert (row["origQty"], row["newQty"], row["executionId"]) == ("0.01000000", "0.00400000", found["executionId"])
    assert desk.call("PUT", "/api/v3/order/amend/keepPriority", **name, newQty="0.01").code == -2038
    assert desk.call("PUT", "/api/v3/order/amend/keepPriority", **name).code == -1102
    assert desk.call("PUT", "/api/v3/order/amend/keepPriority", symbol="BTCUSDT", orderId=1, newQty="0.01").code == -2013


def test_an_amended_order_of_a_list_shows_its_list() -> None:
    desk = open_spot()
    made = desk.oco()
    assert isinstance(made.body, dict)
    first = rows(made.body, "orders")[0]["orderId"]
    found = desk.call("PUT", "/api/v3/order/amend/keepPriority", symbol="BTCUSDT", orderId=first, newQty="0.2")
    assert isinstance(found.body, dict)
    assert part(found.body, "listStatus")["orderListId"] == made["orderListId"]


@pytest.mark.parametrize(
    ("mode", "order_id", "price", "status", "code", "results"),
    [
        ("STOP_ON_FAILURE", None, "79000", 200, None, ("SUCCESS", "SUCCESS")),
        ("STOP_ON_FAILURE", 1, "79000", 400, -2022, ("FAILURE", "NOT_ATTEMPTED")),
        ("STOP_ON_FAILURE", None, "79000.001", 409, -2021, ("SUCCESS", "FAILURE")),
        ("ALLOW_FAILURE", 1, "79000", 409, -2021, ("FAILURE", "SUCCESS")),
        ("ALLOW_FAILURE", 1, "79000.001", 400, -2022, ("FAILURE", "FAILURE")),
    ],
)
def test_a_replacement_tells_both_halves(
    mode: str, order_id: int | None, price: str, status: int, code: int | None, results: tuple[str, str]
) -> None:
    desk = open_spot()
    known = desk.limit()["orderId"]
    wish = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": price}
    found = desk.call("POST", "/api/v3/order/cancelReplace", **wish, cancelReplaceMode=mode, cancelOrderId=order_id or known)
    assert isinstance(found.body, dict)
    assert found.status == status
    assert found.body.get("code") == code
    shown = found.body if code is None else part(found.body, "data")
    assert (shown["cancelResult"], shown["newOrderResult"]) == results
    if results == ("FAILURE", "SUCCESS"):
        assert part(shown, "cancelResponse")["code"] == -2011


def test_a_replacement_needs_its_mode_and_a_name() -> None:
    desk = open_spot()
    wish = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "79000"}
    assert desk.call("POST", "/api/v3/order/cancelReplace", **wish, cancelReplaceMode="MAYBE", cancelOrderId=1).code == -1130
    assert desk.call("POST", "/api/v3/order/cancelReplace", **wish, cancelReplaceMode="ALLOW_FAILURE").code == -1102
