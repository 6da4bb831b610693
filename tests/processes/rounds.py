"""Rounds of sudden death: a client is killed at a moment of chance, the store is held against the books, the next client goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

import msgspec

from tests.processes.history import Verdict
from tests.processes.programs import Client, Exchange, Place, clock, open_place
from tests.processes.settling import look, settle

EVENTS_PER_S: Final = 40.0
LONGEST_LIFE_MS: Final = 1_500


class Figures(msgspec.Struct, kw_only=True, dict=True):
    """What came of a number of rounds. A recovery is from the start of a process to its account being proven, among the processes that
    lived so long; the slowest ones wait for the next minute's request budget, which the runs before them have used up. `refusals`: how
    often the venue had to say that it was asked too much."""

    kills: int = 0
    restarts: int = 0
    recoveries: int = 0
    fills: int = 0
    lost: int = 0
    doubled: int = 0
    invented: int = 0
    median_recovery_ms: int = 0
    slowest_recovery_ms: int = 0
    refusals: int = 0
    findings: list[str] = []

    def __post_init__(self) -> None:
        self._recoveries_ms: list[int] = []

    def note(self, round_number: int, client: Client, verdict: Verdict) -> None:
        """Takes in what a client left behind."""
        if client.live_after_ms is not None:
            self._recoveries_ms.append(client.live_after_ms)
            self.recoveries = len(self._recoveries_ms)
            self.median_recovery_ms, self.slowest_recovery_ms = int(median(self._recoveries_ms)), max(self._recoveries_ms)
        self.doubled, self.invented = max(self.doubled, verdict.doubled), max(self.invented, verdict.invented)
        self.findings += [f"round {round_number}: {finding}" for finding in verdict.findings]

    @property
    def is_sound(self) -> bool:
        return not (self.lost or self.doubled or self.invented or self.refusals or self.findings)


async def run_rounds(
    folder: Path, rounds: int, seed: int, on_round: Callable[[int, Figures], None] = lambda number, figures: None
) -> Figures:
    """Kills `userstream run` so many times while the account trades, lets a last one settle, and tells what came of it."""
    figures, chance = Figures(), Random(seed)
    async with Exchange(seed=seed) as exchange, open_place(folder) as place:
        place.configure_for(exchange)
        await exchange.trade(EVENTS_PER_S)
        for number in range(1, rounds + 1):
            await _kill_one(place, exchange, chance, figures, number)
            on_round(number, figures)
        await _settle(place, exchange, figures, rounds + 1)
    return figures


async def _kill_one(place: Place, exchange: Exchange, chance: Random, figures: Figures, number: int) -> None:
    client = await place.start()
    # Half of them die while they start and recover, the others some time after they were proven.
    if chance.random() < 0.5:
        await client.until_live()
    await clock.sleep(chance.randrange(LONGEST_LIFE_MS))
    await client.kill()
    figures.kills += 1
    figures.restarts = number
    figures.note(number, client, await look(place, exchange))


async def _settle(place: Place, exchange: Exchange, figures: Figures, number: int) -> None:
    client = await place.start()
    verdict = await settle(place, exchange, client)
    figures.note(number, client, verdict)
    figures.fills, figures.lost, figures.refusals = verdict.fills, verdict.lost, await exchange.refusals()
