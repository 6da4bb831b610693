"""Many seeds: side by side on the cores, added up to the figures that `docs/proof.md` shows."""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Final

import msgspec

from tests.simulation.faults import FAULTS
from tests.simulation.lifeline import begin_worker
from tests.simulation.plan import Profile, plan_of
from tests.simulation.run import Report, run

SEEDS_OF_A_TASK: Final = 25
MOST_NAMED: Final = 12
"""So many kinds that were never hit are named; more of them were a matter of too few seeds."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A seed whose run broke an invariant."""

    seed: int
    violation: str
    text: str


class Totals(msgspec.Struct, kw_only=True):
    """What a number of runs came to. Times of fills in ms, from the execution until it was told."""

    seeds: int = 0
    fills: int = 0
    simulated_ms: int = 0
    cpu_s: float = 0.0
    hits: Counter[str] = msgspec.field(default_factory=Counter)
    lateness_ms: Counter[int] = msgspec.field(default_factory=Counter)
    highest_weight: int = 0
    findings: list[Finding] = msgspec.field(default_factory=list)
    traces: list[tuple[int, str]] = msgspec.field(default_factory=list)

    def note(self, report: Report) -> None:
        """One more run."""
        self.seeds += 1
        self.fills += report.fills
        self.simulated_ms += report.simulated_ms
        self.hits.update(report.hits)
        self.lateness_ms.update(report.lateness_ms)
        self.highest_weight = max(self.highest_weight, report.weight)
        self.traces.append((report.seed, report.trace))
        if report.violation:
            self.findings.append(Finding(seed=report.seed, violation=report.violation, text=report.text))

    def add(self, other: Totals) -> None:
        self.seeds += other.seeds
        self.fills += other.fills
        self.simulated_ms += other.simulated_ms
        self.cpu_s += other.cpu_s
        self.hits.update(other.hits)
        self.lateness_ms.update(other.lateness_ms)
        self.highest_weight = max(self.highest_weight, other.highest_weight)
        self.findings += other.findings
        self.traces += other.traces

    @property
    def trace(self) -> str:
        """One word for all runs: the same for the same seeds, on every machine."""
        return hashlib.blake2b("".join(trace for _, trace in sorted(self.traces)).encode(), digest_size=8).hexdigest()

    @property
    def seeds_per_minute_and_core(self) -> float:
        return 60 * self.seeds / self.cpu_s if self.cpu_s else 0.0

    def late_ms(self, share: float) -> int:
        """So late were at most this share of the fills."""
        wanted, seen = share * sum(self.lateness_ms.values()), 0
        for late_ms, count in sorted(self.lateness_ms.items()):
            seen += count
            if seen >= wanted:
                return late_ms
        return 0

    @property
    def never_hit(self) -> list[str]:
        return [kind for kind in FAULTS if not self.hits[kind]]


def run_some(seeds: range, venue: str, profile: Profile) -> Totals:
    """A task of one process."""
    totals = Totals()
    begun = time.process_time()
    with collected_by_hand():
        for seed in seeds:
            totals.note(run(plan_of(seed, venue, profile)))
            gc.collect()
    totals.cpu_s = time.process_time() - begun
    return totals


@contextmanager
def collected_by_hand() -> Iterator[None]:
    """A run makes much and leaves one report: what is there already is not looked through for garbage, and a world only at its end."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def run_campaign(first: int, count: int, *, venue: str, profile: Profile = Profile.SWARM, jobs: int | None = None) -> Iterator[Totals]:
    """The totals so far, each time a task is done. The last is that of all."""
    return run_portions(partial(run_some, venue=venue, profile=profile), first, count, jobs=jobs)


def run_portions(work: Callable[[range], Totals], first: int, count: int, *, jobs: int | None) -> Iterator[Totals]:
    """As `run_campaign`, with any work on some seeds."""
    totals = Totals()
    for _, portion in finished_portions(work, portions_of(first, count), jobs=jobs):
        totals.add(portion)
        yield totals


def finished_portions(work: Callable[[range], Totals], portions: Iterable[range], *, jobs: int | None) -> Iterator[tuple[range, Totals]]:
    """Each portion with what it came to, as they finish. Whoever stops listening, or is interrupted, waits for none that did not begin."""
    with ProcessPoolExecutor(jobs or os.cpu_count(), mp_context=get_context("spawn"), initializer=begin_worker) as pool:
        # a process that begins would tell a Ctrl-C as a fault: it is born deaf to it, until it is ready
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            tasks = {pool.submit(work, seeds): seeds for seeds in portions}
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        try:
            for task in as_completed(tasks):
                yield tasks.pop(task), task.result()
        finally:
            pool.shutdown(cancel_futures=True)


def portions_of(first: int, count: int) -> Iterable[range]:
    """What one task of a process takes on, one after the other."""
    end = first + count
    return (range(begin, min(begin + SEEDS_OF_A_TASK, end)) for begin in range(first, end, SEEDS_OF_A_TASK))


def figures_of(totals: Totals, wall_s: float | None) -> dict[str, object]:
    """What people want to know of a campaign. `wall_s`: seconds it took, where it was done in one go."""
    return {
        "seeds": totals.seeds,
        "violations": len(totals.findings),
        "seeds a minute and core": round(totals.seeds_per_minute_and_core),
        **({} if wall_s is None else {"wall seconds": round(wall_s, 1)}),
        "simulated hours": round(totals.simulated_ms / 3_600_000, 2),
        "fills": totals.fills,
        "late p50 ms": totals.late_ms(0.5),
        "late p99 ms": totals.late_ms(0.99),
        "late p99.9 ms": totals.late_ms(0.999),
        "late at most ms": totals.late_ms(1.0),
        "highest weight in a minute": totals.highest_weight,
        "fault kinds hit": len(totals.hits),
        "rarest fault": min(totals.hits.items(), key=lambda item: (item[1], item[0]), default=("", 0)),
        "never hit": totals.never_hit,
        "trace": totals.trace,
    }


def lines_of(figures: Mapping[str, object], totals: Totals, *, json: bool) -> Iterator[str]:
    """What a campaign prints: its figures and the first findings, or one JSON object with all of them."""
    if json:
        yield msgspec.json.encode({**figures, "faults": totals.hits, "findings": totals.findings}).decode()
        return
    for name, value in figures.items():
        yield from _few(name, value) if isinstance(value, list) else (f"{name:28} {value}",)
    yield from (f"seed {finding.seed}: {finding.text[:500]}" for finding in totals.findings[:20])


def _few(name: str, values: list[object]) -> Iterator[str]:
    """One of them to a line, and only their number where they would fill the screen."""
    if len(values) > MOST_NAMED:
        yield f"{name:28} {len(values)} kinds (--json names them)"
        return
    for index, value in enumerate(values or ["none"]):
        yield f"{'' if index else name:28} {value}"
