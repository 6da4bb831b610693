"""The books in virtual time: what is asked when, and what answers prove. The driver holds the laws after every step."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from tests.support.machine import BRISK, Driver, Fate, Instead, Reply
from tests.support.scripted import BROKEN, NO_ANSWER, NO_SUCH_ORDER, NOT_NOW, REFUSED, SKEWED, UNREADABLE, Script, frame_of
from tests.support.truth import BTC
from tests.unit.wire.kit import LAG_MS, NOTHING, QUIET, Late, SilentAbout, Slanted, asked, books, facts_of, live, mismatches, trade_unheard
from userstream.domain.account import Doubt
from userstream.domain.events import (
    GONE,
    BalanceSet,
    Filled,
    GapOpened,
    GapRepaired,
    OrderChanged,
    SnapshotTaken,
    Unrecognized,
)
from userstream.domain.words import FINAL, OrderStatus, PositionSide, Source, StreamState
from userstream.kernel.ids import Millis
from userstream.wire.books import CLOCK_MS, NOT_FOUND_TRIES
from userstream.wire.pacing import Backoff
from userstream.wire.question import (
    AskBalances,
    AskClock,
    AskFills,
    AskMovements,
    AskOpenOrders,
    AskOrder,
    AskOrderFills,
    AskOrders,
    AskPositions,
    AskSettings,
    Question,
    Traits,
)
from userstream.wire.request import HttpResponse

# --- what proves ---


def test_a_reading_that_comes_early_asks_the_settings_no_more_often_than_others() -> None:
    driver = live()
    history_ms = driver.policy.books.history_ms
    for _ in range(24):
        driver.run_for(history_ms // 16)
        driver.machine.read_history_early()
    driver.run_for(1_000)
    assert len(asked(driver, AskBalances)) >= 16
    assert [time // (history_ms // 2) for time in asked(driver, AskSettings)] == [1, 2]


def test_what_is_read_again_for_another_reason_asks_no_settings() -> None:
    driver = live()
    driver.run_for(driver.policy.books.history_ms * 5 // 8)
    books(driver).read_again("a test")
    driver.run_for(5_000)
    assert facts_of(driver, SnapshotTaken)[-1].reason == "a test"
    assert asked(driver, AskSettings) == []


def test_settings_that_are_refused_stay_a_mismatch_until_they_are_told() -> None:
    driver = Driver(Instead(AskSettings, *[REFUSED] * 2_000), policy=BRISK).start().run_until_live(600_000)
    driver.run_for(600_000)
    assert mismatches(driver) == [("question", "AskSettings", False)]
    driver.fate = Fate()
    driver.run_for(600_000)
    assert mismatches(driver) == [("question", "AskSettings", False), ("question", "AskSettings", True)]


def test_a_deaf_socket_is_doubted_without_waiting_for_anything_else() -> None:
    driver = live()
    assert books(driver).deadline() > driver.now
    books(driver)._hearing.missed()
    assert books(driver).deadline() <= driver.now


def test_history_is_proven_up_to_the_start_of_a_reading_minus_the_lag() -> None:
    driver = live()
    for snapshot in facts_of(driver, SnapshotTaken):
        assert snapshot.proven_until == snapshot.started_time - LAG_MS
    assert books(driver).watermark == driver.account.proven_until
    assert books(driver).is_proven
    assert books(driver).rounds == 2


def test_a_first_reading_goes_back_as_far_as_it_is_told_to() -> None:
    policy = msgspec.structs.replace(QUIET, books=msgspec.structs.replace(QUIET.books, backfill_ms=60_000))
    driver = Driver(policy=policy)
    trade_unheard(driver)
    driver.run_for(50_000)
    driver.start().run_until_live()
    assert len(facts_of(driver, Filled)) == 1
    driver.laws.hold_at_rest(driver.venue_now)


@pytest.mark.parametrize("outward_ms", [0, 1, 1_700, 3_998, 3_999])
def test_a_fill_of_the_first_moment_is_in_our_care_however_the_way_of_the_clocks_answer_was(outward_ms: int) -> None:
    driver = Driver(Slanted(3_999, outward_ms), policy=QUIET).start()
    driver.run_for(1)
    trade_unheard(driver)
    driver.run_until_live()
    assert len(facts_of(driver, Filled)) == 1
    assert driver.account.began <= driver.laws.began
    driver.laws.hold_at_rest(driver.venue_now)


def test_an_audit_proves_nothing_and_asks_no_history() -> None:
    driver = live(policy=msgspec.structs.replace(QUIET, books=msgspec.structs.replace(BRISK.books, history_ms=86_400_000)))
    proven = driver.account.proven_until
    driver.run_for(120_000)
    audits = [snapshot for snapshot in facts_of(driver, SnapshotTaken) if snapshot.reason == "audit"]
    assert len(audits) >= 4
    assert {audit.proven_until for audit in audits} == {proven}
    assert not asked(driver, AskFills, AskMovements, AskOpenOrders)


def test_an_audit_that_finds_a_difference_reads_all() -> None:
    driver = live(policy=msgspec.structs.replace(QUIET, books=msgspec.structs.replace(BRISK.books, history_ms=86_400_000)))
    driver.truth.move_cash(driver.venue_now, "-0.35")
    driver.tell_nobody()
    driver.run_for(60_000)
    assert [fact.source for fact in facts_of(driver, BalanceSet)] == [Source.SNAPSHOT] * 2
    assert "the audit found a difference" in {snapshot.reason for snapshot in facts_of(driver, SnapshotTaken)}
    driver.laws.hold_at_rest(driver.venue_now)


def test_readings_do_not_follow_each_other_without_a_pause() -> None:
    driver = live()
    books(driver).read_again("first")
    books(driver).read_again("second")
    driver.run_for(10_000)
    assert [snapshot.reason for snapshot in facts_of(driver, SnapshotTaken)[2:]] == ["first"]
    books(driver).read_again("third")
    driver.run_for(10_000)
    assert [snapshot.reason for snapshot in facts_of(driver, SnapshotTaken)[3:]] == ["third"]


def test_the_clock_is_measured_again_and_again() -> None:
    driver = live()
    driver.venue_ahead_ms += 700
    driver.run_for(2 * CLOCK_MS)
    assert asked(driver, AskClock) == [CLOCK_MS, 2 * CLOCK_MS]
    assert driver.machine.clock.at(driver.now) == driver.venue_now


def test_a_clock_that_is_set_back_takes_the_watermark_along() -> None:
    driver = live()
    known = books(driver).watermark
    driver.venue_ahead_ms -= 60_000
    driver.run_for(9 * CLOCK_MS)
    assert books(driver).watermark == known - 60_000
    assert driver.account.proven_until == known


def test_a_clock_answer_without_a_time_measures_nothing() -> None:
    driver = Driver(Instead(AskClock, NOTHING), policy=QUIET).start()
    driver.run_for(CLOCK_MS - 1_000)
    assert driver.account.state is StreamState.SYNCING
    driver.run_until_live()
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_clock_answer_that_was_too_long_on_its_way_is_asked_again() -> None:
    driver = Driver(Late(AskClock, QUIET.books.overlap_ms + 1), policy=QUIET).start()
    driver.run_for(60_000)
    assert not driver.machine.clock.is_measured
    assert 10 <= len(asked(driver, AskClock)) <= 15
    driver.fate = Fate()
    driver.run_until_live()
    assert driver.machine.clock.at(driver.now) == driver.venue_now


def test_doubts_wait_until_the_clock_is_measured() -> None:
    driver = Driver(Instead(AskClock, NOTHING), policy=QUIET).start()
    driver.run_for(1_000)
    driver.truth.fill(driver.venue_now, driver.truth.place(driver.venue_now), "0.1")
    _, order = driver.truth.outbox[-1]
    driver.tell_nobody()
    driver.send(1, frame_of((order,)))
    driver.run_for(30_000)
    assert Doubt("order", BTC, "1") in driver.account.doubts
    assert {type(question) for _, question in driver.asked} == {AskClock}


# --- gaps ---


def test_history_is_read_from_where_it_is_proven_less_an_overlap() -> None:
    driver = live()
    driver.run_for(60_000)
    proven = driver.account.proven_until
    driver.cut_all()
    driver.run_for(100)
    [since] = {question.since for _, question in driver.asked if isinstance(question, AskOrders)}
    assert since == proven - QUIET.books.overlap_ms


def test_a_repair_counts_the_fills_that_only_history_told() -> None:
    driver = live()
    driver.run_for(5_000)
    driver.trade()
    driver.run_for(1_000)
    driver.cut_all()
    for _ in range(3):
        trade_unheard(driver)
    driver.run_until_live()
    [repaired] = facts_of(driver, GapRepaired)
    assert repaired.fills == 3
    assert books(driver).recovered_fills == 3
    assert books(driver).missed_by_stream == 0  # no socket was open: none could tell


def test_long_histories_come_in_pages() -> None:
    driver = live(script=Script(page=2))
    driver.run_for(10_000)
    driver.cut_all()
    for _ in range(7):
        trade_unheard(driver)
        driver.run_for(10)
    driver.run_until_live()
    assert len(facts_of(driver, Filled)) == 7
    assert {question.cursor for _, question in driver.asked if isinstance(question, AskFills)} >= {"", "5002", "5004", "5006"}


def test_without_a_cash_history_known_symbols_are_covered() -> None:
    driver = live(script=Script(asks_movements=False))
    driver.run_for(5_000)
    driver.trade()
    driver.cut_all()
    trade_unheard(driver)
    driver.run_until_live()
    assert not asked(driver, AskMovements)
    driver.laws.hold_at_rest(driver.venue_now)


def test_trades_that_no_fill_explains_keep_history_open() -> None:
    driver = live()
    driver.run_for(10_000)
    driver.fate = SilentAbout(AskFills, AskOrderFills, until=Millis(driver.now + 15_000))
    proven = driver.account.proven_until
    trade_unheard(driver)
    driver.cut_all()
    driver.run_for(10_000)
    assert driver.account.proven_until == proven
    assert driver.account.state is StreamState.SYNCING
    assert list(books(driver).mismatches) == [("fills", "BTCUSDT.5001")]
    driver.run_until_live(600_000)
    driver.run_for(20_000)
    assert mismatches(driver, "fills") == [("fills", "BTCUSDT.5001", False), ("fills", "BTCUSDT.5001", True)]
    assert all(second - first >= LAG_MS for first, second in pairwise(asked(driver, AskMovements)))
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_leg_and_a_wallet_that_complete_lists_leave_out_are_empty() -> None:
    driver = live(policy=BRISK)
    driver.trade()
    driver.run_for(5_000)
    dust = BalanceSet(asset="BNB", total=driver.truth.wallet, transaction_time=Millis(driver.venue_now - 10_000))
    driver.send(1, frame_of((dust,)))
    driver.truth.move_leg(driver.venue_now, "-0.1")
    driver.tell_nobody()
    driver.run_for(60_000)
    assert driver.account.positions[BTC, PositionSide.BOTH].amount == 0
    assert driver.account.balances["BNB"].total == 0


# --- refusals ---


@pytest.mark.parametrize(("response", "least_ms"), [(NO_ANSWER, 0), (BROKEN, 0), (NOT_NOW, 7_000), (UNREADABLE, 0), (REFUSED, 30_000)])
def test_a_question_that_fails_is_asked_again_with_back_off(response: HttpResponse, least_ms: int) -> None:
    tries = 2 if response is REFUSED else 5
    driver = Driver(Instead(AskBalances, *[response] * tries), policy=QUIET).start()
    driver.run_until_live(600_000)
    times = asked(driver, AskBalances)[: tries + 1]
    backoff = Backoff(seed=7)
    waits = [second - first - 30 for first, second in pairwise(times)]
    assert waits == [max(least_ms, backoff.delay_ms(failures)) for failures in range(1, tries + 1)]
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_question_that_is_refused_again_and_again_is_given_up_and_asked_again_with_the_next_reading() -> None:
    driver = live(policy=BRISK)
    proven = driver.account.proven_until
    driver.fate = Instead(AskOrders, *[REFUSED] * 5)
    driver.cut_all()
    driver.run_until_live(200_000)
    assert list(books(driver).mismatches) == [("question", "AskOrders")]
    assert (books(driver).is_proven, driver.account.proven_until, facts_of(driver, GapRepaired)) == (False, proven, [])
    driver.run_for(200_000)
    assert mismatches(driver) == [("question", "AskOrders", False), ("question", "AskOrders", True)]
    assert len(facts_of(driver, GapRepaired)) == 1
    driver.laws.hold_at_rest(driver.venue_now)


def test_what_follows_a_refused_question_is_asked_all_the_same() -> None:
    driver = live(policy=QUIET)
    driver.place()
    driver.fate = Instead(AskMovements, *[REFUSED] * 3)
    driver.run_for(10_000)
    driver.asked.clear()
    books(driver).read_again("test")
    driver.run_for(100_000)
    assert asked(driver, AskFills)[0] > asked(driver, AskMovements)[2]


@pytest.mark.parametrize(("response", "shown"), [(UNREADABLE, 1), (REFUSED, 1), (NO_ANSWER, 0)])
def test_what_cannot_be_read_is_shown_once_and_opens_no_gap(response: HttpResponse, shown: int) -> None:
    driver = Driver(Instead(AskPositions, *[response] * 2), policy=QUIET).start()
    driver.run_until_live(600_000)
    unread = facts_of(driver, Unrecognized)
    assert [(fact.name, fact.source) for fact in unread] == [("answer AskPositions", Source.SNAPSHOT)] * shown
    assert facts_of(driver, GapOpened) == []
    assert all(fact.sample == response.body.decode() for fact in unread)


def test_a_refused_time_stamp_measures_the_clock_again_once() -> None:
    driver = live()
    driver.fate = Instead((AskBalances, AskPositions), SKEWED, SKEWED)
    books(driver).read_again("test")
    driver.run_for(20_000)
    assert len(asked(driver, AskClock)) == 1
    assert (len(asked(driver, AskBalances)), len(asked(driver, AskPositions))) == (2, 2)
    assert driver.account.state is StreamState.LIVE


def test_what_was_measured_before_a_refused_time_stamp_counts_no_more() -> None:
    driver = live(SlowAfterJump())
    driver.venue_ahead_ms += 60_000
    books(driver).read_again("test")
    driver.run_for(20_000)
    assert driver.machine.clock.at(driver.now) == driver.venue_now


class SlowAfterJump(Fate):
    """A time stamp is refused; what tells the time from then on takes longer than before."""

    def __init__(self) -> None:
        self._refused = False

    def reply(self, question: Question, now: Millis) -> Reply:
        if isinstance(question, AskBalances) and not self._refused:
            self._refused = True
            return Reply(instead=SKEWED)
        return Reply(delay_ms=600 if isinstance(question, AskClock) else 30)


def test_a_stamp_that_was_made_before_the_clock_was_read_again_says_nothing_of_it() -> None:
    driver = live(SlowRefusal())
    books(driver).read_again("test")
    driver.run_for(20_000)
    assert len(asked(driver, AskClock)) == 1
    driver.laws.hold_at_rest(driver.venue_now)


class SlowRefusal(Fate):
    """Two time stamps are refused, the second long after the clock was read again because of the first."""

    def __init__(self) -> None:
        self._delays: dict[type, int] = {AskBalances: 30, AskPositions: 4_000}

    def reply(self, question: Question, now: Millis) -> Reply:
        delay_ms = self._delays.pop(type(question), None)
        return Reply() if delay_ms is None else Reply(delay_ms=delay_ms, instead=SKEWED)


def test_an_answer_that_nobody_waits_for_changes_nothing() -> None:
    driver = live()
    assert driver.machine.answered(9_999, NOTHING, driver.now, driver.wall) == ()
    assert driver.machine.prepare(9_999, driver.now) is None


# --- orders that are not found ---


def test_an_order_the_venue_does_not_know_stays_and_is_shown_in_the_end() -> None:
    driver = live(policy=BRISK)
    order_id = driver.place()
    driver.run_for(5_000)
    driver.truth.lose_order(order_id)
    driver.run_for(3 * BRISK.books.history_ms)
    assert len(asked(driver, AskOrder)) % (NOT_FOUND_TRIES + 1) == 0
    driver.restart(dark_ms=1_000)
    driver.run_for(3 * BRISK.books.history_ms)
    assert mismatches(driver) == [("order", f"BTCUSDT.{order_id}", False)]
    [order] = driver.account.open_orders()
    assert order.status is OrderStatus.NEW
    assert driver.account.state is StreamState.LIVE


@pytest.mark.parametrize("conditional", [False, True])
def test_an_order_that_ended_unfilled_longer_ago_than_the_venue_keeps_it_is_gone(conditional: bool) -> None:
    driver = live(policy=BRISK)
    order_id = driver.place(conditional=conditional)
    driver.run_for(10_000)
    driver.truth.cancel(driver.venue_now, order_id, conditional=conditional)
    driver.tell_nobody()
    driver.restart(dark_ms=4 * 86_400_000)
    driver.run_until_live()
    last = facts_of(driver, OrderChanged)[-1]
    assert (last.order_id, last.status, last.execution_type, last.source) == (order_id, OrderStatus.UNKNOWN, GONE, Source.SNAPSHOT)
    assert last.reason.startswith("gone at the venue")
    assert last.has_ended
    driver.run_for(3 * BRISK.books.history_ms)
    assert mismatches(driver) == []
    driver.laws.hold_at_rest(driver.venue_now)


def test_an_order_that_the_venue_should_know_is_a_mismatch_until_it_need_not_know_it_any_more() -> None:
    driver = live(policy=BRISK, script=Script(unfilled_depth_ms=300_000))
    order_id = driver.place()
    driver.run_for(5_000)
    driver.truth.lose_order(order_id)
    driver.run_for(200_000)
    assert mismatches(driver) == [("order", f"BTCUSDT.{order_id}", False)]
    assert len(list(driver.account.open_orders())) == 1
    driver.run_for(300_000)
    assert mismatches(driver) == [("order", f"BTCUSDT.{order_id}", False), ("order", f"BTCUSDT.{order_id}", True)]
    assert list(driver.account.open_orders()) == []


def test_each_order_that_is_not_found_is_shown_and_the_reading_waits_for_the_last() -> None:
    driver = live()
    for order_id in (driver.place(), driver.place()):
        driver.run_for(5_000)
        driver.truth.lose_order(order_id)
    books(driver).read_again("test")
    driver.run_for(20_000)
    assert mismatches(driver) == [("order", "BTCUSDT.1", False), ("order", "BTCUSDT.2", False)]
    assert facts_of(driver, SnapshotTaken)[-1].reason == "test"


def test_an_order_that_history_knows_a_little_later_is_no_mismatch() -> None:
    driver = live(NotFoundYet())
    order_id = driver.place()
    driver.run_for(5_000)
    driver.truth.cancel(driver.venue_now, order_id)
    driver.tell_nobody()
    books(driver).read_again("test")
    driver.run_for(60_000)
    times = asked(driver, AskOrder)
    assert len(times) == NOT_FOUND_TRIES + 1
    assert all(second - first >= LAG_MS for first, second in pairwise(times))
    assert mismatches(driver) == []
    driver.laws.hold_at_rest(driver.venue_now)


class NotFoundYet(Instead):
    """Single orders are found only after some tries, lists of orders are empty."""

    def __init__(self) -> None:
        super().__init__(AskOrder, *[NO_SUCH_ORDER] * NOT_FOUND_TRIES)

    def reply(self, question: Question, now: Millis) -> Reply:
        return Reply(instead=NOTHING) if isinstance(question, AskOrders | AskOpenOrders) else super().reply(question, now)


def test_an_order_that_ended_while_it_was_looked_for_is_no_mismatch() -> None:
    driver = live()
    order_id = driver.place()
    driver.run_for(5_000)
    driver.fate = Instead((AskOrder, AskOpenOrders), *[NOTHING] * 2, *[NO_SUCH_ORDER] * 9)
    books(driver).read_again("test")
    driver.run_for(3_000)
    driver.cancel(order_id)
    driver.run_for(60_000)
    assert mismatches(driver) == []
    assert [order.status in FINAL for order in driver.account.orders.values()] == [True]


def test_not_found_in_answer_to_anything_else_is_asked_again() -> None:
    driver = live(Instead(AskMovements, NO_SUCH_ORDER))
    books(driver).read_again("test")
    driver.run_for(20_000)
    assert len(asked(driver, AskMovements)) == 2
    driver.laws.hold_at_rest(driver.venue_now)


def test_audits_ask_the_orders_that_are_held_as_open_some_in_each_turn() -> None:
    driver = Driver().start().run_until_live()
    placed = [driver.place() for _ in range(Traits().orders_of_an_audit + 2)]
    driver.run_for(BRISK.books.audit_ms // 2)
    driver.asked.clear()
    driver.run_for(3 * BRISK.books.audit_ms)
    asked_for = [question.order_id for _, question in driver.asked if isinstance(question, AskOrder)]
    assert set(asked_for) == set(placed)
    assert max(asked_for.count(order_id) for order_id in placed) <= 3
