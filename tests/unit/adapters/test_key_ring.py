"""Where keys come from: nothing readable by others, nothing half read, nothing shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.vaults import FIRST_KEY, SECOND_KEY
from userstream.adapters.key_ring import (
    LARGEST_RING,
    KeyRing,
    generate_key,
    id_of,
    read_command,
    read_environment,
    read_file,
    read_ring,
    write_key,
)
from userstream.kernel.errors import SettingsError
from userstream.kernel.sealed import VaultError, check_key_id, write_base64

KEYS = st.binary(min_size=32, max_size=32)


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@given(st.lists(KEYS, min_size=1, max_size=5, unique=True))
def test_a_written_ring_is_read_with_its_newest_key_last(keys: list[bytes]) -> None:
    ring = read_ring("# ring\n\n" + "\n".join(map(write_key, keys)), "here")
    assert ring.ids == tuple(map(id_of, keys))
    assert ring.newest == id_of(keys[-1])
    assert [ring.key(id_of(key)) for key in keys] == keys


@given(KEYS)
def test_the_id_of_a_key_does_not_show_it(key: bytes) -> None:
    assert check_key_id(id_of(key)) not in (key.hex(), write_base64(key))
    assert write_base64(key) not in repr(KeyRing([key]))


def test_keys_are_made_by_chance() -> None:
    assert len({generate_key() for _ in range(100)}) == 100
    assert len(generate_key()) == 32


@pytest.mark.parametrize("text", ["", "# nothing", "abc", "x" * 43, write_key(FIRST_KEY)[:42], f"{write_key(FIRST_KEY)}\n" * 2])
def test_a_text_that_is_no_ring_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_ring(text, "the ring of this test")
    assert str(caught.value).startswith("the ring of this test")
    assert write_base64(FIRST_KEY)[:20] not in str(caught.value)


def test_a_ring_without_keys_or_with_short_ones_cannot_be() -> None:
    for keys in ([], [b"short"]):
        with pytest.raises(SettingsError):
            KeyRing(keys)


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(VaultError, match="k-none is not in the ring"):
        KeyRing([FIRST_KEY]).key("k-none")


def test_the_environment_holds_a_ring_in_one_line() -> None:
    first, second = write_base64(FIRST_KEY), write_base64(SECOND_KEY)
    for text in (f"{first},{second}", f"{first}\\n{second}", f"{first}=\n{second}"):
        assert read_environment("RING", {"RING": text}).newest == id_of(SECOND_KEY)
    with pytest.raises(SettingsError, match="RING, which is not set"):
        read_environment("RING", {})


def test_a_file_is_read_when_nobody_else_can(tmp_path: Path) -> None:
    path = private(tmp_path / "ring", write_key(FIRST_KEY))
    assert read_file(path).newest == id_of(FIRST_KEY)
    for mode in (0o640, 0o604, 0o660, 0o777):
        path.chmod(mode)
        with pytest.raises(SettingsError, match=f"mode {mode:04o}.*chmod 600"):
            read_file(path)
    path.chmod(0o400)
    assert read_file(path).newest == id_of(FIRST_KEY)


def test_a_file_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    cases = {
        "absent": tmp_path / "absent",
        "folder": tmp_path,
        "no name": Path("a\0b"),
        "large": private(tmp_path / "large", "x" * (LARGEST_RING + 1)),
    }
    binary = private(tmp_path / "binary", "")
    binary.write_bytes(b"\xff\xfe")
    for path in (*cases.values(), binary):
        with pytest.raises(SettingsError) as caught:
            read_file(path)
        assert "\n" not in str(caught.value)


def test_a_command_writes_a_ring() -> None:
    line = write_key(FIRST_KEY)
    assert read_command([sys.executable, "-c", f"print({line!r})"]).newest == id_of(FIRST_KEY)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["no-such-command-of-userstream"], "cannot be run"),
        (["a\0b"], "cannot be run"),
        ([sys.executable, "-c", "import sys; print('CANARY'); sys.exit('CANARY')"], "exit code 1"),
        ([sys.executable, "-c", "print('CANARY')"], "line 1"),
    ],
)
def test_a_command_that_writes_none_is_told_without_its_words(command: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        read_command(command)
    assert "CANARY" not in str(caught.value)
