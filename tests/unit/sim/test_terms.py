"""What an account sets up and moves, and what is told of it."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import pytest

from tests.support.paper import (
    INSTRUMENTS,
    START,
    accounts_told,
    algo,
    available,
    exact,
    hold,
    later,
    limit,
    market,
    open_exchange,
    refusal,
    wallet,
)
from userstream.sim.books import AssetModeHappened, LeverageHappened, PositionSide
from userstream.sim.exchange import Exchange

BOTH = PositionSide.BOTH


def test_leverage_is_told_when_it_changes() -> None:
    exchange = open_exchange()
    assert exchange.set_leverage("alice", "BTCUSDT", 25, later(1)) == 25
    assert exchange.set_leverage("alice", "BTCUSDT", 25, later(2)) == 25
    assert exchange.drain() == [LeverageHappened(account="alice", time=later(1), symbol="BTCUSDT", leverage=25)]
    assert (exchange.leverage("alice", "BTCUSDT"), exchange.leverage("alice", "ETHUSDT")) == (25, 20)


@pytest.mark.parametrize("leverage", [0, -1, 126])
def test_leverage_has_its_range(leverage: int) -> None:
    exchange = open_exchange()
    assert refusal(partial(exchange.set_leverage, "alice", "BTCUSDT", leverage, START)) == "leverage_out_of_range"


def test_less_leverage_needs_the_margin_for_it() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "10")
    assert refusal(partial(exchange.set_leverage, "alice", "BTCUSDT", 5, START)) == "leverage_insufficient_margin"
    assert exchange.leverage("alice", "BTCUSDT") == 20
    assert exchange.set_leverage("alice", "BTCUSDT", 10, START) == 10


def test_leverage_of_an_isolated_position_only_grows() -> None:
    exchange = open_exchange()
    exchange.set_margin_type("alice", "BTCUSDT", "isolated", START)
    hold(exchange, "alice", "1")
    assert refusal(partial(exchange.set_leverage, "alice", "BTCUSDT", 10, START)) == "leverage_reduction_isolated"
    assert exchange.set_leverage("alice", "BTCUSDT", 30, START) == 30


def test_the_margin_type_is_told_with_the_position() -> None:
    exchange = open_exchange()
    exchange.set_margin_type("alice", "BTCUSDT", "isolated", START)
    [news] = accounts_told(exchange.drain())
    assert (news.reason, news.balances) == ("margin_type_change", ())
    assert [(each.symbol, each.margin_type, each.amount) for each in news.positions] == [("BTCUSDT", "isolated", Decimal(0))]
    assert exchange.margin_type("alice", "BTCUSDT") == "isolated"


def test_the_margin_type_changes_only_with_nothing_open() -> None:
    exchange = open_exchange()
    change = partial(exchange.set_margin_type, "alice", "BTCUSDT")
    assert refusal(partial(change, "cross", START)) == "no_need_to_change_margin_type"
    assert refusal(partial(change, "shared", START)) == "bad_margin_type"
    exchange.place("alice", limit("buy", "1", "70000"), START)
    assert refusal(partial(change, "isolated", START)) == "margin_type_open_orders"
    exchange.cancel_all("alice", "BTCUSDT", START)
    hold(exchange, "alice", "1")
    assert refusal(partial(change, "isolated", START)) == "margin_type_open_positions"


def test_margin_moves_between_the_wallets() -> None:
    exchange = open_exchange()
    exchange.set_margin_type("alice", "BTCUSDT", "isolated", START)
    hold(exchange, "alice", "1")
    exchange.add_isolated_margin("alice", "BTCUSDT", BOTH, Decimal(1000), START)
    [news] = accounts_told(exchange.drain())
    assert (news.reason, news.deltas) == ("margin_transfer", {"USDT": Decimal(0)})
    assert exact(news.positions[0].isolated_wallet, news.balances[0].cross_wallet) == exact(5000, 99984 - 5000)
    exchange.add_isolated_margin("alice", "BTCUSDT", BOTH, Decimal(-1000), START)
    assert wallet(exchange, "alice") == 99984
    move = partial(exchange.add_isolated_margin, "alice", "BTCUSDT", BOTH)
    assert refusal(partial(move, Decimal("-0.00000001"), START)) == "insufficient_isolated_margin"
    assert refusal(partial(move, Decimal(200000), START)) == "insufficient_cross_margin"
    assert refusal(partial(move, Decimal(0), START)) == "bad_amount"
    assert refusal(partial(exchange.add_isolated_margin, "alice", "ETHUSDT", BOTH, Decimal(1), START)) == "not_isolated"


def test_an_unrealised_loss_cannot_be_taken_out() -> None:
    exchange = open_exchange()
    exchange.set_margin_type("alice", "BTCUSDT", "isolated", START)
    hold(exchange, "alice", "1")
    exchange.add_isolated_margin("alice", "BTCUSDT", BOTH, Decimal(2000), START)
    exchange.move_price("BTCUSDT", Decimal(79000), START)
    move = partial(exchange.add_isolated_margin, "alice", "BTCUSDT", BOTH)
    assert refusal(partial(move, Decimal(-1051), START)) == "insufficient_isolated_margin"
    move(Decimal(-1050), START)


def test_the_position_mode_changes_silently_with_nothing_open() -> None:
    exchange = open_exchange()
    change = partial(exchange.set_hedge_mode, "alice")
    assert refusal(partial(change, False, START)) == "no_need_to_change_position_side"
    exchange.place("alice", limit("buy", "1", "70000"), START)
    assert refusal(partial(change, True, START)) == "mode_change_open_orders"
    exchange.cancel_all("alice", "BTCUSDT", START)
    exchange.place_algo("alice", algo("stop_market", "buy", quantity="1", trigger_price="90000"), START)
    assert refusal(partial(change, True, START)) == "mode_change_open_orders"
    exchange.cancel_all_algo("alice", "BTCUSDT", START)
    hold(exchange, "alice", "1")
    assert refusal(partial(change, True, START)) == "mode_change_open_positions"
    exchange.place("alice", market("sell", "1"), START)
    exchange.drain()
    change(True, START)
    assert exchange.drain() == []
    assert exchange.settings("alice").hedge_mode


def test_the_asset_mode_is_told() -> None:
    exchange = open_exchange()
    exchange.set_multi_assets("alice", True, later(3))
    assert exchange.drain() == [AssetModeHappened(account="alice", time=later(3), multi_assets=True)]
    assert refusal(partial(exchange.set_multi_assets, "alice", True, START)) == "no_need_to_change_multi_assets"
    assert refusal(partial(exchange.set_margin_type, "alice", "BTCUSDT", "isolated", START)) == "isolated_with_multi_assets"
    exchange.set_multi_assets("alice", False, START)
    exchange.set_margin_type("alice", "BTCUSDT", "isolated", START)
    assert refusal(partial(exchange.set_multi_assets, "alice", True, START)) == "multi_assets_with_isolated"


def test_shared_assets_that_are_needed_stay_shared() -> None:
    exchange = open_exchange(usdt="1000")
    exchange.transfer("alice", "USDC", Decimal(10000), START)
    exchange.set_multi_assets("alice", True, START)
    exchange.place("alice", limit("buy", "1", "80000"), START)
    assert refusal(partial(exchange.set_multi_assets, "alice", False, START)) == "margin_insufficient"
    assert exchange.settings("alice").multi_assets


@pytest.mark.parametrize(
    ("amount", "reason", "income_type"),
    [
        ("250.5", "deposit", "transfer"),
        ("-250.5", "withdraw", "transfer"),
        ("1", "admin_deposit", "transfer"),
        ("-3", "auto_exchange", "auto_exchange"),
        ("2", "coin_swap_deposit", "coin_swap_deposit"),
    ],
)
def test_a_transfer_is_a_delta_and_an_income_line(amount: str, reason: str, income_type: str) -> None:
    exchange = open_exchange()
    exchange.transfer("alice", "USDT", Decimal(amount), later(7), reason=reason)
    [news] = accounts_told(exchange.drain())
    assert (news.reason, news.deltas, news.positions, news.time) == (reason, {"USDT": Decimal(amount)}, (), START + 7)
    assert news.balances[0].wallet == 100000 + Decimal(amount)
    [line] = exchange.income("alice")
    assert (line.income_type, line.amount, line.time) == (income_type, Decimal(amount), START + 7)


def test_a_withdrawal_leaves_margin_and_profit_behind() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    exchange.move_price("BTCUSDT", Decimal(90000), START)
    withdraw = partial(exchange.transfer, "alice", "USDT", reason="withdraw")
    assert available(exchange, "alice") > wallet(exchange, "alice")
    assert refusal(lambda: withdraw(Decimal("-99984.01"), START)) == "balance_insufficient"
    withdraw(Decimal("-99984"), START)
    exchange.transfer("alice", "USDT", Decimal(-5), START, reason="admin_withdraw")
    assert wallet(exchange, "alice") == -5


@pytest.mark.parametrize(("asset", "amount"), [("USDT", "0"), ("USDT", "NaN"), ("USDT", "Infinity"), ("USDT", "0.000000001"), ("", "1")])
def test_amounts_must_be_amounts(asset: str, amount: str) -> None:
    exchange = open_exchange()
    assert refusal(partial(exchange.transfer, "alice", asset, Decimal(amount), START)) == "bad_amount"


def test_fees_in_another_asset_while_it_lasts() -> None:
    exchange = Exchange(INSTRUMENTS, start_time=START)
    exchange.open_account("alice", {"USDT": Decimal(1000), "BNB": Decimal("0.001")})
    exchange.convert_fee_asset("alice", "BNB")
    assert exchange.fee_asset("alice") == "BNB"
    for _ in range(4):
        order = exchange.place("alice", limit("buy", "0.02", "79000"), START)
        exchange.counter_fill("alice", order.order_id, "BTCUSDT", None, START)
    first, *_, last = exchange.fills("alice")
    # 1580 x 0.0002 x 0.9 / 900
    assert (first.fee_asset, first.fee) == ("BNB", Decimal("0.000316"))
    assert (last.fee_asset, last.fee) == ("USDT", Decimal("0.316"))
    news = accounts_told(exchange.drain())
    assert [balance.asset for balance in news[0].balances] == ["USDT", "BNB"]
    assert refusal(partial(exchange.convert_fee_asset, "alice", "XYZ")) == "unknown_asset"
    exchange.convert_fee_asset("alice", "")
    assert exchange.fee_asset("alice") == ""


def test_a_locked_account_can_only_cancel() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "1", "70000"), START)
    exchange.set_can_trade("alice", False, later(1))
    assert not exchange.settings("alice").can_trade
    wish = limit("buy", "1", "70000")
    assert refusal(partial(exchange.place, "alice", wish, later(1))) == "trading_disabled"
    act = partial(exchange.amend, "alice", "BTCUSDT", order_id=order.order_id, quantity=Decimal(2), price=None, now=later(1))
    assert refusal(act) == "trading_disabled"
    exchange.cancel("alice", "BTCUSDT", order_id=order.order_id, now=later(1))
    exchange.set_can_trade("alice", True, later(2))
    exchange.place("alice", wish, later(2))
