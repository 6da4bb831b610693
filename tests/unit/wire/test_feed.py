"""The feed alone: its sessions are the scripted venue's, the test is shell and world."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scripted import GARBAGE, NOT_NOW, PLACE, ScriptedSession
from userstream.kernel.errors import AuthenticationError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.wire.feed import (
    DOUBT_LIMIT_MS,
    NEVER,
    SHORT_LIFE_MS,
    Dial,
    Fail,
    Feed,
    FeedPolicy,
    Hang,
    Pause,
    SendPing,
    SendText,
    SessionCall,
)
from userstream.wire.pacing import Backoff, VenueClock
from userstream.wire.request import HttpResponse
from userstream.wire.session import Effect, Emit, GiveUp, Opened, Refrain, Reset, Send, Troubled

START = Millis(1_000_000)
BACKOFF = Backoff(seed=3)
POLICY = FeedPolicy(backoff=BACKOFF)
KEY = HttpResponse(status=200, body=b"listen-key-1")


class Stage:
    """A feed with its time; `open` brings a connection up to delivery."""

    def __init__(self, policy: FeedPolicy = POLICY) -> None:
        self.now = START
        place = msgspec.structs.replace(PLACE, close_listen_key_on_stop=True)
        self.feed = Feed(
            lambda number, form, now: ScriptedSession(msgspec.structs.replace(place, connection_form=form), number, now),
            policy,
            VenueClock(START, START),
        )

    def started(self) -> Stage:
        self.feed.start(self.now)
        return self

    def open(self, *connections: int) -> Stage:
        for connection in connections:
            self.feed.respond(connection, "key", KEY, self.now)
            self.feed.connected(connection, self.now)
        return self

    def hear(self, connection: int, frame: bytes = b"[]") -> None:
        line = self.feed.lines[connection]
        line.frames += 1
        line.session.receive(frame, self.now, self.now)

    def say(self, connection: int, effect: Reset | GiveUp | Opened | Refrain) -> None:
        self.feed.carry(self.feed.lines[connection], effect, self.now)

    def wait(self, milliseconds: int) -> None:
        self.now = Millis(self.now + milliseconds)

    def tick_at_deadline(self) -> None:
        self.now = max(self.now, self.feed.deadline())
        self.feed.tick(self.now)

    @property
    def connections(self) -> list[int]:
        return list(self.feed.lines)

    def dials(self) -> list[str]:
        return [wish.url.reveal() for wish in self.feed.wishes if isinstance(wish, Dial)]


ALIVE = Reset("rotation", alive=True)
DEAD = Reset("broken", alive=False)


# --- opening ---


def test_nothing_is_due_before_the_start() -> None:
    assert Stage().feed.current is None
    assert Stage().feed.deadline() <= START
    assert not Stage().feed.wishes


def test_a_feed_is_lit_from_the_moment_the_venue_delivers() -> None:
    stage = Stage().started()
    assert [type(wish) for wish in stage.feed.wishes] == [SessionCall]
    assert not stage.feed.is_lit
    stage.wait(70)
    stage.open(1)
    assert [type(wish) for wish in stage.feed.wishes] == [SessionCall, Dial, SendText]
    assert (stage.feed.lit_since, stage.feed.last_heard, stage.feed.opened_count) == (START + 70, START + 70, 1)
    assert stage.feed.current is stage.feed.lines[1]


def test_a_second_word_of_opening_changes_nothing() -> None:
    stage = Stage().started().open(1)
    stage.wait(500)
    stage.say(1, Opened())
    assert (stage.feed.lit_since, stage.feed.opened_count, stage.feed.lines[1].opened) == (START, 1, START)


def test_connection_numbers_go_on_after_those_of_earlier_runs() -> None:
    stage = Stage()
    stage.feed.start_numbering(41)
    stage.feed.start_numbering(7)
    assert stage.started().connections == [42]


def test_redundant_sockets_are_opened_at_once_and_one_is_enough_for_light() -> None:
    stage = Stage(FeedPolicy(redundancy=2, backoff=BACKOFF)).started().open(1, 2)
    assert stage.feed.current is stage.feed.lines[2]
    stage.feed.closed(2, "reset", stage.now)
    assert stage.feed.is_lit
    stage.feed.closed(1, "reset", stage.now)
    assert not stage.feed.is_lit


def test_a_socket_that_does_not_open_in_time_is_given_up() -> None:
    stage = Stage().started()
    assert stage.feed.deadline() == START + POLICY.opening_limit_ms
    stage.tick_at_deadline()
    assert (stage.connections, stage.feed.failures, stage.feed.reason) == ([], 1, "the socket did not open in time")
    stage.tick_at_deadline()
    assert stage.connections == [2]


def test_a_pause_that_a_socket_was_told_is_wished_for_all_calls() -> None:
    stage = Stage().started().open(1)
    stage.say(1, Refrain(17_000))
    assert stage.feed.wishes[-1] == Pause(17_000)


def test_reports_about_unknown_connections_are_passed_over() -> None:
    stage = Stage().started().open(1)
    wishes = list(stage.feed.wishes)
    stage.feed.connected(9, stage.now)
    stage.feed.pinged(9, stage.now)
    stage.feed.closed(9, "reset", stage.now)
    stage.feed.respond(9, "key", KEY, stage.now)
    assert (stage.feed.wishes, stage.connections) == (wishes, [1])


def test_what_a_session_wishes_is_wished_of_the_shell() -> None:
    stage = Stage().started().open(1)
    stage.feed.wishes.clear()
    stage.wait(PLACE.own_ping_ms)
    stage.feed.tick(stage.now)
    stage.feed.carry(stage.feed.lines[1], Send(Secret("text")), stage.now)
    stage.feed.carry(stage.feed.lines[1], Emit(()), stage.now)
    assert stage.feed.wishes == [SendPing(1), SendText(1, Secret("text"))]
    stage.feed.pinged(1, stage.now)
    assert stage.feed.last_heard == stage.now


# --- failing ---


@given(st.integers(1, 12))
def test_tries_that_fail_follow_the_back_off(failures: int) -> None:
    stage = Stage().started()
    for failure in range(1, failures + 1):
        [connection] = stage.connections
        stage.feed.respond(connection, "key", NOT_NOW, stage.now)
        assert stage.feed.failures == failure
        assert stage.feed.deadline() == stage.now + BACKOFF.delay_ms(failure)
        stage.tick_at_deadline()
    assert stage.connections == [failures + 1]
    assert stage.feed.form == 0  # no socket was tried: another way of subscribing cannot help


def test_a_socket_that_never_delivered_asks_for_another_way_of_subscribing() -> None:
    stage = Stage().started()
    stage.feed.respond(1, "key", KEY, stage.now)
    stage.feed.closed(1, "refused", stage.now)
    stage.tick_at_deadline()
    stage.feed.respond(2, "key", KEY, stage.now)
    assert [url.rpartition("/")[2] for url in stage.dials()] == ["0", "1"]


@pytest.mark.parametrize(("lived_ms", "failures"), [(0, 1), (SHORT_LIFE_MS - 1, 1), (SHORT_LIFE_MS, 0)])
def test_a_short_life_counts_as_a_failed_try(lived_ms: int, failures: int) -> None:
    stage = Stage().started().open(1)
    stage.wait(lived_ms)
    stage.feed.closed(1, "reset", stage.now)
    assert (stage.feed.failures, stage.feed.lit_since, stage.feed.reason) == (failures, None, "reset")
    assert stage.connections == ([2] if failures == 0 else [])


def test_an_end_of_a_break_is_counted_anew() -> None:
    stage = Stage().started()
    stage.feed.respond(1, "key", NOT_NOW, stage.now)
    stage.tick_at_deadline()
    stage.open(2)
    stage.wait(SHORT_LIFE_MS)
    stage.feed.closed(2, "reset", stage.now)
    assert stage.feed.failures == 0


def test_effects_after_the_one_that_ended_the_line_are_void() -> None:
    stage = Stage().started().open(1)
    line = stage.feed.lines[1]
    stage.say(1, DEAD)
    wishes = list(stage.feed.wishes)
    stage.feed.carry(line, Opened(), stage.now)
    stage.feed.carry(line, DEAD, stage.now)
    assert stage.feed.wishes == wishes
    assert not stage.feed.is_lit


# --- make before break ---


def rotated() -> Stage:
    """The first socket retires, the second is being opened."""
    stage = Stage().started().open(1)
    stage.wait(SHORT_LIFE_MS)
    stage.say(1, ALIVE)
    return stage


def test_a_rotation_has_no_dark_moment() -> None:
    stage = rotated()
    assert stage.connections == [1, 2]
    stage.wait(900)
    stage.open(2)
    assert stage.feed.deadline() == stage.now + POLICY.drain_ms
    stage.tick_at_deadline()
    assert (stage.connections, stage.feed.lit_since, stage.feed.reason) == ([2], START, "rotation")
    assert stage.feed.wishes[-1] == Hang(1)


def test_a_predecessor_stays_until_a_successor_delivers() -> None:
    stage = rotated()
    for _ in range(5):
        connection = max(stage.connections)
        stage.feed.closed(connection, "refused", stage.now)
        assert stage.connections == [1]
        stage.tick_at_deadline()
        stage.feed.pinged(1, stage.now)
    assert stage.feed.lit_since == START
    stage.open(max(stage.connections))
    stage.tick_at_deadline()
    assert len(stage.connections) == 1
    assert stage.connections != [1]


def test_a_rotation_that_is_asked_for_twice_is_one() -> None:
    stage = rotated()
    stage.wait(500)
    stage.say(1, ALIVE)
    assert stage.connections == [1, 2]
    assert stage.feed.lines[1].retiring_at == START + SHORT_LIFE_MS + POLICY.drain_ms


def test_a_predecessor_that_breaks_leaves_its_successor_alone() -> None:
    stage = rotated().open(2)
    stage.feed.closed(1, "reset", stage.now)
    assert (stage.connections, stage.feed.is_lit) == ([2], True)


def test_a_successor_that_breaks_is_replaced_beside_the_predecessor() -> None:
    stage = rotated().open(2)
    stage.feed.closed(2, "reset", stage.now)
    assert stage.feed.is_lit
    stage.wait(POLICY.drain_ms)
    stage.feed.tick(stage.now)
    assert stage.connections == [1, 3]
    stage.open(3)
    stage.wait(POLICY.drain_ms - 1)
    stage.feed.tick(stage.now)
    assert stage.connections == [1, 3], "beside each successor it has its full time"
    stage.wait(1)
    stage.feed.tick(stage.now)
    assert 1 not in stage.connections


def test_a_deaf_successor_never_replaces_a_speaking_predecessor() -> None:
    stage = rotated().open(2)
    stage.hear(1)
    stage.tick_at_deadline()
    assert (stage.connections, stage.feed.form, stage.feed.failures) == ([1], 1, 1)
    stage.wait(BACKOFF.delay_ms(1))
    stage.feed.tick(stage.now)
    stage.open(3)
    assert stage.dials()[-1].endswith("/1")
    stage.hear(1)
    stage.hear(3)
    stage.wait(POLICY.drain_ms)
    stage.feed.tick(stage.now)
    assert (stage.connections, stage.feed.lit_since, stage.feed.failures) == ([3], START, 0)


def test_a_silent_successor_of_a_silent_predecessor_is_no_worse() -> None:
    stage = rotated()
    stage.hear(1)
    stage.open(2)
    stage.tick_at_deadline()
    assert stage.connections == [2]


# --- suspicion ---


def test_a_suspected_socket_that_spoke_is_replaced_the_same_way() -> None:
    stage = Stage().started().open(1)
    stage.hear(1)
    stage.feed.suspect("the books know more", stage.now)
    assert (stage.connections, stage.feed.form, stage.feed.reason) == ([1, 2], 0, "the books know more")
    stage.feed.suspect("the books know more", stage.now)
    assert stage.connections == [1, 2]


def test_a_suspected_socket_that_never_spoke_is_replaced_another_way() -> None:
    stage = Stage().started().open(1)
    for _ in range(2):
        stage.feed.suspect("the books know more", stage.now)
    assert (stage.connections, stage.feed.form) == ([1, 2], 1)


def test_without_a_socket_there_is_nothing_to_suspect() -> None:
    stage = Stage().started()
    stage.feed.suspect("the books know more", stage.now)
    assert stage.connections == [1]


# --- the end ---


def test_a_stop_says_farewell_closes_everything_and_opens_nothing_again() -> None:
    stage = rotated().open(2)
    stage.feed.wishes.clear()
    stage.feed.stop(stage.now)
    assert [type(wish) for wish in stage.feed.wishes] == [SessionCall, Hang, SessionCall, Hang]
    assert (stage.connections, stage.feed.is_lit, stage.feed.deadline()) == ([], False, NEVER)
    stage.wait(3_600_000)
    stage.feed.tick(stage.now)
    assert stage.connections == []


def test_giving_up_ends_the_feed() -> None:
    stage = Stage().started().open(1)
    error = AuthenticationError("the key was deleted")
    stage.say(1, GiveUp(error))
    assert Fail(error) in stage.feed.wishes
    assert (stage.connections, stage.feed.deadline()) == ([], NEVER)


def test_a_session_that_breaks_at_the_farewell_is_closed_once() -> None:
    stage = Stage()
    stage.feed = Feed(lambda number, form, now: RudeSession(PLACE, number, now), POLICY, VenueClock(START, START))
    stage.started().open(1)
    stage.feed.stop(stage.now)
    assert (stage.connections, stage.feed.wishes.count(Hang(1))) == ([], 1)


class RudeSession(ScriptedSession):
    """Breaks off when it should say goodbye."""

    def close(self, now: Millis) -> list[Effect]:
        return [DEAD]


def test_what_a_session_found_unknown_outlives_it() -> None:
    stage = Stage().started().open(1)
    stage.hear(1, GARBAGE)
    stage.hear(1, GARBAGE)
    stage.feed.closed(1, "reset", stage.now)
    stage.tick_at_deadline()
    stage.open(2)
    stage.hear(2, GARBAGE)
    stage.feed.closed(2, "reset", stage.now)
    assert stage.feed.drift == {"bytes no message": 3}


# --- any life ---

DEEDS = ("hear", "alive", "dead", "close", "open", "refuse", "suspect", "wait", "tick")


@given(st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 5)), max_size=60), st.integers(1, 3))
def test_whatever_happens_a_tick_moves_the_deadline_and_light_means_a_delivering_socket(
    deeds: list[tuple[str, int]], redundancy: int
) -> None:
    stage = Stage(FeedPolicy(redundancy=redundancy, backoff=BACKOFF)).started()
    for deed, pick in deeds:
        connection = stage.connections[pick % len(stage.connections)] if stage.connections else 0
        live_a_moment(stage, deed, connection, pick)
        opened = [line for line in stage.feed.lines.values() if line.opened is not None]
        assert stage.feed.is_lit is bool(opened)
        assert sum(line.retiring_at is None for line in stage.feed.lines.values()) <= redundancy
        stage.tick_at_deadline()
        assert stage.feed.deadline() > stage.now


def live_a_moment(stage: Stage, deed: str, connection: int, pick: int) -> None:
    match deed:
        case "wait":
            stage.wait(pick * 700)
        case "suspect":
            stage.feed.suspect("the books know more", stage.now)
        case "open":
            stage.open(connection)
        case "close":
            stage.feed.closed(connection, "reset", stage.now)
        case "refuse":
            stage.feed.respond(connection, "key", NOT_NOW, stage.now)
        case "hear" if connection:
            stage.hear(connection)
        case "alive" | "dead" if connection:
            stage.say(connection, ALIVE if deed == "alive" else DEAD)


# --- trouble, doubt, and silence that is ours ---


def next_try(stage: Stage) -> Millis | None:
    return stage.feed.next_try


def test_why_a_socket_does_not_open_is_known_and_when_it_is_tried_again() -> None:
    stage = Stage().started()
    stage.feed.carry(stage.feed.lines[1], Troubled("cannot reach the venue"), stage.now)
    assert stage.feed.reason == "cannot reach the venue"
    stage.feed.closed(1, "no route", stage.now)
    assert (stage.feed.reason, stage.connections) == ("no route", [])
    due = stage.feed.next_try
    assert due is not None and stage.feed.deadline() == due > stage.now
    stage.tick_at_deadline()
    stage.open(2)
    stage.feed.carry(stage.feed.lines[2], Troubled("a keep-alive failed"), stage.now)
    assert (stage.feed.next_try, stage.feed.reason) == (None, "no route"), "while a socket delivers nothing is dark"


def test_a_socket_that_never_opened_is_replaced_for_the_reason_that_it_gave() -> None:
    stage = Stage().started()
    stage.feed.carry(stage.feed.lines[1], Troubled("cannot reach the venue"), stage.now)
    stage.wait(POLICY.opening_limit_ms)
    stage.feed.tick(stage.now)
    assert (stage.feed.reason, stage.feed.failures) == ("cannot reach the venue", 1)


@pytest.mark.parametrize("sign", ["ping", "frame", "nothing"])
def test_a_socket_in_doubt_must_show_soon_that_it_lives(sign: str) -> None:
    stage = Stage().started().open(1)
    stage.feed.wishes.clear()
    stage.feed.doubt_sockets(stage.now)
    assert stage.feed.wishes == [SendPing(1)]
    stage.wait(DOUBT_LIMIT_MS - 1)
    stage.feed.tick(stage.now)
    assert stage.connections == [1]
    if sign == "ping":
        stage.feed.pinged(1, stage.now)
    elif sign == "frame":
        stage.hear(1)
    stage.wait(1)
    stage.feed.tick(stage.now)
    assert (1 in stage.connections) is (sign != "nothing")


def test_silence_that_is_ours_keeps_a_socket_and_is_no_sign_of_life() -> None:
    stage = Stage().started().open(1)
    for _ in range(200):
        stage.wait(5_000)
        stage.feed.excuse_silence(stage.now)
        stage.feed.tick(stage.now)
    assert stage.connections[0] == 1
    assert stage.feed.last_heard == START


def test_only_open_sockets_are_excused_and_doubted() -> None:
    stage = Stage(msgspec.structs.replace(POLICY, redundancy=2)).started().open(1)
    stage.feed.excuse_silence(stage.now)
    stage.feed.doubt_sockets(stage.now)
    assert [line.doubted_until is not None for line in stage.feed.lines.values()] == [True, False]
    assert [wish for wish in stage.feed.wishes if isinstance(wish, SendPing)] == [SendPing(1)]
