"""Where a gap begins when what was heard deceives, and which places a run takes after one that left nothing. In virtual time."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.machine import BRISK, START, WALL_AHEAD_MS, Driver, Fate, Reply
from tests.support.scripted import KEY_TAG, PLACE, Script, ScriptedSession, spec_of
from tests.unit.wire.kit import facts_of
from userstream.domain.events import Event, Filled, GapOpened, GapRepaired, StreamChanged
from userstream.domain.fold import checkpoint_of
from userstream.domain.words import StreamState
from userstream.kernel.errors import StoreError
from userstream.kernel.ids import Millis
from userstream.wire.feed import KEY_DIED, UNANSWERED
from userstream.wire.machine import RESTART_LEAP, SEQUENCES_OF_A_MILLISECOND, STOOD_STILL, Machine
from userstream.wire.recovery import Policy
from userstream.wire.request import HttpResponse
from userstream.wire.session import Effect

LAG_MS = BRISK.books.lag_ms
LOST_AFTER_MS = 15_000


class OtherKeys(Fate):
    """Each listen key that is asked for is another."""

    def __init__(self) -> None:
        self._given = 0

    def session_reply(self, tag: str, now: Millis) -> Reply:
        self._given += 1
        return Reply(instead=HttpResponse(status=200, body=b"listen-key-%d" % self._given))


def quiet_then_dark(fate: Fate) -> tuple[Driver, Millis]:
    """An account that was told a fill, and then answers pings for a while without a word before its socket breaks. Returns when the first
    fill was made that nobody was told."""
    driver = Driver(fate, place=msgspec.structs.replace(PLACE, own_ping_ms=1_000)).start().run_until_live()
    driver.trade()
    driver.run_for(1_000)
    lost = driver.venue_now
    driver.sockets[driver.connections[0]].deaf = True
    driver.trade()
    driver.run_for(LOST_AFTER_MS)
    driver.trade()
    driver.cut_all()
    return driver, lost


def test_a_key_that_died_in_silence_takes_the_gap_back_to_the_last_that_was_told() -> None:
    driver, lost = quiet_then_dark(OtherKeys())
    driver.run_until_live()
    *_, widest = facts_of(driver, GapOpened)
    [repaired] = facts_of(driver, GapRepaired)
    assert (widest.reason, widest.since) == (KEY_DIED, repaired.since)
    assert lost - LAG_MS - 1_000 <= repaired.since <= lost
    assert repaired.fills == 2
    driver.laws.hold_at_rest(driver.venue_now)


@pytest.mark.parametrize("ordered", [True, False], ids=["stopped", "killed"])
@pytest.mark.parametrize("kept", [True, False], ids=["with a checkpoint", "from the journal"])
def test_a_run_that_ends_in_the_dark_leaves_a_gap_that_goes_back_to_the_last_that_was_told(ordered: bool, kept: bool) -> None:
    driver, lost = quiet_then_dark(OtherKeys())
    if ordered:
        driver.stop()
    driver.restart(5_000, checkpoint=tuple(checkpoint_of(driver.account)) if kept else ())
    driver.run_until_live()
    [repaired] = facts_of(driver, GapRepaired)
    assert lost - LAG_MS - 1_000 <= repaired.since <= lost
    assert repaired.fills == 2
    assert facts_of(driver, GapOpened)[-1].reason == "restart"
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_run_that_ends_in_light_vouches_for_its_key_no_longer_than_something_was_told() -> None:
    driver = Driver(OtherKeys(), place=msgspec.structs.replace(PLACE, own_ping_ms=1_000)).start().run_until_live()
    driver.trade()
    driver.run_for(1_000)
    lost = driver.venue_now
    driver.sockets[driver.connections[0]].deaf = True
    driver.trade()
    driver.run_for(LOST_AFTER_MS)
    driver.restart()
    driver.run_until_live()
    [repaired] = facts_of(driver, GapRepaired)
    assert lost - LAG_MS - 1_200 <= repaired.since <= lost
    assert repaired.fills == 1


def test_where_the_key_is_the_same_an_answered_ping_vouches_for_the_socket() -> None:
    driver, lost = quiet_then_dark(Fate())
    [gap] = facts_of(driver, GapOpened)
    assert gap.since > lost
    driver.run_until_live()


def test_what_is_heard_after_a_stall_vouches_for_the_time_at_which_it_was_made() -> None:
    driver = Driver().start().run_until_live()
    order_id = driver.place()
    driver.run_for(LOST_AFTER_MS)
    driver.fill(order_id)
    made = driver.venue_now
    driver.stall(10_000)  # the frame is heard only now, and what was sent after it goes with the socket
    driver.run_for(0)
    assert len(facts_of(driver, Filled)) == 1
    driver.cut_all()
    [gap] = facts_of(driver, GapOpened)
    assert gap.since <= made
    driver.run_until_live()


@pytest.mark.parametrize("lived_ms", [1, 5_000, 90_000])
def test_a_run_that_kept_nothing_is_followed_beyond_all_that_it_told(lived_ms: int) -> None:
    """A full disk: the journal ends where an earlier run ended, yet readers were told more."""
    driver = Driver().start().run_until_live()
    kept = list(driver.facts)
    later = Millis(driver.now + 50)
    unkept = resumed(driver, kept, later)
    told = unkept.start(later, wall_at(later))
    unkept.sequence += lived_ms * (SEQUENCES_OF_A_MILLISECOND - 10)  # as busy as anybody ever was
    highest = unkept.sequence
    again = Millis(later + lived_ms)
    after = resumed(driver, kept, again).start(again, wall_at(again))
    assert told[0].sequence > kept[-1].sequence + RESTART_LEAP
    assert after[0].sequence > highest


def test_a_wall_clock_that_was_set_back_takes_no_place_twice_of_what_was_kept() -> None:
    driver = Driver().start().run_until_live()
    machine = Machine(spec_of(driver.script), PLACE, BRISK, now=START, wall=Millis(1))
    machine.restore(driver.facts, driver.facts[-1].sequence, driver.facts[-1].received_time)
    assert machine.start(START, Millis(1))[0].sequence > driver.facts[-1].sequence + RESTART_LEAP


@pytest.mark.parametrize("other_key", [True, False])
def test_a_predecessor_that_died_before_its_successor_opened_leaves_a_gap_though_a_socket_was_open_all_the_time(other_key: bool) -> None:
    place = msgspec.structs.replace(PLACE, own_ping_ms=20_000, silence_limit_ms=45_000, rotate_after_ms=160_000)
    policy = msgspec.structs.replace(BRISK, books=Policy())  # no audit finds it before
    driver = Driver(OtherKeys() if other_key else Fate(), place=place, policy=policy).start().run_until_live()
    driver.run_for(START + 145_000 - driver.now)
    predecessor = driver.sockets[driver.connections[0]]
    predecessor.deaf, predecessor.frozen = other_key, not other_key
    lost = driver.venue_now
    driver.trade()
    driver.run_for(30_000)
    [gap] = facts_of(driver, GapOpened)
    assert gap.since <= lost and gap.reason == (KEY_DIED if other_key else UNANSWERED)
    assert [repaired.fills for repaired in facts_of(driver, GapRepaired)] == [1]
    driver.run_until_live()
    driver.laws.hold_at_rest(driver.venue_now)


def wall_at(now: Millis) -> Millis:
    return Millis(now + WALL_AHEAD_MS)


def resumed(driver: Driver, kept: list[Event], now: Millis) -> Machine:
    machine = Machine(spec_of(driver.script), PLACE, BRISK, now=now, wall=wall_at(now))
    machine.restore(kept, kept[-1].sequence, kept[-1].received_time)
    return machine


class WithPongs(ScriptedSession):
    """Its venue answers pings by a text frame."""

    def receive(self, frame: bytes, now: Millis, received_time: Millis) -> list[Effect]:
        return [] if frame == b"pong" else super().receive(frame, now, received_time)


def test_a_frame_that_tells_nothing_is_a_sign_of_life_as_a_pong_is() -> None:
    spec = msgspec.structs.replace(spec_of(Script()), make_session=WithPongs)
    machine = Machine(spec, PLACE, BRISK, now=START, wall=wall_at(START))
    machine.start(START, wall_at(START))
    machine.session_response(1, KEY_TAG, HttpResponse(status=200, body=b"key"), START, wall_at(START))
    machine.connected(1, START, wall_at(START))
    asked, heard = Millis(machine.deadline()), Millis(machine.deadline() + 30)
    machine.tick(asked, wall_at(asked))
    assert machine.feed.sure_until(asked) < asked
    machine.frame(1, b"pong", heard, wall_at(heard))
    assert machine.feed.sure_until(heard) == asked


def test_a_machine_that_slept_opens_a_gap_and_asks_every_socket_for_a_sign() -> None:
    driver = Driver().start().run_until_live()
    driver.run_for(1_000)
    before = driver.venue_now
    driver._note(driver.machine.stood_still(driver.now, driver.wall))
    [gap] = facts_of(driver, GapOpened)
    assert (gap.reason, gap.since <= before) == (STOOD_STILL, True)
    assert driver.wished["SendPing"] == 1
    driver.run_until_live()
    assert driver.machine.feed.opened_count == 1  # it lives
    driver.stop()
    assert driver.machine.stood_still(driver.now, driver.wall) == ()


def test_a_machine_that_slept_in_the_dark_has_no_gap_to_add() -> None:
    driver = Driver().start()
    assert [fact for fact in driver.machine.stood_still(driver.now, driver.wall) if isinstance(fact, GapOpened)] == []


def test_an_account_that_is_given_up_says_why() -> None:
    driver = Driver().start().run_until_live()
    assert driver.machine.reason == "proven"
    [failed] = driver.machine.give_up(StoreError("the disk is full"), driver.now, driver.wall)[-1:]
    assert isinstance(failed, StreamChanged)
    assert (failed.state, driver.machine.reason) == (StreamState.FAILED, "the disk is full")


def test_an_account_that_was_stopped_says_so() -> None:
    driver = Driver().start().run_until_live()
    driver.stop()
    assert driver.machine.reason == "stopped"
