"""Who may do what over HTTP: roles in an order, and tokens of which only a hash is kept. Pure: chance and time are arguments."""

from __future__ import annotations

import hashlib
import hmac
import re
from enum import StrEnum
from typing import Final

import msgspec

from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret

PREFIX: Final = "ust"
"""Tokens begin with it, so that a scanner finds one that was lost."""
_FORM: Final = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_[A-Za-z0-9_-]{{43,86}}", re.ASCII)


class Role(StrEnum):
    """viewer: reads; operator: connects and disconnects accounts, too; admin: reads the audit log, too."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


class ApiToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is kept. `id` is public and part of the token's text; `hash` is the SHA-256 of the whole text, which is enough for
    256 random bits. Times are our clock's, ms since 1970."""

    id: str
    name: str
    role: Role
    hash: str
    created_time: Millis
    expires_time: Millis
    revoked_time: Millis | None = None

    def is_live(self, now: Millis) -> bool:
        """Whether it still opens anything at `now` (wall clock, ms)."""
        return self.revoked_time is None and now < self.expires_time

    def opens_with(self, text: Secret) -> bool:
        """Whether this is the token's text. Takes the same time whatever the text."""
        return hmac.compare_digest(self.hash, hash_token(text))


def allows(held: Role, needed: Role) -> bool:
    """Whether the one role may do what the other may."""
    return _RANKS[held] >= _RANKS[needed]


def write_token(token_id: str, chance: str) -> Secret:
    """The text of a token. `token_id`: 12 hexadecimal digits; `chance`: at least 256 random bits in URL-safe base64."""
    text = f"{PREFIX}_{token_id}_{chance}"
    if _FORM.fullmatch(text) is None:
        raise ValueError("a token needs an id of 12 hexadecimal digits and 43 to 86 random characters")
    return Secret(text)


def token_id_of(text: Secret) -> str | None:
    """The id within a token's text; None for what cannot be a token."""
    found = _FORM.fullmatch(text.reveal())
    return None if found is None else found[1]


def hash_token(text: Secret) -> str:
    """What is kept of a token, in hexadecimal."""
    return hashlib.sha256(text.reveal().encode("utf-8", "surrogatepass")).hexdigest()
