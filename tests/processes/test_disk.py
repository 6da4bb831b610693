"""A disk that is full, and one whose writes and fsyncs fail: nothing is called durable that is not, trouble is told at once, and what
could not be written is written later, or read from the venue again."""

from __future__ import annotations

import resource
import sqlite3
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.processes.programs import Client, Exchange, clock, open_place
from tests.processes.settling import glance, settle
from tests.processes.test_fault_points import check_end, run_child
from tests.support.desk import open_desk

EVENTS_PER_S: Final = 60.0
FULL_MS: Final = 1_000
PAGES: Final = (40, 45, 60)
"""The tables alone need some 30."""
FEW_FAILURES: Final = ("--fail ioerr --first 12 --times 3", "--fail ioerr --first 30 --times 2 --after", "--fail full --first 20 --times 4")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits of another process can be set on Linux only")


def set_room(client: Client, room_bytes: int | None) -> None:
    """How large a file of the client may become from now on; None: as large as it likes."""
    _, hard = resource.prlimit(client.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(client.process.pid, resource.RLIMIT_FSIZE, (hard if room_bytes is None else room_bytes, hard))


async def test_a_disk_that_is_full_for_a_time(tmp_path: Path, seed: int) -> None:
    async with Exchange(seed=seed) as exchange, open_place(tmp_path) as place:
        place.configure_for(exchange)
        client = await place.start()
        await client.until_live()
        await exchange.trade(EVENTS_PER_S)
        await clock.sleep(500)
        set_room(client, 4_096)
        await client.until(lambda: client.said(action="store_trouble") == 1, "a word about the disk")
        await clock.sleep(FULL_MS)
        full = await glance(place, exchange)
        assert full.is_sound, full
        set_room(client, None)
        await client.until(lambda: client.said(action="store_recovered") == 1, "a word about its recovery")
        assert client.said(action="gap_opened") == 0
        verdict = await settle(place, exchange, client)
        assert verdict.is_sound, verdict
        assert verdict.fills > full.fills


@pytest.mark.processes
@pytest.mark.timeout(200)
async def test_a_client_that_stops_while_the_disk_is_full(tmp_path: Path, seed: int) -> None:
    async with Exchange(seed=seed) as exchange, open_place(tmp_path) as place:
        place.configure_for(exchange)
        client = await place.start()
        await client.until_live()
        await exchange.trade(EVENTS_PER_S)
        set_room(client, 4_096)
        await client.until(lambda: client.said(action="store_trouble") == 1, "a word about the disk")
        assert await client.stop() == 1
        [complaint] = client.faults
        assert complaint.startswith("userstream: ")
        assert "could not be written" in complaint
        verdict = await settle(place, exchange)
        assert verdict.is_sound, verdict


async def test_health_tells_of_a_full_disk_at_once(tmp_path: Path) -> None:
    """Not at the next checkpoint, up to a minute later: until then people would believe that all is kept."""
    async with open_desk(store=tmp_path / "desk.db") as desk:
        store = desk.application.store
        assert store is not None
        await desk.until(lambda: desk.account.health.is_healthy, "a healthy account")
        await store._commits.submit(lambda connection: _limit(connection, 1))
        desk.trade()
        await desk.until(lambda: desk.account.health.store_trouble != "", "trouble")
        assert "full" in desk.account.health.store_trouble
        assert not desk.account.health.is_healthy
        await store._commits.submit(lambda connection: _limit(connection, 1_000_000_000))
        await desk.until(lambda: desk.account.health.is_healthy, "a healthy account again")
        await desk.until_same()


def _limit(connection: sqlite3.Connection, pages: int) -> None:
    # less than there are already means: not one more
    connection.execute(f"PRAGMA max_page_count = {pages}")


@pytest.mark.processes
@pytest.mark.timeout(300)
@pytest.mark.parametrize("pages", PAGES)
async def test_a_database_that_may_not_grow(tmp_path: Path, seed: int, pages: int) -> None:
    async with Exchange(seed=seed, wide=True) as exchange, open_place(tmp_path) as place:
        await exchange.trade(EVENTS_PER_S)
        for _ in range(3):
            end = await run_child(place, exchange, "--max-pages", str(pages))
            await check_end(place, exchange, end, f"{pages} pages")
        place.configure_for(exchange)
        verdict = await settle(place, exchange)
        assert verdict.is_sound, verdict


@pytest.mark.processes
@pytest.mark.timeout(200)
async def test_some_failing_statements(tmp_path: Path, seed: int) -> None:
    async with Exchange(seed=seed, wide=True) as exchange, open_place(tmp_path) as place:
        await exchange.trade(EVENTS_PER_S)
        for words in FEW_FAILURES:
            end = await run_child(place, exchange, *words.split())
            assert (end.code, end.hits > 0) == (0, True), (words, end)
            await check_end(place, exchange, end, words)
        place.configure_for(exchange)
        verdict = await settle(place, exchange)
        assert verdict.is_sound, verdict


@pytest.mark.processes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("side", ["", "--after"], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["ioerr", "full"])
async def test_every_statement_fails_once(tmp_path: Path, seed: int, kind: str, side: str) -> None:
    """The failure moves on by some statements each time, until a run gets through without meeting it."""
    async with Exchange(seed=seed, wide=True) as exchange, open_place(tmp_path) as place:
        await exchange.trade(EVENTS_PER_S)
        first, hit = 1, True
        while hit:
            words = [*f"--fail {kind} --first {first} --times 2 {side}".split()]
            end = await run_child(place, exchange, *words)
            assert end.code == 0, (words, end)
            await check_end(place, exchange, end, " ".join(words))
            hit = end.hits > 0
            first += 1 + first // 8
        assert first > 2
        place.configure_for(exchange)
        verdict = await settle(place, exchange)
        assert verdict.is_sound, verdict
