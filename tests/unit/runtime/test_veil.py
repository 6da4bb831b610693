"""The veil: no listen key of ours in anything that is kept, wherever it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userstream.kernel.secret import Secret
from userstream.runtime.veil import Veil

KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"
FORMS = (
    b'{"stream":"KEY","data":{}}',
    b'{ "stream" : "KEY","data":{}}',
    b'{"data":{},"stream":"KEY"}',
    b'{"result":["KEY"],"id":3}',
    b'{"e":"listenKeyExpired","listenKey":"KEY"}',
    b'["KEY","KEY"]',
    b"KEY",
)


def veil() -> Veil:
    made = Veil()
    made.learn([Secret(KEY), None])
    return made


@pytest.mark.parametrize("form", FORMS)
def test_the_key_gives_way_in_every_form(form: bytes) -> None:
    hidden = veil().hide(form.replace(b"KEY", KEY.encode()))
    assert KEY.encode() not in hidden
    assert b"***" in hidden


def test_another_key_gives_way_where_it_is_named() -> None:
    for form in (FORMS[0], FORMS[4]):
        assert b"z" * 64 not in veil().hide(form.replace(b"KEY", b"z" * 64))


@given(st.binary(max_size=80), st.integers(0, len(KEY)))
def test_a_sample_that_ends_within_the_key_shows_at_most_a_few_letters(before: bytes, cut: int) -> None:
    hidden = veil().hide_in_part(before + KEY.encode()[:cut])
    assert KEY.encode()[:8] not in hidden or KEY.encode()[:8] in before


def test_messages_without_a_key_are_left_as_they_are() -> None:
    frame = b'{"e":"ORDER_TRADE_UPDATE","o":{"s":"BTCUSDT"}}'
    assert veil().hide(frame) is frame
    assert veil().hide_in_part(frame) is frame


def test_who_hides_keys_in_logs_hears_of_each_once_and_of_its_end() -> None:
    told: list[tuple[str, str]] = []
    made = Veil()
    made.on_known, made.on_gone = (lambda key: told.append(("known", key.reveal()))), (lambda key: told.append(("gone", key.reveal())))
    made.learn([Secret(KEY), Secret(KEY), None, Secret("short")])
    made.learn([Secret(KEY), Secret("z" * 64)])
    made.learn([Secret("z" * 64)])
    made.learn([])
    assert told == [("known", KEY), ("known", "z" * 64), ("gone", KEY), ("gone", "z" * 64)]
    assert made.hide(KEY.encode()) == KEY.encode()
