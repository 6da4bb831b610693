"""Where the API may listen."""

from __future__ import annotations

from pathlib import Path

import pytest

from userstream.entry.web.settings import HttpSection
from userstream.kernel.errors import SettingsError

CERTIFICATE, KEY = "a.pem", "b.pem"


def test_by_default_it_listens_to_this_machine_alone() -> None:
    section = HttpSection()
    assert section.host == "127.0.0.1" and section.is_local and not section.needs_token


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "desk.example.com", "127.0.0.1.evil.example"])
def test_elsewhere_it_needs_tls_or_a_proxy(host: str) -> None:
    with pytest.raises(SettingsError, match="not this machine alone"):
        HttpSection(host=host)
    assert HttpSection(host=host, certificate_file=CERTIFICATE, key_file=KEY).needs_token
    assert HttpSection(host=host, behind_proxy=True).needs_token


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_addresses_of_this_machine(host: str) -> None:
    assert HttpSection(host=host).is_local


@pytest.mark.parametrize(
    "fields",
    [
        {"port": -1},
        {"port": 70_000},
        {"host": " "},
        {"requests_per_minute": 0},
        {"sockets_per_token": 0},
        {"connections_per_address": 0},
        {"connections_per_address": 1_001},
        {"hosts": ("a b",)},
        {"origins": ("desk.example.com",)},
        {"origins": ("https://desk.example.com/page",)},
        {"origins": ("*",)},
        {"proxies": ("*",)},
        {"certificate_file": "a.pem"},
    ],
)
def test_a_wrong_value_is_named(fields: dict[str, object]) -> None:
    [field] = fields
    build: type = HttpSection
    with pytest.raises(SettingsError, match=field):
        build(**fields)


@pytest.mark.parametrize(("address", "is_proxy"), [("10.1.2.3", True), ("::1", True), ("127.0.0.1", False), ("", False), ("here", False)])
def test_the_proxy_is_known_by_its_address_where_there_is_one(address: str, is_proxy: bool) -> None:
    proxies = ("10.0.0.0/8", "::1")
    assert HttpSection(behind_proxy=True, proxies=proxies).is_proxy(address) is is_proxy
    assert not HttpSection(proxies=proxies).is_proxy(address)


def test_files_of_tls_are_found_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    section = HttpSection(host="0.0.0.0", certificate_file=CERTIFICATE, key_file=KEY)
    with pytest.raises(SettingsError, match="must name a file"):
        section.files(tmp_path)
    for name in (CERTIFICATE, KEY):
        (tmp_path / name).write_text("x")
    assert section.files(tmp_path) == (str(tmp_path / "a.pem"), str(tmp_path / "b.pem"))
    assert HttpSection().files(tmp_path) == (None, None)
