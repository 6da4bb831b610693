"""What the registry's commands share: secrets come from files or from a person, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from userstream.entry.cli.desks import LARGEST_SECRET, read_secret
from userstream.kernel.errors import SettingsError


def secret_file(tmp_path: Path, data: bytes, mode: int = 0o600) -> Path:
    path = tmp_path / "secret"
    path.touch(0o600)
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_file_goes_before_the_person(tmp_path: Path) -> None:
    def nobody(prompt: str) -> str:
        raise AssertionError(prompt)

    assert read_secret("api_key", secret_file(tmp_path, b" abc\n"), nobody, is_needed=True) == "abc"


def test_the_person_is_asked_by_name() -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return " typed "

    assert read_secret("api_key", None, ask, is_needed=True) == "typed"
    assert read_secret("api_secret", None, lambda _: "", is_needed=False) is None
    assert asked == ["api_key (not shown): "]
    with pytest.raises(SettingsError, match="api_key is empty"):
        read_secret("api_key", None, lambda _: " ", is_needed=True)


def test_who_ends_the_question_is_told_that_nothing_was_changed() -> None:
    def ask(prompt: str) -> str:
        raise EOFError

    with pytest.raises(SettingsError, match="api_key was not typed: nothing was changed; --api-key-file reads it"):
        read_secret("api_key", None, ask, is_needed=True)


def test_where_nobody_can_be_asked_the_option_is_named() -> None:
    with pytest.raises(SettingsError, match="--api-key-file"):
        read_secret("api_key", None, None, is_needed=True)
    assert read_secret("passphrase", None, None, is_needed=False) is None


@pytest.mark.parametrize("data", [b"", b" \n", b"\xff\xfe", b"CANARY" * LARGEST_SECRET])
def test_a_file_that_holds_no_secret_is_told(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SettingsError) as caught:
        read_secret("api_secret", secret_file(tmp_path, data), None, is_needed=True)
    assert "CANARY" not in str(caught.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="chmod 600"):
        read_secret("api_secret", secret_file(tmp_path, b"abc", 0o644), None, is_needed=True)
    for path in (tmp_path, tmp_path / "absent", Path("a\0b")):
        with pytest.raises(SettingsError):
            read_secret("api_secret", path, None, is_needed=True)
