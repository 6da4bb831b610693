"""Reading orders, fills and lists with windows, limits and retention (Binance Spot, 6.2)."""

from decimal import Decimal

import pytest

from tests.unit.sim.kit import START
from tests.unit.sim.spot_kit import SpotDesk, open_spot
from userstream.sim.actions import RestLag
from userstream.sim.books import Side
from userstream.sim.performing import perform
from userstream.sim.spot.books import NewSpotOrder

DAY = 86_400_000
MINUTE = 60_000
D = Decimal


def three_minutes() -> SpotDesk:
    """A market order at the beginning and after each of two minutes."""
    desk = open_spot(symbols=("BTCUSDT",))
    for _ in range(3):
        desk.market(quantity="0.001")
        desk.clock.turn(MINUTE)
    return desk


def ids(rows: list[dict[str, object]], name: str) -> list[int]:
    return [int(str(row[name])) for row in rows]


def test_an_order_is_shown_with_all_its_fields() -> None:
    desk = open_spot()
    placed = desk.limit(newClientOrderId="mine", icebergQty="0.005")
    shown = desk.get("/api/v3/order", symbol="BTCUSDT", orderId=placed["orderId"]).body
    assert isinstance(shown, dict)
    assert set(shown) == {
        "symbol",
        "orderId",
        "orderListId",
        "clientOrderId",
        "price",
        "origQty",
        "executedQty",
        "cummulativeQuoteQty",
        "status",
        "timeInForce",
        "type",
        "side",
        "stopPrice",
        "icebergQty",
        "time",
        "updateTime",
        "isWorking",
        "workingTime",
        "origQuoteOrderQty",
        "selfTradePreventionMode",
    }
    assert (shown["icebergQty"], shown["isWorking"], shown["workingTime"]) == ("0.00500000", True, START)
    assert desk.get("/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine").body == shown
    assert desk.get("/api/v3/order", symbol="ETHUSDT", orderId=placed["orderId"]).code == -2013
    assert desk.get("/api/v3/order", symbol="BTCUSDT").code == -1102


def test_open_orders_of_one_symbol_or_all() -> None:
    desk = open_spot()
    desk.limit()
    desk.limit(symbol="ETHUSDT", price="2800", quantity="0.1")
    assert len(desk.get("/api/v3/openOrders").rows) == 2
    assert [row["symbol"] for row in desk.get("/api/v3/openOrders", symbol="ETHUSDT").rows] == ["ETHUSDT"]


def test_the_newest_come_without_times_and_the_window_is_a_day() -> None:
    desk = three_minutes()
    everything = desk.get("/api/v3/allOrders", symbol="BTCUSDT").rows
    assert len(everything) == 3
    assert desk.get("/api/v3/allOrders", symbol="BTCUSDT", limit=1).rows == everything[-1:]
    assert desk.get("/api/v3/allOrders", symbol="BTCUSDT", orderId=everything[1]["orderId"]).rows == everything[1:]
    middle = START + MINUTE
    assert desk.get("/api/v3/allOrders", symbol="BTCUSDT", startTime=middle, endTime=middle + 5).rows == everything[1:2]
    assert desk.get("/api/v3/allOrders", symbol="BTCUSDT", startTime=START, limit=1).rows == everything[:1]
    assert desk.get("/api/v3/allOrders", symbol="BTCUSDT", startTime=START * 1000, endTime=START * 1000 + 999).rows == everything[:1]
    assert desk.get("/api/v3/allOrders", symbol="BTCUSDT", startTime=START, endTime=START + DAY + 1).code == -1127
    assert desk.get("/api/v3/allOrders", symbol="BTCUSDT", startTime=START, endTime=START - 1).code == -1128
    assert desk.get("/api/v3/allOrders", symbol="BTCUSDT", limit=0).code == -1130
    assert desk.get("/api/v3/allOrders").code == -1102


def test_fills_from_an_id_on_make_pages_without_holes() -> None:
    desk = three_minutes()
    desk.market(quantity="0.5")
    everything = desk.get("/api/v3/myTrades", symbol="BTCUSDT").rows
    known, next_id = [], 0
    while page := desk.get("/api/v3/myTrades", symbol="BTCUSDT", fromId=next_id, limit=2).rows:
        known += page
        next_id = ids(page, "id")[-1] + 1
    assert known == everything
    assert ids(known, "id") == [fill.trade_id for fill in desk.books.fills("paper-1", "BTCUSDT")]
    assert set(everything[0]) == {
        "symbol",
        "id",
        "orderId",
        "orderListId",
        "price",
        "qty",
        "quoteQty",
        "commission",
        "commissionAsset",
        "time",
        "isBuyer",
        "isMaker",
        "isBestMatch",
    }


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, None),
        ({"orderId": 4290000001}, None),
        ({"startTime": START}, None),
        ({"endTime": START}, None),
        ({"fromId": 1}, None),
        ({"startTime": START, "endTime": START + DAY}, None),
        ({"orderId": 4290000001, "fromId": 1}, None),
        ({"startTime": START, "endTime": START + DAY + 1}, -1127),
        ({"fromId": 1, "startTime": START}, -1128),
        ({"fromId": 1, "endTime": START}, -1128),
        ({"orderId": 4290000001, "startTime": START}, -1128),
    ],
)
def test_only_some_combinations_may_be_asked(parameters: dict[str, object], code: int | None) -> None:
    desk = three_minutes()
    found = desk.get("/api/v3/myTrades", symbol="BTCUSDT", **parameters)
    if code is not None:
        assert found.code == code
        return
    assert ids(found.rows, "time")[0] == START


def test_an_order_that_ended_without_a_fill_is_archived() -> None:
    desk = open_spot()
    order_id = desk.limit()["orderId"]
    desk.call("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=order_id)
    filled = desk.books.place("paper-1", bought(), desk.clock.now())
    desk.clock.turn(91 * DAY)
    # Reading lets no time pass in the books, so the market need not be played for three months.
    assert desk.get("/api/v3/order", symbol="BTCUSDT", orderId=order_id).code == -2026
    assert desk.get("/api/v3/order", symbol="BTCUSDT", orderId=filled.order_id).status == 200
    assert ids(desk.get("/api/v3/allOrders", symbol="BTCUSDT").rows, "orderId") == [filled.order_id]


def bought() -> NewSpotOrder:
    return NewSpotOrder(symbol="BTCUSDT", side=Side.BUY, order_type="market", quantity=D("0.01"))


def test_reads_may_lag_behind_the_stream() -> None:
    desk = open_spot()
    perform(RestLag(ms=1000), desk.house, desk.clock.now())
    desk.pass_time(500)
    desk.limit(newClientOrderId="mine")
    assert desk.get("/api/v3/openOrders").rows == []
    assert desk.get("/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine").code == -2013
    assert desk.get("/api/v3/account")["updateTime"] == START
    desk.pass_time(1500)
    assert len(desk.get("/api/v3/openOrders").rows) == 1
    assert desk.get("/api/v3/account")["updateTime"] == START + 500


def test_prevented_matches_by_their_id_or_an_orders() -> None:
    desk = open_spot()
    maker = desk.limit(side="SELL", price="81000.01", quantity="0.02")
    taker = desk.limit(price="81000.01", quantity="0.05")
    [row] = desk.get("/api/v3/myPreventedMatches", symbol="BTCUSDT", orderId=taker["orderId"]).rows
    assert (row["makerOrderId"], row["takerOrderId"], row["selfTradePreventionMode"]) == (
        maker["orderId"],
        taker["orderId"],
        "EXPIRE_MAKER",
    )
    assert row["makerPreventedQuantity"] == "0.02000000"
    assert desk.get("/api/v3/myPreventedMatches", symbol="BTCUSDT", preventedMatchId=row["preventedMatchId"]).rows == [row]
    assert desk.get("/api/v3/myPreventedMatches", symbol="BTCUSDT", orderId=maker["orderId"], fromPreventedMatchId=9999).rows == []
    assert desk.get("/api/v3/myPreventedMatches", symbol="BTCUSDT").code == -1102


def test_lists_have_windows_as_well() -> None:
    desk = open_spot()
    first = desk.oco(quantity="0.1")["orderListId"]
    second = desk.oco(quantity="0.1")["orderListId"]
    assert ids(desk.get("/api/v3/allOrderList").rows, "orderListId") == [first, second]
    assert ids(desk.get("/api/v3/allOrderList", fromId=second).rows, "orderListId") == [second]
    assert ids(desk.get("/api/v3/allOrderList", startTime=START, limit=1).rows, "orderListId") == [first]
    assert desk.get("/api/v3/allOrderList", fromId=second, startTime=START).code == -1128
