"""What a reading of the books proves. One rule: an interval is proven only when nothing in it is unexplained; what is unexplained stays
open, is told, and survives a restart.

Unexplained are: an order that says more than its fills, a trade that the cash history names and no fill tells, a leg that its fills do not
give, a question that the venue refuses. For a while they are read again; then they are disputed: told as mismatches. A disputed account
may be live, and history is read on (`read_until`), but `proven_until` stays where it is until the last of them is explained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from userstream.domain.account import Account, Doubt
from userstream.domain.events import NO_TIME, Event, Filled, FilledBefore, GapOpened, GapRepaired, OrderChanged, SnapshotTaken
from userstream.domain.orders import cared_sum, is_short
from userstream.domain.words import Source
from userstream.kernel.amount import ZERO
from userstream.kernel.ids import Millis, OrderId, Symbol
from userstream.wire.doubts import DISPUTED_AFTER, Doubts, Mismatches, key_of, settle_unsure_legs
from userstream.wire.hearing import DEAF
from userstream.wire.question import Question
from userstream.wire.recovery import MOST_DOUBLINGS, Policy, Round

Place: TypeAlias = tuple[str, str]
"""Subject and key, as a mismatch has them."""

HELD_OPEN: Final = frozenset({"position", "fills"})
"""Mismatches of these subjects mean that a fill may be missing, whatever the last reading found."""


class Proof:
    """`is_proven`: history is complete beyond the moment since when the stream delivers. `is_read`: it was read beyond it, and what is
    unexplained in it is disputed. `lit_at`: that moment, the venue's time (None: it never delivered); `lit_now`: our own."""

    def __init__(self, account: Account, policy: Policy, doubts: Doubts, mismatches: Mismatches) -> None:
        self._account, self._policy, self._doubts, self._mismatches = account, policy, doubts, mismatches
        self.lit_at: Millis | None = None
        self.lit_now = Millis(0)
        self.is_proven = self.is_read = False
        self.repaired_fills: list[Millis] = []
        self._unexplained: list[Place] = []
        self._explained: list[Place] = []
        self._readings_of: dict[Place, int] = {}
        self._tries = 0

    def take_up(self) -> None:
        """What an earlier run read, and ended before it could prove that, is of the repair as well."""
        fills = (fill for known in self._account.fills.values() for fill in known.values() if fill.source is Source.SNAPSHOT)
        self.repaired_fills = [fill.transaction_time for fill in fills if fill.transaction_time > self._account.proven_until]

    def lose(self, venue_now: Millis, now: Millis) -> None:
        """Before this moment the stream may have kept something back."""
        self.lit_at, self.lit_now = venue_now, now
        self.is_proven = self.is_read = False

    @property
    def is_settled(self) -> bool:
        """Whether what is unexplained, if anything, was told as a mismatch."""
        return all(place in self._mismatches.open for place in self._unexplained)

    def note_recovered(self, fills: Sequence[Filled], wall: Millis) -> list[Event]:
        """Fills that only the books told. Where one is older than the open gap, and nothing proved its time, the gap begins with it: the
        stream kept back more than was known."""
        since, proven = self._account.gap_since, self._account.proven_until
        if since is None:
            return []
        times = [fill.transaction_time for fill in fills if fill.transaction_time > proven]
        self.repaired_fills += times
        earlier = min(times, default=since) if proven else since
        return [self.gap(earlier, DEAF, wall)] if earlier < since else []

    def gap(self, since: Millis, reason: str, wall: Millis) -> GapOpened:
        return GapOpened(account=self._account.id, venue=self._account.venue, received_time=wall, since=since, reason=reason)

    def leaves_open(self, place: Place) -> bool:
        """Whether it was told as a mismatch, and no reading has explained it since."""
        return place in self._mismatches.open and place not in self._explained

    @property
    def reason(self) -> str:
        """Why the account may be live, one line for people."""
        return "proven" if self.is_proven else f"read, but not proven: {_words(self._unexplained)}"

    @property
    def again_ms(self) -> int | None:
        """When to read again what is unexplained, ever more rarely; None when nothing is."""
        if not self._unexplained:
            return None
        return min(self._policy.history_ms, self._policy.lag_ms << min(self._tries - 1, MOST_DOUBLINGS))

    # --- the end of a full reading ---

    def weigh(self, finished: Round, wall: Millis) -> list[Event]:
        """What the reading did not explain. What it did explain is told at the conclusion, once all of the rest is told too."""
        until = self._provable(finished)
        if not finished.refused:
            settle_unsure_legs(self._account, finished, until)
        anchored = {(anchor.symbol, anchor.order_id) for anchor in self._anchors(finished)}
        short = [order for order in self._short_orders(finished, until) if (order.symbol, order.order_id) not in anchored]
        unknown = finished.unknown_trades(self._account)
        self._explained = self._explained_by(finished)
        legs = [doubt for doubt in self._account.doubts if doubt.subject == "position" and self._doubts.was_asked(doubt)]
        places = [("order", f"{order.symbol}.{order.order_id}") for order in short]
        places += [("fills", ".".join(trade)) for trade in unknown]
        places += [("position", key_of(doubt)) for doubt in legs]
        places += [("question", name_of(question)) for question in finished.refused]
        places += [place for place in self._mismatches.open if place[0] in HELD_OPEN and place not in self._explained]
        self._unexplained = list(dict.fromkeys(places))
        self._readings_of = {place: self._readings_of.get(place, 0) + 1 for place in self._unexplained}
        self._tries = self._tries + 1 if self._unexplained else 0
        return self._dispute_trades(unknown, finished, wall) if self._tries >= DISPUTED_AFTER else []

    @property
    def lasting_legs(self) -> list[Doubt]:
        """The doubts about legs that so many full readings did not explain, and nobody was told of: they hold up the account no longer."""
        legs = [doubt for doubt in self._account.doubts if doubt.subject == "position"]
        tries = {doubt: self._readings_of.get(("position", key_of(doubt)), 0) for doubt in legs}
        return [doubt for doubt in legs if tries[doubt] >= DISPUTED_AFTER and ("position", key_of(doubt)) not in self._mismatches.open]

    def _provable(self, finished: Round) -> Millis:
        return Millis(finished.started - self._policy.lag_ms)

    def _explained_by(self, finished: Round) -> list[Place]:
        """A trade is explained by its fill alone, once that is whole; most other things by a reading that lacks no answer and does not find
        them any more."""
        explained = [place for place in self._mismatches.open if place[0] == "fills"]
        if explained:
            known = {f"{symbol}.{key[0]}" for symbol, fills in self._account.fills.items() for key in fills}
            known -= {".".join(trade) for trade in finished.unknown_trades(self._account)}
            explained = [(subject, key) for subject, key in explained if key in known]
        return explained if finished.refused else explained + self._mismatches.older_than(finished.epoch)

    def _short_orders(self, finished: Round, until: Millis) -> list[OrderChanged]:
        """Orders that lack a fill which may be older than `until`. One that has just changed may wait for a message that is on its way,
        unless it was asked about already. Of one that the books told, whose fills were asked for in vain, the first may be lacking."""
        short: list[OrderChanged] = []
        for doubt in self._account.doubts:
            order = self._account.orders.get((doubt.symbol, OrderId(doubt.key), False)) if doubt.subject == "order" else None
            if order is None or order.created_time > until or not is_short(self._account, order):
                continue
            in_vain = order.source is not Source.STREAM and finished.asked_fills_of(order)
            if order.transaction_time <= until or self._doubts.was_asked(doubt) or in_vain:
                short.append(order)
        return short

    def _dispute_trades(self, unknown: list[tuple[Symbol, str]], finished: Round, wall: Millis) -> list[Event]:
        facts: list[Event] = []
        for trade in unknown:
            key = ".".join(trade)
            facts += self._mismatches.note("fills", key, "not known", "in the cash history", epoch=finished.epoch, wall=wall)
        return facts

    def _anchors(self, finished: Round) -> tuple[FilledBefore, ...]:
        """Orders older than our care: what their fills since its beginning do not explain was filled before. What changed so lately that
        a fill may still be on its way waits for the next reading."""
        account, until = self._account, self._provable(finished)
        began = finished.since if finished.lost_since or not account.began else account.began
        anchors: list[FilledBefore] = []
        for order in account.orders.values():
            key = (order.symbol, order.order_id)
            known, created = account.anchors.get(key), finished.created.get(key, order.created_time)
            if order.conditional or not 0 < created < began or order.transaction_time > until or (known and known.before >= began):
                continue
            before = order.filled_quantity - cared_sum(account, *key, began)
            if before >= ZERO:
                anchors.append(FilledBefore(*key, before, began))
        return tuple(anchors)

    def conclude(self, finished: Round, read_until: Millis, wall: Millis) -> list[Event]:
        """The facts of a full reading that is settled. `read_until`: how far back ours ended (venue time)."""
        account, until = self._account, self._provable(finished)
        is_read, facts = not finished.refused, self._settle(wall)
        if finished.lost_since and is_read:
            ours, theirs = f"read until {read_until}", f"kept since {finished.since}"
            facts += self._mismatches.note("history", str(read_until), ours, theirs, epoch=finished.epoch, wall=wall)
        snapshot = self.snapshot(finished, account.proven_until if self._unexplained else until, wall)
        return [
            *facts,
            msgspec.structs.replace(
                snapshot,
                read_since=finished.since if finished.lost_since else self._read_since(finished),
                read_until=until if self._unexplained and is_read else NO_TIME,
                lost_since=finished.lost_since if is_read else NO_TIME,
                filled_before=self._anchors(finished) if is_read else (),
                asked_time=finished.asked_time,
                unexplained=finished.unexplained,
            ),
        ]

    def _settle(self, wall: Millis) -> list[Event]:
        """The end of the mismatches that the reading explained; not before what it could not explain is told, or between the two a live
        account with a gap would show no reason for it."""
        explained, self._explained = self._explained, []
        return [fact for subject, key in explained for fact in self._mismatches.settle(subject, key, wall)]

    def _read_since(self, finished: Round) -> Millis:
        """From where on everything was read, by this reading and by those before it that could not prove what they read."""
        return min(finished.since, self._account.proven_until or self._account.began or finished.since)

    def snapshot(self, finished: Round, proven: Millis, wall: Millis) -> SnapshotTaken:
        return SnapshotTaken(
            account=self._account.id,
            venue=self._account.venue,
            received_time=wall,
            source=Source.SNAPSHOT,
            epoch=finished.epoch,
            reason=finished.reason,
            started_time=finished.started,
            proven_until=proven,
            read_since=proven,
            weight=finished.weight,
        )

    def is_confirmed_by(self, finished: Round) -> bool:
        """Whether the reading includes the moment since when the stream delivers."""
        return self.lit_at is not None and self._provable(finished) >= self.lit_at

    def confirm(self, wall: Millis) -> list[Event]:
        """A reading that included that moment is settled: the account may be live, and what is proven is a gap no more."""
        self.is_read, self.is_proven = True, not self._unexplained
        since = self._account.gap_since
        if not self.is_proven or since is None or self.lit_at is None:
            return []
        fills = sum(since <= time < self.lit_at for time in self.repaired_fills)
        self.repaired_fills = [time for time in self.repaired_fills if time >= self.lit_at]
        repaired = GapRepaired(
            account=self._account.id,
            venue=self._account.venue,
            received_time=wall,
            source=Source.SNAPSHOT,
            since=since,
            until=self.lit_at,
            fills=fills,
            read_since=max(since, self._account.began),
        )
        return [repaired]


def name_of(question: Question) -> str:
    """The question without its times: the same in every reading."""
    symbol, order_id = getattr(question, "symbol", None), getattr(question, "order_id", "")
    return " ".join(part for part in (type(question).__name__, symbol or "", order_id or getattr(question, "order_list_id", "")) if part)


def _words(places: list[Place]) -> str:
    first = " ".join(places[0]) if places else "nothing"
    return first if len(places) < 2 else f"{first} and {len(places) - 1} more"
