"""A bad way between two processes: the client says when it may be blind, goes on by itself, and in the end nothing is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.processes.programs import Client, Exchange, Place, clock, open_place
from tests.processes.proxy import FaultProxy
from tests.processes.settling import glance, settle

EVENTS_PER_S: Final = 40.0
FAULT_MS: Final = 4_000
SHORT_MS: Final = 1_500
SLOW: Final[Mapping[str, Mapping[str, int]]] = {
    "latency": {"latency_ms": 150, "jitter_ms": 200},
    "thin": {"bytes_per_s": 20_000},
    "single bytes": {"slices": True},
    "slow close": {"slow_close_ms": 800},
}
"""What delays and cuts up, but loses nothing."""
BREAKING: Final[Mapping[str, Mapping[str, int]]] = {
    "reset at a byte": {"reset_after": 2_500},
    "end at a byte": {"end_after": 4_000},
}
"""What ends connections again and again."""


class Road:
    """An exchange, a client, and a proxy each for its calls and its stream."""

    def __init__(self, exchange: Exchange, place: Place, calls: FaultProxy, stream: FaultProxy) -> None:
        self.exchange, self.place, self.calls, self.stream = exchange, place, calls, stream
        self.client: Client

    async def begin(self) -> None:
        self.client = await self.place.start()
        await self.client.until_live()
        await self.exchange.trade(EVENTS_PER_S)

    def spoil(self, fault: Mapping[str, int], *proxies: FaultProxy) -> None:
        for proxy in proxies or (self.calls, self.stream):
            for name, value in fault.items():
                setattr(proxy.way, name, value)

    async def heal(self) -> None:
        for proxy in (self.calls, self.stream):
            proxy.heal()
            await proxy.accept()

    async def until_it_says_so(self) -> None:
        """Waits until the client calls its own picture unproven."""
        await self.client.until(lambda: self.client.state != "live", "a state that is not live")

    async def until_live_again(self) -> None:
        await self.client.until(lambda: self.client.state == "live", "live again")

    async def arrive(self) -> None:
        """The end of the journey."""
        await self.heal()
        verdict = await glance(self.place, self.exchange)
        assert verdict.is_sound, verdict
        verdict = await settle(self.place, self.exchange, self.client)
        assert verdict.is_sound, verdict
        assert verdict.fills > 0


@asynccontextmanager
async def open_road(folder: Path, seed: int) -> AsyncIterator[Road]:
    async with (
        Exchange(seed=seed) as exchange,
        FaultProxy(exchange.port, seed=seed) as calls,
        FaultProxy(exchange.port, seed=seed + 1) as stream,
        open_place(folder) as place,
    ):
        place.configure(calls.rest_url, stream.ws_url)
        road = Road(exchange, place, calls, stream)
        await road.begin()
        yield road


async def test_one_bad_way_after_another(tmp_path: Path, seed: int) -> None:
    async with open_road(tmp_path, seed) as road:
        for fault in (SLOW["latency"], SLOW["single bytes"], BREAKING["reset at a byte"]):
            road.spoil(fault)
            await clock.sleep(SHORT_MS)
            await road.heal()
        road.spoil({"black_hole": True}, road.stream)
        await road.until_it_says_so()
        await road.arrive()


@pytest.mark.processes
@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", SLOW)
async def test_a_slow_way_delays_and_loses_nothing(tmp_path: Path, seed: int, name: str) -> None:
    async with open_road(tmp_path, seed) as road:
        road.spoil(SLOW[name])
        await clock.sleep(FAULT_MS)
        road.stream.cut()
        await clock.sleep(FAULT_MS)
        await road.arrive()


@pytest.mark.processes
@pytest.mark.timeout(200)
@pytest.mark.parametrize("where", ["calls", "stream", "both"])
@pytest.mark.parametrize("name", BREAKING)
async def test_connections_that_break_again_and_again(tmp_path: Path, seed: int, name: str, where: str) -> None:
    async with open_road(tmp_path, seed) as road:
        proxies = {"calls": (road.calls,), "stream": (road.stream,), "both": (road.calls, road.stream)}[where]
        road.spoil(BREAKING[name], *proxies)
        road.stream.cut()
        await clock.sleep(FAULT_MS)
        await road.arrive()


@pytest.mark.processes
@pytest.mark.timeout(200)
@pytest.mark.parametrize("refusing", [False, True], ids=["black hole", "refused"])
@pytest.mark.parametrize("where", ["calls", "stream", "both"])
async def test_who_is_blind_says_so_and_sees_again(tmp_path: Path, seed: int, where: str, refusing: bool) -> None:
    async with open_road(tmp_path, seed) as road:
        for proxy in {"calls": (road.calls,), "stream": (road.stream,), "both": (road.calls, road.stream)}[where]:
            if refusing:
                await proxy.refuse()
                proxy.cut()
            else:
                proxy.way.black_hole = True
        if where != "calls":
            await road.until_it_says_so()
        await clock.sleep(FAULT_MS)
        await road.heal()
        await road.until_live_again()
        await road.arrive()


@pytest.mark.processes
@pytest.mark.timeout(200)
async def test_a_venue_that_stands_still(tmp_path: Path, seed: int) -> None:
    async with open_road(tmp_path, seed) as road:
        road.exchange.freeze()
        await road.until_it_says_so()
        await clock.sleep(FAULT_MS)
        road.exchange.thaw()
        await road.until_live_again()
        await road.arrive()


@pytest.mark.processes
@pytest.mark.timeout(300)
async def test_bad_ways_of_chance(tmp_path: Path, seed: int, chance: Random) -> None:
    kinds = [*SLOW.values(), *BREAKING.values(), {"black_hole": True}]
    async with open_road(tmp_path, seed) as road:
        for _ in range(15):
            road.spoil(chance.choice(kinds), chance.choice([road.calls, road.stream]))
            if chance.random() < 0.3:
                chance.choice([road.calls, road.stream]).cut()
            await clock.sleep(chance.randrange(200, 2_500))
            if chance.random() < 0.6:
                await road.heal()
        await road.arrive()
