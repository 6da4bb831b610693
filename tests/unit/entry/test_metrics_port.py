"""`/metrics` on a port of its own: for this machine alone, and nothing but the numbers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from userstream.adapters.metrics import CONTENT_TYPE
from userstream.entry.bootstrap import start_application
from userstream.entry.metrics_port import MetricsPort, MetricsSection, is_own_name, open_metrics
from userstream.kernel.errors import SettingsError

FREE = MetricsSection(listen="127.0.0.1:0")


async def numbers() -> str:
    return "userstream_fills_total 3.0\n"


@pytest.fixture
async def port() -> AsyncIterator[MetricsPort]:
    made = MetricsPort(FREE, numbers, CONTENT_TYPE)
    await made.start()
    yield made
    await made.stop()


async def ask(port: MetricsPort, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str, str]:
    host, number = port.address
    async with aiohttp.ClientSession() as client, client.request(method, f"http://{host}:{number}{path}", headers=headers) as answer:
        return answer.status, await answer.text(), answer.headers.get("Content-Type", "")


async def test_the_numbers_are_there_and_nothing_else_is(port: MetricsPort) -> None:
    assert await ask(port) == (200, "userstream_fills_total 3.0\n", CONTENT_TYPE)
    assert (await ask(port, "/"))[0] == (await ask(port, "/api/accounts"))[0] == 404
    assert (await ask(port, method="POST"))[0] == 405


async def test_a_page_that_leads_here_by_another_name_reads_nothing(port: MetricsPort) -> None:
    status, text, _ = await ask(port, Host="evil.example")
    assert status == 403 and "userstream_" not in text
    assert (await ask(port, Host=f"localhost:{port.address[1]}"))[0] == 200


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1:9464", True),
        ("[::1]:9464", True),
        ("[::1]", True),
        ("LOCALHOST", True),
        ("10.0.0.1", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_which_names_are_this_machines_own(host: str, own: bool) -> None:
    assert is_own_name(host) is own


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("0.0.0.0:9464", "is not this machine alone"),
        ("[::]:9464", "is not this machine alone"),
        ("desk.example:9464", "is not this machine alone"),
        ("9464", "must be an address and a port"),
        ("127.0.0.1:70000", "must be an address and a port"),
        ("127.0.0.1", "must be an address and a port"),
    ],
)
def test_where_it_may_not_listen(listen: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        MetricsSection(listen=listen)


@pytest.mark.parametrize(("listen", "place"), [("localhost:1", ("localhost", 1)), ("[::1]:9464", ("::1", 9464))])
def test_address_and_port_are_told_apart(listen: str, place: tuple[str, int]) -> None:
    assert MetricsSection(listen=listen).place == place


async def test_a_place_that_is_taken_is_told(port: MetricsPort) -> None:
    second = MetricsPort(MetricsSection(listen=f"127.0.0.1:{port.address[1]}"), numbers, CONTENT_TYPE)
    with pytest.raises(SettingsError, match=r"\[metrics\] listen = .*in use.*; choose another port"):
        await second.start()
    await second.stop()


async def test_a_service_is_measured_with_and_without_a_port() -> None:
    application = await start_application(None)
    try:
        async with open_metrics(None, application) as nothing:
            assert nothing is None and len(application.on_started) == 1
        async with open_metrics(FREE, application) as port:
            assert port is not None
            status, text, _ = await ask(port)
            assert status == 200 and "userstream_loop_stall_seconds" in text
        assert application.on_started == []
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask(port)
    finally:
        await application.stop()
