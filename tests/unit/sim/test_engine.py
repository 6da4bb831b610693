"""Matching by itself: who trades with whom, in which order, at which price."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.support.paper import START
from userstream.sim.books import ExpiryReason, Order, OrderStatus, Side
from userstream.sim.engine import (
    FINAL,
    Book,
    Level,
    Match,
    Prevented,
    execute,
    finish,
    is_fillable,
    is_open,
    match,
    remaining,
    would_take,
)

SIDES = st.sampled_from(Side)
PRICES = st.integers(90, 110).map(Decimal)
QUANTITIES = st.integers(1, 20).map(Decimal)


def order(
    order_id: int,
    side: str,
    quantity: int | Decimal,
    price: int | Decimal,
    account: str = "alice",
    prevention: str = "none",
    force: str = "gtc",
) -> Order:
    return Order(
        order_id=order_id,
        account=account,
        symbol="BTCUSDT",
        client_order_id=f"c{order_id}",
        side=Side(side),
        order_type="limit",
        original_type="limit",
        time_in_force=force,
        quantity=Decimal(quantity),
        price=Decimal(price),
        self_trade_prevention=prevention,
        created_time=START,
        updated_time=START,
    )


def levels(*pairs: tuple[int, int]) -> Iterator[Level]:
    return iter([Level(Decimal(price), Decimal(quantity)) for price, quantity in pairs])


def run(book: Book, taker: Order, outside: Iterator[Level]) -> list[tuple[int | None, int, int]]:
    """Carry all meetings out; returns (maker's id or None, price, quantity) of each trade."""
    trades = []
    for meeting in match(book, taker, taker.price, outside, remaining):
        if isinstance(meeting, Prevented):
            finish(meeting.maker, OrderStatus.EXPIRED_IN_MATCH, START, ExpiryReason.SELF_TRADE)
            book.discard(meeting.maker)
            continue
        for each in (meeting.maker, taker):
            if each is not None:
                execute(each, meeting.price, meeting.quantity, START)
        if meeting.maker is not None and not is_open(meeting.maker):
            book.discard(meeting.maker)
        trades.append((meeting.maker.order_id if meeting.maker else None, int(meeting.price), int(meeting.quantity)))
    return trades


def test_better_prices_trade_first_and_older_orders_at_equal_price() -> None:
    book = Book()
    for resting in (order(1, "sell", 2, 101), order(2, "sell", 2, 100), order(3, "sell", 2, 100)):
        book.insert(resting)
    assert run(book, order(9, "buy", 5, 101, "bob"), levels()) == [(2, 100, 2), (3, 100, 2), (1, 101, 1)]


def test_the_outside_market_trades_between_the_resting_orders_by_price_and_after_them_at_equal_price() -> None:
    book = Book()
    book.insert(order(1, "buy", 1, 100))
    book.insert(order(2, "buy", 1, 98))
    trades = run(book, order(9, "sell", 6, 97, "bob"), levels((100, 1), (99, 2), (97, 50)))
    assert trades == [(1, 100, 1), (None, 100, 1), (None, 99, 2), (2, 98, 1), (None, 97, 1)]


def test_a_limit_is_never_passed() -> None:
    book = Book()
    book.insert(order(1, "sell", 1, 101))
    taker = order(9, "buy", 5, 100, "bob")
    assert run(book, taker, levels((100, 1), (101, 5))) == [(None, 100, 1)]
    assert remaining(taker) == 4


def test_an_order_meets_its_own_account_only_when_it_may() -> None:
    book = Book()
    own = order(1, "sell", 1, 100)
    book.insert(own)
    price = Decimal(100)
    careful = order(9, "buy", 1, 100, prevention="expire_taker")
    careless = order(10, "buy", 1, 100, prevention="none")
    killed = order(11, "buy", 1, 100, prevention="expire_maker", force="fok")
    assert next(match(book, careful, price, levels(), remaining)) == Prevented(own)
    assert next(match(book, careless, price, levels(), remaining)) == Match(own, price, Decimal(1))
    assert next(match(book, killed, price, levels(), remaining)) == Match(own, price, Decimal(1))


def test_the_average_price_is_exact_to_eight_decimals_and_the_quote_wholly() -> None:
    filled = order(1, "buy", 3, 100)
    execute(filled, Decimal("100"), Decimal(1), START)
    execute(filled, Decimal("100.1"), Decimal(2), START)
    assert filled.filled_quote == Decimal("300.2")
    assert filled.average_price == Decimal("100.06666667")
    assert filled.status is OrderStatus.FILLED


def test_all_ends_are_final() -> None:
    assert {status for status in OrderStatus if status not in FINAL} == {
        OrderStatus.NEW,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.PENDING_NEW,
    }


@given(st.lists(st.tuples(SIDES, PRICES, QUANTITIES), max_size=20), st.lists(st.integers(0, 19), max_size=10))
def test_the_book_is_sorted_by_price_and_age_and_forgets_what_is_discarded(
    wishes: list[tuple[Side, Decimal, Decimal]], gone: list[int]
) -> None:
    book = Book()
    orders = [order(number, side, quantity, price) for number, (side, price, quantity) in enumerate(wishes)]
    for each in orders:
        book.insert(each)
    for number in gone:
        if number < len(orders):
            book.discard(orders[number])
    kept = [each for each in orders if each.order_id not in gone]
    bids = sorted((each for each in kept if each.side is Side.BUY), key=lambda each: (-each.price, each.order_id))
    asks = sorted((each for each in kept if each.side is Side.SELL), key=lambda each: (each.price, each.order_id))
    assert book.is_empty == (not kept)
    for side, expected in ((Side.BUY, bids), (Side.SELL, asks)):
        assert [each.order_id for each in book.side(side)] == [each.order_id for each in expected]
        assert book.side(side).front() is (expected[0] if expected else None)
        assert book.side(side).best_price == (expected[0].price if expected else None)


@given(st.lists(st.tuples(PRICES, QUANTITIES), max_size=8), PRICES, QUANTITIES, st.lists(st.tuples(PRICES, QUANTITIES), max_size=5))
def test_what_is_traded_is_what_was_promised(
    resting: list[tuple[Decimal, Decimal]], price: Decimal, quantity: Decimal, offers: list[tuple[Decimal, Decimal]]
) -> None:
    book = Book()
    for number, (ask, size) in enumerate(resting):
        book.insert(order(number, "sell", size, ask))
    outside = [Level(*offer) for offer in sorted(offers)]
    taker = order(99, "buy", quantity, price, "bob")
    fillable = is_fillable(book, Side.BUY, price, quantity, iter(outside), remaining)
    takes = would_take(book, Side.BUY, price, outside[0].price if outside else price + 1)
    trades = run(book, taker, iter(outside))
    assert (remaining(taker) == 0) == fillable
    assert bool(trades) == takes
    assert [trade[1] for trade in trades] == sorted(trade[1] for trade in trades)
    assert all(trade[1] <= price for trade in trades)
    assert sum(trade[2] for trade in trades) == taker.filled_quantity
