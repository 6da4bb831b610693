"""The shared state: counters that only grow, deadlines in order, fees in the right asset."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paper import BTC, INSTRUMENTS, START, exact, refusal
from userstream.sim.books import AccountHappened, Millis, PositionSide
from userstream.sim.ledger import FeeTerms, Leg
from userstream.sim.world import Account, World


def world() -> World:
    made = World(INSTRUMENTS, 1, START)
    made.accounts["alice"] = Account("alice", {"USDT": Decimal(1000), "BNB": Decimal(1)}, START)
    return made


def test_what_does_not_exist() -> None:
    assert refusal(lambda: world().account("bob")) == "unknown_account"
    assert refusal(lambda: world().instrument("XYZUSDT")) == "unknown_symbol"


def test_an_exchange_without_contracts_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one"):
        World((), 1, START)


def test_ids_grow_and_trade_ids_have_holes() -> None:
    here = world()
    assert here.next_order_id() < here.next_order_id()
    assert here.next_algo_id() < here.next_algo_id()
    before, elsewhere = here.next_trade_id("BTCUSDT"), 0
    assert here.next_trade_id("ETHUSDT") == before
    for _ in range(20):
        here.step_markets()
        elsewhere += here.markets["BTCUSDT"].trades_elsewhere
    assert elsewhere > 0
    assert here.next_trade_id("BTCUSDT") == before + elsewhere + 1


@given(st.lists(st.integers(0, 5), max_size=20))
def test_deadlines_come_in_the_order_of_their_times_and_of_their_making(times: list[int]) -> None:
    here = world()
    done: list[tuple[int, int]] = []
    for number, time in enumerate(times):
        here.at(Millis(time), lambda time=time, number=number: done.append((time, number)))  # type: ignore[misc]
    while here.next_deadline is not None:
        here.pop_deadline()()
    assert done == sorted((time, number) for number, time in enumerate(times))


def test_prices_of_assets() -> None:
    here = world()
    assert here.asset_price("BNB", "USDT") == 900
    assert here.asset_price("BNB", "USDC") == 900
    assert here.asset_price("USDT", "USDT") == here.asset_price("USDC", "USDT") == 1
    assert here.asset_price("USDT", "BTC") == 1 / Decimal(80000)
    assert here.asset_price("XYZ", "USDT") is None
    assert here.asset_price("BTC", "XYZ") is None


def test_fees_fall_back_to_the_margin_asset() -> None:
    here, notional = world(), Decimal(1000)
    alice = here.accounts["alice"]
    assert here.fee_terms(alice, BTC, notional, maker=True) == FeeTerms(Decimal("0.0002"), "USDT")
    alice.fee_asset = "BNB"
    assert here.fee_terms(alice, BTC, notional, maker=False) == FeeTerms(Decimal("0.00045"), "BNB", Decimal(900))
    assert here.fee_terms(alice, BTC, notional * 10000, maker=False) == FeeTerms(Decimal("0.0005"), "USDT")
    alice.fee_asset = "USDT"
    assert here.fee_terms(alice, BTC, notional, maker=False) == FeeTerms(Decimal("0.0005"), "USDT")


def test_news_tell_amounts_and_leave_out_what_needs_a_look_at_the_whole_account() -> None:
    here = world()
    alice = here.accounts["alice"]
    alice.ledger.legs["BTCUSDT"] = {
        PositionSide.BOTH: Leg(symbol="BTCUSDT", position_side=PositionSide.BOTH, margin_asset="USDT", amount=Decimal(1))
    }
    here.tell_account(alice, "order", ["USDT", "XYZ"], alice.ledger.legs["BTCUSDT"].values())
    [news] = here.drain()
    assert isinstance(news, AccountHappened)
    assert [each.asset for each in news.balances] == ["USDT", "XYZ"]
    assert [exact(each.wallet, each.cross_wallet, each.available) for each in news.balances] == [exact(1000, 1000, 0), exact(0, 0, 0)]
    assert [exact(each.amount, each.mark_price, each.liquidation_price) for each in news.positions] == [exact(1, 80000, 0)]


def test_holders_are_those_with_a_position() -> None:
    here = world()
    alice = here.accounts["alice"]
    leg = Leg(symbol="BTCUSDT", position_side=PositionSide.BOTH, margin_asset="USDT", amount=Decimal(1))
    alice.ledger.legs["BTCUSDT"] = {PositionSide.BOTH: leg}
    here.touch(alice, "BTCUSDT")
    assert list(here.holders["BTCUSDT"]) == list(here.touched) == ["alice"]
    leg.amount = Decimal(0)
    here.touch(alice, "BTCUSDT")
    assert here.holders["BTCUSDT"] == {}
