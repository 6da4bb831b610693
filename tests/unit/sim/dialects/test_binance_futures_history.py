"""Reading orders, fills, income and conditional orders: windows, limits and retention (Binance USD-M, 6.1)."""

from decimal import Decimal
from typing import ClassVar, cast

import msgspec
import pytest

from tests.unit.sim.kit import START, Desk, open_desk
from userstream.sim.books import Fill, Millis, PositionSide, Side
from userstream.sim.dialects.binance_futures_calls import Request
from userstream.sim.dialects.binance_futures_history import get_user_trades
from userstream.sim.dialects.binance_parameters import Parameters
from userstream.sim.history import Books

DAY = 86_400_000
ROW_KEYS = {
    *("orderId", "symbol", "pair", "clientOrderId", "status", "price", "avgPrice", "origQty", "executedQty", "cumQuote", "cumBase"),
    *("timeInForce", "type", "origType", "side", "positionSide", "reduceOnly", "closePosition", "stopPrice", "workingType"),
    *("priceProtect", "priceMatch", "selfTradePreventionMode", "goodTillDate", "time", "updateTime"),
}
TRADE_KEYS = {
    *("id", "orderId", "price", "qty", "quoteQty", "baseQty", "commission", "commissionAsset", "realizedPnl", "side", "positionSide"),
    *("maker", "buyer", "time", "symbol", "pair", "marginAsset"),
}
ALGO_KEYS = {
    *("algoId", "clientAlgoId", "algoType", "orderType", "symbol", "side", "positionSide", "timeInForce", "quantity", "algoStatus"),
    *("triggerPrice", "price", "actualOrderId", "actualPrice", "icebergQuantity", "tpTriggerPrice", "tpPrice", "slTriggerPrice"),
    *("slPrice", "tpOrderType", "selfTradePreventionMode", "workingType", "priceMatch", "closePosition", "priceProtect", "reduceOnly"),
    *("createTime", "updateTime", "triggerTime", "goodTillDate"),
}


def trades(desk: Desk, **parameters: object) -> list[dict[str, object]]:
    return desk.get("/fapi/v1/userTrades", symbol="BTCUSDT", **parameters).rows


def ids(rows: list[dict[str, object]], name: str = "id") -> list[int]:
    return [int(str(row[name])) for row in rows]


class OldBooks:
    """Fills of many days, which a market that steps ten times a second would take long to make."""

    def __init__(self, books: Books, fills: list[Fill]) -> None:
        self._books = books
        self._fills = fills

    def fills(self, account: str, symbol: str | None = None) -> list[Fill]:
        return self._fills

    def __getattr__(self, name: str) -> object:
        return getattr(self._books, name)


class OldRequest(Request):
    """A request that sees old books."""

    old_fills: ClassVar[list[Fill]]

    @property
    def books(self) -> Books:
        return cast(Books, OldBooks(super().books, self.old_fills))


def fill_on_day(day: int) -> Fill:
    return Fill(
        account="a",
        symbol="BTCUSDT",
        trade_id=100 + day,
        order_id=1,
        client_order_id="c",
        side=Side.BUY,
        position_side=PositionSide.BOTH,
        price=Decimal(80_000),
        quantity=Decimal("0.001"),
        quote_quantity=Decimal(80),
        fee=Decimal("0.04"),
        fee_asset="USDT",
        realized_pnl=Decimal(0),
        maker=False,
        time=Millis(START + day * DAY),
    )


def old_trades(days: int, **parameters: object) -> list[int]:
    """The trade ids (100 and more) that a call shows after one fill a day."""

    class Asked(OldRequest):
        old_fills: ClassVar[list[Fill]] = [fill_on_day(day) for day in range(days)]

    desk = open_desk()
    texts = {name: str(value) for name, value in parameters.items()}
    request = Asked(desk.hall.room, desk.account, Parameters({"symbol": "BTCUSDT", **texts}), Millis(START + days * DAY))
    return ids(msgspec.json.decode(msgspec.json.encode(get_user_trades(request)), type=list[dict[str, object]]))


def test_an_order_row_has_the_keys_of_the_table() -> None:
    desk = open_desk()
    order_id = desk.limit()["orderId"]
    [row] = desk.get("/fapi/v1/openOrders").rows
    assert set(row) == ROW_KEYS
    assert desk.get("/fapi/v1/openOrder", symbol="BTCUSDT", orderId=order_id).body == row
    assert desk.get("/fapi/v1/allOrders", symbol="BTCUSDT").rows == [row]


def test_a_trade_row_has_the_keys_of_the_table_and_adds_up() -> None:
    desk = open_desk()
    order_id = desk.market(quantity="0.5")["orderId"]
    rows = trades(desk)
    assert all(set(row) == TRADE_KEYS for row in rows)
    order = desk.get("/fapi/v1/order", symbol="BTCUSDT", orderId=order_id)
    assert sum(Decimal(str(row["qty"])) for row in rows) == Decimal("0.5") == Decimal(str(order["executedQty"]))
    assert sum(Decimal(str(row["quoteQty"])) for row in rows) == Decimal(str(order["cumQuote"]))
    assert trades(desk, orderId=order_id) == rows
    assert trades(desk, orderId=1) == []


def test_an_order_that_is_no_longer_open_is_not_an_open_order() -> None:
    desk = open_desk()
    order_id = desk.market()["orderId"]
    assert desk.get("/fapi/v1/openOrder", symbol="BTCUSDT", orderId=order_id).code == -2013
    assert desk.get("/fapi/v1/order", symbol="ETHUSDT", orderId=order_id).code == -2013
    assert desk.get("/fapi/v1/order", symbol="BTCUSDT").code == -1102


def test_trades_from_an_id_come_page_by_page_and_without_a_hole() -> None:
    seen: list[int] = []
    while rows := old_trades(40, fromId=seen[-1] + 1 if seen else 1, limit=7):
        seen += rows
    assert seen == list(range(100, 140))


def test_an_id_and_times_exclude_each_other() -> None:
    desk = open_desk()
    for name in ("startTime", "endTime"):
        assert desk.get("/fapi/v1/userTrades", symbol="BTCUSDT", fromId=1, **{name: START}).code == -1128


def test_the_default_window_is_the_last_seven_days_and_its_newest_rows() -> None:
    assert old_trades(20) == list(range(113, 120))
    assert old_trades(20, limit=2) == [118, 119]


def test_a_start_gives_the_oldest_rows_of_the_seven_days_after_it() -> None:
    assert old_trades(20, startTime=START) == list(range(100, 108))  # the first and the last millisecond both count
    assert old_trades(20, startTime=START, limit=2) == [100, 101]
    assert old_trades(20, startTime=START, endTime=START + DAY) == [100, 101]
    assert old_trades(20, endTime=START + DAY) == [100, 101]
    assert old_trades(20, endTime=START + DAY, limit=1) == [101]


def test_fills_are_forgotten_after_ninety_days_also_by_id() -> None:
    assert old_trades(100, fromId=1) == list(range(110, 200))


@pytest.mark.parametrize(
    ("start", "end", "code"),
    [(START, START + 7 * DAY + 1, -4165), (START + 1, START, -1023), (START - 91 * DAY, START - 90 * DAY, -4166)],
)
@pytest.mark.parametrize("path", ["userTrades", "allOrders", "income", "allAlgoOrders", "forceOrders"])
def test_windows_are_seven_days_and_ninety_days_back(path: str, start: int, end: int, code: int) -> None:
    assert open_desk().get(f"/fapi/v1/{path}", symbol="BTCUSDT", startTime=start, endTime=end).code == code


def test_limits_have_bounds() -> None:
    desk = open_desk()
    assert desk.get("/fapi/v1/userTrades", symbol="BTCUSDT", limit=0).code == -1130
    assert desk.get("/fapi/v1/userTrades", symbol="BTCUSDT", limit="many").code == -1102
    assert desk.get("/fapi/v1/userTrades", symbol="BTCUSDT", limit=5000).status == 200
    assert desk.get("/fapi/v1/userTrades").code == -1102


def test_unfilled_orders_are_forgotten_after_three_days_and_others_after_ninety() -> None:
    desk = open_desk()
    unfilled, filled = desk.limit()["orderId"], desk.market()["orderId"]
    desk.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=unfilled)
    desk.clock.turn(3 * DAY)
    assert desk.get("/fapi/v1/order", symbol="BTCUSDT", orderId=unfilled)["status"] == "CANCELED"
    desk.clock.turn(1)
    assert desk.get("/fapi/v1/order", symbol="BTCUSDT", orderId=unfilled).code == -2013
    assert ids(desk.get("/fapi/v1/allOrders", symbol="BTCUSDT").rows, "orderId") == [filled]
    desk.clock.turn(88 * DAY)
    assert desk.get("/fapi/v1/order", symbol="BTCUSDT", orderId=filled).code == -2013
    assert trades(desk, fromId=1) == []


def test_all_orders_from_an_id_and_without_a_symbol() -> None:
    desk = open_desk()
    made = [desk.limit(price=str(80000 - number))["orderId"] for number in range(3)]
    other = desk.limit(symbol="ETHUSDT", price="2800", quantity="0.1")["orderId"]
    assert ids(desk.get("/fapi/v1/allOrders", symbol="BTCUSDT", orderId=made[1]).rows, "orderId") == made[1:]
    assert ids(desk.get("/fapi/v1/allOrders").rows, "orderId") == [*made, other]
    assert desk.get("/fapi/v1/openOrders", symbol="NONE").code == -1121


def test_income_is_every_wallet_change_with_pages_and_types() -> None:
    desk = open_desk()
    desk.market()
    exchange, now = desk.contracts, desk.clock.now()
    exchange.fund("BTCUSDT", Decimal("0.0001"), now)
    exchange.transfer(desk.account, "USDT", Decimal(100), now)
    rows = desk.get("/fapi/v1/income", limit=1000).rows
    assert all(set(row) == {"symbol", "incomeType", "income", "asset", "info", "time", "tranId", "tradeId"} for row in rows)
    wallet = Decimal(str(desk.get("/fapi/v3/balance").rows[0]["balance"]))
    assert Decimal(100_000) + sum(Decimal(str(row["income"])) for row in rows) == wallet
    assert {row["incomeType"] for row in rows} == {"COMMISSION", "FUNDING_FEE", "TRANSFER"}
    [paid] = desk.get("/fapi/v1/income", incomeType="FUNDING_FEE").rows
    assert paid["symbol"] == "BTCUSDT"
    pages = [row for page in range(1, len(rows) + 2) for row in desk.get("/fapi/v1/income", page=page, limit=1).rows]
    assert pages == rows
    assert desk.get("/fapi/v1/income", page=0).code == -1130


def test_forced_orders_are_told_apart_by_their_client_ids() -> None:
    desk = open_desk()
    side = desk.contracts.positions(desk.account, all=True)[0].position_side
    for force in (desk.contracts.liquidate, desk.contracts.auto_deleverage):
        desk.market()
        force(desk.account, "BTCUSDT", side, desk.clock.now())
    rows = desk.get("/fapi/v1/forceOrders").rows
    assert [str(row["clientOrderId"]).split("-")[0] for row in rows] == ["autoclose", "adl_autoclose"]
    [liquidated] = desk.get("/fapi/v1/forceOrders", autoCloseType="LIQUIDATION").rows
    assert str(liquidated["clientOrderId"]).startswith("autoclose-")
    assert desk.get("/fapi/v1/forceOrders", autoCloseType="OTHER").code == -1130


def test_algo_orders_open_single_and_in_history() -> None:
    desk = open_desk()
    wanted = {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "quantity": "0.01",
        "triggerPrice": "79000",
    }
    made = [desk.call("POST", "/fapi/v1/algoOrder", **wanted, clientAlgoId=f"a{number}")["algoId"] for number in range(3)]
    desk.call("DELETE", "/fapi/v1/algoOrder", algoId=made[0])
    rows = desk.get("/fapi/v1/openAlgoOrders").rows
    assert ids(rows, "algoId") == made[1:]
    assert all(set(row) == ALGO_KEYS for row in rows)
    assert ids(desk.get("/fapi/v1/openAlgoOrders", algoId=made[2]).rows, "algoId") == [made[2]]
    one = desk.get("/fapi/v1/algoOrder", clientAlgoId="a0")
    assert isinstance(one.body, dict)
    assert set(one.body) == {*ALGO_KEYS, "actualType", "actualQty"}
    assert one["algoStatus"] == "CANCELED"
    assert ids(desk.get("/fapi/v1/allAlgoOrders", symbol="BTCUSDT", algoId=made[1]).rows, "algoId") == made[1:]
    assert ids(desk.get("/fapi/v1/allAlgoOrders", symbol="BTCUSDT", limit=1).rows, "algoId") == [made[2]]
    assert desk.get("/fapi/v1/algoOrder", algoId=1).code == -2013
    assert desk.get("/fapi/v1/algoOrder").code == -1102


def test_a_triggered_algo_order_names_its_real_order() -> None:
    desk = open_desk()
    desk.market(quantity="0.01")
    wanted = {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "quantity": "0.01",
        "triggerPrice": "80000",
    }
    algo_id = desk.call("POST", "/fapi/v1/algoOrder", **wanted)["algoId"]
    desk.contracts.move_price("BTCUSDT", Decimal(79_900), desk.clock.now())
    algo = desk.get("/fapi/v1/algoOrder", algoId=algo_id)
    assert (algo["algoStatus"], algo["actualType"], algo["actualQty"]) == ("FINISHED", "MARKET", "0.010")
    order = desk.get("/fapi/v1/order", symbol="BTCUSDT", orderId=algo["actualOrderId"])
    assert (order["clientOrderId"], order["status"], order["origType"]) == (algo["clientAlgoId"], "FILLED", "STOP_MARKET")


def test_an_order_is_shown_as_it_is_until_it_has_ended_and_the_same_from_then_on() -> None:
    desk = open_desk()
    order_id = desk.limit()["orderId"]
    assert [row["status"] for row in desk.get("/fapi/v1/allOrders", symbol="BTCUSDT").rows] == ["NEW"]
    desk.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=order_id)
    first = desk.get("/fapi/v1/allOrders", symbol="BTCUSDT").rows
    desk.pass_time(5_000)
    assert first == desk.get("/fapi/v1/allOrders", symbol="BTCUSDT").rows
    assert [row["status"] for row in first] == ["CANCELED"]
    assert set(first[0]) == ROW_KEYS
