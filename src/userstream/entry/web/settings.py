"""The table [http] of the configuration file: where the API listens, and behind what. Nothing here needs the libraries of the server."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from userstream.entry.web.limits import caller_of, plain_address
from userstream.kernel.errors import SettingsError
from userstream.kernel.settings import check

MOST_CONNECTIONS: Final = 1_000
"""Of all callers together."""
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_NAME: Final = re.compile(r"(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:\d{1,5})?", re.ASCII)
_MAPPED_BITS: Final = 96
"""Of an IPv6 address that is an IPv4 one, before the latter begins."""
_ORIGIN: Final = re.compile(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:\d{1,5})?", re.ASCII)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class HttpSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the HTTP API listens. Beyond this machine only with TLS (`certificate_file`, `key_file`), or behind a proxy that does it
    (`behind_proxy`), and only once there is a token.

    hosts: names under which it is asked for, beside this machine's own. origins: web pages of other origins that may use it.
    proxies: addresses or networks of the proxy that is believed about who calls. connections_per_address: open ones of one caller; behind
    a proxy, whose connections carry many callers, the requests and live feeds of one that are under way."""

    host: str = "127.0.0.1"
    port: int = 8080
    certificate_file: str | None = None
    key_file: str | None = None
    behind_proxy: bool = False
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    requests_per_minute: int = 600
    sockets_per_token: int = 16
    connections_per_address: int = 100

    def __post_init__(self) -> None:
        check(bool(self.host.strip()) and self.host.isprintable(), "host", self.host, "must be an address or a name of this machine")
        check(0 <= self.port <= 65_535, "port", self.port, "must be between 0 (any free one) and 65535")
        check(1 <= self.requests_per_minute <= 1_000_000, "requests_per_minute", self.requests_per_minute, "must be 1 to 1000000")
        check(1 <= self.sockets_per_token <= 1_000, "sockets_per_token", self.sockets_per_token, "must be between 1 and 1000")
        most = self.connections_per_address
        check(1 <= most <= MOST_CONNECTIONS, "connections_per_address", most, f"must be between 1 and {MOST_CONNECTIONS}")
        for name in self.hosts:
            check(_NAME.fullmatch(name) is not None, "hosts", name, "must be names in small letters, such as desk.example.com")
        for origin in self.origins:
            check(_ORIGIN.fullmatch(origin) is not None, "origins", origin, "must be origins such as https://desk.example.com")
        for proxy in self.proxies:
            _read_network(proxy)
        if (self.certificate_file is None) != (self.key_file is None):
            raise SettingsError("certificate_file and key_file belong together: give both or none")
        if not (self.is_local or self.has_tls or self.behind_proxy):
            raise SettingsError(
                f"host = {self.host!r} is not this machine alone: give certificate_file and key_file, or set behind_proxy = true where a"
                " proxy speaks TLS, or listen on 127.0.0.1"
            )

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine can reach it."""
        if self.host == "localhost":
            return True
        address = plain_address(self.host)
        return address is not None and address.is_loopback

    def is_proxy(self, address: str) -> bool:
        """Whether the proxy calls from there."""
        caller = plain_address(address) if self.behind_proxy else None
        return caller is not None and any(caller in _read_network(proxy) for proxy in self.proxies)

    def caller_of(self, address: str) -> str:
        """Whose connections are counted with those from there. A proxy is a caller of its own, whoever its neighbours are."""
        return address if self.is_proxy(address) else caller_of(address)

    @property
    def proxy_networks(self) -> list[str]:
        """The proxies as networks, each IPv4 one also as a socket of both families shows it (`::ffff:10.0.0.0/104`): for a library that
        compares addresses by itself."""
        networks = [_read_network(proxy) for proxy in self.proxies]
        mapped = [f"::ffff:{network.network_address}/{_MAPPED_BITS + network.prefixlen}" for network in networks if network.version == 4]
        return [*map(str, networks), *mapped]

    @property
    def has_tls(self) -> bool:
        return self.certificate_file is not None

    @property
    def needs_token(self) -> bool:
        """Whether it must not start before there is a token."""
        return self.behind_proxy or not self.is_local

    def files(self, folder: Path) -> tuple[str | None, str | None]:
        """Certificate and key, relative ones from `folder`. Raises SettingsError for one that is not there."""
        return self._file(folder, "certificate_file", self.certificate_file), self._file(folder, "key_file", self.key_file)

    def _file(self, folder: Path, field: str, name: str | None) -> str | None:
        if name is None:
            return None
        path = folder / name
        check(path.is_file(), f"[http] {field}", name, f"must name a file that is there; there is none at {path.absolute()}")
        return str(path)


@lru_cache
def _read_network(text: str) -> Network:
    """An address is a network of one. Raises SettingsError."""
    try:
        network = _plain_network(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise SettingsError(f"proxies = {text!r} must be addresses or networks, such as 10.0.0.0/8") from None
    address = plain_address(text.partition("/")[0])
    check(address == network.network_address, "proxies", text, f"names one address within a network: write {network}, or {address} alone")
    return network


def _plain_network(network: Network) -> Network:
    """An IPv4 network that is written as one of IPv6 is the IPv4 network."""
    address = plain_address(str(network.network_address))
    if network.version == 4 or network.prefixlen < _MAPPED_BITS or not isinstance(address, ipaddress.IPv4Address):
        return network
    return ipaddress.IPv4Network((int(address), network.prefixlen - _MAPPED_BITS))
