"""The tokens of the HTTP API in memory, beside the registry there: nothing of it survives the process."""

from __future__ import annotations

import msgspec

from userstream.adapters.memory_registry import MemoryRegistry
from userstream.domain.access import ApiToken
from userstream.domain.audit import AuditNote
from userstream.kernel.errors import SettingsError
from userstream.kernel.ids import Millis


class MemoryTokens(MemoryRegistry):
    """`Tokens`, and all that `MemoryRegistry` is."""

    def __init__(self) -> None:
        super().__init__()
        self._tokens: dict[str, ApiToken] = {}

    async def add_token(self, token: ApiToken, note: AuditNote) -> None:
        """As in `Tokens`."""
        for known in self._tokens.values():
            if known.name == token.name and known.is_live(token.created_time):
                raise name_taken(token.name, known.id)
        self._tokens[token.id] = token
        self._append(note)

    async def find_token(self, token_id: str) -> ApiToken | None:
        """As in `Tokens`."""
        return self._tokens.get(token_id)

    async def all_tokens(self) -> list[ApiToken]:
        """As in `Tokens`."""
        return sorted(self._tokens.values(), key=lambda token: (token.created_time, token.id))

    async def revoke_token(self, token_id: str, time: Millis, note: AuditNote) -> None:
        """As in `Tokens`."""
        token = self._tokens.get(token_id)
        if token is None:
            raise no_token(token_id)
        revoked = time if token.revoked_time is None else token.revoked_time
        self._tokens[token_id] = msgspec.structs.replace(token, revoked_time=revoked)
        self._append(note)


def no_token(token_id: str) -> SettingsError:
    """For a token that is not there."""
    return SettingsError(f"there is no token {token_id!r}; userstream tokens list shows them all")


def name_taken(name: str, token_id: str) -> SettingsError:
    """For a name that a token which still opens something has already: two of one name could not be told apart in the audit log."""
    return SettingsError(
        f"there is a token {name!r} already ({token_id}): choose another name, or userstream tokens revoke {token_id} first"
    )
