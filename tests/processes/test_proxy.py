"""The proxy does to the bytes what it says, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from tests.processes.proxy import HOST, FaultProxy

PATIENCE_S = 10.0
SOON_S = 0.2


@asynccontextmanager
async def echo_behind_proxy() -> AsyncIterator[FaultProxy]:
    """A proxy before a server that says back what it hears and closes after its client."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server, FaultProxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


class Visitor:
    """A client of the echo."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, data: bytes) -> bytes:
        """What comes back, as much as was said."""
        self._writer.write(data)
        return await asyncio.wait_for(self._reader.readexactly(len(data)), PATIENCE_S)

    async def rest(self) -> bytes:
        """All that comes until the other side closes."""
        return await asyncio.wait_for(self._reader.read(), PATIENCE_S)

    async def hears_nothing(self) -> bool:
        try:
            await asyncio.wait_for(self._reader.read(1), SOON_S)
        except TimeoutError:
            return True
        return False

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def finish(self) -> None:
        self._writer.write_eof()

    def leave(self) -> None:
        self._writer.close()


async def visit(proxy: FaultProxy) -> Visitor:
    return Visitor(*await asyncio.open_connection(HOST, proxy.port))


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"latency_ms": 5, "jitter_ms": 5},
        {"slices": True},
        {"bytes_per_s": 20_000},
        {"slow_close_ms": 20},
        {"latency_ms": 2, "slices": True},
    ],
)
async def test_bytes_arrive_whole_and_in_order_whatever_the_way(fault: dict[str, int], chance: Random) -> None:
    async with echo_behind_proxy() as proxy:
        for name, value in fault.items():
            setattr(proxy.way, name, value)
        visitor = await visit(proxy)
        data = chance.randbytes(3_000)
        assert await visitor.say(data) == data
        visitor.finish()
        assert await visitor.rest() == b""
        visitor.leave()


async def test_a_connection_is_reset_at_the_byte() -> None:
    async with echo_behind_proxy() as proxy:
        proxy.way.reset_after = 1_234
        visitor = await visit(proxy)
        visitor.write(bytes(5_000))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await visitor.say(bytes(5_000))
        visitor.leave()


async def test_a_connection_ends_in_order_at_the_byte() -> None:
    async with echo_behind_proxy() as proxy:
        proxy.way.end_after = 1_234
        visitor = await visit(proxy)
        visitor.write(bytes(5_000))
        assert await visitor.rest() == bytes(1_234)
        visitor.leave()


async def test_a_black_hole_takes_everything_and_hangs_up_on_nobody() -> None:
    async with echo_behind_proxy() as proxy:
        old = await visit(proxy)
        assert await old.say(b"before") == b"before"
        proxy.way.black_hole = True
        young = await visit(proxy)
        for visitor in (old, young):
            visitor.write(b"lost")
            assert await visitor.hears_nothing()
        proxy.heal()
        assert await young.say(b"after") == b"after"
        old.leave()
        young.leave()


async def test_a_cut_resets_what_is_open_and_new_connections_work() -> None:
    async with echo_behind_proxy() as proxy:
        visitor = await visit(proxy)
        assert await visitor.say(b"before") == b"before"
        proxy.cut()
        with pytest.raises(ConnectionError):
            await visitor.rest()
        assert (proxy.cuts, proxy.opened) == (1, 1)
        again = await visit(proxy)
        assert await again.say(b"after") == b"after"
        visitor.leave()
        again.leave()


async def test_refused_connections_leave_open_ones_alone() -> None:
    async with echo_behind_proxy() as proxy:
        visitor = await visit(proxy)
        assert await visitor.say(b"one") == b"one"
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await visit(proxy)
        assert await visitor.say(b"two") == b"two"
        await proxy.accept()
        again = await visit(proxy)
        assert await again.say(b"three") == b"three"
        visitor.leave()
        again.leave()


async def test_nobody_behind_the_proxy_is_a_reset() -> None:
    async with FaultProxy(1) as proxy:
        visitor = await visit(proxy)
        with pytest.raises(ConnectionError):
            await visitor.say(b"hello")
        visitor.leave()
