"""Incidents: what is wrong, since when, and what a person is told of it. Nothing in this file sends, waits or reads a clock.

What is found wrong comes in as often as somebody looks; out come notes: one when an incident begins, one when it is over. What is critical,
as a margin call is, is told at once, whatever else goes on. All other notes of a while are told together, so that an outage of a venue is
one message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

import msgspec

from userstream.domain.events import MarginCalled
from userstream.domain.words import PositionSide
from userstream.kernel.ids import AccountId, Millis, Symbol

SERVICE: Final = AccountId("")
"""The account of what concerns the whole service."""


class Severity(StrEnum):
    """How much it matters; `rank` grows with it."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS: Final = MappingProxyType({severity: rank for rank, severity in enumerate(Severity)})


class AlertKind(StrEnum):
    """What can be wrong. unrecognized: the venue sent what its documents do not know. key_refused: the key may do what no key of an
    account should, and would not be added today. key_widened: it may do more than when it was added."""

    MARGIN_CALL = "margin_call"
    BREAKER_TRIPPED = "breaker_tripped"
    AUTH_FAILED = "auth_failed"
    ACCOUNT_FAILED = "account_failed"
    ACCOUNT_DARK = "account_dark"
    ACCOUNT_STALE = "account_stale"
    MISMATCH = "mismatch"
    STORE_TROUBLE = "store_trouble"
    DATABASE_TROUBLE = "database_trouble"
    UNRECOGNIZED = "unrecognized"
    KEY_REFUSED = "key_refused"
    KEY_WIDENED = "key_widened"


SEVERITIES: Final[Mapping[AlertKind, Severity]] = MappingProxyType(
    {
        AlertKind.MARGIN_CALL: Severity.CRITICAL,
        AlertKind.BREAKER_TRIPPED: Severity.ERROR,
        AlertKind.AUTH_FAILED: Severity.ERROR,
        AlertKind.ACCOUNT_FAILED: Severity.ERROR,
        AlertKind.ACCOUNT_DARK: Severity.ERROR,
        AlertKind.ACCOUNT_STALE: Severity.WARNING,
        AlertKind.MISMATCH: Severity.ERROR,
        AlertKind.STORE_TROUBLE: Severity.ERROR,
        AlertKind.DATABASE_TROUBLE: Severity.WARNING,
        AlertKind.UNRECOGNIZED: Severity.WARNING,
        AlertKind.KEY_REFUSED: Severity.CRITICAL,
        AlertKind.KEY_WIDENED: Severity.WARNING,
    }
)
KEY_KINDS: Final = frozenset({AlertKind.KEY_REFUSED, AlertKind.KEY_WIDENED})
WITHOUT_END: Final = frozenset({AlertKind.KEY_WIDENED})
"""What happened and cannot be over: a right that was there at the next look as well is no good news."""
FAILED: Final = frozenset({AlertKind.AUTH_FAILED, AlertKind.ACCOUNT_FAILED})
SAID_BY: Final[Mapping[AlertKind, frozenset[AlertKind]]] = MappingProxyType(
    {AlertKind.ACCOUNT_DARK: FAILED, AlertKind.ACCOUNT_STALE: FAILED | {AlertKind.ACCOUNT_DARK}}
)
"""What is not told of an account while one of these is open of it: whoever heard that it is dark need not hear that it is stale."""


class AlertRules(msgspec.Struct, frozen=True, kw_only=True):
    """For how long (ms) something must go on before it is told, and be gone before that is told.

    dark_after_ms: no socket delivers. stale_after_ms: not proven complete. trouble_after_ms: of disk and database. settle_ms: how long
    it must be gone. calm_ms: a margin call that is not repeated for so long, while the account is heard, is over. quiet_ms: an unknown word
    that does not come for so long is over. gather_ms: between two messages that are not critical. tell_again_ms: after a note that nobody
    took.
    """

    dark_after_ms: int = 30_000
    stale_after_ms: int = 180_000
    trouble_after_ms: int = 5_000
    settle_ms: int = 30_000
    calm_ms: int = 900_000
    quiet_ms: int = 3_600_000
    gather_ms: int = 60_000
    tell_again_ms: int = 300_000

    def opens_after_ms(self, kind: AlertKind) -> int:
        match kind:
            case AlertKind.ACCOUNT_DARK:
                return self.dark_after_ms
            case AlertKind.ACCOUNT_STALE:
                return self.stale_after_ms
            case AlertKind.STORE_TROUBLE | AlertKind.DATABASE_TROUBLE:
                return self.trouble_after_ms
        return 0

    def settles_after_ms(self, kind: AlertKind) -> int:
        return self.quiet_ms if kind is AlertKind.UNRECOGNIZED else self.settle_ms


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong at the moment of a look. subject: which, where an account can have several at once. words: one line for
    people, without secrets; it may differ from look to look."""

    kind: AlertKind
    account: AccountId = SERVICE
    subject: str = ""
    words: str = ""

    @property
    def key(self) -> Key:
        return Key(self.kind, self.account, self.subject)


class Key(NamedTuple):
    """Which incident: there is one at a time."""

    kind: AlertKind
    account: AccountId
    subject: str


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of an incident, or its end. lasted_ms: from when it was found first. times: how often it was found so far.
    is_unwatched: it ends because nobody looks any more; it may well go on."""

    key: Key
    is_over: bool
    words: str
    lasted_ms: int
    times: int
    is_unwatched: bool = False

    @property
    def severity(self) -> Severity:
        severity = SEVERITIES[self.key.kind]
        if not self.is_unwatched:
            return severity
        return Severity.WARNING if severity is Severity.CRITICAL else Severity.INFO

    @property
    def is_good_news(self) -> bool:
        return self.is_over and not self.is_unwatched


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What goes out as one: the notes of a while, or a single critical one."""

    severity: Severity
    notes: tuple[Note, ...]

    @property
    def is_good_news(self) -> bool:
        """Whether it tells of good ends alone."""
        return all(note.is_good_news for note in self.notes)


Leg: TypeAlias = tuple[Symbol, PositionSide]


class Watch(msgspec.Struct):
    """One thing that is or was wrong. Times are of the clock that never jumps (ms). calls: of a margin call, for how long each leg was
    not called again while the account was heard; gone_since: since when it is not found any more."""

    since: Millis
    words: str
    times: int = 0
    is_open: bool = False
    gone_since: Millis | None = None
    calls: dict[Leg, int] = {}


class KeptIncident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that somebody was told and whose end was not, as it outlives the process. since: our wall clock (ms)."""

    kind: AlertKind
    account: AccountId
    subject: str
    words: str
    since: Millis
    times: int
    legs: tuple[Leg, ...] = ()


class AlertBook:
    """All incidents of a service. Each is told once when it begins and once when it is over, however often it is found.

    What it hands out counts as told once `note_outcome` says that somebody took it; what nobody took is handed out again.
    """

    def __init__(self, rules: AlertRules | None = None) -> None:
        self.rules = rules or AlertRules()
        self._watches: dict[Key, Watch] = {}
        self._told: dict[Key, Watch] = {}
        self._untold: dict[Key, tuple[Note, Millis]] = {}
        self._urgent: list[Note] = []
        self._waiting: list[Note] = []
        self._looked: Millis | None = None
        self._next_message: Millis | None = None

    # --- over a restart ---

    def keep(self, now: Millis, wall: Millis) -> list[KeptIncident]:
        """What the next process must know, so that it tells no beginning again and every end."""
        return [
            KeptIncident(
                kind=key.kind,
                account=key.account,
                subject=key.subject,
                words=watch.words,
                since=Millis(wall - (now - watch.since)),
                times=watch.times,
                legs=tuple(watch.calls),
            )
            for key, watch in self._told.items()
        ]

    def restore(self, kept: Iterable[KeptIncident], now: Millis, wall: Millis) -> None:
        """Goes on with what a former process has told. To be called first."""
        for each in kept:
            since = Millis(now - max(0, wall - each.since))
            watch = Watch(since=since, words=each.words, times=each.times, is_open=True, calls=dict.fromkeys(each.legs, 0))
            key = Key(each.kind, each.account, each.subject)
            self._watches[key] = self._told[key] = watch

    # --- what comes in ---

    def take_margin_call(self, event: MarginCalled, now: Millis) -> None:
        """A venue's warning, or its end. It is told without any wait, but only once until it is over."""
        key = Key(AlertKind.MARGIN_CALL, event.account, "")
        watch = self._watches.get(key)
        if event.is_over:
            if watch is not None:
                watch.calls.clear()
            return
        if watch is None:
            watch = self._watches[key] = Watch(since=now, words=words_for_call(event))
        watch.calls[event.symbol, event.position_side] = 0
        watch.times, watch.gone_since = watch.times + 1, None
        if not watch.is_open:
            self._open(key, watch, now)

    def look(self, findings: Iterable[Finding], now: Millis, *, known: Set[AccountId], heard: Mapping[AccountId, Set[Leg]]) -> None:
        """All that is wrong now. known: the accounts that are to run; others are not watched any more. heard: the legs that are held, for
        each account whose picture can be trusted now."""
        found = {finding.key: finding for finding in findings}
        # failures first, then what they say already
        for finding in sorted(found.values(), key=lambda each: len(SAID_BY.get(each.kind, ()))):
            self._find(finding, now)
        self._calm_calls(now, heard)
        for key, watch in list(self._watches.items()):
            if key.account != SERVICE and key.account not in known:
                self._end(key, watch, now, is_unwatched=True)
            elif key not in found and not watch.calls:
                self._miss(key, watch, now)
        self._tell_again(now)
        self._looked = now

    def take_messages(self, now: Millis, *, all_of_them: bool = False) -> list[Message]:
        """What is to be told now; each note is in one message. all_of_them: also what would wait for others."""
        messages = [Message(severity=note.severity, notes=(note,)) for note in self._urgent]
        self._urgent.clear()
        if self._waiting and (all_of_them or self._next_message is None or now >= self._next_message):
            messages.append(Message(severity=max((note.severity for note in self._waiting), key=_rank_of), notes=tuple(self._waiting)))
            self._waiting.clear()
            self._next_message = Millis(now + self.rules.gather_ms)
        return messages

    def note_outcome(self, notes: Iterable[Note], now: Millis, *, is_taken: bool) -> None:
        """What became of notes that were handed out: somebody was told, or nobody will be."""
        for note in notes:
            if is_taken:
                self._note_told(note, now)
            else:
                self._untold[note.key] = (note, Millis(now + self.rules.tell_again_ms))

    def _note_told(self, note: Note, now: Millis) -> None:
        watch = self._watches.get(note.key)
        if not note.is_over:
            # it may be over meanwhile: then its end is still to be told, by the next process if need be
            ended = Watch(since=Millis(now - note.lasted_ms), words=note.words, times=note.times)
            self._told[note.key] = watch if watch is not None and watch.is_open else ended
        elif watch is None or self._told.get(note.key) is not watch:
            self._told.pop(note.key, None)

    def _tell_again(self, now: Millis) -> None:
        due = [(key, note) for key, (note, at) in self._untold.items() if now >= at]
        for key, note in due:
            del self._untold[key]
            watch = self._watches.get(key)
            is_open = watch is not None and watch.is_open
            if watch is not None and is_open and key not in self._told:
                self._tell(
                    msgspec.structs.replace(
                        note, is_over=False, is_unwatched=False, words=watch.words, lasted_ms=now - watch.since, times=watch.times
                    )
                )
            elif note.is_over and not is_open and key in self._told:  # of a beginning that nobody heard of nobody need hear the end
                self._tell(note)

    def open_incidents(self) -> list[Key]:
        """Those that were told and are not over."""
        return [key for key, watch in self._watches.items() if watch.is_open]

    def called_accounts(self) -> set[AccountId]:
        """Those with an open margin call."""
        return {key.account for key, watch in self._watches.items() if watch.calls}

    # --- how it goes on ---

    def _find(self, finding: Finding, now: Millis) -> None:
        key = finding.key
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = Watch(since=now, words=finding.words)
        watch.times, watch.gone_since = watch.times + 1, None
        if watch.is_open:
            return
        watch.words = finding.words
        if now - watch.since >= self.rules.opens_after_ms(key.kind) and not self._is_said(key):
            self._open(key, watch, now)

    def _is_said(self, key: Key) -> bool:
        others = (self._watches.get(Key(kind, key.account, "")) for kind in SAID_BY.get(key.kind, ()))
        return any(other is not None and other.is_open for other in others)

    def _miss(self, key: Key, watch: Watch, now: Millis) -> None:
        if not watch.is_open:
            del self._watches[key]
        elif watch.gone_since is None:
            watch.gone_since = now
        elif now - watch.gone_since >= self.rules.settles_after_ms(key.kind):
            self._end(key, watch, watch.gone_since)

    def _calm_calls(self, now: Millis, heard: Mapping[AccountId, Set[Leg]]) -> None:
        passed_ms = 0 if self._looked is None else now - self._looked
        for key, watch in self._watches.items():
            held = heard.get(key.account)
            if held is None:  # whoever hears nothing cannot know that it is over
                continue
            for leg, quiet_ms in list(watch.calls.items()):
                if not leg[0]:  # of the account as a whole: the venue tells its end
                    continue
                watch.calls[leg] = quiet_ms + passed_ms
                if leg not in held or watch.calls[leg] >= self.rules.calm_ms:
                    del watch.calls[leg]

    # --- what goes out ---

    def _open(self, key: Key, watch: Watch, now: Millis) -> None:
        watch.is_open = True
        self._tell(Note(key=key, is_over=False, words=watch.words, lasted_ms=now - watch.since, times=watch.times))

    def _end(self, key: Key, watch: Watch, until: Millis, *, is_unwatched: bool = False) -> None:
        del self._watches[key]
        if key.kind in WITHOUT_END:
            self._told.pop(key, None)
        elif watch.is_open:
            lasted_ms = until - watch.since
            self._tell(Note(key=key, is_over=True, words=watch.words, lasted_ms=lasted_ms, times=watch.times, is_unwatched=is_unwatched))

    def _tell(self, note: Note) -> None:
        # by its kind, not by its own severity: no end may be overtaken by the next beginning
        (self._urgent if SEVERITIES[note.key.kind] is Severity.CRITICAL else self._waiting).append(note)


def _rank_of(severity: Severity) -> int:
    return severity.rank


def words_for_call(event: MarginCalled) -> str:
    """A margin call in one line."""
    if not event.symbol:
        level = f" at margin level {event.margin_level}" if event.margin_level is not None else ""
        return f"the whole account{level}{f', {event.status}' if event.status else ''}"
    mark = f" at mark price {event.mark_price}" if event.mark_price is not None else ""
    needs = f", maintenance margin {event.maintenance_margin}" if event.maintenance_margin is not None else ""
    return f"{event.symbol} {event.position_side} {event.amount}{mark}{needs}"
