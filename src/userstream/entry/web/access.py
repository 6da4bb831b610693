"""Who calls: tokens from the store, single-use tickets for the live feed, and how often a caller may try."""

from __future__ import annotations

import secrets
from typing import Final

import msgspec

from userstream.domain.access import ApiToken, Role, allows, hash_token, token_id_of, write_token
from userstream.entry.web.checks import Refusal
from userstream.entry.web.limits import RateLimit
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret
from userstream.ports import Clock, Tokens

FAILURES_PER_MINUTE: Final = 20
TICKET_LIFE_MS: Final = 30_000
MOST_TICKETS: Final = 1_000
DAY_MS: Final = 86_400_000
UNKNOWN_TOKEN: Final = Refusal(status=401, code="unknown_token", message="no such token, or it is over", challenge=True)
UNKNOWN_TICKET: Final = Refusal(status=401, code="unknown_ticket", message="no such ticket, or it was used, or it is over")


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """A caller who was recognized."""

    token_id: str
    name: str
    role: Role

    @property
    def actor(self) -> str:
        """How the audit log names the caller."""
        return f"token {self.token_id} ({self.name})"


def make_token(name: str, role: Role, *, now: Millis, days: int) -> tuple[ApiToken, Secret]:
    """A new token, and its text, which is kept nowhere. `now`: wall clock (ms)."""
    token_id = secrets.token_hex(6)
    text = write_token(token_id, secrets.token_urlsafe(32))
    expires = Millis(now + days * DAY_MS)
    return ApiToken(id=token_id, name=name, role=role, hash=hash_token(text), created_time=now, expires_time=expires), text


class Access:
    """Recognizes callers. Raises StoreError when the store of tokens cannot be read.

    Guessing is limited by address, and only who guesses is refused for it: a caller whose token opens something, or who needs none, may
    share the address with a program that is set up wrongly. A right guess would pass, too, but there are 2^256 texts, and each guess
    costs one of the requests that the address has in a minute.
    """

    def __init__(self, tokens: Tokens, clock: Clock, *, requests_per_minute: int) -> None:
        self._tokens, self._clock = tokens, clock
        self._addresses, self._callers = RateLimit(2 * requests_per_minute), RateLimit(requests_per_minute)
        self._failures = RateLimit(FAILURES_PER_MINUTE)
        self._tickets: dict[str, tuple[str, Millis]] = {}

    def refuse_address(self, address: str) -> Refusal | None:
        """Why requests from there must wait, if they must."""
        wait = self._addresses.take(address, self._clock.now())
        return _too_many(wait) if wait else None

    def refuse_caller(self, principal: Principal) -> Refusal | None:
        """Why the caller must wait, if so."""
        wait = self._callers.take(principal.token_id, self._clock.now())
        return _too_many(wait) if wait else None

    async def recognize(self, text: Secret, address: str) -> Principal | Refusal:
        """The caller with this token; if nobody has it (any more), why it is refused, and a failure is counted for the address."""
        token_id = token_id_of(text)
        token = None if token_id is None else await self._tokens.find_token(token_id)
        if token is not None and token.opens_with(text) and token.is_live(self._clock.wall()):
            return _principal(token)
        return self._note_failure(address, UNKNOWN_TOKEN)

    async def is_live(self, principal: Principal) -> bool:
        """Whether the caller's token still opens something."""
        token = await self._tokens.find_token(principal.token_id)
        return token is not None and token.is_live(self._clock.wall()) and allows(token.role, principal.role)

    def make_ticket(self, principal: Principal) -> tuple[Secret, int]:
        """A ticket that opens one live feed within the next 30 s, and its life in ms."""
        now = self._clock.now()
        self._tickets = {known: held for known, held in self._tickets.items() if held[1] > now}
        while len(self._tickets) >= MOST_TICKETS:
            del self._tickets[next(iter(self._tickets))]
        ticket = Secret(secrets.token_urlsafe(32))
        self._tickets[hash_token(ticket)] = (principal.token_id, Millis(now + TICKET_LIFE_MS))
        return ticket, TICKET_LIFE_MS

    async def redeem(self, ticket: Secret, address: str) -> Principal | Refusal:
        """Whose ticket it is; it opens nothing more. If it was used, is too old or never was: why it is refused, and a failure is
        counted."""
        token_id, expires = self._tickets.pop(hash_token(ticket), ("", Millis(0)))
        token = await self._tokens.find_token(token_id) if token_id and self._clock.now() < expires else None
        if token is not None and token.is_live(self._clock.wall()):
            return _principal(token)
        return self._note_failure(address, UNKNOWN_TICKET)

    def _note_failure(self, address: str, refusal: Refusal) -> Refusal:
        """The refusal, or the word to wait where the address has failed too often."""
        wait = self._failures.take(address, self._clock.now())
        return _too_many(wait, "too many wrong tokens from this address: wait") if wait else refusal


def _principal(token: ApiToken) -> Principal:
    return Principal(token_id=token.id, name=token.name, role=token.role)


def _too_many(wait_ms: int, message: str = "too many requests: wait") -> Refusal:
    return Refusal(status=429, code="too_many_requests", message=message, retry_after_ms=wait_ms)
