"""The account that plays by itself: lively, solvent, and the same for the same seed."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from tests.support.paper import INSTRUMENTS, START, hold, later
from userstream.sim.books import Execution, Happening, OrderHappened, PositionSide
from userstream.sim.exchange import Exchange


def exchange(seed: int, usdt: str = "10000") -> Exchange:
    made = Exchange(INSTRUMENTS, seed=seed, start_time=START)
    for account in ("alice", "carol"):
        made.open_account(account, {"USDT": Decimal(usdt)})
    made.set_hedge_mode("carol", True, START)
    return made


def traded(made: Exchange, actions: int, pause_ms: int = 200) -> list[Happening]:
    for action in range(actions):
        for account in made.accounts():
            made.trade_randomly(account, later(action * pause_ms))
    return made.drain()


def test_a_healthy_mix() -> None:
    told = traded(exchange(3), 600)
    orders = [each for each in told if isinstance(each, OrderHappened)]
    seen = Counter(each.execution for each in orders)
    assert seen.keys() >= {Execution.NEW, Execution.TRADE, Execution.CANCELED, Execution.EXPIRED, Execution.AMENDMENT}
    assert min(seen[each] for each in (Execution.NEW, Execution.TRADE, Execution.CANCELED, Execution.AMENDMENT)) > 30
    assert {each.order.time_in_force for each in orders} == {"gtc", "gtx", "ioc", "fok", "gtd"}
    assert {each.order.status for each in orders} >= {"new", "partially_filled", "filled", "canceled", "expired"}
    fills = [each.fill for each in orders if each.fill is not None]
    assert {fill.maker for fill in fills} == {True, False}
    at_once = Counter((fill.order_id, fill.time) for fill in fills)
    assert max(at_once.values()) >= 3
    assert len({fill.symbol for fill in fills}) == 3


def test_the_same_seed_trades_the_same() -> None:
    assert traded(exchange(3), 100) == traded(exchange(3), 100)
    assert traded(exchange(3), 100) != traded(exchange(4), 100)


def test_accounts_draw_for_themselves() -> None:
    alone = Exchange(INSTRUMENTS, seed=3, start_time=START)
    alone.open_account("alice", {"USDT": Decimal(10000)})
    alone.trade_randomly("alice", START)
    [first, *_] = alone.orders("alice")
    both = exchange(3)
    both.trade_randomly("carol", START)
    both.trade_randomly("alice", START)
    [same, *_] = both.orders("alice")
    assert (first.symbol, first.side, first.price, first.quantity) == (same.symbol, same.side, same.price, same.quantity)


def test_a_poor_account_pays_money_in() -> None:
    made = exchange(1, usdt="1")
    made.trade_randomly("alice", START)
    assert [line.income_type for line in made.income("alice")] == ["transfer"]
    assert made.balances("alice")[0].wallet == 5001


def test_too_much_exposure_is_halved() -> None:
    made = exchange(1)
    hold(made, "alice", "-0.5")
    made.trade_randomly("alice", START)
    assert made.position("alice", "BTCUSDT", PositionSide.BOTH).amount == Decimal("-0.25")
    assert made.orders("alice")[-1].reduce_only


@pytest.mark.slow
def test_accounts_stay_alive_and_their_exposure_bounded() -> None:
    made = exchange(9)
    for action in range(1500):
        for account in made.accounts():
            made.trade_randomly(account, later(action * 5000))
        made.drain()
    for account in made.accounts():
        [balance] = made.balances(account)
        exposure = sum(abs(position.amount) * position.mark_price for position in made.positions(account))
        assert balance.wallet > 400
        assert exposure < balance.wallet * 4
        assert len(made.open_orders(account)) < 60
        assert not any(order.order_type == "liquidation" for order in made.orders(account))
