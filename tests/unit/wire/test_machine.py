"""The machine in virtual time, against the truth. The driver holds the laws of `tests.support.laws` after every step of every test."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.machine import BRISK, START, Driver, Fate, Instead, Reply
from tests.support.scripted import KEY_REFUSED, NO_ANSWER, PLACE, REFUSE, frame_of
from tests.unit.wire.kit import QUIET, Late, asked, facts_of, live
from userstream.domain.events import Filled, GapOpened, GapRepaired, Mismatch, SnapshotTaken, StreamChanged, Unrecognized
from userstream.domain.words import OrderStatus, Source, StreamState
from userstream.kernel.errors import AuthenticationError
from userstream.kernel.ids import Millis
from userstream.wire.feed import NEVER, Ask, Hang, SessionCall
from userstream.wire.machine import FORGET_MS, RESTART_LEAP, UNPROVEN_MEMORY_MS
from userstream.wire.question import AskBalances, AskClock, AskFills, AskMovements, Question
from userstream.wire.request import HttpResponse

DAILY = msgspec.structs.replace(BRISK, books=msgspec.structs.replace(BRISK.books, history_ms=86_400_000))
"""Between the first reading and the next of all history lies a day."""

LAG_MS = BRISK.books.lag_ms


# --- beginnings ---


def test_a_fill_before_the_clock_is_measured_is_found_all_the_same() -> None:
    driver = Driver(SlowAnswers(3_900)).start()
    driver.run_for(300)
    driver.trade()
    driver.run_until_live()
    assert len(facts_of(driver, Filled)) == 1
    driver.laws.hold_at_rest(driver.venue_now)


class SlowAnswers(Fate):
    """The venue's REST takes its time; its sockets open late."""

    def __init__(self, delay_ms: int) -> None:
        self._delay_ms = delay_ms

    def dial_ms(self, connection: int, now: Millis) -> int | None:
        return 3_000

    def reply(self, question: Question, now: Millis) -> Reply:
        return Reply(delay_ms=self._delay_ms)


@pytest.mark.parametrize("ahead_ms", [-3_600_000, 3_600_000])
def test_a_wrong_wall_clock_neither_hastens_nor_hinders_the_proof(ahead_ms: int) -> None:
    driver = Driver(Late(AskClock, 500))
    driver.venue_ahead_ms = ahead_ms
    driver.start()
    driver.run_for(400)
    assert driver.machine.feed.is_lit
    assert not driver.machine.clock.is_measured
    driver.run_until_live(5_000)
    assert LAG_MS < driver.now - START < LAG_MS + 2_000
    assert len(facts_of(driver, SnapshotTaken)) == 2


# --- a calm life ---


def states(driver: Driver) -> list[StreamState]:
    return [fact.state for fact in driver.facts if isinstance(fact, StreamChanged)]


def histories(driver: Driver) -> list[Question]:
    return [question for _, question in driver.asked if isinstance(question, AskFills | AskMovements)]


def test_a_calm_start_is_live_when_history_includes_the_moment_the_stream_opened() -> None:
    driver = Driver().start()
    driver.run_until_live()
    assert states(driver) == [StreamState.CONNECTING, StreamState.SYNCING, StreamState.LIVE]
    assert LAG_MS < driver.now - START < LAG_MS + 1_000
    assert facts_of(driver, GapOpened) == []


def test_without_a_gap_only_audits_and_the_planned_reading_ask() -> None:
    driver = Driver(policy=DAILY).start().run_until_live()
    driver.asked.clear()
    for _ in range(20):
        order_id = driver.place()
        driver.run_for(700)
        driver.fill(order_id)
        driver.run_for(90_000)
    assert histories(driver) == []
    assert facts_of(driver, Mismatch) == []
    assert {snapshot.reason for snapshot in facts_of(driver, SnapshotTaken)[2:]} == {"audit"}
    assert {fill.source for fill in facts_of(driver, Filled)} == {Source.STREAM}
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_rotation_before_the_day_is_over_has_no_dark_moment() -> None:
    place = msgspec.structs.replace(PLACE, rotate_after_ms=30_000)
    driver = Driver(place=place).start().run_until_live()
    while driver.now < START + 200_000:
        driver.trade()
        driver.run_for(333)
        assert driver.machine.feed.is_lit
    assert driver.machine.feed.opened_count >= 6
    assert facts_of(driver, GapOpened) == []
    assert states(driver)[-1] is StreamState.LIVE
    assert len(states(driver)) == 3


def test_a_place_in_the_journal_may_be_claimed_for_bytes_that_told_nothing() -> None:
    driver = Driver().start().run_until_live()
    last = driver.facts[-1].sequence
    assert driver.machine.claim_sequence() == last + 1
    driver.trade()
    driver.run_for(100)
    assert driver.facts[-1].sequence > last + 1


# --- darkness ---


def test_a_gap_begins_before_the_first_lost_fill_and_is_repaired() -> None:
    driver = Driver().start().run_until_live()
    order_id = driver.place()
    driver.run_for(5_000)
    driver.fill(order_id)  # on its way when the socket breaks
    lost = driver.venue_now
    driver.cut_all()
    assert driver.account.state is StreamState.STALE
    driver.run_until_live()
    [opened], [repaired] = facts_of(driver, GapOpened), facts_of(driver, GapRepaired)
    assert opened.since == repaired.since <= lost < repaired.until
    assert (opened.reason, repaired.fills) == ("connection reset", 1)
    assert [fill.source for fill in facts_of(driver, Filled)] == [Source.SNAPSHOT]
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_gap_includes_what_was_overtaken_by_the_last_that_was_heard() -> None:
    driver = Driver(place=msgspec.structs.replace(PLACE, own_ping_ms=300)).start().run_until_live()
    driver.run_for(10_000)
    driver.fate = SlowFrames()
    driver.trade()
    lost = driver.venue_now
    driver.run_for(1_000)
    assert driver.machine.clock.at(driver.machine.feed.last_heard) > lost
    driver.cut_all()
    [gap] = facts_of(driver, GapOpened)
    assert gap.since <= lost
    driver.run_until_live()
    assert len(facts_of(driver, Filled)) == 1


class SlowFrames(Fate):
    """Frames take longer than pongs, but less than the lag."""

    def copies(self, connection: int, now: Millis) -> tuple[int, ...]:
        return (LAG_MS - 100,)


def test_when_the_stream_stays_away_the_books_are_polled() -> None:
    fate = NoSockets()
    driver = Driver(fate).start()
    driver.run_for(60_000)
    assert driver.account.state is StreamState.POLLING
    driver.trade()
    driver.run_for(BRISK.books.poll_ms * 3)
    assert len(facts_of(driver, Filled)) == 1
    assert "polling" in {snapshot.reason for snapshot in facts_of(driver, SnapshotTaken)}
    fate.refused = False
    driver.run_until_live(120_000)
    driver.laws.hold_at_rest(driver.venue_now)


class NoSockets(Fate):
    """Every socket is refused."""

    refused = True

    def dial_ms(self, connection: int, now: Millis) -> int | None:
        return None if self.refused else 40


def test_a_socket_that_falls_silent_is_replaced() -> None:
    driver = Driver().start().run_until_live()
    driver.sockets[1].frozen = True
    driver.run_for(PLACE.silence_limit_ms - 4_000)
    driver.trade()
    driver.run_for(4_000)
    driver.run_until_live()
    assert [gap.reason for gap in facts_of(driver, GapOpened)] == ["nothing was heard"]
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_socket_that_answers_pings_and_tells_nothing_is_found_out_by_the_books() -> None:
    driver = Driver().start().run_until_live()
    driver.trade()
    driver.run_for(1_000)
    driver.sockets[1].deaf = True
    driver.trade()
    driver.run_for(2 * BRISK.books.history_ms)
    assert driver.connections != [1]
    assert driver.machine.books is not None
    assert driver.machine.books.missed_by_stream == 1
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_way_of_subscribing_on_which_nothing_is_told_is_left() -> None:
    driver = Driver()
    driver.deaf_forms = {"0"}
    driver.start().run_until_live()
    driver.run_for(5_000)
    driver.trade()
    driver.run_for(2 * BRISK.books.history_ms)
    assert {socket.form for socket in driver.sockets.values()} == {"1"}
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_conditional_order_that_was_placed_and_triggered_in_the_dark_is_found() -> None:
    driver = Driver().start().run_until_live()
    driver.run_for(10_000)
    driver.cut_all()
    conditional = driver.truth.place(driver.venue_now, conditional=True)
    real = driver.truth.trigger(driver.venue_now, conditional)
    driver.tell_nobody()
    driver.run_until_live()
    orders = {order.order_id: order.status for order in driver.account.orders.values()}
    assert orders == {conditional: OrderStatus.TRIGGERED, real: OrderStatus.NEW}


# --- bytes that are no message ---


def test_an_unreadable_frame_opens_a_gap_until_the_books_were_read() -> None:
    driver = Driver().start().run_until_live()
    driver.run_for(10_000)
    driver.trade()
    driver.run_for(100)
    driver.send_garbage(1)
    driver.run_for(10)
    assert driver.account.state is StreamState.SYNCING
    assert driver.machine.feed.is_lit
    driver.run_until_live()
    [opened], [repaired] = facts_of(driver, GapOpened), facts_of(driver, GapRepaired)
    assert opened.since == repaired.since < driver.venue_now - LAG_MS
    assert (driver.machine.unrecognized, driver.connections) == (1, [1])


def test_an_event_that_nobody_knows_is_counted_and_opens_no_gap() -> None:
    driver = Driver().start().run_until_live()
    driver.send(1, frame_of((Unrecognized(name="event NEWS_OF_TOMORROW", reason="not in the documents"),)))
    driver.run_for(100)
    assert (driver.machine.unrecognized, driver.account.state) == (1, StreamState.LIVE)
    assert facts_of(driver, GapOpened) == []


@pytest.mark.parametrize("connection", [1, 9])
def test_an_odd_frame_is_an_unreadable_one_if_its_socket_is_known(connection: int) -> None:
    driver = Driver().start().run_until_live()
    facts = driver.machine.odd_frame(connection, b"\x00\x01", "a binary message", driver.now, driver.wall)
    if connection == 9:
        assert facts == ()
        return
    unrecognized, gap, syncing = facts
    assert isinstance(unrecognized, Unrecognized)
    assert (unrecognized.name, unrecognized.sample, unrecognized.raw()) == ("bytes", "0001", b"\x00\x01")
    assert isinstance(gap, GapOpened)
    assert isinstance(syncing, StreamChanged)
    assert (gap.raw(), syncing.raw()) == (None, None)


def test_messages_that_are_lost_while_the_books_are_read_cost_one_reading_more_and_not_two() -> None:
    driver = live()
    driver.run_for(20_000)
    driver.asked.clear()
    for _ in range(3):
        driver.send(1, frame_of((Unrecognized(name="bytes", reason="no text"),)))
        driver.run_for(5)
    driver.run_for(10_000)
    begun = asked(driver, AskBalances)
    assert len(begun) == 2 and begun[1] - begun[0] > QUIET.books.lag_ms
    assert driver.account.gap_since is None


def test_frames_of_a_socket_that_is_gone_are_passed_over() -> None:
    driver = Driver().start().run_until_live()
    assert driver.machine.frame(9, b"[]", driver.now, driver.wall) == ()
    assert driver.machine.messages == 0


# --- ends ---


def assert_over(driver: Driver) -> None:
    """Nothing is wished, told or due any more, whatever is still reported."""
    driver.run_for(1_000)
    facts, wished = len(driver.facts), driver.wished.total()
    machine, now, wall = driver.machine, driver.now, driver.wall
    assert machine.deadline() == NEVER
    assert machine.tick(now, wall) == ()
    assert machine.closed(1, "reset", now, wall) == ()
    assert machine.connected(1, now, wall) == ()
    assert machine.frame(1, b"[]", now, wall) == ()
    assert machine.prepare(1, now) is None
    assert machine.answered(1, HttpResponse(status=200, body=b"{}"), now, wall) == ()
    assert not machine.take_wishes()
    driver.run_for(600_000)
    assert (len(driver.facts), driver.wished.total()) == (facts, wished)


def test_a_stop_is_the_end() -> None:
    driver = Driver().start().run_until_live()
    driver.cut_all()
    driver.stop()
    assert states(driver)[-1] is StreamState.STOPPED
    assert_over(driver)
    driver.stop()
    assert states(driver).count(StreamState.STOPPED) == 1


def test_a_deleted_key_fails_the_account_once() -> None:
    driver = Driver().start().run_until_live()
    driver.send(1, REFUSE)
    driver.run_for(100)
    assert isinstance(driver.error, AuthenticationError)
    assert states(driver)[-1] is StreamState.FAILED
    [gap] = facts_of(driver, GapOpened)
    assert gap.since < driver.venue_now
    assert gap.reason == str(driver.error), "the refusal is why nothing is heard, not that the sockets were stopped for it"
    assert_over(driver)
    driver.stop()
    assert states(driver)[-1] is StreamState.FAILED


def test_a_key_that_rest_refuses_fails_the_account_once() -> None:
    driver = Driver(Instead(AskBalances, KEY_REFUSED)).start()
    driver.run_for(5_000)
    assert isinstance(driver.machine.error, AuthenticationError)
    assert (states(driver)[-1], driver.wished["Fail"]) == (StreamState.FAILED, 1)
    assert {gap.reason for gap in facts_of(driver, GapOpened)} == {str(driver.machine.error)}
    assert_over(driver)


def test_has_wishes_says_what_there_is_to_take() -> None:
    driver = Driver()
    driver.machine.start(driver.now, driver.wall)
    assert driver.machine.has_wishes
    assert {type(wish) for wish in driver.machine.take_wishes()} == {SessionCall, Ask}
    assert not driver.machine.has_wishes


def test_what_was_wished_before_the_end_is_asked_no_more() -> None:
    driver = Driver()
    driver.machine.start(driver.now, driver.wall)
    driver.machine.stop(driver.now, driver.wall)
    assert {type(wish) for wish in driver.machine.take_wishes()} == {SessionCall, Hang}


# --- restart ---


def test_a_restart_reads_what_happened_in_between_and_tells_nothing_twice() -> None:
    driver = Driver().start().run_until_live()
    driver.trade()
    driver.run_for(30_000)
    last = driver.facts[-1].sequence
    driver.truth.fill(driver.venue_now, driver.truth.place(driver.venue_now), "0.2")
    driver.tell_nobody()
    driver.restart(dark_ms=90_000)
    assert driver.facts[-1].sequence > last + RESTART_LEAP
    driver.run_until_live()
    assert [fill.source for fill in facts_of(driver, Filled)] == [Source.STREAM, Source.SNAPSHOT]
    assert [gap.reason for gap in facts_of(driver, GapOpened)] == ["restart"]
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_run_that_proved_nothing_is_read_again_from_its_beginning() -> None:
    driver = Driver(NoSockets()).start()
    driver.run_for(2_000)
    driver.trade()
    driver.run_for(1_000)
    driver.fate = Fate()
    driver.restart(dark_ms=60_000)
    driver.run_until_live()
    assert len(facts_of(driver, Filled)) == 1
    driver.laws.hold_at_rest(driver.venue_now)


def test_what_an_unproven_run_missed_before_it_was_last_heard_is_read() -> None:
    driver = Driver(Silence()).start()
    driver.run_for(2_000)
    driver.truth.fill(driver.venue_now, driver.truth.place(driver.venue_now, quantity="0.1"), "0.1")
    driver.tell_nobody()
    driver.run_for(10_000)
    driver.trade()
    driver.run_for(1_000)
    driver.fate = Fate()
    driver.restart()
    driver.run_until_live()
    assert [fill.source for fill in facts_of(driver, Filled)] == [Source.STREAM, Source.SNAPSHOT]
    driver.laws.hold_at_rest(driver.venue_now)


class Silence(Fate):
    """No answer comes from REST."""

    def reply(self, question: Question, now: Millis) -> Reply:
        return Reply(instead=NO_ANSWER)


def test_a_restart_with_a_checkpoint_alone_opens_no_gap_of_its_own() -> None:
    driver = Driver().start()
    machine = Driver().machine
    machine.restore(driver.facts, 0, None)
    assert (machine.sequence, machine.account.gap_since) == (0, None)


# --- without a secret ---


def test_without_a_secret_the_stream_is_followed_and_nothing_asked() -> None:
    place = msgspec.structs.replace(PLACE, credentials=msgspec.structs.replace(PLACE.credentials, api_secret=None))
    driver = Driver(place=place).start()
    driver.run_until_live(1_000)
    order_id = driver.place("0.1")
    driver.fill(order_id)
    driver.run_for(100)
    driver.send_garbage(1)
    driver.run_for(100)
    driver.cut_all()
    driver.run_for(2 * UNPROVEN_MEMORY_MS)
    assert (driver.asked, driver.account.state) == ([], StreamState.LIVE)
    assert [gap.reason for gap in facts_of(driver, GapOpened)] == ["connection reset"]
    assert facts_of(driver, GapRepaired) == []
    assert driver.account.order_by_id(order_id) is not None
    driver.place()
    driver.run_for(FORGET_MS + 100)
    assert driver.account.order_by_id(order_id) is None
    assert len(list(driver.account.open_orders())) == 1


def test_before_the_first_proof_only_the_journal_tells_since_when_nothing_is_sure() -> None:
    driver = Driver().start()
    assert not driver.machine.can_be_resumed
    driver.run_until_live()
    assert driver.machine.can_be_resumed
