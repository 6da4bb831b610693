"""The events of COIN-M against frames written by hand from the field tables (Binance COIN-M, 4.2)."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.unit.sim.coinm_kit import SYMBOL, CoinmDesk, open_coinm, owner
from tests.unit.sim.shapes import golden, shape_of
from userstream.sim.books import PositionSide

Events = list[dict[str, object]]


def accept(desk: CoinmDesk) -> None:
    desk.limit()


def be_filled(desk: CoinmDesk) -> None:
    desk.fill()


def amend(desk: CoinmDesk) -> None:
    order_id = desk.limit()["orderId"]
    desk.call("PUT", "/dapi/v1/order", symbol=SYMBOL, orderId=order_id, side="BUY", quantity="10", price="79500.0", modifyId="17")


def cancel(desk: CoinmDesk) -> None:
    desk.call("DELETE", "/dapi/v1/order", symbol=SYMBOL, orderId=desk.limit()["orderId"])


def be_liquidated(desk: CoinmDesk) -> None:
    desk.fill()
    desk.contracts.liquidate(desk.account, SYMBOL, PositionSide.BOTH, desk.clock.now())
    desk.publish()


def be_funded(desk: CoinmDesk) -> None:
    desk.fill()
    desk.contracts.fund(SYMBOL, Decimal("0.0001"), desk.clock.now())
    desk.publish()


def deposit(desk: CoinmDesk) -> None:
    desk.contracts.transfer(desk.account, "ETH", Decimal("1.5"), desk.clock.now())
    desk.publish()


def be_called(desk: CoinmDesk) -> None:
    desk.fill()
    desk.contracts.margin_call(desk.account, desk.clock.now())
    desk.publish()


def change_leverage(desk: CoinmDesk) -> None:
    assert desk.call("POST", "/dapi/v1/leverage", symbol=SYMBOL, leverage=25)["leverage"] == 25


def expire(desk: CoinmDesk) -> None:
    desk.pass_time(60 * 60_000)


CASES: list[tuple[str, str, Callable[[CoinmDesk], None]]] = [
    ("order_trade_update", "accepted", accept),
    ("order_trade_update", "filled", be_filled),
    ("order_trade_update", "amended", amend),
    ("order_trade_update", "cancelled", cancel),
    ("order_trade_update", "liquidated", be_liquidated),
    ("account_update", "filled", be_filled),
    ("account_update", "funding", be_funded),
    ("account_update", "deposit", deposit),
    ("margin_call", "called", be_called),
    ("account_config_update", "leverage", change_leverage),
    ("listen_key_expired", "expired", expire),
]


def caused(act: Callable[[CoinmDesk], None]) -> Events:
    desk = open_coinm().stream()
    act(desk)
    return desk.heard()


@pytest.mark.parametrize(("kind", "name", "act"), CASES, ids=[f"{kind}-{name}" for kind, name, _ in CASES])
def test_an_event_has_the_names_and_types_of_the_tables(kind: str, name: str, act: Callable[[CoinmDesk], None]) -> None:
    written = golden("binance_coinm", kind)[name]
    shapes = [shape_of(event) for event in caused(act) if event["e"] == written["e"]]
    assert shape_of(written) in shapes


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in CASES}))
def test_every_frame_written_by_hand_is_compared(kind: str) -> None:
    assert set(golden("binance_coinm", kind)) == {name for each, name, _ in CASES if each == kind}


def test_a_fill_makes_no_lite_event() -> None:
    assert {event["e"] for event in caused(be_filled)} == {"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"}


def test_the_alias_is_one_for_the_account_and_the_same_as_over_rest() -> None:
    desk = open_coinm().stream()
    be_filled(desk)
    aliases = {event["i"] for event in desk.heard()}
    assert aliases == {row["accountAlias"] for row in desk.get("/dapi/v1/balance").rows}


def test_all_positions_are_pushed_not_only_the_changed_one() -> None:
    desk = open_coinm().stream()
    desk.fill()
    desk.fill(symbol="ETHUSD_PERP", price="2800.00", quantity="3")
    last = [event["a"] for event in desk.heard() if event["e"] == "ACCOUNT_UPDATE"][-1]
    assert isinstance(last, dict)
    assert [row["s"] for row in last["P"]] == ["ETHUSD_PERP", "BTCUSD_PERP"]
    assert [row["a"] for row in last["B"]] == ["ETH"]


def test_conditional_orders_are_told_as_on_usdm() -> None:
    desk = open_coinm().stream()
    placed = desk.call(
        "POST",
        "/dapi/v1/algoOrder",
        algoType="CONDITIONAL",
        symbol=SYMBOL,
        side="SELL",
        type="STOP_MARKET",
        quantity="3",
        triggerPrice="79000.0",
    )
    assert placed.status == 200
    assert desk.heard_types() == ["ALGO_UPDATE"]


@pytest.mark.parametrize("name", ["STRATEGY_UPDATE", "GRID_UPDATE"])
def test_a_rare_event_names_a_contract_of_this_venue(name: str) -> None:
    desk = open_coinm()
    body = str(desk.hall.dialect.rare_event("paper-1", name, {}, desk.clock.now()).body)
    assert "BTCUSD_PERP" in body
    assert "BTCUSDT" not in body


def test_an_event_that_is_only_on_usdm_is_refused() -> None:
    desk = open_coinm(owner())
    with pytest.raises(ValueError, match="STRATEGY_UPDATE"):
        desk.hall.dialect.rare_event("paper-1", "CONDITIONAL_ORDER_TRIGGER_REJECT", {}, desk.clock.now())
