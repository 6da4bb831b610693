"""Tokens in the store's file; what every keeper promises stands in the contract."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from tests.support.web import add_token
from userstream.adapters.sqlite_tokens import SqliteTokens
from userstream.domain.access import Role
from userstream.kernel.errors import SettingsError, StoreError
from userstream.kernel.ids import Millis


async def test_two_processes_see_the_same_tokens(tmp_path: Path) -> None:
    async with await SqliteTokens.open(tmp_path / "a.db") as one, await SqliteTokens.open(tmp_path / "a.db") as other:
        await add_token(one, Role.VIEWER, Millis(1))
        assert [token.role for token in await other.all_tokens()] == [Role.VIEWER]


async def test_of_two_who_take_the_same_name_at_once_one_is_refused(tmp_path: Path) -> None:
    async with await SqliteTokens.open(tmp_path / "a.db") as one, await SqliteTokens.open(tmp_path / "a.db") as other:
        deeds = (add_token(tokens, Role.VIEWER, Millis(1), name="desk") for tokens in (one, other))
        ends = await asyncio.gather(*deeds, return_exceptions=True)
        assert sorted(isinstance(end, SettingsError) for end in ends) == [False, True]
        assert len(await one.all_tokens()) == 1


async def test_a_row_from_elsewhere_is_told_in_one_line(tmp_path: Path) -> None:
    async with await SqliteTokens.open(tmp_path / "a.db") as tokens:
        with sqlite3.connect(tmp_path / "a.db") as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute("INSERT INTO api_tokens VALUES ('x', 'n', 'root', 'h', 1, 2, NULL)")
        connection.close()
        with pytest.raises(StoreError, match="never written"):
            await tokens.all_tokens()
        assert (await tokens.find_token("nobody")) is None
