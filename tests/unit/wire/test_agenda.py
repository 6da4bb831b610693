"""Which reading comes when: of what is due the most urgent, and nothing that is not due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.kernel.ids import Millis
from userstream.wire.agenda import AUDIT, CONFIRMING, HISTORY, POLLING, SOONEST_HISTORY, Agenda
from userstream.wire.feed import NEVER
from userstream.wire.recovery import Policy

POLICY = Policy(lag_ms=1_000, audit_ms=20_000, history_ms=100_000, poll_ms=5_000)
BEGIN = Millis(1_000_000)
NOTHING = ("", False)


def at(milliseconds: int) -> Millis:
    return Millis(BEGIN + milliseconds)


def due(agenda: Agenda, milliseconds: int, *, lit: bool = True, polls: bool = False) -> tuple[str, bool]:
    return agenda.due(at(milliseconds), lit=lit, polls=polls)


def rested() -> Agenda:
    """All of history was read just now."""
    agenda = Agenda(POLICY, seed=3)
    agenda.begun(BEGIN, full=True)
    agenda.ended(BEGIN, full=True)
    return agenda


def test_nothing_is_due_that_nobody_wants() -> None:
    assert due(Agenda(POLICY, seed=1), 10**9) == NOTHING
    assert Agenda(POLICY, seed=1).deadline(lit=True, polls=False) == NEVER


def test_what_is_wanted_waits_for_the_pause_after_the_last_reading() -> None:
    agenda = rested()
    agenda.read_again("something")
    agenda.read_again("something else")
    assert due(agenda, 999) == NOTHING
    assert agenda.deadline(lit=True, polls=False) == at(1_000)
    assert due(agenda, 1_000) == ("something", True)


def test_after_darkness_nothing_waits() -> None:
    agenda = rested()
    agenda.read_again("the stream opened")
    agenda.read_at_once(at(10))
    assert due(agenda, 10) == ("the stream opened", True)


def test_in_the_dark_only_what_needs_no_socket_is_read() -> None:
    agenda = rested()
    agenda.read_again("something")
    assert due(agenda, 10**9, lit=False) == NOTHING
    agenda.confirm_at(at(2_000))
    assert due(agenda, 2_000, lit=False) == (CONFIRMING, True)
    assert due(agenda, 5_000, lit=False, polls=True) == (CONFIRMING, True)


def test_a_confirmation_comes_at_the_earliest_time_that_was_planned_until_it_is_put_off() -> None:
    agenda = rested()
    agenda.confirm_at(at(3_000))
    agenda.confirm_at(at(2_000))
    agenda.confirm_at(at(4_000))
    assert agenda.deadline(lit=False, polls=False) == at(2_000)
    agenda.postpone_confirming(at(9_000))
    assert due(agenda, 8_999, lit=False) == NOTHING
    agenda.postpone_confirming()
    assert agenda.deadline(lit=False, polls=False) == NEVER


def test_a_full_reading_is_what_was_wanted_and_an_audit_is_not() -> None:
    agenda = rested()
    agenda.read_again("something")
    agenda.confirm_at(at(2_001))
    agenda.begun(at(1_000), full=False)
    assert due(agenda, 1_000) == ("something", True)
    agenda.begun(at(1_000), full=True)
    assert due(agenda, 3_000) == NOTHING


def test_what_was_lost_while_a_reading_ran_is_read_when_that_is_confirmed() -> None:
    agenda = rested()
    agenda.read_again("something")
    agenda.confirm_at(at(1_250))
    assert due(agenda, 1_249) == NOTHING
    assert agenda.deadline(lit=True, polls=False) == at(1_250)
    assert due(agenda, 1_250) == ("something", True)
    agenda.begun(at(1_250), full=True)
    assert due(agenda, 5_000) == NOTHING, "one reading did for both"


def test_what_is_lost_later_waits_for_no_confirmation_that_was_put_off() -> None:
    agenda = rested()
    agenda.read_again("something")
    agenda.confirm_at(at(1_250))
    agenda.postpone_confirming()
    assert due(agenda, 1_000) == ("something", True)


@given(st.integers(0, 5_000), st.integers(0, 5_000))
def test_nothing_that_is_wanted_waits_longer_than_the_lag_behind_its_pause(confirming: int, moment: int) -> None:
    agenda = rested()
    agenda.read_again("something")
    agenda.confirm_at(at(confirming))
    assert (due(agenda, moment) != NOTHING) == (agenda.deadline(lit=True, polls=False) <= at(moment))
    if moment >= 2_000:
        assert due(agenda, moment) == ("something", True)


@pytest.mark.parametrize(("full", "expected"), [(True, HISTORY), (False, AUDIT)])
def test_audits_and_history_come_round_in_a_spread_of_a_quarter(full: bool, expected: str) -> None:
    agenda = rested()
    length = POLICY.history_ms if full else POLICY.audit_ms
    if full:
        agenda.ended(at(70_000), full=False)  # so that no audit is due
    moment = next(time for time in range(0, 2 * length, 50) if due(agenda, time) == (expected, full))
    assert 0.75 * length <= moment <= 1.25 * length + 50


def test_without_a_socket_history_is_polled_in_turns() -> None:
    agenda = rested()
    assert due(agenda, 4_999, lit=False, polls=True) == NOTHING
    assert agenda.deadline(lit=False, polls=True) == at(5_000)
    assert due(agenda, 5_000, lit=False, polls=True) == (POLLING, True)
    agenda.begun(at(5_000), full=True)
    assert due(agenda, 9_999, lit=False, polls=True) == NOTHING


@given(
    st.lists(st.sampled_from(["again", "now", "confirm", "audit", "full"]), max_size=12),
    st.integers(0, 300_000),
    st.booleans(),
    st.booleans(),
)
def test_the_deadline_is_when_something_is_due_and_not_later(deeds: list[str], wait: int, lit: bool, polls: bool) -> None:
    agenda, time = rested(), 0
    for deed in deeds:
        time += 700
        match deed:
            case "again":
                agenda.read_again("because")
            case "now":
                agenda.read_at_once(at(time))
            case "confirm":
                agenda.confirm_at(at(time + 400))
            case _:
                agenda.begun(at(time), full=deed == "full")
                agenda.ended(at(time), full=deed == "full")
    deadline = agenda.deadline(lit=lit, polls=polls)
    now = at(time + wait)
    assert (agenda.due(now, lit=lit, polls=polls)[0] != "") is (deadline <= now)


def test_nothing_is_early_while_history_is_read_or_wanted_anyway() -> None:
    agenda = rested()
    assert agenda.may_read_early(at(POLICY.history_ms // 2))
    agenda.read_history_early()
    assert not agenda.may_read_early(at(POLICY.history_ms // 2)), "it is wanted"
    agenda.begun(at(POLICY.history_ms // 2), full=True)
    assert not agenda.may_read_early(at(POLICY.history_ms * 2)), "it is being read"
    agenda.ended(at(POLICY.history_ms), full=True)
    assert not agenda.may_read_early(at(POLICY.history_ms))
    assert agenda.may_read_early(at(POLICY.history_ms + POLICY.history_ms // 2))
    assert not agenda.may_read_early(at(3 * POLICY.history_ms)), "its time has come"


def test_history_may_be_read_early_but_not_one_reading_after_the_other() -> None:
    agenda, other = rested(), rested()
    agenda.read_history_early()
    early = agenda.deadline(lit=True, polls=False) - BEGIN
    assert POLICY.history_ms * 0.75 <= early * SOONEST_HISTORY <= POLICY.history_ms * 1.25
    assert [other.may_read_early(at(early - 1)), other.may_read_early(at(early))] == [False, True]
    assert (due(agenda, early - 1), due(agenda, early)) == (NOTHING, (HISTORY, True))
    agenda.begun(at(early), full=True)
    agenda.ended(at(early), full=True)
    assert due(agenda, 2 * early)[0] != HISTORY, "nobody wanted it early again"


def test_before_the_first_reading_nothing_can_be_early() -> None:
    agenda = Agenda(POLICY, seed=1)
    assert not agenda.may_read_early(at(10 * POLICY.history_ms))
    agenda.read_history_early()
    assert agenda.deadline(lit=True, polls=False) == NEVER
