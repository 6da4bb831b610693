"""What the doctor finds of the ports of `run`: a free one, another program on it, a service of this kind on it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import structlog

from tests.support.web import open_site
from userstream.adapters.file_lock import FileLock
from userstream.entry.cli.port_findings import check_http, check_metrics
from userstream.entry.configuration import Configuration, read_configuration


def wanting(folder: Path, *lines: str) -> Configuration:
    path = folder / "userstream.toml"
    path.write_text("\n".join([f'[store]\npath = "{folder}/desk.db"\n[registry]', *lines]))
    return read_configuration(path, {})


def listening(folder: Path, port: int) -> Configuration:
    return wanting(folder, "[http]", f"port = {port}")


async def test_a_port_of_another_program_is_a_problem(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        taken.close()
        found = await check_http(listening(tmp_path, port))
        assert found is not None and found.verdict == "warning" and "listen" not in found.words
    deep = b'{"status":' + b"[" * 4_000
    for answer in (b"", answered(b"[]"), answered(b'{"status": "x"}'), answered(deep), answered(b'{"status": "ok", "a": ' + b"[" * 4_000)):
        assert await check_beside(tmp_path, answer) == ("problem", True), answer


def answered(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """As while a service writes the store of this configuration."""
    lock = FileLock(folder / "desk.db.lock")
    lock.take()
    try:
        yield
    finally:
        lock.release()


async def check_beside(folder: Path, answer: bytes) -> tuple[str, bool]:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await check_http(listening(folder, port))
    assert found is not None
    return found.verdict, f"127.0.0.1:{port} cannot be listened on: address already in use; choose another port" in found.words


async def test_a_service_that_runs_is_no_problem_to_itself(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        port = int(site.server.url.rpartition(":")[2])
        found = await check_http(listening(tmp_path, port))
    assert found is not None
    assert (found.verdict, found.words) == (
        "ok",
        f"http://127.0.0.1:{port}, 3 tokens; a service of this kind listens there now, and process {os.getpid()} holds "
        f"{tmp_path / 'desk.db'}: if that is another service, choose another port",
    )


async def test_another_service_on_the_port_of_one_that_holds_its_own_store_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "theirs").mkdir()
    async with open_site(tmp_path / "theirs") as site:
        port = int(site.server.url.rpartition(":")[2])
        with held(tmp_path / "mine"):
            found = await check_http(listening(tmp_path / "mine", port))
    assert found is not None
    assert f"process {os.getpid()} holds {tmp_path / 'mine' / 'desk.db'}: if that is another service, choose another port" in found.words


async def test_no_api_no_finding_and_a_place_elsewhere_is_a_problem(tmp_path: Path) -> None:
    assert await check_http(wanting(tmp_path)) is None
    found = await check_http(wanting(tmp_path, "[http]", 'host = "192.0.2.1"', "behind_proxy = true"))
    assert found is not None and found.verdict == "problem" and "192.0.2.1" in found.words


@pytest.mark.parametrize("told", [{"status": "ok"}, {"status": "failing"}])
async def test_healthy_or_not_it_is_a_service(tmp_path: Path, told: dict[str, str]) -> None:
    body = json.dumps(told).encode()
    answer = b"HTTP/1.1 503 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with held(tmp_path):
        assert await check_beside(tmp_path, answer) == ("warning", False)
    assert await check_beside(tmp_path, answer) == ("problem", True)


async def test_the_service_of_another_store_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "theirs").mkdir()
    async with open_site(tmp_path / "theirs") as site:
        port = int(site.server.url.rpartition(":")[2])
        found = await check_http(listening(tmp_path / "mine", port))
    assert found is not None and found.verdict == "problem" and "\n" not in found.words
    assert found.words.endswith(f"it is the service of another store, for nobody holds {tmp_path / 'mine' / 'desk.db'}")


async def test_the_port_of_the_metrics_is_tried_as_well(tmp_path: Path) -> None:
    assert await check_metrics(wanting(tmp_path)) is None
    verdicts, listen = [], ""
    for answer, lock in (
        (b"", held(tmp_path)),
        (answered(b"up 1\n"), held(tmp_path)),
        (answered(b"userstream_x 1\n"), nullcontext()),
        (answered(b"userstream_x 1\n"), held(tmp_path)),
    ):

        async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = answer) -> None:
            await reader.read(1)
            writer.write(said)
            writer.close()

        async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
            listen = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with lock:
                found = await check_metrics(wanting(tmp_path, "[metrics]", f'listen = "{listen}"'))
        assert found is not None and listen in found.words
        verdicts.append((found.verdict, "choose another port" in found.words, "of this kind" in found.words))
    assert verdicts == [("problem", True, False), ("problem", True, False), ("problem", True, False), ("ok", True, True)]
    with structlog.testing.capture_logs() as entries:
        free = await check_metrics(wanting(tmp_path, "[metrics]", f'listen = "{listen}"'))
    assert entries == [], "nobody can read numbers where a port was only tried"
    assert free is not None and (free.verdict, free.words) == ("ok", f"http://{listen}/metrics")
