"""One seed, one run: a storm of faults drawn from the seed, a quiet time, and what is true at the end. Nothing of a run depends on real
time, on the order of sets or on the numbers that the kernel gives.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Final

from tests.simulation.campaign import Totals
from tests.simulation.claims import Violation, check
from tests.simulation.plan import Plan, Strike
from tests.simulation.run import Report
from tests.simulation.shell.faults import FAULTS, OF_THE_VENUE, OWN
from tests.simulation.shell.loop import START_S, VirtualLoop
from tests.simulation.shell.world import VENUE, World
from userstream.adapters.logs import configure_library_logs
from userstream.sim import actions as act

STORM_MS: Final = 6_000
QUIET_S: Final = 60.0
LOOK_S: Final = 0.49
TRADES_EVERY_MS: Final = 700
AT_ONCE_MS: Final = 500
CALM_S: Final = 10
GARBLED: Final = frozenset({"page of a proxy", "200 with a page", "403 of a firewall", "half an answer"})
"""Where none of these is planned, every answer that counts as one can be read."""
ACCOUNTS: Final = ("alice", "bob")
ALONE: Final = 0.8
OWN_SHARE: Final = 0.7
"""So many of the kinds of a run are of this layer's own; the other layer goes through the venue's again and again."""


def plan_of(seed: int) -> Plan:
    """Swarm: each seed has faults of its own choice; some have none, some one kind again and again."""
    chance = Random(f"shell:{seed}")
    kinds = _kinds_of(chance)
    accounts = ACCOUNTS[: 1 if chance.random() < ALONE else 2]
    strikes = [
        Strike(
            at_ms=chance.randrange(300, STORM_MS), kind=chance.choice(kinds), account=chance.choice(accounts), seed=chance.randrange(2**32)
        )
        for _ in range(chance.randrange(2, 9) if kinds else 0)
    ]
    return Plan(seed=seed, venue=VENUE, accounts=accounts, strikes=tuple(sorted(strikes, key=lambda strike: strike.at_ms)))


def _kinds_of(chance: Random) -> list[str]:
    draw = chance.random()
    own = list(OWN)
    if draw < 0.03:
        return []
    if draw < 0.3:
        return [chance.choice(own)]
    return [chance.choice(own if chance.random() < OWN_SHARE else OF_THE_VENUE) for _ in range(chance.randrange(2, 8))]


class Ear(logging.Handler):
    """Hears what is logged as an error: in no run may anything be."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()} {record.exc_info[1]!r}" if record.exc_info else record.getMessage())


@contextmanager
def listening_to_logs() -> Iterator[Ear]:
    """As in a program of a user: entries go to the standard `logging`."""
    configure_library_logs()
    ear, root = Ear(), logging.getLogger()
    root.addHandler(ear)
    try:
        yield ear
    finally:
        root.removeHandler(ear)


def run(plan: Plan) -> Report:
    """Never raises for what the product did wrong: that is in the report."""
    loop = VirtualLoop()
    world = World(loop, plan.seed, plan.accounts)
    for watch in world.watches.values():
        watch.answers_are_whole = GARBLED.isdisjoint(strike.kind for strike in plan.strikes)
    hits: Counter[str] = Counter()
    violation = text = ""
    try:
        with listening_to_logs() as ear, asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(_live_through(world, plan, hits))
        check("logs", not ear.lines, f"errors were logged: {ear.lines}")
    except Violation as wrong:
        violation, text = wrong.name, str(wrong)
    except Exception as error:  # whatever breaks is a finding
        violation, text = type(error).__name__, f"{type(error).__name__}: {error}"
    return Report(
        seed=plan.seed,
        trace=world.trace.hexdigest(),
        fills=sum(len(true) for true in world.exchange.truth.values()),
        simulated_ms=int((loop.time() - START_S) * 1_000),
        hits=dict(hits),
        lateness_ms=[late for watch in world.watches.values() for late in watch.lateness_ms],
        weight=world.exchange.hall.room.limits.highest,
        violation=violation,
        text=text,
    )


async def _live_through(world: World, plan: Plan, hits: Counter[str]) -> None:
    try:
        await _storm_and_calm(world, plan, hits)
    finally:
        world.network.close()


async def _storm_and_calm(world: World, plan: Plan, hits: Counter[str]) -> None:
    await world.open()
    _plan_trades(world, Random(f"{plan.seed}:trades"))
    for strike in plan.strikes:
        world.loop.call_at(START_S + strike.at_ms / 1_000, partial(_strike, world, strike, hits))
    end = START_S + STORM_MS / 1_000
    while world.loop.time() < end:
        await asyncio.sleep(min(LOOK_S, end - world.loop.time()))
        world.look()
    await world.settle()
    world.exchange.perform(act.Clear())
    world.network.clear()
    await _come_to_rest(world)
    if not plan.strikes:
        await _stay_calm(world)
    await world.close()


async def _stay_calm(world: World) -> None:
    """Nothing befell this run: every trade is told at once, and no socket ends, for longer than the venue waits for a pong."""
    for account, watch in world.watches.items():
        watch.expect_calm(AT_ONCE_MS)
        for after_s in range(1, CALM_S):
            world.loop.call_later(after_s, world.exchange.trade, account)
    for _ in range(CALM_S):
        await asyncio.sleep(1)
        world.look()
    for watch in world.watches.values():
        watch.expect_calm(None, may_blink=True)


async def _come_to_rest(world: World) -> None:
    """The market goes on, so that all is equal only between its moves: at one of many looks it must be."""
    last = world.loop.time() + QUIET_S
    while True:
        world.look()
        try:
            await world.hold_at_rest()
            return
        except Violation:
            if world.loop.time() >= last:
                raise
        await asyncio.sleep(LOOK_S)


def _plan_trades(world: World, chance: Random) -> None:
    for account in world.watches:
        time_ms = 300
        while (time_ms := time_ms + int(chance.expovariate(1 / TRADES_EVERY_MS))) < STORM_MS:
            world.loop.call_at(START_S + time_ms / 1_000, world.exchange.trade, account)


def _strike(world: World, strike: Strike, hits: Counter[str]) -> None:
    if FAULTS[strike.kind](world, strike.account, Random(strike.seed)):
        hits[strike.kind] += 1


def run_some(seeds: range) -> Totals:
    """A task of one process."""
    totals, begun = Totals(), time.process_time()
    for seed in seeds:
        totals.note(run(plan_of(seed)))
    totals.cpu_s = time.process_time() - begun
    return totals
