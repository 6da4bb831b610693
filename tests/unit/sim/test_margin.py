"""The margin formulas against figures worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paper import INSTRUMENTS, START, available, exact, hold, limit, open_exchange
from userstream.sim.books import ZERO, PositionSide
from userstream.sim.exchange import Exchange
from userstream.sim.margin import Health, bound_notional, cross_health
from userstream.sim.records import OpenNotional
from userstream.sim.world import Account, World

AMOUNTS = st.integers(0, 10**6).map(Decimal)


def test_a_cross_position_is_liquidated_where_its_pool_is_used_up() -> None:
    exchange = open_exchange(usdt="10000")
    hold(exchange, "alice", "1")
    position = exchange.position("alice", "BTCUSDT", PositionSide.BOTH)
    # wallet 9984 after the fee: (9984 - 80000) / (0.004 - 1)
    assert position.liquidation_price == Decimal("70297.18875502")
    hold(exchange, "bob", "-1")
    # (9984 + 80000) / (0.004 + 1)
    assert exchange.position("bob", "BTCUSDT", PositionSide.BOTH).liquidation_price == Decimal("89625.49800797")


def test_the_liquidation_price_is_where_the_liquidation_happens() -> None:
    exchange = open_exchange(usdt="10000")
    hold(exchange, "alice", "1")
    exchange.move_price("BTCUSDT", Decimal("70297.2"), START)
    assert exchange.position("alice", "BTCUSDT", PositionSide.BOTH).amount == 1
    exchange.move_price("BTCUSDT", Decimal("70297.1"), START)
    assert exchange.position("alice", "BTCUSDT", PositionSide.BOTH).amount == 0


def test_an_isolated_position_stands_on_its_own_wallet() -> None:
    exchange = open_exchange()
    exchange.set_margin_type("alice", "BTCUSDT", "isolated", START)
    hold(exchange, "alice", "1")
    position = exchange.position("alice", "BTCUSDT", PositionSide.BOTH)
    assert exact(position.isolated_wallet, position.initial_margin, position.maintenance_margin) == exact(4000, 4000, 320)
    # (4000 - 80000) / (0.004 - 1)
    assert position.liquidation_price == Decimal("76305.22088353")
    assert available(exchange, "alice") == Decimal("95984")


def test_a_position_that_cannot_fail_has_no_liquidation_price() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "0.1")
    assert exchange.position("alice", "BTCUSDT", PositionSide.BOTH).liquidation_price == 0
    assert exchange.position("alice", "ETHUSDT", PositionSide.BOTH).liquidation_price == 0


def test_another_positions_profit_moves_the_liquidation_price() -> None:
    exchange = open_exchange(usdt="10000")
    hold(exchange, "alice", "1")
    before = exchange.position("alice", "BTCUSDT", PositionSide.BOTH).liquidation_price
    hold(exchange, "alice", "10", symbol="ETHUSDT")
    exchange.move_price("ETHUSDT", Decimal(3200), START)
    assert exchange.position("alice", "BTCUSDT", PositionSide.BOTH).liquidation_price < before


def test_another_positions_maintenance_comes_first() -> None:
    exchange = open_exchange(usdt="10000")
    hold(exchange, "alice", "1")
    hold(exchange, "alice", "10", symbol="ETHUSDT")
    # wallet 9978 after both fees, 120 of maintenance for the other: (9978 - 120 - 80000) / (0.004 - 1)
    assert exchange.position("alice", "BTCUSDT", PositionSide.BOTH).liquidation_price == Decimal("70423.69477912")


def test_available_is_wallet_plus_profit_less_what_is_bound() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    exchange.move_price("BTCUSDT", Decimal(81000), START)
    # 99984 after the fee, 1000 profit, 81000 / 20 bound
    assert available(exchange, "alice") == 99984 + 1000 - 4050
    exchange.place("alice", limit("sell", "1", "82000"), START)
    assert available(exchange, "alice") == 99984 + 1000 - 4050
    exchange.place("alice", limit("sell", "2", "82000"), START)
    # the asks would turn the position to short: 3 x 82000 - 81000
    assert available(exchange, "alice") == 99984 + 1000 - 8250


def test_margin_assets_are_apart_unless_they_are_shared() -> None:
    exchange = Exchange(INSTRUMENTS, start_time=START)
    exchange.open_account("alice", {"USDT": Decimal(1000), "USDC": Decimal(500), "BNB": Decimal(1), "XYZ": Decimal(9)})
    assert exact(available(exchange, "alice"), available(exchange, "alice", "USDC")) == exact(1000, 500)
    exchange.set_multi_assets("alice", True, START)
    # the coin counts for 95% of 900, the unpriced asset for nothing
    assert exact(available(exchange, "alice"), available(exchange, "alice", "USDC")) == exact(2355, 2355)
    exchange.place("alice", limit("buy", "0.5", "80000"), START)
    assert available(exchange, "alice", "USDC") == 355
    hold(exchange, "alice", "0.01", symbol="BTCUSDC")
    # 0.16 of fee, 40 of margin
    assert available(exchange, "alice") == Decimal("314.84")


def test_shared_losses_count_wholly() -> None:
    world = World(INSTRUMENTS, 1, START)
    account = Account("alice", {"USDT": Decimal(-100), "USDC": Decimal(500)}, START)
    account.settings.multi_assets = True
    assert cross_health(account, "USDT", world) == Health(Decimal(400), ZERO)


@pytest.mark.parametrize(
    ("health", "ratio"),
    [(Health(ZERO, ZERO), "0"), (Health(Decimal(200), Decimal(50)), "0.25"), (Health(Decimal(-1), Decimal(5)), "Infinity")],
)
def test_the_ratio(health: Health, ratio: str) -> None:
    assert health.ratio == Decimal(ratio)


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_open_orders_bind_what_their_worse_side_would_leave(held: Decimal, bids: Decimal, asks: Decimal) -> None:
    opening = OpenNotional(bids, asks)
    assert bound_notional(PositionSide.LONG, held, opening) == held + bids
    assert bound_notional(PositionSide.SHORT, -held, opening) == held + asks
    for side in (held, -held):
        bound = bound_notional(PositionSide.BOTH, side, opening)
        assert bound == bound_notional(PositionSide.BOTH, -side, OpenNotional(asks, bids))
        assert bound in {abs(side + bids), abs(side - asks)}
        assert bound >= (bids + asks) / 2


@given(st.integers(1, 40), st.booleans(), st.booleans())
def test_at_the_liquidation_price_margin_equals_maintenance(size: int, short: bool, isolated: bool) -> None:
    exchange = open_exchange(usdt="100000")
    if isolated:
        exchange.set_margin_type("alice", "BTCUSDT", "isolated", START)
    hold(exchange, "alice", str(-size if short else size) if size <= 20 else "20")
    position = exchange.position("alice", "BTCUSDT", PositionSide.BOTH)
    price = position.liquidation_price
    if not price:
        return
    wallet = position.isolated_wallet if isolated else next(each.cross_wallet for each in exchange.balances("alice"))
    equity = wallet + position.amount * (price - position.entry_price)
    assert abs(equity - abs(position.amount) * price * Decimal("0.004")) < Decimal("0.00001")
