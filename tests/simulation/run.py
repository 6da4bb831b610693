"""One seed, one run: a plan of strikes drawn from the seed, half a minute of storm, a quiet time, and what is true at the end."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final

import msgspec

from tests.simulation.faults import FAULTS, Strike
from tests.simulation.scheduler import START
from tests.simulation.watch import Violation, check
from tests.simulation.world import World
from userstream.kernel.ids import Millis
from userstream.sim import actions as act

STORM_MS: Final = 11_000
QUIET_MS: Final = 90_000
LOOK_MS: Final = 990
TRADES_EVERY_MS: Final = 1_100
ACCOUNTS: Final = ("alice", "bob")
ALONE: Final = 0.6
"""The share of runs with one account: twice as many runs in the same time, and what accounts do to each other is seen in the others."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run depends on."""

    seed: int
    venue: str = "binance-usdm"
    accounts: tuple[str, ...] = ("alice",)
    spared: str = ""
    strikes: tuple[Strike, ...] = ()


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


def plan_of(seed: int, venue: str = "binance-usdm") -> Plan:
    """Swarm: each seed has faults of its own choice; some have none, some one kind again and again."""
    chance = Random(f"{venue}:{seed}")
    kinds = _kinds_of(chance)
    accounts = ACCOUNTS[: 1 if chance.random() < ALONE else 2]
    spared = chance.choice(accounts) if len(accounts) > 1 and chance.random() < 0.5 else ""
    targets = [account for account in accounts if account != spared]
    count = chance.randrange(4, 15) if kinds else 0
    if spared:
        kinds = [kind for kind in kinds if kind not in COMMON]
        count = count if kinds else 0
    strikes = [
        Strike(at_ms=chance.randrange(1_000, STORM_MS), kind=chance.choice(kinds), account=chance.choice(targets), seed=chance.randrange(2**32))
        for _ in range(count)
    ]
    strikes.sort(key=lambda strike: strike.at_ms)
    return Plan(seed=seed, venue=venue, accounts=accounts, spared=spared, strikes=tuple(strikes))


COMMON: Final = frozenset({"cut everybody", "swizzle", "dials refused", "dials slow", "network slow", "price jump", "funding"})
"""What hits every account at once."""


def _kinds_of(chance: Random) -> list[str]:
    draw = chance.random()
    if draw < 0.03:
        return []
    if draw < 0.2:
        return [chance.choice(list(FAULTS))]
    return chance.sample(list(FAULTS), chance.randrange(2, 14))


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
        world.scheduler.at(Millis(START + strike.at_ms), lambda strike=strike: _strike(world, strike, hits))  # type: ignore[misc]
    world.scheduler.run_until(Millis(START + STORM_MS))
    world.exchange.perform(act.Clear())
    _come_to_rest(world)
    limits = world.exchange.hall.room.limits
    check("I7", not (limits.slowed or limits.banned), f"the venue refused {limits.slowed} calls for their weight, {limits.highest} in a minute")


def _come_to_rest(world: World) -> None:
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
            world.scheduler.at(Millis(START + time), lambda account=account: world.exchange.trade(account))  # type: ignore[misc]


def _strike(world: World, strike: Strike, hits: Counter[str]) -> None:
    if FAULTS[strike.kind](world, strike.account, Random(strike.seed)):
        hits[strike.kind] += 1


def _trace_of(world: World) -> str:
    """The same for runs that told the same facts at the same times."""
    digest = hashlib.blake2b(digest_size=8)
    for client in world.clients.values():
        for record in client.disk.records:
            digest.update(b"%d %d %d;" % (record.sequence, record.received_time, len(record.events)))
            digest.update(record.frame)
    return digest.hexdigest()


def run_seeds(seeds: Sequence[int], venue: str = "binance-usdm") -> list[Report]:
    return [run(plan_of(seed, venue)) for seed in seeds]
