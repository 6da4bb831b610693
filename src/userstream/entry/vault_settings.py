"""The tables [registry] and [vault] of the configuration file, and the vault that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from userstream.kernel.errors import SettingsError
from userstream.kernel.settings import check

if TYPE_CHECKING:
    from userstream.adapters.key_ring import KeyRing
    from userstream.adapters.vault import AesVault

DEFAULT_VARIABLE: Final = "USERSTREAM_VAULT_KEYS"


class RegistrySection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether the accounts of the store's registry are run, and for whom accounts are added."""

    enabled: bool = True
    user: str = "default"
    listen_keys: bool = True

    def __post_init__(self) -> None:
        check(bool(self.user.strip()) and self.user.isprintable(), "user", self.user, "must be one short line")


class VaultSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the keys come from that the registry's secrets are encrypted with: one of three ways."""

    key_env: str | None = None
    key_file: str | None = None
    key_command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given = sum(map(bool, (self.key_env, self.key_file, self.key_command)))
        if given > 1:
            raise SettingsError("gives the keys in more than one way; keep one of key_env, key_file, key_command")


class RegistryPart(msgspec.Struct, frozen=True, kw_only=True):
    """What the commands of the registry need of a configuration. `folder`: where relative paths begin. `is_run`: whether `userstream run`
    takes up the accounts of the registry."""

    folder: Path
    store: str
    registry: RegistrySection
    vault: VaultSection
    is_run: bool


def read_keys(section: VaultSection, folder: Path, environment: Mapping[str, str]) -> KeyRing:
    """The ring of keys. Raises SettingsError, which holds no key."""
    from userstream.adapters import key_ring

    if section.key_command:
        return key_ring.read_command(section.key_command)
    if section.key_file:
        return key_ring.read_file(folder / section.key_file)
    return key_ring.read_environment(section.key_env or DEFAULT_VARIABLE, environment)


def make_vault(section: VaultSection, folder: Path, environment: Mapping[str, str]) -> AesVault:
    """The vault over that ring; a ring in a file is read again when it is asked to renew itself. Raises SettingsError."""
    from userstream.adapters.key_ring import read_file
    from userstream.adapters.vault import AesVault

    reread = partial(read_file, folder / section.key_file) if section.key_file else None
    return AesVault(read_keys(section, folder, environment), reread=reread)
