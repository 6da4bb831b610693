"""An incident is told once when it begins and once when it is over, whatever happens in between; a margin call waits for nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import margin_called
from userstream.domain.alerts import (
    SERVICE,
    SEVERITIES,
    WITHOUT_END,
    AlertBook,
    AlertKind,
    AlertRules,
    Finding,
    KeptIncident,
    Key,
    Leg,
    Message,
    Note,
    Severity,
    words_for_call,
)
from userstream.domain.words import PositionSide
from userstream.kernel.ids import AccountId, Millis, Symbol

RULES = AlertRules(
    dark_after_ms=30_000,
    stale_after_ms=60_000,
    trouble_after_ms=5_000,
    settle_ms=10_000,
    calm_ms=100_000,
    quiet_ms=200_000,
    gather_ms=20_000,
)
ALICE, BOB = AccountId("alice"), AccountId("bob")
EVERYBODY = frozenset({ALICE, BOB})
LEG: Leg = (Symbol("BTCUSDT"), PositionSide.LONG)
OTHER_LEG: Leg = (Symbol("ETHUSDT"), PositionSide.SHORT)
MARGIN = Key(AlertKind.MARGIN_CALL, ALICE, "")


class Watcher:
    """A book, its clock, and all that it told."""

    def __init__(self) -> None:
        self.book, self.now = AlertBook(RULES), Millis(1_000_000)
        self.messages: list[Message] = []
        self.heard: dict[AccountId, set[Leg]] = {}
        self.known: frozenset[AccountId] = EVERYBODY
        self.is_taken: bool | None = True

    def look(self, *findings: Finding, after_ms: int = 1_000) -> None:
        self.now = Millis(self.now + after_ms)
        self.book.look(findings, self.now, known=self.known, heard=self.heard)
        self.take()

    def call(self, **fields: object) -> None:
        self.book.take_margin_call(margin_called(**fields), self.now)
        self.take()

    def take(self, *, all_of_them: bool = False) -> None:
        for message in self.book.take_messages(self.now, all_of_them=all_of_them):
            self.messages.append(message)
            if self.is_taken is not None:
                self.book.note_outcome(message.notes, self.now, is_taken=self.is_taken)

    @property
    def told(self) -> list[tuple[AlertKind, str, bool]]:
        return [(note.key.kind, note.key.account, note.is_over) for message in self.messages for note in message.notes]


def dark(account: str = "alice") -> Finding:
    return Finding(kind=AlertKind.ACCOUNT_DARK, account=AccountId(account), words="no socket delivers")


def is_of_call(message: Message) -> bool:
    return message.notes[0].key.kind is AlertKind.MARGIN_CALL


def stale(account: str = "alice") -> Finding:
    return Finding(kind=AlertKind.ACCOUNT_STALE, account=AccountId(account), words="syncing")


def refused() -> Finding:
    return Finding(kind=AlertKind.AUTH_FAILED, account=ALICE, words="binance -2015: no such key")


def trouble() -> Finding:
    return Finding(kind=AlertKind.STORE_TROUBLE, words="the disk is full")


def unknown(word: str) -> Finding:
    return Finding(kind=AlertKind.UNRECOGNIZED, subject=f"binance-usdm {word}")


# --- laws ---

findings = st.builds(
    Finding,
    kind=st.sampled_from([kind for kind in AlertKind if kind is not AlertKind.MARGIN_CALL and kind not in WITHOUT_END]),
    account=st.sampled_from([SERVICE, ALICE, BOB]),
    subject=st.sampled_from(["", "BTCUSDT"]),
)
looks = st.tuples(st.just("look"), st.lists(findings, max_size=6), st.integers(1, 40_000), st.sampled_from([frozenset({ALICE}), EVERYBODY]))
calls = st.tuples(
    st.just("call"), st.sampled_from(["alice", "bob"]), st.sampled_from(["BTCUSDT", "ETHUSDT", ""]), st.sampled_from(["", "normal"])
)
stories = st.lists(st.one_of(looks, looks, calls), max_size=40)


def play(watcher: Watcher, story: Iterable[tuple[object, ...]]) -> None:
    for word, first, second, third in story:
        if word == "call":
            watcher.call(account=first, symbol=second, status=third)
        else:
            assert isinstance(first, list) and isinstance(second, int) and isinstance(third, frozenset)
            watcher.known = third
            watcher.look(*first, after_ms=second)


def all_over(watcher: Watcher) -> None:
    """Nothing is wrong any more, for as long as it takes."""
    for account in (ALICE, BOB):
        watcher.call(account=account, status="normal")
    watcher.known = EVERYBODY
    for _ in range(3):
        watcher.look(after_ms=RULES.quiet_ms + RULES.gather_ms)


@given(stories)
def test_beginning_and_end_take_turns_and_every_beginning_has_its_end(story: list[tuple[object, ...]]) -> None:
    watcher = Watcher()
    play(watcher, story)
    all_over(watcher)
    turns: defaultdict[Key, list[bool]] = defaultdict(list)
    for message in watcher.messages:
        for note in message.notes:
            turns[note.key].append(note.is_over)
    assert all(told == [False, True] * (len(told) // 2) for told in turns.values())
    assert watcher.book.open_incidents() == []


@given(st.lists(st.lists(st.sampled_from([dark(), stale(), trouble(), unknown("x")]), min_size=1, max_size=4), min_size=1, max_size=30))
def test_however_often_it_is_found_it_is_told_once(found: list[list[Finding]]) -> None:
    watcher = Watcher()
    for each in found:
        watcher.look(refused(), *each, after_ms=RULES.settle_ms - 1)
    watcher.take(all_of_them=True)
    assert watcher.told.count((AlertKind.AUTH_FAILED, "alice", False)) == 1
    assert (AlertKind.AUTH_FAILED, "alice", True) not in watcher.told


@given(stories)
def test_a_margin_call_is_told_alone_and_at_once_whatever_else_is_told(story: list[tuple[object, ...]]) -> None:
    noisy, quiet = Watcher(), Watcher()
    for word, first, second, third in story:
        before = len(noisy.messages)
        for watcher in (noisy, quiet):
            if word == "call":
                watcher.call(account=first, symbol=second, status=third)
        if word == "call":
            assert noisy.messages[before:] == quiet.messages[len(quiet.messages) - (len(noisy.messages) - before) :]
        elif isinstance(first, list) and isinstance(second, int) and isinstance(third, frozenset):
            noisy.known = quiet.known = third
            noisy.look(*first, after_ms=second)
            quiet.look(after_ms=second)
    critical = [message for message in noisy.messages if is_of_call(message)]
    assert critical == quiet.messages
    assert all(len(message.notes) == 1 for message in critical)


@given(stories)
def test_messages_that_are_not_critical_come_no_oftener_than_they_may(story: list[tuple[object, ...]]) -> None:
    watcher = Watcher()
    times: list[int] = []
    for step in story:
        before = len(watcher.messages)
        play(watcher, [step])
        times += [watcher.now for message in watcher.messages[before:] if SEVERITIES[message.notes[0].key.kind] is not Severity.CRITICAL]
    assert all(later - earlier >= RULES.gather_ms for earlier, later in pairwise(times))


@given(stories, stories)
def test_over_a_restart_nothing_is_told_twice_and_every_end_is_told(
    before: list[tuple[object, ...]], after: list[tuple[object, ...]]
) -> None:
    first, second = Watcher(), Watcher()
    play(first, before)
    wall = Millis(first.now + 5_000_000)
    kept = msgspec.json.decode(msgspec.json.encode(first.book.keep(first.now, wall)), type=list[KeptIncident])
    told = [note for message in first.messages for note in message.notes]
    assert {Key(each.kind, each.account, each.subject) for each in kept} == open_of(told)
    second.now, second.messages = Millis(7), list(first.messages)
    second.book.restore(kept, second.now, Millis(wall + 60_000))
    play(second, after)
    all_over(second)
    turns: defaultdict[Key, list[bool]] = defaultdict(list)
    for message in second.messages:
        for note in message.notes:
            turns[note.key].append(note.is_over)
            assert note.lasted_ms >= 0
    assert all(each == [False, True] * (len(each) // 2) for each in turns.values())
    assert second.book.keep(second.now, wall) == []


def open_of(told: Iterable[Note]) -> set[Key]:
    """What a person who read all messages believes to go on."""
    believed: set[Key] = set()
    for note in told:
        (believed.discard if note.is_over else believed.add)(note.key)
    return believed


@given(stories)
def test_what_nobody_took_is_not_kept_as_told(story: list[tuple[object, ...]]) -> None:
    for is_taken in (None, False):
        watcher = Watcher()
        watcher.is_taken = is_taken
        play(watcher, story)
        assert watcher.book.keep(watcher.now, watcher.now) == []


def called_and_over(*, is_taken: bool | None) -> Watcher:
    """A margin call and its end are handed out. `is_taken`: what became of both; None: nobody knows yet."""
    watcher = Watcher()
    watcher.is_taken, watcher.heard = is_taken, {ALICE: set()}
    watcher.call()
    watcher.look()
    watcher.look(after_ms=RULES.settle_ms)
    return watcher


def test_a_beginning_that_nobody_took_is_told_again_while_it_goes_on() -> None:
    watcher = Watcher()
    watcher.is_taken = False
    watcher.call()
    watcher.look(after_ms=RULES.tell_again_ms - 1)
    assert len(watcher.messages) == 1
    watcher.is_taken = True
    watcher.look(after_ms=1)
    assert watcher.told == [(AlertKind.MARGIN_CALL, "alice", False)] * 2 and watcher.messages[1].severity is Severity.CRITICAL
    assert watcher.messages[1].notes[0].lasted_ms == RULES.tell_again_ms
    watcher.look(after_ms=2 * RULES.tell_again_ms)
    assert len(watcher.messages) == 2
    assert [each.kind for each in watcher.book.keep(watcher.now, watcher.now)] == [AlertKind.MARGIN_CALL]


def test_an_end_that_nobody_took_is_told_again_to_those_who_heard_of_the_beginning() -> None:
    watcher = Watcher()
    watcher.heard = {ALICE: set()}
    watcher.call()
    watcher.look()
    watcher.is_taken = False
    watcher.look(after_ms=RULES.settle_ms)
    assert len(watcher.messages) == 2 and watcher.book.keep(watcher.now, watcher.now) != []
    watcher.is_taken = True
    watcher.look(after_ms=RULES.tell_again_ms)
    assert watcher.told[1:] == [(AlertKind.MARGIN_CALL, "alice", True)] * 2
    assert watcher.book.keep(watcher.now, watcher.now) == []


def test_of_a_beginning_that_nobody_took_nobody_hears_the_end() -> None:
    watcher = called_and_over(is_taken=False)
    told = len(watcher.messages)
    watcher.is_taken = True
    watcher.look(after_ms=RULES.tell_again_ms)
    assert len(watcher.messages) == told and watcher.book.keep(watcher.now, watcher.now) == []


@pytest.mark.parametrize("begins_again", [False, True])
def test_a_beginning_that_is_taken_after_its_end_leaves_the_end_to_be_told(begins_again: bool) -> None:
    watcher = called_and_over(is_taken=None)
    begun, over = (message.notes for message in watcher.messages)
    watcher.book.note_outcome(begun, watcher.now, is_taken=True)
    assert [each.kind for each in watcher.book.keep(watcher.now, watcher.now)] == [AlertKind.MARGIN_CALL]
    if begins_again:
        watcher.is_taken = True
        watcher.call()
    watcher.book.note_outcome(over, watcher.now, is_taken=True)
    assert len(watcher.book.keep(watcher.now, watcher.now)) == begins_again


def test_an_unknown_word_is_over_when_it_did_not_come_for_long() -> None:
    watcher = Watcher()
    watcher.look(unknown("x"))
    for _ in range(3):
        watcher.look(after_ms=RULES.quiet_ms // 2)
        watcher.look(unknown("x"))
    assert len(watcher.told) == 1
    watcher.look()
    watcher.look(after_ms=RULES.quiet_ms)
    assert watcher.told[1:] == [(AlertKind.UNRECOGNIZED, "", True)]


def test_a_margin_call_goes_on_over_a_restart_with_its_legs_and_its_age() -> None:
    former, watcher = Watcher(), Watcher()
    former.call()
    former.look(after_ms=60_000)
    wall = Millis(1_790_000_000_000)
    [kept] = former.book.keep(former.now, wall)
    assert kept.since == wall - 60_000 and kept.legs == (LEG,)
    watcher.book.restore([kept], watcher.now, Millis(wall + 30_000))
    watcher.call()
    watcher.look()
    assert watcher.messages == []
    watcher.heard = {ALICE: set()}
    watcher.look()
    watcher.look(after_ms=RULES.settle_ms)
    assert watcher.told == [(AlertKind.MARGIN_CALL, "alice", True)]
    assert watcher.messages[0].notes[0].lasted_ms == 90_000 + 2_000


def test_a_margin_call_is_told_in_the_same_turn_and_again_only_after_its_end() -> None:
    watcher = Watcher()
    watcher.heard = {ALICE: {LEG, OTHER_LEG}}
    watcher.call()
    [message] = watcher.messages
    assert message.severity is Severity.CRITICAL and not message.is_good_news
    assert message.notes[0].words == "BTCUSDT long 1.327 at mark price 58717.40, maintenance margin 1614.44"
    for _ in range(5):
        watcher.call()
        watcher.call(symbol="ETHUSDT", position_side="short")
        watcher.look()
    assert len(watcher.messages) == 1
    assert watcher.book.called_accounts() == {ALICE}
    watcher.heard = {ALICE: {OTHER_LEG}}
    watcher.look(after_ms=30_000)
    assert watcher.book.open_incidents() == [MARGIN], "one leg is flat, the other is still at risk"
    watcher.heard = {ALICE: set()}
    watcher.look(after_ms=1_000)
    assert len(watcher.messages) == 1, "what is over for a moment may begin again"
    watcher.look(after_ms=RULES.settle_ms)
    assert watcher.told[1:] == [(AlertKind.MARGIN_CALL, "alice", True)]
    assert watcher.messages[1].is_good_news and watcher.messages[1].notes[0].times == 11
    watcher.call()
    assert watcher.told[2:] == [(AlertKind.MARGIN_CALL, "alice", False)]


def test_a_margin_call_that_is_not_repeated_is_over_only_if_the_account_was_heard_meanwhile() -> None:
    watcher = Watcher()
    watcher.look()
    watcher.call()
    for _ in range(10):
        watcher.look(after_ms=RULES.calm_ms)
    assert len(watcher.messages) == 1, "a deaf account hears of no second call either"
    watcher.heard = {ALICE: {LEG}}
    watcher.look(after_ms=RULES.calm_ms - 1)
    watcher.call()
    watcher.look(after_ms=RULES.calm_ms - 1)
    assert len(watcher.messages) == 1
    watcher.look(after_ms=1)
    watcher.look(after_ms=RULES.settle_ms)
    assert watcher.told[1:] == [(AlertKind.MARGIN_CALL, "alice", True)]


def test_of_an_account_that_is_margined_as_a_whole_only_the_venue_tells_the_end() -> None:
    watcher = Watcher()
    watcher.heard = {ALICE: set()}
    watcher.call(symbol="", status="margin_call", margin_level="1.24")
    watcher.look(after_ms=10 * RULES.calm_ms)
    watcher.look(after_ms=RULES.settle_ms)
    assert len(watcher.messages) == 1
    watcher.call(symbol="", status="normal", margin_level="1.9")
    watcher.look()
    watcher.look(after_ms=RULES.settle_ms)
    assert watcher.told[1:] == [(AlertKind.MARGIN_CALL, "alice", True)]


def test_an_end_without_a_beginning_is_nothing() -> None:
    watcher = Watcher()
    watcher.call(status="normal")
    watcher.look()
    assert watcher.messages == []


@pytest.mark.parametrize(
    ("finding", "after_ms"),
    [(dark(), RULES.dark_after_ms), (stale(), RULES.stale_after_ms), (trouble(), RULES.trouble_after_ms), (refused(), 0)],
    ids=["dark", "stale", "trouble", "refused"],
)
def test_trouble_is_told_once_it_went_on_for_long_enough(finding: Finding, after_ms: int) -> None:
    watcher = Watcher()
    watcher.look(finding)
    assert bool(watcher.messages) == (after_ms == 0)
    if after_ms:
        watcher.look(finding, after_ms=after_ms - 1)
        watcher.look(after_ms=0)
        watcher.look(finding, after_ms=1)
        assert watcher.messages == [], "it was gone in between: the time begins anew"
        watcher.look(finding, after_ms=after_ms)
    assert [told[0] for told in watcher.told] == [finding.kind]


def test_what_comes_and_goes_is_one_incident_until_it_stays_away() -> None:
    watcher = Watcher()
    watcher.look(dark())
    watcher.look(dark(), after_ms=RULES.dark_after_ms)
    for _ in range(5):
        watcher.look(after_ms=RULES.settle_ms - 1)
        watcher.look(dark())
    assert len(watcher.told) == 1
    watcher.look()
    watcher.look(after_ms=RULES.settle_ms)
    assert watcher.told[1:] == [(AlertKind.ACCOUNT_DARK, "alice", True)]
    assert watcher.messages[1].notes[0].lasted_ms == 30_000 + 5 * (9_999 + 1_000) + 1_000, "until it was gone, not until told"


def test_whoever_heard_that_an_account_is_dark_need_not_hear_that_it_is_stale() -> None:
    watcher = Watcher()
    for _ in range(10):
        watcher.look(dark(), stale(), after_ms=RULES.dark_after_ms)
    assert [told[0] for told in watcher.told] == [AlertKind.ACCOUNT_DARK]
    for _ in range(3):
        watcher.look(stale(), after_ms=RULES.gather_ms)
    assert watcher.told[1:] == [(AlertKind.ACCOUNT_DARK, "alice", True), (AlertKind.ACCOUNT_STALE, "alice", False)]


def test_an_outage_of_a_venue_is_one_message() -> None:
    watcher = Watcher()
    accounts = [AccountId(f"account-{number}") for number in range(500)]
    watcher.known = frozenset(accounts)
    everybody = [dark(account) for account in accounts]
    watcher.look(*everybody)
    watcher.look(*everybody, after_ms=RULES.dark_after_ms)
    [message] = watcher.messages
    assert len(message.notes) == 500 and message.severity is Severity.ERROR


def test_the_first_message_goes_at_once_and_the_next_waits_for_others() -> None:
    watcher = Watcher()
    watcher.look(unknown("a"))
    watcher.look(unknown("a"), unknown("b"))
    watcher.look(unknown("a"), unknown("b"), refused())
    assert [len(message.notes) for message in watcher.messages] == [1]
    watcher.look(unknown("a"), unknown("b"), refused(), after_ms=RULES.gather_ms)
    assert [len(message.notes) for message in watcher.messages] == [1, 2]
    assert watcher.messages[1].severity is Severity.ERROR, "as bad as the worst of it"
    watcher.look(unknown("a"), unknown("b"), unknown("c"), refused())
    watcher.take(all_of_them=True)
    assert [len(message.notes) for message in watcher.messages] == [1, 2, 1]


def test_of_an_account_that_is_removed_nothing_is_watched_any_more_and_that_is_no_good_news() -> None:
    watcher = Watcher()
    watcher.call()
    watcher.look(refused(), dark("bob"))
    watcher.known = frozenset({BOB})
    watcher.look(dark("bob"))
    watcher.take(all_of_them=True)
    over = {note.key.kind: note for message in watcher.messages for note in message.notes if note.is_over}
    assert set(over) == {AlertKind.MARGIN_CALL, AlertKind.AUTH_FAILED} and all(note.is_unwatched for note in over.values())
    assert over[AlertKind.MARGIN_CALL].severity is Severity.WARNING and over[AlertKind.AUTH_FAILED].severity is Severity.INFO
    assert over[AlertKind.MARGIN_CALL].words.startswith("BTCUSDT"), "what it was about"
    assert not any(message.is_good_news for message in watcher.messages)
    watcher.known = EVERYBODY
    watcher.call()
    assert watcher.messages[-1].severity is Severity.CRITICAL, "watched again, it is told again"


@pytest.mark.parametrize("known", [EVERYBODY, frozenset({BOB})], ids=["next look", "removed"])
def test_what_cannot_be_over_is_told_once_and_has_no_end(known: frozenset[AccountId]) -> None:
    watcher = Watcher()
    widened = Finding(kind=AlertKind.KEY_WIDENED, account=ALICE, words="it may trade futures now")
    watcher.look(widened)
    watcher.look(widened, after_ms=RULES.gather_ms)
    assert watcher.told == [(AlertKind.KEY_WIDENED, "alice", False)] and watcher.book.open_incidents() != []
    watcher.known = known
    watcher.look()
    watcher.look(after_ms=RULES.settle_ms)
    watcher.take(all_of_them=True)
    assert len(watcher.told) == 1 and watcher.book.open_incidents() == []
    assert watcher.book.keep(watcher.now, watcher.now) == []


def test_every_kind_has_its_severity_and_only_what_may_cost_all_is_critical() -> None:
    assert set(SEVERITIES) == set(AlertKind)
    critical = {kind for kind, severity in SEVERITIES.items() if severity is Severity.CRITICAL}
    assert critical == {AlertKind.MARGIN_CALL, AlertKind.KEY_REFUSED}
    assert [severity.rank for severity in Severity] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"symbol": "", "margin_level": "1.24", "status": "margin_call"}, "the whole account at margin level 1.24, margin_call"),
        ({"symbol": ""}, "the whole account"),
        ({"mark_price": None, "maintenance_margin": None}, "BTCUSDT long 1.327"),
    ],
)
def test_a_margin_call_in_one_line(fields: dict[str, object], words: str) -> None:
    assert words_for_call(margin_called(**fields)) == words
