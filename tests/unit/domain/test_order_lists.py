"""Lists of linked orders: what ended stays ended, copies are no news, and what the books repeat is none either."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import A_TIME, order_changed, order_list_changed
from userstream.domain.account import Account
from userstream.domain.events import Event, OrderChanged, OrderListChanged
from userstream.domain.fold import apply, checkpoint_of, forget
from userstream.domain.order_lists import GONE, has_list_ended, unsettled_lists
from userstream.kernel.ids import AccountId, Millis, VenueName


def account() -> Account:
    return Account(AccountId("alice"), VenueName("binance-spot"))


def begun(**fields: object) -> OrderListChanged:
    return order_list_changed(**{"update": "exec_started", "contingency": "oco", **fields})


def ended(**fields: object) -> OrderListChanged:
    return begun(**{"status": "all_done", "update": "all_done", "transaction_time": A_TIME + 9, **fields})


def test_a_list_is_told_when_it_begins_changes_and_ends_and_copies_are_not() -> None:
    held, updated = account(), begun(update="updated", transaction_time=A_TIME + 5)
    words = [begun(), begun(), updated, begun(), ended(), updated, ended(), begun()]
    assert [apply(held, word) is not None for word in words] == [True, False, True, False, True, False, False, False]
    assert held.order_lists == {"42": ended()}
    assert held.duplicates == 5


def test_the_books_end_a_list_and_repeat_nothing() -> None:
    held = account()
    apply(held, begun(update="updated", transaction_time=A_TIME + 5))
    assert apply(held, begun(source="snapshot", as_of=A_TIME + 60_000)) is None
    told = ended(source="snapshot", transaction_time=A_TIME, as_of=A_TIME + 60_000)
    assert apply(held, told) == told, "whatever its time is of"
    assert apply(held, ended()) is None, "the stream's word that comes late"


def test_the_books_tell_of_a_list_that_nobody_heard_of() -> None:
    held = account()
    assert apply(held, begun(source="snapshot")) is not None
    assert apply(held, begun(update="updated", transaction_time=A_TIME + 1)) is not None


@given(st.permutations([begun(), begun(update="updated", transaction_time=A_TIME + 5), ended()]), st.data())
def test_every_order_of_arrival_ends_the_same(words: list[OrderListChanged], data: st.DataObject) -> None:
    held = account()
    for word in data.draw(st.permutations([*words, *words])):
        apply(held, word)
    assert held.order_lists["42"] == ended()


def test_open_lists_and_those_that_only_an_order_names_are_unsettled() -> None:
    held = account()
    for word in (begun(), ended(order_list_id="43"), order_changed(order_list_id="44"), order_changed(order_id="2", order_list_id="43")):
        apply(held, word)
    assert unsettled_lists(held) == {"42", "44"}


def test_a_list_is_forgotten_when_it_has_ended_and_its_orders_are() -> None:
    held = account()
    apply(held, begun())
    forget(held, Millis(A_TIME + 99))
    assert "42" in held.order_lists, "it is open"
    apply(held, order_changed(status="canceled", order_list_id="42", transaction_time=A_TIME + 200))
    apply(held, ended())
    forget(held, Millis(A_TIME + 100))
    assert has_list_ended(held.order_lists["42"]), "an order of it is in memory"
    forget(held, Millis(A_TIME + 300))
    assert (held.orders, held.order_lists) == ({}, {})


LEGS = ("8886774", "8886775")
LONG_AFTER = A_TIME + 90 * 86_400_000


def gone(**fields: object) -> OrderListChanged:
    """The venue's books do not know the list."""
    return order_list_changed(**{"symbol": "", "status": GONE, "order_ids": (), "source": "snapshot", "as_of": LONG_AFTER, **fields})


def leg(order_id: str, status: str = "canceled") -> OrderChanged:
    return order_changed(order_id=order_id, status=status, order_list_id="42", transaction_time=A_TIME + 5)


def test_a_list_that_the_venue_does_not_know_any_more_ends_when_its_orders_have() -> None:
    held = account()
    apply(held, begun())
    told = []
    for order_id in LEGS:
        apply(held, leg(order_id, "new"))
        told.append(apply(held, gone()))
        apply(held, leg(order_id))
    assert told == [None, None]
    ended = apply(held, gone())
    assert isinstance(ended, OrderListChanged) and has_list_ended(ended)
    assert (ended.symbol, ended.order_ids, ended.contingency, ended.transaction_time) == ("BTCUSDT", LEGS, "oco", A_TIME + 5)
    assert (unsettled_lists(held), apply(held, gone())) == (set(), None)


def test_a_list_that_only_an_order_names_ends_with_that_order() -> None:
    held = account()
    assert apply(held, gone()) is None, "nobody named it"
    apply(held, leg("1"))
    ended = apply(held, gone())
    assert isinstance(ended, OrderListChanged) and (ended.symbol, ended.status, ended.order_ids) == ("BTCUSDT", "all_done", ("1",))


def test_a_list_whose_orders_were_forgotten_is_forgotten_too() -> None:
    held = account()
    apply(held, begun())
    assert apply(held, gone()) is None, "its orders may be on their way"
    forget(held, Millis(A_TIME + 1))
    assert apply(held, gone()) is not None
    forget(held, Millis(A_TIME + 1))
    assert held.order_lists == {}


def test_books_that_may_be_too_early_to_know_of_a_list_do_not_end_it() -> None:
    held = Account(AccountId("alice"), VenueName("binance-spot"), lag_ms=5_000)
    apply(held, begun())
    for order_id in LEGS:
        apply(held, leg(order_id))
    assert apply(held, gone(as_of=A_TIME + 5 + 5_000)) is None
    assert apply(held, gone(as_of=A_TIME + 5 + 5_001)) is not None


WORDS: tuple[Event, ...] = (begun(), ended(), *map(leg, LEGS), *(leg(each, "new") for each in LEGS), gone())


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_the_books_end_no_list_of_which_an_order_is_open(words: list[Event]) -> None:
    held = account()
    for word in words:
        told = apply(held, word)
        if word == gone() and told is not None:
            orders = [order for order in held.orders.values() if order.order_list_id == "42"]
            assert orders and all(order.has_ended for order in orders)
            assert has_list_ended(held.order_lists["42"]) and held.order_lists["42"] == told


def test_a_restart_knows_the_lists() -> None:
    held, again = account(), account()
    for word in (begun(), ended(order_list_id="43")):
        apply(held, word)
    for fact in checkpoint_of(held):
        apply(again, fact)
    assert again.order_lists == held.order_lists
