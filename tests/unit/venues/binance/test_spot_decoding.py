"""Frames of the socket: events, answers and words about the socket, in any order of keys and with anything new in them."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import ALICE, RECEIVED, encoded
from tests.unit.venues.binance.spot_kit import SPOT, VENUE_TIME, event_frame, wallet_frame
from userstream.domain.events import BalanceSet, OrderListChanged, Unrecognized
from userstream.venues.binance.spot_decoding import ShutdownAnnounced, SpotDecoder, SubscriptionEnded
from userstream.venues.binance.spot_messages import Reply


def decoder() -> SpotDecoder:
    return SpotDecoder(ALICE, SPOT)


@given(number=st.none() | st.integers(0, 65_535), order=st.permutations(["e", "E", "u", "B"]), first=st.booleans())
def test_the_order_of_keys_and_the_envelope_do_not_matter(number: int | None, order: list[str], first: bool) -> None:
    event = json.loads(wallet_frame())["event"]
    event = {key: event[key] for key in order}
    parts = [("event", event)] if number is None else [("subscriptionId", number), ("event", event)]
    read = decoder()
    [told] = read.decode(encoded(dict(parts if first else parts[::-1])), RECEIVED)
    assert isinstance(told, BalanceSet) and (told.total, told.transaction_time) == (msgspec.convert("1.5", type(told.total)), VENUE_TIME)
    assert read.subscription == number and not read.drift


@given(time=st.integers(0, 9_000_000_000_000), rest=st.integers(0, 999))
def test_microseconds_are_milliseconds_to_everybody_else(time: int, rest: int) -> None:
    in_micros = max(time, 100_000_000_000) * 1_000 + rest
    [told] = decoder().decode(wallet_frame(time=in_micros), RECEIVED)
    assert isinstance(told, BalanceSet)
    assert told.transaction_time == in_micros // 1_000


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (event_frame("serverShutdown", None), ShutdownAnnounced),
        (b'{"e":"serverShutdown","E":1}', ShutdownAnnounced),
        (event_frame("eventStreamTerminated"), SubscriptionEnded),
        (b'{"id":"1","status":200,"result":{"subscriptionId":0},"rateLimits":[]}', Reply),
        (b'{"id":null,"status":401,"error":{"code":-2015,"msg":"no"}}', Reply),
    ],
)
def test_what_is_said_about_the_socket_is_a_notice_for_one_frame(frame: bytes, kind: type) -> None:
    read = decoder()
    read.decode(frame, RECEIVED)
    assert isinstance(read.notice, kind)
    read.decode(wallet_frame(), RECEIVED)
    assert read.notice is None


def test_an_answer_is_no_event_whatever_it_holds() -> None:
    read = decoder()
    assert read.decode(b'{"id":7,"status":200,"result":{"serverTime":1,"more":[1,2]},"rateLimits":[{"a":1}]}', RECEIVED) == ()
    assert isinstance(read.notice, Reply) and read.notice.id == 7
    assert not read.drift


@pytest.mark.parametrize(
    "frame", [b'{"id":"1","status":200,"result":[1]}', b'{"id":"1"}', b"[]", b'{"event":{}}', b'{"subscriptionId":"x","event":{"e":"a"}}']
)
def test_what_is_neither_is_kept_and_counted(frame: bytes) -> None:
    read = decoder()
    [told] = read.decode(frame, RECEIVED)
    assert isinstance(told, Unrecognized)
    assert sum(read.drift.values()) == 1


def test_a_new_word_is_told_once_and_counted_each_time() -> None:
    frame = encoded(
        {"event": {"e": "listStatus", "E": 1, "s": "A", "g": 1, "c": "NEW_KIND", "l": "UPDATED", "L": "EXECUTING", "T": 1, "O": []}}
    )
    read = decoder()
    assert [type(event) for event in read.decode(frame, RECEIVED)] == [OrderListChanged, Unrecognized]
    assert [type(event) for event in read.decode(frame, RECEIVED)] == [OrderListChanged]
    assert read.drift == {"word listStatus.c=NEW_KIND": 2}


def test_a_frame_without_an_end_is_not_read() -> None:
    [told] = decoder().decode(b'{"event":' + b"[" * 2_000_000, RECEIVED)
    assert isinstance(told, Unrecognized) and told.reason == "longer than 1 MiB"
    [told] = decoder().decode(b'{"event":' + b"[" * 1_000, RECEIVED)
    assert isinstance(told, Unrecognized)


def test_samples_hold_no_key() -> None:
    [told] = decoder().decode(b'{"odd":1,"apiKey":"shortKey","signature":"abc"}', RECEIVED)
    assert isinstance(told, Unrecognized)
    assert "shortKey" not in told.sample and "abc" not in told.sample


@pytest.mark.parametrize(
    ("event", "name", "reason"),
    [
        ({"e": "brandNew", "E": VENUE_TIME}, "event brandNew", "an event the documents do not list"),
        ("just a text", 'event "just a text"', "an event the documents do not list"),
        ({"e": "balanceUpdate", "E": VENUE_TIME, "a": "BTC", "d": "NaN", "T": 1}, "bytes", "field balanceUpdate.d is no finite number"),
        ({"e": "balanceUpdate", "E": VENUE_TIME, "a": "BTC", "d": "1"}, "bytes", "balanceUpdate: field T is missing"),
    ],
)
def test_an_event_that_cannot_be_read_is_kept_with_its_name_or_the_reason(event: object, name: str, reason: str) -> None:
    read = decoder()
    [told] = read.decode(encoded({"subscriptionId": 0, "event": event}), RECEIVED)
    assert isinstance(told, Unrecognized) and (told.name, told.reason) == (name, reason)
    assert told.event_time == (VENUE_TIME if isinstance(event, dict) else 0)
    assert sum(read.drift.values()) == 1


def test_new_fields_are_told_once_beside_the_event_in_the_envelope_and_in_the_message() -> None:
    frame = json.loads(wallet_frame())
    frame["brand"] = 1
    frame["event"]["new"] = 2
    read = decoder()
    wallet, *news = read.decode(encoded(frame), RECEIVED)
    assert isinstance(wallet, BalanceSet) and read.subscription == 0
    assert [event.name for event in news if isinstance(event, Unrecognized)] == [
        "field (envelope).brand",
        "field outboundAccountPosition.new",
    ]
    assert [type(event) for event in read.decode(encoded(frame), RECEIVED)] == [BalanceSet]


def test_what_is_nested_deeper_than_anything_is_not_read() -> None:
    for deep in (b'{"event":' + b"[" * 900 + b"]" * 900 + b"}", b'{"event":{"e":"balanceUpdate","x":' + b"[" * 40 + b"]" * 40 + b"}}"):
        [told] = decoder().decode(deep, RECEIVED)
        assert isinstance(told, Unrecognized)
