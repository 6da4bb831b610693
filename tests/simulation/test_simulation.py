"""The simulation in the test suite: seeds enough to notice a safeguard that is gone, runs that can be run again, and old findings."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.simulation.campaign import run_campaign, run_some
from tests.simulation.claims import Violation
from tests.simulation.exchange import WEIGHT_PER_MINUTE
from tests.simulation.faults import FAULTS
from tests.simulation.ground import pair_of
from tests.simulation.plan import WITH_PAIRS, Plan, Profile, plan_of
from tests.simulation.run import come_to_rest, run
from tests.simulation.scheduler import START
from tests.simulation.shrink import read_regressions, shrink
from tests.simulation.world import World
from userstream.kernel.ids import Millis
from userstream.venues import find_venue
from userstream.wire.request import HttpResponse

SEEDS = 1_100
SEEDS_OF_THE_OTHERS = 300
CONTRACTS = {"conditional orders", "liquidation", "deleveraging", "funding", "leverage changed", "hedge mode"}
KEYS = {"listen key expired", "listen key deleted", "listen key replaced"}
NOT_THERE = {"binance-spot": CONTRACTS | KEYS, "binance-coinm": {"fee asset"}, "binance-margin": CONTRACTS}
"""The other products, and what cannot be done to them."""

ROOT = Path(__file__).parents[2]
JUDGED = ("binance-spot", "binance-usdm")
"""The dialects: COIN-M and margin are the code of these with other words."""

venues = pytest.mark.parametrize("venue", JUDGED)


@pytest.mark.timeout(600)
def test_no_invariant_breaks() -> None:
    totals = run_some(range(SEEDS), "binance-usdm", Profile.SWARM)
    assert not totals.findings
    assert totals.seeds == SEEDS
    assert totals.never_hit == []
    assert len(FAULTS) >= 40


@pytest.mark.timeout(120)
@pytest.mark.parametrize("venue", NOT_THERE)
def test_no_invariant_breaks_at_the_other_products(venue: str) -> None:
    totals = run_some(range(SEEDS_OF_THE_OTHERS), venue, Profile.SWARM)
    assert not totals.findings
    assert set(totals.never_hit) == NOT_THERE[venue]


@pytest.mark.timeout(120)
@venues
@pytest.mark.parametrize("profile", [Profile.STORM, Profile.ROTATION])
def test_no_invariant_breaks_where_only_sockets_end(venue: str, profile: Profile) -> None:
    assert run_some(range(60), venue, profile).findings == []


def test_isolated_pairs_of_one_user_trade_and_each_hears_of_its_own() -> None:
    plan = next(plan for plan in (plan_of(seed, "binance-margin") for seed in range(100)) if plan.accounts == WITH_PAIRS)
    world = World(plan.venue, plan.seed, plan.accounts)
    for account in plan.accounts:
        for time in range(1_000, 9_000, 250):
            world.scheduler.at(Millis(START + time), partial(world.exchange.trade, account))
    world.scheduler.run_until(Millis(START + 10_000))
    come_to_rest(world)
    for account in world.clients:
        traded = {true.fill.symbol for true in world.exchange.truth[account]}
        assert traded
        assert not pair_of(account) or traded == {pair_of(account)}


def test_a_client_that_waits_for_a_budget_of_which_the_exchange_has_counted_little_is_not_excused() -> None:
    world = World("binance-usdm", 1, ("alice",))
    full = HttpResponse(status=200, body=b"", headers={find_venue("binance-usdm").used_weight_header: str(WEIGHT_PER_MINUTE)})
    world.scheduler.every(100, lambda: world.gate.learn(full))
    with pytest.raises(Violation, match="alice reads the books since 24"):
        world.scheduler.run_until(Millis(START + 40_000))


def test_a_campaign_is_its_seeds_however_many_processes_share_them() -> None:
    *_, totals = run_campaign(0, 60, venue="binance-usdm", jobs=2)
    assert totals.seeds == 60
    assert totals.trace == run_some(range(60), "binance-usdm", Profile.SWARM).trace


@venues
def test_the_same_seed_makes_the_same_run(venue: str) -> None:
    assert [run(plan_of(seed, venue)) for seed in range(3)] == [run(plan_of(seed, venue)) for seed in range(3)]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_no_run_depends_on_the_order_of_sets(hash_seed: str) -> None:
    code = "from tests.simulation.campaign import run_some; from tests.simulation.plan import Profile;"
    code += "print(run_some(range(20), 'binance-usdm', Profile.SWARM).trace)"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == run_some(range(20), "binance-usdm", Profile.SWARM).trace


@pytest.mark.parametrize(("name", "plan"), read_regressions(), ids=lambda value: value if isinstance(value, str) else "")
def test_what_was_found_once_stays_mended(name: str, plan: Plan) -> None:
    report = run(plan)
    assert report.violation == "", report.text


def test_a_plan_that_breaks_nothing_is_not_made_smaller() -> None:
    plan = plan_of(1)
    assert shrink(plan) == plan
