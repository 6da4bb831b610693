"""Fees, prices of assets and counters."""

from decimal import Decimal

import pytest

from tests.unit.sim.spot.kit import BTC, PAIRS, START, refusal
from userstream.sim.spot.world import FEE_DISCOUNT, SpotAccount, SpotWorld

D = Decimal


def world() -> tuple[SpotWorld, SpotAccount]:
    made = SpotWorld(PAIRS, 1, START)
    account = made.accounts["alice"] = SpotAccount("alice", 1, {"BNB": D(1)}, START)
    return made, account


def test_an_asset_has_a_price_where_pairs_lead() -> None:
    made, _ = world()
    btc, bnb = made.last_price("BTCUSDT"), made.last_price("BNBUSDT")
    assert made.asset_price("BTC", "USDT") == btc
    assert made.asset_price("USDT", "BTC") == 1 / btc
    assert made.asset_price("BTC", "BNB") == btc * (1 / bnb)
    assert made.asset_price("USDT", "USDT") == 1
    assert made.asset_price("DOGE", "USDT") is None


def test_the_fee_is_of_what_came_in() -> None:
    made, account = world()
    assert made.fee(account, BTC, "BTC", D("0.5"), maker=True) == (D("0.00050000"), "BTC")


def test_the_fee_asset_pays_less_while_it_lasts() -> None:
    made, account = world()
    account.fee_asset = "BNB"
    price = made.asset_price("BTC", "BNB")
    assert price is not None
    amount, asset = made.fee(account, BTC, "BTC", D("0.01"), maker=False)
    assert asset == "BNB"
    assert amount == (D("0.01") * price * BTC.taker_fee * FEE_DISCOUNT).quantize(D("0.00000001"))
    assert made.fee(account, BTC, "BTC", D(100), maker=False).asset == "BTC"
    account.fee_asset = "DOGE"
    assert made.fee(account, BTC, "BTC", D("0.01"), maker=False).asset == "BTC"


def test_numbers_never_come_twice() -> None:
    made, _ = world()
    for next_id in (made.next_order_id, made.next_list_id, made.next_prevented_id, made.next_request_id):
        assert next_id() < next_id()
    first = made.next_trade_id("BTCUSDT")
    made.step_markets()
    assert made.next_trade_id("BTCUSDT") == first + made.markets["BTCUSDT"].trades_elsewhere + 1


def test_strangers_are_refused() -> None:
    made, _ = world()
    assert refusal(lambda: made.account("nobody")) == "unknown_account"
    assert refusal(lambda: made.instrument("DOGEUSDT")) == "unknown_symbol"
    with pytest.raises(ValueError, match="at least one"):
        SpotWorld((), 1, START)
