from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.events import A_TIME, filled, order_changed
from userstream.domain.account import Account, Doubt
from userstream.domain.events import Event, Frame, OrderChanged, stamp
from userstream.domain.fold import apply, forget
from userstream.domain.orders import is_news, order_age, same_order
from userstream.domain.words import OrderStatus
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol, VenueName

LAG_MS = 5_000
KEY = (Symbol("BTCUSDT"), OrderId("8886774"), False)


def account() -> Account:
    return Account(AccountId("alice"), VenueName("binance-usdm"), lag_ms=LAG_MS)


def tell(held: Account, **fields: object) -> Event | None:
    return apply(held, order_changed(**fields))


def test_an_order_lives_from_new_to_filled() -> None:
    held = account()
    told = [
        tell(held),
        apply(held, filled(quantity="0.1")),
        tell(held, status="partially_filled", filled_quantity="0.1", transaction_time=A_TIME + 1),
        apply(held, filled(trade_id="2", quantity="0.2")),
        tell(held, status="filled", filled_quantity="0.3", transaction_time=A_TIME + 2),
    ]
    assert None not in told
    assert held.orders[KEY].status is OrderStatus.FILLED
    assert not held.doubts


@pytest.mark.parametrize("late", ["new", "canceled", "expired", "rejected", "unknown", "partially_filled"])
def test_a_final_order_is_never_left(late: str) -> None:
    held = account()
    tell(held, status="filled", filled_quantity="0.3")
    assert tell(held, status=late, filled_quantity="0.3", transaction_time=A_TIME + 99) is None
    assert held.orders[KEY].status is OrderStatus.FILLED


def test_a_cancelled_order_learns_of_a_late_fill_and_stays_cancelled() -> None:
    held = account()
    tell(held, status="canceled", filled_quantity="0.1")
    assert tell(held, status="canceled", filled_quantity="0.2", transaction_time=A_TIME + 1) is not None
    assert tell(held, status="canceled", filled_quantity="0.1", transaction_time=A_TIME + 2) is None


def test_the_older_copy_loses_and_is_counted() -> None:
    held = account()
    tell(held, status="partially_filled", filled_quantity="0.1", transaction_time=A_TIME + 1)
    assert tell(held) is None
    assert held.duplicates == 1


def test_an_amendment_is_news_even_when_it_makes_the_order_smaller() -> None:
    held = account()
    tell(held)
    assert tell(held, quantity="0.200", price="61000", transaction_time=A_TIME + 1) is not None
    assert str(held.orders[KEY].quantity) == "0.200"


def test_of_two_amendments_in_one_millisecond_the_later_arrival_wins() -> None:
    held = account()
    tell(held)
    tell(held, price="1")
    tell(held, price="2")
    assert held.orders[KEY].price == 2


def test_an_order_amended_back_is_not_undone_by_the_amendment_in_between() -> None:
    held = account()
    tell(held)
    assert tell(held, transaction_time=A_TIME + 9) is None
    assert tell(held, price="1", transaction_time=A_TIME + 4) is None
    assert held.orders[KEY].price == order_changed().price
    assert held.orders[KEY].transaction_time == A_TIME + 9


def test_a_refreshed_order_keeps_what_the_copy_does_not_tell_and_its_bytes() -> None:
    held = account()
    first = order_changed(stop_price="5")
    stamp(first, 1, Frame.of(b"first"))
    apply(held, first)
    tell(held, transaction_time=A_TIME + 9, source="snapshot")
    assert held.orders[KEY].stop_price == 5
    assert held.orders[KEY].raw() == b"first"


def test_an_answer_does_not_overwrite_the_streams_word_of_the_same_instant_within_the_lag() -> None:
    held = account()
    tell(held, price="2")
    assert tell(held, price="1", source="snapshot", as_of=A_TIME + LAG_MS) is None
    assert held.orders[KEY].price == 2


def test_an_answer_asked_after_the_lag_is_the_last_word_about_an_instant() -> None:
    held = account()
    tell(held, price="2")
    assert tell(held, price="1", source="snapshot", as_of=A_TIME + LAG_MS + 1) is not None
    assert held.orders[KEY].price == 1


def test_an_answer_replaces_an_answer_of_the_same_instant() -> None:
    held = account()
    tell(held, price="2", source="snapshot")
    assert tell(held, price="1", source="snapshot") is not None


def test_a_conditional_order_goes_from_new_over_triggered_to_its_end_by_the_time_of_the_message() -> None:
    held = account()
    words = [("new", ""), ("pending", ""), ("triggered", "77"), ("filled", "77")]
    for step, (status, real) in enumerate(words):
        fields = {"status": status, "triggered_order_id": real, "event_time": A_TIME + step}
        assert tell(held, conditional=True, **fields) is not None
    for status, _ in words:
        assert tell(held, conditional=True, status=status, event_time=A_TIME + 1) is None
    assert not held.doubts


def test_a_conditional_order_and_a_plain_one_may_have_the_same_id() -> None:
    held = account()
    tell(held)
    tell(held, conditional=True, status="canceled")
    assert len(held.orders) == 2
    assert held.orders[KEY].status is OrderStatus.NEW


def test_the_age_of_a_conditional_order_without_message_time_is_its_transaction() -> None:
    assert order_age(order_changed(conditional=True, event_time=0))[2] == A_TIME


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"transaction_time": A_TIME + 5, "source": "snapshot", "execution_type": "snapshot"}, True),
        ({"stop_price": "7"}, True),
        ({"activated": True}, True),
        ({"price": "1"}, False),
        ({"quantity": "1"}, False),
        ({"filled_quantity": "0.1"}, False),
        ({"status": "canceled"}, False),
        ({"triggered_order_id": "9"}, False),
    ],
)
def test_two_copies_say_the_same_when_nothing_a_user_sees_differs(change: dict[str, object], same: bool) -> None:
    assert same_order(order_changed(), order_changed(**change)) is same


@pytest.mark.parametrize("field", ["stop_price", "activated"])
def test_what_both_tell_must_be_equal(field: str) -> None:
    values: dict[str, tuple[object, object]] = {"stop_price": ("1", "2"), "activated": (False, True)}
    one, other = values[field]
    assert not same_order(order_changed(**{field: one}), order_changed(**{field: other}))


def test_an_equal_copy_is_no_news() -> None:
    known: OrderChanged = order_changed()
    assert not is_news(known, order_changed())


# --- amendments ---


def test_when_an_order_was_made_is_not_forgotten_by_news_that_do_not_say_it() -> None:
    """Else nobody would know later that it is older than our care, and what was filled before would be missed for ever."""
    held = account()
    tell(held, source="snapshot", created_time=A_TIME - 60_000, status="partially_filled", filled_quantity="0.1")
    told = tell(held, status="filled", filled_quantity="0.3", transaction_time=A_TIME + 2)
    assert isinstance(told, OrderChanged)
    assert told.created_time == held.orders[KEY].created_time == A_TIME - 60_000


def test_what_an_amendment_does_not_repeat_stays_what_it_was() -> None:
    held = account()
    said: dict[str, object] = {
        "average_price": "61250.10",
        "stop_price": "0",
        "original_type": "stop",
        "working_type": "mark_price",
        "self_trade_prevention": "expire_maker",
        "created_time": A_TIME - 5,
        "good_till_time": A_TIME + 900_000,
        "order_list_id": "7",
        "iceberg_quantity": "0.01",
    }
    tell(held, status="partially_filled", filled_quantity="0.1", reason="of then", amendment_id="4", **said)
    sparse = {"status": "partially_filled", "filled_quantity": "0.1", "execution_type": "amendment", "original_type": ""}
    told = tell(held, transaction_time=A_TIME + 1, price="61000", quantity="0.2", **sparse)
    assert told == order_changed(transaction_time=A_TIME + 1, price="61000", quantity="0.2", **(sparse | said))
    assert held.orders[KEY] == told, "what is told and kept is the same"


def test_an_average_stays_only_with_the_quantity_that_it_is_of() -> None:
    held = account()
    tell(held, status="partially_filled", filled_quantity="0.1", average_price="61250.10")
    tell(held, status="partially_filled", filled_quantity="0.2", execution_type="amendment", transaction_time=A_TIME + 1)
    assert held.orders[KEY].average_price is None
    assert held.orders[KEY].filled_quantity == Decimal("0.2")


def test_what_other_news_leaves_out_is_gone() -> None:
    held = account()
    tell(held, stop_price="5", average_price="6")
    tell(held, status="canceled", transaction_time=A_TIME + 1)
    assert (held.orders[KEY].stop_price, held.orders[KEY].average_price) == (None, None)


# --- the running checksum ---


def test_fewer_or_more_fills_than_the_order_says_are_a_doubt_until_they_agree() -> None:
    held = account()
    doubt = Doubt("order", *KEY[:2])
    tell(held, status="partially_filled", filled_quantity="0.3")
    assert doubt in held.doubts
    apply(held, filled(quantity="0.1"))
    assert doubt in held.doubts
    apply(held, filled(trade_id="2", quantity="0.2"))
    assert doubt not in held.doubts
    apply(held, filled(trade_id="3", quantity="0.1"))
    assert doubt not in held.doubts
    apply(held, filled(trade_id="4", quantity="0.1", source="snapshot"))
    assert doubt in held.doubts
    tell(held, status="filled", filled_quantity="0.5", transaction_time=A_TIME + 1)
    assert doubt not in held.doubts


def test_a_recovered_fill_of_an_order_we_know_nothing_of_is_a_doubt() -> None:
    held = account()
    apply(held, filled(source="snapshot"))
    assert Doubt("order", *KEY[:2]) in held.doubts


# --- ghosts ---


def test_a_late_copy_of_a_forgotten_order_raises_no_ghost() -> None:
    held = account()
    tell(held, status="canceled")
    forget(held, Millis(A_TIME + 1))
    assert held.orders == {}
    assert tell(held) is None
    assert tell(held, status="canceled", source="snapshot") is None
    assert held.orders == {}
    assert held.duplicates == 2


def test_an_old_order_that_the_venue_lists_as_open_is_believed() -> None:
    held = account()
    forget(held, Millis(A_TIME + 1))
    assert tell(held, source="snapshot") is not None
