"""Buckets: nobody gets more than the rate, and who waits as told gets in."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from userstream.entry.web.limits import MINUTE_MS, Crowd, RateLimit, caller_of


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
    assert wait > 0 and limit.take("a", now) == wait
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


IPV4 = st.ip_addresses(v=4).map(str)


@given(IPV4, IPV4)
def test_an_ipv4_address_is_a_caller_also_where_it_is_written_as_one_of_ipv6(first: str, second: str) -> None:
    assert caller_of(f"::ffff:{first}") == caller_of(first) == first
    assert (caller_of(first) == caller_of(f"::ffff:{second}")) is (first == second)


@given(st.integers(0, 2**128 - 1).map(IPv6Address), st.integers(0, 127))
def test_addresses_of_one_ipv6_network_are_one_caller(address: IPv6Address, bit: int) -> None:
    neighbour = IPv6Address(int(address) ^ (1 << bit))
    assume(address.ipv4_mapped is None and neighbour.ipv4_mapped is None)
    assert (caller_of(str(address)) == caller_of(str(neighbour))) is (bit < 64)


@pytest.mark.parametrize("key", ["", "unknown", "0123456789ab", "1.2.3", "not:an:address", "::1" + "0" * 70])
def test_what_is_no_address_stands_for_itself(key: str) -> None:
    assert caller_of(key) == key


def test_another_address_of_the_same_caller_gains_nothing() -> None:
    rate, crowd = RateLimit(2), Crowd(2)
    assert [rate.take(f"2001:db8::{number}", 0) == 0 for number in range(3)] == [True, True, False]
    assert rate.take("2001:db8::ffff", 0) > 0 and rate.take("2001:db8:0:1::1", 0) == 0
    assert [crowd.enter(f"2001:db8::{number}") for number in range(3)] == [True, True, False]
    crowd.leave("2001:db8::1")
    assert crowd.enter("2001:db8::7") and crowd.enter("192.0.2.1") and crowd.enter("::ffff:192.0.2.1") and not crowd.enter("192.0.2.1")
