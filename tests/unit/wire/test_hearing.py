from __future__ import annotations

from userstream.kernel.ids import Millis
from userstream.wire.feed import NEVER
from userstream.wire.hearing import DEAF, FIRST_PAUSE_MS, LONGEST_PAUSE_MS, PROBATION_MS, Hearing

NOW = Millis(1_000_000)


def later(ms: int) -> Millis:
    return Millis(NOW + ms)


def test_one_missed_fill_is_news_and_another_is_not() -> None:
    hearing = Hearing()
    assert not hearing.is_deaf
    assert [hearing.missed(), hearing.missed()] == [True, False]
    assert hearing.is_deaf


def test_a_deaf_socket_is_replaced_once_and_the_next_not_before_a_pause() -> None:
    hearing = Hearing()
    assert (hearing.take_suspicion(NOW), hearing.deadline()) == ("", NEVER)
    hearing.missed()
    assert [hearing.take_suspicion(NOW), hearing.take_suspicion(later(1))] == [DEAF, ""]
    hearing.opened(NOW)
    hearing.missed()
    assert hearing.deadline() == later(FIRST_PAUSE_MS)
    assert [hearing.take_suspicion(later(FIRST_PAUSE_MS - 1)), hearing.take_suspicion(later(FIRST_PAUSE_MS))] == ["", DEAF]


def test_deaf_sockets_that_follow_each_other_are_replaced_ever_more_rarely_until_one_hears_for_a_while() -> None:
    hearing, now, pauses = Hearing(), NOW, []
    for _ in range(6):
        hearing.missed()
        hearing.note_voice(True, now)
        assert hearing.take_suspicion(now) == DEAF
        hearing.opened(now)
        hearing.missed()
        due = hearing.deadline()
        pauses.append(due - now)
        now = due
    assert pauses == [FIRST_PAUSE_MS, 2 * FIRST_PAUSE_MS, 4 * FIRST_PAUSE_MS] + [LONGEST_PAUSE_MS] * 3
    now = Millis(now + LONGEST_PAUSE_MS + 1)  # the last replacement is longer ago than two of the longest pauses
    assert hearing.take_suspicion(now) == DEAF
    hearing.opened(now)
    hearing.missed()
    assert hearing.deadline() == now + FIRST_PAUSE_MS


def test_a_socket_that_opens_ends_the_deafness_of_one_that_had_spoken() -> None:
    hearing = Hearing()
    for _ in range(5):
        hearing.note_voice(True, NOW)
        hearing.missed()
        hearing.opened(NOW)
        assert not hearing.is_deaf


def test_after_mute_sockets_in_a_row_only_a_voice_ends_it() -> None:
    hearing = Hearing()
    hearing.missed()
    hearing.opened(NOW)
    assert not hearing.is_deaf
    hearing.missed()
    hearing.opened(NOW)
    probation = later(2 * PROBATION_MS)
    assert hearing.deadline() == probation
    assert [hearing.note_voice(*heard) for heard in ((False, later(1)), (True, later(1)), (True, probation))] == [False, True, False]
    assert hearing.missed()
    assert hearing.deadline() < NOW


def test_a_mute_socket_that_misses_nothing_for_a_while_is_believed() -> None:
    hearing = Hearing()
    for _ in range(2):
        hearing.missed()
        hearing.opened(NOW)
    hearing.opened(later(PROBATION_MS))  # its turn came: the probation goes on
    assert not hearing.note_voice(False, later(2 * PROBATION_MS - 1))
    assert hearing.note_voice(False, later(2 * PROBATION_MS))
    assert not hearing.is_deaf


def test_sockets_that_were_mute_because_their_listen_key_died_are_no_mute_sockets() -> None:
    hearing = Hearing()
    for _ in range(4):
        hearing.missed()
        hearing.opened(NOW, key_died=True)
        assert not hearing.is_deaf


def test_a_key_that_died_excuses_the_one_socket_that_had_it() -> None:
    hearing = Hearing()
    hearing.missed()
    hearing.opened(NOW)
    hearing.opened(NOW, key_died=True)  # missed nothing: it leaves the count as it is
    hearing.missed()
    hearing.opened(NOW)
    assert hearing.is_deaf
    assert hearing.deadline() == later(2 * PROBATION_MS)


def test_a_socket_on_probation_stays_on_it_whatever_became_of_its_key() -> None:
    hearing = Hearing()
    for _ in range(2):
        hearing.missed()
        hearing.opened(NOW)
    hearing.opened(later(1), key_died=True)
    assert hearing.is_deaf
    assert not hearing.note_voice(False, later(2 * PROBATION_MS - 1))


def test_one_of_them_that_misses_more_is_replaced_in_its_turn() -> None:
    hearing = Hearing()
    for place in range(6):
        assert hearing.missed() is (place < 2)
        assert hearing.take_suspicion(later(place * LONGEST_PAUSE_MS)) == DEAF
        hearing.opened(NOW)
    assert hearing.is_deaf
