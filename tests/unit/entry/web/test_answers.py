"""The form of answers."""

from __future__ import annotations

import msgspec

from userstream.entry.web.answers import SECURITY_HEADERS, ApiError, error_body, refusal_headers, secured
from userstream.entry.web.checks import Refusal


def test_security_headers_replace_those_of_a_route() -> None:
    headers = dict(secured([(b"Cache-Control", b"public"), (b"x", b"y")], has_tls=False))
    assert headers == {**dict(SECURITY_HEADERS), b"x": b"y"}
    assert b"strict-transport-security" in dict(secured([], has_tls=True))


def test_a_content_type_says_each_parameter_once() -> None:
    doubled = b"text/plain; version=0.0.4; charset=utf-8; charset=utf-8"
    assert dict(secured([(b"content-type", doubled)], has_tls=False))[b"content-type"] == b"text/plain; version=0.0.4; charset=utf-8"
    assert dict(secured([(b"Content-Type", b"application/json")], has_tls=False))[b"Content-Type"] == b"application/json"


def test_a_refusal_says_when_to_come_again() -> None:
    refusal = Refusal(status=429, code="too_many_requests", message="wait", retry_after_ms=1_001)
    assert dict(refusal_headers(refusal))[b"retry-after"] == b"2"
    assert msgspec.json.decode(error_body(refusal)) == {"error": {"code": "too_many_requests", "message": "wait"}}
    assert dict(refusal_headers(ApiError(401, "a", "b").refusal))[b"www-authenticate"] == b"Bearer"
