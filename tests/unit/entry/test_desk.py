"""The desk of a configuration: its keys first, then its store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.vaults import make_account, make_vault, note
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


async def test_without_a_ring_the_way_to_one_depends_on_what_was_sealed(tmp_path: Path) -> None:
    path = tmp_path / "userstream.toml"
    path.write_text(f'[store]\npath = "{tmp_path / "desk.db"}"\n[vault]\nkey_file = "vault.keys"\n')
    part = read_registry_part(path)
    with pytest.raises(SettingsError, match=r"vault.keys: No such file.*; userstream keys generate makes one$"):
        async with open_desk(part):
            pass
    async with open_registry(part) as registry:
        vault = make_vault()
        for name in ("alice", "bob"):
            await registry.add(make_account(name), note())
    with pytest.raises(SettingsError, match=f"; 2 accounts need the key {vault.newest_key}: put your copy of the ring back$"):
        async with open_desk(part):
            pass
    other = read_registry_part(part_of(tmp_path, str(tmp_path / "other.db")))
    with pytest.raises(SettingsError, match=r"NOT_SET_ANYWHERE, which is not set; .*\[vault\] in the configuration names another place"):
        async with open_desk(other):
            pass


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
