"""Who is recognized, and how often one may try."""

from __future__ import annotations

import pytest

from tests.support.clock import ManualClock
from tests.support.web import add_token, note_of
from userstream.adapters.memory_tokens import MemoryTokens
from userstream.domain.access import Role, token_id_of
from userstream.entry.web.access import FAILURES_PER_MINUTE, TICKET_LIFE_MS, UNKNOWN_TICKET, UNKNOWN_TOKEN, Access, Principal
from userstream.entry.web.checks import Refusal
from userstream.kernel.secret import Secret

HERE = "127.0.0.1"


class Door:
    def __init__(self) -> None:
        self.clock, self.tokens = ManualClock(), MemoryTokens()
        self.access = Access(self.tokens, self.clock, requests_per_minute=60)

    async def enter(self, role: Role = Role.VIEWER) -> tuple[str, Principal]:
        text = await add_token(self.tokens, role, self.clock.wall())
        principal = await self.access.recognize(Secret(text), HERE)
        assert isinstance(principal, Principal)
        return text, principal

    async def revoke(self, text: str) -> None:
        token_id = token_id_of(Secret(text)) or ""
        await self.tokens.revoke_token(token_id, self.clock.wall(), note_of("token.revoke", token_id))


async def test_a_token_is_recognized_until_it_is_over() -> None:
    door = Door()
    text, principal = await door.enter(Role.ADMIN)
    assert principal.role is Role.ADMIN and await door.access.is_live(principal)
    await door.revoke(text)
    assert await door.access.recognize(Secret(text), HERE) == UNKNOWN_TOKEN
    assert not await door.access.is_live(principal)


async def test_a_token_ends_with_its_days() -> None:
    door = Door()
    text, principal = await door.enter()
    await door.clock.advance(86_400_001)
    assert await door.access.recognize(Secret(text), HERE) == UNKNOWN_TOKEN
    assert not await door.access.is_live(principal)


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text[:-1] + "!", lambda text: text.swapcase(), lambda text: ""])
async def test_nearly_the_token_is_not_enough(change: object) -> None:
    assert callable(change)
    door = Door()
    text, _ = await door.enter()
    assert await door.access.recognize(Secret(change(text)), HERE) == UNKNOWN_TOKEN


async def test_who_guesses_must_wait_and_nobody_else_at_that_address() -> None:
    door = Door()
    text, principal = await door.enter()
    ticket, _ = door.access.make_ticket(principal)
    for _ in range(FAILURES_PER_MINUTE):
        assert await door.access.recognize(Secret("ust_guess"), HERE) == UNKNOWN_TOKEN
    refusal = await door.access.recognize(Secret("ust_guess"), HERE)
    assert isinstance(refusal, Refusal) and refusal.status == 429 and refusal.retry_after_ms > 0
    assert door.access.refuse_address(HERE) is None
    assert await door.access.recognize(Secret(text), HERE) == await door.access.redeem(ticket, HERE) == principal
    assert await door.access.redeem(ticket, HERE) == refusal
    assert await door.access.recognize(Secret("ust_guess"), "10.0.0.9") == UNKNOWN_TOKEN
    await door.clock.advance(refusal.retry_after_ms)
    assert await door.access.recognize(Secret("ust_guess"), HERE) == UNKNOWN_TOKEN


async def test_an_address_has_so_many_requests_of_all_kinds() -> None:
    door = Door()
    assert [door.access.refuse_address(HERE) for _ in range(120)] == [None] * 120
    refusal = door.access.refuse_address(HERE)
    assert refusal is not None and refusal.status == 429


async def test_each_token_has_a_rate_of_its_own() -> None:
    door = Door()
    (_, one), (_, other) = await door.enter(), await door.enter(Role.OPERATOR)
    assert [door.access.refuse_caller(one) for _ in range(60)] == [None] * 60
    assert door.access.refuse_caller(one) is not None
    assert door.access.refuse_caller(other) is None


async def test_a_ticket_opens_once_and_soon() -> None:
    door = Door()
    text, principal = await door.enter()
    ticket, lives_ms = door.access.make_ticket(principal)
    assert lives_ms == TICKET_LIFE_MS
    assert await door.access.redeem(ticket, HERE) == principal
    assert await door.access.redeem(ticket, HERE) == UNKNOWN_TICKET
    late, _ = door.access.make_ticket(principal)
    await door.clock.advance(TICKET_LIFE_MS)
    assert await door.access.redeem(late, HERE) == UNKNOWN_TICKET
    last, _ = door.access.make_ticket(principal)
    await door.revoke(text)
    assert await door.access.redeem(last, HERE) == UNKNOWN_TICKET
