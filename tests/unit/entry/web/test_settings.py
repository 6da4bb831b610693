"""Where the API may listen."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

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


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost"])
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


PEERS = ["10.1.2.3", "::ffff:10.1.2.3", "::1", "2001:db8::7", "127.0.0.1", "::ffff:127.0.0.1", "11.0.0.1", "2001:db9::1", "here"]


@pytest.mark.parametrize(
    ("proxies", "known"),
    [
        (("10.0.0.0/8",), PEERS[:2]),
        (("10.0.0.0/255.0.0.0", "127.0.0.1"), [*PEERS[:2], *PEERS[4:6]]),
        (("::ffff:10.0.0.0/104", "::1"), PEERS[:3]),
        (("::ffff:10.1.2.3",), PEERS[:2]),
        (("2001:db8::/32", "::1"), PEERS[2:4]),
    ],
)
def test_the_server_below_believes_whom_we_believe(proxies: tuple[str, ...], known: list[str]) -> None:
    section = HttpSection(behind_proxy=True, proxies=proxies)
    assert [peer for peer in PEERS if section.is_proxy(peer)] == known
    seen: list[str] = []

    async def note(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        seen.append("" if scope["type"] == "lifespan" or scope["client"] is None else scope["client"][0])

    for peer in PEERS:
        scope = {"type": "http", "client": (peer, 1), "headers": [(b"x-forwarded-for", b"203.0.113.9")]}
        asyncio.run(ProxyHeadersMiddleware(note, section.proxy_networks)(cast(Scope, scope), cast(Any, None), cast(Any, None)))
    assert [peer for peer, name in zip(PEERS, seen, strict=True) if name == "203.0.113.9"] == known


@pytest.mark.parametrize(
    ("proxy", "advice"),
    [
        ("127.0.0.1/8", "write 127.0.0.0/8, or 127.0.0.1 alone"),
        ("10.0.0.5/8", "write 10.0.0.0/8, or 10.0.0.5 alone"),
        ("2001:db8::1/32", "write 2001:db8::/32, or 2001:db8::1 alone"),
        ("::ffff:10.0.0.5/104", "write 10.0.0.0/8, or 10.0.0.5 alone"),
    ],
)
def test_an_address_within_a_network_is_not_taken_for_either(proxy: str, advice: str) -> None:
    with pytest.raises(SettingsError) as raised:
        HttpSection(behind_proxy=True, proxies=(proxy,))
    assert str(raised.value) == f"proxies = {proxy!r} names one address within a network: {advice}"


@pytest.mark.parametrize(("address", "is_proxy"), [("10.1.2.3", True), ("::1", True), ("127.0.0.1", False), ("", False), ("here", False)])
def test_the_proxy_is_known_by_its_address_where_there_is_one(address: str, is_proxy: bool) -> None:
    proxies = ("10.0.0.0/8", "::1")
    assert HttpSection(behind_proxy=True, proxies=proxies).is_proxy(address) is is_proxy
    assert not HttpSection(proxies=proxies).is_proxy(address)


def test_a_proxy_does_not_take_the_places_of_its_neighbours() -> None:
    section = HttpSection(behind_proxy=True, proxies=("2001:db8::7",))
    assert section.caller_of("2001:db8::7") == "2001:db8::7"
    assert section.caller_of("2001:db8::8") == section.caller_of("2001:db8::9") == "2001:db8::/64"
    assert HttpSection().caller_of("2001:db8::7") == "2001:db8::/64"


def test_files_of_tls_are_found_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    section = HttpSection(host="0.0.0.0", certificate_file=CERTIFICATE, key_file=KEY)
    with pytest.raises(SettingsError, match="must name a file"):
        section.files(tmp_path)
    for name in (CERTIFICATE, KEY):
        (tmp_path / name).write_text("x")
    assert section.files(tmp_path) == (str(tmp_path / "a.pem"), str(tmp_path / "b.pem"))
    assert HttpSection().files(tmp_path) == (None, None)
