"""The tables [registry] and [vault], and the keys that they lead to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.vaults import FIRST_KEY, SECOND_KEY
from userstream.adapters.key_ring import id_of, write_key
from userstream.entry.configuration import read_configuration, read_registry_part
from userstream.entry.vault_settings import DEFAULT_VARIABLE, RegistrySection, VaultSection, make_vault
from userstream.kernel.errors import SettingsError

LINE = write_key(FIRST_KEY)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "userstream.toml"
    path.write_text(text)
    return path


def test_keys_come_from_one_of_three_places(tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    ring.write_text(LINE)
    ring.chmod(0o600)
    sections = (
        VaultSection(),
        VaultSection(key_env="RING"),
        VaultSection(key_file="ring"),
        VaultSection(key_command=(sys.executable, "-c", f"print({LINE!r})")),
    )
    environment = {DEFAULT_VARIABLE: LINE, "RING": LINE}
    assert {make_vault(section, tmp_path, environment).newest_key for section in sections} == {id_of(FIRST_KEY)}
    with pytest.raises(SettingsError, match=DEFAULT_VARIABLE):
        make_vault(VaultSection(), tmp_path, {})


def test_two_places_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\[vault\] gives the keys in more than one way"):
        read_registry_part(written(tmp_path, '[vault]\nkey_env = "A"\nkey_file = "b"\n'))


def test_a_file_may_have_no_account_when_the_registry_has(tmp_path: Path) -> None:
    configuration = read_configuration(written(tmp_path, "[registry]\n[recovery]\nlag_s = 7\n"), {})
    assert configuration.accounts == ()
    assert configuration.registry.is_run
    assert (configuration.recovery.lag_s, configuration.registry.registry) == (7, RegistrySection())
    for text in ("", "[vault]\n", "[registry]\nenabled = false\n"):
        with pytest.raises(SettingsError, match="no account is configured"):
            read_configuration(written(tmp_path, text), {})


def test_the_commands_of_the_registry_need_no_account_and_no_secret(tmp_path: Path) -> None:
    text = '[store]\npath = "desk.db"\n[registry]\nuser = "tess"\n[[account]]\nname = "a"\nvenue = "v"\napi_key_env = "NOT_SET"\n'
    part = read_registry_part(written(tmp_path, text))
    assert (part.store, part.registry.user, part.folder, part.is_run) == ("desk.db", "tess", tmp_path, True)


@pytest.mark.parametrize("text", ['[registry]\nuser = " "\n', '[registry]\nusr = "a"\n', "[vaults]\n", "[vault]\nkey_command = 3\n"])
def test_a_slip_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"userstream\.toml"):
        read_registry_part(written(tmp_path, text))


def test_a_ring_in_a_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    ring.write_text(LINE)
    ring.chmod(0o600)
    vault = make_vault(VaultSection(key_file="ring"), tmp_path, {})
    ring.write_text(f"{LINE}\n{write_key(SECOND_KEY)}\n")
    vault.renew()
    assert vault.keys == (id_of(FIRST_KEY), id_of(SECOND_KEY))
    ring.write_text("broken")
    with pytest.raises(SettingsError):
        vault.renew()
    assert vault.newest_key == id_of(SECOND_KEY)
    fixed = make_vault(VaultSection(), tmp_path, {DEFAULT_VARIABLE: LINE})
    fixed.renew()
    assert fixed.newest_key == id_of(FIRST_KEY)
