"""What the exchange does to accounts: funding, margin calls, liquidation, deleveraging, settlement."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import pytest

from tests.support.paper import (
    START,
    accounts_told,
    algo,
    amount,
    exact,
    hold,
    later,
    limit,
    open_exchange,
    orders_told,
    refusal,
    story,
    wallet,
)
from userstream.sim.books import (
    AlgoStatus,
    Execution,
    ExpiryReason,
    Happening,
    MarginCallHappened,
    OrderHappened,
    OrderStatus,
    PositionSide,
    Side,
)
from userstream.sim.exchange import Exchange

BOTH, LONG, SHORT = PositionSide.BOTH, PositionSide.LONG, PositionSide.SHORT


def calls(told: list[Happening], account: str = "alice") -> list[MarginCallHappened]:
    return [each for each in told if isinstance(each, MarginCallHappened) and each.account == account]


def isolated(exchange: Exchange) -> None:
    exchange.set_margin_type("alice", "BTCUSDT", "isolated", START)
    hold(exchange, "alice", "1")


# --- funding ---


def test_longs_pay_a_positive_rate_to_shorts() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    hold(exchange, "bob", "-2")
    before = exact(wallet(exchange, "alice"), wallet(exchange, "bob"))
    exchange.fund("BTCUSDT", Decimal("0.0001"), START)
    assert exact(wallet(exchange, "alice"), wallet(exchange, "bob")) == exact(before[0] - 8, before[1] + 16)
    told = exchange.drain()
    [news] = accounts_told(told)
    assert (news.reason, news.symbol, news.deltas, news.positions) == ("funding_fee", "BTCUSDT", {"USDT": Decimal(-8)}, ())
    assert [balance.asset for balance in news.balances] == ["USDT"]
    assert exchange.income("alice")[-1].income_type == "funding_fee"


def test_funding_of_an_isolated_position_changes_its_wallet_and_shows_it() -> None:
    exchange = open_exchange()
    isolated(exchange)
    exchange.fund("BTCUSDT", Decimal("0.001"), START)
    [news] = accounts_told(exchange.drain())
    [position] = news.positions
    assert position.isolated_wallet == 4000 - 80
    assert news.balances[0].cross_wallet == 99984 - 4000


def test_each_leg_is_funded_for_itself() -> None:
    exchange = open_exchange()
    exchange.set_hedge_mode("alice", True, START)
    hold(exchange, "alice", "1", side=LONG)
    hold(exchange, "alice", "-1", side=SHORT)
    exchange.fund("BTCUSDT", Decimal("0.0001"), START)
    assert [news.deltas["USDT"] for news in accounts_told(exchange.drain())] == [Decimal(-8), Decimal(8)]


def test_funding_can_bring_the_margin_call() -> None:
    exchange = open_exchange(usdt="10000")
    hold(exchange, "alice", "1")
    exchange.fund("BTCUSDT", Decimal("0.12"), later(150))
    assert calls(exchange.drain()) == []
    exchange.advance(later(200))
    assert len(calls(exchange.drain())) == 1


def test_the_walk_alone_can_bring_the_margin_call() -> None:
    exchange = open_exchange(usdt="10000")
    hold(exchange, "alice", "1")
    exchange.move_price("BTCUSDT", Decimal(70500), START)
    assert calls(exchange.drain()) == []
    exchange.advance(later(1_800_000))
    told = exchange.drain()
    assert calls(told)
    assert calls(told)[0].time > START + 100


@pytest.mark.parametrize("rate", ["NaN", "1.1", "-2"])
def test_a_rate_is_a_share(rate: str) -> None:
    assert refusal(partial(open_exchange().fund, "BTCUSDT", Decimal(rate), START)) == "bad_rate"


# --- margin calls ---


def test_one_call_for_each_crossing() -> None:
    exchange = open_exchange(usdt="10000")
    hold(exchange, "alice", "1")
    # 280 of maintenance is 80% of 350: reached between the second and the third price
    prices = ("70500", "70370", "70365", "70360", "78000", "70365")
    made = []
    for price in prices:
        exchange.move_price("BTCUSDT", Decimal(price), START)
        made.append(len(calls(exchange.drain())))
    assert made == [0, 0, 1, 0, 0, 1]
    assert amount(exchange, "alice") == 1


def test_a_cross_call_shows_wallet_and_positions() -> None:
    exchange = open_exchange(usdt="10000")
    hold(exchange, "alice", "1")
    hold(exchange, "alice", "1", symbol="ETHUSDT")
    exchange.margin_call("alice", START)
    [call] = calls(exchange.drain())
    assert call.cross_wallet == wallet(exchange, "alice")
    assert [position.symbol for position in call.positions] == ["BTCUSDT", "ETHUSDT"]
    assert call.positions[0].maintenance_margin == 320
    assert call.positions[0].mark_price == 80000


def test_an_isolated_position_has_a_call_of_its_own() -> None:
    exchange = open_exchange()
    isolated(exchange)
    hold(exchange, "alice", "1", symbol="ETHUSDT")
    exchange.margin_call("alice", START)
    cross, own = calls(exchange.drain())
    assert (cross.positions[0].symbol, own.positions[0].symbol) == ("ETHUSDT", "BTCUSDT")
    assert own.cross_wallet is None
    exchange.move_price("BTCUSDT", Decimal("76350"), START)
    assert [call.cross_wallet for call in calls(exchange.drain())] == [None]


def test_shared_assets_are_one_pool_with_one_call() -> None:
    exchange = open_exchange(usdt="10000")
    exchange.transfer("alice", "USDC", Decimal(1000), START)
    exchange.set_multi_assets("alice", True, START)
    hold(exchange, "alice", "1")
    hold(exchange, "alice", "0.001", symbol="BTCUSDC")
    exchange.margin_call("alice", START)
    [call] = calls(exchange.drain())
    assert [position.symbol for position in call.positions] == ["BTCUSDT", "BTCUSDC"]
    exchange.move_price("BTCUSDT", Decimal(69360), START)
    assert len(calls(exchange.drain())) == 1


def test_without_a_position_there_is_nothing_to_call() -> None:
    assert refusal(partial(open_exchange().margin_call, "alice", START)) == "no_position"


# --- liquidation ---


def test_a_liquidation_ends_the_orders_and_closes_the_position() -> None:
    exchange = open_exchange(usdt="10000")
    hold(exchange, "alice", "1")
    exchange.place("alice", limit("buy", "0.1", "60000"), START)
    exchange.drain()
    exchange.move_price("BTCUSDT", Decimal(70000), later(5))
    told = exchange.drain()
    assert story(told) == ["expired expired", "new new", "calculated filled"]
    expired, new, done = orders_told(told)
    assert expired.order.expiry_reason == ExpiryReason.LIQUIDATED
    assert new.order.client_order_id.startswith(f"autoclose-{START + 5}")
    assert (done.order.order_type, done.order.time_in_force, done.order.side) == ("liquidation", "ioc", Side.SELL)
    assert done.fill is not None
    assert exact(done.fill.price, done.fill.realized_pnl, done.fill.fee) == exact(70000, -10000, 35)
    assert [news.reason for news in accounts_told(told)] == ["order", "insurance_clear"]
    assert exact(amount(exchange, "alice"), wallet(exchange, "alice")) == exact(0, 0)


def test_the_insurance_pays_no_more_than_what_is_missing() -> None:
    exchange = open_exchange(usdt="10000")
    hold(exchange, "alice", "1")
    exchange.move_price("BTCUSDT", Decimal("70200"), START)
    assert amount(exchange, "alice") == 0
    assert [news.reason for news in accounts_told(exchange.drain())] == ["order"]
    assert wallet(exchange, "alice") == 9984 - 9800 - Decimal("35.1")


def test_an_isolated_position_loses_its_own_margin_at_most() -> None:
    exchange = open_exchange()
    isolated(exchange)
    exchange.move_price("BTCUSDT", Decimal(70000), START)
    told = accounts_told(exchange.drain())
    assert [news.reason for news in told] == ["order", "insurance_clear"]
    # 10000 of loss and 35 of fee against 4000 of margin
    assert told[1].deltas == {"USDT": Decimal(6035)}
    assert wallet(exchange, "alice") == 99984 - 4000
    assert amount(exchange, "alice") == 0


def test_isolation_saves_the_other_positions() -> None:
    exchange = open_exchange()
    isolated(exchange)
    hold(exchange, "alice", "1", symbol="ETHUSDT")
    exchange.move_price("BTCUSDT", Decimal(70000), START)
    assert exact(amount(exchange, "alice"), amount(exchange, "alice", "ETHUSDT")) == exact(0, 1)


def test_a_cross_liquidation_takes_the_whole_pool() -> None:
    exchange = open_exchange(usdt="10000")
    hold(exchange, "alice", "1")
    hold(exchange, "alice", "-1", symbol="ETHUSDT")
    exchange.move_price("BTCUSDT", Decimal(69000), START)
    assert exact(amount(exchange, "alice"), amount(exchange, "alice", "ETHUSDT")) == exact(0, 0)
    assert wallet(exchange, "alice") == 0


def test_shared_assets_save_a_position_until_they_are_used_up() -> None:
    exchange = open_exchange(usdt="10000")
    exchange.transfer("alice", "USDC", Decimal(5000), START)
    exchange.set_multi_assets("alice", True, START)
    hold(exchange, "alice", "1")
    exchange.move_price("BTCUSDT", Decimal(69000), START)
    assert amount(exchange, "alice") == 1
    exchange.move_price("BTCUSDT", Decimal(65000), START)
    assert amount(exchange, "alice") == 0


def test_a_forced_liquidation_of_a_part() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "-1")
    order = exchange.liquidate("alice", "BTCUSDT", BOTH, START, Decimal("0.4"))
    assert (order.side, order.status, order.quantity) == (Side.BUY, OrderStatus.FILLED, Decimal("0.4"))
    assert amount(exchange, "alice") == Decimal("-0.6")


@pytest.mark.parametrize(
    ("quantity", "rule"),
    [("0", "bad_step"), ("-1", "bad_step"), ("0.0001", "bad_step"), ("NaN", "bad_step"), ("1.1", "quantity_too_large")],
)
def test_refused_liquidations(quantity: str, rule: str) -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    for act in (exchange.liquidate, exchange.auto_deleverage):
        assert refusal(partial(act, "alice", "BTCUSDT", BOTH, START, Decimal(quantity))) == rule
        assert refusal(partial(act, "bob", "BTCUSDT", BOTH, START)) == "no_position"
        assert refusal(partial(act, "bob", "XYZUSDT", BOTH, START)) == "unknown_symbol"
    assert exchange.drain() == []


# --- deleveraging and settlement ---


def test_deleveraging_keeps_the_orders_that_still_make_sense() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    exchange.place("alice", limit("buy", "0.1", "70000"), START)
    exchange.place("alice", limit("sell", "1", "90000", reduce_only=True), START)
    order = exchange.auto_deleverage("alice", "BTCUSDT", BOTH, START)
    assert order.client_order_id == "adl_autoclose"
    assert [each.side for each in exchange.open_orders("alice")] == [Side.BUY]
    assert amount(exchange, "alice") == 0
    hold(exchange, "alice", "1")
    assert exchange.auto_deleverage("alice", "BTCUSDT", BOTH, START).order_id > order.order_id


def test_a_settlement_closes_everybody_at_the_mark_price() -> None:
    exchange = open_exchange()
    exchange.set_hedge_mode("bob", True, START)
    hold(exchange, "alice", "1")
    hold(exchange, "bob", "1", side=LONG)
    hold(exchange, "bob", "-2", side=SHORT)
    hold(exchange, "bob", "1", symbol="ETHUSDT", side=LONG)
    exchange.place("alice", limit("buy", "0.1", "70000"), START)
    exchange.place_algo("alice", algo("stop_market", "sell", quantity="1", trigger_price="70000"), START)
    exchange.drain()
    exchange.settle("BTCUSDT", later(1))
    told = exchange.drain()
    assert story(told) == ["expired expired", "new new", "calculated filled"]
    assert orders_told(told)[0].order.expiry_reason == ExpiryReason.DELISTED
    orders = [each for each in told if isinstance(each, OrderHappened) and each.execution is Execution.CALCULATED]
    names = {each.order.client_order_id for each in orders}
    assert len(names) == 3
    assert all(name.startswith(f"settlement_autoclose-{START + 1}") for name in names)
    assert exact(amount(exchange, "alice"), amount(exchange, "bob", side=LONG), amount(exchange, "bob", side=SHORT)) == exact(0, 0, 0)
    assert amount(exchange, "bob", "ETHUSDT", LONG) == 1
    assert [each.status for each in exchange.algo_orders("alice")] == [AlgoStatus.EXPIRED]
