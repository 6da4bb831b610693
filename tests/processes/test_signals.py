"""What an operator, a supervisor or the operating system does to a client: it is stopped, stopped twice, frozen, and started twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.processes.programs import Exchange, Place, clock, open_place
from tests.processes.proxy import FaultProxy
from tests.processes.settling import look, settle

EVENTS_PER_S: Final = 40.0
FROZEN_MS: Final = 2_500
SLOW_CALLS_MS: Final = 250


async def arrive(place: Place, exchange: Exchange) -> None:
    verdict = await settle(place, exchange)
    assert verdict.is_sound, verdict
    assert verdict.fills > 0


@pytest.mark.parametrize("again", [False, pytest.param(True, marks=pytest.mark.processes)], ids=["once", "twice"])
async def test_a_stop_during_recovery(tmp_path: Path, seed: int, again: bool) -> None:
    async with Exchange(seed=seed) as exchange, FaultProxy(exchange.port) as calls, open_place(tmp_path) as place:
        await exchange.trade(EVENTS_PER_S)
        calls.way.latency_ms = SLOW_CALLS_MS
        place.configure(calls.rest_url, exchange.listing.venues["binance-usdm"].ws_url)
        client = await place.start()
        await client.until(lambda: client.state == "syncing", "a recovery that has begun")
        client.send(signal.SIGTERM)
        if again:
            await client.until(lambda: client.said(action="stopping") > 0, "an ordered stop")
            client.send(signal.SIGTERM)
        code = await client.wait()
        # the second signal may come when the ordered stop is through
        assert code in ((0, 1) if again else (0,)), client.faults
        assert not client.faults
        assert client.said(state="live") == 0
        verdict = await look(place, exchange)
        assert verdict.is_sound, verdict
        calls.heal()
        await arrive(place, exchange)


async def test_a_terminal_that_is_closed(tmp_path: Path, seed: int) -> None:
    """It may say so more than once; that is an ordered stop all the same."""
    async with Exchange(seed=seed) as exchange, open_place(tmp_path) as place:
        place.configure_for(exchange)
        client = await place.start()
        await client.until_live()
        client.send(signal.SIGHUP)
        client.send(signal.SIGHUP)
        await client.until(lambda: client.said(action="stopping") > 0, "an ordered stop")
        client.send(signal.SIGHUP)
        assert await client.wait() == 0 and not client.faults
        assert not [name for name in os.listdir(tmp_path) if name.endswith("-wal")]
        verdict = await look(place, exchange)
        assert verdict.is_sound, verdict


@pytest.mark.processes
@pytest.mark.timeout(200)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_impatient_operator(tmp_path: Path, seed: int, number: signal.Signals) -> None:
    """Signals until it is gone, whatever it is doing: never a traceback, and no exit code but those two."""
    async with Exchange(seed=seed) as exchange, open_place(tmp_path) as place:
        place.configure_for(exchange)
        await exchange.trade(EVENTS_PER_S)
        for pause_ms in (0, 10, 25, 50, 80):
            client = await place.start()
            await client.until(lambda: bool(client.state), "a first word")  # noqa: B023 - asked before the next round
            client.send(number)
            await clock.sleep(pause_ms)
            while client.process.returncode is None:
                client.send(number)
                await clock.sleep(1)
            told = {0: [], 1: ["userstream: stopped at once, by a second signal"]}
            assert told.get(await client.wait()) == client.faults
            verdict = await look(place, exchange)
            assert verdict.is_sound, verdict
        await arrive(place, exchange)


async def test_a_second_signal_ends_a_stop_that_hangs(tmp_path: Path, seed: int) -> None:
    """The farewell to the venue has nobody who hears it, so that the ordered stop takes its time."""
    async with Exchange(seed=seed) as exchange, FaultProxy(exchange.port) as calls, open_place(tmp_path) as place:
        place.configure(calls.rest_url, exchange.listing.venues["binance-usdm"].ws_url, stream={"close_listen_key_on_stop": True})
        client = await place.start()
        await client.until_live()
        await exchange.trade(EVENTS_PER_S)
        await clock.sleep(500)
        calls.way.black_hole = True
        client.send(signal.SIGTERM)
        await client.until(lambda: client.said(action="stopping") > 0, "an ordered stop")
        client.send(signal.SIGTERM)
        assert await client.wait() == 1
        verdict = await look(place, exchange)
        assert verdict.is_sound, verdict
        calls.heal()
        await arrive(place, exchange)


async def freeze(place: Place, exchange: Exchange, duration_ms: int) -> None:
    """The process stands still while the venue goes on; then it must say that it may have missed something, and mend it."""
    client = await place.start()
    await client.until_live()
    await exchange.trade(EVENTS_PER_S)
    await clock.sleep(500)
    client.send(signal.SIGSTOP)
    await exchange.act("cut")
    await clock.sleep(duration_ms)
    client.send(signal.SIGCONT)
    await client.until_live(times=2)
    assert client.said(action="gap_opened") == client.said(action="gap_repaired") > 0
    verdict = await settle(place, exchange, client)
    assert verdict.is_sound, verdict
    assert verdict.fills > 0


async def test_a_client_that_was_frozen(tmp_path: Path, seed: int) -> None:
    async with Exchange(seed=seed) as exchange, open_place(tmp_path) as place:
        place.configure_for(exchange)
        await freeze(place, exchange, FROZEN_MS)


@pytest.mark.processes
@pytest.mark.timeout(200)
@pytest.mark.parametrize("duration_ms", [5_000, 10_000, 20_000])
async def test_a_client_that_was_frozen_for_long(tmp_path: Path, seed: int, duration_ms: int) -> None:
    async with Exchange(seed=seed) as exchange, open_place(tmp_path) as place:
        place.configure_for(exchange)
        await freeze(place, exchange, duration_ms)


@pytest.mark.processes
@pytest.mark.timeout(300)
async def test_a_client_that_is_frozen_again_and_again(tmp_path: Path, seed: int, chance: Random) -> None:
    """Sockets stay open meanwhile: what waits in the kernel is read afterwards, unless the client has given the socket up."""
    async with Exchange(seed=seed) as exchange, open_place(tmp_path) as place:
        place.configure_for(exchange)
        client = await place.start()
        await client.until_live()
        await exchange.trade(EVENTS_PER_S)
        for _ in range(12):
            await clock.sleep(chance.randrange(1_500))
            client.send(signal.SIGSTOP)
            await clock.sleep(chance.randrange(4_000))
            client.send(signal.SIGCONT)
        await client.until(lambda: client.state == "live", "live again")
        verdict = await settle(place, exchange, client)
        assert verdict.is_sound, verdict


async def test_a_store_has_one_writer_even_if_that_is_frozen(tmp_path: Path, seed: int) -> None:
    async with Exchange(seed=seed) as exchange, open_place(tmp_path) as place:
        place.configure_for(exchange)
        first = await place.start()
        await first.until_live()
        await exchange.trade(EVENTS_PER_S)
        first.send(signal.SIGSTOP)
        second = await place.start()
        assert await second.wait() == 1
        assert [line.count("userstream: ") for line in second.faults] == [1], second.faults
        assert str(first.process.pid) in second.faults[0]
        first.send(signal.SIGCONT)
        verdict = await settle(place, exchange, first)
        assert verdict.is_sound, verdict
