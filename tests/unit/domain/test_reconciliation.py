"""Which sums fail, and where the missing fill must lie."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.events import A_TIME, filled, mismatch, order_changed, position_set
from userstream.domain.events import Event, stamp
from userstream.domain.evidence import Evidence, KnownFill
from userstream.domain.reconciliation import BY_JOURNAL, BY_LEG, BY_ORDER, MOST_WAYS, Finding, reconcile
from userstream.domain.registers import ABSENT_POSITION
from userstream.domain.words import PositionSide, Side
from userstream.kernel.ids import AccountId, Millis, OrderId, Symbol

ORDER_KEY = (Symbol("BTCUSDT"), OrderId("8886774"))


def at(milliseconds: int) -> int:
    return A_TIME + milliseconds


def evidence_of(*events: Event, remembers: bool = True, without: str = "") -> Evidence:
    """`without`: the trade id of a fill whose row vanished. `remembers`: whether the journal still has it all."""
    evidence = Evidence(AccountId("alice"))
    for sequence, event in enumerate(events, 1):
        stamp(event, sequence, None)
    evidence.take(events)
    for name in [name for name in evidence.fills if name[1] == without]:
        del evidence.fills[name]
    if remembers:
        evidence.recall(events)
    return evidence


def told(finding: Finding) -> tuple[str, str, str, str, str]:
    found = finding.mismatch
    return (found.subject, found.key, found.ours, found.theirs, found.cause)


def order_that_grew(*filled_quantities: str) -> list[Event]:
    """An order whose fills of 1 came one at a time, a second apart."""
    events: list[Event] = []
    for place, quantity in enumerate(filled_quantities):
        if place:
            events.append(filled(trade_id=str(place), quantity="1", transaction_time=at(1_000 * place)))
        events.append(order_changed(filled_quantity=quantity, transaction_time=at(1_000 * place)))
    return events


def test_sums_that_agree_find_nothing() -> None:
    assert reconcile(evidence_of(*order_that_grew("0", "1", "2"))) == []


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_an_orders_own_quantity_finds_a_row_that_vanished_and_between_which_messages(lost: int) -> None:
    [finding] = [
        found
        for found in reconcile(evidence_of(*order_that_grew("0", "1", "2", "3"), without=str(lost)))
        if found.mismatch.subject == "order"
    ]
    assert told(finding) == ("order", "BTCUSDT.8886774", "fills of 2", "3", BY_ORDER)
    assert (finding.since, finding.until, finding.lacks_fill) == (at(1_000 * (lost - 1)), at(1_000 * lost) + 1, True)


def test_without_the_journal_a_missing_fill_lies_somewhere_in_the_orders_life() -> None:
    events: list[Event] = [order_changed(filled_quantity="2", created_time=at(-9), transaction_time=at(50)), filled(quantity="1")]
    [finding] = reconcile(evidence_of(*events, remembers=False))
    assert (finding.since, finding.until) == (at(-9), at(50) + 1)


def test_the_journal_names_the_row_that_vanished() -> None:
    first, *_ = reconcile(evidence_of(*order_that_grew("0", "1"), without="1"))
    found = next(
        finding for finding in reconcile(evidence_of(*order_that_grew("0", "1"), without="1")) if finding.mismatch.cause == BY_JOURNAL
    )
    assert told(found) == ("fill", "BTCUSDT.1.8886774", "no row", "buy 1 at 61250.10", BY_JOURNAL)
    assert (found.since, found.until) == (at(1_000), at(1_000) + 1)
    assert first.since <= found.since


def test_more_fills_than_the_order_says_are_a_mismatch_and_no_hole() -> None:
    [finding] = reconcile(evidence_of(order_changed(filled_quantity="0"), filled()))
    assert told(finding)[2:4] == ("fills of 0.100", "0")
    assert not finding.lacks_fill


def test_fills_without_an_order_are_a_mismatch() -> None:
    [finding] = reconcile(evidence_of(filled()))
    assert told(finding) == ("order", "BTCUSDT.8886774", "fills of 0.100", "not known", BY_ORDER)


def test_where_the_beginning_is_cut_off_only_orders_that_began_since_are_summed() -> None:
    old: list[Event] = [order_changed(order_id="1", filled_quantity="5"), filled(order_id="2")]
    evidence = evidence_of(*old, *order_that_grew("0", "1", "2"), without="2")
    evidence.missing.clear()
    evidence.is_cut = True
    assert [found.mismatch.key for found in reconcile(evidence)] == ["BTCUSDT.8886774"]


# --- legs ---


def leg(*steps: tuple[int, str] | Event) -> list[Event]:
    """The leg's words: (milliseconds, amount)."""
    return [
        position_set(transaction_time=at(step[0]), event_time=at(step[0]), amount=step[1]) if isinstance(step, tuple) else step
        for step in steps
    ]


def bought(milliseconds: int, quantity: str = "1", **fields: object) -> Event:
    """A fill that an order of its own explains."""
    return filled(
        order_id=f"o{milliseconds}", trade_id=f"t{milliseconds}{quantity}", quantity=quantity, transaction_time=at(milliseconds), **fields
    )


def legs_of(*events: Event) -> list[Finding]:
    return [found for found in reconcile(evidence_of(*events)) if found.mismatch.subject == "position"]


def test_a_leg_that_adds_up_finds_nothing() -> None:
    assert legs_of(*leg((0, "5"), (10, "6"), bought(10), (20, "4"), bought(20, "2", side="sell"))) == []


def test_a_fast_first_copy_that_names_no_leg_changes_none() -> None:
    assert legs_of(*leg((0, "5"), (10, "6"), bought(10)), bought(15, position_side=None)) == []


def test_a_leg_finds_between_which_words_a_fill_is_missing() -> None:
    [finding] = legs_of(*leg((0, "5"), (10, "6"), bought(10), (20, "8"), (30, "9"), bought(30)))
    assert told(finding) == ("position", "BTCUSDT.both", "7", "9", BY_LEG)
    assert (finding.since, finding.until, finding.lacks_fill) == (at(10), at(20) + 1, True)


def test_a_fill_that_no_word_followed_is_compared_with_the_tables_amount() -> None:
    [finding] = legs_of(*leg((0, "5"), bought(40)))
    assert (finding.since, finding.until) == (at(0), at(40) + 1)


def test_the_sum_begins_with_the_last_word_of_its_millisecond_and_any_fill_of_that_may_be_outside() -> None:
    assert legs_of(*leg((0, "5"), bought(0, "1"), (0, "7"), bought(0, "2"), (9, "7"))) == []
    assert legs_of(*leg((0, "5"), bought(0, "1"), bought(0, "2"), (9, "7"))) == []
    assert len(legs_of(*leg((0, "5"), bought(0, "1"), bought(0, "2"), (9, "9")))) == 1


def test_a_leg_told_flat_at_some_moment_is_no_beginning() -> None:
    absent = position_set(transaction_time=at(0), amount="0", reason=ABSENT_POSITION)
    assert legs_of(absent, bought(5)) == []
    assert legs_of(absent, *leg(bought(5), (7, "1"), (9, "1"))) == []


def test_a_disagreement_that_was_told_is_behind_us() -> None:
    moved = [*leg((0, "5"), (10, "8")), mismatch(key="BTCUSDT.both")]
    assert legs_of(*moved) == []
    assert legs_of(*moved, *leg((20, "9"), bought(20))) == []
    assert len(legs_of(*moved, *leg((20, "9")))) == 1
    assert len(legs_of(*leg((0, "5"), (10, "8")), mismatch(key="BTCUSDT.short"))) == 1
    assert len(legs_of(*leg((0, "5"), (10, "8")), mismatch(key="nonsense"))) == 1


def test_legs_of_hedge_mode_are_summed_each_for_itself() -> None:
    words = [
        position_set(position_side=side, amount=amount, transaction_time=at(time))
        for side, amount, time in (("long", "1", 0), ("short", "-1", 0), ("long", "2", 9))
    ]
    assert legs_of(*words, bought(9, position_side="long")) == []
    [finding] = legs_of(*words, bought(9, position_side="short"))[:1]
    assert finding.mismatch.key.startswith("BTCUSDT.")


def test_too_many_ways_say_nothing() -> None:
    evidence = evidence_of(*leg((0, "5"), (9, "1000000")))
    for place in range(MOST_WAYS.bit_length() + 1):
        name = (Symbol("BTCUSDT"), f"t{place}", OrderId("1"))
        evidence.fills[name] = KnownFill(Side.BUY, PositionSide.BOTH, Decimal(2**place), Millis(A_TIME), "stream", place)
    assert [found for found in reconcile(evidence) if found.mismatch.subject == "position"] == []
