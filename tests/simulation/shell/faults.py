"""The catalogue of faults of this layer: what befalls bytes, connections, dials and the process itself, and of the other layer's
catalogue all that the venue does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Final, TypeAlias, cast

from tests.simulation.faults import FAULTS as OTHERS
from tests.simulation.shell.relay import Network, Wire
from tests.simulation.shell.world import World
from tests.simulation.world import World as OtherWorld

Fault: TypeAlias = Callable[[World, str, Random], bool]
"""Does something to an account (or to all). True if it could be done."""

OF_THE_VENUE: Final = (
    *("cut", "cut everybody", "close", "silence, frames held", "silence, frames lost", "deaf", "new sockets silent", "new sockets deaf"),
    *("delay", "frames dropped", "frames dropped by chance", "event omitted", "frames doubled", "frames reordered"),
    *("garbage", "unknown event", "binary frame", "shutdown notice", "listen key expired", "listen key deleted", "listen key replaced"),
    *("503", "done but 503", "page of a proxy", "200 with a page", "403 of a firewall", "half an answer", "connection cut in a call"),
    *("result unknown", "time stamp refused", "429", "418", "REST behind", "burst", "transfer", "price jump", "all canceled"),
)
"""What the other layer does through the exchange alone."""


def _of_the_venue(kind: str) -> Fault:
    # of a world these touch the exchange only, which both layers share
    return lambda world, account, chance: OTHERS[kind](cast(OtherWorld, world), account, chance)


# --- connections ---


def _each_wire(change: Callable[[Wire, Random], object], *, sockets: bool) -> Fault:
    def strike(world: World, account: str, chance: Random) -> bool:
        wires = [wire for wire in world.network.open_wires() if wire.is_websocket is sockets and not wire.is_black_hole]
        for wire in wires:
            change(wire, chance)
        return bool(wires)

    return strike


def _break(wire: Wire, chance: Random, *, client: bool = True, server: bool = True) -> None:
    wire.reset(client=client, server=server)


def _fall_silent(wire: Wire, chance: Random) -> None:
    wire.is_black_hole = True


def _limit(wire: Wire, chance: Random, *, up: bool, most: int) -> None:
    way = wire.up if up else wire.down
    way.bytes_until_reset = chance.randrange(most)


def _break_answer_off(wire: Wire, chance: Random) -> None:
    _limit(wire, chance, up=False, most=3_000)
    wire.down.breaks_off = True


# --- the weather ---


def _for_a_while(name: str, low: int, high: int) -> Fault:
    """A figure of the network, for some seconds."""

    def strike(world: World, account: str, chance: Random) -> bool:
        setattr(world.network, name, chance.randrange(low, high))
        world.loop.call_later(chance.randrange(500, 4_000) / 1_000, setattr, world.network, name, 0)
        return True

    return strike


def _count(name: str, most: int) -> Fault:
    def strike(world: World, account: str, chance: Random) -> bool:
        setattr(world.network, name, getattr(world.network, name) + chance.randrange(1, most + 1))
        return True

    return strike


def _freeze(world: World, account: str, chance: Random) -> bool:
    network: Network = world.network
    network.frozen_until_s = world.loop.time() + chance.randrange(200, 4_000) / 1_000
    return True


# --- the process ---


def _end_and_begin(end: Callable[[World, Random], Coroutine[object, object, None]]) -> Fault:
    def strike(world: World, account: str, chance: Random) -> bool:
        async def change() -> None:
            await end(world, chance)
            await asyncio.sleep(chance.randrange(10, 3_000) / 1_000)
            await world.start()

        return world.change(change)

    return strike


async def _stop(world: World, chance: Random) -> None:
    await world.stop()


async def _kill(world: World, chance: Random) -> None:
    await world.kill()


async def _stop_impatiently(world: World, chance: Random) -> None:
    """Whoever stops it gives up half way and ends the process by force."""
    await world.stop_and_cancel(chance.randrange(1, 12))
    await world.kill()


def _jump_wall(world: World, account: str, chance: Random) -> bool:
    if world.process is None:
        return False
    world.process.clock.wall_error_ms += chance.choice((-3_600_000, -45_000, 30_000, 7_200_000))
    return True


OWN: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        # web sockets
        "sockets reset": _each_wire(_break, sockets=True),
        "half open, venue unaware": _each_wire(partial(_break, server=False), sockets=True),
        "half open, client unaware": _each_wire(partial(_break, client=False), sockets=True),
        "black hole": _each_wire(_fall_silent, sockets=True),
        "reset within the venue's bytes": _each_wire(partial(_limit, up=False, most=2_000), sockets=True),
        "reset within the client's bytes": _each_wire(partial(_limit, up=True, most=60), sockets=True),
        # connections of calls
        "call connections reset": _each_wire(_break, sockets=False),
        "call connections half open": _each_wire(partial(_break, server=False), sockets=False),
        "call connections closed unseen": _each_wire(partial(_break, client=False), sockets=False),
        "calls into a black hole": _each_wire(_fall_silent, sockets=False),
        "answers cut": _each_wire(partial(_limit, up=False, most=3_000), sockets=False),
        "answers broken off": _each_wire(_break_answer_off, sockets=False),
        "calls cut": _each_wire(partial(_limit, up=True, most=600), sockets=False),
        # all connections
        "network slow": _for_a_while("slow_ms", 50, 400),
        "link narrow": _for_a_while("bytes_per_ms", 1, 20),
        "bytes sliced": _for_a_while("largest_slice", 1, 40),
        "network frozen": _freeze,
        "dials refused": _count("refused_dials", 3),
        "dials lost": _count("lost_dials", 3),
        "dials slow": _for_a_while("slow_dials_ms", 500, 3_000),
        # the process
        "stop": _end_and_begin(_stop),
        "stop given up": _end_and_begin(_stop_impatiently),
        "kill": _end_and_begin(_kill),
        "wall clock jumps": _jump_wall,
    }
)

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType({**OWN, **{kind: _of_the_venue(kind) for kind in OF_THE_VENUE}})
