"""What readings prove: what is lost, what is older than our care, what is unexplained, and all of it over restarts. The driver holds the
laws after every step, with the truth beside it."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import filled
from tests.support.machine import BRISK, VENUE_AHEAD_MS, WALL_AHEAD_MS, Driver, Fate, Reply
from tests.support.scripted import Script
from tests.support.truth import BTC
from tests.unit.wire.kit import SilentAbout, books, facts_of, live, mismatches, trade_unheard
from userstream.domain.coverage import Coverage, CoverageState, fold_coverage
from userstream.domain.events import Filled, GapOpened, GapRepaired, Mismatch, SnapshotTaken
from userstream.domain.fold import apply, checkpoint_of
from userstream.domain.words import Source, StreamState
from userstream.kernel.ids import Millis, OrderId
from userstream.wire.hearing import DEAF
from userstream.wire.machine import MachinePolicy
from userstream.wire.proof import name_of
from userstream.wire.question import (
    Answer,
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
)
from userstream.wire.request import HttpResponse

# --- what is lost ---


def lose_history(policy: MachinePolicy = BRISK) -> Driver:
    """Down for longer than the venue keeps anything, with a trade whose fill nobody can read any more; and live again."""
    driver = live(policy=policy, script=Script(history_depth_ms=100_000))
    driver.run_for(30_000)
    driver.cut_all()
    driver.place("0.3")
    trade_unheard(driver)
    driver.restart(dark_ms=200_000)
    driver.run_until_live()
    return driver


def test_what_history_keeps_no_more_is_lost_and_never_said_to_be_repaired() -> None:
    driver = lose_history()
    [told] = [fact for fact in facts_of(driver, Mismatch) if fact.subject == "history"]
    [lost] = [fact for fact in facts_of(driver, SnapshotTaken) if fact.lost_since]
    [repaired] = facts_of(driver, GapRepaired)
    assert (told.key, told.ours) == (str(lost.lost_since), f"read until {lost.lost_since}")
    assert lost.read_since == repaired.read_since == driver.account.began > lost.lost_since
    driver.run_for(300_000)
    assert mismatches(driver, "history") == [("history", told.key, False)]
    spans = fold_coverage(Coverage(), driver.facts).spans
    [gap] = [span for span in spans if span.state is CoverageState.KNOWN_GAP]
    assert (gap.since, gap.until) == (lost.lost_since, lost.read_since)


def test_what_is_lost_stays_lost_over_restarts() -> None:
    driver = lose_history()
    known = driver.account.began
    driver.restart(dark_ms=1_000)
    driver.run_until_live()
    driver.restart(dark_ms=1_000, checkpoint=checkpoint_of(driver.account))
    driver.run_until_live()
    driver.run_for(100_000)
    assert driver.account.began == known
    assert [subject for subject, _ in books(driver).mismatches] == ["history"]


def test_an_order_that_was_filled_where_history_is_lost_adds_up_from_there_on() -> None:
    driver = live(policy=BRISK, script=Script(history_depth_ms=100_000))
    order_id = driver.place("0.3")
    driver.run_for(30_000)
    driver.cut_all()
    driver.truth.fill(driver.venue_now, order_id, "0.1")
    driver.tell_nobody()
    driver.restart(dark_ms=200_000)
    driver.run_until_live()
    driver.fill(order_id, "0.2")
    driver.run_for(60_000)
    assert not driver.account.doubts
    assert mismatches(driver, "order") == []
    assert driver.account.proven_until > driver.account.began


def test_an_order_that_has_just_changed_may_wait_for_its_fill() -> None:
    driver = live(LateHistory(6_000), policy=BRISK)
    order_id = driver.place()
    driver.run_for(10_000)
    driver.truth.fill(driver.venue_now, order_id, "0.1")
    [registers, (_, order)] = driver.truth.outbox
    driver.truth.outbox[:] = [registers, (order,)]
    driver.tell()
    proven = driver.account.proven_until
    books(driver).read_again("test")
    driver.run_for(400)
    assert driver.account.proven_until > proven
    assert "order" in {doubt.subject for doubt in driver.account.doubts}


def test_of_an_order_that_only_the_books_told_the_first_fill_may_be_lacking_too() -> None:
    driver = live(policy=BRISK)
    driver.run_for(10_000)
    driver.cut_all()
    rounds = books(driver).rounds
    while books(driver).rounds == rounds:
        driver.run_for(10)
    driver.fate = SilentAbout(AskFills, AskOrderFills, AskMovements, until=Millis(driver.now + 4_000))
    order_id, first = driver.truth.place(driver.venue_now), driver.venue_now
    driver.truth.fill(driver.venue_now, order_id, "0.1")
    driver.tell_nobody()
    driver.run_for(1_500)
    driver.truth.fill(driver.venue_now, order_id, "0.1")
    driver.tell_nobody()
    driver.run_for(2_000)
    assert driver.account.proven_until <= first
    driver.run_for(60_000)
    assert driver.account.proven_until > first
    driver.laws.hold_at_rest(driver.venue_now)


# --- what lies before our care ---


def older_than_our_care(*, quantity: str = "0.1") -> tuple[Driver, OrderId]:
    """An order that was filled in part a day before anybody cared."""
    driver = Driver(policy=BRISK)
    order_id = driver.truth.place(driver.venue_now)
    driver.truth.fill(driver.venue_now, order_id, quantity)
    driver.tell_nobody()
    driver.stall(86_400_000)
    driver.laws.began = driver.venue_now
    return driver.start().run_until_live(), order_id


def test_an_order_that_lags_behind_its_own_fills_is_no_anchor() -> None:
    """Its fill of today is told before the order itself: what was filled before our care cannot be said yet."""
    driver = Driver(LateOrders(), policy=BRISK)
    order_id = driver.truth.place(driver.venue_now)
    driver.truth.fill(driver.venue_now, order_id, "0.1")
    driver.tell_nobody()
    driver.stall(86_400_000)
    driver.laws.began = driver.venue_now
    driver.start().run_for(90)
    driver.truth.fill(driver.venue_now, order_id, "0.2")
    [_, (fill, _)] = driver.truth.outbox
    driver.truth.outbox[:] = [(fill,)]
    driver.tell()
    driver.run_for(4_000)
    assert facts_of(driver, SnapshotTaken)[0].filled_before == ()
    driver.run_for(120_000)
    [anchor] = driver.account.anchors.values()
    assert anchor.quantity == Decimal("0.1")
    driver.laws.hold_at_rest(driver.venue_now)


class LateOrders(Fate):
    """Orders are told as they were a while ago, and late."""

    def reply(self, question: Question, now: Millis) -> Reply:
        if isinstance(question, AskOrder | AskOrders | AskOpenOrders):
            return Reply(lag_ms=1_900, delay_ms=400)
        return Reply()


def test_what_was_filled_before_our_care_is_no_mismatch() -> None:
    driver, order_id = older_than_our_care()
    driver.run_for(120_000)
    assert (mismatches(driver), facts_of(driver, Filled)) == ([], [])
    assert driver.account.anchors[BTC, order_id].quantity == Decimal("0.1")
    driver.fill(order_id, "0.2")
    driver.run_for(120_000)
    assert (mismatches(driver), driver.account.doubts) == ([], {})
    assert len(facts_of(driver, Filled)) == 1


@pytest.mark.parametrize("by_checkpoint", [False, True])
def test_what_was_filled_before_our_care_is_known_after_a_restart(by_checkpoint: bool) -> None:
    driver, order_id = older_than_our_care()
    driver.restart(dark_ms=30_000, checkpoint=checkpoint_of(driver.account) if by_checkpoint else ())
    driver.run_until_live()
    driver.fill(order_id, "0.1")
    driver.run_for(120_000)
    assert (mismatches(driver), driver.account.doubts) == ([], {})


def test_a_fill_that_such_an_order_misses_later_is_missed() -> None:
    driver, order_id = older_than_our_care()
    driver.run_for(30_000)
    driver.fate = SilentAbout(AskOrderFills, AskFills, until=Millis(driver.now + 400_000))
    driver.truth.fill(driver.venue_now, order_id, "0.1")
    [_, (_, order)] = driver.truth.outbox
    driver.truth.outbox[:] = [(order,)]
    driver.tell()
    driver.run_for(60_000)
    assert mismatches(driver, "order") == [("order", f"BTCUSDT.{order_id}", False)]


# --- what is unexplained ---


class LateHistory(Fate):
    """Lists of fills and of cash are told later than the venue promises."""

    def __init__(self, late_ms: int) -> None:
        self._late_ms = late_ms

    def reply(self, question: Question, now: Millis) -> Reply:
        late = isinstance(question, AskFills | AskOrderFills | AskMovements)
        return Reply(lag_ms=self._late_ms if late else 0)


def test_while_an_order_says_more_than_its_fills_nothing_is_proven_nor_repaired() -> None:
    driver = live(LateHistory(6_000), policy=BRISK)
    driver.run_for(20_000)
    happened = driver.venue_now
    trade_unheard(driver)
    driver.cut_all()
    driver.run_for(5_000)
    assert driver.account.state is StreamState.SYNCING
    assert driver.account.proven_until < happened
    driver.run_until_live()
    assert (len(facts_of(driver, Filled)), len(facts_of(driver, GapRepaired))) == (1, 1)
    assert mismatches(driver, "order") == []
    driver.laws.hold_at_rest(driver.venue_now)


@pytest.mark.parametrize("restarts", [False, True])
def test_an_order_that_stays_unexplained_is_disputed_and_the_account_live_but_not_proven(restarts: bool) -> None:
    driver = live(LateHistory(120_000), policy=BRISK)
    driver.run_for(20_000)
    happened = driver.venue_now
    order_id = trade_unheard(driver)
    driver.cut_all()
    driver.run_until_live(30_000)
    assert ("order", f"BTCUSDT.{order_id}") in books(driver).mismatches
    if restarts:
        driver.restart(dark_ms=1_000, checkpoint=checkpoint_of(driver.account))
        driver.run_until_live(30_000)
    driver.run_for(40_000)
    assert not books(driver).is_proven
    assert (driver.account.gap_since is None, facts_of(driver, GapRepaired)) == (False, [])
    assert driver.account.proven_until < happened < driver.account.read_until - 20_000  # history is read on, and memory is bounded
    assert (BTC, order_id, False) in driver.account.orders
    driver.run_for(200_000)
    assert mismatches(driver, "order") == [("order", f"BTCUSDT.{order_id}", False), ("order", f"BTCUSDT.{order_id}", True)]
    assert len(facts_of(driver, GapRepaired)) == 1
    assert driver.account.proven_until > happened + 200_000
    assert not {CoverageState.KNOWN_GAP} & {span.state for span in fold_coverage(Coverage(), driver.facts).spans}
    assert len([span for span in fold_coverage(Coverage(), driver.facts).spans if span.state is CoverageState.STREAM_ONLY]) <= 2
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_trade_that_stays_unexplained_is_disputed_and_looked_for_where_it_is_missing() -> None:
    driver = live(policy=BRISK)
    driver.run_for(20_000)
    driver.fate = SilentAbout(AskFills, AskOrderFills, AskOrders, AskOpenOrders, AskOrder, until=Millis(driver.now + 600_000))
    happened = driver.venue_now
    trade_unheard(driver)
    driver.truth.move_leg(driver.venue_now, "-0.3")
    driver.tell_nobody()
    driver.cut_all()
    driver.run_until_live()
    assert list(books(driver).mismatches) == [("fills", "BTCUSDT.5001")]
    for _ in range(50):
        driver.trade()
        driver.run_for(10_000)
    assert not books(driver).is_proven
    assert driver.account.proven_until < happened < driver.account.forgotten_before  # what is missing is told all the same
    driver.run_for(400_000)
    assert mismatches(driver, "fills") == [("fills", "BTCUSDT.5001", False), ("fills", "BTCUSDT.5001", True)]
    assert [fill.trade_id for fill in facts_of(driver, Filled) if fill.source is Source.SNAPSHOT] == ["5001"]
    assert driver.account.proven_until > happened + 800_000


# --- a venue's clock that runs ahead of its books ---


class ClockAhead(Fate):
    """The venue states a later time than its books have."""

    def __init__(self, ahead_ms: int) -> None:
        self.ahead_ms = ahead_ms

    def reply(self, question: Question, now: Millis) -> Reply:
        if not isinstance(question, AskClock):
            return Reply()
        time = now + WALL_AHEAD_MS + VENUE_AHEAD_MS + self.ahead_ms
        return Reply(instead=HttpResponse(status=200, body=msgspec.json.encode(Answer(venue_time=Millis(time)))))


@pytest.mark.parametrize("by_checkpoint", [False, True])
def test_a_clock_that_had_run_ahead_hides_nothing_after_a_restart(by_checkpoint: bool) -> None:
    fate = ClockAhead(60_000)
    driver = Driver(fate, policy=BRISK)
    driver.laws.clock_error_ms = 60_000
    driver.start().run_until_live()
    driver.trade()
    driver.run_for(200_000)
    assert driver.account.proven_until > driver.venue_now
    fate.ahead_ms = 0
    driver.cut_all()
    trade_unheard(driver)
    driver.restart(dark_ms=5_000, checkpoint=checkpoint_of(driver.account) if by_checkpoint else ())
    driver.run_until_live()
    assert len(facts_of(driver, Filled)) == 2
    driver.run_for(300_000)
    driver.laws.hold_at_rest(driver.venue_now)


# --- names ---


def test_a_question_has_the_same_name_in_every_reading() -> None:
    assert name_of(AskFills(BTC, Millis(1), Millis(2))) == name_of(AskFills(BTC, Millis(5), Millis(9))) == "AskFills BTCUSDT"
    assert name_of(AskOrderFills(BTC, OrderId("7"), Millis(1), Millis(2))) == "AskOrderFills BTCUSDT 7"
    assert name_of(AskPositions()) == "AskPositions"
    assert name_of(AskSettings(symbol_settings=True)) == "AskSettings"


# --- what a repair counts ---


def test_a_repair_counts_the_fills_of_its_interval_and_leaves_later_ones_to_the_next() -> None:
    driver = live()
    proof, account = books(driver)._proof, driver.account
    account.gap_since, proof.lit_at = Millis(1_000), Millis(2_000)
    proof.repaired_fills = [Millis(time) for time in (1_000, 1_999, 2_000, 2_500)]
    [first] = proof.confirm(Millis(1))
    account.gap_since, proof.lit_at = Millis(2_000), Millis(3_000)
    [second] = proof.confirm(Millis(2))
    assert isinstance(first, GapRepaired) and isinstance(second, GapRepaired)
    assert (first.fills, second.fills) == (2, 2)


def test_a_repair_counts_what_an_earlier_run_read_and_could_not_prove() -> None:
    driver = live()
    driver.run_for(30_000)
    proven = driver.account.proven_until
    for number, time in enumerate((proven, proven + 1, proven + 2)):
        for source in (Source.SNAPSHOT, Source.STREAM):
            apply(driver.account, filled(trade_id=f"{source}{number}", transaction_time=time, source=source))
    driver.restart(dark_ms=1_000, checkpoint=checkpoint_of(driver.account))
    assert sorted(books(driver)._proof.repaired_fills) == [proven + 1, proven + 2]


# --- where a gap begins ---


@given(st.integers(0, 50), st.none() | st.integers(0, 50), st.lists(st.integers(0, 50)))
def test_a_gap_begins_with_the_oldest_unproven_fill_that_only_the_books_told(proven: int, since: int | None, times: list[int]) -> None:
    driver = live()
    proof, account = books(driver)._proof, driver.account
    account.proven_until, account.gap_since = Millis(proven), None if since is None else Millis(since)
    facts = proof.note_recovered([filled(transaction_time=time) for time in times], Millis(7))
    earlier = min((time for time in times if time > proven), default=since)
    told = [(type(fact), fact.since, fact.reason) for fact in facts if isinstance(fact, GapOpened)]
    reaches_back = since is not None and earlier is not None and proven and earlier < since
    assert told == ([(GapOpened, earlier, DEAF)] if reaches_back else [])
    assert len(facts) == len(told)
