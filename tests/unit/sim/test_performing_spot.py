"""Actions carried out on spot accounts: what makes sense is done, what does not is refused with a word."""

from collections.abc import Mapping
from typing import cast

import msgspec
import pytest

from tests.unit.sim.kit import Desk, open_house
from tests.unit.sim.margin_kit import open_margin
from tests.unit.sim.spot_kit import VENUE, SpotDesk, caller, open_spot, owner, part
from userstream.sim.actions import parse_action
from userstream.sim.books import Refused
from userstream.sim.control import Control
from userstream.sim.performing import perform
from userstream.sim.settings import AccountSpec
from userstream.sim.venue import Call, Json


def do(desk: Desk, name: str, /, **fields: object) -> Json:
    result = perform(parse_action(name, fields), desk.house, desk.clock.now())
    desk.house.publish(desk.hall, desk.clock.now())
    return result


def mine(desk: Desk, name: str, /, **fields: object) -> dict[str, object]:
    return cast(dict[str, object], do(desk, name, account=desk.account, **fields))


def test_orders_fills_prices_and_money() -> None:
    api = caller()
    api.subscribe()
    desk = api.desk
    placed = mine(desk, "place", symbol="BTCUSDT", side="buy", quantity="0.1", price="80000", client_order_id="c", time_in_force="gtx")
    assert placed["order_type"] == "limit_maker"
    assert mine(desk, "fill", symbol="BTCUSDT", client_order_id="c", quantity="0.04")["fee_asset"] == "BTC"
    do(desk, "move_price", symbol="BTCUSDT", price="79000")
    assert desk.books.open_orders("paper-1") == []
    mine(desk, "fee_asset", asset="BNB")
    mine(desk, "transfer", asset="ETH", amount="5")
    mine(desk, "external_lock", asset="ETH", amount="2")
    assert api.heard_names()[-4:] == ["balanceUpdate", "outboundAccountPosition", "externalLockUpdate", "outboundAccountPosition"]
    with pytest.raises(Refused, match="insufficient"):
        mine(desk, "transfer", asset="ETH", amount="-5")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("liquidate", {"symbol": "BTCUSDT"}),
        ("adl", {"symbol": "BTCUSDT"}),
        ("margin_call", {}),
        ("leverage", {"symbol": "BTCUSDT", "leverage": 5}),
        ("margin_type", {"symbol": "BTCUSDT", "margin_type": "isolated"}),
        ("hedge_mode", {}),
    ],
)
def test_what_is_for_contracts_is_refused(name: str, fields: dict[str, object]) -> None:
    with pytest.raises(Refused, match="for contracts"):
        mine(open_spot(), name, **fields)


@pytest.mark.parametrize(("name", "fields"), [("settle", {}), ("fund", {"rate": "0.0001"})])
def test_what_is_for_contracts_of_a_symbol_is_refused(name: str, fields: dict[str, object]) -> None:
    with pytest.raises(Refused, match="for contracts"):
        do(open_spot(), name, symbol="BTCUSDT", **fields)


@pytest.mark.parametrize("name", ["expire_key", "delete_key", "replace_key"])
def test_there_are_no_listen_keys_to_do_anything_to(name: str) -> None:
    with pytest.raises(Refused, match="terminate_subscription"):
        mine(open_spot(), name)


def test_an_outside_lock_is_for_spot() -> None:
    house, clock, _ = open_house()
    with pytest.raises(Refused, match="for spot"):
        mine(Desk(house, clock, "paper-1"), "external_lock", asset="USDT", amount="1")


def test_funding_finds_the_contract_among_the_venues() -> None:
    specs = (owner("spot"), AccountSpec(account="future"))
    house, clock, _ = open_house(venues=(VENUE, "binance-usdm"), accounts=specs)
    future = Desk(house, clock, "future")
    future.market()
    do(future, "fund", symbol="BTCUSDT", rate="0.0001")
    assert [line.income_type for line in future.contracts.income("future")][-1] == "funding_fee"
    with pytest.raises(Refused, match="for contracts"):
        do(future, "fund", symbol="BTCUSDT", rate="0.0001", venue=VENUE)


def test_a_subscription_is_ended_and_the_socket_stays() -> None:
    api = caller()
    api.subscribe()
    assert do(api.desk, "terminate_subscription", account="paper-1") == {"subscriptions": 1}
    assert api.heard_names() == ["eventStreamTerminated"]
    api.desk.limit()
    assert api.heard() == []
    assert do(api.desk, "terminate_subscription") == {"subscriptions": 0}
    assert api.subscribe() == 1


def test_a_shutdown_is_announced_without_a_number() -> None:
    api = caller()
    assert do(api.desk, "shutdown_notice") == {"sockets": 1}
    [event] = api.desk.heard(api.lane)
    assert set(event) == {"event"}
    assert part(event, "event")["e"] == "serverShutdown"


def test_revoked_keys_are_known_no_more() -> None:
    api = caller()
    mine(api.desk, "revoke_api_key")
    assert api.desk.get("/api/v3/account").code == -2015
    mine(api.desk, "restore_api_key")
    assert api.desk.get("/api/v3/account").status == 200


def test_rare_events_and_lost_frames() -> None:
    api = caller()
    api.subscribe()
    mine(api.desk, "event", name="listStatus", fields={"g": 7})
    [event] = api.heard()
    assert (event["l"], event["L"], event["g"]) == ("RESPONSE", "REJECT", 7)
    mine(api.desk, "drop", event="executionReport")
    api.desk.limit()
    assert api.heard_names() == ["outboundAccountPosition"]


def test_the_truth_of_a_spot_account() -> None:
    desk: SpotDesk = open_spot()
    desk.market()
    from_control = control_truth(desk)
    assert from_control["positions"] == from_control["algo_orders"] == []
    assert {row["asset"] for row in cast(list[dict[str, object]], from_control["balances"])} == {"USDT", "BTC", "BNB"}
    assert len(cast(list[object], from_control["fills"])) == len(desk.books.fills("paper-1"))


def control_truth(desk: SpotDesk) -> dict[str, object]:
    answer = Control(desk.house).answer(Call(method="GET", path=f"/control/truth/{desk.account}"))
    return cast(dict[str, object], msgspec.json.decode(answer.body))


def test_loans_are_for_margin_accounts() -> None:
    desk = open_margin()
    mine(desk, "borrow", asset="USDT", amount="500")
    assert [debt.principal for debt in desk.books.debts(desk.account)] == [500]
    mine(desk, "repay", asset="USDT")
    assert desk.books.debts(desk.account) == []
    with pytest.raises(Refused, match="for contracts and margin"):
        mine(open_spot(), "borrow", asset="USDT", amount="500")


def test_a_margin_account_is_called_and_liquidated_on_request() -> None:
    desk = open_margin()
    lane = desk.listen_to_risk()
    mine(desk, "borrow", asset="USDT", amount="500")
    mine(desk, "margin_call")
    mine(desk, "liquidate")
    desk.publish()
    told = [(event["e"], event.get("s", event.get("t"))) for event in desk.heard(lane)]
    assert told == [
        ("USER_LIABILITY_CHANGE", "BORROW"),
        ("MARGIN_LEVEL_STATUS_CHANGE", "MARGIN_CALL"),
        ("MARGIN_LEVEL_STATUS_CHANGE", "FORCE_LIQUIDATION"),
        ("USER_LIABILITY_CHANGE", "REPAY"),
    ]
    with pytest.raises(Refused, match="owes nothing"):
        mine(desk, "liquidate")


def test_the_truth_of_a_margin_account_shows_what_it_owes() -> None:
    desk = open_margin()
    mine(desk, "borrow", asset="USDT", amount="500")
    truth = Control(desk.house).truth(desk.account)
    assert isinstance(truth, Mapping)
    assert truth["debts"] == [{"asset": "USDT", "principal": "500", "interest": "0.00625000"}]
    beside = Control(desk.house).truth(f"{desk.account}.spot")
    assert isinstance(beside, Mapping)
    assert beside["debts"] == beside["loans"] == []
