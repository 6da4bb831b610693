from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.domain.account import Account, Doubt
from userstream.domain.events import Event, Mismatch
from userstream.domain.words import Source
from userstream.kernel.ids import AccountId, Millis, Symbol, VenueName
from userstream.wire.doubts import Doubts, Mismatches, key_of
from userstream.wire.recovery import Policy

BTC = Symbol("BTCUSDT")
ORDER = Doubt("order", BTC, "8886774")
LEG = Doubt("position", BTC, "both")
WALLET = Doubt("tie", Symbol(""), "USDT")
START = Millis(1_000_000)
WALL = Millis(1_760_000_000_000)
POLICY = Policy(order_doubt_ms=500, position_doubt_ms=2_000)


def account_in_doubt(*doubts: Doubt) -> Account:
    account = Account(AccountId("alice"), VenueName("binance-usdm"))
    for doubt in doubts:
        account.doubt(doubt.subject, doubt.symbol, doubt.key)
    return account


def later(milliseconds: int) -> Millis:
    return Millis(START + milliseconds)


# --- time for each doubt ---


@pytest.mark.parametrize(("doubt", "limit_ms"), [(ORDER, 500), (LEG, 2_000), (WALLET, 2_000), (Doubt("mode", BTC, "both"), 2_000)])
def test_a_doubt_is_due_when_its_time_is_up_and_not_before(doubt: Doubt, limit_ms: int) -> None:
    account, doubts = account_in_doubt(doubt), Doubts(POLICY)
    assert doubts.weigh(account, START) == ([], [])
    assert doubts.weigh(account, later(limit_ms - 1)) == ([], [])
    assert doubts.weigh(account, later(limit_ms)) == ([doubt], [])


def explain_older(mismatches: Mismatches, epoch: int) -> list[Event]:
    return [fact for subject, key in mismatches.older_than(epoch) for fact in mismatches.settle(subject, key, WALL)]


def test_a_doubt_that_was_not_asked_about_stays_due() -> None:
    account, doubts = account_in_doubt(ORDER), Doubts(POLICY)
    doubts.weigh(account, START)
    assert doubts.weigh(account, later(500)) == ([ORDER], [])
    assert doubts.weigh(account, later(750)) == ([ORDER], [])


def test_each_question_doubles_the_wait_for_the_next() -> None:
    account, doubts = account_in_doubt(ORDER), Doubts(POLICY)
    doubts.weigh(account, START)
    now, waits = later(500), []
    for tries in range(12):
        assert doubts.asked(ORDER, now) == tries
        wait = next(wait for wait in range(500, POLICY.history_ms + 500, 500) if doubts.weigh(account, Millis(now + wait))[0])
        waits.append(wait)
        now = Millis(now + wait)
    assert waits == [1_000 * 2**tries for tries in range(1, 11)] + [POLICY.history_ms] * 2


def test_a_settled_doubt_is_told_once() -> None:
    account, doubts = account_in_doubt(ORDER, LEG), Doubts(POLICY)
    doubts.weigh(account, START)
    del account.doubts[ORDER]
    assert doubts.weigh(account, later(250)) == ([], [ORDER])
    assert doubts.weigh(account, later(500)) == ([], [])
    assert doubts.weigh(account, later(2_000)) == ([LEG], [])


def test_a_doubt_that_was_settled_and_opened_again_gets_its_full_time_anew() -> None:
    account, doubts = account_in_doubt(ORDER), Doubts(POLICY)
    doubts.weigh(account, START)
    del account.doubts[ORDER]
    account.doubt(ORDER.subject, ORDER.symbol, ORDER.key)
    assert doubts.weigh(account, later(500)) == ([], [ORDER])
    assert doubts.weigh(account, later(999)) == ([], [])
    assert doubts.weigh(account, later(1_000)) == ([ORDER], [])
    assert doubts.asked(ORDER, later(1_000)) == 0


@given(st.lists(st.tuples(st.sampled_from(["open", "settle", "ask"]), st.sampled_from([ORDER, LEG, WALLET]), st.integers(0, 3_000))))
def test_what_is_due_is_open_and_what_is_settled_was_open(steps: list[tuple[str, Doubt, int]]) -> None:
    account, doubts, now = account_in_doubt(), Doubts(POLICY), START
    weighed: set[Doubt] = set()
    for deed, doubt, wait in steps:
        now = Millis(now + wait)
        if deed == "open":
            account.doubt(doubt.subject, doubt.symbol, doubt.key)
        elif deed == "settle":
            account.doubts.pop(doubt, None)
        due, settled = doubts.weigh(account, now)
        assert set(due) <= set(account.doubts)
        assert set(settled) <= weighed
        weighed = set(account.doubts)
        if deed == "ask" and doubt in due:
            doubts.asked(doubt, now)
            assert doubt not in doubts.weigh(account, now)[0]


# --- mismatches ---


def test_a_mismatch_is_told_once_and_resolved_once() -> None:
    mismatches = Mismatches(account_in_doubt())
    [told] = mismatches.note("order", "BTCUSDT.7", "new", "not known to the venue", epoch=3, wall=WALL)
    assert (told.account, told.venue, told.source, told.received_time) == ("alice", "binance-usdm", Source.SNAPSHOT, WALL)
    assert mismatches.note("order", "BTCUSDT.7", "new", "canceled", epoch=4, wall=Millis(WALL + 9)) == []
    assert list(mismatches.open) == [("order", "BTCUSDT.7")]
    [resolved] = mismatches.settle("order", "BTCUSDT.7", Millis(WALL + 50))
    assert resolved == Mismatch(
        account=told.account,
        venue=told.venue,
        source=Source.SNAPSHOT,
        received_time=Millis(WALL + 50),
        subject="order",
        key="BTCUSDT.7",
        ours="new",
        theirs="not known to the venue",
        since=WALL,
        resolved=True,
    )
    assert mismatches.settle("order", "BTCUSDT.7", Millis(WALL + 60)) == []
    assert not mismatches.open


def test_what_was_never_told_is_not_resolved() -> None:
    assert Mismatches(account_in_doubt()).settle("order", "BTCUSDT.7", WALL) == []


def test_a_later_full_reading_resolves_what_only_earlier_ones_found() -> None:
    mismatches = Mismatches(account_in_doubt())
    mismatches.note("order", "BTCUSDT.1", "new", "not known to the venue", epoch=3, wall=WALL)
    mismatches.note("position", "BTCUSDT.both", "1", "2", epoch=4, wall=WALL)
    assert explain_older(mismatches, 3) == []
    [resolved] = explain_older(mismatches, 4)
    assert isinstance(resolved, Mismatch)
    assert (resolved.subject, resolved.resolved) == ("order", True)
    assert list(mismatches.open) == [("position", "BTCUSDT.both")]


@pytest.mark.parametrize("subject", ["history", "fills"])
def test_another_reading_does_not_explain_what_it_does_not_reach(subject: str) -> None:
    mismatches = Mismatches(account_in_doubt())
    mismatches.note(subject, "1", "read until 1", "kept since 2", epoch=1, wall=WALL)
    assert explain_older(mismatches, 9) == []


def test_another_run_goes_on_with_what_was_open_and_tells_nothing_twice() -> None:
    account = account_in_doubt()
    Mismatches(account).note("order", "BTCUSDT.1", "new", "not known to the venue", epoch=3, wall=WALL)
    later_run = Mismatches(account)
    assert later_run.note("order", "BTCUSDT.1", "new", "not known to the venue", epoch=4, wall=WALL) == []
    assert len(explain_older(later_run, 5)) == 1
    assert not account.mismatches


def test_finding_it_again_keeps_a_mismatch_open() -> None:
    mismatches = Mismatches(account_in_doubt())
    for epoch in (3, 4):
        mismatches.note("order", "BTCUSDT.1", "new", "not known to the venue", epoch=epoch, wall=WALL)
    assert explain_older(mismatches, 4) == []
    assert len(explain_older(mismatches, 5)) == 1


@pytest.mark.parametrize("doubt", [ORDER, LEG, WALLET])
def test_a_reading_does_not_settle_what_is_in_doubt(doubt: Doubt) -> None:
    account = account_in_doubt(doubt)
    mismatches = Mismatches(account)
    mismatches.note(doubt.subject, key_of(doubt), "1", "2", epoch=1, wall=WALL)
    assert explain_older(mismatches, 9) == []
    account.doubts.clear()
    assert len(explain_older(mismatches, 9)) == 1


def test_a_key_names_the_symbol_where_there_is_one() -> None:
    assert [key_of(doubt) for doubt in (ORDER, LEG, WALLET)] == ["BTCUSDT.8886774", "BTCUSDT.both", "USDT"]
