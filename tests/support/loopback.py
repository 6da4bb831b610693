"""A WebSocket server on this machine that says exactly the bytes a test wants, right or wrong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

TEXT: Final = 0x1
BINARY: Final = 0x2
CONTINUATION: Final = 0x0
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
_ACCEPT_SALT: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Frame(NamedTuple):
    """One frame of the client, unmasked."""

    opcode: int
    payload: bytes


def frame_bytes(payload: bytes, opcode: int = TEXT, *, fin: bool = True, reserved: int = 0) -> bytes:
    """A server's frame, without a mask."""
    first = (0x80 if fin else 0) | (reserved << 4) | opcode
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 65536:
        return bytes([first, 126]) + len(payload).to_bytes(2, "big") + payload
    return bytes([first, 127]) + len(payload).to_bytes(8, "big") + payload


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ending = asyncio.Lock()
        self.request = b""

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def say(self, payload: bytes | str, opcode: int = TEXT, *, fin: bool = True, reserved: int = 0) -> None:
        data = payload.encode() if isinstance(payload, str) else payload
        self.write(frame_bytes(data, opcode, fin=fin, reserved=reserved))

    def hang_up(self) -> None:
        """Ends the connection without a closing frame."""
        self._writer.transport.abort()

    def finish(self) -> None:
        """Ends the connection after what was written has gone out."""
        self._writer.close()

    async def read_request(self) -> None:
        self.request = await self._reader.readuntil(b"\r\n\r\n")

    def accept(self, *, then: bytes = b"") -> None:
        """Answers the handshake; `then` goes out in the same packet."""
        [key] = [line.split(b": ")[1] for line in self.request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")]
        proof = base64.b64encode(hashlib.sha1(key + _ACCEPT_SALT).digest())
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + proof]
        self.write(b"\r\n".join(lines) + b"\r\n\r\n" + then)

    async def hear(self) -> Frame:
        """The client's next frame. Raises EOFError when it has gone."""
        first, second = await self._reader.readexactly(2)
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8), "big")
        mask = await self._reader.readexactly(4)
        masked = await self._reader.readexactly(length)
        return Frame(first & 0xF, bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked)))

    async def gone(self) -> None:
        """Returns when the client's end is closed. Several may wait."""
        with contextlib.suppress(ConnectionError):
            async with self._ending:
                while await self._reader.read(65536):
                    pass


Behaviour = Callable[[Peer], Awaitable[None]]


async def accept(peer: Peer) -> None:
    """The usual behaviour: read the request, answer it."""
    await peer.read_request()
    peer.accept()


class LoopbackServer:
    """Listens on 127.0.0.1. Each connection is treated by `behaviour`, then handed to `next_peer` in order."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []
        self.connections: list[Peer] = []
        self.port = 0

    async def next_peer(self) -> Peer:
        return await asyncio.wait_for(self._peers.get(), 10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        peer = Peer(reader, writer)
        self._peers.put_nowait(peer)
        self.connections.append(peer)
        try:
            await self._behaviour(peer)
        except (EOFError, ConnectionError):
            writer.close()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    @classmethod
    @asynccontextmanager
    async def listening(cls, behaviour: Behaviour = accept, tls: ssl.SSLContext | None = None) -> AsyncIterator[LoopbackServer]:
        server = cls(behaviour)
        listener = await asyncio.start_server(server._serve, "127.0.0.1", 0, ssl=tls, limit=8 * 1024 * 1024)
        server.port = listener.sockets[0].getsockname()[1]
        try:
            yield server
        finally:
            listener.close()
            server.hang_up()
            await listener.wait_closed()
