"""Reading a COIN-M account (Binance COIN-M, 6.6)."""

from decimal import Decimal

import pytest

from tests.unit.sim.coinm_kit import SYMBOL, open_coinm


def test_balances_are_in_coins() -> None:
    rows = {row["asset"]: row for row in open_coinm().get("/dapi/v1/balance").rows}
    assert set(rows) == {"BTC", "ETH"}
    assert set(rows["BTC"]) == {
        "accountAlias",
        "asset",
        "balance",
        "withdrawAvailable",
        "crossWalletBalance",
        "crossUnPnl",
        "availableBalance",
        "updateTime",
    }
    assert rows["BTC"]["balance"] == "2"


def test_open_orders_and_positions_bind_coins_of_their_own_asset_only() -> None:
    desk = open_coinm()
    desk.fill()
    desk.limit(quantity="100")
    rows = {row["asset"]: row for row in desk.get("/dapi/v1/balance").rows}
    assert Decimal(str(rows["BTC"]["availableBalance"])) < Decimal("1.9999")
    assert rows["ETH"]["availableBalance"] == "50.00000000"


@pytest.mark.parametrize(
    ("wish", "symbols"),
    [
        ({}, 7),
        ({"pair": "BTCUSD"}, 2),
        ({"marginAsset": "ETH"}, 1),
        ({"pair": "ETHUSD", "marginAsset": "BTC"}, 0),
    ],
)
def test_positions_are_chosen_by_pair_and_by_margin_asset(wish: dict[str, object], symbols: int) -> None:
    assert len(open_coinm().get("/dapi/v1/positionRisk", **wish).rows) == symbols


def test_a_position_shows_contracts_and_their_worth_in_coins() -> None:
    desk = open_coinm()
    desk.fill()
    [row] = [row for row in desk.get("/dapi/v1/positionRisk").rows if row["positionAmt"] != "0"]
    mark = Decimal(str(row["markPrice"]))
    assert (row["symbol"], row["positionAmt"], row["entryPrice"]) == (SYMBOL, "12", "80000.00000000")
    assert Decimal(str(row["notionalValue"])) == round(Decimal(1200) / mark, 8)
    assert Decimal(str(row["unRealizedProfit"])) == round(1200 * (1 / Decimal(80000) - 1 / mark), 8)
    assert {"leverage", "maxQty", "marginType", "isolatedWallet"} <= set(row)


def test_the_account_shows_all_contracts() -> None:
    desk = open_coinm()
    desk.fill()
    body = desk.get("/dapi/v1/account").body
    assert isinstance(body, dict)
    assert len(body["positions"]) == 7
    assert {row["asset"] for row in body["assets"]} == {"BTC", "ETH"}
    held = next(row for row in body["positions"] if row["symbol"] == SYMBOL)
    assert (held["leverage"], held["isolated"], held["positionAmt"]) == ("20", False, "12")


def test_fills_of_a_contract_and_of_a_pair() -> None:
    desk = open_coinm()
    desk.fill()
    desk.fill(symbol="BTCUSD_261225", quantity="5", price="80100.0")
    desk.fill(symbol="ETHUSD_PERP", quantity="7", price="2800.00")
    assert [row["symbol"] for row in desk.get("/dapi/v1/userTrades", symbol=SYMBOL).rows] == [SYMBOL]
    assert {row["symbol"] for row in desk.get("/dapi/v1/userTrades", pair="BTCUSD").rows} == {SYMBOL, "BTCUSD_261225"}
    row = desk.get("/dapi/v1/userTrades", symbol=SYMBOL).rows[0]
    assert (row["baseQty"], row["marginAsset"], row["commissionAsset"], row["pair"]) == ("0.01500000", "BTC", "BTC", "BTCUSD")
    assert "quoteQty" not in row


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({}, -1102),
        ({"symbol": SYMBOL, "pair": "BTCUSD"}, -1128),
        ({"pair": "BTCUSD", "fromId": 1}, -1128),
        ({"pair": "XYZUSD"}, -1121),
        ({"symbol": "BTCUSDT"}, -1121),
    ],
)
def test_fills_need_exactly_one_of_contract_and_pair(wish: dict[str, object], code: int) -> None:
    assert open_coinm().get("/dapi/v1/userTrades", **wish).code == code


def test_fills_go_on_from_an_id() -> None:
    desk = open_coinm()
    for _ in range(3):
        desk.fill()
    ids = [int(str(row["id"])) for row in desk.get("/dapi/v1/userTrades", symbol=SYMBOL).rows]
    assert [row["id"] for row in desk.get("/dapi/v1/userTrades", symbol=SYMBOL, fromId=ids[0] + 1).rows] == ids[1:]


def test_brackets_by_contract_and_by_pair() -> None:
    desk = open_coinm()
    assert [row["symbol"] for row in desk.get("/dapi/v2/leverageBracket", symbol=SYMBOL).rows] == [SYMBOL]
    assert [row["pair"] for row in desk.get("/dapi/v1/leverageBracket", pair="BTCUSD").rows] == ["BTCUSD"]
    assert len(desk.get("/dapi/v1/leverageBracket").rows) == 6


def test_a_new_leverage_is_shown_with_its_largest_position() -> None:
    desk = open_coinm()
    assert desk.call("POST", "/dapi/v1/leverage", symbol=SYMBOL, leverage=50).body == {"leverage": 50, "maxQty": "12", "symbol": SYMBOL}
    assert desk.call("POST", "/dapi/v1/leverage", symbol=SYMBOL, leverage=500).code == -4028


def test_income_is_in_coins() -> None:
    desk = open_coinm()
    desk.fill()
    [row] = desk.get("/dapi/v1/income").rows
    assert (row["incomeType"], row["asset"], row["income"]) == ("COMMISSION", "BTC", "-0.00000300")


def test_orders_of_a_contract_and_of_a_pair() -> None:
    desk = open_coinm()
    first, second, third = (
        desk.limit(symbol=symbol, price=price)["orderId"]
        for symbol, price in ((SYMBOL, "80000.0"), ("BTCUSD_261225", "80000.0"), ("ETHUSD_PERP", "2800.00"))
    )
    for path in ("openOrders", "allOrders"):
        assert [row["orderId"] for row in desk.get(f"/dapi/v1/{path}", pair="BTCUSD").rows] == [first, second]
        assert [row["orderId"] for row in desk.get(f"/dapi/v1/{path}", symbol="ETHUSD_PERP").rows] == [third]
    assert len(desk.get("/dapi/v1/openOrders").rows) == 3
    assert desk.get("/dapi/v1/allOrders").code == -1102
    assert [row["orderId"] for row in desk.get("/dapi/v1/allOrders", pair="BTCUSD", orderId=second).rows] == [second]
