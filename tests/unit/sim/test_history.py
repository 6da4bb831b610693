"""REST reads that are older than the streams."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sim.kit import START, Desk, open_desk
from userstream.sim.books import Millis, OrderStatus, Refused
from userstream.sim.performing import plain

LAG = 500


def lagging() -> Desk:
    desk = open_desk()
    desk.house.set_rest_lag(LAG)
    return desk


def open_prices(desk: Desk) -> list[object]:
    return [row["price"] for row in desk.get("/fapi/v1/openOrders").rows]


def test_a_new_order_is_seen_after_the_lag_and_a_cancelled_one_that_much_longer() -> None:
    desk = lagging()
    desk.pass_time(1000)
    order_id = desk.limit()["orderId"]
    assert open_prices(desk) == []
    assert desk.get("/fapi/v1/order", symbol="BTCUSDT", orderId=order_id).code == -2013
    desk.pass_time(LAG - 1)
    assert open_prices(desk) == []
    desk.pass_time(1)
    assert open_prices(desk) == ["80000.0"]
    desk.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=order_id)
    assert desk.get("/fapi/v1/order", symbol="BTCUSDT", orderId=order_id)["status"] == "NEW"
    desk.pass_time(LAG)
    assert desk.get("/fapi/v1/order", symbol="BTCUSDT", orderId=order_id)["status"] == "CANCELED"


def test_fills_balances_positions_and_income_come_together() -> None:
    desk = lagging()
    desk.pass_time(1000)
    desk.market()

    def seen() -> tuple[int, int, int, object]:
        trades = desk.get("/fapi/v1/userTrades", symbol="BTCUSDT").rows
        balance = desk.get("/fapi/v3/balance").rows[0]["balance"]
        return len(trades) > 0, len(desk.get("/fapi/v3/positionRisk").rows), len(desk.get("/fapi/v1/income").rows) > 0, balance == "100000"

    assert seen() == (False, 0, False, True)
    desk.pass_time(LAG)
    assert seen() == (True, 1, True, False)


def test_what_existed_when_the_lag_began_is_seen_at_once() -> None:
    desk = open_desk()
    kept, finished = desk.limit()["orderId"], desk.market()["orderId"]
    desk.house.set_rest_lag(LAG)
    assert open_prices(desk) == ["80000.0"]
    assert desk.get("/fapi/v1/order", symbol="BTCUSDT", orderId=finished)["status"] == "FILLED"
    desk.clock.turn(1)
    desk.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=kept)
    assert open_prices(desk) == ["80000.0"]


def test_the_end_of_a_lag_shows_the_truth() -> None:
    desk = lagging()
    desk.pass_time(1000)
    desk.limit()
    desk.house.set_rest_lag(0)
    assert open_prices(desk) == ["80000.0"]
    assert not desk.hall.room.history.is_recording


def test_conditional_orders_and_settings_lag_as_well() -> None:
    desk = lagging()
    desk.pass_time(1000)
    wanted = {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "quantity": "0.01",
        "triggerPrice": "79000",
    }
    desk.call("POST", "/fapi/v1/algoOrder", **wanted)
    desk.call("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin="true")
    assert desk.get("/fapi/v1/openAlgoOrders").rows == []
    assert desk.get("/fapi/v1/multiAssetsMargin")["multiAssetsMargin"] is False
    desk.pass_time(LAG)
    assert len(desk.get("/fapi/v1/openAlgoOrders").rows) == 1
    assert desk.get("/fapi/v1/multiAssetsMargin")["multiAssetsMargin"] is True


def test_old_versions_are_forgotten_but_open_orders_stay_visible() -> None:
    desk = lagging()
    kept = desk.limit()["orderId"]
    for number in range(3):
        order_id = desk.limit(price=str(79000 + number))["orderId"]
        desk.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=order_id)
    desk.pass_time(40_000)
    history = desk.hall.room.history
    live = desk.hall.room.exchange.order(desk.account, "BTCUSDT", order_id=int(str(kept)))
    assert history.version(live, Millis(desk.clock.now() - LAG)) == live
    assert open_prices(desk) == ["80000.0"]
    desk.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=kept)
    assert open_prices(desk) == ["80000.0"]


def test_an_order_that_does_not_exist_yet_is_refused_by_the_lagged_books() -> None:
    desk = lagging()
    desk.pass_time(1000)
    order_id = int(str(desk.limit()["orderId"]))
    books = desk.hall.room.books(desk.clock.now())
    with pytest.raises(Refused):
        books.order(desk.account, "BTCUSDT", order_id=order_id)


@given(st.lists(st.tuples(st.sampled_from(["limit", "market", "cancel", "wait"]), st.integers(1, 400)), max_size=15))
def test_lagged_reads_are_the_reads_of_that_time(steps: list[tuple[str, int]]) -> None:
    """A lagged house shows at t + lag what a house without a lag showed at t."""
    slow, fast = lagging(), open_desk()
    seen: dict[int, object] = {}
    for kind, wait in steps:
        for desk in (slow, fast):
            desk.pass_time(wait)
            act(desk, kind)
        seen[fast.clock.now()] = read(fast)
        asked = slow.clock.now() - LAG
        past = [moment for moment in seen if moment <= asked]
        if past:
            assert read(slow) == seen[past[-1]]


def act(desk: Desk, kind: str) -> None:
    match kind:
        case "limit":
            desk.limit(price="70000", newClientOrderId=f"c{desk.clock.now()}", timeInForce="GTC", quantity="0.5", side="BUY")
        case "market":
            desk.market()
        case "cancel":
            desk.call("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
        case _:
            pass


def read(desk: Desk) -> object:
    now = desk.clock.now()
    books = desk.hall.room.books(now)
    orders = [order for order in books.orders(desk.account) if order.status is not OrderStatus.REJECTED]
    balances = [(each.asset, each.wallet) for each in books.balances(desk.account)]
    positions = [(each.symbol, each.amount, each.entry_price) for each in books.positions(desk.account)]
    return plain(
        [
            orders,
            books.open_orders(desk.account),
            books.open_orders(desk.account, "ETHUSDT"),
            books.fills(desk.account),
            books.income(desk.account),
            balances,
            positions,
        ]
    )


def test_the_lag_is_bounded_by_what_is_kept() -> None:
    desk = lagging()
    desk.pass_time(1000)
    desk.market(quantity="0.001")
    desk.pass_time(60_000)
    assert Decimal(str(desk.get("/fapi/v3/positionRisk").rows[0]["positionAmt"])) == Decimal("0.001")
    assert desk.clock.now() == START + 61_000
