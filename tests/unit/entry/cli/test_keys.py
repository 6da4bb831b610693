"""`userstream keys generate`: a ring is made once, grows at its end, and only its owner reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from userstream.adapters.key_ring import read_file, read_ring
from userstream.entry.cli import OK, PROBLEM, USAGE, run_command

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", ["generate", "rotate"])
def test_every_command_shows_how_it_is_called(name: str, capsys: Capture) -> None:
    assert run_command(["keys", name, "--help"]) == OK
    assert f"userstream keys {name}" in capsys.readouterr().out


def test_a_key_for_a_password_manager_is_one_line(capsys: Capture) -> None:
    assert run_command(["keys", "generate"]) == OK
    printed = capsys.readouterr().out
    assert len(read_ring(printed, "here").ids) == 1
    assert len(printed.splitlines()) == 1


def test_a_ring_grows_at_its_end_and_is_its_owners_alone(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "vault.keys"
    for number in range(3):
        assert run_command(["keys", "generate", "--file", str(file), "--json", *(["--append"] if number else [])]) == OK
        told = json.loads(capsys.readouterr().out)
        ring = read_file(file)
        assert (told["newest"], tuple(told["keys"]), len(ring.ids)) == (ring.newest, ring.ids, number + 1)
        assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["vault.keys"]


def test_a_ring_is_never_overwritten(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "vault.keys"
    assert run_command(["keys", "generate", "--file", str(file)]) == OK
    before = file.read_text()
    assert run_command(["keys", "generate", "--file", str(file)]) == USAGE
    assert file.read_text() == before
    assert "--append" in capsys.readouterr().err


def test_a_last_line_without_an_end_stays_a_line_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "vault.keys"
    run_command(["keys", "generate", "--file", str(file)])
    file.write_text(file.read_text().rstrip("\n"))
    assert run_command(["keys", "generate", "--file", str(file), "--append"]) == OK
    assert len(read_file(file).ids) == 2


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, capsys: Capture) -> None:
    assert run_command(["keys", "generate", "--file", str(tmp_path / "absent" / "vault.keys")]) == PROBLEM
    assert "cannot write" in capsys.readouterr().err
