"""Death at a numbered point: the process kills itself at the k-th call of a port, for k = 1, 2, 3, ... until one gets through its work.

After each death the store is held against the books, with what the process had called committed; one store sees all deaths of a point.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.processes.history import read_history
from tests.processes.programs import ACCOUNT, KEY, SECRET, VENUE, Exchange, Place, open_place, start_process
from tests.processes.settling import look, settle
from tests.processes.traps import POINTS
from userstream.adapters.sequences import last_of

EVENTS_PER_S: Final = 80.0
LARGE_COUNTS_FROM: Final = 8
FEW: Final = ("database.execute:40:before", "journal.append:9:after", "projection.apply:3:before")


OF_LATER_RUNS: Final = ("journal.load_checkpoint", "journal.read_account")
"""What only a run calls that finds an earlier one in the store."""


class End(NamedTuple):
    """How a child ended: its exit code, the last sequence that it called committed, and how many statements failed."""

    code: int
    committed: int
    hits: int
    words: str


async def run_child(place: Place, exchange: Exchange, *words: str) -> End:
    urls = exchange.listing.venues[VENUE]
    child = await start_process(
        "-m",
        "tests.processes.child_client",
        str(place.store),
        urls.rest_url,
        urls.ws_url,
        *words,
        environment={"KEY": KEY, "SECRET": SECRET},
    )
    out, err = await child.communicate()
    told = [line.split() for line in out.decode().splitlines()]
    numbers = {word: int(number) for word, number in told}
    assert child.returncode is not None
    return End(child.returncode, numbers.get("committed", 0), numbers.get("hits", 0), err.decode())


async def check_end(place: Place, exchange: Exchange, end: End, what: str) -> None:
    verdict = await look(place, exchange)
    assert verdict.is_sound, (what, verdict)
    if end.committed:
        own = (await read_history(place.store, ACCOUNT)).own
        assert own, what
        assert last_of(own[-1]) >= end.committed, (what, "called committed, and lost")


def counts() -> Iterator[int]:
    """1, 2, 3, ... and from some number on in growing steps."""
    count = 1
    while True:
        yield count
        count += max(1, count // LARGE_COUNTS_FROM) if count > LARGE_COUNTS_FROM else 1


async def test_some_points(tmp_path: Path, seed: int) -> None:
    async with Exchange(seed=seed, wide=True) as exchange, open_place(tmp_path) as place:
        await exchange.trade(EVENTS_PER_S)
        for trap in FEW:
            end = await run_child(place, exchange, "--trap", trap)
            assert end.code == -signal.SIGKILL, end
            await check_end(place, exchange, end, trap)
        place.configure_for(exchange)
        verdict = await settle(place, exchange)
        assert verdict.is_sound, verdict


@pytest.mark.processes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
async def test_every_point(tmp_path: Path, seed: int, point: str, side: str) -> None:
    async with Exchange(seed=seed, wide=True) as exchange, open_place(tmp_path) as place:
        await exchange.trade(EVENTS_PER_S)
        deaths = 0
        if point in OF_LATER_RUNS:
            assert (await run_child(place, exchange)).code == 0
        for count in counts():
            end = await run_child(place, exchange, "--trap", f"{point}:{count}:{side}")
            await check_end(place, exchange, end, f"{point}:{count}:{side}")
            if end.code != -signal.SIGKILL:
                assert end.code == 0, end
                break
            deaths += 1
        assert deaths
        place.configure_for(exchange)
        verdict = await settle(place, exchange)
        assert verdict.is_sound, verdict
