"""`python -m tests.simulation`: runs seeds and prints the figures. Exits 1 if an invariant broke, 130 if interrupted."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from tests.simulation.campaign import Totals, figures_of, lines_of, run_campaign
from tests.simulation.commands import PLAYED, Parser, positive, until_interrupted
from tests.simulation.plan import Profile, plan_of
from tests.simulation.replay import BadPlan, lines_of_replays, read_plan
from tests.simulation.run import run
from tests.simulation.shrink import keep, shrink


def main(words: Sequence[str] | None = None) -> int:
    arguments = _read_arguments(words)
    if arguments.shrink is not None:
        return _shrink(arguments.shrink, arguments.venue)
    if arguments.replay is not None:
        return _replay(arguments.replay, json=arguments.json)
    begun, totals = time.perf_counter(), Totals()
    for so_far in run_campaign(arguments.first, arguments.seeds, venue=arguments.venue, profile=arguments.profile, jobs=arguments.jobs):
        totals = so_far
        if sys.stderr.isatty():
            print(f"\r{totals.seeds} seeds, {len(totals.findings)} violations", end="", file=sys.stderr, flush=True)
    print(*lines_of(figures_of(totals, time.perf_counter() - begun), totals, json=arguments.json), sep="\n")
    return 1 if totals.findings else 0


def _read_arguments(words: Sequence[str] | None) -> Namespace:
    parser = Parser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=positive, default=2_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--venue", choices=PLAYED, default="binance-usdm")
    parser.add_argument("--profile", type=Profile, choices=list(Profile), default=Profile.SWARM)
    parser.add_argument("--jobs", type=positive, help="processes; one for each core if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--shrink", type=int, metavar="SEED", help="make a failing seed small and keep it as a regression")
    instead.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="play kept regressions again, each with its trace")
    return parser.parse_args(words)


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


def _replay(paths: Sequence[Path], *, json: bool) -> int:
    try:
        plans = [(path, read_plan(path)) for path in paths]
    except BadPlan as error:
        print(error, file=sys.stderr)
        return 2
    replays = [(path, run(plan)) for path, plan in plans]
    print(*lines_of_replays(replays, json=json), sep="\n")
    return 1 if any(report.violation for _, report in replays) else 0


if __name__ == "__main__":
    sys.exit(until_interrupted(main))
