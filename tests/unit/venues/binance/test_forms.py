"""The addresses and frames that open a stream, and the events they ask for."""

from __future__ import annotations

import json

import pytest

from tests.unit.venues.binance.kit import LISTEN_KEY
from userstream.kernel.errors import SettingsError
from userstream.kernel.secret import Secret
from userstream.venues.binance.forms import ALL_EVENTS, Form, connect, event_list, subscribe
from userstream.venues.binance.shapes import SHAPES

KEY = Secret(LISTEN_KEY)
BASE = "wss://fstream.example/private"


@pytest.mark.parametrize(
    ("form", "url", "label"),
    [
        (Form.QUERY, f"{BASE}/ws?listenKey={LISTEN_KEY}&events=TRADE_LITE/listenKeyExpired", f"{BASE}/ws"),
        (Form.PATH, f"{BASE}/ws/{LISTEN_KEY}", f"{BASE}/ws"),
        (Form.SUBSCRIBE, f"{BASE}/stream", f"{BASE}/stream"),
        (Form.COMBINED, f"{BASE}/stream?streams={LISTEN_KEY}", f"{BASE}/stream"),
    ],
)
def test_the_address_of_each_form(form: Form, url: str, label: str) -> None:
    effect = connect(form, BASE, KEY, ("TRADE_LITE", "listenKeyExpired"))
    assert (effect.url.reveal(), effect.label) == (url, label)
    assert LISTEN_KEY not in repr(effect)


def test_a_key_cannot_break_out_of_the_address() -> None:
    url = connect(Form.QUERY, BASE, Secret("a&events=x/../?#"), ("TRADE_LITE",)).url.reveal()
    assert url == f"{BASE}/ws?listenKey=a%26events%3Dx%2F..%2F%3F%23&events=TRADE_LITE"


def test_the_control_frame() -> None:
    effect = subscribe(Secret('k"1'))
    assert json.loads(effect.text.reveal()) == {"method": "SUBSCRIBE", "params": ['k"1'], "id": 1}
    assert "k" not in repr(effect).replace("Send", "").replace("Secret", "").replace("text", "")


def test_all_events_are_asked_for_and_each_can_be_read() -> None:
    assert event_list((), ALL_EVENTS) == ALL_EVENTS
    assert set(ALL_EVENTS) == set(SHAPES) - {"serverShutdown"}


def test_the_keys_expiry_is_always_asked_for() -> None:
    assert event_list(("ACCOUNT_UPDATE",), ALL_EVENTS) == ("ACCOUNT_UPDATE", "listenKeyExpired")
    assert event_list(("listenKeyExpired", "TRADE_LITE"), ALL_EVENTS) == ("listenKeyExpired", "TRADE_LITE")


def test_a_name_that_would_hide_events_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SettingsError, match=r"'ALGO_ORDER_UPDATE' is no event of this stream; did you mean '(ALGO|ORDER_TRADE)_UPDATE'"):
        event_list(("ALGO_ORDER_UPDATE",), ALL_EVENTS)
