"""When to read the venue's books and what the answers prove: rounds after a gap, confirming rounds, audits, doubts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from userstream.domain.account import Account, Doubt
from userstream.domain.events import (
    BalanceSet,
    Event,
    Filled,
    GapRepaired,
    Mismatch,
    PositionSet,
    SnapshotTaken,
    Unrecognized,
)
from userstream.domain.fold import apply, forget, newest_time
from userstream.domain.registers import empty_balance, flat_position
from userstream.domain.words import FINAL, PositionSide, Source
from userstream.kernel.amount import ZERO
from userstream.kernel.errors import (
    AuthenticationError,
    ClockSkewed,
    DecodeError,
    OrderNotFound,
    RequestRefused,
    RetryLater,
    UserStreamError,
)
from userstream.kernel.ids import Millis, OrderId, Symbol
from userstream.wire.doubts import DISPUTED_AFTER, Doubts, Mismatches, is_unsure, key_of, settle_unsure_legs
from userstream.wire.feed import NEVER, Wish
from userstream.wire.inquiry import Inquiries, Inquiry
from userstream.wire.pacing import Backoff, VenueClock, jitter
from userstream.wire.question import Answer, AskClock, AskOrder, Question, RestDialect
from userstream.wire.recovery import Policy, Round, absent_keys, questions_of
from userstream.wire.request import HttpRequest, HttpResponse

CLOCK_MS: Final = 600_000
SUSPICION_PAUSE_MS: Final = 60_000
MISSED_AFTER_MS: Final = 1_000
NOT_FOUND_TRIES: Final = 3
REFUSED_PAUSE_MS: Final = 30_000


class Books:
    """The account's dealings with the venue's REST. `is_proven`: history is complete beyond the moment the stream opened."""

    def __init__(self, dialect: RestDialect, account: Account, clock: VenueClock, policy: Policy, *, seed: int) -> None:
        self._dialect, self._account, self._clock, self._policy, self._seed = dialect, account, clock, policy, seed
        self._inquiries = Inquiries(dialect, Backoff(max_delay_ms=policy.longest_retry_ms, seed=seed))
        self._round: Round | None = None
        self._epoch = 0
        self._again = ""
        self._again_from = Millis(0)
        self._lit_at: Millis | None = None
        self._lit_now = Millis(0)
        self._proven = False
        self._unexplained = 0
        self._confirm_at = NEVER
        self._next_audit = NEVER
        self._next_history = NEVER
        self._next_poll = Millis(0)
        self._next_clock = Millis(0)
        self._settings_read = False
        self._clock_read = Millis(0)
        self._began = Millis(0)
        self._started = Millis(0)
        self._last_round = Millis(0)
        self._round_at = Millis(0)
        self._read_at: Millis | None = None
        self._repaired_fills = 0
        self._doubts = Doubts(policy)
        self._mismatches = Mismatches(account)
        self._suspected = Millis(-SUSPICION_PAUSE_MS)
        self.lit = False
        self.polling = False
        self.suspicion = ""
        self.error: AuthenticationError | None = None
        self.missed_by_stream = 0
        self.recovered_fills = 0
        self.rounds = 0

    # --- what the machine asks ---

    @property
    def is_proven(self) -> bool:
        return self._proven

    @property
    def mismatches(self) -> Mapping[tuple[str, str], Mismatch]:
        """The open ones, by subject and key."""
        return self._mismatches.open

    @property
    def watermark(self) -> Millis:
        """Everything before it was read: proven, or older than our care. When the venue's clock is set back, it goes back too."""
        known = self._account.proven_until or self._began
        return known if self._read_at is None else min(known, Millis(self._clock.at(self._read_at) - self._policy.lag_ms))

    def start(self, now: Millis) -> None:
        self._started = now
        self._ask_clock(now)

    def _ask_clock(self, now: Millis) -> None:
        self._inquiries.ask([AskClock()], urgent=True, for_round=False)
        self._next_clock = Millis(now + CLOCK_MS)

    def stream_opened(self, venue_now: Millis, now: Millis) -> None:
        """A socket delivers after darkness: what lies before must be read, and read again once the venue's lag has passed."""
        self._again_from = now
        self.message_lost("the stream opened", venue_now, now)

    def message_lost(self, reason: str, venue_now: Millis, now: Millis) -> None:
        """Before this moment the stream may have kept something back: nothing is proven until history includes the moment."""
        self._lit_at, self._lit_now, self._proven = venue_now, now, False
        self._confirm_at = NEVER
        self.read_again(reason)

    def read_again(self, reason: str) -> None:
        """Something may have been missed: a full round as soon as none is running, but not one after the other without a pause."""
        self._again = self._again or reason

    def take_wishes(self) -> list[Wish]:
        wishes: list[Wish] = list(self._inquiries.wishes)
        self._inquiries.wishes.clear()
        return wishes

    @property
    def has_wishes(self) -> bool:
        return bool(self._inquiries.wishes)

    def prepare(self, ask: int, now: Millis) -> HttpRequest | None:
        return self._inquiries.prepare(ask, now, self._clock.at(now))

    def deadline(self) -> Millis:
        times = [self._inquiries.deadline(), self._next_clock]
        if self._round is None and self._clock.is_measured:
            times.append(self._confirm_at)
            times += [self._next_audit, self._next_history] if self.lit else []
            times += [self._again_from] if self.lit and self._again else []
            times += [self._next_poll] if self.polling else []
        return min(times)

    def tick(self, now: Millis) -> None:
        self._inquiries.tick(now)
        if self._next_clock <= now:
            self._ask_clock(now)

    # --- rounds ---

    def care(self, now: Millis) -> None:
        """Begins what is due."""
        if self._round is not None or not self._clock.is_measured:
            return
        reason, full = self._due(now)
        if reason:
            self._begin(reason, full, now)

    def _due(self, now: Millis) -> tuple[str, bool]:
        if self._again and self.lit and self._again_from <= now:
            return self._again, True
        if self._confirm_at <= now:
            return "confirming", True
        if self.lit and self._next_history <= now:
            return "history", True
        if self.lit and self._next_audit <= now:
            return "audit", False
        if self.polling and self._next_poll <= now:
            return "polling", True
        return "", False

    def _begin(self, reason: str, full: bool, now: Millis) -> None:
        venue_now = self._clock.at(now)
        if not self._began:
            self._began = self._beginning()
        if self._lit_at is not None and not self._proven:
            self._lit_at = self._clock.at(self._lit_now)  # the clock may be known better by now
        if full:
            self._again, self._again_from = "", Millis(now + self._policy.lag_ms)
            self._confirm_at = NEVER
        self._next_poll = Millis(now + self._policy.poll_ms)
        overlap = self._policy.overlap_ms if self._account.proven_until else 0
        read = self.watermark if full else max(self.watermark, self._last_round - self._policy.lag_ms)
        read = min(read, venue_now)  # an earlier run may have been told a later time
        since = max(read - overlap, venue_now - self._dialect.history_depth_ms())
        self._last_round, self._round_at = venue_now, now
        self._epoch = max(self._epoch, self._account.epoch) + 1
        self._round = Round(
            epoch=self._epoch,
            reason=reason,
            full=full,
            settings=full and (not self._settings_read or not self._proven or reason == "history"),
            started=venue_now,
            since=Millis(since),
            cut=since > read,
            movements=self._dialect.asks_movements(),
        )
        self._ask_round(now)

    def _beginning(self) -> Millis:
        """Where our care begins: at the start, however late the clock is measured, or with what an earlier, never proven run missed."""
        since = Millis(self._clock.at(self._started) - self._policy.backfill_ms)
        return since if self._account.gap_since is None else min(since, self._account.gap_since)

    def _ask_round(self, now: Millis) -> None:
        assert self._round is not None
        questions = self._round.take_ready()
        self._inquiries.ask(questions, urgent=self._account.is_exposed, for_round=True)

    def _end(self, now: Millis, wall: Millis) -> list[Event]:
        finished = self._round
        assert finished is not None
        unknown = finished.unknown_trades(self._account) if finished.full else []
        self._round = None
        self._plan_audits(now, finished.full)
        self._repaired_fills += finished.new_fills
        if unknown:
            return self._unexplained_trades(finished, unknown, now, wall)
        self.rounds += 1
        facts: list[Event] = []
        proven, read_until = self._account.proven_until, self.watermark
        if finished.full:
            self._settings_read, self._unexplained, self._read_at = True, 0, self._round_at
            proven = Millis(finished.started - self._policy.lag_ms)
            settle_unsure_legs(self._account, finished, proven)
            facts = self._mismatches.settle_older(finished.epoch, wall) + self._cut_history(finished, read_until, wall)
        facts.append(self._snapshot(finished, proven, wall))
        return self._applied(facts) + self._after_round(finished, now, wall)

    def _unexplained_trades(self, finished: Round, unknown: list[tuple[Symbol, str]], now: Millis, wall: Millis) -> list[Event]:
        """The cash history names trades that no fill explains: read again when the venue's lag has passed, then ever more rarely."""
        self._confirm_at = Millis(now + min(self._policy.history_ms, self._policy.lag_ms * 2**self._unexplained))
        self._unexplained += 1
        if self._unexplained == 1:
            return []
        key, ours = ".".join(unknown[0]), f"{len(unknown)} not known"
        return self._mismatches.note("fills", key, ours, "in the cash history", epoch=finished.epoch, wall=wall)

    def _cut_history(self, finished: Round, read_until: Millis, wall: Millis) -> list[Event]:
        """Says so when the venue's history does not reach back to where ours ends."""
        if not finished.cut:
            return []
        ours, theirs = f"read until {read_until}", f"kept since {finished.since}"
        return self._mismatches.note("history", str(read_until), ours, theirs, epoch=finished.epoch, wall=wall)

    def _after_round(self, finished: Round, now: Millis, wall: Millis) -> list[Event]:
        if not finished.full:
            return []
        # what the venue dates later than this is never taken for forgotten, even while the time it states runs ahead of its books
        past = min(self.watermark, newest_time(self._account))
        forget(self._account, Millis(max(0, past - 2 * self._policy.overlap_ms)))
        if self._lit_at is None or not self.lit:
            return []
        if finished.started - self._policy.lag_ms < self._lit_at:
            self._confirm_at = Millis(max(now, self._lit_now + self._policy.lag_ms + self._policy.margin_ms))
            return []
        self._proven = True
        return self._repair_gap(wall)

    def _repair_gap(self, wall: Millis) -> list[Event]:
        since, fills = self._account.gap_since, self._repaired_fills
        self._repaired_fills = 0
        if since is None or self._lit_at is None:
            return []
        repaired = GapRepaired(
            account=self._account.id,
            venue=self._account.venue,
            received_time=wall,
            source=Source.SNAPSHOT,
            since=since,
            until=self._lit_at,
            fills=fills,
        )
        return self._applied([repaired])

    def _plan_audits(self, now: Millis, full: bool) -> None:
        spread = 0.75 + 0.5 * jitter(self._seed, now)
        self._next_audit = Millis(int(now + self._policy.audit_ms * spread))
        if full:
            self._next_history = Millis(int(now + self._policy.history_ms * spread))

    def _snapshot(self, finished: Round, proven: Millis, wall: Millis) -> SnapshotTaken:
        return SnapshotTaken(
            account=self._account.id,
            venue=self._account.venue,
            received_time=wall,
            source=Source.SNAPSHOT,
            epoch=finished.epoch,
            reason=finished.reason,
            started_time=finished.started,
            proven_until=proven,
            read_since=finished.since if finished.full else proven,
            weight=finished.weight,
        )

    # --- answers ---

    def answered(self, ask: int, response: HttpResponse, now: Millis, wall: Millis) -> list[Event]:
        inquiry = self._inquiries.find(ask)
        if inquiry is None:
            return []
        try:
            answer = self._dialect.answer(inquiry.question, response, inquiry.as_of, wall)
        except UserStreamError as error:
            return self._refused(inquiry, error, response, now, wall)
        self._inquiries.done(inquiry)
        if isinstance(inquiry.question, AskClock):
            self._read_clock(inquiry, answer, now)
            return []
        return self._take(inquiry, answer, now, wall)

    def _read_clock(self, inquiry: Inquiry, answer: Answer, now: Millis) -> None:
        """An answer that was long on its way (a process that stood still) may be wrong by half of it, and the overlap must cover that."""
        if now - inquiry.sent > self._policy.overlap_ms:
            self._inquiries.ask([AskClock()], urgent=True, for_round=False)
        elif answer.venue_time is not None:
            self._clock_read = now
            self._clock.sample(inquiry.sent, now, answer.venue_time)

    def _take(self, inquiry: Inquiry, answer: Answer, now: Millis, wall: Millis) -> list[Event]:
        facts = self._learn(inquiry, answer, now, wall)
        current = self._round
        if not inquiry.for_round or current is None:
            self._inquiries.ask(answer.more, urgent=inquiry.urgent, for_round=False)
            return facts
        current.new_fills += sum(isinstance(fact, Filled) for fact in facts)
        current.weight += self._dialect.weight(inquiry.question)
        current.take(inquiry.question, answer, self._account)
        self._ask_round(now)
        if not current.full and any(_is_old(fact, inquiry.as_of - self._policy.lag_ms) for fact in facts):
            self._again = "the audit found a difference"
        return facts + (self._end(now, wall) if current.is_done else [])

    def _learn(self, inquiry: Inquiry, answer: Answer, now: Millis, wall: Millis) -> list[Event]:
        """Applies what was answered; what only REST told of a time when a socket was open was missed by the stream."""
        facts = self._applied([*answer.events, *self._absent(inquiry, answer, now, wall)])
        fills = [fact for fact in facts if isinstance(fact, Filled)]
        self.recovered_fills += len(fills)
        missed = [fill for fill in fills if self._was_missed(fill, inquiry.as_of)]
        self.missed_by_stream += len(missed)
        if missed and inquiry.as_of - self._suspected > SUSPICION_PAUSE_MS:
            self._suspected = inquiry.as_of
            self.suspicion = "the venue's history holds fills that the stream did not tell"
        return facts

    def _was_missed(self, fill: Filled, as_of: Millis) -> bool:
        if not self.lit or self._lit_at is None:
            return False
        return self._lit_at + MISSED_AFTER_MS < fill.transaction_time < as_of - self._policy.lag_ms

    def _absent(self, inquiry: Inquiry, answer: Answer, now: Millis, wall: Millis) -> list[Event]:
        events: list[Event] = []
        for known in absent_keys(self._account, answer, inquiry.question):
            if isinstance(known, PositionSet):
                events.append(flat_position(known, inquiry.as_of, self._policy.lag_ms, wall, self._clock.at(now)))
            else:
                events.append(empty_balance(known, inquiry.as_of, self._policy.lag_ms, wall))
        return events

    def _applied(self, events: list[Event]) -> list[Event]:
        return [news for event in events if (news := apply(self._account, event)) is not None]

    def _refused(self, inquiry: Inquiry, error: UserStreamError, response: HttpResponse, now: Millis, wall: Millis) -> list[Event]:
        match error:
            case AuthenticationError():
                self.error = error
                return []
            case ClockSkewed():
                if inquiry.sent >= self._clock_read:  # else it was signed before the clock was read again
                    self._clock.doubt()
                    self._inquiries.ask([AskClock()], urgent=True, for_round=False)
                self._inquiries.retry(inquiry, now, None)
            case RetryLater():
                self._inquiries.retry(inquiry, now, error.after_ms)
            case OrderNotFound() if isinstance(inquiry.question, AskOrder):
                return self._order_not_found(inquiry, inquiry.question, now, wall)
            case DecodeError() | RequestRefused():
                # half an answer is trouble on the way and soon over; a refusal stays one until something else changes
                self._inquiries.retry(inquiry, now, None if isinstance(error, DecodeError) else REFUSED_PAUSE_MS)
                return self._unreadable(inquiry.question, error, response, wall) if inquiry.failures == 1 else []
            case _:
                self._inquiries.retry(inquiry, now, None)
        return []

    def _unreadable(self, question: Question, error: UserStreamError, response: HttpResponse, wall: Millis) -> list[Event]:
        return [
            Unrecognized(
                account=self._account.id,
                venue=self._account.venue,
                received_time=wall,
                source=Source.SNAPSHOT,
                name=f"answer {type(question).__name__}",
                reason=str(error),
                sample=response.body[:200].decode("utf-8", "backslashreplace"),
            )
        ]

    def _order_not_found(self, inquiry: Inquiry, question: AskOrder, now: Millis, wall: Millis) -> list[Event]:
        """History may lag, so the question is repeated; in the end the order stays as it is and the disagreement is shown."""
        inquiry.not_found += 1
        if inquiry.not_found <= NOT_FOUND_TRIES:
            self._inquiries.retry(inquiry, now, self._policy.lag_ms)
            return []
        self._inquiries.done(inquiry)
        facts: list[Event] = []
        current = self._round
        order = self._account.orders.get((question.symbol, question.order_id, question.conditional))
        if order is not None and order.status not in FINAL:
            epoch, key = self._epoch, f"{question.symbol}.{question.order_id}"
            facts = self._mismatches.note("order", key, order.status, "not known to the venue", epoch=epoch, wall=wall)
        if inquiry.for_round and current is not None:
            current.close(question)
            if current.is_done:
                facts += self._end(now, wall)
        return facts

    # --- doubts and mismatches ---

    def weigh_doubts(self, now: Millis, wall: Millis) -> list[Event]:
        """Asks what settles the doubts that stayed open too long; called while there are any. Returns facts to publish."""
        due, settled = self._doubts.weigh(self._account, now)
        facts: list[Event] = []
        for doubt in settled:
            if doubt.subject != "position":  # that one is settled by reading all of history
                facts += self._mismatches.settle(doubt.subject, key_of(doubt), wall)
        if self._clock.is_measured and self._began:
            for doubt in due:
                facts += self._ask_about(doubt, now, wall)
        return facts

    def _ask_about(self, doubt: Doubt, now: Millis, wall: Millis) -> list[Event]:
        venue_now = self._clock.at(now)
        since = Millis(max(self.watermark - self._policy.overlap_ms, venue_now - self._dialect.history_depth_ms()))
        questions = questions_of(self._account, doubt, since, venue_now)
        if any(self._inquiries.is_asking(question) for question in questions):
            return []  # an answer that is on its way may settle it
        self._inquiries.ask(questions, urgent=True, for_round=False)
        tries = self._doubts.asked(doubt, now)
        if 0 < tries < DISPUTED_AFTER and is_unsure(self._account, doubt):
            self.read_again(f"position {doubt.symbol} {doubt.key} never had an exact beginning")
        if doubt.subject == "mode":
            del self._account.doubts[doubt]
        return self._dispute(doubt, wall) if tries == DISPUTED_AFTER else []

    def _dispute(self, doubt: Doubt, wall: Millis) -> list[Event]:
        """Asking did not help: the disagreement becomes visible, all of history is read again, and sums go on from the venue's word."""
        self.read_again(f"{doubt.subject} {doubt.symbol} {doubt.key} does not add up")
        ours, theirs = self._both_sides(doubt)
        facts = self._mismatches.note(doubt.subject, key_of(doubt), ours, theirs, epoch=self._epoch, wall=wall)
        if doubt.subject == "position":
            self._account.watches[doubt.symbol, PositionSide(doubt.key)].accept()
            self._account.doubts.pop(doubt, None)
        return facts

    def _both_sides(self, doubt: Doubt) -> tuple[str, str]:
        account, symbol = self._account, doubt.symbol
        if doubt.subject == "position":
            watch = account.watches[symbol, PositionSide(doubt.key)]
            return str(watch.expected), str(watch.told)
        if doubt.subject == "order":
            order = account.orders.get((symbol, OrderId(doubt.key), False))
            told = "not known" if order is None else str(order.filled_quantity)
            return f"fills of {account.fill_sums.get((symbol, OrderId(doubt.key)), ZERO)}", told
        known = account.positions[symbol, PositionSide(doubt.key)].amount if symbol else account.balances[doubt.key].total
        return str(known), "two sockets disagree"


def _is_old(fact: Event, before: int) -> bool:
    """Whether a register's new value is as old as the venue's lag: then the stream should have told it."""
    return isinstance(fact, PositionSet | BalanceSet) and fact.transaction_time <= before
