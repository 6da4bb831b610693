"""From what an account looks like at a moment to what is wrong with it. Pure: who looks, and when, is not decided here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from userstream.domain.alert_words import stamp_of
from userstream.domain.alerts import SERVICE, AlertKind, Finding
from userstream.domain.words import StreamState
from userstream.kernel.ids import AccountId, Millis

MOST_NAMES: Final = 100
"""How many unknown words of all venues are kept apart; what is more is one incident together."""
OTHERS: Final = "others"


class AccountSight(msgspec.Struct, frozen=True, kw_only=True):
    """One account as it looks now. state: None while it is to run and does not. sockets: those that are open. reason: why it is in its
    state, for people. is_refused: it failed because the venue refuses the key. gap_since: the venue's time (ms). mismatches: those that
    are open, with a line for people each. breaker: why its circuit breaker is open; empty if it is not."""

    account: AccountId
    state: StreamState | None
    sockets: int = 0
    reason: str = ""
    is_refused: bool = False
    gap_since: Millis | None = None
    mismatches: Mapping[str, str] = {}
    breaker: str = ""


def findings_of(sight: AccountSight) -> list[Finding]:
    """All that is wrong with an account."""
    account, found = sight.account, []
    if sight.state is StreamState.FAILED:
        kind = AlertKind.AUTH_FAILED if sight.is_refused else AlertKind.ACCOUNT_FAILED
        found.append(Finding(kind=kind, account=account, words=sight.reason))
    else:
        if not sight.sockets:
            found.append(Finding(kind=AlertKind.ACCOUNT_DARK, account=account, words=_words_for_dark(sight)))
        if sight.state is not StreamState.LIVE or sight.gap_since is not None:
            found.append(Finding(kind=AlertKind.ACCOUNT_STALE, account=account, words=_words_for_stale(sight)))
    if sight.breaker:
        found.append(Finding(kind=AlertKind.BREAKER_TRIPPED, account=account, words=sight.breaker))
    named = sight.mismatches.items()
    return found + [Finding(kind=AlertKind.MISMATCH, account=account, subject=subject, words=words) for subject, words in named]


def _words_for_dark(sight: AccountSight) -> str:
    if sight.state is None:
        return "it is to run, and is not connected"
    return f"no socket delivers{f': {sight.reason}' if sight.reason else ''}"


def _words_for_stale(sight: AccountSight) -> str:
    state = "not connected" if sight.state is None else str(sight.state)
    gap = f", events since {stamp_of(sight.gap_since)} may be missing" if sight.gap_since is not None else ""
    return f"{state}{f': {sight.reason}' if sight.reason else ''}{gap}"


class DriftWatch:
    """The unknown words of all venues. Who sent a word to whom does not matter: hundreds of accounts hear of a new field of their venue at
    the same time."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()

    def look(self, counts: Mapping[tuple[str, str], int]) -> list[Finding]:
        """The words that came since the last look. `counts`: how often each word of each venue came, in all accounts that run now."""
        totals, former = self._bounded(counts), self._seen
        # accounts that were removed or started anew take their counts with them
        self._seen = totals
        return [
            Finding(kind=AlertKind.UNRECOGNIZED, account=SERVICE, subject=f"{venue} {name}", words=f"seen {total} times; kept raw")
            for (venue, name), total in totals.items()
            if total > former[venue, name]
        ]

    def _bounded(self, counts: Mapping[tuple[str, str], int]) -> Counter[tuple[str, str]]:
        totals: Counter[tuple[str, str]] = Counter()
        room = MOST_NAMES - len(self._seen)
        for key, total in counts.items():
            is_kept = key in self._seen or room > 0
            room -= is_kept and key not in self._seen
            totals[key if is_kept else (key[0], OTHERS)] += total
        return totals
