"""Readings that nobody waits for ask one question at a time, and hurry once somebody does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
READ = msgspec.structs.replace(QUIET, books=msgspec.structs.replace(QUIET.books, history_ms=3_200_000))
"""History is read within the hour, and audits are not made."""
ANSWER_MS = 30
"""How long an answer of the driver's takes."""


def questions(driver: Driver) -> list[int]:
    """When questions of readings were asked."""
    clock = set(asked(driver, AskClock))
    return [time for time in asked(driver, object) if time not in clock]


def read_early(driver: Driver) -> None:
    """The next reading of history begins now."""
    while not books(driver).agenda.may_read_early(driver.now):
        driver.run_for(1_000)
    driver.asked.clear()
    driver.machine.read_history_early()


def test_of_an_audit_one_question_is_on_its_way_at_a_time() -> None:
    driver = live(policy=AUDITED)
    driver.run_for(AUDITED.books.audit_ms * 2)
    times = questions(driver)
    assert len(times) >= 3
    assert all(later - earlier >= ANSWER_MS for earlier, later in pairwise(times))


def test_of_an_early_reading_one_question_is_on_its_way_at_a_time() -> None:
    driver = live(policy=READ)
    read_early(driver)
    driver.run_for(10_000)
    times = questions(driver)
    assert len(times) >= 6
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
    snapshots = len(facts_of(driver, SnapshotTaken))
    driver.run_for(60_000)
    assert len(facts_of(driver, SnapshotTaken)) > snapshots
    assert books(driver).is_proven


class Failing(Fate):
    """The venue has trouble with questions of one kind, from now on."""

    def __init__(self, kind: type, status: int) -> None:
        self._kind, self._instead = kind, HttpResponse(status=status, body=b"no")

    def reply(self, question: Question, now: Millis) -> Reply:
        return Reply(instead=self._instead) if isinstance(question, self._kind) else Reply()


@pytest.mark.parametrize("fate", [partial(Failing, status=400), partial(Failing, status=503), partial(Late, delay_ms=3_600_000)])
@pytest.mark.parametrize("kind", [AskBalances, AskPositions, AskOpenOrders, AskOrders, AskMovements])
def test_a_question_without_an_answer_keeps_no_other_one_back(kind: type, fate: Callable[[type], Fate]) -> None:
    driver = live(fate(kind), policy=READ)
    trade_unheard(driver)
    read_early(driver)
    driver.run_for(60_000)
    assert len(facts_of(driver, Filled)) == 1
    assert all(asked(driver, other) for other in (AskBalances, AskPositions, AskOpenOrders, AskFills))
