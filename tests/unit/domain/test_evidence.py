"""What the evidence takes in, and which mismatches stay open."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.events import (
    A_TIME,
    fill_completed,
    filled,
    gap_opened,
    mismatch,
    order_changed,
    position_set,
    snapshot_taken,
    stream_changed,
)
from userstream.domain.coverage import CoverageState
from userstream.domain.events import Event, FilledBefore, stamp
from userstream.domain.evidence import Disputes, Evidence, LegWord, lost_history
from userstream.domain.reconciliation import reconcile
from userstream.domain.words import PositionSide
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol

BTC, ORDER = Symbol("BTCUSDT"), OrderId("8886774")


def of(*events: Event, recalled: bool = True) -> Evidence:
    evidence = Evidence(AccountId("alice"))
    for sequence, event in enumerate(events, 1):
        stamp(event, sequence, None)
    evidence.take(events)
    if recalled:
        evidence.recall(events)
    return evidence


def test_a_fill_counts_once_and_a_completion_names_its_leg() -> None:
    lite = filled(position_side=None, fee=None, source="snapshot")
    evidence = of(lite, filled(quantity="9"), fill_completed(), fill_completed(position_side="long"), fill_completed(trade_id="1"))
    [(name, fill)] = evidence.fills.items()
    assert name == (BTC, "5012", ORDER)
    assert (fill.quantity, fill.position_side, fill.source, fill.sequence) == (Decimal("0.100"), PositionSide.BOTH, "snapshot", 1)


def test_a_sale_makes_the_leg_smaller() -> None:
    [sale] = of(filled(side="sell")).fills.values()
    assert sale.signed_quantity == Decimal("-0.100")


def test_the_newest_copy_of_an_order_and_of_a_leg_counts_and_conditional_orders_have_no_fills() -> None:
    evidence = of(
        order_changed(),
        order_changed(filled_quantity="0.2"),
        order_changed(conditional=True, order_id="7"),
        position_set(),
        position_set(amount="3"),
    )
    assert list(evidence.orders) == [(BTC, ORDER)]
    assert evidence.orders[BTC, ORDER].filled_quantity == Decimal("0.2")
    assert evidence.legs == {(BTC, PositionSide.BOTH): Decimal(3)}
    assert evidence.venue == "binance-usdm"


def test_the_journal_remembers_how_an_order_grew_and_what_was_told_of_legs() -> None:
    steps = [
        order_changed(filled_quantity=filled, transaction_time=A_TIME + place) for place, filled in enumerate(("0", "0", "1", "1", "3"))
    ]
    told = mismatch(key="BTCUSDT.both", since=A_TIME + 9)
    evidence = of(
        *steps, position_set(), told, mismatch(key="BTCUSDT.both", resolved=True), mismatch(key="no leg"), mismatch(subject="order")
    )
    assert evidence.growth[BTC, ORDER] == [(A_TIME, Decimal(0)), (A_TIME + 2, Decimal(1)), (A_TIME + 4, Decimal(3))]
    words = {(BTC, PositionSide.BOTH): [LegWord(Decimal("0.100"), Millis(A_TIME), True), LegWord(None, Millis(A_TIME + 9), True)]}
    assert evidence.words == words


def test_what_was_filled_before_our_care_explains_as_much_of_an_order() -> None:
    anchor = FilledBefore(BTC, ORDER, Decimal("0.2"), Millis(A_TIME))
    evidence = of(
        filled(trade_id="1", transaction_time=A_TIME - 1),
        filled(trade_id="2"),
        order_changed(filled_quantity="0.3"),
        snapshot_taken(filled_before=(anchor,)),
    )
    assert evidence.explained_quantity((BTC, ORDER), evidence.fills.values()) == Decimal("0.3")
    assert reconcile(evidence) == []
    evidence.filled_before.clear()
    [finding] = reconcile(evidence)
    assert finding.mismatch.ours == "fills of 0.200"


def test_a_fill_of_the_journal_that_the_tables_lack_is_missing() -> None:
    evidence = Evidence(AccountId("alice"))
    evidence.take([filled()])
    evidence.recall([filled(), filled(trade_id="5013")])
    assert list(evidence.missing) == [(BTC, "5013", ORDER)]


def test_gaps_go_into_the_ledger() -> None:
    [span] = of(gap_opened(since=50)).coverage.spans
    assert span.state is CoverageState.KNOWN_GAP


# --- disputes ---


def after(*events: Event) -> list[tuple[str, str]]:
    disputes = Disputes()
    for event in events:
        disputes.take(event)
    return list(disputes.open)


STARTING = stream_changed(state="connecting")
OPEN = [("position", "BTCUSDT both")]


def test_a_mismatch_is_open_until_it_is_resolved() -> None:
    assert after(mismatch()) == OPEN
    assert after(mismatch(), snapshot_taken(), stream_changed()) == OPEN
    assert after(mismatch(), mismatch(resolved=True)) == []
    assert after(mismatch(resolved=True), mismatch()) == OPEN


def test_a_mismatch_outlives_the_run_that_told_it() -> None:
    assert after(mismatch(), STARTING, snapshot_taken()) == OPEN
    assert after(mismatch(), STARTING, snapshot_taken(), mismatch(resolved=True)) == []


@pytest.mark.parametrize(
    "told", [mismatch(), mismatch(subject="history", key="x", theirs="kept since 9"), mismatch(subject="history", key="4", theirs="")]
)
def test_only_lost_history_is_lost(told: Event) -> None:
    assert lost_history(told) == []  # type: ignore[arg-type]


def test_lost_history_stays_lost_when_the_mismatch_is_resolved() -> None:
    told = {"subject": "history", "key": "50", "theirs": "kept since 90"}
    disputes = Disputes()
    for event in (mismatch(**told), mismatch(**told, resolved=True)):
        disputes.take(event)
    assert (disputes.lost, disputes.open) == ([(50, 90)], {})
