"""The exchange as a whole: time, money, replacing, reading."""

from decimal import Decimal

import pytest

from tests.unit.sim.spot.kit import (
    BTC,
    PAIRS,
    START,
    check_books,
    check_news,
    exact,
    later,
    limit,
    market,
    money,
    oco,
    open_exchange,
    oto,
    refusal,
    sell_pair,
    story,
    wish,
)
from userstream.sim.books import AccountHappened, NewOrder, OrderStatus, PositionSide, Side
from userstream.sim.exchange import Exchange
from userstream.sim.instruments import perpetual
from userstream.sim.spot.exchange import SpotExchange, spot_of

D = Decimal


def test_an_account_opens_once_with_money_that_is_money() -> None:
    exchange = open_exchange("alice")
    assert exchange.accounts() == ("alice",)
    assert refusal(lambda: exchange.open_account("alice", {})) == "duplicate_account"
    for balances in ({"USDT": D(-1)}, {"USDT": D("NaN")}):
        assert refusal(lambda b=balances: exchange.open_account("bob", b)) == "bad_amount"  # type: ignore[misc]
    assert refusal(lambda: exchange.open_account("", {})) == "bad_amount"
    assert "1 accounts" in repr(exchange)


def test_the_same_seed_and_calls_give_the_same_books() -> None:
    def play(seed: int, portions: list[int]) -> object:
        exchange = open_exchange(seed=seed)
        exchange.place("alice", limit("buy", "0.5", "79990"), START)
        exchange.place("alice", oto(limit("buy", "0.1", "79995"), limit("sell", "0.05", "80100")).orders[0], START)
        for portion in portions:
            exchange.advance(later(portion))
        return exchange.orders("alice"), exchange.balances("alice"), exchange.last_price("BTCUSDT")

    assert play(3, [60_000]) == play(3, [1, 99, 100, 5_000, 5_000, 60_000])
    assert play(3, [60_000]) != play(4, [60_000])


def test_time_never_goes_back() -> None:
    exchange = open_exchange()
    exchange.advance(later(500))
    exchange.place("alice", limit("buy", "0.1", "70000"), START)
    assert exchange.time == exchange.orders("alice")[0].created_time == later(500)


# --- money -------------------------------------------------------------------------------------------------------------


def test_transfers_and_outside_locks_are_told_with_what_moved() -> None:
    exchange = open_exchange()
    exchange.transfer("alice", "ETH", D(3), later(1))
    exchange.transfer("alice", "USDT", D(-1000), later(2), reason="withdraw")
    exchange.lock_externally("alice", "BTC", D("0.5"), later(3))
    assert money(exchange, "alice", "BTC") == exact("1.5", "0.5")
    told = [each for each in exchange.drain() if isinstance(each, AccountHappened)]
    assert [(each.reason, each.deltas) for each in told] == [
        ("deposit", {"ETH": D(3)}),
        ("withdraw", {"USDT": D(-1000)}),
        ("external_lock", {"BTC": D("0.5")}),
    ]
    check_news(exchange, told)
    assert [line.info for line in exchange.income("alice")] == ["DEPOSIT", "WITHDRAW"]
    assert exchange.updated_time("alice") == later(3)
    exchange.lock_externally("alice", "BTC", D("-0.5"), later(4))
    check_books(exchange)


@pytest.mark.parametrize(
    ("asset", "amount", "rule"),
    [
        ("USDT", "-100001", "balance_insufficient"),
        ("USDT", "0", "bad_amount"),
        ("USDT", "0.000000001", "bad_amount"),
        ("", "1", "bad_amount"),
    ],
)
def test_money_that_is_not_there_cannot_move(asset: str, amount: str, rule: str) -> None:
    exchange = open_exchange()
    assert refusal(lambda: exchange.transfer("alice", asset, D(amount), START, reason="withdraw")) == rule
    held = "100001" if rule == "balance_insufficient" else amount
    assert refusal(lambda: exchange.lock_externally("alice", asset, D(held), START)) == rule
    assert exchange.drain() == []


# --- replacing ---------------------------------------------------------------------------------------------------------


def test_a_replacement_cancels_then_places() -> None:
    exchange = open_exchange()
    old = exchange.place("alice", limit("sell", "2", "90000"), START)
    done = exchange.replace(
        "alice", "BTCUSDT", limit("sell", "2", "91000"), START, order_id=old.order_id, new_client_order_id="bye", stop_on_failure=True
    )
    assert done.is_whole
    assert done.canceled is not None
    assert done.canceled.cancel_id == "bye"
    assert [order.status for order in exchange.orders("alice")] == [OrderStatus.CANCELED, OrderStatus.NEW]


def test_a_replacement_may_go_on_without_the_first_half() -> None:
    exchange = open_exchange()
    new = limit("sell", "1", "91000")
    stopped = exchange.replace("alice", "BTCUSDT", new, START, order_id=5, stop_on_failure=True)
    assert (stopped.cancel_refusal or ("",))[0] == "unknown_order"
    assert stopped.placed is None
    assert stopped.refusal is None
    gone_on = exchange.replace("alice", "BTCUSDT", new, START, order_id=5, stop_on_failure=False)
    assert gone_on.placed is not None
    assert not gone_on.is_whole


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (limit("sell", "3", "91000"), True),
        (wish("limit_maker", "sell", quantity="1", price="70000"), True),
        (limit("sell", "1", "91000.001"), False),
    ],
)
def test_a_refused_second_half_makes_news_when_the_books_refuse_it(new: object, told: bool) -> None:
    assert isinstance(new, type(limit("buy", "1", "1")))
    exchange = open_exchange()
    old = exchange.place("alice", limit("sell", "1", "90000"), START)
    exchange.drain()
    done = exchange.replace("alice", "BTCUSDT", new, START, order_id=old.order_id, stop_on_failure=True)
    assert done.canceled is not None
    assert done.refusal is not None
    assert [line for line in story(exchange.drain()) if "rejected" in line] == ([f"{new.order_type} rejected rejected"] if told else [])
    assert len(exchange.orders("alice")) == 1


def test_a_restriction_looks_at_the_state() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("sell", "1", "90000"), START)

    def cancel(restriction: str) -> None:
        exchange.cancel("alice", "BTCUSDT", order_id=order.order_id, restriction=restriction, now=START)

    assert refusal(lambda: cancel("only_partially_filled")) == "cancel_restricted"
    exchange.counter_fill("alice", order.order_id, "BTCUSDT", D("0.5"), START)
    assert refusal(lambda: cancel("only_new")) == "cancel_restricted"
    cancel("only_partially_filled")


def test_cancelling_all_takes_lists_and_only_the_symbol() -> None:
    exchange = open_exchange()
    exchange.place("alice", limit("buy", "0.1", "70000"), START)
    exchange.place("alice", limit("buy", "1", "2500", symbol="ETHUSDT"), START)
    exchange.place_list("alice", oco(sell_pair("0.5")), START)
    assert exchange.cancel_all("alice", "BTCUSDT", START) == 3
    assert [order.symbol for order in exchange.open_orders("alice")] == ["ETHUSDT"]
    assert exchange.order_lists("alice", open_only=True) == []
    assert refusal(lambda: exchange.cancel_all("alice", "NONE", START)) == "unknown_symbol"
    check_books(exchange)


# --- what all books share ----------------------------------------------------------------------------------------------


def test_a_wish_in_shared_words_is_a_spot_order() -> None:
    exchange = open_exchange()
    plain = NewOrder(symbol="BTCUSDT", side=Side.BUY, quantity=D("0.1"), price=D(70000))
    assert exchange.place("alice", plain, START).order_type == "limit"
    maker = NewOrder(symbol="BTCUSDT", side=Side.BUY, quantity=D("0.1"), price=D(70000), time_in_force="gtx")
    assert exchange.place("alice", maker, START).order_type == "limit_maker"
    for odd in (
        NewOrder(symbol="BTCUSDT", side=Side.BUY, quantity=D(1), price=D(70000), reduce_only=True),
        NewOrder(symbol="BTCUSDT", side=Side.BUY, quantity=D(1), price=D(70000), position_side=PositionSide.LONG),
    ):
        assert refusal(lambda order=odd: exchange.place("alice", order, START)) == "not_on_spot"  # type: ignore[misc]


def test_there_are_no_positions_and_no_conditional_orders_apart() -> None:
    exchange = open_exchange()
    exchange.place("alice", market("buy", "0.1"), START)
    assert exchange.positions("alice", all=True) == []
    assert exchange.algo_orders("alice") == []
    assert exchange.mark_price("BTCUSDT") == exchange.last_price("BTCUSDT")
    assert exchange.best_price("BTCUSDT", Side.SELL) < exchange.last_price("BTCUSDT") < exchange.best_price("BTCUSDT", Side.BUY)
    assert exchange.fee_asset("alice") == ""
    assert exchange.settings("alice").can_trade
    assert (exchange.number("alice"), exchange.number("bob")) == (1, 2)
    assert set(exchange.instruments) == {each.symbol for each in PAIRS}
    assert exchange.orders("alice", "ETHUSDT") == []
    assert exchange.fills("alice", "ETHUSDT") == []


def test_copies_are_handed_out() -> None:
    exchange = open_exchange()
    order = exchange.place("alice", limit("buy", "0.1", "70000"), START)
    order.quantity = D(99)
    exchange.open_orders("alice")[0].quantity = D(99)
    assert exchange.order("alice", "BTCUSDT", order_id=order.order_id).quantity == D("0.1")
    assert BTC.symbol == order.symbol


def test_spot_is_told_from_contracts() -> None:
    exchange = open_exchange()
    assert isinstance(spot_of(exchange), SpotExchange)
    contracts = Exchange((perpetual("BTC", "USDT", "80000", "0.1", "0.001", "1000"),), start_time=START)
    assert refusal(lambda: spot_of(contracts)) == "only_spot"
