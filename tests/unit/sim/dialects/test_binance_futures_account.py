"""Balances, positions and settings (Binance USD-M, 6.1)."""

from decimal import Decimal

import pytest

from tests.unit.sim.kit import Desk, open_desk, rich

BALANCE_KEYS = {
    *("accountAlias", "asset", "balance", "crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount"),
    *("marginAvailable", "updateTime"),
}
POSITION_KEYS = {
    *("symbol", "positionSide", "positionAmt", "entryPrice", "breakEvenPrice", "markPrice", "unRealizedProfit", "liquidationPrice"),
    *("isolatedMargin", "notional", "marginAsset", "isolatedWallet", "initialMargin", "maintMargin", "positionInitialMargin"),
    *("openOrderInitialMargin", "adl", "bidNotional", "askNotional", "updateTime"),
}


def number(row: dict[str, object], name: str) -> Decimal:
    return Decimal(str(row[name]))


def holding() -> Desk:
    """A position, an open order that adds to it, and another symbol with an open order only."""
    desk = open_desk(accounts=(rich(),))
    desk.market(quantity="0.100")
    desk.limit(quantity="0.100")
    desk.limit(symbol="ETHUSDT", price="2800", quantity="1")
    return desk


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_balances_have_the_keys_of_the_table_in_each_version(version: str) -> None:
    rows = holding().get(f"/fapi/{version}/balance").rows
    assert [row["asset"] for row in rows] == ["BNB", "USDT"]
    assert all(set(row) == BALANCE_KEYS for row in rows)
    usdt = rows[1]
    assert number(usdt, "availableBalance") < number(usdt, "crossWalletBalance") == number(usdt, "balance")


def test_positions_show_only_symbols_with_a_position_or_an_order() -> None:
    rows = holding().get("/fapi/v3/positionRisk").rows
    assert all(set(row) == POSITION_KEYS for row in rows)
    bitcoin, ether = rows
    assert (bitcoin["symbol"], bitcoin["positionAmt"], bitcoin["bidNotional"]) == ("BTCUSDT", "0.100", "8000.0000")
    assert (ether["symbol"], ether["positionAmt"], ether["entryPrice"], ether["adl"]) == ("ETHUSDT", "0", "0", 0)
    assert number(bitcoin, "notional") == number(bitcoin, "positionAmt") * number(bitcoin, "markPrice")
    assert open_desk().get("/fapi/v3/positionRisk").rows == []


def test_what_is_available_is_what_positions_and_orders_leave() -> None:
    desk = holding()
    rows = desk.get("/fapi/v3/positionRisk").rows
    usdt = desk.get("/fapi/v3/balance").rows[1]
    bound = sum(number(row, "positionInitialMargin") + number(row, "openOrderInitialMargin") for row in rows)
    profit = sum(number(row, "unRealizedProfit") for row in rows)
    assert abs(number(usdt, "crossWalletBalance") + profit - bound - number(usdt, "availableBalance")) < Decimal("0.000001")


def test_the_old_positions_show_every_symbol_with_leverage_and_margin_type() -> None:
    desk = holding()
    desk.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=10)
    for version in ("v1", "v2"):
        rows = {str(row["symbol"]): row for row in desk.get(f"/fapi/{version}/positionRisk").rows}
        assert set(rows) == {each.symbol for each in desk.hall.venue.instruments}
        assert (rows["BTCUSDT"]["leverage"], rows["BTCUSDT"]["marginType"]) == ("10", "cross")
    assert len(desk.get("/fapi/v2/positionRisk", symbol="ETHUSDT").rows) == 1


def test_the_account_adds_up_and_its_positions_are_bare() -> None:
    account = holding().get("/fapi/v3/account")
    assert isinstance(account.body, dict)
    assert number(account.body, "totalWalletBalance") + number(account.body, "totalUnrealizedProfit") == number(
        account.body, "totalMarginBalance"
    )
    assert number(account.body, "totalInitialMargin") == number(account.body, "totalPositionInitialMargin") + number(
        account.body, "totalOpenOrderInitialMargin"
    )
    positions, assets = account.body["positions"], account.body["assets"]
    assert [position["symbol"] for position in positions] == ["BTCUSDT", "ETHUSDT"]
    assert not set(positions[0]) & {"leverage", "entryPrice", "marginType", "isolated"}
    assert [asset["asset"] for asset in assets] == ["BNB", "USDT"]
    assert all(isinstance(asset["walletBalance"], str) and isinstance(asset["updateTime"], int) for asset in assets)


def test_the_old_account_shows_settings_and_all_symbols() -> None:
    desk = holding()
    account = desk.get("/fapi/v2/account")
    assert isinstance(account.body, dict)
    assert (account["canTrade"], account["multiAssetsMargin"]) == (True, False)
    positions = {position["symbol"]: position for position in account.body["positions"]}
    assert len(positions) == len(desk.hall.venue.instruments)
    assert (positions["BTCUSDT"]["leverage"], positions["BTCUSDT"]["isolated"]) == ("20", False)
    assert desk.get("/fapi/v1/account").body == account.body


def test_settings_by_the_cheap_and_the_dear_calls_agree() -> None:
    desk = open_desk()
    desk.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
    desk.call("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin="true")
    config = desk.get("/fapi/v1/accountConfig")
    assert (config["dualSidePosition"], config["multiAssetsMargin"]) == (True, True)
    assert desk.get("/fapi/v1/positionSide/dual").body == {"dualSidePosition": True}
    assert desk.get("/fapi/v1/multiAssetsMargin").body == {"multiAssetsMargin": True}


def test_hedge_mode_has_two_legs_of_a_symbol_and_a_short_one_is_negative() -> None:
    desk = open_desk()
    desk.call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
    desk.market(positionSide="LONG")
    desk.market(positionSide="SHORT", side="SELL", quantity="0.020")
    rows = desk.get("/fapi/v3/positionRisk", symbol="BTCUSDT").rows
    assert [(row["positionSide"], row["positionAmt"]) for row in rows] == [("LONG", "0.010"), ("SHORT", "-0.020")]
    [ranks] = desk.get("/fapi/v1/adlQuantile").rows
    assert isinstance(ranks["adlQuantile"], dict)
    assert set(ranks["adlQuantile"]) == {"LONG", "SHORT"}
    configs = desk.get("/fapi/v1/symbolConfig").rows
    assert [row["symbol"] for row in configs] == sorted({each.symbol for each in desk.hall.venue.instruments})


def test_symbol_settings_fees_and_brackets() -> None:
    desk = open_desk()
    desk.call("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    [config] = desk.get("/fapi/v1/symbolConfig", symbol="BTCUSDT").rows
    assert (config["marginType"], config["leverage"], config["isAutoAddMargin"]) == ("ISOLATED", 20, False)
    fees = desk.get("/fapi/v1/commissionRate", symbol="BTCUSDT")
    assert (fees["makerCommissionRate"], fees["takerCommissionRate"]) == ("0.0002", "0.0005")
    bracket = desk.get("/fapi/v1/leverageBracket", symbol="BTCUSDT")
    assert bracket["brackets"][0]["initialLeverage"] == 125  # type: ignore[index]
    assert len(desk.get("/fapi/v1/leverageBracket").rows) == len(desk.hall.venue.instruments)
    assert [row["limit"] for row in desk.get("/fapi/v1/rateLimit/order").rows] == [300, 1200]


@pytest.mark.parametrize("can_withdraw", [True, False])
def test_the_rights_of_the_asking_key(can_withdraw: bool) -> None:
    desk = open_desk(accounts=(rich(can_withdraw=can_withdraw, ip_restricted=not can_withdraw),))
    rights = desk.get("/sapi/v1/account/apiRestrictions")
    assert (rights["enableWithdrawals"], rights["ipRestrict"], rights["enableFutures"]) == (can_withdraw, not can_withdraw, True)
