"""`python -m tests.simulation`: runs seeds and prints the figures; exits 1 if an invariant broke."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace

from tests.simulation.campaign import Totals, figures_of, lines_of, run_campaign
from tests.simulation.plan import Profile, plan_of
from tests.simulation.run import run
from tests.simulation.shrink import keep, shrink
from userstream.venues import REGISTRY


def main() -> int:
    arguments = _read_arguments()
    if arguments.shrink is not None:
        return _shrink(arguments.shrink, arguments.venue)
    begun, totals = time.perf_counter(), Totals()
    for so_far in run_campaign(arguments.first, arguments.seeds, venue=arguments.venue, profile=arguments.profile, jobs=arguments.jobs):
        totals = so_far
        if sys.stderr.isatty():
            print(f"\r{totals.seeds} seeds, {len(totals.findings)} violations", end="", file=sys.stderr, flush=True)
    print(*lines_of(figures_of(totals, time.perf_counter() - begun), totals, json=arguments.json), sep="\n")
    return 1 if totals.findings else 0


def _read_arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--venue", choices=sorted(REGISTRY), default="binance-usdm")
    parser.add_argument("--profile", type=Profile, choices=list(Profile), default=Profile.SWARM)
    parser.add_argument("--jobs", type=int, help="processes; one for each core if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--shrink", type=int, metavar="SEED", help="make a failing seed small and keep it as a regression")
    return parser.parse_args()


def _shrink(seed: int, venue: str) -> int:
    plan = shrink(plan_of(seed, venue))
    report = run(plan)
    if not report.violation:
        print(f"seed {seed} breaks nothing")
        return 0
    for strike in plan.strikes:
        print(f"{strike.at_ms:6} ms  {strike.kind}  {strike.account}")
    print(f"{report.text}\nkept in {keep(plan, f'{venue}-{seed}').name}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
