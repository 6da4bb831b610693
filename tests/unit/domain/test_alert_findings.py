"""What is wrong with an account, from what it looks like."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from userstream.domain.alert_findings import MOST_NAMES, OTHERS, AccountSight, DriftWatch, findings_of
from userstream.domain.alerts import AlertKind
from userstream.domain.words import StreamState
from userstream.kernel.ids import AccountId, Millis

ALICE = AccountId("alice")


def kinds(sight: AccountSight) -> dict[AlertKind, str]:
    return {finding.kind: finding.words for finding in findings_of(sight)}


def test_nothing_is_wrong_with_an_account_that_is_proven_and_heard() -> None:
    assert findings_of(AccountSight(account=ALICE, state=StreamState.LIVE, sockets=1)) == []


def test_an_account_without_a_socket_is_dark_and_one_that_is_not_proven_is_stale() -> None:
    assert kinds(AccountSight(account=ALICE, state=StreamState.SYNCING, sockets=1, reason="reading history")) == {
        AlertKind.ACCOUNT_STALE: "syncing: reading history"
    }
    assert kinds(AccountSight(account=ALICE, state=StreamState.POLLING, reason="no route, next try in 3 s")) == {
        AlertKind.ACCOUNT_DARK: "no socket delivers: no route, next try in 3 s",
        AlertKind.ACCOUNT_STALE: "polling: no route, next try in 3 s",
    }
    gap = AccountSight(account=ALICE, state=StreamState.LIVE, sockets=1, gap_since=Millis(1_790_000_000_000))
    assert kinds(gap) == {AlertKind.ACCOUNT_STALE: "live, events since 2026-09-21 14:13:20 UTC may be missing"}
    assert kinds(AccountSight(account=ALICE, state=StreamState.CONNECTING))[AlertKind.ACCOUNT_DARK] == "no socket delivers"


def test_an_account_that_is_to_run_and_does_not_is_dark() -> None:
    assert kinds(AccountSight(account=ALICE, state=None)) == {
        AlertKind.ACCOUNT_DARK: "it is to run, and is not connected",
        AlertKind.ACCOUNT_STALE: "not connected",
    }


def test_an_account_that_failed_is_told_as_such_and_not_as_dark() -> None:
    refused = AccountSight(account=ALICE, state=StreamState.FAILED, reason="binance -2015", is_refused=True)
    assert kinds(refused) == {AlertKind.AUTH_FAILED: "binance -2015"}
    assert kinds(AccountSight(account=ALICE, state=StreamState.FAILED, reason="a fault")) == {AlertKind.ACCOUNT_FAILED: "a fault"}


def test_each_mismatch_and_the_breaker_are_findings_of_their_own() -> None:
    sight = AccountSight(
        account=ALICE, state=StreamState.LIVE, sockets=1, mismatches={"order 7": "ours new", "fills BTCUSDT": ""}, breaker="loss limit"
    )
    assert [(finding.kind, finding.subject, finding.words) for finding in findings_of(sight)] == [
        (AlertKind.BREAKER_TRIPPED, "", "loss limit"),
        (AlertKind.MISMATCH, "order 7", "ours new"),
        (AlertKind.MISMATCH, "fills BTCUSDT", ""),
    ]


def test_an_unknown_word_is_found_whenever_it_came_again() -> None:
    watch, word = DriftWatch(), ("binance-usdm", "NEW_EVENT")
    assert [finding.subject for finding in watch.look({word: 1})] == ["binance-usdm NEW_EVENT"]
    assert [finding.words for finding in watch.look({word: 5})] == ["seen 5 times; kept raw"]
    assert watch.look({word: 5}) == []
    assert watch.look({word: 2}) == [], "an account was removed, nothing came"
    assert watch.look({word: 3}) != []
    assert watch.look({}) == []
    assert watch.look({word: 1}) != []


@given(st.lists(st.dictionaries(st.tuples(st.just("v"), st.integers(0, 1_000).map(str)), st.integers(1, 9), max_size=300), max_size=6))
def test_a_flood_of_unknown_words_stays_bounded_and_no_new_one_is_lost(counts: list[dict[tuple[str, str], int]]) -> None:
    watch, known = DriftWatch(), set[tuple[str, str]]()
    for each in counts:
        found = watch.look(each)
        assert len(found) <= MOST_NAMES + 1
        subjects = {finding.subject for finding in found}
        fresh = each.keys() - known
        assert not (fresh and not known) or all(f"v {name}" in subjects or f"v {OTHERS}" in subjects for _, name in fresh)
        known |= each.keys()
