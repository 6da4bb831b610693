"""The shared state: counters that only grow, deadlines in order, fees in the right asset."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paper import BTC, INSTRUMENTS, START, refusal
from userstream.sim.books import Millis, PositionSide
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
    before = here.next_trade_id("BTCUSDT")
    here.skip_trade_ids("BTCUSDT", 3)
    assert here.next_trade_id("BTCUSDT") == before + 4
    assert here.next_trade_id("ETHUSDT") == before


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
