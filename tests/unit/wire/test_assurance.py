"""What a socket's signs vouch for. The law: whatever was lost lies after what the chain is sure of."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scripted import PLACE, ScriptedSession
from userstream.domain.events import Event, StreamChanged
from userstream.domain.words import StreamState
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.wire.assurance import Assurance
from userstream.wire.feed import Line
from userstream.wire.pacing import VenueClock

BEGIN = Millis(1_000_000)
VENUE_AHEAD_MS = 777_000
moments = st.integers(0, 100_000)


def line_of(key: str | None = "one") -> Line:
    session = ScriptedSession(PLACE, 1, BEGIN)
    session.listen_key = None if key is None else Secret(key)
    return Line(1, session, BEGIN)


def at(milliseconds: int) -> Millis:
    return Millis(BEGIN + milliseconds)


def event_of(happened: int) -> Event:
    return StreamChanged(event_time=Millis(BEGIN + VENUE_AHEAD_MS + happened), state=StreamState.LIVE, reason="")


class Stage:
    """Sockets open one after the other."""

    def __init__(self) -> None:
        self.clock = VenueClock(BEGIN, Millis(BEGIN + VENUE_AHEAD_MS))
        self.assurance = Assurance(self.clock)
        self.lines: list[Line] = []

    def open(self, milliseconds: int, key: str | None = "one", *, was_lit: bool = False) -> Line:
        line = line_of(key)
        self.assurance.opened(line, at(milliseconds), was_lit=was_lit)
        line.opened = at(milliseconds)
        self.lines.append(line)
        return line

    def ask(self, line: Line, milliseconds: int) -> None:
        line.asked_at = at(milliseconds)

    def sure(self, now: int = 1_000_000) -> int:
        return self.assurance.until(self.lines, at(now)) - BEGIN


def test_a_socket_is_sure_from_its_opening_on() -> None:
    stage = Stage()
    stage.open(500)
    assert stage.sure() == 500


def test_a_sign_of_life_vouches_for_the_moment_of_asking_not_of_hearing() -> None:
    stage = Stage()
    line = stage.open(500)
    stage.ask(line, 2_000)
    assert stage.sure() == 500
    stage.assurance.heard(line)
    assert stage.sure() == 2_000


def test_who_was_not_asked_vouches_for_nothing() -> None:
    stage = Stage()
    stage.assurance.heard(stage.open(500))
    assert stage.sure() == 500


def test_an_event_vouches_for_the_moment_at_which_it_happened() -> None:
    stage = Stage()
    stage.open(500).told = (event_of(3_000), event_of(2_900))
    assert stage.sure() == 3_000


def test_an_event_of_the_future_vouches_for_now_at_most() -> None:
    stage = Stage()
    stage.open(500).told = (event_of(9_000_000),)
    assert stage.sure(now=4_000) == 4_000


def test_an_event_without_a_time_vouches_for_nothing() -> None:
    stage = Stage()
    stage.open(500).told = (msgspec.structs.replace(event_of(0), event_time=Millis(0)),)
    assert stage.sure() == 500


def test_a_successor_vouches_only_when_its_predecessor_lived_until_then() -> None:
    stage = Stage()
    former = stage.open(0)
    stage.ask(former, 100)
    stage.assurance.heard(former)
    successor = stage.open(5_000, was_lit=True)
    stage.ask(successor, 6_000)
    stage.assurance.heard(successor)
    assert stage.sure() == 100  # the former may have been dead since then
    stage.ask(former, 5_000)
    stage.assurance.heard(former)
    stage.assurance.heard(successor)
    assert stage.sure() == 6_000


def test_what_history_proves_closes_a_break_of_the_chain() -> None:
    stage = Stage()
    stage.open(0)
    successor = stage.open(5_000, was_lit=True)
    stage.assurance.prove(Millis(at(5_200) + VENUE_AHEAD_MS))
    stage.ask(successor, 6_000)
    stage.assurance.heard(successor)
    assert stage.sure() == 6_000


def test_another_listen_key_means_that_the_former_died_after_it_was_last_used() -> None:
    stage = Stage()
    former = stage.open(0, "one")
    former.told = (event_of(1_000),)
    stage.ask(former, 9_000)
    stage.assurance.heard(former)
    assert stage.sure() == 9_000
    stage.open(10_000, "two")
    assert stage.assurance.key_died_after == at(1_000)
    assert stage.sure() == 10_000


def test_another_key_while_a_socket_is_open_breaks_the_chain() -> None:
    stage = Stage()
    former = stage.open(0, "one")
    stage.ask(former, 9_000)
    stage.assurance.heard(former)
    stage.open(10_000, "two", was_lit=True)
    assert stage.sure() == 0


def test_the_same_key_was_alive_when_the_next_socket_opened_with_it() -> None:
    stage = Stage()
    stage.open(0, "one")
    stage.open(10_000, "one")
    assert stage.assurance.key_died_after is None
    stage.open(20_000, "two")
    assert stage.assurance.key_died_after == at(10_000)


def test_where_the_venue_has_no_keys_none_dies() -> None:
    stage = Stage()
    stage.open(0, None)
    stage.open(10_000, None)
    assert stage.assurance.key_died_after is None


def test_an_event_of_a_socket_with_the_former_key_says_nothing_of_the_present_one() -> None:
    stage = Stage()
    former = stage.open(0, "one")
    stage.open(10_000, "two")
    former.told = (event_of(15_000),)
    stage.sure()
    stage.open(20_000, "three")
    assert stage.assurance.key_died_after == at(10_000)


@given(st.lists(moments, min_size=1, max_size=30, unique=True), moments, st.integers(0, 20_000), st.booleans())
def test_what_a_dead_socket_lost_is_never_before_what_is_sure(times: list[int], died: int, stall_ms: int, pings: bool) -> None:
    """The venue tells events, or is pinged, until the socket dies; what came is heard up to a stall later. The first that was lost lies
    after all that is sure."""
    stage = Stage()
    line = stage.open(0)
    for time in sorted(times):
        if time >= died:
            break
        if pings:
            stage.ask(line, time)
            stage.assurance.heard(line)
        else:
            line.told = (event_of(time),)
    assert stage.sure(now=died + stall_ms) <= died
