"""The views: what a program reads of an account, on the loop or beside it, without waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import balance_set, filled, order_changed, position_set
from userstream.domain.account import Account
from userstream.domain.events import Event
from userstream.domain.fold import apply
from userstream.domain.words import PositionSide
from userstream.kernel.ids import AccountId, VenueName
from userstream.runtime.views import BalancesView, FillsView, OrdersView, PositionsView

SYMBOLS = ("BTCUSDT", "ETHUSDT")


def account_of(events: Iterable[Event] = ()) -> Account:
    account = Account(AccountId("alice"), VenueName("binance-usdm"))
    for event in events:
        apply(account, event)
    return account


class InterruptedText(str):
    """Text that is compared while the account changes, as it is when a thread reads and the loop goes on."""

    meanwhile: Callable[[], object]

    def __eq__(self, other: object) -> bool:
        self.meanwhile()
        return super().__eq__(other)

    __hash__ = str.__hash__


class InterruptedAmount(Decimal):
    """An amount that is looked at while the account changes."""

    meanwhile: Callable[[], object]

    def __bool__(self) -> bool:
        self.meanwhile()
        return super().__bool__()


# --- orders ---


def test_orders_are_found_by_either_id() -> None:
    orders = OrdersView(account_of([order_changed(order_id="1", client_order_id="mine")]))
    assert orders["1"] == orders["mine"] == orders.get("mine")
    assert "1" in orders and "mine" in orders
    assert "2" not in orders and 1 not in orders
    assert orders.get("2") is None
    with pytest.raises(KeyError, match="2"):
        orders["2"]


def test_open_orders_are_those_that_may_still_fill() -> None:
    events = [
        order_changed(order_id="1", symbol="BTCUSDT"),
        order_changed(order_id="2", symbol="ETHUSDT", status="partially_filled", filled_quantity="0.100"),
        order_changed(order_id="3", symbol="BTCUSDT", status="canceled"),
    ]
    orders = OrdersView(account_of(events))
    assert [order.order_id for order in orders.open()] == ["1", "2"]
    assert [order.order_id for order in orders.open("ETHUSDT")] == ["2"]
    assert orders["2"].remaining_quantity == Decimal("0.200")
    assert len(orders) == len(list(orders)) == 3
    assert repr(orders) == "<orders of alice: 2 open, 3 remembered>"


# --- positions ---


def test_a_symbol_that_is_not_held_is_flat() -> None:
    positions = PositionsView(account_of([position_set(symbol="ETHUSDT", amount="0", entry_price="0")]))
    assert positions["BTCUSDT"].amount == positions["ETHUSDT"].amount == 0
    assert positions["BTCUSDT"].position_side is PositionSide.BOTH
    assert list(positions) == [] and len(positions) == 0
    assert repr(positions) == "<positions of alice: flat>"


def test_the_leg_that_is_held_is_the_symbols() -> None:
    short = position_set(position_side="short", amount="-0.500")
    positions = PositionsView(account_of([short, position_set(position_side="long", amount="0", entry_price="0")]))
    assert positions["BTCUSDT"] == positions.leg("BTCUSDT", "short") == positions.open()[0]
    assert positions.leg("BTCUSDT", PositionSide.LONG).amount == 0
    with pytest.raises(ValueError, match="'up' must be one of both, long, short"):
        positions.leg("BTCUSDT", "up")
    assert "short -0.500" in repr(positions)


def test_two_legs_must_be_asked_for_by_side() -> None:
    events = [position_set(position_side="short", amount="-0.500"), position_set(position_side="long", amount="0.200")]
    positions = PositionsView(account_of(events))
    with pytest.raises(KeyError, match="held long and short"):
        positions["BTCUSDT"]
    assert {leg.position_side for leg in positions} == {PositionSide.LONG, PositionSide.SHORT}


# --- balances ---


def test_balances_by_asset() -> None:
    balances = BalancesView(account_of([balance_set(asset="USDT", total="1000.5"), balance_set(asset="BNB", total="2")]))
    assert balances["USDT"].total == Decimal("1000.5")
    assert balances.get("BTC") is None and "BTC" not in balances and "BNB" in balances
    assert [balance.asset for balance in balances] == ["USDT", "BNB"] and len(balances) == 2
    assert repr(balances) == "<balances of alice: USDT 1000.5, BNB 2>"
    with pytest.raises(KeyError, match="BTC"):
        balances["BTC"]


# --- fills ---


@given(st.lists(st.sampled_from(SYMBOLS), max_size=20))
def test_recent_fills_are_in_order_and_by_symbol(symbols: list[str]) -> None:
    fills = FillsView(account_of(filled(symbol=symbol, trade_id=str(number)) for number, symbol in enumerate(symbols)))
    assert [fill.trade_id for fill in fills.recent()] == [str(number) for number in range(len(symbols))]
    for symbol in SYMBOLS:
        assert [fill.symbol for fill in fills.recent(symbol)] == [symbol] * symbols.count(symbol)
    assert len(fills) == len(symbols)


# --- while the account changes ---


def test_what_was_read_does_not_change_afterwards() -> None:
    account = account_of([order_changed(order_id="1"), position_set(amount="0.1"), balance_set(total="5")])
    order, held, wallet = OrdersView(account)["1"], PositionsView(account).open(), BalancesView(account)["USDT"]
    for event in (
        order_changed(order_id="1", status="filled", execution_type="trade", filled_quantity="0.300", transaction_time=1_760_000_000_001),
        position_set(amount="0", transaction_time=1_760_000_000_001),
        balance_set(total="6", transaction_time=1_760_000_000_001),
    ):
        apply(account, event)
    assert order.is_open and held[0].amount == Decimal("0.1") and wallet.total == 5
    assert not OrdersView(account)["1"].is_open and not PositionsView(account).open() and BalancesView(account)["USDT"].total == 6


@pytest.mark.parametrize(
    "read",
    [
        lambda account, symbol: OrdersView(account).open(symbol),
        lambda account, name: OrdersView(account).get(name),
        lambda account, name: name in OrdersView(account),
        lambda account, symbol: FillsView(account).recent(symbol),
    ],
    ids=["open orders", "order", "order in", "fills"],
)
def test_a_reading_beside_the_loop_bears_what_happens_meanwhile(read: Callable[[Account, str], object]) -> None:
    account = account_of(event for number in "123" for event in (order_changed(order_id=number), filled(trade_id=number, order_id=number)))
    asked = InterruptedText("ETHUSDT")
    numbers = iter(range(100, 200))

    def trade() -> None:
        number = str(next(numbers))
        apply(account, order_changed(order_id=number))
        apply(account, filled(trade_id=number, order_id=number))

    asked.meanwhile = trade
    read(account, asked)
    assert len(account.orders) > 3


def test_legs_that_come_while_positions_are_read_bring_no_trouble() -> None:
    account = account_of()
    numbers = iter(range(100))
    amount = InterruptedAmount("0.5")
    amount.meanwhile = lambda: apply(account, position_set(symbol=f"COIN{next(numbers)}USDT"))
    apply(account, msgspec.structs.replace(position_set(), amount=Decimal("0.5")))
    key, leg = next(iter(account.positions.items()))
    account.positions[key] = msgspec.structs.replace(leg, amount=amount)
    assert [position.symbol for position in PositionsView(account).open()] == ["BTCUSDT"]
    assert len(account.positions) == 2


# --- what a program meant otherwise ---


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (
            lambda account, number: FillsView(account).recent(number),
            r"recent: symbol must be text such as 'BTCUSDT', not 8886774; .*\[-N:\]",
        ),
        (lambda account, number: OrdersView(account).open(number), "open: symbol must be text"),
        (lambda account, number: OrdersView(account).get(number), "get: order_id must be text such as '8886774', not 8886774"),
        (lambda account, number: OrdersView(account)[number], "order_id must be text"),
    ],
)
def test_a_number_where_a_word_belongs_is_told(ask: Callable[[Account, Any], object], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        ask(account_of([order_changed(order_id="8886774")]), 8886774)
