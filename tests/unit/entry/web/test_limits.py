"""Buckets: nobody gets more than the rate, and who waits as told gets in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from userstream.entry.web.limits import MINUTE_MS, Crowd, RateLimit


@given(st.integers(1, 600), st.lists(st.integers(0, 2_000), max_size=200))
def test_nobody_gets_more_than_a_full_bucket_and_the_rate(per_minute: int, pauses: list[int]) -> None:
    limit, now, passed = RateLimit(per_minute), 0, 0
    for pause in pauses:
        now += pause
        passed += limit.take("a", now) == 0
    assert passed <= per_minute + now * per_minute // MINUTE_MS


@given(st.integers(1, 600), st.integers(0, 100_000))
def test_who_waits_as_told_gets_in(per_minute: int, start: int) -> None:
    limit, now = RateLimit(per_minute), start
    for _ in range(per_minute):
        assert limit.take("a", now) == 0
    wait = limit.take("a", now)
    assert wait > 0 and limit.wait_ms("a", now) == wait
    assert limit.take("b", now) == 0
    assert limit.take("a", now + wait) == 0


def test_only_so_many_keys_are_remembered() -> None:
    limit = RateLimit(1, most_keys=2)
    assert [limit.take(key, 0) for key in "abc"] == [0, 0, 0]
    assert limit.take("b", 0) > 0
    assert limit.take("a", 0) == 0


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=100))
def test_a_crowd_has_so_many_places_for_each_and_takes_back_what_is_left(limit: int, steps: list[tuple[str, bool]]) -> None:
    crowd, held = Crowd(limit), {"a": 0, "b": 0}
    for key, enters in steps:
        if enters:
            had_place = held[key] < limit
            assert crowd.enter(key) is had_place
            held[key] += had_place
        elif held[key]:
            crowd.leave(key)
            held[key] -= 1
