from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.scripted import Script, ScriptedDialect, question_of
from tests.support.truth import BTC, ETH
from userstream.kernel.ids import Millis, OrderId
from userstream.wire.feed import NEVER, Ask
from userstream.wire.inquiry import Inquiries, Inquiry
from userstream.wire.pacing import Backoff
from userstream.wire.question import AskBalances, AskClock, AskFills, AskOrder, AskPositions, Question

NOW = Millis(1_000_000)
VENUE_NOW = Millis(1_760_000_000_000)
BACKOFF = Backoff(seed=3)
ORDER = AskOrder(BTC, OrderId("7"), False)


def inquiries() -> Inquiries:
    return Inquiries(ScriptedDialect(Script()), BACKOFF)


def ask(asked: Inquiries, *questions: Question, urgent: bool = False, for_round: bool = False) -> list[Inquiry]:
    """The inquiries that this makes."""
    before = len(asked.wishes)
    asked.ask(questions, urgent=urgent, for_round=for_round)
    made = [asked.find(wish.ask) for wish in asked.wishes[before:]]
    assert None not in made
    return [inquiry for inquiry in made if inquiry is not None]


def fills(since: int, *, cursor: str = "") -> AskFills:
    return AskFills(symbol=BTC, since=Millis(since), until=Millis(since + 10), cursor=cursor)


def test_a_question_becomes_a_wish_with_its_weight_and_its_haste() -> None:
    asked = inquiries()
    asked.ask([AskBalances()], urgent=False, for_round=True)
    asked.ask([fills(5)], urgent=True, for_round=False)
    assert asked.wishes == [Ask(1, 1, False), Ask(2, 5, True)]


def test_what_is_asked_already_is_not_asked_again_but_a_round_has_its_questions_for_itself() -> None:
    asked = inquiries()
    assert len(ask(asked, AskBalances(), AskBalances(), AskPositions())) == 2
    assert len(ask(asked, AskBalances(), for_round=True)) == 1
    assert asked.is_asking(AskBalances())
    assert not asked.is_asking(AskClock())


def test_fills_of_a_symbol_are_one_subject_whenever_they_begin() -> None:
    asked = inquiries()
    ask(asked, fills(5))
    assert asked.is_asking(fills(9))
    assert not asked.is_asking(fills(5, cursor="12"))
    assert not asked.is_asking(AskFills(symbol=ETH, since=Millis(5), until=Millis(15)))


def test_a_call_is_made_for_the_instant_in_which_it_goes_out() -> None:
    asked = inquiries()
    [inquiry] = ask(asked, ORDER)
    request = asked.prepare(inquiry.number, NOW, VENUE_NOW)
    assert request is not None
    assert question_of(request) == ORDER
    assert (inquiry.sent, inquiry.as_of) == (NOW, VENUE_NOW)


def test_what_is_answered_is_wanted_no_more() -> None:
    asked = inquiries()
    [inquiry] = ask(asked, ORDER)
    asked.done(inquiry)
    asked.done(inquiry)
    assert asked.find(inquiry.number) is None
    assert asked.prepare(inquiry.number, NOW, VENUE_NOW) is None
    assert not asked.is_asking(ORDER)


@given(st.lists(st.one_of(st.none(), st.integers(0, 120_000)), min_size=1, max_size=12))
def test_retries_follow_the_back_off_and_never_undercut_the_advice_of_the_venue(hints: list[int | None]) -> None:
    asked, now = inquiries(), NOW
    [inquiry] = ask(asked, ORDER)
    for failures, advice_ms in enumerate(hints, start=1):
        asked.wishes.clear()
        asked.prepare(inquiry.number, now, VENUE_NOW)
        asked.retry(inquiry, now, advice_ms)
        due = asked.deadline()
        assert due == now + max(BACKOFF.delay_ms(failures), advice_ms or 0)
        asked.tick(Millis(due - 1))
        assert asked.wishes == []
        asked.tick(due)
        asked.tick(due)
        assert asked.wishes == [Ask(inquiry.number, 1, False)]
        assert asked.deadline() == NEVER
        now = due


def test_people_read_how_many_questions_failed_until_they_are_answered() -> None:
    asked = inquiries()
    first, _ = ask(asked, AskBalances(), AskPositions())
    assert asked.trouble == ""
    asked.retry(first, NOW, None)
    assert asked.trouble == "; 1 of its questions failed, asked again"
    asked.done(first)
    assert asked.trouble == ""


def test_only_what_waits_has_a_deadline() -> None:
    asked = inquiries()
    one, other = ask(asked, ORDER, AskBalances())
    assert asked.deadline() == NEVER
    asked.retry(one, NOW, 9_000)
    asked.retry(other, NOW, 5_000)
    assert asked.deadline() == NOW + 5_000
    asked.done(other)
    assert asked.deadline() == NOW + 9_000
    asked.prepare(one.number, NOW, VENUE_NOW)
    assert asked.deadline() == NEVER
