"""The life of orders: what is told of each step, in which order, and what is left on the books."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import pytest

from tests.support.paper import (
    START,
    accounts_told,
    amount,
    available,
    exact,
    hold,
    later,
    limit,
    market,
    open_exchange,
    orders_told,
    refusal,
    story,
    wallet,
)
from userstream.sim.books import ExpiryReason, Millis, OrderStatus, PositionSide, Side
from userstream.sim.exchange import Exchange
from userstream.sim.instruments import perpetual
from userstream.sim.trading import MAX_AMENDMENTS


def test_a_resting_order_is_told_once_and_changes_no_money() -> None:
    exchange = open_exchange()
    placed = exchange.place("alice", limit("buy", "0.05", "79000"), START)
    told = exchange.drain()
    assert story(told) == ["new new"]
    assert accounts_told(told) == []
    [news] = orders_told(told)
    assert (news.bid_notional, news.ask_notional, news.fill) == (Decimal("3950.000"), Decimal(0), None)
    assert exchange.open_orders("alice") == [placed]
    assert available(exchange, "alice") == 100000 - Decimal("197.5")
    assert wallet(exchange, "alice") == 100000


def test_a_market_order_walks_the_levels_in_one_millisecond() -> None:
    exchange = open_exchange()
    done = exchange.place("alice", market("buy", "0.1"), START)
    told = exchange.drain()
    fills = exchange.fills("alice")
    assert done.status is OrderStatus.FILLED
    assert len(fills) > 2
    assert [fill.price for fill in fills] == sorted({fill.price for fill in fills})
    assert {fill.time for fill in fills} == {START}
    assert story(told)[0] == "new new"
    assert story(told)[-1] == "trade filled"
    assert not any(fill.maker for fill in fills)
    assert sum(fill.fee for fill in fills) == pytest.approx(Decimal("0.0005") * done.filled_quote)


def test_two_accounts_meet_in_one_trade() -> None:
    exchange = open_exchange()
    resting = exchange.place("alice", limit("sell", "2", "80000.0"), START)
    exchange.drain()
    taker = exchange.place("bob", limit("buy", "1.5", "80000"), START)
    told = exchange.drain()
    [sold], [bought] = exchange.fills("alice"), exchange.fills("bob")
    assert sold.trade_id == bought.trade_id
    assert (sold.maker, bought.maker) == (True, False)
    assert exact(sold.fee, bought.fee) == exact(24, 60)
    assert story(told, "alice") == ["trade partially_filled"]
    assert story(told, "bob") == ["new new", "trade filled"]
    assert exchange.order("alice", "BTCUSDT", order_id=resting.order_id).filled_quantity == taker.filled_quantity == Decimal("1.5")
    assert (amount(exchange, "alice"), amount(exchange, "bob")) == (Decimal("-1.5"), Decimal("1.5"))


def test_each_execution_tells_the_order_then_the_account() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    exchange.place("alice", market("sell", "0.005"), START)
    told = exchange.drain()
    kinds = [type(each).__name__ for each in told]
    assert kinds[0] == "OrderHappened"
    assert kinds[1:] == ["OrderHappened", "AccountHappened"] * (len(kinds) // 2)
    news = accounts_told(told)[-1]
    assert (news.reason, news.deltas) == ("order", {"USDT": Decimal(0)})
    assert news.balances[0].wallet == wallet(exchange, "alice")
    assert news.positions[0].amount == amount(exchange, "alice") == Decimal("0.995")


def test_what_an_ioc_cannot_take_expires() -> None:
    exchange = open_exchange()
    done = exchange.place("alice", limit("buy", "5", "80000.1", time_in_force="ioc"), START)
    assert (done.status, done.expiry_reason) == (OrderStatus.EXPIRED, ExpiryReason.IOC_REMAINDER)
    assert 0 < done.filled_quantity < 5
    assert exchange.open_orders("alice") == []


def test_a_market_order_stops_at_the_price_band() -> None:
    exchange = Exchange([perpetual("BTC", "USDT", "100", "1", "0.001", "100000")], start_time=START)
    exchange.open_account("alice", {"USDT": Decimal(100000)})
    done = exchange.place("alice", market("sell", "200"), START)
    assert done.status is OrderStatus.EXPIRED
    assert done.expiry_reason == ExpiryReason.MARKET_REMAINDER
    assert 95 <= min(fill.price for fill in exchange.fills("alice")) < 99


def test_a_fill_or_kill_order_takes_all() -> None:
    exchange = open_exchange()
    exchange.place("bob", limit("sell", "3", "80000"), START)
    done = exchange.place("alice", limit("buy", "3", "80000", time_in_force="fok"), START)
    assert done.status is OrderStatus.FILLED
    assert refusal(lambda: exchange.place("alice", limit("buy", "3", "80000", time_in_force="fok"), START)) == "fok_not_fillable"


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("expire_maker", (OrderStatus.EXPIRED_IN_MATCH, 1), (OrderStatus.NEW, 0)),
        ("expire_taker", (OrderStatus.NEW, 0), (OrderStatus.EXPIRED_IN_MATCH, 1)),
        ("expire_both", (OrderStatus.EXPIRED_IN_MATCH, 1), (OrderStatus.EXPIRED_IN_MATCH, 1)),
        ("none", (OrderStatus.FILLED, 0), (OrderStatus.FILLED, 0)),
    ],
)
def test_self_trade_prevention(mode: str, maker: tuple[OrderStatus, int], taker: tuple[OrderStatus, int]) -> None:
    exchange = open_exchange()
    resting = exchange.place("alice", limit("sell", "1", "80000"), START)
    incoming = exchange.place("alice", limit("buy", "1", "80000", self_trade_prevention=mode), START)
    ended = exchange.order("alice", "BTCUSDT", order_id=resting.order_id)
    assert (ended.status, ended.expiry_reason) == maker
    assert (incoming.status, incoming.expiry_reason) == taker
    assert amount(exchange, "alice") == 0
    assert len(exchange.fills("alice")) == (2 if mode == "none" else 0)


def test_an_ioc_that_would_meet_itself_has_its_own_reason() -> None:
    exchange = open_exchange()
    exchange.place("alice", limit("sell", "1", "80000"), START)
    done = exchange.place("alice", limit("buy", "1", "80000", time_in_force="ioc", self_trade_prevention="expire_taker"), START)
    assert (done.status, done.expiry_reason) == (OrderStatus.EXPIRED_IN_MATCH, ExpiryReason.IOC_SELF_TRADE)


def test_an_amendment_moves_the_order_and_keeps_its_ids() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "1", "79000", client_order_id="mine"), START)
    exchange.drain()
    amended = exchange.amend(
        "alice", "BTCUSDT", order_id=order.order_id, side=Side.BUY, quantity=Decimal(2), price=Decimal(79500), modify_id="7", now=later(5)
    )
    assert (amended.order_id, amended.client_order_id, amended.updated_time) == (order.order_id, "mine", START + 5)
    assert (amended.quantity, amended.price, amended.modify_id) == (Decimal(2), Decimal(79500), "7")
    told = exchange.drain()
    assert story(told) == ["amendment new"]
    assert orders_told(told)[0].bid_notional == 159000
    [made] = exchange.amendments("alice", "BTCUSDT", order.order_id)
    assert exact(made.price_before, made.price_after, made.quantity_before, made.quantity_after) == exact(79000, 79500, 1, 2)
    assert made.count == 1


def test_an_amended_order_loses_its_place() -> None:
    exchange = open_exchange()
    first = exchange.place("alice", limit("buy", "1", "80000"), START)
    exchange.place("bob", limit("buy", "1", "80000"), START)
    exchange.amend("alice", "BTCUSDT", order_id=first.order_id, quantity=Decimal(2), price=None, now=START)
    exchange.open_account("carol", {"USDT": Decimal(100000)})
    exchange.place("carol", limit("sell", "1", "80000"), START)
    assert (amount(exchange, "alice"), amount(exchange, "bob")) == (Decimal(0), Decimal(1))


def test_an_amendment_into_the_market_trades() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "0.003", "79000"), START)
    exchange.drain()
    done = exchange.amend("alice", "BTCUSDT", order_id=order.order_id, quantity=None, price=Decimal("80000.1"), now=START)
    assert done.status is OrderStatus.FILLED
    assert story(exchange.drain())[:2] == ["amendment new", "trade filled"]


def test_a_post_only_order_that_would_take_by_its_amendment_is_cancelled() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "1", "79000", time_in_force="gtx"), START)
    exchange.drain()
    done = exchange.amend("alice", "BTCUSDT", order_id=order.order_id, quantity=None, price=Decimal(80001), now=START)
    assert (done.status, done.expiry_reason) == (OrderStatus.CANCELED, ExpiryReason.POST_ONLY_WOULD_TAKE)
    assert story(exchange.drain()) == ["amendment new", "canceled canceled"]


def test_an_amendment_to_what_is_filled_cancels() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "1", "79000"), START)
    exchange.counter_fill("alice", order.order_id, "BTCUSDT", Decimal("0.4"), START)
    done = exchange.amend("alice", "BTCUSDT", order_id=order.order_id, quantity=Decimal("0.4"), price=None, now=START)
    assert (done.status, done.filled_quantity) == (OrderStatus.CANCELED, Decimal("0.4"))
    assert available(exchange, "alice") > 98000


@pytest.mark.parametrize(
    ("quantity", "price", "side", "rule"),
    [
        (None, None, None, "amend_no_change"),
        ("1", "79000", "buy", "amend_no_change"),
        ("2", None, "sell", "amend_side_mismatch"),
        ("1.0005", None, None, "bad_step"),
        (None, "79000.01", None, "bad_tick"),
        (None, "85000", None, "percent_price"),
        (None, "4", None, "min_notional"),
        ("30", None, None, "margin_insufficient"),
    ],
)
def test_refused_amendments(quantity: str | None, price: str | None, side: str | None, rule: str) -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "1", "79000"), START)
    exchange.drain()
    wanted = [None if each is None else Decimal(each) for each in (quantity, price)]

    def act() -> object:
        return exchange.amend(
            "alice",
            "BTCUSDT",
            order_id=order.order_id,
            side=None if side is None else Side(side),
            quantity=wanted[0],
            price=wanted[1],
            now=START,
        )

    assert refusal(act) == rule
    assert exchange.drain() == []
    assert exchange.open_orders("alice") == [order]


def test_an_order_is_not_amended_for_ever() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "1", "79000"), START)
    change = partial(exchange.amend, "alice", "BTCUSDT", order_id=order.order_id, price=None, now=START)
    for count in range(MAX_AMENDMENTS):
        change(quantity=Decimal(2 if count % 2 else 3))
    exchange.drain()
    assert refusal(partial(change, quantity=Decimal(1))) == "too_many_amendments"
    numbers = [made.amendment_id for made in exchange.amendments("alice", "BTCUSDT", order.order_id)]
    assert len(set(numbers)) == MAX_AMENDMENTS


def test_the_outside_fills_in_parts_as_maker() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "1", "79000"), START)
    exchange.drain()
    part = exchange.counter_fill("alice", order.order_id, "BTCUSDT", Decimal("0.3"), START)
    rest = exchange.counter_fill("alice", order.order_id, "BTCUSDT", None, START)
    assert (part.quantity, rest.quantity) == (Decimal("0.3"), Decimal("0.7"))
    assert part.maker and part.trade_id < rest.trade_id
    assert part.fee == Decimal("4.74")
    assert story(exchange.drain()) == ["trade partially_filled", "trade filled"]
    assert refusal(lambda: exchange.counter_fill("alice", order.order_id, "BTCUSDT", None, START)) == "unknown_order"


@pytest.mark.parametrize(("quantity", "rule"), [("0", "bad_step"), ("-1", "bad_step"), ("0.0001", "bad_step"), ("2", "quantity_too_large")])
def test_refused_counter_fills(quantity: str, rule: str) -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "1", "79000"), START)
    assert refusal(lambda: exchange.counter_fill("alice", order.order_id, "BTCUSDT", Decimal(quantity), START)) == rule


def test_a_moved_price_fills_what_it_passes_at_the_orders_own_price() -> None:
    exchange = open_exchange()
    exchange.place("alice", limit("buy", "1", "79000"), START)
    exchange.place("alice", limit("buy", "1", "78000"), START)
    exchange.move_price("BTCUSDT", Decimal(78500), START)
    [fill] = exchange.fills("alice")
    assert (fill.price, fill.quantity, fill.maker) == (Decimal(79000), Decimal(1), True)
    assert [order.price for order in exchange.open_orders("alice")] == [78000]


def test_the_walk_fills_resting_orders_in_time() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "1", "79999.9"), START)
    exchange.advance(later(60_000))
    assert exchange.order("alice", "BTCUSDT", order_id=order.order_id).status is OrderStatus.FILLED
    assert {fill.price for fill in exchange.fills("alice")} == {Decimal("79999.9")}
    assert all(fill.time % 100 == 0 and fill.maker for fill in exchange.fills("alice"))


def test_the_walk_takes_some_orders_in_parts_at_different_times() -> None:
    moments = []
    for seed in range(30):
        exchange = open_exchange(seed=seed)
        exchange.place("alice", limit("buy", "1", "79999.9"), START)
        exchange.advance(later(30_000))
        moments.append([fill.time for fill in exchange.fills("alice")])
    assert all(len(set(times)) == len(times) for times in moments)
    assert sum(len(times) == 1 for times in moments) > 5
    assert sum(len(times) > 1 for times in moments) > 3


def test_cancelling() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "1", "79000", client_order_id="mine"), START)
    exchange.place("alice", limit("sell", "1", "81000"), START)
    exchange.place("alice", limit("buy", "1", "2900", symbol="ETHUSDT"), START)
    exchange.drain()
    assert exchange.cancel("alice", "BTCUSDT", client_order_id="mine", now=later(1)).status is OrderStatus.CANCELED
    assert exchange.cancel_all("alice", "BTCUSDT", later(2)) == 1
    assert story(exchange.drain()) == ["canceled canceled"] * 2
    assert [each.symbol for each in exchange.open_orders("alice")] == ["ETHUSDT"]
    for order_id, client_order_id in ((order.order_id, None), (None, "mine"), (1, None), (None, None)):
        act = partial(exchange.cancel, "alice", "BTCUSDT", order_id=order_id, client_order_id=client_order_id, now=START)
        assert refusal(act) == "unknown_order"


def test_a_gtd_order_expires_at_its_time() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "1", "60000", time_in_force="gtd", good_till_time=Millis(START + 700_050)), START)
    exchange.advance(later(700_049))
    assert exchange.open_orders("alice") != []
    exchange.advance(later(800_000))
    ended = exchange.order("alice", "BTCUSDT", order_id=order.order_id)
    assert (ended.status, ended.updated_time) == (OrderStatus.EXPIRED, START + 700_050)


def test_a_reducing_order_never_turns_the_position() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    done = exchange.place("alice", market("sell", "3", reduce_only=True), START)
    assert (done.status, done.expiry_reason, done.filled_quantity) == (OrderStatus.EXPIRED, ExpiryReason.REDUCE_ONLY, Decimal(1))
    assert amount(exchange, "alice") == 0


def test_reducing_orders_without_a_position_expire() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    near = exchange.place("alice", limit("sell", "1", "81000", reduce_only=True), START)
    exchange.drain()
    exchange.place("alice", market("sell", "1"), START)
    assert story(exchange.drain())[-1] == "expired expired"
    assert exchange.order("alice", "BTCUSDT", order_id=near.order_id).expiry_reason == ExpiryReason.REDUCE_ONLY


def test_a_reducing_order_expires_when_another_order_of_the_account_is_taken() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "1")
    stop = exchange.place("alice", limit("sell", "1", "81000", reduce_only=True), START)
    exchange.place("alice", limit("sell", "1", "80000"), START)
    exchange.place("bob", market("buy", "1"), START)
    assert amount(exchange, "alice") == 0
    assert exchange.order("alice", "BTCUSDT", order_id=stop.order_id).expiry_reason == ExpiryReason.REDUCE_ONLY


def test_a_better_reducing_order_displaces_a_worse_one() -> None:
    exchange = open_exchange()
    hold(exchange, "alice", "-1")
    far = exchange.place("alice", limit("buy", "0.6", "78000", reduce_only=True), START)
    middle = exchange.place("alice", limit("buy", "0.6", "78500", reduce_only=True), START)
    assert len(exchange.open_orders("alice")) == 2
    exchange.place("alice", limit("buy", "0.5", "79000", reduce_only=True), START)
    assert exchange.order("alice", "BTCUSDT", order_id=far.order_id).expiry_reason == ExpiryReason.REDUCE_ONLY
    assert exchange.order("alice", "BTCUSDT", order_id=middle.order_id).status is OrderStatus.NEW


def test_closing_orders_of_a_hedge_leg_expire_with_it() -> None:
    exchange = open_exchange()
    exchange.set_hedge_mode("alice", True, START)
    hold(exchange, "alice", "-1", side=PositionSide.SHORT)
    closing = exchange.place("alice", limit("buy", "1", "78000", position_side=PositionSide.SHORT), START)
    exchange.place("alice", market("buy", "1", position_side=PositionSide.SHORT), START)
    ended = exchange.order("alice", "BTCUSDT", order_id=closing.order_id)
    assert ended.expiry_reason == ExpiryReason.REDUCE_ONLY or ended.status is OrderStatus.CANCELED
    assert amount(exchange, "alice", side=PositionSide.SHORT) == 0


def test_the_dead_mans_switch() -> None:
    exchange = open_exchange()
    exchange.place("alice", limit("buy", "1", "60000"), START)
    exchange.set_countdown("alice", "BTCUSDT", 1000, START)
    exchange.set_countdown("alice", "BTCUSDT", 1000, later(900))
    exchange.advance(later(1899))
    assert len(exchange.open_orders("alice")) == 1
    exchange.drain()
    exchange.advance(later(1900))
    told = exchange.drain()
    assert story(told) == ["canceled canceled"]
    assert told[0].time == START + 1900
    exchange.place("alice", limit("buy", "1", "60000"), later(2000))
    exchange.set_countdown("alice", "BTCUSDT", 1000, later(2000))
    exchange.set_countdown("alice", "BTCUSDT", 0, later(2100))
    exchange.advance(later(9000))
    assert len(exchange.open_orders("alice")) == 1
