"""Calls about the listen key and the reading of their answers."""

from __future__ import annotations

import pytest

from tests.unit.venues.binance.kit import API_KEY, LISTEN_KEY, answer, refusal
from userstream.kernel.errors import AuthenticationError, ListenKeyGone, RetryLater
from userstream.kernel.secret import Secret
from userstream.venues.binance import listen_key
from userstream.wire.request import HttpRequest, HttpResponse

HIDDEN = (Secret(API_KEY),)
PATH = "/dapi/v1/listenKey"


@pytest.mark.parametrize(
    ("request_made", "method"),
    [
        (listen_key.create(PATH, HIDDEN[0]), "POST"),
        (listen_key.extend(PATH, HIDDEN[0]), "PUT"),
        (listen_key.give_up(PATH, HIDDEN[0]), "DELETE"),
    ],
)
def test_calls_carry_the_header_and_neither_signature_nor_parameters(request_made: HttpRequest, method: str) -> None:
    assert (request_made.method, request_made.target.reveal(), request_made.body) == (method, PATH, None)
    assert [(name, value.reveal()) for name, value in request_made.headers] == [("X-MBX-APIKEY", API_KEY)]
    assert (request_made.label, request_made.weight, request_made.may_repeat) == (f"{method} {PATH}", 1, True)
    assert API_KEY not in repr(request_made)


def test_the_key_of_an_answer() -> None:
    assert listen_key.read_key(answer({"listenKey": LISTEN_KEY}), "POST", HIDDEN) == Secret(LISTEN_KEY)
    assert listen_key.read_key(answer({}), "PUT", HIDDEN) is None


@pytest.mark.parametrize(
    "response",
    [
        answer(b"<html>busy</html>"),
        answer(b"<html>busy</html>", 502),
        answer([]),
        answer({"listenKey": 5}),
        answer({"listenKey": "a b"}),
        answer({"listenKey": "a\nb"}),
        answer({"listenKey": "ключ"}),
        answer({"listenKey": "a" * 513}),
        answer({"239999": "maintenance"}, 400),
        answer(b"connection refused", 0),
        refusal(-1001, status=500),
        refusal(-1003, status=429),
        answer(b"[" * 100_000),
    ],
)
def test_what_is_no_good_answer_may_be_repeated(response: HttpResponse) -> None:
    with pytest.raises(RetryLater):
        listen_key.read_key(response, "POST", HIDDEN)


def test_refusals_say_how_to_react_and_never_show_the_key() -> None:
    with pytest.raises(ListenKeyGone):
        listen_key.read_key(refusal(-1125), "PUT", HIDDEN)
    with pytest.raises(AuthenticationError, match="IP list") as caught:
        listen_key.read_key(refusal(-2015, f"Invalid API-key {API_KEY}", 401), "POST", HIDDEN)
    assert API_KEY not in str(caught.value)
