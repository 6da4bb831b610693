"""The sockets of an account: found by number, paused all or none, and an unwanted one is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.support.transport import PipeSocket, PipeTransport
from userstream.kernel.secret import Secret
from userstream.runtime.sockets import Sockets


class Owner:
    """Writes down what it hears: the connection and the word."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def take_frames(self, connection: int, frames: Sequence[bytes]) -> None:
        self.told += [(connection, frame.decode()) for frame in frames]

    def take_odd_frame(self, connection: int, frame: bytes, reason: str) -> None:
        self.told.append((connection, reason))

    def take_ping(self, connection: int) -> None:
        self.told.append((connection, "ping"))

    def take_close(self, connection: int, reason: str) -> None:
        self.told.append((connection, reason))


async def opened(sockets: Sockets, transport: PipeTransport, connection: int) -> PipeSocket:
    line = sockets.prepare(connection)
    socket = await transport.connect(Secret("ws://venue"), line, time_limit_ms=1_000)
    assert sockets.take_up(connection, line, socket)
    await asyncio.sleep(0)
    return socket


async def test_each_is_heard_and_spoken_to_by_its_number() -> None:
    owner, transport = Owner(), PipeTransport()
    sockets = Sockets(owner)
    first, second = await opened(sockets, transport, 1), await opened(sockets, transport, 2)
    first.deliver("a")
    second.deliver_odd(b"\x00", "binary")
    second.deliver_ping()
    sockets.send(2, "hello")
    sockets.ping(1)
    sockets.send(9, "nobody")
    sockets.ping(9)
    assert (first.sent, second.sent, first.pings, second.pings) == ([], ["hello"], 1, 0)
    sockets.hang_up(1)
    sockets.hang_up(1)
    await asyncio.sleep(0)
    assert owner.told[:3] == [(1, "a"), (2, "binary"), (2, "ping")]
    assert owner.told[-1] == (1, "closed by us")
    sockets.forget(2)
    sockets.send(2, "too late")
    assert second.sent == ["hello"]
    await transport.close()


async def test_a_pause_holds_for_all_and_for_those_that_open_meanwhile() -> None:
    transport = PipeTransport()
    sockets = Sockets(Owner())
    first = await opened(sockets, transport, 1)
    sockets.pause()
    second = await opened(sockets, transport, 2)
    assert (first.is_paused, second.is_paused, sockets.is_paused) == (True, True, True)
    sockets.resume()
    assert (first.is_paused, second.is_paused, sockets.is_paused) == (False, False, False)
    await transport.close()


async def test_a_socket_that_nobody_wants_any_more_is_closed() -> None:
    transport = PipeTransport()
    sockets = Sockets(Owner())
    line = sockets.prepare(1)
    sockets.forget(1)
    socket = await transport.connect(Secret("ws://venue"), line, time_limit_ms=1_000)
    assert not sockets.take_up(1, line, socket)
    assert not socket.is_open
    await transport.close()
