"""What a socket wants by itself: pings when it is quiet, one successor in time, one end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import place, refusal
from userstream.kernel.errors import AuthenticationError, RetryLater, UserStreamError
from userstream.kernel.ids import Millis
from userstream.venues.binance.socket_life import NEVER, Phase, SocketLife, advice_ms
from userstream.wire.request import HttpResponse
from userstream.wire.session import Effect, GiveUp, Ping, Reset, Troubled

PING_MS, SILENCE_MS, LIFE_MS = 20_000, 45_000, 3_600_000


class Life(SocketLife):
    """As a session uses it: the socket is open, and ends when it is silent."""

    def __init__(self, connection: int = 1, **fields: object) -> None:
        super().__init__(place(own_ping_ms=PING_MS, silence_limit_ms=SILENCE_MS, rotate_after_ms=LIFE_MS, **fields), connection, Millis(0))
        self._begin(Millis(0))
        self._phase = Phase.OPEN

    @property
    def due(self) -> Millis:
        return self._kept_until()

    def tick(self, now: Millis) -> list[Effect]:
        return self._replace("silent", alive=False) if self._is_silent(now) else self._keep(now)

    def fail(self, error: UserStreamError, now: int = 0) -> int:
        """Until when it waits."""
        self._retry_later(error, Millis(now))
        return self._retry_at

    def words(self, response: HttpResponse) -> Troubled:
        return self._words_for(response, RetryLater("later"))

    def give_up(self) -> list[Effect]:
        return self._give_up(AuthenticationError("no")) + self._replace("anything", alive=True) + self._replace("more", alive=False)


@given(st.lists(st.tuples(st.integers(1, 60_000), st.booleans()), max_size=60))
def test_it_ends_once_hands_over_once_and_is_never_silent_without_a_ping(steps: list[tuple[int, bool]]) -> None:
    life, now, heard, pinged = Life(), 0, 0, 0
    told: list[Effect] = []
    for step, is_heard in steps:
        until = now + step
        while life.due <= until and not any(isinstance(effect, Reset) and not effect.alive for effect in told):
            now = max(now, life.due)
            effects = life.tick(Millis(now))
            pinged = now if Ping() in effects else pinged
            assert all(effect.alive or pinged > heard for effect in effects if isinstance(effect, Reset)), "silence that nobody asked"
            told += effects
        now = until
        if is_heard:
            heard = now
            assert life.pinged(Millis(now)) == []
    resets = [effect.alive for effect in told if isinstance(effect, Reset)]
    assert resets in ([], [True], [False], [True, False])


def test_a_quiet_socket_is_pinged_and_a_silent_one_ends() -> None:
    life = Life()
    assert life.due == PING_MS and life.tick(life.due) == [Ping()]
    assert life.due == 2 * PING_MS and life.tick(life.due) == [Ping()]
    assert life.due == SILENCE_MS and life.tick(life.due) == [Reset("silent", False)]


@given(st.integers(0, 1 << 40), st.integers(1, 1_000))
def test_it_is_replaced_a_little_after_its_time_at_another_moment_than_others(seed: int, connection: int) -> None:
    life = Life(connection, jitter_seed=seed)
    now = Millis(0)
    while not (resets := [effect for effect in life.tick(now) if isinstance(effect, Reset)]):
        life.pinged(now)
        now = life.due
    assert resets == [Reset("24 h limit", True)]
    assert LIFE_MS <= now <= LIFE_MS + LIFE_MS // 46
    assert life.due > now


def test_what_is_given_up_wishes_nothing_more() -> None:
    assert [type(effect) for effect in Life().give_up()] == [GiveUp]


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=8))
def test_each_failure_waits_as_long_as_the_venue_says_and_longer(told: list[int]) -> None:
    life = Life(first_delay_ms=1_000, max_delay_ms=60_000)
    for number, advice in enumerate(told):
        waited = life.fail(RetryLater("later", after_ms=advice), now=5) - 5 - advice
        assert min(60_000, 1_000 * 2**number) / 2 <= waited <= min(60_000, 1_000 * 2**number)


def test_only_the_venue_advises() -> None:
    assert [advice_ms(error) for error in (RetryLater("x", after_ms=7), RetryLater("x"), UserStreamError("x"))] == [7, 0, 0]


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (refusal(-1003, "no", 429), "later"),
        (HttpResponse(status=0, body=b"no\nroute\xff"), "cannot reach https://fapi.example: no\ufffdroute\ufffd"),
    ],
)
def test_people_are_told_what_became_of_a_call(response: HttpResponse, words: str) -> None:
    assert Life().words(response) == Troubled(words)


def test_its_name_says_whose_and_how_far() -> None:
    life = Life()
    assert repr(life) == "<Life of 'alice', connection 1, open>"
    life.give_up()
    assert repr(life).endswith("ended>")
    assert NEVER > 1 << 60
