"""The network between both programs: every connection is two local sockets with a relay in between, which carries bytes in virtual time.

The libraries hold real sockets and do real reads and writes; latency, order, slices, silence and resets are made here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Final, Literal, TypeAlias

from tests.simulation.shell.loop import VirtualLoop
from userstream.kernel.ids import Millis

HOST: Final = "127.0.0.1"
FIRST_PORT: Final = 40_001
READ_AT_ONCE: Final = 65_536
UPGRADE: Final = b"upgrade: websocket"

End: TypeAlias = Literal["end"]
Reset: TypeAlias = Literal["reset"]


class LocalSocket(socket.socket):
    """A local socket that takes TCP's options as a TCP socket would; the kernel refuses them."""

    __slots__ = ()

    def setsockopt(self, level: int, *rest: Any) -> None:
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *rest)

    def getsockopt(self, level: int, *rest: Any) -> Any:
        return 1 if level == socket.IPPROTO_TCP else super().getsockopt(level, *rest)


class ServedSocket(LocalSocket):
    """The server's end. `was_reset`: its owner closed it in the way that tells the other side nothing but a reset."""

    was_reset = False

    def close(self) -> None:
        if self.fileno() != -1:
            self.was_reset = self.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)[:1] == b"\1"
        super().close()


def _local_pair() -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    near.setblocking(False)
    far.setblocking(False)
    return near, far


class Listener:
    """What `create_server` returns here."""

    def __init__(self, network: Network, port: int, protocol_factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self._network, self.port, self.protocol_factory = network, port, protocol_factory
        self.sockets = (self,)

    def getsockname(self) -> tuple[str, int]:
        return HOST, self.port

    def close(self) -> None:
        self._network.listeners.pop(self.port, None)

    async def wait_closed(self) -> None:
        return


class Network:
    """All connections, and the weather they live in. Figures in milliseconds; faults change them while they last.

    Each direction of a connection draws its own chance, so that what one does is nothing to the others. `last_opened`: when the last web
    socket was asked for.
    """

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop, self._seed = loop, seed
        self.listeners: dict[int, Listener] = {}
        self.wires: dict[int, Wire] = {}
        self._every: list[Wire] = []
        self.clear()
        self.last_opened = Millis(0)
        self._numbers = 0

    def clear(self) -> None:
        """Fair weather again. Connections that are black holes stay it."""
        self.slow_ms = 0
        self.bytes_per_ms = 0
        self.largest_slice = 0
        self.refused_dials = self.lost_dials = 0
        self.slow_dials_ms = 0
        self.frozen_until_s = 0.0
        for wire in self.open_wires():
            wire.forget_limit()

    def open_wires(self, *, sockets_only: bool = False) -> list[Wire]:
        return [wire for wire in self.wires.values() if wire.is_websocket or not sockets_only]

    def held_wires(self, *, sockets_only: bool = False) -> list[Wire]:
        """Those that a client has not closed, also if they broke since."""
        self._every = [wire for wire in self._every if wire.is_held]
        return [wire for wire in self._every if wire.is_websocket or not sockets_only]

    def chance_of(self, what: str) -> Random:
        return Random(f"{self._seed}:network:{what}")

    def latency_s(self, chance: Random) -> float:
        """One way, once: mostly short, with a long tail."""
        draw = chance.random()
        tail = chance.randrange(150) if draw > 0.98 else 0
        return (1 + int(draw * 6) + tail + (chance.randrange(self.slow_ms) if self.slow_ms else 0)) / 1_000

    # --- what the loop asks for ---

    def listen(self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: str | None, port: int | None) -> Listener:
        place = port or next(number for number in range(FIRST_PORT, 65_536) if number not in self.listeners)
        listener = self.listeners[place] = Listener(self, place, protocol_factory)
        return listener

    async def connect(self, sock: socket.socket, address: tuple[str, int]) -> None:
        """Connects a TCP socket of a library, as the kernel would. Raises ConnectionRefusedError where nobody listens."""
        self._numbers += 1
        number = self._numbers
        if self.lost_dials:
            self.lost_dials -= 1
            await self.loop.create_future()
        chance = self.chance_of(f"dial {number}")
        await asyncio.sleep(2 * self.latency_s(chance) + (chance.randrange(self.slow_dials_ms) / 1_000 if self.slow_dials_ms else 0))
        listener = self.listeners.get(address[1])
        if listener is None or self.refused_dials:
            self.refused_dials = max(0, self.refused_dials - 1)
            raise ConnectionRefusedError(111, "refused")
        await self._join(number, sock, listener)

    async def _join(self, number: int, sock: socket.socket, listener: Listener) -> None:
        near, far = _local_pair()
        served_near, served_far = _local_pair()
        os.dup2(near.fileno(), sock.fileno())
        near.close()
        sock.__class__ = LocalSocket
        served = ServedSocket(fileno=served_near.detach())
        wire = self.wires[number] = Wire(self, number, (sock, far), (served, served_far))
        self._every.append(wire)
        await self.loop.connect_accepted_socket(listener.protocol_factory, served)

    def unwatch(self, far: socket.socket) -> None:
        """The loop looks at this end of a relay no more."""
        if far.fileno() != -1:
            self.loop.remove_reader(far)
            self.loop.remove_writer(far)

    def close(self) -> None:
        """The end of the simulation."""
        for wire in self.open_wires():
            wire.close()


class Wire:
    """One connection. `is_black_hole`: nothing passes any more, in both directions, and nobody is told."""

    def __init__(
        self, network: Network, number: int, client: tuple[socket.socket, socket.socket], server: tuple[socket.socket, socket.socket]
    ) -> None:
        self.network, self.number = network, number
        self.is_black_hole = False
        self.is_websocket = False
        self._near = (client[0], server[0])
        self._far = (client[1], server[1])
        self.up = Way(self, client[1], server[1], network.chance_of(f"{number} up"))
        self.down = Way(self, server[1], client[1], network.chance_of(f"{number} down"))
        self.up.on_data = self._sniff
        self.down.ends_in_reset = lambda: isinstance(server[0], ServedSocket) and server[0].was_reset

    @property
    def can_deliver(self) -> bool:
        return not (self.is_black_hole or self.down.is_over)

    @property
    def is_held(self) -> bool:
        """Whether the client has not closed its end."""
        return self._near[0].fileno() != -1

    @property
    def is_whole(self) -> bool:
        """Whether the client, for all that it was told, may believe that the connection stands."""
        return self._far[0].fileno() != -1 and not self.down.is_over

    def reset(self, *, client: bool = True, server: bool = True) -> None:
        """The connection breaks; a side that is left out hears nothing of it, for ever."""
        self.is_black_hole = True
        for told, near, far in zip((client, server), self._near, self._far, strict=True):
            if told:
                self._reset_one(near, far)
        if client and server:
            self.close()

    def _reset_one(self, near: socket.socket, far: socket.socket) -> None:
        if far.fileno() == -1:
            return
        self.network.unwatch(far)
        # a local socket whose other end is closed with unread bytes reports a reset
        with contextlib.suppress(OSError):
            near.send(b"\0")
        far.close()

    def end(self) -> None:
        """Both directions are through."""
        if self.up.is_over and self.down.is_over:
            self.close()

    def close(self) -> None:
        self.up.stop()
        self.down.stop()
        for far in self._far:
            far.close()
        self.network.wires.pop(self.number, None)

    def forget_limit(self) -> None:
        self.up.bytes_until_reset = self.down.bytes_until_reset = None

    def _sniff(self, data: bytes) -> None:
        self.is_websocket = UPGRADE in data.lower()
        if self.is_websocket:
            self.network.last_opened = self.network.loop.now_ms
        self.up.on_data = None


class Way:
    """One direction of a connection. Nothing overtakes. `bytes_until_reset`: so many more pass, then the connection breaks; or ends, as if
    the sender had closed it, where it `breaks_off`."""

    def __init__(self, wire: Wire, source: socket.socket, sink: socket.socket, chance: Random) -> None:
        self._wire, self._network, self._loop = wire, wire.network, wire.network.loop
        self._source, self._sink, self._chance = source, sink, chance
        self._coming: deque[tuple[float, bytes | End | Reset]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._last_arrival = 0.0
        self.bytes_until_reset: int | None = None
        self.breaks_off = False
        self.on_data: Callable[[bytes], None] | None = None
        self.ends_in_reset: Callable[[], bool] = lambda: False
        self.is_over = False
        self._loop.add_reader(source, self._read)

    def stop(self) -> None:
        self.is_over = True
        self._coming.clear()
        self._network.unwatch(self._source)
        self._network.unwatch(self._sink)
        if self._timer is not None:
            self._timer.cancel()

    # --- in ---

    def _read(self) -> None:
        try:
            data = self._source.recv(READ_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            self._finish("reset")
            return
        if not data:
            self._finish("reset" if self.ends_in_reset() else "end")
            return
        if self.on_data is not None:
            self.on_data(data)
        for begin, length in self._slices(len(data)):
            self._plan(data[begin : begin + length])

    def _finish(self, how: End | Reset) -> None:
        self._loop.remove_reader(self._source)
        self._plan(how)

    def _slices(self, length: int) -> list[tuple[int, int]]:
        largest, begin, slices = self._network.largest_slice, 0, []
        while largest and length - begin > 1:
            size = min(self._chance.randrange(1, largest + 1), length - begin)
            slices.append((begin, size))
            begin += size
        return [*slices, (begin, length - begin)] if begin < length else slices

    def _plan(self, what: bytes | End | Reset) -> None:
        network = self._network
        if self._wire.is_black_hole:
            return
        travel_s = network.latency_s(self._chance)
        if network.bytes_per_ms and isinstance(what, bytes):
            travel_s += len(what) / network.bytes_per_ms / 1_000
        self._last_arrival = max(self._last_arrival, self._loop.time() + travel_s, network.frozen_until_s)
        self._coming.append((self._last_arrival, what))
        if self._timer is None:
            self._arm()

    # --- out ---

    def _arm(self) -> None:
        self._timer = self._loop.call_at(self._coming[0][0], self._deliver) if self._coming else None

    def _deliver(self) -> None:
        self._timer = None
        while self._coming and self._coming[0][0] <= self._loop.time() and not self._wire.is_black_hole:
            time, what = self._coming.popleft()
            if not self._hand_over(time, what):
                return
        if not self._wire.is_black_hole:
            self._arm()

    def _hand_over(self, time: float, what: bytes | End | Reset) -> bool:
        """False if the way ends here, or the sink takes no more for now."""
        if isinstance(what, bytes):
            return self._send(time, what)
        if what == "reset":
            self.is_over = True
            self._wire.reset()
        else:
            self._end()
        return False

    def _end(self) -> None:
        self.is_over = True
        with contextlib.suppress(OSError):
            self._sink.shutdown(socket.SHUT_WR)
        self._wire.end()

    def _send(self, time: float, data: bytes) -> bool:
        limit = self.bytes_until_reset
        part = data if limit is None else data[:limit]
        try:
            sent = self._sink.send(part) if part else 0
        except BlockingIOError:
            sent = 0
        except OSError:  # the reader is gone: what is sent to it comes back as a reset
            self._wire.reset()
            return False
        if limit is not None:
            self.bytes_until_reset = limit - sent
            if limit == sent:
                if self.breaks_off:
                    self._end()
                else:
                    self._wire.reset()
                return False
        if sent < len(data):
            self._coming.appendleft((time, data[sent:]))
            self._loop.add_writer(self._sink, self._go_on)
            return False
        return True

    def _go_on(self) -> None:
        self._loop.remove_writer(self._sink)
        self._deliver()
