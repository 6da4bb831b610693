from decimal import Decimal
from itertools import accumulate

from hypothesis import example, given
from hypothesis import strategies as st

from userstream.domain.checks import MOST_UNSURE, PositionWatch
from userstream.kernel.ids import Millis


class Leg:
    """A watch with short words: `at` is the millisecond."""

    def __init__(self, anchor: int = 0, since: int = 0, until: int | None = None) -> None:
        self.watch = PositionWatch(Decimal(anchor), Millis(since), None if until is None else Millis(until))

    def fill(self, at: int, quantity: int) -> bool:
        self.watch.add_fill(Millis(at), Decimal(quantity))
        return self.watch.in_doubt

    def tell(self, at: int, amount: int, until: int | None = None) -> bool:
        self.watch.tell(Millis(at), Decimal(amount), None if until is None else Millis(until))
        return self.watch.in_doubt


def test_a_fill_then_its_word() -> None:
    leg = Leg()
    assert leg.fill(10, 3)
    assert not leg.tell(10, 3)


def test_a_word_then_its_fill() -> None:
    leg = Leg()
    assert leg.tell(10, 3)
    assert leg.watch.expected == 0
    assert not leg.fill(10, 3)
    assert leg.watch.told == 3


def test_a_flip_through_zero() -> None:
    leg = Leg(anchor=2)
    leg.fill(10, -5)
    assert not leg.tell(10, -3)


def test_two_fills_of_one_millisecond_each_with_its_word() -> None:
    leg = Leg(anchor=5)
    leg.fill(10, 1)
    assert not leg.tell(10, 6)
    assert leg.fill(10, 2)
    assert not leg.tell(10, 8)


def test_words_first_then_the_fills_of_one_millisecond() -> None:
    leg = Leg(anchor=5)
    leg.tell(10, 6)
    leg.tell(10, 8)
    assert leg.fill(10, 1)
    assert not leg.fill(10, 2)


def test_a_fill_of_the_anchors_own_millisecond_is_inside_it_or_not() -> None:
    inside, outside = Leg(anchor=5, since=10), Leg(anchor=5, since=10)
    assert not inside.fill(10, 2)
    inside.fill(20, 1)
    assert not inside.tell(20, 6)
    assert not outside.fill(10, 2)
    assert not outside.tell(10, 7)


def test_an_older_fill_and_an_older_word_change_nothing() -> None:
    leg = Leg(anchor=5, since=10)
    assert not leg.fill(9, 2)
    assert not leg.tell(9, 7)
    assert leg.watch.told == 5


def test_fills_that_come_in_disorder_are_sorted() -> None:
    leg = Leg()
    leg.fill(30, 4)
    leg.fill(10, 1)
    leg.tell(10, 1)
    assert leg.watch.in_doubt
    assert not leg.tell(30, 5)


def test_a_repeated_word_hides_no_fill_that_comes_late() -> None:
    leg = Leg(anchor=5, since=10)
    assert not leg.tell(40, 5)
    assert leg.fill(20, 1)
    assert not leg.fill(30, -1)


def test_a_lost_fill_shows_and_comes_back() -> None:
    leg = Leg()
    leg.fill(10, 1)
    assert leg.tell(20, 3)
    assert leg.watch.expected == 1
    assert not leg.fill(15, 2)


def test_a_part_of_a_history_that_agrees_by_chance_hides_no_fill_that_is_lost() -> None:
    leg = Leg()
    assert leg.tell(10, 1)
    assert leg.tell(20, 3)
    assert leg.tell(30, 6)  # fills of 1, 2 and 3, of which the one of 2 is lost; and there was another pair of 5 and -5
    assert leg.fill(30, 3)
    assert not leg.fill(25, 3)
    assert leg.fill(10, 1)
    assert leg.fill(26, -3), "the one of 2 is still missing"
    assert not leg.fill(20, 2)


def test_a_leg_that_was_flat_at_some_moment_includes_the_fill_that_closed_it_in_between() -> None:
    leg = Leg(anchor=2, since=0)
    assert leg.tell(100, 0, until=200)
    assert not leg.fill(150, -2)
    assert leg.fill(160, 1)
    assert not leg.tell(160, 1)


def test_a_leg_that_was_flat_at_some_moment_may_be_opened_after_it() -> None:
    leg = Leg()
    assert not leg.tell(100, 0, until=200)
    assert leg.fill(150, 1)
    assert not leg.tell(150, 1)


def test_an_anchor_of_an_interval_may_include_its_first_fills() -> None:
    leg = Leg(anchor=0, since=100, until=200)
    assert not leg.fill(120, -3)
    assert not leg.fill(180, 1)
    assert leg.fill(220, 4)
    assert not leg.tell(220, 5)


def test_a_reading_that_is_not_sure_is_corrected_by_a_fill_that_comes_later() -> None:
    leg = Leg(anchor=6, since=10)
    leg.fill(10, 2)
    leg.fill(10, 2)
    assert not leg.tell(20, 8)
    assert not leg.fill(20, 2)
    leg.fill(30, 1)
    assert not leg.tell(30, 9)


def test_a_reading_that_stays_unsure_is_settled_before_memory_grows() -> None:
    leg = Leg(anchor=0, since=10)
    leg.fill(10, 1)
    amount = 1
    for number in range(3 * MOST_UNSURE):
        leg.fill(20 + number, 1)
        amount += 1
        assert not leg.tell(20 + number, amount)
    assert not leg.fill(9, 1)


def test_the_venues_word_is_taken_when_asking_did_not_help() -> None:
    leg = Leg(anchor=1)
    leg.fill(20, 1)
    assert leg.tell(10, 5)
    leg.watch.accept()
    assert leg.watch.in_doubt
    assert not leg.tell(20, 6)


# --- anchors of an unknown moment ---


def wrongly_settled() -> Leg:
    """Bought while the anchor may lie, and sold again later; the sale's word, and another one, come before the sale."""
    leg = Leg(anchor=0, since=100, until=200)
    leg.tell(150, 1)
    leg.fill(150, 1)
    assert not leg.tell(250, 0), "the sum agrees, if the purchase was inside the anchor"
    assert not leg.tell(260, 0)
    assert leg.fill(250, -1)
    return leg


def accepts(leg: Leg, amount: int, proven_until: int) -> bool:
    return leg.watch.accept_if_unsure(Decimal(amount), Millis(proven_until))


def test_a_chance_agreement_does_not_make_an_anchor_exact_and_a_proven_reading_settles_it() -> None:
    leg = wrongly_settled()
    assert (leg.watch.in_doubt, leg.watch.is_exact) == (True, False)
    assert accepts(leg, 0, 261)
    assert (leg.watch.in_doubt, leg.watch.is_exact) == (False, True)
    leg.fill(300, 2)
    assert not leg.tell(300, 2)


def test_books_that_say_something_else_or_prove_too_little_settle_nothing() -> None:
    leg = wrongly_settled()
    assert not accepts(leg, 1, 1_000)
    assert not accepts(leg, 0, 260)
    assert leg.watch.in_doubt


def test_an_exact_anchor_that_does_not_add_up_is_never_settled_by_books() -> None:
    leg = Leg(anchor=5, since=10)
    assert leg.watch.is_exact
    assert leg.tell(20, 7)
    assert not accepts(leg, 7, 1_000)
    assert leg.watch.in_doubt


def test_an_anchor_becomes_exact_when_sums_agree_without_a_choice() -> None:
    leg = Leg(anchor=0, since=100, until=200)
    leg.fill(300, 1)
    assert not leg.tell(300, 1)
    leg.tell(400, 5)
    assert leg.watch.is_exact
    assert not accepts(leg, 5, 1_000)


@given(st.integers(-5, 5).filter(bool), st.integers(-5, 5).filter(bool), st.integers(-5, 5))
def test_a_word_that_agrees_by_chance_before_its_own_fill_hides_no_fill_that_is_missing(lost: int, known: int, more: int) -> None:
    """What the next fill will add is just what the missing one takes away."""
    leg = Leg(anchor=10, since=100)
    leg.tell(200, 10 + lost)
    leg.tell(300, 10 + lost + known)
    assert leg.fill(300, known)
    assert not leg.tell(400, 10 + known)
    assert leg.fill(400, -lost)
    if more:
        leg.tell(400, 10 + known + more)
        leg.fill(400, more)
    assert not leg.fill(200, lost)


@given(
    st.lists(st.integers(-3, 3).filter(bool), min_size=1, max_size=80),
    st.integers(-3, 3).filter(bool),
    st.booleans(),
    st.lists(st.tuples(st.integers(-3, 3).filter(bool), st.booleans()), max_size=50),
)
def test_a_history_that_is_read_fill_by_fill_never_settles_a_choice_by_chance(
    gap: list[int], doubtful: int, is_inside: bool, live: list[tuple[int, bool]]
) -> None:
    """The anchor may include the fill of its own millisecond; what the venue told last was made by the fills of a gap, which come later."""
    amount = 100 + sum(gap) + (0 if is_inside else doubtful)
    watch = PositionWatch(Decimal(100), Millis(1_000))
    watch.add_fill(Millis(1_000), Decimal(doubtful))
    watch.tell(Millis(9_000), Decimal(amount))
    for place, quantity in enumerate(gap):
        watch.add_fill(Millis(2_000 + place), Decimal(quantity))
    assert not watch.in_doubt
    for place, (quantity, word_first) in enumerate(live):
        amount, time = amount + quantity, Millis(10_000 + place)
        if word_first:
            watch.tell(time, Decimal(amount))
        watch.add_fill(time, Decimal(quantity))
        if not word_first:
            watch.tell(time, Decimal(amount))
        assert not watch.in_doubt


@given(
    st.lists(st.integers(-3, 3).filter(bool), min_size=1, max_size=8).filter(lambda loose: 0 not in accumulate(loose)),
    st.lists(st.integers(-3, 3).filter(bool), min_size=2, max_size=9),
    st.lists(st.integers(-3, 3).filter(bool), min_size=1, max_size=9),
)
def test_what_one_word_left_of_a_choice_hides_no_fill_that_is_lost_later(loose: list[int], known: list[int], lost: list[int]) -> None:
    """Several first fills may be inside the anchor or not. Two words that all fills explain say which; a fill that is lost after them, and
    is as large as some of the first, is not explained by another choice."""
    leg, amount = Leg(anchor=0, since=100, until=200), sum(loose)
    for place, quantity in enumerate(loose):
        leg.fill(150 + place, quantity)
    for place, quantity in enumerate(known):
        amount += quantity
        leg.fill(1_000 + place, quantity)
        assert not leg.tell(1_000 + place, amount)
    for place, quantity in enumerate(lost):
        amount += quantity
        leg.tell(2_000 + place, amount)
    assert leg.watch.in_doubt == (sum(lost) != 0)
    for place, quantity in reversed([*enumerate(lost)]):
        leg.fill(2_000 + place, quantity)
    assert not leg.watch.in_doubt


def test_a_word_that_stood_binds_no_longer_when_a_fill_of_its_own_millisecond_comes() -> None:
    leg = Leg(anchor=0, since=100, until=200)
    leg.fill(150, 5)
    leg.fill(300, 1)
    assert not leg.tell(300, 6)
    leg.fill(400, 1)
    assert leg.tell(400, 9)
    assert not leg.fill(300, 2), "the last word of that millisecond was lost, and the fill that made it"


def test_the_first_word_of_a_millisecond_whose_last_word_was_lost_binds_nothing() -> None:
    leg = Leg(anchor=1, since=100)
    leg.fill(100, 1)
    leg.fill(105, -1)
    assert not leg.tell(105, 0), "agrees if the fill of 100 is inside the anchor"
    leg.fill(105, -1)
    for at, amount in ((150, 1), (160, 2), (170, 3)):
        leg.fill(at, 1)
        leg.tell(at, amount - 1)
    assert not leg.watch.in_doubt


@given(st.integers(-3, 3), st.lists(st.tuples(st.integers(0, 2), st.sampled_from((-2, -1, 1, 2))), min_size=2, max_size=9))
@example(3, [(0, -1), (0, -2), (2, -2), (0, -2), (0, 1), (98, -2), (1, -2)])
def test_a_whole_stream_in_order_leaves_no_doubt_whatever_a_millisecond_holds(anchor: int, steps: list[tuple[int, int]]) -> None:
    """The first word is the stream's own: the fill that made it has its millisecond, and maybe others too."""
    (_, first), *rest = steps
    amount = anchor + first
    leg, time = Leg(anchor=amount), 0
    leg.fill(0, first)
    for pause, change in [*rest, (100, 1), (1, 1)]:
        time, amount = time + pause, amount + change
        leg.fill(time, change)
        leg.tell(time, amount)
    assert not leg.watch.in_doubt


@given(
    st.integers(-3, 3),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from((-2, -1, 1, 2))), max_size=8),
    st.integers(0, 7),
)
def test_whatever_was_lost_a_watch_with_an_exact_beginning_stays_exact(anchor: int, steps: list[tuple[int, int]], lost: int) -> None:
    leg, time, amount = Leg(anchor=anchor, since=10), 10, anchor
    for number, (pause, change) in enumerate(steps):
        time, amount = time + pause, amount + change
        if number != lost:
            leg.fill(time, change)
        leg.tell(time, amount)
    assert leg.watch.is_exact
    assert not accepts(leg, amount, 10_000)
