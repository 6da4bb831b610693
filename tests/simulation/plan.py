"""What a run will be, drawn from its seed. Each strike is a record of its own (when, what, whom, and the seed of its details), so that a
plan can be made smaller by leaving strikes out while the rest stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from random import Random
from types import MappingProxyType
from typing import Final

import msgspec

from tests.simulation.faults import FAULTS

STORM_MS: Final = 11_000
"""How long faults strike."""

MEAN_LIFE_MS: Final = 12_000
ACCOUNTS: Final = ("alice", "bob")
ALONE: Final = 0.6
"""The share of runs with one account: twice as many runs in the same time, and what accounts do to each other is seen in the others."""

HAS_PAIRS: Final = "binance-margin"
WITH_PAIRS: Final = ("alice", "alice.BTCUSDT", "alice.ETHUSDT")
"""One user's cross account and two isolated ones, with one key: what the venue tells of one of them is none of the others' business."""
SHARE_WITH_PAIRS: Final = 0.3

COMMON: Final = frozenset(
    {
        "cut everybody",
        "swizzle",
        "dials refused",
        "dials slow",
        "dials hang",
        "network slow",
        "price jump",
        "funding",
        "nobody listens",
        "weight spent by others",
    }
)
"""What hits every account at once."""


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """One fault at one time (ms from the start)."""

    at_ms: int
    kind: str
    account: str
    seed: int


class Profile(StrEnum):
    """What sort of trouble. SWARM: each seed its own choice of faults. STORM: sockets live for twelve seconds on average, half of them die
    without a word. ROTATION: nothing but planned changes of sockets."""

    SWARM = "swarm"
    STORM = "storm"
    ROTATION = "rotation"


ENDS: Final[Mapping[Profile, tuple[str, ...]]] = MappingProxyType(
    {Profile.STORM: ("cut", "close", "black hole", "silence, frames lost"), Profile.ROTATION: ("listen key expired", "shutdown notice")}
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run depends on. `spared`: the account that no strike is aimed at, if there is one."""

    seed: int
    venue: str = "binance-usdm"
    accounts: tuple[str, ...] = ("alice",)
    spared: str = ""
    strikes: tuple[Strike, ...] = ()


def plan_of(seed: int, venue: str = "binance-usdm", profile: Profile = Profile.SWARM) -> Plan:
    """Swarm: each seed has faults of its own choice; some have none, some one kind again and again."""
    chance = Random(f"{venue}:{seed}")
    if profile is not Profile.SWARM:
        return _steady_plan(seed, venue, profile, chance)
    kinds = _kinds_of(chance)
    accounts = _accounts_of(venue, chance)
    spared = chance.choice(accounts) if len(accounts) > 1 and chance.random() < 0.5 else ""
    targets = [account for account in accounts if account != spared]
    count = chance.randrange(4, 15) if kinds else 0
    if spared:
        kinds = [kind for kind in kinds if kind not in COMMON]
        count = count if kinds else 0
    strikes = [
        Strike(
            at_ms=chance.randrange(1_000, STORM_MS), kind=chance.choice(kinds), account=chance.choice(targets), seed=chance.randrange(2**32)
        )
        for _ in range(count)
    ]
    strikes.sort(key=lambda strike: strike.at_ms)
    return Plan(seed=seed, venue=venue, accounts=accounts, spared=spared, strikes=tuple(strikes))


def _accounts_of(venue: str, chance: Random) -> tuple[str, ...]:
    accounts = ACCOUNTS[: 1 if chance.random() < ALONE else 2]
    return WITH_PAIRS if venue == HAS_PAIRS and chance.random() < SHARE_WITH_PAIRS else accounts


def _steady_plan(seed: int, venue: str, profile: Profile, chance: Random) -> Plan:
    """One socket after the other ends."""
    kinds = ENDS[profile]
    strikes: list[Strike] = []
    time = 0
    while (time := time + int(chance.expovariate(1 / MEAN_LIFE_MS))) < STORM_MS:
        strikes.append(Strike(at_ms=time, kind=chance.choice(kinds), account="alice", seed=chance.randrange(2**32)))
    return Plan(seed=seed, venue=venue, strikes=tuple(strikes))


def _kinds_of(chance: Random) -> list[str]:
    draw = chance.random()
    if draw < 0.03:
        return []
    if draw < 0.2:
        return [chance.choice(list(FAULTS))]
    return chance.sample(list(FAULTS), chance.randrange(2, 14))
