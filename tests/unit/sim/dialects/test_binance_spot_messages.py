"""The events, field by field after the tables of the documents (Binance Spot, 4.3)."""

from collections.abc import Mapping
from decimal import Decimal

import pytest

from tests.unit.sim.kit import START
from tests.unit.sim.spot_kit import Caller, Reply, caller, part, rows
from userstream.sim.books import LeverageHappened
from userstream.sim.dialects.binance_spot_messages import RARE_EVENTS, execution_report, rare_event, write

ALWAYS = frozenset("eEscSofqpPFgCxXrilzLnNTtIwmMOZYQV")
DECIMALS = frozenset("qpPFlzLZYQ")
NUMBERS = frozenset("EgiTtIO")
D = Decimal


def subscribed() -> Caller:
    api = caller()
    api.subscribe()
    return api


def reports(events: list[Reply]) -> list[Reply]:
    return [event for event in events if event["e"] == "executionReport"]


def positions(events: list[Reply]) -> dict[object, tuple[object, object]]:
    """The last absolute balances that the events tell."""
    return {row["a"]: (row["f"], row["l"]) for event in events if event["e"] == "outboundAccountPosition" for row in rows(event, "B")}


def check_form(event: Mapping[str, object]) -> None:
    assert set(event) >= ALWAYS
    for name in DECIMALS:
        assert isinstance(event[name], str)
        assert len(str(event[name]).partition(".")[2]) == 8
    assert all(isinstance(event[name], int) for name in NUMBERS)
    assert all(isinstance(event[name], bool) for name in ("w", "m", "M"))


def test_an_accepted_order() -> None:
    api = subscribed()
    order = api.desk.limit(newClientOrderId="mine", strategyId=7, strategyType=1_000_001)
    [event, balances] = api.heard()
    check_form(event)
    assert set(event) == ALWAYS | {"W", "j", "J"}
    shown = {name: event[name] for name in "scSofqpgCxXritNwmVWjJ"}
    assert shown == {
        "s": "BTCUSDT",
        "c": "mine",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTC",
        "q": "0.01000000",
        "p": "80000.00000000",
        "g": -1,
        "C": "",
        "x": "NEW",
        "X": "NEW",
        "r": "NONE",
        "i": order["orderId"],
        "t": -1,
        "N": None,
        "w": True,
        "m": False,
        "V": "EXPIRE_MAKER",
        "W": START,
        "j": 7,
        "J": 1_000_001,
    }
    assert balances == {
        "e": "outboundAccountPosition",
        "E": START,
        "u": START,
        "B": [{"a": "USDT", "f": "99200.00000000", "l": "800.00000000"}],
    }


def test_a_fill_has_its_trade_its_fee_and_the_sums() -> None:
    api = subscribed()
    order = api.desk.limit()
    api.heard()
    fill = api.desk.books.counter_fill("paper-1", int(str(order["orderId"])), "BTCUSDT", D("0.004"), START, price=D(79_000))
    api.desk.publish()
    [event, _] = api.heard()
    check_form(event)
    shown = {name: event[name] for name in "xXlzLnNtmwYZ"}
    assert shown == {
        "x": "TRADE",
        "X": "PARTIALLY_FILLED",
        "l": "0.00400000",
        "z": "0.00400000",
        "L": "79000.00000000",
        "n": "0.00000400",
        "N": "BTC",
        "t": fill.trade_id,
        "m": True,
        "w": True,
        "Y": "316.00000000",
        "Z": "316.00000000",
    }


def test_a_cancelled_order_stands_in_the_capital_letter() -> None:
    api = subscribed()
    api.desk.limit(newClientOrderId="mine")
    api.desk.call("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine", newClientOrderId="bye")
    event = reports(api.heard())[-1]
    assert (event["x"], event["X"], event["c"], event["C"], event["w"]) == ("CANCELED", "CANCELED", "bye", "mine", False)


def test_an_amended_order_is_replaced() -> None:
    api = subscribed()
    api.desk.limit(newClientOrderId="mine")
    api.desk.call(
        "PUT", "/api/v3/order/amend/keepPriority", symbol="BTCUSDT", origClientOrderId="mine", newQty="0.005", newClientOrderId="smaller"
    )
    event = reports(api.heard())[-1]
    assert (event["x"], event["X"], event["c"], event["C"], event["q"]) == ("REPLACED", "NEW", "smaller", "mine", "0.00500000")


def test_an_expired_order_says_why() -> None:
    api = subscribed()
    api.desk.limit(timeInForce="FOK", price="80000")
    event = reports(api.heard())[-1]
    assert (event["x"], event["X"], event["eR"]) == ("EXPIRED", "EXPIRED", "UNFILLED_FOK_ORDER_EXPIRED")


def test_a_prevented_match_tells_both_sides() -> None:
    api = subscribed()
    maker = api.desk.limit(side="SELL", price="81000.01", quantity="0.02")
    taker = api.desk.limit(price="81000.01", quantity="0.05", selfTradePreventionMode="DECREMENT")
    one, two = [event for event in reports(api.heard()) if event["x"] == "TRADE_PREVENTION"]
    assert (one["i"], one["X"], one["U"]) == (maker["orderId"], "EXPIRED_IN_MATCH", taker["orderId"])
    assert (two["i"], two["X"], two["U"]) == (taker["orderId"], "NEW", maker["orderId"])
    for event in (one, two):
        check_form(event)
        assert set(event) >= {"v", "A", "B", "u", "U", "Cs", "pl", "pL", "pY"}
        assert (event["A"], event["B"], event["pl"], event["pL"]) == ("0.02000000", "0.02000000", "0.02000000", "81000.01000000")


def test_a_rejected_half_of_a_replacement_is_told() -> None:
    api = subscribed()
    order = api.desk.limit()
    wish = {"side": "SELL", "type": "LIMIT_MAKER", "quantity": "0.01", "price": "70000", "cancelReplaceMode": "STOP_ON_FAILURE"}
    api.desk.call("POST", "/api/v3/order/cancelReplace", symbol="BTCUSDT", cancelOrderId=order["orderId"], **wish)
    event = reports(api.heard())[-1]
    check_form(event)
    assert (event["x"], event["X"], event["r"]) == ("REJECTED", "REJECTED", "WOULD_MATCH_IMMEDIATELY")


def test_a_trailing_stop_shows_its_delta_and_since_when() -> None:
    api = subscribed()
    api.desk.call("POST", "/api/v3/order", symbol="BTCUSDT", side="SELL", type="STOP_LOSS", quantity="0.1", trailingDelta="100")
    api.desk.books.move_price("BTCUSDT", D(79_000), START)
    api.desk.publish()
    waiting, begun, *_ = reports(api.heard())
    assert (waiting["d"], waiting["w"], "W" in waiting) == (100, False, False)
    assert (begun["x"], begun["w"], begun["D"], begun["W"]) == ("NEW", True, START, START)


def test_a_list_is_told_from_its_beginning_to_its_end() -> None:
    api = subscribed()
    made = api.desk.oco(listClientOrderId="both")
    events = api.heard()
    [begun] = [event for event in events if event["e"] == "listStatus"]
    ids = [part({"o": row}, "o")["orderId"] for row in rows(part({"r": made.body}, "r"), "orders")]
    assert {name: begun[name] for name in "sgclLrC"} == {
        "s": "BTCUSDT",
        "g": made["orderListId"],
        "c": "OCO",
        "l": "EXEC_STARTED",
        "L": "EXECUTING",
        "r": "NONE",
        "C": "both",
    }
    assert [row["i"] for row in rows(begun, "O")] == ids
    assert {event["g"] for event in reports(events)} == {made["orderListId"]}
    api.desk.books.counter_fill("paper-1", int(str(ids[0])), "BTCUSDT", None, START)
    api.desk.publish()
    ended = api.heard()
    assert [(event["x"], event.get("eR")) for event in reports(ended)] == [("EXPIRED", "OCO_TRIGGER"), ("TRADE", None)]
    assert (ended[-1]["e"], ended[-1]["l"], ended[-1]["L"]) == ("listStatus", "ALL_DONE", "ALL_DONE")


def test_money_that_moves_is_told_twice_and_the_second_is_absolute() -> None:
    api = subscribed()
    api.desk.books.transfer("paper-1", "BTC", D("0.25"), START)
    api.desk.books.lock_externally("paper-1", "BTC", D("0.5"), START)
    api.desk.publish()
    moved, after, locked, last = api.heard()
    assert moved == {"e": "balanceUpdate", "E": START, "a": "BTC", "d": "0.25000000", "T": START}
    assert after["B"] == [{"a": "BTC", "f": "2.25000000", "l": "0.00000000"}]
    assert locked == {"e": "externalLockUpdate", "E": START, "a": "BTC", "d": "0.50000000", "T": START}
    assert last["B"] == [{"a": "BTC", "f": "1.75000000", "l": "0.50000000"}]


def test_the_last_position_of_every_asset_is_what_the_account_call_says() -> None:
    api = subscribed()
    for _ in range(150):
        api.desk.books.trade_randomly("paper-1", api.desk.clock.turn(300))
        api.desk.publish()
    told = positions(api.heard())
    account = api.desk.get("/api/v3/account").body
    assert isinstance(account, dict)
    asked = {row["asset"]: (row["free"], row["locked"]) for row in rows(account, "balances")}
    assert len(told) >= 3
    assert {asset: asked[asset] for asset in told} == told


def test_a_skewed_gateway_stamps_its_own_time_on_the_message_only() -> None:
    api = caller(skew_ms=5000)
    api.desk.call("GET", "/api/v3/account")
    api.desk.books.transfer("paper-1", "BTC", D(1), START)
    [happening] = api.desk.books.drain()
    [moved, _] = write([happening], api.desk.hall.room.stated(START))
    assert b'"E":%d' % (START + 5000) in moved.body
    assert b'"T":%d' % START in moved.body


@pytest.mark.parametrize("name", RARE_EVENTS)
def test_rare_events_have_a_sample(name: str) -> None:
    made = rare_event(name, {"s": "ETHBTC"}, START)
    assert (made["e"], made["s"], made["E"]) == (name, "ETHBTC", START)
    with pytest.raises(ValueError, match="no rare event"):
        rare_event("listenKeyExpired", {}, START)


def test_what_does_not_happen_on_spot_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="does not happen on spot"):
        write([LeverageHappened(account="a", time=START, symbol="BTCUSDT", leverage=5)], START)
    assert execution_report.__doc__
