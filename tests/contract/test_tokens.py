"""What every keeper of tokens promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.web import add_token, note_of
from userstream.adapters.memory_tokens import MemoryTokens
from userstream.adapters.sqlite_tokens import SqliteTokens
from userstream.domain.access import Role, hash_token, token_id_of
from userstream.domain.audit import verify_chain
from userstream.kernel.errors import SettingsError
from userstream.kernel.ids import Millis
from userstream.kernel.secret import Secret

NOW = Millis(1_760_000_000_000)


@pytest.fixture(params=["memory", "sqlite"])
async def tokens(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryTokens | SqliteTokens]:
    keeper = MemoryTokens() if request.param == "memory" else await SqliteTokens.open(tmp_path / "tokens.db")
    yield keeper
    await keeper.close()


def holds_nowhere(folder: Path, text: str) -> bool:
    return all(text.encode() not in path.read_bytes() for path in folder.iterdir())


async def test_a_token_is_found_by_its_id_and_its_text_is_kept_nowhere(tokens: MemoryTokens | SqliteTokens, tmp_path: Path) -> None:
    text = await add_token(tokens, Role.OPERATOR, NOW, name="desk")
    token_id = token_id_of(Secret(text))
    assert token_id is not None
    found = await tokens.find_token(token_id)
    assert found is not None and (found.name, found.role, found.hash) == ("desk", Role.OPERATOR, hash_token(Secret(text)))
    assert await tokens.find_token("000000000000") is None
    await tokens.close()
    assert holds_nowhere(tmp_path, text)


async def test_all_of_them_are_listed_oldest_first(tokens: MemoryTokens | SqliteTokens) -> None:
    for age, name in ((30, "c"), (10, "a"), (20, "b")):
        await add_token(tokens, Role.VIEWER, Millis(NOW + age), name=name)
    assert [token.name for token in await tokens.all_tokens()] == ["a", "b", "c"]


async def test_a_name_belongs_to_one_live_token(tokens: MemoryTokens | SqliteTokens) -> None:
    await add_token(tokens, Role.VIEWER, NOW, name="grafana")
    [first] = await tokens.all_tokens()
    with pytest.raises(SettingsError, match=f"there is a token 'grafana' already.*{first.id}"):
        await add_token(tokens, Role.ADMIN, NOW, name="grafana")
    assert await tokens.all_tokens() == [first] and len(await tokens.audit_entries()) == 1
    await add_token(tokens, Role.VIEWER, NOW, name="Grafana")


async def test_a_name_is_free_again_when_its_token_opens_nothing_more(tokens: MemoryTokens | SqliteTokens) -> None:
    await add_token(tokens, Role.VIEWER, NOW, name="desk")
    [first] = await tokens.all_tokens()
    await tokens.revoke_token(first.id, NOW, note_of("token.revoke", first.id))
    await add_token(tokens, Role.VIEWER, NOW, name="desk")
    after_its_day = Millis(NOW + 86_400_000)
    await add_token(tokens, Role.VIEWER, after_its_day, name="desk")
    assert [token.name for token in await tokens.all_tokens()] == ["desk"] * 3


async def test_a_revocation_stays_as_it_was_first(tokens: MemoryTokens | SqliteTokens) -> None:
    text = await add_token(tokens, Role.VIEWER, NOW)
    token_id = token_id_of(Secret(text)) or ""
    for later in (5, 9):
        await tokens.revoke_token(token_id, Millis(NOW + later), note_of("token.revoke", token_id))
    found = await tokens.find_token(token_id)
    assert found is not None and found.revoked_time == NOW + 5 and not found.is_live(Millis(NOW + 6))


async def test_what_is_not_there_cannot_be_revoked_and_leaves_no_note(tokens: MemoryTokens | SqliteTokens) -> None:
    with pytest.raises(SettingsError, match="no token"):
        await tokens.revoke_token("000000000000", NOW, note_of("token.revoke", "000000000000"))
    assert await tokens.audit_entries() == []


async def test_every_change_is_noted_in_one_chain(tokens: MemoryTokens | SqliteTokens) -> None:
    text = await add_token(tokens, Role.ADMIN, NOW)
    token_id = token_id_of(Secret(text)) or ""
    await tokens.revoke_token(token_id, NOW, note_of("token.revoke", token_id))
    entries = await tokens.audit_entries()
    assert [entry.note.action for entry in entries] == ["token.add", "token.revoke"]
    assert verify_chain(entries, await tokens.audit_head()) == ""
