"""Callers who are slow, large or many, over real sockets with small limits: they are cut off, and others are served."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import cast

import aiohttp
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from tests.support.clock import ManualClock
from tests.support.web import Site, open_site
from userstream.domain.access import Role
from userstream.entry.web.answers import SECURITY_HEADERS
from userstream.entry.web.connections import ACCEPT_PAUSE_MS, HEAD_BYTES, Listener, ServerLimits
from userstream.entry.web.settings import HttpSection

LONG_S = 20.0
SHORT = ServerLimits(head_ms=60, request_ms=60, taking_ms=40)
HEAD = b"GET /ready HTTP/1.1\r\nHost: localhost\r\n"
CHANGE = b"POST /api/live/ticket HTTP/1.1\r\nHost: localhost\r\nX-Userstream-Request: 1\r\n"


class Caller:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read_end(self) -> bytes:
        """All that comes until the server ends it."""
        try:
            return await asyncio.wait_for(self._reader.read(), LONG_S)
        except ConnectionResetError:
            return b""

    async def read_head(self) -> bytes:
        return await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), LONG_S)


@asynccontextmanager
async def call(site: Site, from_host: str = "127.0.0.1") -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection(*site.server.address, local_addr=(from_host, 0))
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()


async def drip(caller: Caller, more: Callable[[], bytes]) -> bytes:
    """Sends a little again and again until the server has had enough; what it said."""
    end = asyncio.ensure_future(caller.read_end())
    while not end.done():
        caller.send(more())
        await asyncio.wait([end], timeout=0.005)
    return end.result()


async def test_a_head_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async with open_site(tmp_path, limits=SHORT) as site:
        for begun in (b"", b"G", HEAD, HEAD + b"X-Slow: "):
            async with call(site) as caller:
                caller.send(begun)
                assert await caller.read_end() == b"", begun
        assert (await site.get("/ready", None))[0] == 200


async def test_a_head_that_drips_in_gains_no_time(tmp_path: Path) -> None:
    async with open_site(tmp_path, limits=SHORT) as site, call(site) as caller:
        caller.send(HEAD + b"X-Slow: ")
        assert await drip(caller, lambda: b"a") == b""


async def test_after_an_answer_the_next_head_is_waited_for_as_long_as_the_first(tmp_path: Path) -> None:
    async with open_site(tmp_path, limits=SHORT) as site, call(site) as caller:
        for _ in range(3):
            caller.send(HEAD + b"\r\n")
            assert b"HTTP/1.1 200" in await caller.read_head()
        caller.send(b"G")
        assert b"HTTP" not in await caller.read_end()


async def test_a_body_that_drips_in_is_given_up(tmp_path: Path) -> None:
    async with open_site(tmp_path, limits=SHORT) as site, call(site) as caller:
        token = f"Authorization: Bearer {site.texts[Role.ADMIN]}\r\n".encode()
        caller.send(b"POST /api/live/ticket HTTP/1.1\r\nHost: localhost\r\nX-Userstream-Request: 1\r\n" + token)
        caller.send(b"Transfer-Encoding: chunked\r\n\r\n")
        await drip(caller, lambda: b"1\r\na\r\n")
        assert (await site.get("/ready", None))[0] == 200


async def test_who_takes_no_answer_is_cut_off(tmp_path: Path) -> None:
    async with open_site(tmp_path, limits=SHORT) as site:
        token = f"Authorization: Bearer {site.texts[Role.VIEWER]}\r\n\r\n".encode()
        ask = b"GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n" + token
        async with call(site) as caller:
            caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
            caller.send(ask * 400)
            for _ in range(int(LONG_S * 100)):
                if not site.server.open_connections:
                    break
                await site.desk.application.clock.sleep(10)
            assert site.server.open_connections == 0


def refusal_of(answer: bytes) -> tuple[int, str]:
    """Status and code; every refusal has the form and the headers of all others."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert all(headers[name] == value.lower() for name, value in SECURITY_HEADERS), head
    return status, json.loads(body)["error"]["code"]


REFUSED = (
    (b"hello there, no http here\r\n\r\n", 400, "bad_request"),
    (HEAD + b"X-Much: " + b"a" * 9_000 + b"\r\nConnection: close\r\n\r\n", 431, "headers_too_large"),
    (HEAD + b"X-Much: " + b"a" * (2 * HEAD_BYTES), 431, "headers_too_large"),
    (b"GET /" + b"a" * (2 * HEAD_BYTES), 431, "headers_too_large"),
    (CHANGE + b"Connection: close\r\nContent-Length: 65537\r\n\r\n", 413, "body_too_large"),
    (CHANGE + b"Connection: close\r\nContent-Length: 99999999999999999999\r\n\r\n", 413, "body_too_large"),
    (CHANGE + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, "bad_request"),
    (CHANGE + b"Content-Length: five\r\n\r\nhello", 400, "bad_request"),
    (HEAD + b"Bad Header: 1\r\n\r\n", 400, "bad_request"),
    (b"GET /ready HTTP/1.1\r\n\r\n", 400, "bad_request"),
    (b"GET /ready HTTP/1.1\r\nHost: evil.example.com\r\nConnection: close\r\n\r\n", 421, "wrong_host"),
)


async def test_what_is_too_large_or_no_request_is_refused_in_the_common_form(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        for sent, status, code in REFUSED:
            async with call(site) as caller:
                caller.send(sent)
                assert refusal_of(await caller.read_end()) == (status, code), sent[:80]


async def test_a_body_in_parts_that_never_says_its_size_is_counted(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:

        async def much() -> AsyncIterator[bytes]:
            for _ in range(17):
                yield b"a" * 4_096

        headers = site.headers(Role.ADMIN) | {"X-Userstream-Request": "1"}
        url = f"{site.server.url}/api/live/ticket"
        try:
            async with site.client.post(url, headers=headers, data=much()) as answer:
                assert answer.status in (200, 413)
        except aiohttp.ClientConnectionError:
            pass
        assert (await site.get("/ready", None))[0] == 200


async def test_more_connections_than_there_may_be_are_told_so(tmp_path: Path) -> None:
    async with open_site(tmp_path, limits=ServerLimits(connections=3)) as site:
        async with call(site), call(site), call(site), call(site) as fourth:
            assert refusal_of(await fourth.read_end()) == (503, "too_many_connections")
            assert await refused(site) == {"all": 1, "address": 0}
        for _ in range(1_000):
            if not site.server.open_connections:
                break
            await site.desk.application.clock.sleep(5)
        assert (await site.get("/ready", None))[0] == 200


async def refused(site: Site) -> dict[str, float]:
    """How many were refused, by the limit."""
    text = await site.desk.application.read_metrics()
    return {limit: float(count) for limit, count in re.findall(r'userstream_http_refused_total\{limit="(\w+)"\} (\S+)', text)}


async def test_one_address_cannot_take_the_places_of_the_others(tmp_path: Path) -> None:
    async with open_site(tmp_path, HttpSection(port=0, connections_per_address=3)) as site:
        assert await refused(site) == {"all": 0, "address": 0}
        with capture_logs() as logs:
            async with call(site), call(site), call(site) as third:
                for _ in range(2):
                    async with call(site) as fourth:
                        assert refusal_of(await fourth.read_end()) == (429, "too_many_connections")
                async with call(site, from_host="127.0.0.2") as other:
                    other.send(HEAD + b"\r\n")
                    assert b"HTTP/1.1 200" in await other.read_head()
                third.writer.close()
                await third.writer.wait_closed()
                for _ in range(1_000):
                    if site.server.open_connections == 2:
                        break
                    await site.desk.application.clock.sleep(5)
                async with call(site) as again:
                    again.send(HEAD + b"\r\n")
                    assert b"HTTP/1.1 200" in await again.read_head()
        assert [(entry["action"], entry["host"]) for entry in logs] == [("http_refused", "127.0.0.1")], "once a minute, not for each"
        assert await refused(site) == {"all": 0, "address": 2}


async def test_a_live_feed_is_a_connection_of_its_address(tmp_path: Path) -> None:
    async with open_site(tmp_path, HttpSection(port=0, connections_per_address=2)) as site:
        feeds = [await site.open_live() for _ in range(2)]
        async with call(site) as third:
            assert refusal_of(await third.read_end()) == (429, "too_many_connections")
        for feed in feeds:
            await feed.close()


PROXY = HttpSection(port=0, behind_proxy=True, connections_per_address=2, requests_per_minute=100_000)


async def test_of_a_proxy_each_caller_is_counted_that_it_names_and_not_its_connections(tmp_path: Path) -> None:
    async with open_site(tmp_path, PROXY) as site:

        async def come_from(address: str) -> aiohttp.ClientWebSocketResponse:
            socket = await site.client.ws_connect(f"{site.server.url}/api/live", headers={"X-Forwarded-For": address})
            await socket.send_json({"type": "hello", "token": site.texts[Role.VIEWER]})
            assert (await socket.receive_json())["type"] == "welcome"
            return socket

        feeds = [await come_from(f"203.0.113.{number}") for number in range(5) for _ in range(2)]
        assert site.server.open_connections == 10
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await come_from("203.0.113.0")
        assert caught.value.status == 429
        status, told = await site.get("/ready", None, **{"X-Forwarded-For": "203.0.113.1"})
        assert (status, told["error"]["code"]) == (429, "too_many_connections")
        assert (await site.get("/ready", None, **{"X-Forwarded-For": "203.0.113.9"}))[0] == 200
        assert await refused(site) == {"all": 0, "address": 2}
        await feeds[0].close()
        for _ in range(1_000):
            if (await site.get("/ready", None, **{"X-Forwarded-For": "203.0.113.0"}))[0] == 200:
                break
            await site.desk.application.clock.sleep(5)
        feeds.append(await come_from("203.0.113.0"))
        for feed in feeds:
            await feed.close()


async def test_whoever_passes_by_the_proxy_is_counted_as_himself(tmp_path: Path) -> None:
    settings = HttpSection(port=0, behind_proxy=True, proxies=("127.0.0.9",), connections_per_address=1)
    async with open_site(tmp_path, settings) as site, call(site), call(site) as second:
        assert refusal_of(await second.read_end()) == (429, "too_many_connections")
        async with call(site, from_host="127.0.0.9"), call(site, from_host="127.0.0.9") as proxy:
            proxy.send(HEAD + b"\r\n")
            assert b"HTTP/1.1 200" in await proxy.read_head()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_a_proxy_is_believed_also_where_the_server_listens_for_both_families(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(PROXY, host="::", proxies=("127.0.0.0/8",))
    async with open_site(tmp_path, settings) as site:
        place = f"http://127.0.0.1:{site.server.address[1]}/api/live"
        named = ["203.0.113.1", "203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8::2"]
        feeds = [await site.client.ws_connect(place, headers={"X-Forwarded-For": address}) for address in named]
        for address in ("203.0.113.1", "::ffff:203.0.113.1", "2001:db8::3"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await site.client.ws_connect(place, headers={"X-Forwarded-For": address})
            assert caught.value.status == 429
        assert await refused(site) == {"all": 0, "address": 3}
        for feed in feeds:
            await feed.close()


def write_certificate(folder: Path) -> HttpSection:
    """Settings of a server of this machine that speaks TLS."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "userstream test")])
    began = datetime.now(UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(began).not_valid_after(began + timedelta(days=2))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    signed = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    (folder / "a.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "b.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    (folder / "b.pem").chmod(0o600)
    return HttpSection(port=0, requests_per_minute=100_000, certificate_file="a.pem", key_file="b.pem")


async def ask_over_tls(site: Site, folder: Path) -> int:
    trust = ssl.create_default_context(cafile=str(folder / "a.pem"))
    async with site.client.get(f"{site.server.url}/ready", ssl=trust) as answer:
        return answer.status


async def until_nobody_is_connected(site: Site) -> None:
    await site.client.close()
    for _ in range(int(LONG_S * 100)):
        if not site.server.open_connections:
            return
        await site.desk.application.clock.sleep(10)
    raise AssertionError(site.server.open_connections)


async def test_a_handshake_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async with open_site(tmp_path, write_certificate(tmp_path), limits=ServerLimits(head_ms=100)) as site:
        for begun in (b"", b"\x16\x03\x01\x02\x00", HEAD):
            async with call(site) as caller:
                caller.send(begun)
                assert b"HTTP" not in await caller.read_end(), begun
        await until_nobody_is_connected(site)


async def test_callers_without_a_handshake_are_counted(tmp_path: Path) -> None:
    async with open_site(tmp_path, write_certificate(tmp_path), limits=ServerLimits(connections=3)) as site:
        async with call(site), call(site), call(site), call(site) as fourth:
            assert await fourth.read_end() == b""
            assert site.server.open_connections == 3
        await until_nobody_is_connected(site)


async def test_over_tls_an_address_without_a_place_is_cut_off_before_its_handshake(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(write_certificate(tmp_path), connections_per_address=2)
    async with open_site(tmp_path, settings) as site:
        async with call(site), call(site), call(site) as third:
            assert await third.read_end() == b""
            async with call(site, from_host="127.0.0.2"):
                pass
            assert await refused(site) == {"all": 0, "address": 1}
        await until_nobody_is_connected(site)


async def test_after_silent_callers_others_are_served_over_tls(tmp_path: Path) -> None:
    limits = ServerLimits(connections=3, head_ms=2_000)
    async with open_site(tmp_path, write_certificate(tmp_path), limits=limits) as site:
        async with call(site) as silent, call(site):
            assert await ask_over_tls(site, tmp_path) == 200
            assert site.server.open_connections == 3
            async with call(site) as fourth:
                assert await fourth.read_end() == b""
            assert await silent.read_end() == b""
        assert await ask_over_tls(site, tmp_path) == 200
        await until_nobody_is_connected(site)


async def test_the_end_of_the_server_does_not_wait_for_a_handshake(tmp_path: Path) -> None:
    async with open_site(tmp_path, write_certificate(tmp_path), limits=ServerLimits(head_ms=60_000)) as site:
        async with call(site) as caller:
            assert await ask_over_tls(site, tmp_path) == 200
            await site.client.close()
            await asyncio.wait_for(site.server.stop(), LONG_S)
            assert await caller.read_end() == b""
        assert site.server.open_connections == 0


class ManyPlaces:
    def caller_of(self, address: str) -> str:
        return address

    def most_of(self, address: str) -> int:
        return 1_000

    def note_refused(self, limit: str) -> None:
        raise AssertionError(limit)


class Greeter(asyncio.Protocol):
    """Says one word to whoever comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"welcome")


async def test_callers_are_accepted_again_once_the_machine_can() -> None:
    clock = ManualClock()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setblocking(False)
        listener = Listener(listening, Greeter, set(), ServerLimits(), clock, None, ManyPlaces())
        with capture_logs() as logs:
            # to accept where nothing listens fails, as it does without descriptors
            listener.start()
            await clock.advance(2 * ACCEPT_PAUSE_MS)
        assert {entry["action"] for entry in logs} == {"http_accept_failed"} and 1 <= len(logs) <= 3
        listening.listen()
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        await clock.advance(ACCEPT_PAUSE_MS)
        assert await asyncio.wait_for(reader.readexactly(7), LONG_S) == b"welcome"
        writer.close()
        await listener.close()
    assert clock.failures == []


class OnePlace:
    """One place for each of the networks `127.0.x`."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def caller_of(self, address: str) -> str:
        return address.rpartition(".")[0]

    def most_of(self, address: str) -> int:
        return 1

    def note_refused(self, limit: str) -> None:
        self.refused.append(limit)


async def test_addresses_of_one_caller_are_counted_together() -> None:
    clock, caps, opened = ManualClock(), OnePlace(), set[object]()

    class Guest(Greeter):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            opened.add(self)
            super().connection_made(transport)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        listener = Listener(listening, Guest, opened, ServerLimits(), clock, None, caps)
        listener.start()
        for host, refused_so_far in (("127.0.0.1", 0), ("127.0.7.1", 0), ("127.0.0.2", 1), ("127.0.8.1", 1)):
            reader, writer = await asyncio.open_connection(*listening.getsockname(), local_addr=(host, 0))
            assert await asyncio.wait_for(reader.readexactly(7), LONG_S) == b"welcome"
            assert len(caps.refused) == refused_so_far, host
            writer.close()
        await listener.close()
    assert clock.failures == []


async def test_a_live_feed_outlives_the_limits_of_a_request(tmp_path: Path) -> None:
    async with open_site(tmp_path, limits=SHORT) as site:
        socket = await site.open_live()
        assert (await socket.receive_json())["type"] == "welcome"
        async with call(site) as caller:
            assert await caller.read_end() == b""
        async with call(site) as caller:
            assert await caller.read_end() == b""
        site.desk.place()
        kinds = [(await socket.receive_json(timeout=LONG_S))["type"] for _ in range(2)]
        assert "delta" in kinds or "snapshot" in kinds
        await socket.close()


async def test_a_message_of_a_live_feed_that_is_too_large_ends_it(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        socket = await site.open_live()
        await socket.receive_json()
        await socket.send_str("a" * 70_000)
        while (message := await socket.receive(timeout=LONG_S)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED) and socket.close_code in (1009, 1006)
