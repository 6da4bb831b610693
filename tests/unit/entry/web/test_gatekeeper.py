"""What passes the gatekeeper, and what every answer carries, around an application that does what a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from litestar.types import Message, Receive, Scope, Send

from tests.support.clock import ManualClock
from tests.support.web import add_token
from userstream.adapters.memory_tokens import MemoryTokens
from userstream.domain.access import Role
from userstream.entry.web.access import Access, Principal
from userstream.entry.web.answers import SECURITY_HEADERS
from userstream.entry.web.checks import Checks
from userstream.entry.web.gatekeeper import Gatekeeper
from userstream.entry.web.settings import HttpSection
from userstream.kernel.errors import StoreError

CANARY = "canary-7f3a91"
Inner = Callable[[Scope, Receive, Send], Awaitable[None]]


async def answer_well(scope: Scope, receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] == "http.request" and message.get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"public")]})
    await send({"type": "http.response.body", "body": b"{}", "more_body": False})


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError(f"SELECT {CANARY}")


async def dawdle(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


class Outcome:
    def __init__(self, messages: list[Any]) -> None:
        self.status: int = messages[0]["status"]
        self.headers: dict[bytes, bytes] = dict(messages[0]["headers"])
        self.body: bytes = b"".join(message.get("body", b"") for message in messages[1:])
        assert {name: self.headers.get(name) for name, _ in SECURITY_HEADERS} == dict(SECURITY_HEADERS)

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


async def ask(
    inner: Inner,
    *,
    headers: dict[str, str] | None = None,
    body: tuple[bytes, ...] = (b"",),
    access: Access | None = None,
    method: str = "GET",
) -> tuple[Outcome, Scope]:
    sent: list[Message] = []
    parts = list(body)

    async def receive() -> Any:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Message) -> None:
        sent.append(message)

    named = {"host": "localhost", "x-userstream-request": "1", **(headers or {})}
    scope: Any = {
        "type": "http",
        "method": method,
        "path": "/api/fills",
        "query_string": b"",
        "client": ("10.0.0.1", 5),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    keeper = Gatekeeper(inner, Checks(HttpSection()), access or open_access(), has_tls=False, request_limit_s=0.02)
    await keeper(scope, receive, send)
    return Outcome(sent), scope


def open_access(tokens: MemoryTokens | None = None, *, per_minute: int = 600) -> Access:
    return Access(tokens or MemoryTokens(), ManualClock(), requests_per_minute=per_minute)


async def test_an_answer_gets_the_security_headers_in_place_of_its_own() -> None:
    outcome, scope = await ask(answer_well)
    assert outcome.status == 200 and outcome.headers[b"cache-control"] == b"no-store"
    assert scope["auth"] is None


async def test_a_known_caller_is_told_to_the_route() -> None:
    tokens, clock = MemoryTokens(), ManualClock()
    text = await add_token(tokens, Role.OPERATOR, clock.wall(), name="desk")
    _, scope = await ask(answer_well, headers={"authorization": f"Bearer {text}"}, access=open_access(tokens))
    caller = scope["auth"]
    assert isinstance(caller, Principal) and (caller.name, caller.role) == ("desk", Role.OPERATOR)


async def test_a_failure_tells_nothing_of_what_is_inside() -> None:
    outcome, _ = await ask(fail)
    assert (outcome.status, outcome.code) == (500, "internal_error")
    assert CANARY.encode() not in outcome.body and b"RuntimeError" not in outcome.body


async def test_an_answer_that_does_not_come_is_given_up() -> None:
    outcome, _ = await ask(dawdle)
    assert (outcome.status, outcome.code) == (503, "too_slow") and b"retry-after" in outcome.headers


@pytest.mark.parametrize("size", [65_536, 65_537])
async def test_a_body_is_counted_as_it_comes(size: int) -> None:
    half = b"a" * (size // 2)
    outcome, _ = await ask(answer_well, body=(half, half, b"a" * (size - 2 * len(half))), method="POST")
    assert outcome.status == (200 if size == 65_536 else 413)


async def test_who_asks_too_often_is_told_when_to_come_again() -> None:
    tokens, clock = MemoryTokens(), ManualClock()
    text = await add_token(tokens, Role.VIEWER, clock.wall())
    access = open_access(tokens, per_minute=2)
    codes = [(await ask(answer_well, headers={"authorization": f"Bearer {text}"}, access=access))[0] for _ in range(3)]
    assert [outcome.status for outcome in codes] == [200, 200, 429]
    assert int(codes[2].headers[b"retry-after"]) == 30
    assert (await ask(answer_well, access=access))[0].status == 200
    assert (await ask(answer_well, access=access))[0].status == 429


async def test_twenty_wrong_tokens_lock_nobody_out_who_has_a_right_one_or_needs_none() -> None:
    tokens, clock = MemoryTokens(), ManualClock()
    text = await add_token(tokens, Role.VIEWER, clock.wall())
    access = open_access(tokens)
    wrong = [(await ask(answer_well, headers={"authorization": "Bearer wrong"}, access=access))[0] for _ in range(22)]
    assert [outcome.status for outcome in wrong] == [401] * 20 + [429] * 2 and b"retry-after" in wrong[-1].headers
    assert (await ask(answer_well, access=access))[0].status == 200
    outcome, scope = await ask(answer_well, headers={"authorization": f"Bearer {text}"}, access=access)
    assert outcome.status == 200 and isinstance(scope["auth"], Principal)


class BrokenTokens(MemoryTokens):
    async def find_token(self, token_id: str) -> Any:
        raise StoreError(f"disk {CANARY}")


async def test_without_the_store_nobody_is_let_in() -> None:
    text = await add_token(MemoryTokens(), Role.ADMIN, ManualClock().wall())
    outcome, _ = await ask(answer_well, headers={"authorization": f"Bearer {text}"}, access=open_access(BrokenTokens()))
    assert (outcome.status, outcome.code) == (503, "store_trouble") and CANARY.encode() not in outcome.body
