"""What the venue's refusals mean: every row of its table, every status, every odd body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.venues.binance.kit import API_KEY, answer, refusal
from userstream.kernel.errors import (
    AuthenticationError,
    ClockSkewed,
    ConnectionError,
    ListenKeyGone,
    OrderNotFound,
    OutcomeUnknown,
    RequestRefused,
    RetryLater,
    UserStreamError,
)
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.venues.binance.errors import REACTIONS, WHAT_TO_CHECK, error_of, is_keyless_error, is_success, pause_ms, refusal_of
from userstream.wire.request import HttpResponse

NOW = Millis(1_790_000_000_000)

# Binance USD-M, 3.3, row by row.
ROWS: dict[str, tuple[type[UserStreamError], tuple[int, ...]]] = {
    "auth": (AuthenticationError, (-2014, -2015, -2017, -1002, -1022, -4056, -4057)),
    "clock": (ClockSkewed, (-1021, -5028)),
    "rate": (RetryLater, (-1003, -1015, -1034)),
    "busy": (RetryLater, (-1000, -1001, -1008, -1016)),
    "unknown": (OutcomeUnknown, (-1006, -1007)),
    "listen key": (ListenKeyGone, (-1125,)),
    "listen token": (ListenKeyGone, (-1209,)),
    "subscription": (RequestRefused, (-2035, -2036)),
    "too many subscriptions": (ConnectionError, (-2042,)),
    "order not found": (OrderNotFound, (-2013, -2011)),
    "funds": (RequestRefused, (-2010, -2018, -2019, -2027, -2028, -4050, -4051)),
    "order rules": (
        RequestRefused,
        (-1013, -4001, -4002, -4003, -4004, -4005, -4013, -4014, -4023, -4016, -4024, -4131, -4164, -1111, -1106, -1102),
    ),
    "post-only": (RequestRefused, (-5022,)),
    "other": (
        RequestRefused,
        (
            *(-2021, -2022, -2023, -2025, -2026, -4015, -4045, -4046, -4059, -4061, -4067, -4068, -4116, -4118, -4120, -4192),
            *(-4400, -4401, -4402, -4531, -5021, -5024, -5025, -5026, -5027, -5037, -5038, -5039, -5040, -5041, -1121),
        ),
    ),
    "maintenance": (RetryLater, (-1109,)),
}
CODES = [(code, kind) for kind, codes in ROWS.values() for code in codes]


def reaction(response: HttpResponse, *, repeatable: bool = False) -> UserStreamError:
    return error_of(response, "POST /fapi/v1/order", repeatable=repeatable, venue_now=NOW)


@pytest.mark.parametrize(("code", "kind"), CODES)
def test_every_code_has_its_reaction(code: int, kind: type[UserStreamError]) -> None:
    assert type(reaction(refusal(code))) is kind
    assert type(reaction(answer({"code": str(code), "msg": "as text"}, 400))) is kind


def test_the_table_of_the_tests_is_the_table_of_the_code() -> None:
    assert {code for code, _ in CODES} == set(REACTIONS)


@pytest.mark.parametrize("code", [code for code, kind in CODES if kind is AuthenticationError])
def test_a_refused_key_says_what_to_check(code: int) -> None:
    assert WHAT_TO_CHECK[code] in str(reaction(refusal(code, status=401)))


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (answer(b"connection refused", 0), OutcomeUnknown),
        (answer(b"", 408), OutcomeUnknown),
        (answer(b"<html>", 500), OutcomeUnknown),
        (answer(b"<html>", 502), OutcomeUnknown),
        (answer(b"", 504), OutcomeUnknown),
        (refusal(-9999, status=503), OutcomeUnknown),
        (refusal(-1000, "Unknown error, please check your request or try again later.", 503), RetryLater),
        (answer(b"Unknown error, please check your request or try again later.", 503), OutcomeUnknown),
        (answer(b"Service Unavailable.", 503), RetryLater),
        (refusal(-1007, "Internal error; unable to process your request. Please try again.", 503), RetryLater),
        (answer(b"<html>blocked</html>", 403), RetryLater),
        (refusal(-2015, status=403), AuthenticationError),
        (answer(b"<html>", 401), RetryLater),
        (answer(b"<html>", 200), RetryLater),
        (answer({"239999": "maintenance"}, 400), RetryLater),
        (refusal(-9999), RequestRefused),
        (refusal(-2015, status=429), RetryLater),
        (refusal(-2015, status=418), RetryLater),
        (answer(b"[" * 100_000, 400), RetryLater),
    ],
)
def test_where_no_code_helps_the_status_decides(response: HttpResponse, kind: type[UserStreamError]) -> None:
    assert type(reaction(response)) is kind


@pytest.mark.parametrize("response", [answer(b"", 0), answer(b"", 408), answer(b"<html>", 500), refusal(-1006), refusal(-1007)])
def test_what_is_unknown_is_simply_asked_again_where_that_is_harmless(response: HttpResponse) -> None:
    assert type(reaction(response, repeatable=True)) is RetryLater


@pytest.mark.parametrize(
    ("response", "after_ms"),
    [
        (refusal(-1003, status=429, retry_after="7"), 7_000),
        (refusal(-1003, status=429), 60_000),
        (refusal(-1003, status=418), 120_000),
        (refusal(-1003, status=418, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), 120_000),
        (refusal(-1003, f"Way too many requests; IP banned until {NOW + 90_500}.", 418), 90_500),
        (refusal(-1003, f"IP banned until {NOW - 5}.", 418), 0),
        (refusal(-1003, "IP banned until 9999999999999.", 418), 3 * 24 * 3600 * 1000),
        (refusal(-1003, status=429, retry_after="9" * 5000), 3 * 24 * 3600 * 1000),
        (answer(b"<html>", 403), 60_000),
        (refusal(-1015), None),
        (refusal(-1021), None),
    ],
)
def test_the_venues_advice_is_kept(response: HttpResponse, after_ms: int | None) -> None:
    error = reaction(response)
    assert isinstance(error, RetryLater)
    assert error.after_ms == after_ms


def test_a_ban_without_a_clock_waits_the_shortest_ban() -> None:
    error = error_of(refusal(-1003, f"banned until {NOW + 5}", 418), "GET /x", repeatable=True)
    assert isinstance(error, RetryLater) and error.after_ms == 120_000


def test_texts_are_for_people_and_hold_no_secret() -> None:
    odd = f"Invalid {API_KEY}\x1b[31m " + "long " * 100
    text = str(error_of(refusal(-2015, odd, 401), "GET /x", repeatable=True, hidden=(Secret(API_KEY), Secret(""))))
    assert text.startswith("GET /x (HTTP 401): code -2015: Invalid ***\ufffd[31m long")
    assert API_KEY not in text and len(text) < 450
    short = str(error_of(answer(b"dialled abc", 0), "GET /x", repeatable=True, hidden=(Secret("abc"),)))
    assert short == "GET /x: no answer: dialled ***"
    assert str(reaction(answer(b"<html>secret</html>", 502))) == "POST /fapi/v1/order (HTTP 502): an answer that is not the venue's own"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"code":-1021,"msg":"x"}', -1021),
        (b'{"code":"-1021"}', -1021),
        (b'{"code":200,"msg":"success"}', None),
        (b'{"code":"ok"}', None),
        (b'{"239999":"x"}', None),
        (b"[]", None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_refusals_are_told_from_other_bodies(body: bytes, code: int | None) -> None:
    found = refusal_of(body)
    assert (None if found is None else found.code) == code


def test_success_is_a_good_status_without_a_refusal() -> None:
    assert is_success(answer({}))
    assert is_success(answer({"code": 200, "msg": "success"}))
    assert not is_success(refusal(-1021, status=200))
    assert not is_success(answer({}, 302))
    assert not is_success(answer({}, 0))


def test_error_bodies_without_a_code_are_known_by_their_number() -> None:
    assert is_keyless_error(b'{"239999":"..."}')
    assert not is_keyless_error(b'{"listenKey":"x"}')
    assert not is_keyless_error(b"[]")


@given(status=st.integers(0, 600), body=st.binary(max_size=60), retry_after=st.text(max_size=8), repeatable=st.booleans())
def test_any_answer_has_a_reaction(status: int, body: bytes, retry_after: str, repeatable: bool) -> None:
    response = HttpResponse(status=status, body=body, headers={"retry-after": retry_after})
    error = error_of(response, "GET /x", repeatable=repeatable, venue_now=NOW)
    assert str(error).isprintable()
    assert not (repeatable and isinstance(error, OutcomeUnknown))


@pytest.mark.parametrize(
    ("response", "pause"),
    [
        (refusal(-1003, status=429, retry_after="7"), 7_000),
        (refusal(-1003, status=429), 60_000),
        (refusal(-1003, status=418), 120_000),
        (refusal(-1003, status=429, retry_after="9" * 25), 3 * 24 * 3600 * 1000),
        (HttpResponse(status=418, body=b'{"code":-1003,"msg":"Way too many requests; IP banned until 1790000900000."}'), 900_000),
        (HttpResponse(status=403, body=b"<html>waf</html>"), 60_000),
        (refusal(-2015, status=403), 0),
        (refusal(-1008, status=503, retry_after="5"), 0),
        (refusal(-2015, status=401), 0),
        (HttpResponse(status=200, body=b"{}"), 0),
        (HttpResponse(status=0, body=b"no answer"), 0),
    ],
)
def test_only_limits_bans_and_the_firewall_silence_everybody(response: HttpResponse, pause: int) -> None:
    assert pause_ms(response, Millis(1_790_000_000_000)) == pause
