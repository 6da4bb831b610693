"""Rounds at a venue whose orders hang on each other: which lists are asked for, and that none is asked for twice."""

from __future__ import annotations

from typing import Final

import pytest

from tests.support.events import order_changed, order_list_changed
from userstream.domain.account import Account
from userstream.domain.events import Event
from userstream.domain.fold import apply
from userstream.kernel.ids import AccountId, Millis, VenueName
from userstream.wire.holdings import Holdings
from userstream.wire.question import Answer, AskOrderList, AskOrderLists, Question, Traits
from userstream.wire.recovery import Round

STARTED: Final = Millis(1_790_000_100_000)
WITH_LISTS: Final = Traits(positions=False, settings=False, conditional_orders=False, movements=False, by_symbol=True, order_lists=True)


def lists_of(*known: Event, listed: tuple[str, ...] = (), traits: Traits = WITH_LISTS) -> list[Question]:
    """The questions about lists of a whole round over an account that knows so much; `listed`: those that the venue tells as open."""
    account = Account(AccountId("alice"), VenueName("binance-spot"))
    for event in known:
        apply(account, event)
    since = Millis(STARTED - 60_000)
    reading = Round(
        epoch=1, reason="test", full=True, settings=True, started=STARTED, since=since, traits=traits, holdings=Holdings(account)
    )
    asked: list[Question] = []
    while ready := reading.take_ready():
        asked += ready
        for question in ready:
            told = tuple(order_list_changed(order_list_id=each, source="snapshot") for each in listed if question == AskOrderLists())
            reading.take(question, Answer(events=told), account)
    assert reading.is_done
    return [question for question in asked if isinstance(question, AskOrderList | AskOrderLists)]


def test_no_list_is_asked_for_where_none_is_open() -> None:
    assert lists_of() == []
    assert lists_of(order_list_changed(status="all_done")) == []


def test_one_question_tells_all_that_are_open_and_the_others_are_asked_one_by_one() -> None:
    known = [order_list_changed(order_list_id=number) for number in ("9", "7", "8")]
    assert lists_of(*known, listed=("8",)) == [AskOrderLists(), AskOrderList("7"), AskOrderList("9")]
    assert lists_of(*known, listed=("7", "8", "9")) == [AskOrderLists()]


def test_a_list_that_only_an_order_names_is_asked_for() -> None:
    assert lists_of(order_changed(order_list_id="42", status="canceled")) == [AskOrderLists(), AskOrderList("42")]


@pytest.mark.parametrize("known", [order_list_changed(), order_changed(order_list_id="42")])
def test_a_venue_without_lists_is_never_asked_for_one(known: Event) -> None:
    without = Traits(positions=False, settings=False, conditional_orders=False, movements=False, by_symbol=True)
    assert lists_of(known, traits=without) == []
