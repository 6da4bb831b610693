import asyncio
import contextlib
import gzip
import logging
import socket
import string
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certificates import Authority
from tests.support.loopback import Behaviour, LoopbackServer, Peer
from userstream.adapters.http import LARGEST_ANSWER, AiohttpClient
from userstream.kernel.errors import SettingsError
from userstream.kernel.secret import Secret
from userstream.wire.request import HttpRequest, HttpResponse

CANARY = "canarySignature0123456789"
LIMIT_MS = 10_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def call(
    target: str = f"/fapi/v1/order?signature={CANARY}",
    method: str = "GET",
    *,
    headers: tuple[tuple[str, Secret], ...] = (),
    body: Secret | None = None,
    may_repeat: bool = True,
) -> HttpRequest:
    label = f"{method} {target.partition('?')[0]}"
    return HttpRequest(method=method, target=Secret(target), label=label, headers=headers, body=body, may_repeat=may_repeat)


class CountingMetrics:
    def __init__(self) -> None:
        self.counted: list[tuple[str, int, dict[str, str]]] = []

    def count(self, name: str, amount: int = 1, labels: Mapping[str, str] | None = None) -> None:
        self.counted.append((name, amount, dict(labels or {})))

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        raise AssertionError("no gauges here")

    def observe(self, name: str, values: Mapping[float, int], labels: Mapping[str, str] | None = None) -> None:
        raise AssertionError("no histograms here")

    def forget_account(self, account: str) -> None:
        raise AssertionError("no accounts here")


@contextlib.asynccontextmanager
async def client(metrics: CountingMetrics | None = None, extra_roots: str | None = None) -> AsyncIterator[AiohttpClient]:
    made = AiohttpClient(metrics, extra_roots)
    try:
        yield made
    finally:
        await made.close()


def base(server: LoopbackServer, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.port}"


def spoken(answer: bytes, *, hang_up: bool = False) -> Behaviour:
    async def behave(peer: Peer) -> None:
        while True:
            await peer.read_request()
            peer.write(answer)
            if hang_up:
                peer.finish()

    return behave


async def once(server: LoopbackServer, request: HttpRequest | None = None, limit_ms: int = LIMIT_MS, scheme: str = "http") -> HttpResponse:
    async with client() as http:
        return await http.send(base(server, scheme), request or call(), time_limit_ms=limit_ms)


# ---------------------------------------------------------------- what goes out


@pytest.mark.parametrize(
    "target",
    [
        "/fapi/v1/order?symbol=BTCUSDT&timestamp=1&signature=ab%2Fcd%3D",
        "/a?x=a+b&y=[1,2]&z=%zz&w='\"&e=%C3%A9&empty=",
        "/a/../b/./c//d?x=../y",
        "/a?x=1&x=2&&=",
        "/%7Euser?a=%41",
    ],
)
async def test_the_target_goes_out_exactly_as_it_was_signed(target: str) -> None:
    async with LoopbackServer.listening(spoken(OK)) as server:
        assert (await once(server, call(target))).status == 200
        assert (await server.next_peer()).request.startswith(f"GET {target} HTTP/1.1\r\n".encode())


@given(st.text(string.ascii_letters + string.digits + string.punctuation.replace("#", ""), max_size=60))
def test_every_written_target_is_the_given_one(rest: str) -> None:
    async def run() -> None:
        target = f"/x?{rest}" if rest else "/x"
        async with LoopbackServer.listening(spoken(OK)) as server:
            assert (await once(server, call(target))).status == 200
            assert (await server.next_peer()).request.startswith(f"GET {target} HTTP/1.1\r\n".encode())

    asyncio.run(run())


@pytest.mark.parametrize("target", ["", "order", "/a b", "/a\r\nX-Evil: 1", "/a#b", "/é", "http://other/", "/a\x00"])
async def test_a_target_that_would_be_read_differently_is_not_sent(target: str) -> None:
    async with LoopbackServer.listening(spoken(OK)) as server:
        answer = await once(server, call(target))
        assert (answer.status, server.connections) == (0, [])


async def test_method_headers_and_body_go_out_as_given() -> None:
    seen: list[tuple[str, str, dict[str, str], str]] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.method, request.path_qs, dict(request.headers), await request.text()))
        return web.json_response({})

    async with web_server(handle) as address, client() as http:
        headers = (("X-MBX-APIKEY", Secret("key")), ("Content-Type", Secret("application/json")))
        await http.send(address, call("/order", "POST", headers=headers, body=Secret('{"a":"é"}')), time_limit_ms=LIMIT_MS)
        await http.send(f"{address}/", call("/order", "PUT", body=Secret("a=1")), time_limit_ms=LIMIT_MS)
    (method, path, sent, body), (_, _, other, _) = seen
    assert (method, path, body) == ("POST", "/order", '{"a":"é"}')
    assert (sent["X-MBX-APIKEY"], sent["Content-Type"], sent["User-Agent"]) == ("key", "application/json", "userstream")
    assert "Content-Type" not in other
    assert "Cookie" not in other


async def test_a_base_address_may_have_a_path() -> None:
    async with LoopbackServer.listening(spoken(OK)) as server, client() as http:
        assert (await http.send(f"{base(server)}/binance-usdm/", call("/fapi/v1/time"), time_limit_ms=LIMIT_MS)).status == 200
        assert (await server.next_peer()).request.startswith(b"GET /binance-usdm/fapi/v1/time HTTP/1.1\r\n")


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with LoopbackServer.listening(spoken(OK)) as server:
        assert (await once(server)).status == 200


@pytest.mark.parametrize("header", [Secret(f"a\r\nX-Evil: {CANARY}"), Secret(f"\x00{CANARY}")])
async def test_a_header_that_would_start_another_one_is_not_sent(header: Secret) -> None:
    async with LoopbackServer.listening(spoken(OK)) as server:
        answer = await once(server, call(headers=(("X-KEY", header),)))
        assert (answer.status, answer.body) == (0, b"a header cannot be written into a request")


# ---------------------------------------------------------------- what comes back


@contextlib.asynccontextmanager
async def web_server(handle: object) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", handle)  # type: ignore[arg-type]
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


@pytest.mark.parametrize("status", [200, 400, 418, 429, 503])
async def test_every_status_is_an_answer_with_lower_case_headers(status: int) -> None:
    lines = b"HTTP/1.1 %d X\r\nX-MBX-USED-WEIGHT-1M: 17\r\nRetry-After: 3\r\nVia: a\r\nVIA: b\r\nContent-Length: 2\r\n\r\n{}" % status
    async with LoopbackServer.listening(spoken(lines)) as server:
        answer = await once(server)
    assert (answer.status, answer.body) == (status, b"{}")
    assert answer.headers == {"x-mbx-used-weight-1m": "17", "retry-after": "3", "via": "a, b", "content-length": "2"}


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    lines = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with LoopbackServer.listening(spoken(lines)) as server:
        assert (await once(server)).status == 302
        assert len(server.connections) == 1


async def test_connections_are_kept_and_cookies_are_not() -> None:
    lines = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=1; Path=/\r\n\r\n")
    async with LoopbackServer.listening(spoken(lines)) as server, client() as http:
        for _ in range(3):
            assert (await http.send(base(server), call(), time_limit_ms=LIMIT_MS)).status == 200
        [peer] = server.connections
        assert b"Cookie:" not in peer.request


async def test_a_compressed_answer_comes_unpacked() -> None:
    packed = gzip.compress(b'{"serverTime":1}')
    lines = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    async with LoopbackServer.listening(spoken(lines)) as server:
        assert (await once(server)).body == b'{"serverTime":1}'


async def test_an_answer_of_any_unpacked_size_holds_no_more_than_the_limit() -> None:
    assert LARGEST_ANSWER == 32 * 1024 * 1024
    packed = gzip.compress(bytes(LARGEST_ANSWER + 1))
    lines = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    async with LoopbackServer.listening(spoken(lines)) as server:
        assert await once(server) == HttpResponse(status=0, body=b"the answer is over 32 MiB")


# ---------------------------------------------------------------- trouble on the way


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (b"", b"the connection broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"the answer broke off"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", b"the answer is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"the answer is no HTTP"),
    ],
)
async def test_an_answer_that_breaks_off_is_none(lines: bytes, words: bytes) -> None:
    async with LoopbackServer.listening(spoken(lines, hang_up=True)) as server:
        assert await once(server) == HttpResponse(status=0, body=words)


@pytest.mark.parametrize("front", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
async def test_an_answer_that_takes_too_long_is_none(front: bytes) -> None:
    async with LoopbackServer.listening(spoken(front)) as server:
        assert await once(server, limit_ms=50) == HttpResponse(status=0, body=b"no answer within 50 ms")


async def test_a_closed_port_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with client() as http:
        assert (await http.send(f"http://127.0.0.1:{port}", call(), time_limit_ms=LIMIT_MS)).body == b"connection refused"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 80 + ".com"])
async def test_a_name_that_does_not_resolve(host: str) -> None:
    async with client() as http:
        assert (await http.send(f"https://{host}", call(), time_limit_ms=LIMIT_MS)).body == b"name does not resolve"


async def test_a_certificate_is_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with LoopbackServer.listening(spoken(OK), authority.server_context()) as server:
        answer = await once(server, scheme="https")
        assert (answer.status, answer.body[:25]) == (0, b"certificate not trusted (")
        async with client(extra_roots=authority.roots) as http:
            assert (await http.send(base(server, "https"), call(), time_limit_ms=LIMIT_MS)).status == 200


async def test_a_cancelled_call_lets_go_of_its_connection() -> None:
    async with LoopbackServer.listening(Peer.read_request) as server, client() as http:
        waiting = asyncio.get_running_loop().create_task(http.send(base(server), call(), time_limit_ms=LIMIT_MS))
        peer = await server.next_peer()
        while not peer.request:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(peer.gone(), 10)


@pytest.mark.parametrize(
    ("method", "may_repeat", "arrivals"), [("GET", True, 2), ("GET", False, 1), ("DELETE", False, 1), ("PUT", False, 1), ("POST", False, 1)]
)
async def test_a_call_that_may_not_be_repeated_arrives_at_most_once(method: str, may_repeat: bool, arrivals: int) -> None:
    requests: list[bytes] = []

    async def die_at_the_second(peer: Peer) -> None:
        for _ in range(2):
            await peer.read_request()
            requests.append(peer.request.split(b" ")[1])
            if requests.count(b"/order") == 1:
                peer.hang_up()
                break
            peer.write(OK)

    async with LoopbackServer.listening(die_at_the_second) as server, client() as http:
        await http.send(base(server), call("/warm-up"), time_limit_ms=LIMIT_MS)
        answer = await http.send(base(server), call("/order", method, may_repeat=may_repeat), time_limit_ms=LIMIT_MS)
    assert requests.count(b"/order") == arrivals
    assert answer == (answer if may_repeat else HttpResponse(status=0, body=b"the connection broke off"))
    assert (answer.status == 200) is may_repeat


def fallen_silent(connections: int) -> tuple[Behaviour, asyncio.Event]:
    """A server that answers on its first connections once so many are open; when the event is set, they fall silent, and only new ones
    are answered."""
    all_open, silent, old = asyncio.Barrier(connections), asyncio.Event(), set[Peer]()

    async def behave(peer: Peer) -> None:
        await peer.read_request()
        if not silent.is_set():
            old.add(peer)
            await all_open.wait()
        while not (peer in old and silent.is_set()):
            peer.write(OK)
            await peer.read_request()

    return behave, silent


async def test_connections_that_fell_silent_are_not_tried_one_after_another() -> None:
    behave, silent = fallen_silent(3)
    async with LoopbackServer.listening(behave) as server, client() as http:
        warm = await asyncio.gather(*(http.send(base(server), call(), time_limit_ms=LIMIT_MS) for _ in range(3)))
        assert [answer.status for answer in warm] == [200, 200, 200]
        silent.set()
        assert (await http.send(base(server), call(), time_limit_ms=50)).body == b"no answer within 50 ms"
        assert (await http.send(base(server), call(), time_limit_ms=1_000)).status == 200
        assert len(server.connections) == 4


async def test_a_call_without_an_answer_breaks_no_other_call_off() -> None:
    asked = asyncio.Event()

    async def answer_late(peer: Peer) -> None:
        await peer.read_request()
        if peer.request.startswith(b"GET /patient "):
            await asked.wait()
            peer.write(OK)

    async with LoopbackServer.listening(answer_late) as server, client() as http:
        patient = asyncio.get_running_loop().create_task(http.send(base(server), call("/patient"), time_limit_ms=LIMIT_MS))
        assert (await http.send(base(server), call("/lost"), time_limit_ms=50)).status == 0
        asked.set()
        assert (await patient).status == 200
        await asyncio.gather(*(peer.gone() for peer in server.connections))


async def test_closing_ends_calls_of_connections_that_are_no_longer_trusted() -> None:
    async with LoopbackServer.listening(Peer.read_request) as server, client() as http:
        patient = asyncio.get_running_loop().create_task(http.send(base(server), call("/patient"), time_limit_ms=LIMIT_MS))
        assert (await http.send(base(server), call("/lost"), time_limit_ms=50)).status == 0
        await http.close()
        assert (await patient).status == 0


async def test_a_closed_client_answers_that_it_is_closed() -> None:
    http = AiohttpClient()
    await http.close()
    await http.close()
    assert await http.send("http://127.0.0.1:9", call(), time_limit_ms=LIMIT_MS) == HttpResponse(status=0, body=b"the client is closed")


# ---------------------------------------------------------------- settings, secrets, numbers


@pytest.mark.parametrize(
    "url", ["http://fapi.binance.com", "ftp://127.0.0.1", "https://a:b@fapi.binance.com", f"https://h/?{CANARY}", "https:"]
)
async def test_an_address_that_is_not_safe_is_a_wrong_setting(url: str) -> None:
    async with client() as http:
        with pytest.raises(SettingsError) as caught:
            await http.send(url, call(), time_limit_ms=LIMIT_MS)
    assert CANARY not in str(caught.value)


async def test_no_trouble_shows_a_secret(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(1)
    for name in ("aiohttp", "aiohttp.client", "asyncio"):
        caplog.set_level(1, logger=name)
    logging.getLogger("userstream.control").warning("positive control %s", CANARY)
    request = call(headers=(("X-KEY", Secret(CANARY)),), body=Secret(CANARY), method="POST")
    bodies = [b""]
    for lines in (b"", b"\x00\x01", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: ::\r\n\r\n"):
        async with LoopbackServer.listening(spoken(lines, hang_up=True)) as server:
            bodies.append((await once(server, request)).body)
    async with LoopbackServer.listening(spoken(OK), Authority(tmp_path).server_context()) as server:
        bodies.append((await once(server, request, scheme="https")).body)
    assert CANARY.encode() not in b"".join(bodies)
    assert all(body.count(b"\n") == 0 for body in bodies)
    assert [record.getMessage() for record in caplog.records if CANARY in record.getMessage()] == [f"positive control {CANARY}"]


async def test_every_call_is_counted_by_label_and_status() -> None:
    metrics = CountingMetrics()
    async with LoopbackServer.listening(spoken(OK)) as server, client(metrics) as http:
        await http.send(base(server), call(), time_limit_ms=LIMIT_MS)
        await http.send(base(server), call("no target"), time_limit_ms=LIMIT_MS)
    assert metrics.counted == [
        ("rest_requests_total", 1, {"request": "GET /fapi/v1/order", "status": "200"}),
        ("rest_requests_total", 1, {"request": "GET no target", "status": "0"}),
    ]
