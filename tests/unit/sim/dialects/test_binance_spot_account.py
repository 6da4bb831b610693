"""The account itself (Binance Spot, 6.2)."""

from decimal import Decimal

from tests.unit.sim.kit import START
from tests.unit.sim.spot_kit import open_desks, open_spot, owner, part, rows


def test_balances_are_free_and_locked() -> None:
    desk = open_spot()
    desk.limit()
    account = desk.get("/api/v3/account").body
    assert isinstance(account, dict)
    assert rows(account, "balances") == [
        {"asset": "BNB", "free": "10.00000000", "locked": "0.00000000"},
        {"asset": "BTC", "free": "2.00000000", "locked": "0.00000000"},
        {"asset": "USDT", "free": "99200.00000000", "locked": "800.00000000"},
    ]
    assert (account["accountType"], account["updateTime"], account["canTrade"], account["permissions"]) == ("SPOT", START, True, ["SPOT"])
    assert part(account, "commissionRates")["taker"] == "0.00100000"


def test_empty_balances_are_left_out_on_request() -> None:
    desk = open_spot(owner(balances={"USDT": Decimal(100), "BTC": Decimal(0)}))
    for wanted, count in (("true", 1), ("false", 2)):
        account = desk.get("/api/v3/account", omitZeroBalances=wanted).body
        assert isinstance(account, dict)
        assert len(rows(account, "balances")) == count


def test_every_account_has_its_own_number() -> None:
    first, second = open_desks()
    assert first.get("/api/v3/account")["uid"] != second.get("/api/v3/account")["uid"]


def test_a_locked_account_says_so() -> None:
    desk = open_spot()
    desk.books.set_can_trade("paper-1", False, START)
    assert desk.get("/api/v3/account")["canTrade"] is False
    assert desk.limit().code == -2010


def test_the_discount_shows_in_the_commission() -> None:
    desk = open_spot()
    before = desk.get("/api/v3/account/commission", symbol="BTCUSDT").body
    desk.books.convert_fee_asset("paper-1", "BNB")
    after = desk.get("/api/v3/account/commission", symbol="BTCUSDT").body
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert (part(before, "discount")["enabledForAccount"], part(after, "discount")["enabledForAccount"]) == (False, True)
    assert part(after, "discount")["discount"] == "0.75000000"


def test_the_rights_of_a_key() -> None:
    careful, careless = open_desks(owner(), owner("paper-2", can_withdraw=True, can_trade=False, ip_restricted=False))
    assert (careful.get("/sapi/v1/account/apiRestrictions")["enableSpotAndMarginTrading"]) is True
    assert careful.get("/sapi/v1/account/apiRestrictions")["enableWithdrawals"] is False
    told = careless.get("/sapi/v1/account/apiRestrictions")
    assert (told["enableWithdrawals"], told["enableSpotAndMarginTrading"], told["ipRestrict"]) == (True, False, False)


def test_coins_are_those_of_the_pairs_and_of_the_account() -> None:
    desk = open_spot(owner(balances={"DOGE": Decimal(5)}))
    coins = {row["coin"]: row["free"] for row in desk.get("/sapi/v1/capital/config/getall").rows}
    assert coins["DOGE"] == "5.00000000"
    assert coins["BTC"] == "0.00000000"
