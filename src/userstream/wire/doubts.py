"""Which doubts have stayed open too long, and which of them became mismatches: messages of one execution arrive in any order, so each
doubt gets its time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from userstream.domain.account import Account, Doubt
from userstream.domain.events import Event, Mismatch
from userstream.domain.fold import apply
from userstream.domain.words import PositionSide, Source
from userstream.kernel.amount import ZERO, plain_amount
from userstream.kernel.ids import Millis, OrderId
from userstream.wire.recovery import MOST_DOUBLINGS, Policy, Round

DISPUTED_AFTER: Final = 3
"""After so many questions that did not settle it, a doubt is a mismatch."""

LASTING: Final = frozenset({"history", "fills"})
"""What another reading cannot explain: it does not read that far back any more."""


class Waiting(msgspec.Struct):
    number: int
    due: Millis
    tries: int = 0


class Doubts:
    """Keeps the time that the pure account does not know."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._waiting: dict[Doubt, Waiting] = {}

    @property
    def are_waiting(self) -> bool:
        """Whether some were weighed and not found settled yet."""
        return bool(self._waiting)

    def weigh(self, account: Account, now: Millis) -> tuple[list[Doubt], list[Doubt]]:
        """The doubts that are due to be asked about now, and those that have been settled since."""
        open_doubts = account.doubts
        settled = [doubt for doubt, waiting in self._waiting.items() if open_doubts.get(doubt) != waiting.number]
        for doubt in settled:
            del self._waiting[doubt]
        due: list[Doubt] = []
        for doubt, number in open_doubts.items():
            waiting = self._waiting.get(doubt)
            if waiting is None:
                self._waiting[doubt] = Waiting(number, Millis(now + self._limit_ms(doubt)))
            elif waiting.due <= now:
                due.append(doubt)
        return due, settled

    def asked(self, doubt: Doubt, now: Millis) -> int:
        """A due doubt was asked about: it waits longer each time. Returns how often it had been asked about before."""
        waiting = self._waiting[doubt]
        waiting.tries += 1
        waiting.due = Millis(now + min(self._policy.history_ms, self._limit_ms(doubt) * 2 ** min(waiting.tries + 1, MOST_DOUBLINGS)))
        return waiting.tries - 1

    def was_asked(self, doubt: Doubt) -> bool:
        """Whether it stayed open so long that it was asked about at least once."""
        waiting = self._waiting.get(doubt)
        return waiting is not None and waiting.tries > 0

    def _limit_ms(self, doubt: Doubt) -> int:
        return self._policy.order_doubt_ms if doubt.subject == "order" else self._policy.position_doubt_ms


def settle_unsure_legs(account: Account, finished: Round, proven_until: Millis) -> None:
    """A full reading proved that no fill is missing: what stays open about a leg whose sums never had an exact beginning is no disagreement
    if the books say what the venue told. Nothing is published."""
    for doubt in [doubt for doubt in account.doubts if doubt.subject == "position"]:
        key = (doubt.symbol, PositionSide(doubt.key))
        if (watch := account.watches.get(key)) is not None and watch.accept_if_unsure(finished.amount_of(key), proven_until):
            account.note_leg(key, watch)


def is_unsure(account: Account, doubt: Doubt) -> bool:
    """Whether a full reading may settle the doubt: it is about a leg whose sums never had an exact beginning."""
    watch = account.watches.get((doubt.symbol, PositionSide(doubt.key))) if doubt.subject == "position" else None
    return watch is not None and not watch.is_exact


class Mismatches:
    """The disagreements that are open, each told once and once more when it is explained, over restarts. `epoch` numbers the readings of
    the books."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._found_in: dict[tuple[str, str], int] = {}

    @property
    def open(self) -> Mapping[tuple[str, str], Mismatch]:
        return self._account.mismatches

    def note(self, subject: str, key: str, ours: str, theirs: str, *, epoch: int, wall: Millis, cause: str = "") -> list[Event]:
        """A disagreement was found in this reading, or while it was the last one."""
        self._found_in[subject, key] = epoch
        if (subject, key) in self.open:
            return []
        mismatch = Mismatch(
            account=self._account.id,
            venue=self._account.venue,
            received_time=wall,
            source=Source.SNAPSHOT,
            subject=subject,
            key=key,
            ours=ours,
            theirs=theirs,
            since=wall,
            cause=cause,
        )
        apply(self._account, mismatch)
        return [mismatch]

    def settle(self, subject: str, key: str, wall: Millis) -> list[Event]:
        """The two agree again."""
        mismatch = self.open.get((subject, key))
        if mismatch is None:
            return []
        self._found_in.pop((subject, key), None)
        resolved = msgspec.structs.replace(mismatch, received_time=wall, sequence=0, resolved=True)
        apply(self._account, resolved)
        return [resolved]

    def older_than(self, epoch: int) -> list[tuple[str, str]]:
        """What earlier readings had found, and this one found no more. What is in doubt is not explained by that, nor is an interval that
        nobody keeps any more, nor a trade whose fill is still not known."""
        doubted = {(doubt.subject, key_of(doubt)) for doubt in self._account.doubts}
        found = {place: self._found_in.get(place, 0) for place in self.open}
        return [place for place, last in found.items() if last < epoch and place not in doubted and place[0] not in LASTING]


def key_of(doubt: Doubt) -> str:
    """What a doubt is about, as the mismatch names it that it may become."""
    return f"{doubt.symbol}.{doubt.key}" if doubt.symbol else doubt.key


def both_sides(account: Account, doubt: Doubt) -> tuple[str, str]:
    """What we say and what the venue says, for people."""
    symbol = doubt.symbol
    if doubt.subject == "position":
        watch = account.watches[symbol, PositionSide(doubt.key)]
        return plain_amount(watch.expected), plain_amount(watch.told)
    if doubt.subject == "order":
        order = account.orders.get((symbol, OrderId(doubt.key), False))
        told = "not known" if order is None else plain_amount(order.filled_quantity)
        return f"fills of {plain_amount(account.fill_sums.get((symbol, OrderId(doubt.key)), ZERO))}", told
    known = account.positions[symbol, PositionSide(doubt.key)].amount if symbol else account.balances[doubt.key].total
    return f"{plain_amount(known)} by one socket", "another amount of the same time by another"
