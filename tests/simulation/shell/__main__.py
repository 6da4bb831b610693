"""`python -m tests.simulation.shell`: runs seeds and prints the figures. Exits 1 if an invariant broke, 130 if interrupted."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence

from tests.simulation.campaign import Totals, lines_of, run_portions
from tests.simulation.commands import Parser, positive, until_interrupted
from tests.simulation.shell.faults import FAULTS
from tests.simulation.shell.run import run_some


def main(words: Sequence[str] | None = None) -> int:
    arguments = _read_arguments(words)
    begun, totals = time.perf_counter(), Totals()
    for so_far in run_portions(run_some, arguments.first, arguments.seeds, jobs=arguments.jobs):
        totals = so_far
        if sys.stderr.isatty():
            print(f"\r{totals.seeds} seeds, {len(totals.findings)} violations", end="", file=sys.stderr, flush=True)
    _say(totals, time.perf_counter() - begun, json=arguments.json)
    return 1 if totals.findings else 0


def _read_arguments(words: Sequence[str] | None) -> Namespace:
    parser = Parser(prog="python -m tests.simulation.shell", description=__doc__)
    parser.add_argument("--seeds", type=positive, default=500, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=positive, help="processes; one for each core if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser.parse_args(words)


def _say(totals: Totals, wall_s: float, *, json: bool) -> None:
    figures: dict[str, object] = {
        "seeds": totals.seeds,
        "violations": len(totals.findings),
        "seeds a minute and core": round(totals.seeds_per_minute_and_core),
        "wall seconds": round(wall_s, 1),
        "simulated hours": round(totals.simulated_ms / 3_600_000, 2),
        "fills": totals.fills,
        "late p50 ms": totals.late_ms(0.5),
        "late p99 ms": totals.late_ms(0.99),
        "late at most ms": totals.late_ms(1.0),
        "fault kinds hit": len(totals.hits),
        "never hit": [kind for kind in FAULTS if not totals.hits[kind]],
        "trace": totals.trace,
    }
    print(*lines_of(figures, totals, json=json), sep="\n")


if __name__ == "__main__":
    sys.exit(until_interrupted(main))
