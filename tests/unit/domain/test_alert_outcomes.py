"""Outcomes of messages that come late."""

from __future__ import annotations

from tests.support.events import margin_called
from userstream.domain.alerts import AlertBook, AlertRules, Note
from userstream.kernel.ids import AccountId, Millis

RULES = AlertRules()
ALICE = AccountId("alice")


def told(book: AlertBook, now: Millis) -> list[Note]:
    book.look([], now, known=frozenset({ALICE}), heard={ALICE: set()})
    return [note for message in book.take_messages(now, all_of_them=True) for note in message.notes]


def test_an_end_that_is_taken_after_the_next_beginning_leaves_that_one_told() -> None:
    book, now = AlertBook(RULES), Millis(1_000_000)
    book.take_margin_call(margin_called(), now)
    book.note_outcome(told(book, now), now, is_taken=True)
    over = Millis(now + 2 * RULES.settle_ms)
    told(book, now)
    ended = told(book, over)
    assert [note.is_over for note in ended] == [True]
    book.take_margin_call(margin_called(), over)
    book.note_outcome(told(book, over), over, is_taken=True)
    book.note_outcome(ended, over, is_taken=True)
    assert len(book.keep(over, over)) == 1
