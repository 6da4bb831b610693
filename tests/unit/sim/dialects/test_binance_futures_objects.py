"""The parts of REST objects that are computed."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sim.kit import START
from userstream.sim.books import Order, OrderStatus, Position, PositionSide, Side
from userstream.sim.contracts import LINEAR
from userstream.sim.dialects.binance_futures_objects import max_notional, notionals_of, order_margin, order_result, order_row
from userstream.sim.instruments import DEFAULT_INSTRUMENTS, DEFAULT_INVERSE

BTCUSDT, BTCUSD = DEFAULT_INSTRUMENTS[0], DEFAULT_INVERSE[0]


def order(side: Side, price: int, quantity: str, filled: str = "0", *, reduce_only: bool = False) -> Order:
    return Order(
        order_id=1,
        account="a",
        symbol="BTCUSDT",
        client_order_id="c",
        side=side,
        order_type="limit",
        original_type="limit",
        time_in_force="gtc",
        price=Decimal(price),
        quantity=Decimal(quantity),
        filled_quantity=Decimal(filled),
        reduce_only=reduce_only,
        created_time=START,
        updated_time=START,
    )


def position(amount: str, leverage: int = 10) -> Position:
    return Position(
        account="a", symbol="BTCUSDT", position_side=PositionSide.BOTH, amount=Decimal(amount), mark_price=Decimal(100), leverage=leverage
    )


def test_open_notionals_count_what_is_left_and_bind_only_what_opens() -> None:
    found = notionals_of([order(Side.BUY, 100, "2", "1"), order(Side.BUY, 90, "1", reduce_only=True), order(Side.SELL, 110, "1")], LINEAR)
    assert [found.bids, found.asks, found.binding_bids, found.binding_asks] == [Decimal(each) for each in (190, 110, 100, 110)]


@pytest.mark.parametrize(
    ("amount", "orders", "margin"),
    [
        ("0", [order(Side.BUY, 100, "1")], "10"),
        ("0", [order(Side.BUY, 100, "1"), order(Side.SELL, 120, "1")], "12"),
        ("1", [order(Side.SELL, 100, "1")], "0"),
        ("1", [order(Side.SELL, 100, "3")], "10"),
        ("-1", [order(Side.SELL, 100, "1")], "10"),
        ("1", [order(Side.SELL, 100, "3", reduce_only=True)], "0"),
    ],
)
def test_orders_bind_what_the_worse_side_needs_more(amount: str, orders: list[Order], margin: str) -> None:
    assert order_margin(position(amount), notionals_of(orders, LINEAR), LINEAR) == Decimal(margin)


@given(st.integers(1, 125), st.integers(1, 125))
def test_more_leverage_never_allows_a_larger_position(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert max_notional(low) >= max_notional(high)


def test_a_result_shows_the_acceptance_or_the_end_and_a_row_shows_the_averages() -> None:
    done = msgspec.structs.replace(
        order(Side.BUY, 100, "2", "2"), status=OrderStatus.FILLED, filled_quote=Decimal(200), filled_base=Decimal(2)
    )
    assert (order_result(done, BTCUSDT)["status"], order_result(done, BTCUSDT)["executedQty"]) == ("FILLED", "2")
    assert (order_result(done, BTCUSDT, as_new=True)["status"], order_result(done, BTCUSDT, as_new=True)["executedQty"]) == ("NEW", "0")
    assert not {"avgPrice", "cumQuote", "cumBase"} & set(order_result(done, BTCUSDT))
    assert (order_row(done, BTCUSDT)["cumQuote"], order_row(done, BTCUSDT)["cumBase"]) == ("200", "2")


def test_an_inverse_contract_shows_coins_and_its_pair_and_no_quote_amount() -> None:
    done = msgspec.structs.replace(
        order(Side.BUY, 80000, "2", "2"), status=OrderStatus.FILLED, filled_quote=Decimal(200), filled_base=Decimal("0.0025")
    )
    row = order_row(done, BTCUSD)
    assert (row["cumBase"], row["pair"], row["origQty"]) == ("0.00250000", "BTCUSD", "2")
    assert "cumQuote" not in row
    assert order_result(done, BTCUSD)["pair"] == "BTCUSD"
    assert "pair" not in order_result(done, BTCUSDT)


def test_open_orders_on_inverse_contracts_are_worth_coins() -> None:
    found = notionals_of([order(Side.BUY, 50000, "10"), order(Side.SELL, 100000, "10")], BTCUSD.contract)
    assert (found.bids, found.asks) == (Decimal("0.02"), Decimal("0.01"))
