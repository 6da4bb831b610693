"""Calls for a listen token, and the reading of their answers."""

from __future__ import annotations

import pytest

from tests.unit.venues.binance.kit import API_KEY, answer, refusal
from userstream.kernel.errors import AuthenticationError, RetryLater
from userstream.kernel.ids import Millis, Symbol
from userstream.kernel.secret import Secret
from userstream.venues.binance import listen_token
from userstream.wire.request import HttpResponse

HIDDEN = (Secret(API_KEY),)
TOKEN = "6xXxePXwZRjVSHKhzUCCGnmN3fkvMTXru3DoJPXckjmRGwvjf3tKLBVbVwPKKFvQzFrRyb4u"
ENDS = 1_790_086_400_000


@pytest.mark.parametrize(
    ("symbol", "query"),
    [
        (None, "isIsolated=false&validity=86400000"),
        (Symbol("BTCUSDT"), "isIsolated=true&symbol=BTCUSDT&validity=86400000"),
        (Symbol("BTC&x=1"), "isIsolated=true&symbol=BTC%26x%3D1&validity=86400000"),
        (Symbol("币USDT"), "isIsolated=true&symbol=%E5%B8%81USDT&validity=86400000"),
    ],
)
def test_a_token_is_asked_for_by_the_header_alone(symbol: Symbol | None, query: str) -> None:
    request = listen_token.ask(HIDDEN[0], symbol)
    assert (request.method, request.target.reveal(), request.label) == ("POST", f"/sapi/v1/userListenToken?{query}", listen_token.LABEL)
    assert [(name, value.reveal()) for name, value in request.headers] == [("X-MBX-APIKEY", API_KEY)]
    assert (request.weight, request.body) == (1, None)
    assert API_KEY not in repr(request)


def test_the_token_of_an_answer() -> None:
    found = listen_token.read_token(answer({"token": TOKEN, "expirationTime": ENDS}), HIDDEN)
    assert (found.token.reveal(), found.ends_time) == (TOKEN, Millis(ENDS))
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    "response",
    [
        answer(b"<html>busy</html>"),
        answer({}),
        answer({"token": TOKEN}),
        answer({"token": "", "expirationTime": ENDS}),
        answer({"token": "a b", "expirationTime": ENDS}),
        answer({"token": "a" * 513, "expirationTime": ENDS}),
        answer({"token": TOKEN, "expirationTime": -1}),
        answer({"token": TOKEN, "expirationTime": "soon"}),
        answer({"239999": "maintenance"}, 400),
        answer(b"connection refused", 0),
        refusal(-1003, status=429),
    ],
)
def test_what_is_no_good_answer_may_be_repeated(response: HttpResponse) -> None:
    with pytest.raises(RetryLater):
        listen_token.read_token(response, HIDDEN)


def test_a_key_without_the_right_is_said_and_never_shown() -> None:
    with pytest.raises(AuthenticationError, match="code -2015") as caught:
        listen_token.read_token(refusal(-2015, f"Invalid API-key {API_KEY}", 401), HIDDEN)
    assert API_KEY not in str(caught.value)
