"""The arithmetic of one account, in figures that can be checked by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paper import BTC, START, exact
from userstream.sim.books import ZERO, Fill, Millis, Order, PositionSide, Side
from userstream.sim.ledger import FeeTerms, Ledger, Leg, money

NO_FEE = FeeTerms(ZERO, "USDT")


def ledger(usdt: str = "10000") -> Ledger:
    return Ledger("alice", {"USDT": Decimal(usdt)}, START)


def trade(
    book: Ledger, side: str, quantity: str, price: str, fee: FeeTerms = NO_FEE, position_side: PositionSide = PositionSide.BOTH
) -> Fill:
    order = Order(
        order_id=1,
        account="alice",
        symbol="BTCUSDT",
        client_order_id="c1",
        side=Side(side),
        position_side=position_side,
        order_type="limit",
        original_type="limit",
        time_in_force="gtc",
        quantity=Decimal(quantity),
        created_time=START,
        updated_time=START,
    )
    return book.trade(order, BTC, Decimal(price), Decimal(quantity), trade_id=len(book.income) + 1, maker=False, fee=fee, now=START)


def leg(book: Ledger, side: PositionSide = PositionSide.BOTH) -> Leg:
    return book.leg(BTC, side)


@given(st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.integers(1, 3), st.sampled_from(PositionSide)), max_size=12))
def test_open_legs_are_those_that_are_not_flat(trades: list[tuple[str, int, PositionSide]]) -> None:
    book = ledger()
    for side, quantity, position_side in trades:
        trade(book, side, str(quantity), "80000", position_side=position_side)
        assert list(book.open_legs()) == [each for legs in book.legs.values() for each in legs.values() if each.amount]


def test_a_position_is_opened_enlarged_reduced_and_closed() -> None:
    book = ledger()
    trade(book, "buy", "1", "80000")
    trade(book, "buy", "1", "81000")
    assert exact(leg(book).amount, leg(book).entry_price) == exact(2, 80500)
    assert trade(book, "sell", "0.5", "81500").realized_pnl == 500
    assert exact(leg(book).amount, leg(book).entry_price) == exact(Decimal("1.5"), 80500)
    assert trade(book, "sell", "1.5", "80000").realized_pnl == -750
    assert exact(leg(book).amount, leg(book).entry_price, leg(book).realized_pnl) == exact(0, 0, -250)
    assert book.wallet("USDT") == 9750


def test_a_flip_realises_the_closed_part_and_opens_the_rest_at_the_new_price() -> None:
    book = ledger()
    trade(book, "sell", "1", "80000")
    assert trade(book, "buy", "3", "79000").realized_pnl == 1000
    assert exact(leg(book).amount, leg(book).entry_price) == exact(2, 79000)


def test_legs_of_a_hedge_are_apart() -> None:
    book = ledger()
    trade(book, "buy", "1", "80000", position_side=PositionSide.LONG)
    trade(book, "sell", "2", "81000", position_side=PositionSide.SHORT)
    assert leg(book, PositionSide.LONG).amount == 1
    assert leg(book, PositionSide.SHORT).amount == -2
    assert trade(book, "buy", "1", "80000", position_side=PositionSide.SHORT).realized_pnl == 1000
    assert leg(book, PositionSide.LONG).amount == 1


def test_fees_are_paid_and_rebates_received() -> None:
    book = ledger()
    fill = trade(book, "buy", "0.1", "80000", FeeTerms(Decimal("0.0005"), "USDT"))
    assert fill.fee == 4
    assert fill.fee_asset == "USDT"
    assert book.wallet("USDT") == 9996
    assert trade(book, "buy", "0.1", "80000", FeeTerms(Decimal("-0.0001"), "USDT")).fee == Decimal("-0.8")
    assert book.wallet("USDT") == Decimal("9996.8")
    assert [line.amount for line in book.income] == [-4, Decimal("0.8")]


def test_a_fee_in_another_asset_leaves_the_margin_asset_alone() -> None:
    book = Ledger("alice", {"USDT": Decimal(10000), "BNB": Decimal(1)}, START)
    fill = trade(book, "buy", "0.1", "80000", FeeTerms(Decimal("0.00045"), "BNB", Decimal(900)))
    assert fill.fee == Decimal("0.004")
    assert fill.fee_asset == "BNB"
    assert exact(book.wallet("USDT"), book.wallet("BNB")) == exact(10000, Decimal("0.996"))


def test_break_even_is_where_closing_pays_the_opening_fees_back() -> None:
    book = ledger()
    fee = FeeTerms(Decimal("0.0005"), "USDT")
    trade(book, "buy", "2", "80000", fee)
    assert leg(book).break_even_price == 80040
    trade(book, "sell", "1", "81000", fee)
    assert leg(book).break_even_price == 80040
    short = ledger()
    trade(short, "sell", "2", "80000", fee)
    assert leg(short).break_even_price == 79960


def test_an_isolated_position_sets_margin_aside_and_gives_it_back_by_share() -> None:
    book = ledger()
    book.terms_of("BTCUSDT").isolated = True
    book.terms_of("BTCUSDT").leverage = 10
    trade(book, "buy", "1", "80000")
    assert exact(leg(book).isolated_wallet, book.cross_wallet("USDT"), book.wallet("USDT")) == exact(8000, 2000, 10000)
    trade(book, "sell", "0.25", "81000")
    assert exact(leg(book).isolated_wallet, book.wallet("USDT")) == exact(6000, 10250)
    trade(book, "sell", "0.75", "80000")
    assert exact(leg(book).isolated_wallet, book.cross_wallet("USDT")) == exact(0, 10250)


def test_a_leg_that_is_only_looked_at_is_not_kept() -> None:
    book = ledger()
    leg(book)
    assert book.legs == {}


def test_a_snapshot_shows_profit_and_margins_at_the_mark_price() -> None:
    book = ledger()
    trade(book, "sell", "0.5", "80000")
    shown = book.position(leg(book), Decimal(82000), Decimal("0.004"))
    assert exact(shown.amount, shown.unrealized_pnl) == exact(Decimal("-0.5"), -1000)
    assert exact(shown.initial_margin, shown.maintenance_margin) == exact(2050, 164)
    assert (shown.margin_type, shown.leverage) == ("cross", 20)


@pytest.mark.parametrize(("exact", "rounded"), [("0.000000005", "0"), ("0.000000015", "0.00000002"), ("-0.000000025", "-0.00000002")])
def test_money_is_rounded_to_the_even_eighth_decimal(exact: str, rounded: str) -> None:
    assert money(Decimal(exact)) == Decimal(rounded)


TRADES = st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.integers(1, 5000), st.integers(799_000, 801_000)), max_size=30)
RATES = st.sampled_from(["0.0005", "0.0002", "-0.0001", "0"])


@given(TRADES, RATES, st.booleans())
def test_the_wallet_is_its_opening_plus_its_income_and_the_position_the_sum_of_its_fills(
    trades: list[tuple[str, int, int]], rate: str, isolated: bool
) -> None:
    book = ledger()
    book.terms_of("BTCUSDT").isolated = isolated
    fills = [
        trade(book, side, str(Decimal(quantity) / 1000), str(Decimal(price) / 10), FeeTerms(Decimal(rate), "USDT"))
        for side, quantity, price in trades
    ]
    assert book.wallet("USDT") == 10000 + sum((line.amount for line in book.income), ZERO)
    assert book.wallet("USDT") == 10000 + sum((fill.realized_pnl - fill.fee for fill in fills), ZERO)
    held = leg(book)
    assert held.amount == sum((fill.quantity if fill.side is Side.BUY else -fill.quantity for fill in fills), ZERO)
    assert held.realized_pnl == sum((fill.realized_pnl for fill in fills), ZERO)
    assert bool(held.entry_price) == bool(held.amount)
    assert (held.isolated_wallet > 0) == (isolated and bool(held.amount))


@given(TRADES)
def test_profit_plus_what_is_open_is_what_buying_and_selling_brought(trades: list[tuple[str, int, int]]) -> None:
    book = ledger()
    cash = ZERO
    for side, quantity, price in trades:
        fill = trade(book, side, str(Decimal(quantity) / 1000), str(Decimal(price) / 10))
        cash += fill.quote_quantity if fill.side is Side.SELL else -fill.quote_quantity
    held = leg(book)
    # Each fill rounds the entry price and the profit once, to 8 decimals; the largest position is 150.
    assert abs(held.realized_pnl - (cash + held.amount * held.entry_price)) < Decimal("0.0001")


def test_times_and_ids_of_income_grow() -> None:
    book = ledger()
    book.post("transfer", "USDT", Decimal(5), Millis(START + 1))
    book.post("transfer", "EUR", Decimal(5), Millis(START + 2))
    assert [line.transaction_id for line in book.income] == sorted({line.transaction_id for line in book.income})
    assert book.wallet("EUR") == 5
    assert book.balances["EUR"].updated_time == START + 2
