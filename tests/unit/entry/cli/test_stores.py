"""The store that a command names: what is refused before anything is opened, and in which words."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.support.events import balance_set
from tests.support.records import record
from userstream.adapters.sqlite import SqliteStore
from userstream.entry.cli import run_command
from userstream.entry.cli.stores import MOST_NAMES, check_store_is_new, check_store_place, require_store
from userstream.kernel.errors import SettingsError, StoreError


def make_store(path: Path, *accounts: str) -> Path:
    async def write() -> None:
        async with await SqliteStore.open(path, ManualClock()) as store:
            for name in accounts:
                store.append(record(balance_set(account=name), account=name, sequence=1))
            await store.flush()

    asyncio.run(write())
    return path


def test_a_store_without_accounts_is_new(tmp_path: Path) -> None:
    (tmp_path / "nothing.db").touch()
    for name in ("absent.db", "nothing.db", "empty.db"):
        check_store_is_new(make_store(tmp_path / name) if name == "empty.db" else tmp_path / name)


def test_a_store_with_accounts_is_not_new_and_says_whose_it_is(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"holds accounts already \(alice, bob\)"):
        check_store_is_new(make_store(tmp_path / "a.db", "bob", "alice"))
    crowd = [f"account-{number:02}" for number in range(MOST_NAMES + 3)]
    with pytest.raises(SettingsError, match="account-09 and 3 more"):
        check_store_is_new(make_store(tmp_path / "b.db", *crowd))


def test_files_of_others_are_not_begun(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear reader, " * 100)
    with pytest.raises(StoreError, match="letter"):
        check_store_is_new(tmp_path / "letter")


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    for check in (require_store, check_store_place, check_store_is_new):
        with pytest.raises(SettingsError, match="is a folder"):
            check(tmp_path)
    with pytest.raises(SettingsError, match="there is no store"):
        require_store(tmp_path / "absent.db")


@pytest.mark.parametrize("words", [["demo", "--headless", "--seconds", "1", "--store"], ["state"], ["tail"], ["audit", "alice", "--store"]])
def test_every_command_says_so_and_leaves_nothing_behind(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert run_command([*words, str(folder)]) == 2
    assert f"{folder} is a folder" in capsys.readouterr().err
    assert list(tmp_path.rglob("*")) == [folder]


def test_the_demo_does_not_write_where_accounts_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = make_store(tmp_path / "a.db", "alice")
    before = store.read_bytes()
    assert run_command(["demo", "--headless", "--seconds", "1", "--store", str(store)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert store.read_bytes() == before


def test_a_run_with_a_folder_for_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "userstream.toml"
    path.write_text(f'[store]\npath = "{tmp_path}"\n[[account]]\nname = "alice"\nvenue = "binance-usdm"\napi_key = "paper-key"\n')
    path.chmod(0o600)
    assert run_command(["run", "--config", str(path)]) == 2
    assert "is a folder" in capsys.readouterr().err
