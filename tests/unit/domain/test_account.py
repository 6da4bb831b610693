from __future__ import annotations

from decimal import Decimal

from tests.support.events import A_TIME, filled, order_changed, position_set
from userstream.domain.account import RECENT_FILLS, Account, Doubt, signed_quantity
from userstream.domain.fold import apply
from userstream.domain.words import PositionSide, StreamState
from userstream.kernel.ids import AccountId, Millis, Symbol, VenueName

BTC, LONG = Symbol("BTCUSDT"), PositionSide.LONG


def account() -> Account:
    return Account(AccountId("alice"), VenueName("binance-usdm"), lag_ms=5_000)


def test_a_fresh_account_claims_nothing() -> None:
    fresh = account()
    assert fresh.state is StreamState.CONNECTING
    assert (fresh.proven_until, fresh.gap_since, fresh.epoch, fresh.duplicates) == (0, None, 0, 0)
    assert not fresh.is_exposed
    assert list(fresh.open_orders()) == []
    assert fresh.symbols() == set()


def test_open_orders_can_be_walked_while_they_change() -> None:
    held = account()
    for number in range(3):
        apply(held, order_changed(order_id=str(number)))
    for order in held.open_orders():
        apply(held, order_changed(order_id=f"{order.order_id}0"))
    assert len(held.orders) == 6


def test_it_is_exposed_by_an_open_order_or_a_held_leg() -> None:
    by_order, by_leg = account(), account()
    apply(by_order, order_changed())
    apply(by_leg, position_set(amount="-1"))
    assert [by_order.is_exposed, by_leg.is_exposed] == [True, True]
    apply(by_order, order_changed(status="canceled", transaction_time=A_TIME + 1))
    apply(by_leg, position_set(amount="0", transaction_time=A_TIME + 1))
    assert [by_order.is_exposed, by_leg.is_exposed] == [False, False]


def test_an_order_is_found_by_either_id() -> None:
    held = account()
    apply(held, order_changed(order_id="17", client_order_id="bot-9"))
    assert held.order_by_id("17") is held.order_by_id("bot-9") is not None
    assert held.order_by_id("18") is None


def test_of_a_client_order_id_used_again_the_newest_order_is_found_whatever_came_last() -> None:
    held = account()
    apply(held, order_changed(order_id="2", client_order_id="bot", transaction_time=A_TIME + 10))
    apply(held, order_changed(order_id="1", client_order_id="bot", status="canceled", transaction_time=A_TIME))
    found = held.order_by_id("bot")
    assert found is not None
    assert found.order_id == "2"


def test_its_symbols_are_those_of_orders_legs_and_fills() -> None:
    held = account()
    apply(held, order_changed(symbol="A"))
    apply(held, position_set(symbol="B"))
    apply(held, filled(symbol="C"))
    assert held.symbols() == {"A", "B", "C"}


def test_only_the_newest_fills_are_kept_for_people() -> None:
    held = account()
    for number in range(RECENT_FILLS + 1):
        apply(held, filled(trade_id=str(number)))
    assert len(held.recent_fills) == RECENT_FILLS
    assert held.recent_fills[0].trade_id == "1"


def test_a_fill_counts_with_the_sign_of_its_side() -> None:
    assert signed_quantity(filled(side="buy", quantity="2")) == 2
    assert signed_quantity(filled(side="sell", quantity="2")) == -2


def test_a_doubt_opened_again_has_another_number() -> None:
    held = account()
    held.doubt("order", BTC, "1")
    first = held.doubts[Doubt("order", BTC, "1")]
    held.doubt("order", BTC, "1")
    assert held.doubts[Doubt("order", BTC, "1")] == first
    held.doubts.clear()
    held.doubt("order", BTC, "1")
    assert held.doubts[Doubt("order", BTC, "1")] != first


def test_a_leg_never_heard_of_has_no_sum_until_all_legs_were_read() -> None:
    held = account()
    assert held.watch_of((BTC, LONG)) is None
    held.positions_known_since = Millis(A_TIME)
    watch = held.watch_of((BTC, LONG))
    assert watch is not None
    assert watch is held.watch_of((BTC, LONG))
    assert watch.told == 0


def test_a_leg_that_becomes_known_counts_the_fills_that_came_before_its_first_word() -> None:
    held = account()
    apply(held, filled(quantity="1", transaction_time=A_TIME + 10))
    apply(held, filled(trade_id="2", position_side="long", quantity="7", transaction_time=A_TIME + 10))
    apply(held, position_set(amount="5", transaction_time=A_TIME))
    assert Doubt("position", BTC, PositionSide.BOTH) in held.doubts
    apply(held, position_set(amount="6", transaction_time=A_TIME + 10))
    assert Doubt("position", BTC, PositionSide.BOTH) not in held.doubts


def test_the_doubt_about_a_leg_follows_its_sum() -> None:
    held = account()
    watch = held.start_watch((BTC, LONG), Decimal(1), Millis(A_TIME))
    watch.tell(Millis(A_TIME + 1), Decimal(2))
    held.note_leg((BTC, LONG), watch)
    assert Doubt("position", BTC, LONG) in held.doubts
    watch.add_fill(Millis(A_TIME + 1), Decimal(1))
    held.note_leg((BTC, LONG), watch)
    held.note_leg((BTC, LONG), watch)
    assert held.doubts == {}
