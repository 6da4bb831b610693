"""Conditional orders, leverage, margin and modes (Binance USD-M, 6.1, 6.4, 6.5)."""

import pytest

from tests.unit.sim.kit import START, Answered, Desk, open_desk, rich


def place(desk: Desk, **changes: object) -> Answered:
    wanted = {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "quantity": "0.01",
        "triggerPrice": "79000",
    }
    return desk.call("POST", "/fapi/v1/algoOrder", **(wanted | changes))


def test_a_conditional_order_waits_outside_the_book() -> None:
    desk = open_desk()
    placed = place(desk, clientAlgoId="sl-1", workingType="MARK_PRICE")
    assert (placed["algoStatus"], placed["clientAlgoId"], placed["workingType"], placed["actualOrderId"]) == (
        "NEW",
        "sl-1",
        "MARK_PRICE",
        "",
    )
    assert placed.headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert desk.get("/fapi/v1/openOrders").rows == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"algoType": "VP"}, -1130),
        ({"algoType": ""}, -1102),
        ({"type": "LIMIT"}, -1116),
        ({"triggerPrice": ""}, -1102),
        ({"triggerPrice": "82000"}, -2021),
        ({"triggerPrice": "79000.05"}, -4014),
        ({"quantity": ""}, -1102),
        ({"workingType": "INDEX"}, -1130),
        ({"type": "TRAILING_STOP_MARKET", "triggerPrice": None}, -1102),
        ({"type": "TRAILING_STOP_MARKET", "triggerPrice": None, "callbackRate": "21"}, -1130),
        ({"closePosition": "true", "reduceOnly": "true"}, -4136),
        ({"clientAlgoId": "no good name"}, -4015),
        ({"timeInForce": "GTD", "goodTillDate": START}, -5040),
        ({"symbol": "NONE"}, -1121),
    ],
)
def test_a_conditional_order_that_cannot_be(changes: dict[str, object], code: int) -> None:
    desk = open_desk()
    refused = place(desk, **changes)
    assert (refused.status, refused.code) == (400, code), refused.body
    assert desk.get("/fapi/v1/openAlgoOrders").rows == []


def test_a_client_algo_id_is_taken_while_it_waits() -> None:
    desk = open_desk()
    place(desk, clientAlgoId="one")
    assert place(desk, clientAlgoId="one").code == -4116


def test_cancelling_says_code_200_as_a_text() -> None:
    desk = open_desk()
    algo_id = place(desk, clientAlgoId="one")["algoId"]
    done = desk.call("DELETE", "/fapi/v1/algoOrder", algoId=algo_id)
    assert done.body == {"algoId": algo_id, "clientAlgoId": "one", "code": "200", "msg": "success"}
    assert desk.call("DELETE", "/fapi/v1/algoOrder", algoId=algo_id).code == -2011
    assert desk.call("DELETE", "/fapi/v1/algoOrder").code == -1102


def test_cancelling_all_conditional_orders_leaves_plain_ones_and_the_other_way_round() -> None:
    desk = open_desk()
    desk.limit()
    place(desk)
    desk.call("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
    assert len(desk.get("/fapi/v1/openAlgoOrders").rows) == 1
    desk.limit()
    assert desk.call("DELETE", "/fapi/v1/algoOpenOrders", symbol="BTCUSDT")["code"] == 200
    assert (len(desk.get("/fapi/v1/openAlgoOrders").rows), len(desk.get("/fapi/v1/openOrders").rows)) == (0, 1)


def test_a_trailing_order_shows_its_activation_and_rate() -> None:
    placed = place(open_desk(), type="TRAILING_STOP_MARKET", triggerPrice=None, callbackRate="1.5", activatePrice="82000")
    assert (placed["activatePrice"], placed["callbackRate"]) == ("82000", "1.5")


def test_leverage() -> None:
    desk = open_desk()
    desk.listen()
    assert desk.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=25).body == {
        "leverage": 25,
        "maxNotionalValue": "5000000",
        "symbol": "BTCUSDT",
    }
    assert desk.heard_types() == ["ACCOUNT_CONFIG_UPDATE"]
    assert desk.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=126).code == -4028


def test_margin_type_changes_once_and_not_with_open_orders() -> None:
    desk = open_desk()
    desk.listen()
    path = "/fapi/v1/marginType"
    assert desk.call("POST", path, symbol="BTCUSDT", marginType="ISOLATED").body == {"code": 200, "msg": "success"}
    assert desk.call("POST", path, symbol="BTCUSDT", marginType="ISOLATED").code == -4046
    [event] = desk.heard()
    assert isinstance(event["a"], dict)
    assert event["a"]["m"] == "MARGIN_TYPE_CHANGE"
    desk.limit()
    assert desk.call("POST", path, symbol="BTCUSDT", marginType="CROSSED").code == -4047
    assert desk.call("POST", path, symbol="BTCUSDT", marginType="MIXED").code == -1130


def test_isolated_margin_goes_in_and_comes_back() -> None:
    desk = open_desk()
    desk.call("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    desk.market()
    path = "/fapi/v1/positionMargin"
    done = desk.call("POST", path, symbol="BTCUSDT", amount="10", type=1)
    assert done.body == {"amount": "10", "code": 200, "msg": "Successfully modify position margin.", "type": 1}
    assert desk.call("POST", path, symbol="BTCUSDT", amount="9", type=2).status == 200
    assert desk.call("POST", path, symbol="BTCUSDT", amount="1000", type=2).code == -4051
    assert desk.call("POST", path, symbol="BTCUSDT", amount="-1", type=1).code == -4055
    assert desk.call("POST", path, symbol="BTCUSDT", amount="1", type=3).code == -1130
    assert desk.call("POST", path, symbol="ETHUSDT", amount="1", type=1).code == -4049


def test_modes_change_once_and_not_while_anything_is_open() -> None:
    desk = open_desk()
    assert desk.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="false").code == -4059
    assert desk.call("POST", "/fapi/v1/positionSide/dual").code == -1102
    desk.limit()
    assert desk.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true").code == -4067
    desk.call("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
    desk.market()
    assert desk.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true").code == -4068
    assert desk.call("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin="false").code == -4171
    assert desk.call("POST", "/fapi/v1/multiAssetsMargin").code == -1102
    assert desk.call("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin="true").status == 200
    assert desk.call("POST", "/fapi/v1/marginType", symbol="ETHUSDT", marginType="ISOLATED").code == -4168


def test_fees_in_the_coin_of_the_venue() -> None:
    desk = open_desk(accounts=(rich(),))
    assert desk.get("/fapi/v1/feeBurn").body == {"feeBurn": False}
    assert desk.call("POST", "/fapi/v1/feeBurn").code == -1102
    desk.call("POST", "/fapi/v1/feeBurn", feeBurn="true")
    assert desk.get("/fapi/v1/feeBurn").body == {"feeBurn": True}
    desk.market()
    assert desk.get("/fapi/v1/userTrades", symbol="BTCUSDT").rows[0]["commissionAsset"] == "BNB"
    desk.call("POST", "/fapi/v1/feeBurn", feeBurn="false")
    desk.market()
    assert desk.get("/fapi/v1/userTrades", symbol="BTCUSDT").rows[-1]["commissionAsset"] == "USDT"
