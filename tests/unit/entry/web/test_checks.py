"""What is refused before anybody asks for what."""

from __future__ import annotations

import pytest

from userstream.entry.web.checks import CHANGE_HEADER, Ask, Checks, read_headers
from userstream.entry.web.settings import HttpSection

CHECKS = Checks(HttpSection(hosts=("desk.example.com",), origins=("https://page.example.com",)))
HOST = {"host": "127.0.0.1:8080"}
CHANGE = {CHANGE_HEADER: "1"}


def code(method: str = "GET", *, is_socket: bool = False, query: bytes = b"", **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    refusal = CHECKS.refusal(Ask(method=method, headers=HOST | named, is_socket=is_socket, query=query))
    return "" if refusal is None else refusal.code


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1", "[::1]:9", "[::1]", "desk.example.com:443", "DESK.example.com"]
)
def test_own_names_pass(host: str) -> None:
    assert code(host=host) == ""


@pytest.mark.parametrize("host", ["", "evil.example.com", "127.0.0.1.evil.example", "desk.example.com.evil", "a, 127.0.0.1", "localhost:x"])
def test_other_names_do_not(host: str) -> None:
    assert code(host=host) == "wrong_host"


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:8080", ""),
        ("https://page.example.com", ""),
        ("https://127.0.0.1:8080", "foreign_origin"),
        ("http://127.0.0.1:8081", "foreign_origin"),
        ("http://evil.example.com", "foreign_origin"),
        ("null", "foreign_origin"),
        ("", "foreign_origin"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_pages_of_other_origins_do_not(origin: str, expected: str, method: str) -> None:
    assert code(method, origin=origin, x_userstream_request="1") == expected
    assert code(is_socket=True, origin=origin) == expected


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_changes_need_the_header_and_our_own_site(method: str, site: str) -> None:
    assert code(method) == "header_missing"
    assert code(method, x_userstream_request="1") == ""
    assert code(method, x_userstream_request="1", sec_fetch_site="same-origin") == ""
    assert code(method, x_userstream_request="1", sec_fetch_site=site) == "foreign_site"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_other_methods_are_unknown(method: str) -> None:
    assert code(method) == "method_not_allowed"


def test_sizes_are_limited() -> None:
    assert code(x_large="a" * 8_200) == "headers_too_large"
    assert code("POST", content_length="65537", x_userstream_request="1") == "body_too_large"
    assert code("POST", content_length="65536", x_userstream_request="1") == ""
    assert code("POST", content_length="-1", x_userstream_request="1") == "bad_request"


def test_a_live_feed_takes_no_query() -> None:
    assert code(is_socket=True, query=b"token=ust_x") == "query_refused"


def test_a_header_that_is_given_twice_is_seen_whole() -> None:
    assert read_headers([(b"Host", b"a"), (b"host", b"b")]) == {"host": "a, b"}
