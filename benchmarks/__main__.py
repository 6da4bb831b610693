"""`python -m benchmarks`: one report of speed and memory, with its goals, beside the other clients that are installed.

Everything runs in processes of its own and several times, one after the other; the median of each figure is reported. Progress goes to
stderr, the report to stdout. Exit code 0 also where a goal is not reached: it depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks.feed import ROOT
from benchmarks.peers import INSTALL, installed
from benchmarks.plan import FULL, PEERS, QUICK, Line, Run, Size, lines, runs

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Result:
    """The medians of all runs, what went wrong, and on what they ran."""

    size: Size
    peers: Mapping[str, str]
    figures: Mapping[str, Figures]
    failures: Mapping[str, str]


def measure(size: Size, peers: Mapping[str, str]) -> Result:
    """Runs everything, in rounds: what disturbs the machine for a while does not hit all rounds of one figure."""
    taken: dict[str, list[Figures]] = {}
    failures: dict[str, str] = {}
    for number in range(size.rounds):
        for run in runs(size, tuple(peers)):
            print(f"round {number + 1}/{size.rounds}: {run.name}", file=sys.stderr, flush=True)
            figures, trouble = perform(run)
            if trouble:
                failures[run.name] = trouble
            else:
                taken.setdefault(run.name, []).append(figures)
    return Result(size, peers, {name: medians(rounds) for name, rounds in taken.items()}, failures)


def perform(run: Run) -> tuple[Figures, str]:
    """The figures of one run, or the last words of a process that failed."""
    command = [sys.executable, "-m", run.module, *run.arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return {}, (done.stderr.strip().splitlines() or ["ended without a word"])[-1]
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures, ""


def medians(rounds: list[Figures]) -> Figures:
    names = dict.fromkeys(name for figures in rounds for name in figures)
    return {name: median(figures[name] for figures in rounds if name in figures) for name in names}


def told(result: Result) -> Iterator[tuple[Line, float]]:
    """The lines of the report that have a figure."""
    for line in lines(tuple(result.peers)):
        value = result.figures.get(line.run, {}).get(line.figure)
        if value is not None:
            yield line, value


def as_text(result: Result) -> Iterator[str]:
    yield f"{machine()}; median of {result.size.rounds}"
    section = ""
    for line, value in told(result):
        if line.section != section:
            section = line.section
            yield f"\n{section}"
        amount = f"{value:,.{0 if value >= 1_000 else 1 if value >= 10 else 3}f}"
        goal = "" if line.goal is None else f"   goal {line.goal}: {'reached' if line.goal.is_reached(value) else 'NOT reached'}"
        yield f"  {line.text:<46}{amount:>11} {line.unit:<3}{goal}".rstrip()
    yield ""
    for peer in PEERS:
        yield f"{peer} {result.peers[peer]}" if peer in result.peers else f"{peer} is not installed; to compare: {INSTALL}"
    for name, trouble in result.failures.items():
        yield f"failed: {name}: {trouble}"


def as_json(result: Result) -> str:
    goals = [
        {"text": line.text, "run": line.run, "figure": line.figure, "value": value, "goal": str(line.goal), "reached": reached}
        for line, value in told(result)
        if line.goal is not None
        for reached in [line.goal.is_reached(value)]
    ]
    report = {"machine": machine(), "rounds": result.size.rounds, "peers": dict(result.peers), "runs": result.figures}
    return json.dumps(report | {"goals": goals, "failures": result.failures}, indent=2)


def machine() -> str:
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )


def main() -> int:
    """Exit code 1 when a run failed, 130 when it was stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Speed and memory, with the goals. Takes some minutes on an idle machine."
    )
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    parser.add_argument("--quick", action="store_true", help="one short round: shows that everything runs, and no more")
    parser.add_argument("--no-peers", action="store_true", help="leave the other clients out")
    given = parser.parse_args()
    try:
        result = measure(QUICK if given.quick else FULL, {} if given.no_peers else installed())
    except KeyboardInterrupt:
        print("stopped: nothing is reported", file=sys.stderr)
        return 130
    print(as_json(result) if given.json else "\n".join(as_text(result)))
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
