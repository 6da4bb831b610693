from decimal import Decimal

from tests.support.events import A_TIME, account_config_changed, balance_set, order_changed, position_set
from userstream.domain.account import Account
from userstream.domain.figures import balance_of, flat, order_of, position_of
from userstream.domain.fold import apply
from userstream.domain.words import MarginType, OrderStatus, PositionSide
from userstream.kernel.ids import AccountId, Symbol, VenueName


def account() -> Account:
    return Account(AccountId("alice"), VenueName("binance-usdm"), lag_ms=5_000)


def test_an_order_says_what_is_left_of_it() -> None:
    order = order_of(order_changed(quantity="0.3", filled_quantity="0.1", status="partially_filled", stop_price="5"))
    assert (order.remaining_quantity, order.stop_price, order.updated_time) == (Decimal("0.2"), Decimal(5), A_TIME)
    assert order.is_open
    assert not order_of(order_changed(status=OrderStatus.EXPIRED)).is_open


def test_a_position_carries_the_settings_of_its_symbol() -> None:
    held = account()
    apply(held, account_config_changed(leverage=25, margin_type="isolated"))
    word = position_set(margin_type=None, amount="-1")
    apply(held, word)
    position = position_of(held, word)
    assert (position.amount, position.leverage, position.margin_type) == (Decimal(-1), 25, MarginType.ISOLATED)
    assert position_of(held, position_set(margin_type="cross")).margin_type is MarginType.CROSS


def test_a_leg_that_is_not_held_is_flat() -> None:
    held = account()
    apply(held, account_config_changed(leverage=25, margin_type="cross"))
    leg = flat(held, Symbol("BTCUSDT"), PositionSide.LONG)
    assert not leg.amount + leg.entry_price + leg.updated_time
    assert (leg.leverage, leg.margin_type, leg.mark_price) == (25, MarginType.CROSS, None)


def test_available_is_as_the_venue_last_said_it() -> None:
    held = account()
    apply(held, balance_set(available="90", as_of=A_TIME, source="snapshot", transaction_time=A_TIME - 5))
    word = balance_set(total="95", transaction_time=A_TIME + 10)
    apply(held, word)
    balance = balance_of(held, word)
    assert (str(balance.total), str(balance.available), balance.available_time) == ("95", "90", A_TIME)


def test_available_is_unknown_before_the_venue_said_it() -> None:
    balance = balance_of(account(), balance_set())
    assert (balance.available, balance.available_time) == (None, 0)
