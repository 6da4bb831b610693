"""`userstream tokens`: made once shown once, listed without secrets, revoked for good."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

from userstream.adapters.sqlite_tokens import SqliteTokens
from userstream.domain.access import Role, token_id_of
from userstream.entry.cli import run_command
from userstream.kernel.secret import Secret


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "userstream.toml"
    path.write_text('[store]\npath = "desk.db"\n[registry]\n')
    return path


def run(*words: str) -> int:
    return run_command(["tokens", *words])


def test_a_token_is_shown_once_and_kept_as_a_hash(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("add", "grafana", "--role", "viewer", "--config", str(config)) == 0
    text = capsys.readouterr().out.strip()
    token_id = token_id_of(Secret(text)) or ""

    async def find() -> object:
        async with await SqliteTokens.open(config.parent / "desk.db") as tokens:
            found = await tokens.find_token(token_id)
            assert found is not None and found.opens_with(Secret(text)) and found.role is Role.VIEWER
            return [entry.note.action for entry in await tokens.audit_entries()]

    assert asyncio.run(find()) == ["token.add"]
    assert all(text.encode() not in path.read_bytes() for path in config.parent.iterdir())
    assert run("list", "--json") == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert listed["id"] == token_id and "hash" not in listed
    assert run("list") == 0
    shown = capsys.readouterr().out
    assert token_id in shown and "live" in shown and text not in shown


def test_a_revoked_token_is_told_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("add", "desk", "--role", "operator", "--days", "3", "--json")
    made = json.loads(capsys.readouterr().out)
    assert made["expires_time"] - made["created_time"] == 3 * 86_400_000
    assert run("revoke", made["id"], "--json") == 0
    assert json.loads(capsys.readouterr().out)["revoked_time"] is not None
    run("list")
    assert "revoked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("revoke", "000000000000"), "no token"),
        (("add", " ", "--role", "viewer"), "name"),
        (("add", "x" * 65, "--role", "viewer"), "name"),
        (("add", "x", "--role", "viewer", "--days", "0"), "--days"),
        (("add", "x", "--role", "root"), "role"),
        (("add", "x"), "role"),
    ],
)
def test_a_mistake_is_told_in_words(config: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reason: str) -> None:
    assert run(*words) == 2
    told = capsys.readouterr().err
    assert reason in told and "Traceback" not in told


def test_a_name_in_use_is_refused_until_its_token_is_revoked(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("add", "desk", "--role", "viewer", "--json")
    made = json.loads(capsys.readouterr().out)
    assert run("add", "desk", "--role", "admin") == 2
    told = capsys.readouterr()
    assert told.out == "" and "'desk' already" in told.err and made["id"] in told.err
    assert run("revoke", made["id"]) == 0 and run("add", "desk", "--role", "admin") == 0


def test_without_a_token_the_list_says_how_to_make_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    assert "userstream tokens add" in capsys.readouterr().out
    with sqlite3.connect(config.parent / "desk.db") as connection:
        assert connection.execute("SELECT count(*) FROM api_tokens").fetchone() == (0,)
    connection.close()
