"""The route matrix, generated from the router: every route with every role, method and origin. All answers have safe headers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from litestar import Litestar

from tests.support.desk import NAME
from tests.support.web import Site, open_site
from userstream.domain.access import Role, allows
from userstream.entry.web.answers import SECURITY_HEADERS
from userstream.entry.web.checks import CHANGE_HEADER
from userstream.entry.web.guards import PUBLIC, ROLE
from userstream.entry.web.server import make_application
from userstream.entry.web.sockets import OpenFeeds

ORIGINS = (None, "own", "http://evil.example.com", "null")
METHODS = ("GET", "POST", "DELETE", "PUT", "OPTIONS")
SECURE = {name.decode().lower(): value.decode() for name, value in SECURITY_HEADERS}


@pytest.fixture
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with open_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


def application(site: Site) -> Litestar:
    return make_application(site.server._desk, OpenFeeds(1))


def routes(app: Litestar) -> Iterator[tuple[str, str, Any]]:
    """Method, path and needed role of every HTTP route."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", []):
            for method in handler.http_methods:
                if method != "OPTIONS":
                    yield str(method), route.path.replace("{name:str}", NAME), handler.opt.get(ROLE)


NEEDS_BODY = ("POST", "/api/accounts")


def expected(role: Role | None, needed: object, origin: str | None) -> set[int]:
    if origin not in (None, "own"):
        return {403}
    if needed == PUBLIC:
        return {200, 503}
    if role is None:
        return {401}
    assert isinstance(needed, Role)
    # 409: let in, and the account is disconnected at the moment
    return {200, 409} if allows(role, needed) else {403}


async def test_every_route_names_who_may_call_it(site: Site) -> None:
    found = list(routes(application(site)))
    assert len(found) > 15
    assert [path for _, path, needed in found if not (needed == PUBLIC or isinstance(needed, Role))] == []
    assert sorted(path for _, path, needed in found if needed == PUBLIC) == ["/health", "/ready"]


@pytest.mark.slow
async def test_role_by_method_by_origin(site: Site) -> None:
    known = {(method, path): needed for method, path, needed in routes(application(site))}
    wrong = []
    for path in sorted({path for _, path in known}):
        for method in METHODS:
            for role in (None, *Role):
                for origin in ORIGINS:
                    status = await ask(site, method, path, role, origin)
                    allowed = expected(role, known[method, path], origin) if (method, path) in known else {403, 405}
                    if (method, path) == NEEDS_BODY and 200 in allowed:
                        allowed = {400}
                    if status not in allowed:
                        wrong.append((method, path, role, origin, status))
    assert wrong == []


async def ask(site: Site, method: str, path: str, role: Role | None, origin: str | None) -> int:
    headers = site.headers(role) | {CHANGE_HEADER: "1"}
    if origin is not None:
        headers["Origin"] = site.server.url if origin == "own" else origin
    async with site.client.request(method, site.server.url + path, headers=headers) as answer:
        text = await answer.text()
        assert {name: answer.headers.get(name) for name in SECURE} == SECURE, (method, path, answer.status)
        assert "server" not in answer.headers and "Traceback" not in text
        if answer.status >= 400 and path not in ("/health", "/ready"):
            assert set(json.loads(text)) == {"error"}, text
        return answer.status


@pytest.mark.parametrize(
    ("path", "status", "code", "words"),
    [
        ("/", 404, "not_found", "nothing"),
        ("/api/nothing", 404, "not_found", "nothing"),
        ("/api/accounts/nobody", 404, "unknown_account", "'nobody'"),
        ("/api/accounts/nobody/state", 404, "unknown_account", "'nobody'"),
        ("/api/accounts/nobody/certificate", 404, "unknown_account", "'nobody'"),
        (f"/api/accounts/{'n' * 65}", 400, "bad_parameter", f"name = '{'n' * 65}' must be text of at most 64 characters"),
        ("/api/fills?limit=0", 400, "bad_parameter", "limit = '0' must be a whole number from 1 to 1000"),
        ("/api/fills?limit=x", 400, "bad_parameter", "limit = 'x' must be a whole number from 1 to 1000"),
        ("/api/fills?limit=", 400, "bad_parameter", "limit = '' must be a whole number from 1 to 1000"),
        ("/api/fills?cursor=1;DROP", 400, "bad_parameter", "cursor = '1;DROP' must be `next_cursor` of the page before"),
        ("/api/fills?since=5&until=5", 400, "bad_time", "until = 5 must be after since = 5"),
        (f"/api/accounts/{NAME}/certificate?since=5&until=5", 400, "bad_time", "since = 5, until = 5"),
        ("/api/fills?format=xml", 400, "bad_parameter", "format = 'xml' must be one of json, csv"),
        ("/api/fills?since=-1", 400, "bad_parameter", "since = '-1' must be a whole number from 0 to"),
        (
            "/api/fills?since=x&limit=y",
            400,
            "bad_parameter",
            "since = 'x' must be a whole number from 0 to 253402300799999; limit = 'y' must",
        ),
        ("/api/fills?accuont=desk", 400, "unknown_parameter", "there is no parameter 'accuont' here: did you mean 'account'?"),
        ("/api/fills?limit=1&limit=2", 400, "bad_parameter", "limit is given 2 times"),
        ("/api/accounts?verbose=1", 400, "unknown_parameter", "there is no parameter 'verbose' here: this route takes none"),
        ("/health?x=1", 400, "unknown_parameter", "'x'"),
        ("/api/audit-log?after=-1", 400, "bad_parameter", "after = '-1' must be a whole number from 0 to"),
    ],
)
async def test_what_cannot_be_is_told_in_one_line_with_safe_headers(site: Site, path: str, status: int, code: str, words: str) -> None:
    async with site.client.get(site.server.url + path, headers=site.headers(Role.ADMIN)) as answer:
        body = json.loads(await answer.text())
        assert (answer.status, body["error"]["code"]) == (status, code)
        assert words in body["error"]["message"] and set(body) == {"error"} and set(body["error"]) == {"code", "message"}
        assert {name: answer.headers.get(name) for name in SECURE} == SECURE
        assert "SELECT" not in str(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"account": "a", "venue": "v", "api_key": 7}', "api_key: Expected `str`, got `int`"),
        (b'{"account": "a", "venue": "v", "api_key": "CANARY", "apisecret": "CANARY"}', "unknown field `apisecret`"),
        (b'{"account": "a"}', "missing required field"),
        (b"[]", "Expected `object`, got `array`"),
        (b"", "it is empty"),
        (b"{", "it is no JSON"),
        (b"account=CANARY", "it is no JSON"),
    ],
)
async def test_a_body_that_cannot_be_is_told_by_its_field_without_its_values(site: Site, body: bytes, words: str) -> None:
    headers = site.headers(Role.ADMIN) | {CHANGE_HEADER: "1", "Content-Type": "application/json"}
    async with site.client.post(f"{site.server.url}/api/accounts", headers=headers, data=body) as answer:
        told = json.loads(await answer.text())["error"]
        assert (answer.status, told["code"]) == (400, "bad_body")
        assert words in told["message"] and "CANARY" not in told["message"]


async def test_a_change_without_its_header_and_a_wrong_host_are_refused(site: Site) -> None:
    url = f"{site.server.url}/api/accounts/{NAME}/disconnect"
    async with site.client.post(url, headers=site.headers(Role.ADMIN)) as answer:
        assert answer.status == 403
    async with site.client.get(site.server.url + "/health", headers={"Host": "evil.example.com"}) as answer:
        assert answer.status == 421
    assert NAME in site.desk.application.accounts


async def test_a_wrong_token_opens_nothing_even_where_none_is_needed(site: Site) -> None:
    for header in ("Bearer x", "Basic dXNlcjpwdw==", "Bearer", f"Bearer {site.texts[Role.ADMIN]}x"):
        async with site.client.get(site.server.url + "/health", headers={"Authorization": header}) as answer:
            assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
