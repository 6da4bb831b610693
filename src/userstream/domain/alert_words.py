"""Alerts in words, for a person who is woken by them: what, where, since when, and what it is about. No secret ever reaches this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import msgspec

from userstream.domain.alerts import AlertKind, Message, Note, Severity
from userstream.kernel.ids import Millis

MOST_LINES: Final = 20
"""How many notes of a message are written out; the others are counted. Most receivers cut long texts off."""
LONGEST_WORDS: Final = 300
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS

TITLES: Final[Mapping[AlertKind, tuple[str, str]]] = MappingProxyType(
    {
        AlertKind.MARGIN_CALL: ("margin call", "margin call is over"),
        AlertKind.BREAKER_TRIPPED: ("circuit breaker tripped", "circuit breaker closed again"),
        AlertKind.AUTH_FAILED: ("the venue refuses the key", "the key is accepted again"),
        AlertKind.ACCOUNT_FAILED: ("account failed for good", "account runs again"),
        AlertKind.ACCOUNT_DARK: ("account is dark", "account is heard again"),
        AlertKind.ACCOUNT_STALE: ("account is not proven", "account is proven again"),
        AlertKind.MISMATCH: ("mismatch with the venue", "mismatch is resolved"),
        AlertKind.STORE_TROUBLE: ("the store keeps nothing", "the store keeps everything again"),
        AlertKind.DATABASE_TROUBLE: ("a database does not follow", "the database follows again"),
        AlertKind.KEY_REFUSED: ("the key may do what no key should", "the key may do no more than it should"),
        AlertKind.KEY_WIDENED: ("the key may do more than before", "the wider key is known"),
        AlertKind.UNRECOGNIZED: ("unknown words from the venue", "no unknown words any more"),
    }
)
"""What is said when it begins, and when it is over."""


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent to people. is_good_news: it tells of good ends alone."""

    severity: Severity
    title: str
    body: str
    is_good_news: bool = False


def notification_of(message: Message, time: Millis) -> Notification:
    """A message as it is sent. `time`: our wall clock (ms), which it says, because it may arrive much later."""
    return Notification(
        severity=message.severity,
        title=title_of(message),
        body=f"{body_of(message)}\n({stamp_of(time)})",
        is_good_news=message.is_good_news,
    )


def stamp_of(time: Millis) -> str:
    """A wall clock's time (ms) for people."""
    return datetime.fromtimestamp(time // 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def merged(notifications: Sequence[Notification]) -> Notification:
    """Several as one, of which every line stays; one alone as it is."""
    if len(notifications) == 1:
        return notifications[0]
    severity = max((each.severity for each in notifications), key=lambda severity: severity.rank)
    is_good_news = all(each.is_good_news for each in notifications)
    first = notifications[0].title.partition("] ")[2] or notifications[0].title
    return Notification(
        severity=severity,
        title=f"[{'RECOVERED' if is_good_news else severity.upper()}] {len(notifications)} alerts, the first: {first}",
        body="\n".join(each.body for each in notifications),
        is_good_news=is_good_news,
    )


def title_of(message: Message) -> str:
    """One short line: how bad, what, and where."""
    level = "RECOVERED" if message.is_good_news else message.severity.upper()
    if len(message.notes) == 1:
        return f"[{level}] {headline_of(message.notes[0])}"
    begun = sum(not note.is_over for note in message.notes)
    over = len(message.notes) - begun
    parts = [f"{begun} new" if begun else "", f"{over} over" if over else ""]
    return f"[{level}] {' and '.join(filter(None, parts))}: {_names(message)}"


def body_of(message: Message) -> str:
    """All notes, the worst first, each in one line."""
    ordered = sorted(message.notes, key=lambda note: (-note.severity.rank, note.is_over))
    lines = [line_of(note) for note in ordered[:MOST_LINES]]
    if more := ordered[MOST_LINES:]:
        lines.append(f"... and {len(more)} more")
    return "\n".join(lines)


def line_of(note: Note) -> str:
    """One note with everything about it."""
    told = f": {_short(note.words)}" if note.words else ""
    if note.is_over:
        return f"{headline_of(note)}, after {duration(note.lasted_ms)}{told}"
    return f"{headline_of(note)}{told}" if note.lasted_ms < MINUTE_MS else f"{headline_of(note)}, for {duration(note.lasted_ms)}{told}"


def headline_of(note: Note) -> str:
    """What it is and where."""
    where = " ".join(filter(None, (note.key.account, note.key.subject)))
    words = f"{TITLES[note.key.kind][0]}, and not watched any more" if note.is_unwatched else TITLES[note.key.kind][note.is_over]
    return f"{where}: {words}" if where else words


def duration(length_ms: int) -> str:
    """A length of time in the two units that matter."""
    if length_ms < MINUTE_MS:
        return f"{length_ms // 1_000} s"
    if length_ms < HOUR_MS:
        return f"{length_ms // MINUTE_MS} min {length_ms % MINUTE_MS // 1_000} s"
    return f"{length_ms // HOUR_MS} h {length_ms % HOUR_MS // MINUTE_MS} min"


def _names(message: Message) -> str:
    kinds = dict.fromkeys(note.key.kind for note in sorted(message.notes, key=lambda note: -note.severity.rank))
    return ", ".join(str(kind).replace("_", " ") for kind in kinds)


def _short(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= LONGEST_WORDS else f"{line[:LONGEST_WORDS]}..."
