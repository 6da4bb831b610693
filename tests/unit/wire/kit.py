"""What the tests of the machine and its books share: an account that is live, and what to read off it."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from tests.support.machine import BRISK, START, Driver, Fate, Reply
from tests.support.scripted import Script
from userstream.domain.events import Event, Mismatch
from userstream.kernel.ids import Millis, OrderId
from userstream.wire.books import Books
from userstream.wire.machine import MachinePolicy
from userstream.wire.question import AskClock, Question
from userstream.wire.request import HttpResponse

EventT = TypeVar("EventT", bound=Event)
LAG_MS = BRISK.books.lag_ms
NOTHING = HttpResponse(status=200, body=b"{}")
"""An answer that says nothing at all."""

QUIET = msgspec.structs.replace(BRISK, books=msgspec.structs.replace(BRISK.books, audit_ms=86_400_000, history_ms=86_400_000))
"""Nothing is read for a day but what doubts and gaps want."""


def live(fate: Fate | None = None, *, policy: MachinePolicy = QUIET, script: Script | None = None) -> Driver:
    """An account that is live; the fate begins then."""
    driver = Driver(policy=policy, script=script).start().run_until_live()
    driver.fate = fate or Fate()
    driver.asked.clear()
    return driver


def books(driver: Driver) -> Books:
    assert driver.machine.books is not None
    return driver.machine.books


def facts_of(driver: Driver, kind: type[EventT]) -> list[EventT]:
    return [fact for fact in driver.facts if isinstance(fact, kind)]


def asked(driver: Driver, *kinds: type) -> list[int]:
    """When, after the start, questions of these kinds were asked."""
    return [time - START for time, question in driver.asked if isinstance(question, kinds)]


def mismatches(driver: Driver, subject: str = "") -> list[tuple[str, str, bool]]:
    """What was disputed, in order: all, or of one subject."""
    told = facts_of(driver, Mismatch)
    return [(fact.subject, fact.key, fact.resolved) for fact in told if subject in ("", fact.subject)]


def trade_unheard(driver: Driver) -> OrderId:
    """A trade that no socket tells."""
    order_id = driver.truth.place(driver.venue_now)
    driver.truth.fill(driver.venue_now, order_id, "0.3")
    driver.tell_nobody()
    return order_id


class SilentAbout(Fate):
    """Some kinds of questions are answered with nothing until a time comes."""

    def __init__(self, *kinds: type, until: Millis) -> None:
        self._kinds, self._until = kinds, until

    def reply(self, question: Question, now: Millis) -> Reply:
        return Reply(instead=NOTHING) if type(question) in self._kinds and now < self._until else Reply()


class Late(Fate):
    """Questions of one kind are answered late."""

    def __init__(self, kind: type, delay_ms: int) -> None:
        self._kind, self._delay_ms = kind, delay_ms

    def reply(self, question: Question, now: Millis) -> Reply:
        return Reply(delay_ms=self._delay_ms) if isinstance(question, self._kind) else Reply()


class Slanted(Fate):
    """The first question about the clock takes so long, and `outward_ms` of that to reach the venue."""

    def __init__(self, delay_ms: int, outward_ms: int) -> None:
        self._ways = [Reply(delay_ms=delay_ms, outward_ms=outward_ms)]

    def reply(self, question: Question, now: Millis) -> Reply:
        return self._ways.pop() if self._ways and isinstance(question, AskClock) else Reply()
