"""Subscriptions of one socket: numbers, envelopes, ends."""

import msgspec
import pytest

from tests.unit.sim.kit import START
from userstream.sim.dialects.binance_errors import VenueError
from userstream.sim.dialects.binance_spot_subscriptions import MOST_ACTIVE, MOST_OVER_A_LIFE, Subscriptions
from userstream.sim.venue import Frame


def code_of(act: object) -> int:
    assert callable(act)
    with pytest.raises(VenueError) as caught:
        act()
    return caught.value.code


def frame(account: str) -> Frame:
    return Frame(account=account, event="balanceUpdate", body=b'{"e":"balanceUpdate","E":5,"T":4}')


def test_numbers_rise_from_zero_and_never_come_again() -> None:
    made = Subscriptions(microseconds=False)
    assert [made.open(account, by_logon=False) for account in ("a", "b")] == [0, 1]
    assert code_of(lambda: made.open("a", by_logon=True)) == -2035
    made.close(0, START)
    assert made.open("a", by_logon=True) == 2
    assert (made.numbers, made.accounts) == ([1, 2], frozenset({"a", "b"}))


def test_an_event_goes_to_its_account_under_its_number() -> None:
    made = Subscriptions(microseconds=False)
    made.open("a", by_logon=False)
    made.open("b", by_logon=False)
    assert made.wrap(frame("b")) == [b'{"subscriptionId":1,"event":{"e":"balanceUpdate","E":5,"T":4}}']
    assert made.wrap(frame("c")) == []
    assert made.announce(b'{"e":"serverShutdown","E":5}') == b'{"event":{"e":"serverShutdown","E":5}}'


def test_events_in_microseconds() -> None:
    made = Subscriptions(microseconds=True)
    made.open("a", by_logon=False)
    assert made.wrap(frame("a")) == [b'{"subscriptionId":0,"event":{"e":"balanceUpdate","E":5000,"T":4000}}']
    assert made.announce(b'{"e":"serverShutdown","E":5}') == b'{"event":{"e":"serverShutdown","E":5000}}'


def test_every_end_is_told_under_its_number() -> None:
    made = Subscriptions(microseconds=False)
    for account, logon in (("a", True), ("b", False), ("c", False), ("d", False)):
        made.open(account, by_logon=logon)
    assert code_of(lambda: made.close(9, START)) == -2036
    ends = [*made.close_logon(START), *made.close_account("c", START), *made.close(1, START), *made.close(None, START)]
    decoded = [msgspec.json.decode(end) for end in ends]
    assert [each["subscriptionId"] for each in decoded] == [0, 2, 1, 3]
    assert all(each["event"] == {"e": "eventStreamTerminated", "E": START} for each in decoded)
    assert made.close_account("a", START) == made.close(None, START) == []


def test_a_socket_has_so_many_subscriptions_and_no_more() -> None:
    made = Subscriptions(microseconds=False)
    for number in range(MOST_ACTIVE):
        made.open(str(number), by_logon=False)
    assert code_of(lambda: made.open("one more", by_logon=False)) == -2042
    made.close(None, START)
    for number in range(MOST_OVER_A_LIFE - MOST_ACTIVE):
        made.open(str(number), by_logon=False)
        made.close_account(str(number), START)
    assert code_of(lambda: made.open("one more", by_logon=False)) == -2042
