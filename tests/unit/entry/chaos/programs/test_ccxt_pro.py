"""The forms of ccxt pro, turned into lines."""

from __future__ import annotations

import json

import pytest

from userstream.entry.chaos.programs.ccxt_pro import exact, tell_order, tell_position, tell_trade, tell_wallets
from userstream.entry.chaos.programs.told import Witness


class Markets:
    """What the tellers ask of the client."""

    def market_id(self, symbol: str) -> str:
        return symbol.replace("/", "").partition(":")[0]


@pytest.mark.parametrize(("number", "text"), [(0.1, "0.1"), (60000.0, "60000.0"), (1e-05, "0.00001"), (None, "0"), (0.0, "0")])
def test_a_float_is_the_shortest_decimal_that_reads_as_it(number: float | None, text: str) -> None:
    assert exact(number) == text


def test_trades_orders_and_positions_have_the_venues_names(capsys: pytest.CaptureFixture[str]) -> None:
    market = "BTC/USDT:USDT"
    tell_trade(Markets(), Witness(), {"symbol": market, "id": "7", "order": "33", "price": 60000.0, "amount": 0.004})
    tell_order(Markets(), Witness(), {"symbol": market, "id": "33", "clientOrderId": None, "status": "open", "filled": 0.004})
    tell_position(Markets(), Witness(), {"symbol": market, "side": "short", "contracts": 0.004})
    tell_position(Markets(), Witness(), {"symbol": market, "side": None, "contracts": 0.0})
    trade, order, short, flat = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (trade["symbol"], trade["trade_id"], trade["order_id"], trade["quantity"]) == ("BTCUSDT", "7", "33", "0.004")
    assert (order["order_id"], order["status"], order["filled"]) == ("33", "open", "0.004")
    assert [(leg["side"], leg["amount"]) for leg in (short, flat)] == [("both", "-0.004"), ("both", "0")]


def test_every_total_of_a_balance_is_a_wallet(capsys: pytest.CaptureFixture[str]) -> None:
    tell_wallets(Markets(), Witness(), {"info": {}, "total": {"BTC": 1.01099, "USDT": None}})
    wallets = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["symbol"], line["side"], line["amount"]) for line in wallets] == [("BTC", "wallet", "1.01099"), ("USDT", "wallet", "0")]
