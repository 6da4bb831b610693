"""Margin accounts over REST: what they hold and owe, loans, transfers."""

from decimal import Decimal

import pytest

from tests.unit.sim.kit import START
from tests.unit.sim.margin_kit import PAIR, open_margin, user
from tests.unit.sim.spot_kit import open_spot
from userstream.sim.limits import LimitSettings

ACCOUNT = "/sapi/v1/margin/account"
ISOLATED = "/sapi/v1/margin/isolated/account"


def test_the_account_shows_what_is_held_and_owed() -> None:
    desk = open_margin()
    desk.borrow("USDT", "5000")
    desk.limit()
    body = desk.get(ACCOUNT).body
    assert isinstance(body, dict)
    rows = {row["asset"]: row for row in body["userAssets"]}
    assert rows["USDT"] == {
        "asset": "USDT",
        "borrowed": "5000.00000000",
        "free": "14200.00000000",
        "interest": "0.06250000",
        "locked": "800.00000000",
        "netAsset": "9999.93750000",
    }
    assert rows["BTC"]["borrowed"] == "0.00000000"
    assert Decimal(body["totalNetAssetOfBtc"]) == Decimal(body["totalAssetOfBtc"]) - Decimal(body["totalLiabilityOfBtc"])
    assert 1 < Decimal(body["marginLevel"]) < 999


def test_without_debts_the_level_is_999() -> None:
    assert open_margin().get(ACCOUNT)["marginLevel"] == "999.00000000"


def test_isolated_accounts_are_shown_by_pair() -> None:
    desk = open_margin()
    assert desk.get(ISOLATED)["assets"] == []
    desk.fund_pair("1000")
    desk.borrow("USDT", "500", isIsolated="TRUE", symbol="BTCUSDT")
    found = desk.get(ISOLATED)["assets"]
    assert isinstance(found, list)
    [row] = found
    assert (row["symbol"], row["marginLevelStatus"], row["isolatedCreated"]) == ("BTCUSDT", "NORMAL", True)
    assert (row["quoteAsset"]["free"], row["quoteAsset"]["borrowed"]) == ("1500.00000000", "500.00000000")
    assert row["baseAsset"]["totalAsset"] == "0.00000000"
    named = desk.get(ISOLATED, symbols="ETHUSDT,BTCUSDT")["assets"]
    assert isinstance(named, list)
    assert [row["symbol"] for row in named] == ["ETHUSDT", "BTCUSDT"]
    assert desk.get(ISOLATED, symbols=",".join(["BTCUSDT"] * 6)).code == -1130


def test_loans_of_one_account_are_not_the_others() -> None:
    desk = open_margin()
    desk.fund_pair()
    desk.borrow("USDT", "100")
    desk.borrow("BTC", "0.01", isIsolated="TRUE", symbol="BTCUSDT")
    assert {debt.asset for debt in desk.books.debts("paper-1")} == {"USDT"}
    assert {debt.asset for debt in desk.books.debts(PAIR)} == {"BTC"}


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"amount": "1000000"}, -3006),
        ({"asset": "XYZ"}, -3027),
        ({"type": "REPAY"}, -3015),
        ({"type": "GIVE"}, -1130),
        ({"amount": None}, -1102),
        ({"isIsolated": "TRUE"}, -1102),
        ({"isIsolated": "TRUE", "symbol": "BTCUSDT", "asset": "ETH"}, -3027),
    ],
)
def test_loans_that_are_refused(wish: dict[str, object], code: int) -> None:
    full: dict[str, object] = {"asset": "USDT", "amount": "100", **wish}
    desk = open_margin()
    assert desk.call("POST", "/sapi/v1/margin/borrow-repay", **{"type": "BORROW", **full}).code == code


def test_the_history_of_loans_and_interest() -> None:
    desk = open_margin()
    first = desk.borrow("USDT", "1000")["tranId"]
    desk.borrow("BTC", "0.1")
    desk.repay("USDT", "400")
    borrowed = desk.get("/sapi/v1/margin/borrow-repay", type="BORROW")
    assert borrowed["total"] == 2
    rows = desk.get("/sapi/v1/margin/borrow-repay", type="BORROW", asset="USDT")["rows"]
    assert isinstance(rows, list)
    assert [(row["txId"], row["amount"], row["type"]) for row in rows] == [(first, "1000.00000000", "MANUAL")]
    repaid = desk.get("/sapi/v1/margin/borrow-repay", type="REPAY")["rows"]
    assert isinstance(repaid, list)
    assert [(row["amount"], row["interest"], row["principal"]) for row in repaid] == [("400.00000000", "0.01250000", "399.98750000")]
    interest = desk.get("/sapi/v1/margin/interestHistory")["rows"]
    assert isinstance(interest, list)
    assert {row["asset"]: row["interest"] for row in interest} == {"USDT": "0.01250000", "BTC": "0.00000125"}
    assert desk.get("/sapi/v1/margin/borrow-repay", type="LOSE").code == -1130


def test_what_may_be_borrowed_and_moved() -> None:
    desk = open_margin()
    most = Decimal(str(desk.get("/sapi/v1/margin/maxBorrowable", asset="USDT")["amount"]))
    assert desk.borrow("USDT", str(most + 1)).code == -3006
    assert desk.borrow("USDT", str(most)).status == 200
    assert desk.get("/sapi/v1/margin/maxTransferable", asset="USDT")["amount"] == "0.00000000"


@pytest.mark.parametrize(
    ("kind", "extra", "to"),
    [
        ("MARGIN_MAIN", {}, "paper-1.spot"),
        ("MARGIN_ISOLATED_MARGIN", {"toSymbol": "BTCUSDT"}, PAIR),
        ("MARGIN_ISOLATEDMARGIN", {"toSymbol": "BTCUSDT"}, PAIR),
    ],
)
def test_money_moves_between_the_accounts_of_a_user(kind: str, extra: dict[str, str], to: str) -> None:
    desk = open_margin()
    found = desk.call("POST", "/sapi/v1/asset/transfer", type=kind, asset="USDT", amount="250", **extra)
    assert isinstance(found["tranId"], int)
    wallets = {account: {each.asset: each.wallet for each in desk.books.balances(account)} for account in ("paper-1", to)}
    assert (wallets["paper-1"]["USDT"], wallets[to]["USDT"]) == (Decimal(9750), Decimal(250))


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"type": "MAIN_MARGIN"}, -2010),
        ({"type": "MAIN_MOON"}, -1130),
        ({"type": "MARGIN_ISOLATED_MARGIN"}, -1102),
        ({"type": "MARGIN_ISOLATED_MARGIN", "toSymbol": "ETHBTC"}, -3027),
        ({"amount": "0"}, -1102),
        ({"amount": "999999"}, -2010),
    ],
)
def test_transfers_that_are_refused(wish: dict[str, object], code: int) -> None:
    full = {"type": "MARGIN_MAIN", "asset": "USDT", "amount": "10", **wish}
    assert open_margin().call("POST", "/sapi/v1/asset/transfer", **full).code == code


def test_a_user_of_spot_has_no_margin_account() -> None:
    desk = open_spot()
    for path in (ACCOUNT, ISOLATED, "/sapi/v1/margin/openOrders"):
        assert desk.get(path).code == -3003
    assert desk.send("POST", "/sapi/v1/userListenToken").code == -3003


def test_calls_that_are_weighed_by_account_leave_the_address_alone() -> None:
    desk = open_margin(user(), user("paper-2"), limits=LimitSettings(account_weight_per_minute=2000))
    assert desk.borrow("USDT", "10").headers["X-SAPI-USED-UID-WEIGHT-1M"] == "1500"
    slow = desk.borrow("USDT", "10")
    assert (slow.status, slow.code) == (429, -1003)
    assert slow.headers["X-SAPI-USED-IP-WEIGHT-1M"] == "0"
    assert desk.get(ACCOUNT).status == 200


def test_pairs_and_prices() -> None:
    desk = open_margin()
    rows = desk.send("GET", "/sapi/v1/margin/allPairs").rows
    assert {row["symbol"] for row in rows} >= {"BTCUSDT", "ETHBTC"} and "BNBBTC" not in {row["symbol"] for row in rows}
    assert desk.send("GET", "/sapi/v1/margin/priceIndex", "symbol=BTCUSDT").body == {
        "calcTime": START,
        "price": "81000.00000000",
        "symbol": "BTCUSDT",
    }


def test_a_lag_hides_the_newest_debts_and_balances_alike() -> None:
    desk = open_margin(rest_lag_ms=2000)
    desk.pass_time(100)
    desk.borrow("USDT", "5000")
    body = desk.get(ACCOUNT).body
    assert isinstance(body, dict)
    assert (body["marginLevel"], body["totalLiabilityOfBtc"]) == ("999.00000000", "0.00000000")
    desk.pass_time(3000)
    later = desk.get(ACCOUNT).body
    assert isinstance(later, dict)
    assert {row["asset"]: row["borrowed"] for row in later["userAssets"]}["USDT"] == "5000.00000000"


def test_an_account_opened_during_a_lag_can_be_read() -> None:
    desk = open_margin(rest_lag_ms=2000)
    desk.pass_time(3000)
    desk.fund_pair("1000")
    found = desk.get(ISOLATED)["assets"]
    assert isinstance(found, list)
    assert found[0]["symbol"] == "BTCUSDT"


def test_margin_calls_do_not_spend_the_weight_of_spot() -> None:
    desk = open_margin()
    found = desk.get("/sapi/v1/margin/allOrders", symbol="BTCUSDT")
    assert found.headers["X-SAPI-USED-IP-WEIGHT-1M"] == "200"
    assert desk.send("GET", "/api/v3/ping").headers["X-MBX-USED-WEIGHT-1M"] == "1"
