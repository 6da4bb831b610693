"""The desk of a configuration: its keys first, then its store."""

from __future__ import annotations

from pathlib import Path

import pytest

from userstream.entry.configuration import read_registry_part
from userstream.entry.desk import find_caller, open_desk, open_registry
from userstream.kernel.errors import SettingsError, StoreError


def part_of(tmp_path: Path, store: str) -> Path:
    path = tmp_path / "userstream.toml"
    path.write_text(f'[store]\npath = "{store}"\n[vault]\nkey_env = "NOT_SET_ANYWHERE"\n')
    return path


async def test_without_keys_no_store_is_made(tmp_path: Path) -> None:
    part = read_registry_part(part_of(tmp_path, str(tmp_path / "desk.db")))
    with pytest.raises(SettingsError, match="NOT_SET_ANYWHERE"):
        async with open_desk(part):
            pass
    assert not (tmp_path / "desk.db").exists()


async def test_the_registry_needs_no_keys_but_a_store(tmp_path: Path) -> None:
    async with open_registry(read_registry_part(part_of(tmp_path, str(tmp_path / "desk.db")))) as registry:
        assert await registry.page() == []
    with pytest.raises(StoreError):
        async with open_registry(read_registry_part(part_of(tmp_path, str(tmp_path)))):
            pass


def test_the_caller_has_a_name_and_a_machine() -> None:
    caller = find_caller()
    assert caller.actor
    assert caller.origin
