"""When to read the venue's books and what the answers prove: rounds after a gap, confirming rounds, audits, doubts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from userstream.domain.account import Account, Doubt
from userstream.domain.events import (
    Event,
    Filled,
    Mismatch,
    OrderChanged,
    PositionSet,
    Unrecognized,
)
from userstream.domain.fold import apply, forget
from userstream.domain.orders import gone_order
from userstream.domain.registers import empty_balance, flat_position
from userstream.domain.words import PositionSide, Source
from userstream.kernel.errors import (
    AuthenticationError,
    ClockSkewed,
    DecodeError,
    OrderNotFound,
    RequestRefused,
    RetryLater,
    UserStreamError,
)
from userstream.kernel.ids import Millis, Symbol
from userstream.wire.agenda import HISTORY, ROUTINE, UNHURRIED_MS, Agenda
from userstream.wire.doubts import DISPUTED_AFTER, Doubts, Mismatches, both_sides, is_unsure, key_of
from userstream.wire.feed import NEVER, Wish
from userstream.wire.hearing import DEAF, Hearing
from userstream.wire.holdings import Holdings
from userstream.wire.inquiry import Inquiries, Inquiry
from userstream.wire.pacing import Backoff, VenueClock
from userstream.wire.proof import Proof, name_of
from userstream.wire.question import Answer, AskClock, AskOrder, AskSettings, Question, RestDialect
from userstream.wire.recovery import Policy, Round, absent_debts, absent_keys, forgettable, orders_in_turn, questions_of, symbols_in_care
from userstream.wire.request import HttpRequest, HttpResponse

CLOCK_MS: Final = 600_000
ACCEPTED: Final = "the venue's amount was accepted"
MISSED_AFTER_MS: Final = 1_000
NOT_FOUND_TRIES: Final = 3
REFUSED_PAUSE_MS: Final = 30_000


class Books:
    """The account's dealings with the venue's REST. `is_proven`: history is complete beyond the moment the stream opened.
    `agenda`: the readings to come. `doubts`: which of the account's were weighed."""

    def __init__(self, dialect: RestDialect, account: Account, clock: VenueClock, policy: Policy, *, seed: int) -> None:
        self._dialect, self._account, self._clock, self._policy = dialect, account, clock, policy
        self._inquiries = Inquiries(dialect, Backoff(max_delay_ms=policy.longest_retry_ms, seed=seed))
        self.wishes = self._inquiries.wishes
        self._round: Round | None = None
        self._epoch = 0
        self.agenda = Agenda(policy, seed)
        self._next_clock = Millis(0)
        self._settings_read, self._next_settings = False, Millis(0)
        self._clock_read = Millis(0)
        self._began = self._started = self._last_round = self._round_at = Millis(0)
        self._read_at: Millis | None = None
        self._venue_ahead = 0
        self.doubts = Doubts(policy)
        self._mismatches = Mismatches(account)
        self._proof = Proof(account, policy, self.doubts, self._mismatches)
        self._hearing = Hearing()
        self._unsaid: list[Event] = []
        self._holdings = Holdings(account)
        self.lit = self.polling = False
        self.error: AuthenticationError | None = None
        self.missed_by_stream = self.recovered_fills = self.rounds = 0

    # --- what the machine asks ---

    @property
    def is_proven(self) -> bool:
        return self._proof.is_proven

    @property
    def is_read(self) -> bool:
        """Whether the account may be live: proven, or read, with all that contradicts it told as mismatches."""
        return self._proof.is_read

    @property
    def reason(self) -> str:
        """Why the account may be live, or may not, one line for people."""
        return DEAF if self.is_deaf else self._proof.reason if self.is_read else f"reading the venue's books{self._inquiries.trouble}"

    @property
    def mismatches(self) -> Mapping[tuple[str, str], Mismatch]:
        """The open ones, by subject and key."""
        return self._mismatches.open

    @property
    def watermark(self) -> Millis:
        """Everything before it was read, or is older than our care. When the venue's clock is set back, it goes back too."""
        known, asked = self._account.read_until or self._began, self._account.asked_time
        if self._read_at is not None:
            return min(known, Millis(self._clock.at(self._read_at) - self._policy.lag_ms))
        return min(known, Millis(asked + self._venue_ahead - self._policy.lag_ms)) if asked else known  # an earlier run read it

    def start(self, now: Millis) -> None:
        self._started = now
        self._proof.take_up()
        self._ask_clock(now)

    def _ask_clock(self, now: Millis) -> None:
        self._inquiries.ask([AskClock()], urgent=True, for_round=False)
        self._next_clock = Millis(now + CLOCK_MS)

    def stream_opened(self, venue_now: Millis, now: Millis, *, key_died: bool = False) -> None:
        """A socket delivers after darkness: what lies before must be read, and read again once the venue's lag has passed."""
        self.agenda.read_at_once(now)
        self._hearing.opened(now, key_died=key_died)
        self.message_lost("the stream opened", venue_now, now)

    def note_voice(self, has_spoken: bool, now: Millis) -> None:
        """Whether the newest socket told anything yet."""
        if self._hearing.note_voice(has_spoken, now):
            self.message_lost("the stream speaks again", self._clock.at(now), now)

    @property
    def is_deaf(self) -> bool:
        """Whether the stream is known to keep back fills: the account is not live then, and history is read as often as without one."""
        return self._hearing.is_deaf

    def message_lost(self, reason: str, venue_now: Millis, now: Millis) -> None:
        """Before this moment the stream may have kept something back: nothing is proven until history includes the moment."""
        self._proof.lose(venue_now, now)
        self.agenda.postpone_confirming()
        self.read_again(reason)

    def read_again(self, reason: str) -> None:
        """Something may have been missed: a full round as soon as none is running, but not one after the other without a pause."""
        self.agenda.read_again(reason)
        self._hurry()

    def _hurry(self) -> None:
        """The reading that runs is in the way of another, or lasts too long: its other questions wait no longer."""
        if self._round is not None:
            self._round.one_by_one = False
            self._ask_round()

    def take_wishes(self) -> list[Wish]:
        wishes: list[Wish] = list(self.wishes)
        self.wishes.clear()
        return wishes

    def prepare(self, ask: int, now: Millis) -> HttpRequest | None:
        return self._inquiries.prepare(ask, now, self._clock.at(now))

    def deadline(self) -> Millis:
        due = min(self._inquiries.deadline(), self._next_clock, self._hurried_from)
        if self._hearing.is_deaf:
            due = min(due, self._hearing.deadline())
        if self._round is None and self._clock.is_measured:
            return min(due, self.agenda.deadline(lit=self.lit, polls=self.polling or self.is_deaf))
        return due

    def tick(self, now: Millis) -> None:
        self._inquiries.tick(now)
        if self._next_clock <= now:
            self._ask_clock(now)
        if self._hurried_from <= now:
            self._hurry()

    # --- rounds ---

    @property
    def _hurried_from(self) -> Millis:
        if self._round is None or not self._round.one_by_one:
            return NEVER
        return Millis(self._round_at + UNHURRIED_MS)

    def care(self, now: Millis, wall: Millis) -> None:
        """Begins what is due."""
        if self._round is not None or not self._clock.is_measured:
            return
        reason, full = self.agenda.due(now, lit=self.lit, polls=self.polling or self.is_deaf)
        if reason:
            self._venue_ahead = self._clock.at(now) - wall
            self._begin(reason, full, now, wall)

    def take_suspicion(self, now: Millis) -> str:
        """Why the socket should be replaced now, once; or nothing."""
        return self._hearing.take_suspicion(now) if self._hearing.is_deaf else ""

    def _begin(self, reason: str, full: bool, now: Millis, wall: Millis) -> None:
        venue_now = self._clock.at(now)
        self._began = self._began or self._beginning()
        if self._proof.lit_at is not None and not self._proof.is_read:
            self._proof.lit_at = self._clock.at(self._proof.lit_now)  # the clock may be known better by now
        self.agenda.begun(now, full=full)
        overlap = self._policy.overlap_ms if self._account.read_until else 0
        read = self.watermark if full else max(self.watermark, Millis(self._last_round - self._policy.lag_ms))
        read, kept = min(read, venue_now), Millis(venue_now - self._dialect.history_depth_ms())
        # An audit reads no fills: of an order that ended before our care began nothing would explain what was filled.
        oldest = self._account.forgotten_before if full else max(self._account.forgotten_before, self._account.began)
        since = max(read - overlap, oldest, kept)
        self._last_round, self._round_at = venue_now, now
        self._epoch = max(self._epoch, self._account.epoch) + 1
        traits = self._dialect.traits()
        settings = full and (not (self._settings_read and self._proof.is_read) or (reason == HISTORY and self._next_settings <= now))
        self._round = Round(
            epoch=self._epoch,
            reason=reason,
            full=full,
            settings=settings,
            started=venue_now,
            since=Millis(since),
            traits=traits,
            holdings=self._holdings,
            lost_since=read if full and kept > read else Millis(0),
            asked_time=wall,
            deeper=self._unknown_since(kept) if full else {},
            orders=() if full else self._orders_in_turn(traits.orders_of_an_audit, venue_now),
            symbols=symbols_in_care(self._account, traits),
        )
        self._round.one_by_one = reason in ROUTINE
        self._ask_round()

    def _orders_in_turn(self, most: int, venue_now: Millis) -> list[OrderChanged]:
        return orders_in_turn(self._account, self._epoch, most, quiet_since=Millis(venue_now - self._policy.lag_ms))

    def _beginning(self) -> Millis:
        """Where our care begins, never later than in truth: at the start, or with what an earlier, never proven run missed."""
        since = Millis(self._clock.at(self._started) - self._clock.error_ms - self._policy.backfill_ms)
        return since if self._account.gap_since is None else min(since, self._account.gap_since)

    def _unknown_since(self, kept: Millis) -> dict[Symbol, Millis]:
        """From where on the fills of those symbols are read of which one is missing since longer."""
        since = max(kept, Millis((self._account.proven_until or self._began) - self._policy.overlap_ms))
        return {Symbol(key.rpartition(".")[0]): since for subject, key in self._mismatches.open if subject == "fills"}

    def _ask_round(self) -> None:
        assert self._round is not None
        if questions := self._round.take_ready():
            self._inquiries.ask(questions, urgent=self._account.is_exposed, for_round=True)

    def _end(self, now: Millis, wall: Millis) -> list[Event]:
        finished = self._round
        assert finished is not None
        self._round = None
        self.agenda.ended(now, full=finished.full)
        try:
            return self._end_full(finished, now, wall) if finished.full else self._end_audit(finished, wall)
        except BaseException:
            self.read_again("a fault of our own ended the last reading")
            raise

    def _end_audit(self, finished: Round, wall: Millis) -> list[Event]:
        self.rounds += 1
        return self._applied([self._proof.snapshot(finished, self._account.proven_until, wall)])

    def _end_full(self, finished: Round, now: Millis, wall: Millis) -> list[Event]:
        """Nothing moves while something unexplained is not told: it is read again when the venue's lag has passed."""
        read_until = self.watermark
        facts = self._proof.weigh(finished, wall)
        facts += [fact for leg in self._proof.lasting_legs for fact in self._dispute(leg, wall)]
        if (again_ms := self._proof.again_ms) is not None:
            self.agenda.postpone_confirming(Millis(now + again_ms))
        if not self._proof.is_settled:
            return facts
        self.rounds += 1
        if finished.asks_settings:
            self._settings_read = not any(isinstance(question, AskSettings) for question in finished.refused)
            self._next_settings = Millis(now + self._policy.history_ms // 2)  # a busy account's history is read early, and more often
        told = self._applied(self._proof.conclude(finished, read_until, wall))
        if not finished.refused:
            self._read_at = self._round_at
        forget(self._account, forgettable(self._account, self.watermark, self._policy))
        return facts + told + self._confirm(finished, now, wall)

    def _confirm(self, finished: Round, now: Millis, wall: Millis) -> list[Event]:
        """History must be read beyond the moment since when the stream delivers."""
        if self._proof.lit_at is None or not self.lit or self.is_deaf:
            return []
        if not self._proof.is_confirmed_by(finished):
            self.agenda.confirm_at(Millis(max(now, self._proof.lit_now + self._policy.lag_ms + self._policy.margin_ms)))
            return []
        return self._applied(self._proof.confirm(wall))

    # --- answers ---

    def answered(self, ask: int, response: HttpResponse, now: Millis, wall: Millis) -> list[Event]:
        """What an answer tells that is new. If anything in here breaks, the question stays open and may be answered again; what was taken
        in until then is told with the next answer."""
        inquiry = self._inquiries.find(ask)
        if inquiry is None:
            return []
        unsaid, self._unsaid = self._unsaid, []
        try:
            facts = self._answer(inquiry, response, now, wall)
        except BaseException:
            self._unsaid = unsaid + self._unsaid
            raise
        self._unsaid = []
        return unsaid + facts

    def _answer(self, inquiry: Inquiry, response: HttpResponse, now: Millis, wall: Millis) -> list[Event]:
        try:
            answer = self._dialect.answer(inquiry.question, response, inquiry.as_of, wall)
        except UserStreamError as error:
            return self._refused(inquiry, error, response, now, wall)
        if isinstance(inquiry.question, AskClock):
            self._inquiries.done(inquiry)
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
            self._inquiries.done(inquiry)  # its next page may be the same question
            self._inquiries.ask(answer.more, urgent=inquiry.urgent, for_round=False)
            return facts
        current.weight += self._dialect.weight(inquiry.question)
        current.take(inquiry.question, answer, self._account)
        self._ask_round()
        if current.finds_difference(facts, inquiry.as_of - self._policy.lag_ms):
            self.read_again("the audit found a difference")
        facts += self._end(now, wall) if current.is_done else []
        self._inquiries.done(inquiry)
        return facts

    def _learn(self, inquiry: Inquiry, answer: Answer, now: Millis, wall: Millis) -> list[Event]:
        """Applies what was answered; what only REST told of a time when a socket was open was missed by the stream."""
        facts = self._applied([*answer.events, *self._absent(inquiry, answer, now, wall)])
        fills = [fact for fact in facts if isinstance(fact, Filled)]
        self.recovered_fills += len(fills)
        missed = [fill.transaction_time for fill in fills if self._was_missed(fill, inquiry.as_of)]
        self.missed_by_stream += len(missed)
        if missed:
            facts += self._turned_deaf(min(missed), now, wall)
        return facts + self._applied(self._proof.note_recovered(fills, wall))

    def _was_missed(self, fill: Filled, as_of: Millis) -> bool:
        if not self.lit or self._proof.lit_at is None:
            return False
        return self._proof.lit_at + MISSED_AFTER_MS < fill.transaction_time < as_of - self._policy.lag_ms

    def _turned_deaf(self, since: Millis, now: Millis, wall: Millis) -> list[Event]:
        """A socket that kept back one fill may keep back others: a gap, until another one delivers and history was read beyond that."""
        if self._hearing.missed():
            self.message_lost(DEAF, self._clock.at(now), now)
        return self._applied([self._proof.gap(since, DEAF, wall)])

    def _absent(self, inquiry: Inquiry, answer: Answer, now: Millis, wall: Millis) -> list[Event]:
        events = absent_debts(self._account, answer, inquiry.question, inquiry.as_of, wall)
        for known in absent_keys(self._account, answer, inquiry.question):
            if isinstance(known, PositionSet):
                events.append(flat_position(known, inquiry.as_of, self._policy.lag_ms, wall, self._clock.at(now)))
            else:
                events.append(empty_balance(known, inquiry.as_of, self._policy.lag_ms, wall))
        return events

    def _applied(self, events: list[Event]) -> list[Event]:
        return [news for event in events if (news := self._apply(event)) is not None]

    def _apply(self, event: Event) -> Event | None:
        news = apply(self._account, event)
        if news is not None:
            self._unsaid.append(news)
        return news

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
                facts = self._unreadable(inquiry.question, error, response, wall) if not inquiry.failures else []
                inquiry.refused += isinstance(error, RequestRefused)
                known = inquiry.for_round and self._proof.leaves_open(("question", name_of(inquiry.question)))
                if inquiry.refused >= DISPUTED_AFTER or (inquiry.refused and known):
                    return facts + self._give_up(inquiry, error, now, wall)
                self._inquiries.retry(inquiry, now, None if isinstance(error, DecodeError) else REFUSED_PAUSE_MS)
                return facts
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
        current = self._round
        order = self._account.orders.get((question.symbol, question.order_id, question.conditional))
        facts = self._not_known(order, now, wall) if order is not None and not order.has_ended else []
        if inquiry.for_round and current is not None:
            current.close(question, self._account)
            facts += self._go_on(now, wall)
        return facts

    def _not_known(self, order: OrderChanged, now: Millis, wall: Millis) -> list[Event]:
        """It is not listed and not found: gone, if the venue need not keep it any more, however it ended; else a contradiction."""
        key, venue_now = f"{order.symbol}.{order.order_id}", self._clock.at(now)
        kept_ms = self._dialect.history_depth_ms() if order.filled_quantity else self._dialect.unfilled_depth_ms()
        if (order.created_time or order.transaction_time) + kept_ms >= venue_now:
            return self._mismatches.note("order", key, order.status, "not known to the venue", epoch=self._epoch, wall=wall)
        if ("order", key) in self._mismatches.open:
            self.read_again("an order is gone")
        return self._applied([gone_order(order, venue_now, wall)])

    def _give_up(self, inquiry: Inquiry, error: UserStreamError, now: Millis, wall: Millis) -> list[Event]:
        """The venue refuses a question again and again: a reading ends without it, unproven, and the next one asks again."""
        self._inquiries.done(inquiry)
        if not inquiry.for_round or self._round is None:
            return []
        ours, name = f"refused {inquiry.refused} times", name_of(inquiry.question)
        facts = self._mismatches.note("question", name, ours, str(error), epoch=self._epoch, wall=wall)
        self._round.refuse(inquiry.question, self._account)
        return facts + self._go_on(now, wall)

    def _go_on(self, now: Millis, wall: Millis) -> list[Event]:
        """After a question that stays without an answer: what follows it, or the end."""
        assert self._round is not None
        self._ask_round()
        return self._end(now, wall) if self._round.is_done else []

    # --- doubts and mismatches ---

    def weigh_doubts(self, now: Millis, wall: Millis) -> list[Event]:
        """Asks what settles the doubts that stayed open too long; called while there are any. Returns facts to publish."""
        due, settled = self.doubts.weigh(self._account, now)
        facts: list[Event] = []
        for doubt in settled:
            if doubt.subject == "order" and (doubt.subject, key_of(doubt)) in self._mismatches.open:
                self.read_again("an order adds up again")  # the reading tells its end, with what else it finds
            elif doubt.subject != "position":  # that one is settled by reading all of history
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
        tries = self.doubts.asked(doubt, now)
        if 0 < tries < DISPUTED_AFTER and is_unsure(self._account, doubt):
            self.read_again(f"position {doubt.symbol} {doubt.key} never had an exact beginning")
        if doubt.subject == "mode":
            del self._account.doubts[doubt]  # the answers are the last word
            return []
        return self._dispute(doubt, wall) if tries == DISPUTED_AFTER else []

    def _dispute(self, doubt: Doubt, wall: Millis) -> list[Event]:
        """Asking did not help: the disagreement becomes visible, all of history is read again, and sums go on from the venue's word."""
        self.read_again(f"{doubt.subject} {doubt.symbol} {doubt.key} does not add up")
        (ours, theirs), cause = both_sides(self._account, doubt), ACCEPTED if doubt.subject == "position" else ""
        facts = self._mismatches.note(doubt.subject, key_of(doubt), ours, theirs, epoch=self._epoch, wall=wall, cause=cause)
        if doubt.subject == "position":
            self._account.watches[doubt.symbol, PositionSide(doubt.key)].accept()
            self._account.doubts.pop(doubt, None)
        return facts
