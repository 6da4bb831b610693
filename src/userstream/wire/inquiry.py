"""The questions that are on their way: who asked, when to try again, what was sent when."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from userstream.kernel.ids import Millis
from userstream.wire.feed import NEVER, Ask
from userstream.wire.pacing import Backoff
from userstream.wire.question import AskFills, AskOrderFills, Question, RestDialect
from userstream.wire.request import HttpRequest


class Inquiry(msgspec.Struct):
    """One question until it is answered. `retry_at` is set while it waits for another try."""

    number: int
    question: Question
    urgent: bool
    for_round: bool
    sent: Millis = Millis(0)
    as_of: Millis = Millis(0)
    failures: int = 0
    not_found: int = 0
    refused: int = 0
    retry_at: Millis | None = None


class Inquiries:
    """Numbers questions and remembers them; asks again with back-off."""

    def __init__(self, dialect: RestDialect, backoff: Backoff) -> None:
        self._dialect, self._backoff = dialect, backoff
        self._open: dict[int, Inquiry] = {}
        self._numbers = 0
        self.wishes: list[Ask] = []

    def ask(self, questions: Iterable[Question], *, urgent: bool, for_round: bool) -> None:
        """Asks what is not asked already; a round has its questions for itself."""
        for question in questions:
            if for_round or not self.is_asking(question):
                self._numbers += 1
                inquiry = Inquiry(self._numbers, question, urgent, for_round)
                self._open[inquiry.number] = inquiry
                self._wish(inquiry)

    def is_asking(self, question: Question) -> bool:
        """Whether an answer to this question is on its way; of a symbol's or an order's fills, to a question that begins at any time."""
        subject = _subject_of(question)
        return any(_subject_of(inquiry.question) == subject for inquiry in self._open.values())

    def _wish(self, inquiry: Inquiry) -> None:
        self.wishes.append(Ask(inquiry.number, self._dialect.weight(inquiry.question), inquiry.urgent))

    def prepare(self, number: int, now: Millis, venue_now: Millis) -> HttpRequest | None:
        """The call, signed for this instant; None when nobody wants the answer any more."""
        inquiry = self._open.get(number)
        if inquiry is None:
            return None
        inquiry.sent, inquiry.as_of, inquiry.retry_at = now, venue_now, None
        return self._dialect.request(inquiry.question, venue_now)

    def find(self, number: int) -> Inquiry | None:
        return self._open.get(number)

    def done(self, inquiry: Inquiry) -> None:
        self._open.pop(inquiry.number, None)

    def retry(self, inquiry: Inquiry, now: Millis, after_ms: int | None) -> None:
        """Asks again later: after the venue's advice, if it gave one, else with back-off."""
        inquiry.failures += 1
        inquiry.retry_at = Millis(now + max(after_ms or 0, self._backoff.delay_ms(inquiry.failures)))

    @property
    def trouble(self) -> str:
        """What hinders the asking, for people; empty where nothing does."""
        failed = sum(inquiry.failures > 0 for inquiry in self._open.values())
        return f"; {failed} of its questions failed, asked again" if failed else ""

    def tick(self, now: Millis) -> None:
        for inquiry in self._open.values():
            if inquiry.retry_at is not None and inquiry.retry_at <= now:
                inquiry.retry_at = None
                self._wish(inquiry)

    def deadline(self) -> Millis:
        due = NEVER
        for inquiry in self._open.values():
            if inquiry.retry_at is not None and inquiry.retry_at < due:
                due = inquiry.retry_at
        return due


def _subject_of(question: Question) -> object:
    match question:
        case AskFills(symbol=symbol, cursor=cursor):
            return symbol, cursor
        case AskOrderFills(symbol=symbol, order_id=order_id):
            return AskOrderFills, symbol, order_id
        case _:
            return question
