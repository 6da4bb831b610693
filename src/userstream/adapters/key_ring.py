"""The key-encryption keys: where they come from, and the text they are written in.

A ring is text with one key a line, the newest last; what follows a `#` is a comment. A key is 32 bytes as base64url. Its id is made from
the key itself, so that no two keys can have one id and no key a wrong one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from userstream.kernel.errors import SettingsError
from userstream.kernel.sealed import KEY_BYTES, VaultError, read_base64, write_base64

COMMAND_LIMIT_S: Final = 30.0
LARGEST_RING: Final = 256 * 1024
FORM: Final = "one key a line, as userstream keys generate writes them"


class NoRing(SettingsError):
    """There is no ring where one should be: what to do depends on whether anything was sealed with it."""


class KeyRing:
    """Keys by id, and which of them is the newest. Never shows a key."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys` in the order of their age, the newest last. Raises SettingsError for none, and for one of another length."""
        if not keys:
            raise SettingsError("the ring holds no key: make one with userstream keys generate")
        if any(len(key) != KEY_BYTES for key in keys):
            raise SettingsError(f"a key of the ring has not {KEY_BYTES} bytes")
        self._keys = {id_of(key): key for key in keys}
        self.newest = id_of(keys[-1])

    def __repr__(self) -> str:
        return f"<KeyRing of {', '.join(self._keys)}>"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the newest last."""
        return tuple(self._keys)

    def key(self, key_id: str) -> bytes:
        """Raises VaultError for a key that the ring does not hold."""
        found = self._keys.get(key_id)
        if found is None:
            raise VaultError(f"key {key_id} is not in the ring: add it, so that what it sealed can be read")
        return found


def id_of(key: bytes) -> str:
    """The id of a key. It tells nothing of the key: there are 2^256 of them."""
    return "k" + hashlib.sha256(b"userstream key-encryption key\0" + key).hexdigest()[:12]


def generate_key(chance: Callable[[int], bytes] = secrets.token_bytes) -> bytes:
    """A new key-encryption key."""
    return chance(KEY_BYTES)


def write_key(key: bytes) -> str:
    """The key's line, without an end of line."""
    return f"{write_base64(key)}  # {id_of(key)}"


def read_ring(text: str, source: str) -> KeyRing:
    """The ring that a text holds. Raises SettingsError that names the source and the line, never what stands there."""
    keys = []
    for number, line in enumerate(text.replace("\\n", "\n").splitlines(), 1):
        if not (word := line.partition("#")[0].strip()):
            continue
        try:
            key = read_base64(word.rstrip("="))
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise SettingsError(f"{source}: line {number} is no key of {KEY_BYTES} bytes in base64url; a ring has {FORM}")
        keys.append(key)
    if not keys:
        raise SettingsError(f"{source} holds no key; a ring has {FORM}")
    if len(set(keys)) != len(keys):
        raise SettingsError(f"{source} holds one key twice: the newest key is the last line, each key stands there once")
    return KeyRing(keys)


def read_environment(variable: str, environment: Mapping[str, str]) -> KeyRing:
    """The ring of an environment variable. Raises SettingsError, NoRing where the variable is not set."""
    text = environment.get(variable, "")
    if not text.strip():
        raise NoRing(f"the key ring is taken from the environment variable {variable}, which is not set")
    return read_ring(text.replace(",", "\n"), f"the environment variable {variable}")


def read_file(path: Path) -> KeyRing:
    """The ring of a file that its owner alone can read. Raises SettingsError, NoRing where there is no file."""
    try:
        if path.is_dir():
            raise SettingsError(f"the key ring {path} is a folder: name the file in it")
        check_private(path, "it holds the vault's keys")
        with path.open("rb") as file:
            data = file.read(LARGEST_RING + 1)
    except FileNotFoundError as error:
        raise NoRing(f"cannot read the key ring {path}: {error.strerror}") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror or "it cannot be opened") if isinstance(error, OSError) else "that is no name of a file"
        raise SettingsError(f"cannot read the key ring {path}: {reason}") from None
    return read_ring(_text_of(data, str(path)), str(path))


def check_private(path: Path, why: str) -> None:
    """Raises SettingsError for a file with secrets that others may read. `why`: what it holds."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise SettingsError(f"{path} can be read by others (mode {mode:04o}), and {why}: run chmod 600 {path}")


def read_command(command: Sequence[str]) -> KeyRing:
    """The ring that a command writes, such as that of a password manager. It runs without a shell, without input, and for 30 s at most.
    Raises SettingsError, which never holds what the command wrote."""
    source = f"the key command {command[0]!r}"
    try:
        done = subprocess.run(list(command), stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise SettingsError(f"{source} has not ended within {COMMAND_LIMIT_S:g} s") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror or "it cannot be started") if isinstance(error, OSError) else "that is no command"
        raise SettingsError(f"{source} cannot be run: {reason}") from None
    if done.returncode:
        raise SettingsError(f"{source} failed with exit code {done.returncode}: run it by hand and see why")
    return read_ring(_text_of(done.stdout, source), source)


def _text_of(data: bytes, source: str) -> str:
    if len(data) > LARGEST_RING:
        raise SettingsError(f"{source} holds more than {LARGEST_RING} bytes: that is no key ring")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise SettingsError(f"{source} holds other characters than a key ring has; a ring has {FORM}") from None
