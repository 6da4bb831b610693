"""Actions carried out on a house."""

from decimal import Decimal
from typing import cast

import pytest

from tests.unit.sim.kit import START, Desk, open_desk, rich
from userstream.sim.actions import ACTIONS, BadAction, parse_action
from userstream.sim.books import Refused
from userstream.sim.house import UnknownAccount
from userstream.sim.lanes import Kind
from userstream.sim.performing import perform, plain
from userstream.sim.venue import Json


def do(desk: Desk, name: str, /, **fields: object) -> Json:
    result = perform(parse_action(name, fields), desk.house, desk.clock.now())
    desk.house.publish(desk.hall, desk.clock.now())
    return result


def mine(desk: Desk, name: str, /, **fields: object) -> dict[str, object]:
    return cast(dict[str, object], do(desk, name, account=desk.account, **fields))


def test_every_action_can_be_carried_out() -> None:
    kinds = set(perform.registry)
    assert set(ACTIONS.values()) <= kinds


def test_placing_filling_and_cancelling_for_an_account() -> None:
    desk = open_desk()
    desk.listen()
    placed = mine(desk, "place", symbol="BTCUSDT", side="buy", quantity="0.1", price="80000", client_order_id="c")
    assert (placed["status"], placed["price"], placed["client_order_id"]) == ("new", "80000", "c")
    fill = mine(desk, "fill", symbol="BTCUSDT", client_order_id="c", quantity="0.04")
    assert (fill["order_id"], fill["quantity"], fill["price"], fill["maker"]) == (placed["order_id"], "0.04", "80000", True)
    assert mine(desk, "fill", symbol="BTCUSDT", order_id=placed["order_id"], price="79999")["quantity"] == "0.06"
    mine(desk, "place", symbol="BTCUSDT", side="buy", quantity="0.1", price="80000")
    assert mine(desk, "cancel", symbol="BTCUSDT") == {"canceled": 1}
    other = mine(desk, "place", symbol="BTCUSDT", side="buy", quantity="0.1", price="80000")
    assert mine(desk, "cancel", symbol="BTCUSDT", order_id=other["order_id"])["status"] == "canceled"
    assert desk.heard_types().count("TRADE_LITE") == 2
    with pytest.raises(BadAction, match="order_id"):
        mine(desk, "fill", symbol="BTCUSDT")
    with pytest.raises(Refused):
        mine(desk, "fill", symbol="BTCUSDT", order_id=1)


def test_what_the_exchange_does_to_a_position() -> None:
    desk = open_desk()
    desk.listen()
    for name, prefix in (("liquidate", "autoclose-"), ("adl", "adl_autoclose")):
        desk.market()
        desk.heard()
        assert str(mine(desk, name, symbol="BTCUSDT")["client_order_id"]).startswith(prefix)
        assert "ORDER_TRADE_UPDATE" in desk.heard_types()
    desk.market()
    do(desk, "settle", symbol="BTCUSDT")
    assert desk.hall.room.exchange.positions(desk.account) == []
    with pytest.raises(Refused):
        mine(desk, "liquidate", symbol="BTCUSDT")


def test_money_prices_and_settings() -> None:
    desk = open_desk(accounts=(rich(),))
    desk.market()
    desk.listen()
    do(desk, "fund", symbol="BTCUSDT", rate="0.0001")
    mine(desk, "transfer", asset="USDT", amount=-5)
    mine(desk, "transfer", asset="USDT", amount="7", reason="admin_deposit")
    mine(desk, "margin_call")
    mine(desk, "leverage", symbol="BTCUSDT", leverage=7)
    mine(desk, "margin_type", symbol="ETHUSDT", margin_type="isolated")
    mine(desk, "fee_asset", asset="BNB")
    reasons = [cast(dict[str, object], event["a"])["m"] for event in desk.heard() if event["e"] == "ACCOUNT_UPDATE"]
    assert reasons == ["FUNDING_FEE", "WITHDRAW", "ADMIN_DEPOSIT", "MARGIN_TYPE_CHANGE"]
    assert do(desk, "move_price", symbol="BTCUSDT", price="81500") == {"mark_price": "81500.0"}
    desk.market()
    assert desk.hall.room.exchange.fills(desk.account, "BTCUSDT")[-1].fee_asset == "BNB"
    hedged = open_desk()
    mine(hedged, "hedge_mode")
    assert hedged.hall.room.exchange.settings(hedged.account).hedge_mode


def test_listen_keys_expire_are_deleted_and_replaced() -> None:
    desk = open_desk()
    lane = desk.listen()
    mine(desk, "expire_key")
    assert desk.heard_types(lane) == ["listenKeyExpired"]
    desk.limit()
    assert desk.heard(lane) == []
    for name in ("delete_key", "replace_key"):
        lane, key = desk.listen(), desk.open_key()
        mine(desk, name)
        assert desk.open_key() != key
        desk.limit(price="79000")
        assert desk.heard(lane) == []
    assert mine(open_desk(), "expire_key") == {"listen_key": None}


def test_api_keys_are_revoked_and_restored() -> None:
    desk = open_desk()
    assert mine(desk, "revoke_api_key") == {"keys": 1}
    assert desk.get("/fapi/v3/balance").code == -2015
    assert mine(desk, "restore_api_key") == {"keys": 1}
    assert desk.get("/fapi/v3/balance").status == 200


def test_silence_and_resume_reach_the_sockets_of_the_account() -> None:
    desk = open_desk()
    lane = desk.listen()
    assert mine(desk, "silence") == {"sockets": 1}
    later = desk.listen()
    desk.limit()
    assert (desk.heard(lane), len(desk.heard(later))) == ([], 1)
    mine(desk, "resume")
    assert len(desk.heard(lane)) == 1


def test_rules_for_frames() -> None:
    desk = open_desk()
    lane = desk.listen()
    mine(desk, "drop", event="TRADE_LITE")
    mine(desk, "double", event="ACCOUNT_UPDATE")
    desk.market(quantity="0.001")
    assert sorted(str(name) for name in desk.heard_types(lane)) == ["ACCOUNT_UPDATE", "ACCOUNT_UPDATE", *["ORDER_TRADE_UPDATE"] * 2]
    do(desk, "omit", for_s="1")
    desk.limit()
    assert desk.heard(lane) == []
    desk.clock.turn(1000)
    do(desk, "delay", ms=100)
    desk.limit(price="79000")
    assert desk.heard(lane) == []
    desk.clock.turn(100)
    assert len(desk.heard(lane)) == 1
    do(desk, "reorder", count=2)
    for name in ("drop", "delay"):
        with pytest.raises(UnknownAccount):
            do(desk, name, account="nobody", **({"ms": 1} if name == "delay" else {}))


def test_frames_made_by_hand() -> None:
    desk = open_desk()
    lane = desk.listen()
    do(desk, "raw", text="not json")
    do(desk, "raw", hex="00ff")
    do(desk, "oversize", size_bytes=5000)
    do(desk, "shutdown_notice", close_after_s="2.5")
    do(desk, "event", account=desk.account, name="STRATEGY_UPDATE", fields={"ss": "CANCELLED"})
    parcels = lane.take_due(desk.clock.now())
    assert [(parcel.kind, len(parcel.body)) for parcel in parcels[:3]] == [(Kind.TEXT, 8), (Kind.BINARY, 2), (Kind.TEXT, 5000)]
    assert b"serverShutdown" in parcels[3].body
    assert b'"ss":"CANCELLED"' in parcels[4].body
    assert lane.close_at == START + 2500
    with pytest.raises(BadAction, match="STRATEGY_UPDATE"):
        do(desk, "event", account=desk.account, name="NEWS")


def test_clear_ends_all_faults() -> None:
    desk = open_desk()
    lane = desk.listen()
    faults: dict[str, dict[str, object]] = {
        "silence": {"new_sockets": True},
        "delay": {"ms": 1000},
        "drop": {"probability": 1},
        "omit": {"probability": 1},
        "answer": {},
        "rest_lag": {"ms": 1000},
        "skew": {"ms": 5000},
        "ban": {},
        "strict": {},
    }
    for name, fields in faults.items():
        do(desk, name, **fields)
    do(desk, "clear")
    desk.limit()
    assert len(desk.heard(lane)) == 1
    assert desk.send("GET", "/fapi/v1/time")["serverTime"] == START
    assert len(desk.get("/fapi/v1/openOrders").rows) == 1


def test_the_gateway_and_the_loop() -> None:
    desk = open_desk()
    do(desk, "ban", seconds=60)
    assert desk.send("GET", "/fapi/v1/time").status == 418
    do(desk, "ban", seconds=0)
    do(desk, "skew", ms=-3000)
    assert desk.send("GET", "/fapi/v1/time")["serverTime"] == START - 3000
    do(desk, "rate", events_per_s="12.5")
    do(desk, "pause_trading")
    assert (desk.house.pace.events_per_s, desk.house.pace.paused) == (12.5, True)
    do(desk, "resume_trading")
    assert not desk.house.pace.paused


def test_records_are_shown_with_plain_numbers_and_words() -> None:
    assert plain([Decimal("0E-8"), Decimal("1E+3"), Decimal("-1.50"), True, None, 3, "x"]) == [
        "0.00000000",
        "1000",
        "-1.50",
        True,
        None,
        3,
        "x",
    ]
