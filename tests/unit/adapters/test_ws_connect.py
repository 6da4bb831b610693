import asyncio
import logging
import socket
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.loopback import CLOSE, PING, TEXT, Frame, LoopbackServer, Peer, frame_bytes
from tests.support.transport import RecordingEvents
from userstream.adapters.clock import SystemClock
from userstream.adapters.ws import PicowsTransport
from userstream.kernel.errors import ConnectionError, SettingsError
from userstream.kernel.secret import Secret

CANARY = "canaryListenKey0123456789"
LIMIT_MS = 10_000


def url_of(server: LoopbackServer, scheme: str = "ws") -> Secret:
    return Secret(f"{scheme}://127.0.0.1:{server.port}/private/ws/{CANARY}?listenKey={CANARY}&events=ORDER_TRADE_UPDATE")


async def refusal(url: Secret, time_limit_ms: int = LIMIT_MS, extra_roots: str | None = None) -> str:
    transport, events = PicowsTransport(SystemClock(), extra_roots), RecordingEvents()
    with pytest.raises(ConnectionError) as caught:
        await transport.connect(url, events, time_limit_ms=time_limit_ms)
    await transport.close()
    assert events.told == []
    assert CANARY not in repr(caught.value) + repr(caught.value.__cause__)
    return str(caught.value).partition(": ")[2]


async def test_the_address_is_used_as_it_is() -> None:
    async with LoopbackServer.listening() as server:
        transport = PicowsTransport(SystemClock())
        await transport.connect(url_of(server), RecordingEvents(), time_limit_ms=LIMIT_MS)
        peer = await server.next_peer()
        expected = f"GET /private/ws/{CANARY}?listenKey={CANARY}&events=ORDER_TRADE_UPDATE HTTP/1.1\r\n"
        assert peer.request.startswith(expected.encode())
        assert b"permessage-deflate" not in peer.request
        await transport.close()


async def answers(status_line: bytes) -> str:
    async def behave(peer: Peer) -> None:
        await peer.read_request()
        peer.write(status_line + b"\r\nLocation: ws://127.0.0.1:9/" + CANARY.encode() + b"\r\nContent-Length: 0\r\n\r\n")

    async with LoopbackServer.listening(behave) as server:
        return await refusal(url_of(server))


@pytest.mark.parametrize("status", [200, 302, 404, 410, 429, 503])
async def test_a_handshake_that_is_turned_down_says_the_status_and_follows_nothing(status: int) -> None:
    assert await answers(b"HTTP/1.1 %d Whatever" % status) == f"handshake answered {status}"


@pytest.mark.parametrize("line", [b"SSH-2.0-OpenSSH", b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 abc " + CANARY.encode()])
async def test_another_protocol_is_no_handshake(line: bytes) -> None:
    assert await answers(line) == "the answer is no WebSocket handshake"


async def test_a_server_that_hangs_up_before_its_answer() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_request()
        peer.hang_up()

    async with LoopbackServer.listening(behave) as server:
        assert await refusal(url_of(server)) == "the connection broke off"


async def test_a_server_that_says_nothing_runs_into_the_time_limit_and_is_left() -> None:
    async with LoopbackServer.listening(Peer.read_request) as server:
        assert await refusal(url_of(server), time_limit_ms=50) == "no answer within 50 ms"
        await (await server.next_peer()).gone()


async def test_a_closed_port_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert await refusal(Secret(f"ws://127.0.0.1:{port}/{CANARY}")) == "connection refused"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 80 + ".com"])
async def test_a_name_that_does_not_resolve(host: str) -> None:
    assert await refusal(Secret(f"wss://{host}/{CANARY}")) == "name does not resolve"


@pytest.mark.parametrize("url", ["ws://example.com/", "http://127.0.0.1/", "wss:///", "wss://a:b@example.com/", "wss://example.com:x/"])
async def test_an_address_that_is_not_safe_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        await PicowsTransport(SystemClock()).connect(Secret(url + CANARY), RecordingEvents(), time_limit_ms=LIMIT_MS)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("answered", [False, True])
async def test_a_cancelled_connect_leaves_no_socket(answered: bool) -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_request()
        if answered:
            peer.accept(then=frame_bytes(b"nobody hears this"))

    async with LoopbackServer.listening(behave) as server:
        transport, events = PicowsTransport(SystemClock()), RecordingEvents()
        attempt = asyncio.get_running_loop().create_task(transport.connect(url_of(server), events, time_limit_ms=LIMIT_MS))
        peer = await server.next_peer()
        while not peer.request:
            await asyncio.sleep(0)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await asyncio.wait_for(peer.gone(), 10)
    assert events.told == []


async def test_a_connect_cancelled_at_any_moment_leaves_no_socket() -> None:
    async with LoopbackServer.listening() as server:
        for turns in range(40):
            transport = PicowsTransport(SystemClock())
            attempt = asyncio.get_running_loop().create_task(transport.connect(url_of(server), RecordingEvents(), time_limit_ms=LIMIT_MS))
            for _ in range(turns):
                await asyncio.sleep(0)
            attempt.cancel()
            await asyncio.wait([attempt])
            if attempt.cancelled():
                await asyncio.wait_for(_all_gone(server), 10)
            await transport.close()
            await asyncio.wait_for(_all_gone(server), 10)


async def _all_gone(server: LoopbackServer) -> None:
    while server.connections:
        await server.connections.pop().gone()


# ---------------------------------------------------------------- TLS


async def test_a_trusted_certificate_opens_a_socket(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with LoopbackServer.listening(tls=authority.server_context()) as server:
        transport, events = PicowsTransport(SystemClock(), authority.roots), RecordingEvents()
        client = await transport.connect(url_of(server, "wss"), events, time_limit_ms=LIMIT_MS)
        peer = await server.next_peer()
        client.pause()
        peer.say("over TLS")
        client.resume()
        client.send("hello")
        await events.until(lambda: events.frames == [b"over TLS"])
        assert await peer.hear() == Frame(TEXT, b"hello")
        peer.say(b"\x03\xe9", CLOSE)
        await events.until(lambda: events.closed == ["closed by the venue: 1001 going away"])
        await transport.close()


async def test_an_unknown_certificate_is_not_trusted(tmp_path: Path) -> None:
    async with LoopbackServer.listening(tls=Authority(tmp_path).server_context()) as server:
        assert (await refusal(url_of(server, "wss"))).startswith("certificate not trusted (")


async def test_a_certificate_for_another_host_is_not_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "fstream.example.com")
    async with LoopbackServer.listening(tls=authority.server_context()) as server:
        assert (await refusal(url_of(server, "wss"), extra_roots=authority.roots)).startswith("certificate not trusted (")


async def test_a_server_without_tls_is_told_apart() -> None:
    async def babble(peer: Peer) -> None:
        peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)

    async with LoopbackServer.listening(babble) as server:
        assert (await refusal(url_of(server, "wss"))).startswith("TLS failed (")


async def test_a_tls_handshake_that_never_ends_runs_into_the_time_limit() -> None:
    async def wait(peer: Peer) -> None:
        await peer.gone()

    async with LoopbackServer.listening(wait) as server:
        assert await refusal(url_of(server, "wss"), time_limit_ms=50) == "no answer within 50 ms"
        await (await server.next_peer()).gone()


# ---------------------------------------------------------------- logs


async def test_nothing_that_picows_logs_shows_the_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    for name in ("picows", "picows.client", "userstream.picows", "asyncio", "aiofastnet"):
        caplog.set_level(1, logger=name)
    logging.getLogger("userstream.control").warning("positive control %s", CANARY)
    await answers(b"HTTP/1.1 404 Not Found")
    async with LoopbackServer.listening() as server:
        transport, events = PicowsTransport(SystemClock()), RecordingEvents()
        await transport.connect(url_of(server), events, time_limit_ms=LIMIT_MS)
        (await server.next_peer()).write(frame_bytes(b"", PING) + frame_bytes(CANARY.encode(), 0x3))
        await events.until(lambda: bool(events.closed))
    assert [record.getMessage() for record in caplog.records if CANARY in record.getMessage()] == [f"positive control {CANARY}"]
