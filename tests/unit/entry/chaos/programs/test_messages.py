"""What the user of a raw client reads in the venue's own messages (Binance USD-M, 4.1; Binance Spot, 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from userstream.entry.chaos.programs.messages import tell_message
from userstream.entry.chaos.programs.told import Witness

ORDER = {"s": "BTCUSDT", "i": 33, "x": "TRADE", "X": "PARTIALLY_FILLED", "c": "mine", "z": "0.020", "t": 7, "L": "80999.5", "l": "0.020"}
UPDATE = {
    "e": "ACCOUNT_UPDATE",
    "a": {"B": [], "P": [{"s": "BTCUSDT", "ps": "BOTH", "pa": "-0.020"}, {"s": "ETHUSDT", "ps": "LONG", "pa": "1"}]},
}


def told(message: Mapping[str, object], capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    tell_message(Witness(), message)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [{name: value for name, value in line.items() if name != "at_ms"} for line in lines]


def test_a_trade_is_a_fill_and_a_state_of_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    fill = {"kind": "fill", "symbol": "BTCUSDT", "trade_id": "7", "order_id": "33", "price": "80999.5", "quantity": "0.020"}
    order = {"kind": "order", "symbol": "BTCUSDT", "order_id": "33", "status": "partially_filled", "filled": "0.020"}
    order |= {"client_order_id": "mine"}
    assert told({"e": "ORDER_TRADE_UPDATE", "o": ORDER}, capsys) == [fill, order]


def test_a_report_of_spot_is_read_alike_and_a_cancelled_order_keeps_its_own_name(capsys: pytest.CaptureFixture[str]) -> None:
    fill, order = told({"e": "executionReport"} | ORDER | {"C": ""}, capsys)
    assert (fill["trade_id"], order["client_order_id"]) == ("7", "mine")
    [cancelled] = told({"e": "executionReport"} | ORDER | {"x": "CANCELED", "c": "the cancelling", "C": "mine"}, capsys)
    assert cancelled["client_order_id"] == "mine"
    assert told({"e": "executionReport"} | ORDER | {"x": "REJECTED"}, capsys) == []


def test_a_wallet_is_what_is_free_and_what_is_locked(capsys: pytest.CaptureFixture[str]) -> None:
    [line] = told({"e": "outboundAccountPosition", "B": [{"a": "BTC", "f": "1.5", "l": "0.25"}]}, capsys)
    assert line == {"kind": "position", "symbol": "BTC", "side": "wallet", "amount": "1.75"}


@pytest.mark.parametrize("execution", ["NEW", "CANCELED", "AMENDMENT", "EXPIRED"])
def test_another_execution_is_no_fill(execution: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert [line["kind"] for line in told({"e": "ORDER_TRADE_UPDATE", "o": ORDER | {"x": execution}}, capsys)] == ["order"]


def test_positions_are_read_leg_by_leg(capsys: pytest.CaptureFixture[str]) -> None:
    legs = [(line["symbol"], line["side"], line["amount"]) for line in told(UPDATE, capsys)]
    assert legs == [("BTCUSDT", "both", "-0.020"), ("ETHUSDT", "long", "1")]


@pytest.mark.parametrize(
    "message", [{"e": "TRADE_LITE"}, {"e": "ACCOUNT_UPDATE", "a": {}}, {"e": "listenKeyExpired"}, {"result": None, "id": 1}]
)
def test_other_messages_tell_nothing(message: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    assert told(message, capsys) == []
