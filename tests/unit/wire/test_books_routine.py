"""Readings that nobody waits for ask one question at a time, and hurry once somebody does."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from tests.support.machine import BRISK, Driver, Fate, Reply
from tests.unit.wire.kit import QUIET, Late, asked, books, facts_of, live, trade_unheard
from userstream.domain.events import Filled, SnapshotTaken
from userstream.kernel.ids import Millis
from userstream.wire.question import AskBalances, AskClock, AskFills, AskMovements, AskOpenOrders, AskOrders, AskPositions, Question
from userstream.wire.request import HttpResponse

AUDITED = msgspec.structs.replace(QUIET, books=msgspec.structs.replace(BRISK.books, history_ms=86_400_000))
ANSWER_MS = 30
"""How long an answer of the driver's takes."""


def questions(driver: Driver) -> list[int]:
    """When questions of readings were asked."""
    clock = set(asked(driver, AskClock))
    return [time for time in asked(driver, object) if time not in clock]


@pytest.mark.parametrize("is_early", [False, True])
def test_of_a_routine_reading_one_question_is_on_its_way_at_a_time(is_early: bool) -> None:
    driver = live(policy=AUDITED)
    if is_early:
        driver.machine.read_history_early()
        books(driver).agenda._next_history = driver.now
    driver.run_for(AUDITED.books.audit_ms * 2)
    times = questions(driver)
    assert len(times) >= (6 if is_early else 3)
    assert all(later - earlier >= ANSWER_MS for earlier, later in pairwise(times))


def test_a_reading_that_somebody_waits_for_asks_all_at_once() -> None:
    driver = live(policy=AUDITED)
    books(driver).read_again("a test")
    driver.run_for(AUDITED.books.lag_ms)
    times = questions(driver)
    assert times.count(times[0]) >= 6


def test_a_routine_reading_hurries_once_something_may_be_lost() -> None:
    driver = live(Late(AskBalances, 3_000), policy=AUDITED)
    while not asked(driver, AskBalances):
        driver.run_for(10)
    assert asked(driver, AskPositions) == []
    driver.cut_all()
    driver.run_for(2_000)
    assert len(asked(driver, AskPositions)) == 1
    driver.run_for(60_000)
    assert facts_of(driver, SnapshotTaken)[-1].account == driver.account.id


class Failing(Fate):
    """The venue has trouble with questions of one kind, from now on."""

    def __init__(self, kind: type, status: int) -> None:
        self._kind, self._instead = kind, HttpResponse(status=status, body=b"no")

    def reply(self, question: Question, now: Millis) -> Reply:
        return Reply(instead=self._instead) if isinstance(question, self._kind) else Reply()


@pytest.mark.parametrize("status", [400, 429, 503])
@pytest.mark.parametrize("kind", [AskBalances, AskPositions, AskOpenOrders, AskOrders, AskMovements])
def test_a_question_without_an_answer_keeps_no_other_one_back(kind: type, status: int) -> None:
    driver = live(Failing(kind, status), policy=QUIET)
    trade_unheard(driver)
    books(driver).agenda._next_history = driver.now
    driver.run_for(60_000)
    assert len(asked(driver, kind)) > 1
    assert len(facts_of(driver, Filled)) == 1
    assert all(asked(driver, other) for other in (AskBalances, AskPositions, AskOpenOrders, AskFills))
