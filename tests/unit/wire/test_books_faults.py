"""A fault of our own in the middle of an answer: the question stays open, and nothing that was taken in goes untold."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.machine import BRISK
from tests.support.scripted import Script, ScriptedDialect
from tests.support.truth import ALICE, BTC, SCRIPTED
from userstream.domain.account import Account
from userstream.domain.events import BalanceSet, Event
from userstream.kernel.ids import Millis, OrderId
from userstream.wire.books import Books
from userstream.wire.feed import Ask
from userstream.wire.pacing import VenueClock
from userstream.wire.question import Answer, AskBalances, AskClock, AskOrderFills, Question
from userstream.wire.request import HttpResponse

NOW, WALL = Millis(1_000_000), Millis(1_760_000_000_000)
ANSWERED = HttpResponse(status=200, body=b"{}")
WALLET = BalanceSet(account=ALICE, venue=SCRIPTED, asset="USDT", total=Decimal(7), transaction_time=Millis(WALL - 5))


class Told(ScriptedDialect):
    """Answers in Python's own words. `spoiled`: what comes next of this is no event."""

    def __init__(self) -> None:
        super().__init__(Script())
        self.answers: list[Answer] = []

    def answer(self, question: Question, response: HttpResponse, as_of: Millis, received_time: Millis) -> Answer:
        return Answer(venue_time=WALL) if isinstance(question, AskClock) else self.answers.pop(0)


class Stage:
    def __init__(self) -> None:
        self.dialect, self.clock = Told(), VenueClock(NOW, WALL)
        self.books = Books(self.dialect, Account(ALICE, SCRIPTED), self.clock, BRISK.books, seed=1)
        self.books.lit = True
        self.books.start(NOW)
        self.books.stream_opened(WALL, NOW)
        self.say(self.number_of(AskClock), Answer())
        self.books.care(NOW, WALL)

    def number_of(self, kind: type[Question]) -> int:
        numbers = [wish.ask for wish in self.books.take_wishes() if isinstance(wish, Ask)]
        asked = {number: self.books._inquiries.find(number) for number in numbers}
        for number in numbers:
            self.books.prepare(number, NOW)
        return next(number for number, inquiry in asked.items() if inquiry is not None and isinstance(inquiry.question, kind))

    def say(self, number: int, answer: Answer) -> list[Event]:
        self.dialect.answers = [answer]
        return self.books.answered(number, ANSWERED, NOW, WALL)


def test_what_was_taken_in_before_a_fault_is_told_with_the_next_answer_once() -> None:
    stage = Stage()
    number = stage.number_of(AskBalances)
    with pytest.raises(KeyError):
        stage.say(number, Answer(events=(WALLET, "no event")))  # type: ignore[arg-type]
    assert stage.books.prepare(number, NOW) is not None, "the question is asked again"
    assert stage.say(number, Answer(events=(WALLET,))) == [WALLET]
    assert stage.books.prepare(number, NOW) is None


def test_two_faults_in_a_row_lose_nothing_either() -> None:
    stage = Stage()
    number = stage.number_of(AskBalances)
    other = BalanceSet(account=ALICE, venue=SCRIPTED, asset="BNB", total=Decimal(1), transaction_time=Millis(WALL - 5))
    for wallet in (WALLET, other):
        with pytest.raises(KeyError):
            stage.say(number, Answer(events=(wallet, "no event")))  # type: ignore[arg-type]
    assert stage.say(number, Answer(events=(WALLET, other))) == [WALLET, other]


def test_the_next_page_of_an_orders_fills_is_asked_though_it_is_the_same_question() -> None:
    stage = Stage()
    stage.books.take_wishes()
    page = AskOrderFills(symbol=BTC, order_id=OrderId("7"), since=Millis(1), until=Millis(9))
    stage.books._inquiries.ask([page], urgent=False, for_round=False)
    number = stage.number_of(AskOrderFills)
    stage.say(number, Answer(more=(AskOrderFills(symbol=BTC, order_id=OrderId("7"), since=Millis(5), until=Millis(9)),)))
    assert stage.number_of(AskOrderFills) != number


def test_a_reading_whose_end_broke_is_made_again_soon() -> None:
    stage = Stage()
    broken = stage.books._round
    assert broken is not None
    broken.started = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        stage.books._end(NOW, WALL)
    stage.books.care(Millis(NOW + BRISK.books.lag_ms), WALL)
    assert stage.books._round not in (None, broken)
