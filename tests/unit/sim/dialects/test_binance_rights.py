"""What a key may do, at each product."""

from tests.unit.sim.coinm_kit import open_coinm
from tests.unit.sim.kit import Desk, open_desk, rich
from tests.unit.sim.margin_kit import open_margin, user
from tests.unit.sim.spot_kit import open_spot
from userstream.sim.dialects.binance_rights import rights_of

TRADING = ("enableMargin", "enableFutures", "enableSpotAndMarginTrading")


def told(desk: Desk) -> list[object]:
    found = desk.get("/sapi/v1/account/apiRestrictions")
    return [found[name] for name in TRADING]


def test_a_key_may_trade_where_its_account_is() -> None:
    assert told(open_desk()) == [False, True, False]
    assert told(open_coinm()) == [False, True, False]
    assert told(open_spot()) == [False, False, True]
    assert told(open_margin()) == [True, False, True]


def test_a_key_that_only_reads_may_trade_nowhere() -> None:
    assert told(open_desk(accounts=(rich(can_trade=False),))) == [False, False, False]
    assert told(open_margin(user(can_trade=False))) == [False, False, False]


def test_withdrawing_and_addresses_are_told() -> None:
    found = open_desk(accounts=(rich(can_withdraw=True, ip_restricted=False),)).get("/sapi/v1/account/apiRestrictions")
    assert (found["enableWithdrawals"], found["permitsUniversalTransfer"], found["ipRestrict"]) == (True, True, False)
    assert rights_of(None)["enableReading"] is True
