"""What the books do about doubts, and about what the stream did not tell."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.events import liability_changed
from tests.support.machine import BRISK, Driver, Instead
from tests.support.scripted import REFUSED, Script, frame_of
from tests.support.truth import BTC, USDT
from tests.unit.wire.kit import LAG_MS, QUIET, Late, SilentAbout, asked, books, facts_of, live, mismatches, trade_unheard
from userstream.domain.account import Doubt
from userstream.domain.events import Filled, GapOpened, GapRepaired, LiabilityChanged, Mismatch, OrderChanged, SnapshotTaken
from userstream.domain.fold import apply
from userstream.domain.words import PositionSide, Side, Source, StreamState
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis, OrderId, Symbol
from userstream.wire.books import NOT_FOUND_TRIES
from userstream.wire.doubts import DISPUTED_AFTER
from userstream.wire.feed import NEVER
from userstream.wire.hearing import FIRST_PAUSE_MS
from userstream.wire.machine import DOUBT_TICK_MS
from userstream.wire.question import AskFills, AskOrder, AskOrderFills, AskSettings
from userstream.wire.recovery import Policy

ANOTHER = "another amount of the same time by another"

# --- doubts ---


def tell_order_only(driver: Driver) -> OrderId:
    """The venue tells that an order was filled, not the fill itself."""
    order_id = driver.place()
    driver.run_for(100)
    driver.truth.fill(driver.venue_now, order_id, "0.1")
    [registers, (_, order)] = driver.truth.outbox
    driver.truth.outbox[:] = [registers, (order,)]
    driver.tell()
    return order_id


def test_fills_that_an_order_misses_are_asked_for() -> None:
    driver = live()
    order_id = tell_order_only(driver)
    driver.run_for(2_000)
    [order] = driver.account.orders.values()
    [(_, question)] = driver.asked
    assert isinstance(question, AskOrderFills)
    assert (question.order_id, question.since) == (order_id, order.created_time)
    assert [fill.source for fill in facts_of(driver, Filled)] == [Source.SNAPSHOT]
    driver.laws.hold_at_rest(driver.venue_now)


def test_what_the_next_message_settles_needs_nobody_to_look() -> None:
    driver = live()
    order_id = driver.place()
    driver.run_for(100)
    driver.truth.fill(driver.venue_now, order_id, "0.1")
    [registers, execution] = driver.truth.outbox
    for told, is_in_doubt in ((execution, True), (registers, False)):
        driver.truth.outbox[:] = [told]
        driver.tell()
        driver.run_for(DOUBT_TICK_MS // 5)
        assert (bool(driver.account.doubts), driver.machine.doubt_tick != NEVER) == (is_in_doubt, is_in_doubt)


@pytest.mark.parametrize("before_ms", [500, 3_500, 9_000])
def test_what_ended_before_our_care_began_is_in_no_doubt_when_an_audit_looks_back(before_ms: int) -> None:
    """A fill right before the start, of an order that goes on, keeps the first reading from proving anything: no later one reads the time
    before it in full."""
    driver = Driver(policy=msgspec.structs.replace(BRISK, books=Policy()))
    goes_on = driver.truth.place(driver.venue_now)
    driver.tell_nobody()
    driver.now = Millis(driver.now + 60_000)
    ended = trade_unheard(driver)
    driver.now = Millis(driver.now + before_ms)
    driver.truth.fill(driver.venue_now, goes_on, "0.1")
    driver.tell_nobody()
    driver.now = Millis(driver.now + 500)
    driver.laws.began = driver.venue_now
    driver.start().run_until_live()
    driver.run_for(3 * driver.policy.books.audit_ms)
    assert [snapshot.reason for snapshot in facts_of(driver, SnapshotTaken)][:2] == ["confirming", "audit"]
    assert facts_of(driver, Mismatch) == []
    told = {fill.order_id for fill in facts_of(driver, Filled)} | {order.order_id for order in facts_of(driver, OrderChanged)}
    assert ended not in told
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_doubt_that_asking_does_not_settle_is_a_mismatch_until_it_is_settled() -> None:
    driver = live()
    order_id = tell_order_only(driver)
    driver.fate = SilentAbout(AskOrderFills, AskFills, until=Millis(driver.now + 60_000))
    driver.run_for(50_000)
    assert len(asked(driver, AskOrderFills)) > DISPUTED_AFTER
    [told] = [fact for fact in facts_of(driver, Mismatch) if fact.subject == "order"]
    assert (told.key, told.ours, told.theirs, told.resolved) == (f"BTCUSDT.{order_id}", "fills of 0", "0.1", False)
    driver.run_for(200_000)
    [_, resolved] = [fact for fact in facts_of(driver, Mismatch) if fact.subject == "order"]
    assert (resolved.key, resolved.since, resolved.resolved) == (told.key, told.since, True)
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_mismatch_is_resolved_at_once_when_the_stream_settles_its_doubt() -> None:
    driver = live()
    order_id = driver.place()
    driver.run_for(100)
    driver.truth.fill(driver.venue_now, order_id, "0.1")
    [registers, (fill, order)] = driver.truth.outbox
    driver.truth.outbox[:] = [registers, (order,)]
    driver.tell()
    driver.fate = SilentAbout(AskOrderFills, AskFills, until=Millis(driver.now + 60_000))
    driver.run_for(50_000)
    assert mismatches(driver, "order") == [("order", f"BTCUSDT.{order_id}", False)]
    driver.truth.outbox[:] = [(fill,)]
    driver.tell()
    driver.run_for(1_000)
    assert mismatches(driver, "order") == [("order", f"BTCUSDT.{order_id}", False), ("order", f"BTCUSDT.{order_id}", True)]


def test_a_fill_of_an_unknown_order_that_cannot_be_read_is_disputed_by_name() -> None:
    driver = live()
    order_id = driver.truth.place(driver.venue_now)
    fill = driver.truth.fill(driver.venue_now, order_id, "0.1")
    driver.truth.outbox[:] = [driver.truth.outbox[1], (fill,)]
    driver.tell()
    driver.fate = SilentAbout(AskOrder, until=Millis(driver.now + 40_000))
    driver.run_for(200_000)
    [told, _] = facts_of(driver, Mismatch)
    assert (told.ours, told.theirs) == ("fills of 0.1", "not known")
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_fill_whose_order_the_venue_does_not_know_is_disputed_once() -> None:
    driver = live()
    order_id = driver.truth.place(driver.venue_now)
    fill = driver.truth.fill(driver.venue_now, order_id, "0.1")
    driver.truth.outbox[:] = [driver.truth.outbox[1], (msgspec.structs.replace(fill, fee=None),)]
    driver.tell()
    driver.truth.lose_order(order_id)
    driver.run_for(300_000)
    assert len(asked(driver, AskOrder)) > NOT_FOUND_TRIES + 1
    assert mismatches(driver) == [("order", f"BTCUSDT.{order_id}", False)]


def test_a_leg_that_no_fill_explains_is_disputed_and_then_taken_from_the_venue() -> None:
    driver = live(policy=BRISK)
    driver.trade()
    driver.run_for(10_000)
    driver.truth.move_leg(driver.venue_now, "0.5")
    driver.tell()
    driver.run_for(5_000)
    assert Doubt("position", BTC, "both") in driver.account.doubts
    driver.run_for(200_000)
    assert mismatches(driver) == [("position", "BTCUSDT.both", False), ("position", "BTCUSDT.both", True)]
    [told] = [fact for fact in facts_of(driver, Mismatch) if not fact.resolved]
    assert (told.ours, told.theirs, told.cause) == ("0.1", "0.6", "the venue's amount was accepted")
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_leg_that_stays_in_doubt_holds_its_account_up_for_three_readings_and_no_longer() -> None:
    driver = Driver(policy=QUIET).start()
    driver.run_for(10)
    driver.truth.move_leg(driver.venue_now, "0.5")
    driver.tell_nobody()
    driver.run_for(LAG_MS)
    driver.trade()
    driver.cut_all()
    driver.truth.move_leg(driver.venue_now, "0.5")
    driver.tell_nobody()
    driver.run_until_live(limit_ms=8 * LAG_MS)
    assert mismatches(driver) == [("position", "BTCUSDT.both", False)]
    assert not books(driver).is_proven
    driver.run_for(60_000)
    assert mismatches(driver)[-1] == ("position", "BTCUSDT.both", True)
    assert books(driver).is_proven


def agreed_by_chance() -> Driver:
    """A purchase shortly after the legs were first read, which that reading may include; the sale of it is told after the next leg, so
    that the legs agree with the purchase inside."""
    driver = Driver(policy=QUIET).start()
    driver.run_for(600)
    driver.trade()
    driver.run_for(2_500)
    driver.truth.fill(driver.venue_now, driver.truth.place(driver.venue_now, side=Side.SELL), "0.1")
    sale = driver.truth.outbox.pop()
    driver.tell()
    driver.run_for(10)
    driver.truth.fill(driver.venue_now, driver.truth.place(driver.venue_now), "0.2")
    driver.truth.outbox.insert(-1, sale)
    driver.tell()
    driver.run_for(1_500)
    return driver


def test_a_leg_without_an_exact_beginning_is_settled_by_a_full_reading_and_not_disputed() -> None:
    driver = agreed_by_chance()
    assert Doubt("position", BTC, "both") in driver.account.doubts
    assert not driver.account.watches[BTC, PositionSide.BOTH].is_exact
    driver.run_for(300_000)
    assert mismatches(driver) == []
    assert facts_of(driver, SnapshotTaken)[-1].reason == "position BTCUSDT both never had an exact beginning"
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_leg_without_an_exact_beginning_that_the_books_contradict_is_disputed() -> None:
    driver = agreed_by_chance()
    leg = driver.account.positions[BTC, PositionSide.BOTH]
    time = Millis(driver.venue_now + 3_600_000)  # a time that no answer can overrule for long
    driver.send(1, frame_of((msgspec.structs.replace(leg, amount=leg.amount + 1, transaction_time=time),)))
    driver.run_for(120_000)
    assert mismatches(driver)[0] == ("position", "BTCUSDT.both", False)


def test_the_fills_that_a_leg_misses_are_read_in_all_their_pages() -> None:
    driver = live(script=Script(page=2))
    driver.trade()
    driver.run_for(10_000)
    for _ in range(5):
        driver.truth.fill(driver.venue_now, driver.truth.place(driver.venue_now), "0.1")
        driver.run_for(10)
    driver.truth.outbox[:] = [driver.truth.outbox[-2]]  # the leg's last word, without the fills
    driver.tell()
    driver.run_for(5_000)
    assert len(facts_of(driver, Filled)) == 6
    assert [question.cursor for _, question in driver.asked if isinstance(question, AskFills)][:3] == ["", "5002", "5004"]
    assert mismatches(driver) == []


def test_two_sockets_that_disagree_are_settled_by_the_books() -> None:
    policy = msgspec.structs.replace(QUIET, feed=msgspec.structs.replace(QUIET.feed, redundancy=2))
    driver = live(policy=policy)
    driver.trade()
    driver.run_for(5_000)
    leg, wallet = driver.account.positions[BTC, PositionSide.BOTH], driver.account.balances[USDT]
    time = Millis(driver.venue_now + 90_000)  # a time that no answer can overrule for long
    for connection, total in ((1, "1"), (2, "2")):
        told = msgspec.convert(total, type(wallet.total), strict=False)
        pair = (
            msgspec.structs.replace(leg, amount=told, transaction_time=time),
            msgspec.structs.replace(wallet, total=told, transaction_time=time),
        )
        driver.send(connection, frame_of(pair))
    driver.run_for(1_000)
    assert {(doubt.subject, doubt.key) for doubt in driver.account.doubts} >= {("tie", "both"), ("tie", USDT)}
    driver.run_for(80_000)
    ties = [fact for fact in facts_of(driver, Mismatch) if fact.subject == "tie"]
    assert {(fact.key, fact.theirs) for fact in ties} == {("BTCUSDT.both", ANOTHER), (USDT, ANOTHER)}
    driver.run_for(600_000)
    assert not driver.account.doubts
    assert driver.account.positions[BTC, PositionSide.BOTH].amount == driver.truth.amount()
    assert driver.account.balances[USDT].total == driver.truth.wallet


def test_a_leg_that_the_position_mode_forbids_asks_for_mode_and_legs_once() -> None:
    driver = live()
    driver.trade()
    driver.run_for(5_000)
    leg = msgspec.structs.replace(
        driver.account.positions[BTC, PositionSide.BOTH],
        position_side=PositionSide.LONG,
        symbol=Symbol("ETHUSDT"),
        transaction_time=driver.venue_now,
    )
    driver.send(1, frame_of((leg,)))
    driver.run_for(4_000)
    assert (len(asked(driver, AskSettings)), Doubt("mode", leg.symbol, "long") in driver.account.doubts) == (1, False)


def test_an_answer_on_its_way_is_waited_for() -> None:
    driver = live(Late(AskOrderFills, 20_000))
    tell_order_only(driver)
    driver.run_for(19_000)
    assert len(asked(driver, AskOrderFills)) == 1
    driver.run_for(5_000)
    driver.laws.hold_at_rest(driver.venue_now)


# --- what the stream missed ---


def find_unheard(driver: Driver) -> Filled:
    """A fill that only history tells, five seconds later."""
    driver.run_for(5_000)
    trade_unheard(driver)
    driver.run_for(5_000)
    books(driver).read_again("test")
    driver.run_for(100)
    return facts_of(driver, Filled)[-1]


def test_a_fill_that_an_open_socket_did_not_tell_opens_a_gap_until_another_socket_is_proven() -> None:
    driver = live()
    fill = find_unheard(driver)
    [gap] = facts_of(driver, GapOpened)
    assert gap.since == fill.transaction_time
    assert driver.account.state is StreamState.SYNCING
    driver.run_until_live()
    assert driver.machine.feed.opened_count == 2
    [repaired] = facts_of(driver, GapRepaired)
    assert (repaired.since, repaired.fills) == (gap.since, 1)
    assert repaired.until > gap.since + 5_000
    driver.laws.hold_at_rest(driver.venue_now)


def test_sockets_are_not_replaced_time_and_again_but_a_deaf_one_is_never_called_live() -> None:
    driver = live()
    find_unheard(driver)
    driver.run_until_live()
    find_unheard(driver)
    assert books(driver).missed_by_stream == 2
    driver.run_for(5_000)
    find_unheard(driver)
    assert driver.machine.feed.opened_count == 3
    driver.run_for(2 * FIRST_PAUSE_MS - 16_000)
    assert driver.machine.feed.opened_count == 3  # the pause is twice as long now
    assert driver.account.state is StreamState.SYNCING
    polled = [snapshot for snapshot in facts_of(driver, SnapshotTaken) if snapshot.reason == "polling"]
    assert len(polled) >= 2  # nobody else tells what happens
    driver.run_until_live(150_000)  # two sockets in a row were mute: the third must prove itself
    assert driver.machine.feed.opened_count == 3
    driver.laws.hold_at_rest(driver.venue_now)


def test_what_a_deaf_socket_misses_as_well_is_counted_and_no_second_gap() -> None:
    driver = live()
    find_unheard(driver)
    driver.run_until_live()
    find_unheard(driver)
    driver.run_for(5_000)
    for _ in range(10):  # no other socket takes its place yet
        trade_unheard(driver)
        driver.run_for(1_100)
    assert books(driver).missed_by_stream > 2
    assert (len(facts_of(driver, GapOpened)), driver.machine.feed.opened_count) == (2, 3)


def test_a_question_of_a_doubt_that_is_refused_again_and_again_is_given_up_alone() -> None:
    driver = live()
    driver.fate = Instead(AskOrderFills, *[REFUSED] * 3)
    tell_order_only(driver)
    driver.run_for(200_000)
    assert len(asked(driver, AskOrderFills)) >= 3
    assert mismatches(driver, "question") == []
    assert len(facts_of(driver, Filled)) == 1
    driver.laws.hold_at_rest(driver.venue_now)


def test_a_debt_that_an_earlier_process_read_and_the_books_list_no_more_is_told_as_paid() -> None:
    driver = live(policy=BRISK)
    known = liability_changed(asset="BTC", source="snapshot", as_of=Millis(1_000), account=driver.account.id, venue=driver.account.venue)
    assert apply(driver.account, known) is not None
    driver.run_for(120_000)
    paid = [(fact.asset, fact.principal, fact.interest) for fact in facts_of(driver, LiabilityChanged)]
    assert paid == [("BTC", ZERO, ZERO)]
