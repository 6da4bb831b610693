"""One seed, one run: a plan of strikes drawn from the seed, half a minute of storm, a quiet time, and what is true at the end."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import partial
from random import Random
from typing import Final

import msgspec

from tests.simulation.calm import stay_calm
from tests.simulation.claims import Violation, check
from tests.simulation.faults import FAULTS
from tests.simulation.plan import STORM_MS, Plan, Strike
from tests.simulation.scheduler import START
from tests.simulation.world import World
from userstream.kernel.ids import Millis
from userstream.sim import actions as act

QUIET_MS: Final = 90_000
LOOK_MS: Final = 990
TRADES_EVERY_MS: Final = 1_100


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was. `violation`: the invariant that did not hold, else empty."""

    seed: int
    trace: str
    fills: int
    simulated_ms: int
    hits: dict[str, int]
    lateness_ms: list[int]
    weight: int
    violation: str = ""
    text: str = ""


def run(plan: Plan) -> Report:
    """Never raises for what the product did wrong: that is in the report."""
    world = World(plan.venue, plan.seed, plan.accounts, spared=plan.spared)
    hits: Counter[str] = Counter()
    violation = text = ""
    try:
        _live_through(world, plan, hits)
    except Violation as wrong:
        violation, text = wrong.name, str(wrong)
    except Exception as error:  # whatever breaks is a finding
        violation, text = type(error).__name__, f"{type(error).__name__}: {error}"
    return Report(
        seed=plan.seed,
        trace=_trace_of(world),
        fills=sum(len(true) for true in world.exchange.truth.values()),
        simulated_ms=world.scheduler.now - START,
        hits=dict(hits),
        lateness_ms=[late for client in world.clients.values() for late in client.watch.lateness_ms],
        weight=world.exchange.hall.room.limits.highest,
        violation=violation,
        text=text,
    )


def _live_through(world: World, plan: Plan, hits: Counter[str]) -> None:
    _plan_trades(world, Random(f"{plan.seed}:trades"))
    for strike in plan.strikes:
        world.scheduler.at(Millis(START + strike.at_ms), partial(_strike, world, strike, hits))
    world.scheduler.run_until(Millis(START + STORM_MS))
    _end_faults(world)
    come_to_rest(world)
    if not hits["weight spent by others"]:  # else proofs may still have to wait
        stay_calm(world, plan.seed, untouched=not plan.strikes)
        come_to_rest(world)
    limits = world.exchange.hall.room.limits
    check(
        "I7",
        not (limits.slowed or limits.banned),
        f"the venue refused {limits.slowed} calls for their weight, {limits.highest} in a minute",
    )


def _end_faults(world: World) -> None:
    world.exchange.perform(act.Clear())
    network = world.network
    network.lost_calls = network.lost_answers = network.refused_dials = network.slow_dials_ms = network.slow_ms = 0


def come_to_rest(world: World) -> None:
    """The market goes on, so that all is equal only between its moves: at one of many looks it must be."""
    last = Millis(world.scheduler.now + QUIET_MS)
    while True:
        try:
            for client in world.clients.values():
                client.hold_at_rest()
            return
        except Violation:
            if world.scheduler.now >= last:
                raise
        world.scheduler.run_until(Millis(world.scheduler.now + LOOK_MS))


def _plan_trades(world: World, chance: Random) -> None:
    for account in world.clients:
        time = 500
        while (time := time + int(chance.expovariate(1 / TRADES_EVERY_MS))) < STORM_MS:
            world.scheduler.at(Millis(START + time), partial(world.exchange.trade, account))


def _strike(world: World, strike: Strike, hits: Counter[str]) -> None:
    if FAULTS[strike.kind](world, strike.account, Random(strike.seed)):
        hits[strike.kind] += 1


def _trace_of(world: World) -> str:
    """The same for runs that told the same facts at the same times."""
    told = [
        b"%d %d %d;%b" % (record.sequence, record.received_time, len(record.events), record.frame)
        for client in world.clients.values()
        for record in client.disk.records
    ]
    return hashlib.blake2b(b"".join(told), digest_size=8).hexdigest()
