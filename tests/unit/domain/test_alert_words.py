"""What a person reads: short enough for a phone, and complete about the worst."""

from __future__ import annotations

import msgspec
import pytest

from userstream.domain.alert_words import (
    LONGEST_WORDS,
    MOST_LINES,
    TITLES,
    Notification,
    body_of,
    duration,
    line_of,
    merged,
    notification_of,
    title_of,
)
from userstream.domain.alerts import SERVICE, AlertKind, Key, Message, Note, Severity
from userstream.kernel.ids import AccountId, Millis

A_TIME = Millis(1_760_000_000_123)


def note(kind: AlertKind, account: str = "alice", *, over: bool = False, subject: str = "", words: str = "", lasted_ms: int = 0) -> Note:
    return Note(key=Key(kind, AccountId(account), subject), is_over=over, words=words, lasted_ms=lasted_ms, times=1)


def message(*notes: Note) -> Message:
    return Message(severity=max((each.severity for each in notes), key=lambda severity: severity.rank), notes=notes)


def test_a_single_note_is_its_own_title() -> None:
    called = message(note(AlertKind.MARGIN_CALL, words="BTCUSDT long 1.327"))
    assert title_of(called) == "[CRITICAL] alice: margin call"
    assert body_of(called) == "alice: margin call: BTCUSDT long 1.327"
    over = message(note(AlertKind.MARGIN_CALL, over=True, words="BTCUSDT long 1.327", lasted_ms=125_000))
    assert title_of(over) == "[RECOVERED] alice: margin call is over"
    assert body_of(over) == "alice: margin call is over, after 2 min 5 s: BTCUSDT long 1.327"


def test_what_is_not_watched_any_more_does_not_read_as_recovered() -> None:
    called = note(AlertKind.MARGIN_CALL, over=True, words="BTCUSDT long 1.327", lasted_ms=125_000)
    left = message(msgspec.structs.replace(called, is_unwatched=True))
    assert title_of(left) == "[WARNING] alice: margin call, and not watched any more"
    assert body_of(left) == "alice: margin call, and not watched any more, after 2 min 5 s: BTCUSDT long 1.327"
    assert not notification_of(left, A_TIME).is_good_news


def test_a_notification_is_a_message_in_words() -> None:
    called = message(note(AlertKind.MARGIN_CALL, words="BTCUSDT long 1.327"))
    sent = notification_of(called, A_TIME)
    assert sent == Notification(severity=Severity.CRITICAL, title=title_of(called), body=f"{body_of(called)}\n(2025-10-09 08:53:20 UTC)")
    assert notification_of(message(note(AlertKind.ACCOUNT_DARK, over=True)), A_TIME).is_good_news


def test_many_notifications_as_one_keep_every_line_and_the_worst_severity() -> None:
    sent = [notification_of(message(note(AlertKind.MARGIN_CALL, name, words="BTCUSDT")), A_TIME) for name in ("alice", "bob")]
    together = merged([*sent, notification_of(message(note(AlertKind.ACCOUNT_DARK, over=True)), A_TIME)])
    assert together.title == "[CRITICAL] 3 alerts, the first: alice: margin call" and together.severity is Severity.CRITICAL
    assert together.body.startswith(f"{sent[0].body}\n{sent[1].body}\n") and not together.is_good_news
    assert merged(sent[:1]) is sent[0]
    over = notification_of(message(note(AlertKind.ACCOUNT_DARK, over=True)), A_TIME)
    assert merged([over, over]).title.startswith("[RECOVERED] 2 alerts") and merged([over, over]).is_good_news
    plain = Notification(severity=Severity.INFO, title="plain", body="")
    assert merged([plain, plain]).title == "[INFO] 2 alerts, the first: plain"


def test_many_notes_are_counted_in_the_title_and_told_the_worst_first() -> None:
    mixed = message(
        note(AlertKind.UNRECOGNIZED, SERVICE, subject="binance-usdm NEW_EVENT"),
        note(AlertKind.ACCOUNT_STALE, "bob", over=True, lasted_ms=61_000),
        note(AlertKind.ACCOUNT_DARK, lasted_ms=90_000),
    )
    assert title_of(mixed) == "[ERROR] 2 new and 1 over: account dark, unrecognized, account stale"
    assert body_of(mixed).splitlines() == [
        "alice: account is dark, for 1 min 30 s",
        "binance-usdm NEW_EVENT: unknown words from the venue",
        "bob: account is proven again, after 1 min 1 s",
    ]
    assert title_of(message(note(AlertKind.ACCOUNT_DARK, over=True), note(AlertKind.ACCOUNT_DARK, "bob", over=True))).startswith(
        "[RECOVERED] 2 over: "
    )


def test_a_long_message_is_cut_and_says_how_much_is_missing() -> None:
    outage = message(*(note(AlertKind.ACCOUNT_DARK, f"account-{number}") for number in range(500)))
    lines = body_of(outage).splitlines()
    assert len(lines) == MOST_LINES + 1 and lines[-1] == f"... and {500 - MOST_LINES} more"


def test_words_of_a_venue_stay_on_one_line_and_short() -> None:
    line = line_of(note(AlertKind.ACCOUNT_FAILED, words="first\nsecond " + "x" * 1_000))
    assert "\n" not in line and line.endswith("...") and len(line) < LONGEST_WORDS + 60


def test_what_concerns_the_service_names_no_account() -> None:
    assert title_of(message(note(AlertKind.STORE_TROUBLE, SERVICE))) == "[ERROR] the store keeps nothing"


@pytest.mark.parametrize(("length_ms", "words"), [(0, "0 s"), (59_999, "59 s"), (61_000, "1 min 1 s"), (3_720_000, "1 h 2 min")])
def test_a_duration_in_words(length_ms: int, words: str) -> None:
    assert duration(length_ms) == words


def test_every_kind_has_its_words() -> None:
    assert set(TITLES) == set(AlertKind)
    assert {severity.upper() for severity in Severity} >= {"CRITICAL"}
