from decimal import Decimal

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
