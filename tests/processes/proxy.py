"""A TCP proxy between a client and an exchange that spoils the way as a test says, while connections run.

Faults are fields of `FaultProxy.way`; they hold for what flows from then on, in both directions unless they say otherwise. Bytes are never
reordered or changed: that is what TCP promises.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from random import Random
from types import TracebackType
from typing import Final

import msgspec

from userstream.adapters.clock import SystemClock

CHUNK: Final = 16 * 1024
MOST_WAITING: Final = 256
LOOK_MS: Final = 5
HOST: Final = "127.0.0.1"
AT_ONCE: Final = struct.pack("ii", 1, 0)

_clock: Final = SystemClock()


class Way(msgspec.Struct, kw_only=True):
    """What befalls the bytes of all connections. All off by default.

    latency_ms, jitter_ms: how much later each piece arrives, and how much later still by chance. bytes_per_s: no more than so many a
    second in each direction of a connection (0: no limit). slices: each write is one byte. black_hole: bytes are taken and never passed
    on; new connections are accepted, and nothing answers. reset_after: a connection is reset once the client was sent so many bytes.
    end_after: it is closed in order instead. slow_close_ms: the client learns so much later that the exchange has closed.
    """

    latency_ms: int = 0
    jitter_ms: int = 0
    bytes_per_s: int = 0
    slices: bool = False
    black_hole: bool = False
    reset_after: int | None = None
    end_after: int | None = None
    slow_close_ms: int = 0


class FaultProxy:
    """Listens on a port of this machine and passes on to another. Use it as a context manager."""

    def __init__(self, port: int, *, seed: int = 1) -> None:
        self.way = Way()
        self.opened = self.cuts = 0
        self._target, self._chance = port, Random(seed)
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> FaultProxy:
        await self.accept()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.refuse()
        self.cut()
        await asyncio.gather(*(connection.ended.wait() for connection in set(self._connections)))

    @property
    def rest_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    @property
    def living(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    async def refuse(self) -> None:
        """New connections are refused from now on; those that are open go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def accept(self) -> None:
        """Listens (again, on the same port)."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Resets every open connection now."""
        for connection in set(self._connections):
            self.cuts += 1
            connection.reset()

    def heal(self) -> None:
        """All faults off; connections that were swallowed by a black hole stay as they are."""
        self.way = Way()

    def draw(self, limit_ms: int) -> int:
        """A piece of chance for jitter."""
        return self._chance.randrange(limit_ms + 1)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            await connection.run(self._target)
        except OSError:
            connection.reset()
        finally:
            self._connections.discard(connection)
            connection.ended.set()


class _Connection:
    """One client and its own connection to the exchange."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy, self._reader, self._writer = proxy, reader, writer
        self._far: asyncio.StreamWriter | None = None
        self._to_client = 0
        self.ended = asyncio.Event()

    async def run(self, port: int) -> None:
        far_reader, self._far = await asyncio.open_connection(HOST, port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(self._reader, self._far, to_client=False))
                group.create_task(self._carry(far_reader, self._writer, to_client=True))
        except* OSError:
            self.reset()
        finally:
            for writer in (self._far, self._writer):
                writer.close()

    def reset(self) -> None:
        """Ends both sides without a farewell."""
        for writer in (self._writer, self._far):
            if writer is not None and not writer.transport.is_closing():
                raw = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_client: bool) -> None:
        """Reads on while pieces wait for their time, so that latency is no bandwidth."""
        waiting: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(MOST_WAITING)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver(waiting, writer, to_client=to_client))
            due = 0
            while data := await reader.read(CHUNK):
                way = self._proxy.way
                due = max(due, _clock.now() + way.latency_ms + self._proxy.draw(way.jitter_ms))
                await waiting.put((due, data))
            slow_ms = self._proxy.way.slow_close_ms if to_client else 0
            await waiting.put((max(due, _clock.now() + slow_ms), b""))

    async def _deliver(self, waiting: asyncio.Queue[tuple[int, bytes]], writer: asyncio.StreamWriter, *, to_client: bool) -> None:
        while True:
            due, data = await waiting.get()
            while _clock.now() < due:
                await _clock.sleep(max(1, due - _clock.now()))
            if not data:
                break
            if not self._proxy.way.black_hole:
                await self._pass_on(data, writer, to_client=to_client)
        if not self._proxy.way.black_hole and writer.can_write_eof() and not writer.transport.is_closing():
            writer.write_eof()

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter, *, to_client: bool) -> None:
        piece = 1 if self._proxy.way.slices else CHUNK
        begin = 0
        while begin < len(data):
            way = self._proxy.way
            end = begin + min(piece, way.bytes_per_s // 50 + 1) if way.bytes_per_s else begin + piece
            part = data[begin:end]
            begin = end
            if to_client:
                await self._count(part, writer)
            writer.write(part)
            await writer.drain()
            if way.bytes_per_s:
                await _clock.sleep(1000 * len(part) // way.bytes_per_s)
            elif way.slices:
                # let the kernel send it before the next byte is there
                await asyncio.sleep(0)

    async def _count(self, part: bytes, writer: asyncio.StreamWriter) -> None:
        """Counts what the client is sent. Where the connection has to end within this part, its beginning is still sent; then it ends,
        and ConnectionAbortedError says so."""
        way, before = self._proxy.way, self._to_client
        self._to_client += len(part)
        for limit, end in ((way.reset_after, self.reset), (way.end_after, writer.close)):
            if limit is not None and self._to_client >= limit:
                writer.write(part[: max(0, limit - before)])
                await writer.drain()
                # what was sent before a reset may be thrown away by the receiver's kernel: give it the time to be read
                await _clock.sleep(LOOK_MS)
                end()
                raise ConnectionAbortedError
