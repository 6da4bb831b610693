"""The shell's simulation in the test suite: seeds enough to notice what broke, runs that can be run again, and the tools by themselves."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.shell.faults import FAULTS, OWN
from tests.simulation.shell.loop import START_S, Deadlock, VirtualLoop
from tests.simulation.shell.relay import Network, Wire
from tests.simulation.shell.run import listening_to_logs, plan_of, run, run_some
from tests.simulation.shell.world import World

ROOT = Path(__file__).parents[3]
SEEDS = 200
FOUND_ONCE = (200052,)
"""Seeds that broke an invariant once. 200052: listen keys that were replaced again and again made each new socket prove that it hears."""


@pytest.mark.timeout(240)
def test_no_invariant_breaks() -> None:
    totals = run_some(range(SEEDS))
    assert not totals.findings
    assert totals.seeds == SEEDS
    assert [kind for kind in OWN if not totals.hits[kind]] == []
    assert len(FAULTS) >= 50


@pytest.mark.parametrize("seed", FOUND_ONCE)
def test_what_was_found_once_stays_mended(seed: int) -> None:
    report = run(plan_of(seed))
    assert report.violation == "", report.text


def test_the_same_seed_makes_the_same_run() -> None:
    assert [run(plan_of(seed)) for seed in range(5)] == [run(plan_of(seed)) for seed in range(5)]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_no_run_depends_on_the_process_or_on_the_order_of_sets(hash_seed: str) -> None:
    code = "from tests.simulation.shell.run import run_some; print(run_some(range(20)).trace)"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == run_some(range(20)).trace


def test_a_client_that_is_gone_before_it_has_a_socket_is_no_error_of_the_exchange() -> None:
    loop = VirtualLoop()
    world = World(loop, 1, ("alice",))

    async def knock() -> None:
        await world.server.start()
        port = world.server.port
        for pause_ms in range(30):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            lines = [
                "GET /private/ws?listenKey=x HTTP/1.1",
                "Host: x",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
            ]
            writer.write("\r\n".join([*lines, "Sec-WebSocket-Key: eDEyMzQ1Njc4OTAxMjM0NQ==", "", ""]).encode())
            await asyncio.sleep(pause_ms / 1_000)
            for wire in world.network.open_wires():
                wire.reset()
            writer.close()
            await asyncio.sleep(0.3)
        await world.server.stop()
        world.network.close()

    with listening_to_logs() as ear, asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(knock())
    assert ear.lines == []


# --- the tools ---


def in_virtual_time(work: Callable[[VirtualLoop], Coroutine[object, object, None]]) -> None:
    loop = VirtualLoop()
    loop.network = Network(loop, 1)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work(loop))


def test_time_jumps_to_the_next_timer_and_nowhere_else() -> None:
    async def wait(loop: VirtualLoop) -> None:
        woken: list[float] = []
        for delay_s in (3_600.0, 0.25, 86_400.0):
            loop.call_later(delay_s, lambda: woken.append(loop.time() - START_S))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.create_future(), 100_000.0)
        assert woken == pytest.approx([0.25, 3_600.0, 86_400.0])
        assert loop.time() - START_S == pytest.approx(100_000.0)

    in_virtual_time(wait)


def test_a_program_that_would_wait_for_ever_is_found_out() -> None:
    async def wait(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(Deadlock):
        in_virtual_time(wait)


class Ends:
    """Two streams with the network between them."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.network = loop.network
        self._accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def open(self) -> None:
        server = await asyncio.start_server(lambda *ends: self._accepted.put_nowait(ends), "127.0.0.1", 0)
        self.hears, self.says = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        self.venue_hears, self.venue_says = await self._accepted.get()
        server.close()

    @property
    def wire(self) -> Wire:
        [wire] = self.network.open_wires()
        return wire

    def close(self) -> None:
        self.says.close()
        self.venue_says.close()


def between(work: Callable[[Ends], Coroutine[object, object, None]]) -> None:
    async def hold(loop: VirtualLoop) -> None:
        ends = Ends(loop)
        await ends.open()
        await work(ends)
        ends.close()
        await asyncio.sleep(1)
        ends.network.close()

    in_virtual_time(hold)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.integers(0, 50), st.integers(0, 9))
def test_every_byte_arrives_once_and_in_order(parts: list[bytes], largest_slice: int, bytes_per_ms: int) -> None:
    async def talk(ends: Ends) -> None:
        ends.network.largest_slice, ends.network.bytes_per_ms, ends.network.slow_ms = largest_slice, bytes_per_ms, 30
        for part in parts:
            ends.says.write(part)
            ends.venue_says.write(part[::-1])
            await asyncio.sleep(0.002)
        ends.says.write_eof()
        ends.venue_says.write_eof()
        assert await ends.venue_hears.read() == b"".join(parts)
        assert await ends.hears.read() == b"".join(part[::-1] for part in parts)
        ends.close()
        await asyncio.sleep(1)
        assert ends.network.open_wires() == []

    between(talk)


def test_more_than_the_kernel_holds_arrives() -> None:
    async def talk(ends: Ends) -> None:
        message = bytes(range(256)) * 8_192
        ends.says.write(message)
        await asyncio.sleep(1)
        assert await ends.venue_hears.readexactly(len(message)) == message

    between(talk)


@pytest.mark.parametrize(("client", "server"), [(True, True), (True, False), (False, True)])
def test_a_reset_is_told_to_those_sides_only(client: bool, server: bool) -> None:
    async def talk(ends: Ends) -> None:
        ends.wire.reset(client=client, server=server)
        for told, reader, writer in ((client, ends.hears, ends.says), (server, ends.venue_hears, ends.venue_says)):
            if told:
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            else:
                writer.write(b"anybody there?")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.read(), 3_600)

    between(talk)


def test_a_limit_lets_so_many_bytes_pass_and_no_more() -> None:
    async def talk(ends: Ends) -> None:
        ends.wire.down.bytes_until_reset = 5
        ends.venue_says.write(b"0123456789")
        assert await ends.hears.readexactly(5) == b"01234"
        with pytest.raises(ConnectionResetError):
            await ends.hears.read()

    between(talk)


def test_a_black_hole_swallows_all_and_tells_nobody() -> None:
    async def talk(ends: Ends) -> None:
        ends.says.write(b"on its way")
        ends.wire.is_black_hole = True
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ends.venue_hears.read(1), 3_600)
        ends.venue_says.write(b"too late")
        ends.venue_says.close()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ends.hears.read(1), 3_600)

    between(talk)


def test_who_closes_with_a_reset_is_heard_as_one() -> None:
    async def talk(ends: Ends) -> None:
        linger = struct.pack("ii", 1, 0)
        ends.venue_says.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        ends.venue_says.transport.abort()
        with pytest.raises(ConnectionResetError):
            await ends.hears.read()

    between(talk)


def test_nobody_listens() -> None:
    async def dial(loop: VirtualLoop) -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", 9)

    in_virtual_time(dial)
