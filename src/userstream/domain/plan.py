"""Which accounts are started, stopped or begun anew, and in which order: decided from what is wanted and what is there.

Pure: nothing here waits or reads a clock. Whoever carries out the actions decides nothing. All times are our own steady ones, in ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import msgspec

from userstream.kernel.ids import AccountId, Millis

MINUTE_MS: Final = 60_000
MOST_DOUBLINGS: Final = 20


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """An account that is to run. `revision`: another one means that its key or its addresses were changed. `place`: the request budget that
    its calls use; `weight`: what its opening costs there. `is_exposed`: a position or an order is known to be open."""

    account: AccountId
    revision: str
    place: str
    weight: int = 1
    is_exposed: bool = False


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an account that was started. `began`: when it was started last. `dark_since`: since when no socket delivers, None
    while one does; `reconnects`: how often it was begun anew since one did. `failed_at`: when it was given up, because the venue refuses
    its key or it could not be started; `failures`: how often in a row."""

    account: AccountId
    revision: str
    began: Millis
    is_exposed: bool = False
    dark_since: Millis | None = None
    reconnects: int = 0
    failed_at: Millis | None = None
    failures: int = 0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One request budget. `weight_per_minute`: what openings may use of it in any minute; `starts`: when some began lately, and what they
    weighed; `closed_until`: before that the venue wants no call."""

    weight_per_minute: int
    starts: tuple[tuple[Millis, int], ...] = ()
    closed_until: Millis = Millis(0)

    def after(self, time: Millis, weight: int) -> Place:
        """The place once one more began."""
        recent = tuple(start for start in self.starts if start[0] > time - MINUTE_MS)
        return msgspec.structs.replace(self, starts=(*recent, (time, weight)))

    def free_at(self, weight: int, now: Millis) -> Millis:
        """When something of this weight may begin, at the earliest: `now`, or when enough of the last minute is over. What weighs more than
        all of it goes alone."""
        open_at = max(now, self.closed_until)
        recent = sorted(start for start in self.starts if start[0] > open_at - MINUTE_MS)
        used = sum(start[1] for start in recent)
        for time, spent in recent:
            if used + weight <= self.weight_per_minute:
                break
            used -= spent
            open_at = Millis(time + MINUTE_MS)
        return open_at


class PlanPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`dark_limit_ms`: how long an account may try by itself to get a socket, doubled each time in vain. `first_retry_ms`: after how long
    one that was given up is tried again, doubled each time in vain. `longest_ms`: neither wait grows beyond that."""

    dark_limit_ms: int = 300_000
    first_retry_ms: int = 60_000
    longest_ms: int = 3_600_000

    def retry_ms(self, failures: int) -> int:
        """How long to leave an account alone that was given up so many times in a row."""
        return self._grown(self.first_retry_ms, failures - 1)

    def patience_ms(self, reconnects: int) -> int:
        """How long an account may be dark that was begun anew so many times in vain."""
        return self._grown(self.dark_limit_ms, reconnects)

    def _grown(self, first_ms: int, times: int) -> int:
        return max(first_ms, min(self.longest_ms, first_ms << min(max(0, times), MOST_DOUBLINGS)))


class Start(msgspec.Struct, frozen=True, tag=True):
    """It is to run and does not."""

    account: AccountId


class Stop(msgspec.Struct, frozen=True, tag=True):
    """It runs and is not to run any more."""

    account: AccountId


class Restart(msgspec.Struct, frozen=True, tag=True):
    """It runs with a key or an address that is not its own any more."""

    account: AccountId


class Reconnect(msgspec.Struct, frozen=True, tag=True):
    """It gets no further by itself: dark for too long, or given up a while ago."""

    account: AccountId
    reason: str


class Wait(msgspec.Struct, frozen=True, tag=True):
    """Something is to be done with it, and not before `until`."""

    account: AccountId
    until: Millis
    reason: str


Action: TypeAlias = Start | Stop | Restart | Reconnect | Wait
Opening: TypeAlias = Start | Restart | Reconnect

BUDGET: Final = "the request budget allows no further opening now"
CLOSED: Final = "the venue wants no calls from this address"
REFUSED: Final = "it was given up"
DARK: Final = "no socket delivers"


class _Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An account that something is to be done with at `due`. `since`: since when it does without a socket, as far as it does."""

    wanted: Wanted
    opening: Opening
    due: Millis
    reason: str
    is_exposed: bool
    since: Millis

    @property
    def rank(self) -> tuple[bool, bool, Millis, AccountId]:
        """Those whose key is bad come last; of the others, those with something at stake first, then whoever waits longest."""
        return (self.reason == REFUSED, not self.is_exposed, self.since, self.wanted.account)


def plan(
    accounts: Iterable[Wanted],
    connections: Iterable[Connection],
    now: Millis,
    places: Mapping[str, Place],
    policy: PlanPolicy | None = None,
) -> tuple[Action, ...]:
    """What is to be done at `now`, in order: first what ends, then what begins, exposed accounts first. An account whose row did not change
    and that has a socket is never touched. Every place that an account names must be in `places`."""
    wanted = {each.account: each for each in accounts}
    known = {each.account: each for each in connections}
    stops = [Stop(account) for account in sorted(known.keys() - wanted.keys())]
    rules = policy or PlanPolicy()
    found = (_candidate(each, known.get(account), places[each.place], now, rules) for account, each in wanted.items())
    candidates = sorted((each for each in found if each is not None), key=lambda each: each.rank)
    return (*stops, *_admit(candidates, now, dict(places)))


def _candidate(wanted: Wanted, found: Connection | None, place: Place, now: Millis, policy: PlanPolicy) -> _Candidate | None:
    """What an account needs, if it needs anything."""
    if found is None:
        return _of(wanted, None, Start(wanted.account), now, BUDGET, Millis(0))
    if found.revision != wanted.revision:
        return _of(wanted, found, Restart(wanted.account), now, BUDGET, found.dark_since or now)
    if found.failed_at is not None:
        due = Millis(found.failed_at + policy.retry_ms(found.failures))
        return _of(wanted, found, Reconnect(wanted.account, REFUSED), due, REFUSED, found.failed_at)
    if found.dark_since is None:
        return None
    # while the venue wants silence, darkness is nobody's fault
    since = max(found.dark_since, found.began, place.closed_until)
    due = Millis(since + policy.patience_ms(found.reconnects))
    return _of(wanted, found, Reconnect(wanted.account, DARK), due, DARK, found.dark_since) if due <= now else None


def _of(wanted: Wanted, found: Connection | None, opening: Opening, due: Millis, reason: str, since: Millis) -> _Candidate:
    exposed = wanted.is_exposed or (found is not None and found.is_exposed)
    return _Candidate(wanted=wanted, opening=opening, due=due, reason=reason, is_exposed=exposed, since=since)


def _admit(candidates: Iterable[_Candidate], now: Millis, places: dict[str, Place]) -> list[Action]:
    """Those that may begin at once, and until when the others wait. Nobody overtakes at a place: a heavy opening is not starved by light
    ones."""
    actions: list[Action] = []
    taken: dict[str, Millis] = {}
    for each in candidates:
        account, name = each.wanted.account, each.wanted.place
        place = places[name]
        if each.due > now:
            actions.append(Wait(account, each.due, each.reason))
            continue
        free_at = taken.get(name) or place.free_at(each.wanted.weight, now)
        if free_at > now:
            taken[name] = free_at
            actions.append(Wait(account, free_at, CLOSED if place.closed_until > now else BUDGET))
            continue
        places[name] = place.after(now, each.wanted.weight)
        actions.append(each.opening)
    return actions
