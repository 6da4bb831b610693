"""What is run, in which order, and what of it is told: the runs, the lines of the report, the goals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

PACES: Final = (1_000, 5_000)
PEER_PACE: Final = 1_000
PEERS: Final = ("ccxt", "python-binance")
OWN: Final = "userstream"


@dataclass(frozen=True)
class Size:
    """How much is run. Counts are whole lives of an order (20 frames)."""

    rounds: int
    stages: int
    flat: int
    peer_flat: int
    paced_s: int
    warm: int
    further: int


FULL: Final = Size(rounds=3, stages=60_000, flat=200_000, peer_flat=40_000, paced_s=8, warm=4_000, further=20)
QUICK: Final = Size(rounds=1, stages=4_000, flat=10_000, peer_flat=2_000, paced_s=1, warm=1_000, further=3)


@dataclass(frozen=True)
class Run:
    """One module of this package as a process of its own; its figures are kept under `name`."""

    name: str
    module: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Goal:
    """A limit for a figure: at least so much, or less than so much."""

    limit: float
    at_least: bool = False

    def is_reached(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value < self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<'} {self.limit:,.12g}"


@dataclass(frozen=True)
class Line:
    """One figure of one run, with its name for people."""

    section: str
    text: str
    run: str
    figure: str
    unit: str
    goal: Goal | None = None


def runs(size: Size, peers: tuple[str, ...]) -> Iterator[Run]:
    """Everything that one round runs, each in a process of its own."""
    warm = f"--warm={size.warm}"
    yield Run("machine", "benchmarks.machine", ())
    yield Run("stages", "benchmarks.stages", (str(size.stages),))
    yield Run("feeder", "benchmarks.feed", (str(size.flat), warm))
    for name, options in (("journal", ("--no-tables",)), ("tables", ())):
        yield Run(f"{name} flat", "benchmarks.pipeline", ("0", str(size.flat), warm, *options))
        for pace in PACES:
            yield Run(f"{name} {pace}", "benchmarks.pipeline", (str(pace), str(pace * size.paced_s), warm, *options))
    for peer in peers:
        yield Run(f"{peer} flat", "benchmarks.peers", (peer, "0", str(size.peer_flat), warm))
        yield Run(f"{peer} {PEER_PACE}", "benchmarks.peers", (peer, str(PEER_PACE), str(PEER_PACE * size.paced_s), warm))
    for client in (OWN, *peers):
        yield Run(f"{client} at rest", "benchmarks.footprint", (client, f"--further={size.further}"))


def lines(peers: tuple[str, ...]) -> list[Line]:
    """What is told of the figures, in the order of the report."""
    return [*_machine(), *_stages(), *_flat_out(peers), *_waits(peers), *_footprints(peers)]


def _machine() -> Iterator[Line]:
    section = "the machine and its interpreter, additions a second in a plain loop"
    yield Line(section, "at best", "machine", "best_per_s", "/s")
    yield Line(section, "at worst", "machine", "worst_per_s", "/s")


def _stages() -> Iterator[Line]:
    section = "each stage alone, a frame"
    yield Line(section, "frame -> typed events", "stages", "decode", "us")
    yield Line(section, "typed events -> state", "stages", "fold", "us")
    yield Line(section, "both, stamped and numbered", "stages", "machine", "us")
    yield Line(section, "-> callback, through its queue", "stages", "callback", "us")
    yield Line(section, "-> journal, on the event loop", "stages", "append", "us")
    yield Line(section, "-> journal committed (writer thread)", "stages", "committed", "us")
    yield Line(section, "journal -> tables", "stages", "tables", "us")
    yield Line(section, "typed events in a frame", "stages", "events", "")


def _flat_out(peers: tuple[str, ...]) -> Iterator[Line]:
    section, unit = "flat out, frames a second", "/s"
    yield Line(section, "the feeder alone, a reader that counts", "feeder", "frames_per_s", unit)
    yield Line(section, "socket to callback, state and journal", "journal flat", "frames_per_s", unit, Goal(60_000, at_least=True))
    yield Line(section, "  until committed", "journal flat", "committed_per_s", unit)
    yield Line(section, "socket to callback, tables too", "tables flat", "frames_per_s", unit)
    yield Line(section, "  until in the tables", "tables flat", "in_tables_per_s", unit)
    for peer in peers:
        yield Line(section, f"{peer}: socket to caller, no journal", f"{peer} flat", "frames_per_s", unit)
        yield Line(section, "  share of order reports handed over", f"{peer} flat", "given", "")


def _waits(peers: tuple[str, ...]) -> Iterator[Line]:
    for pace in PACES:
        section, limits = f"at {pace:,} frames a second", pace == PACES[-1]
        for name, text in (("journal", "state and journal"), ("tables", "tables too")):
            for stage, limit_us in (("callback", 1_000), ("commit", 10_000)):
                goal = Goal(limit_us) if limits and name == "journal" else None
                yield Line(section, f"{text}: {stage} p50", f"{name} {pace}", f"{stage}_p50_us", "us")
                yield Line(section, f"{text}: {stage} p99", f"{name} {pace}", f"{stage}_p99_us", "us", goal)
        if pace == PEER_PACE:
            for peer in peers:
                yield Line(section, f"{peer}: p50, no journal", f"{peer} {pace}", "callback_p50_us", "us")
                yield Line(section, f"{peer}: p99, no journal", f"{peer} {pace}", "callback_p99_us", "us")


def _footprints(peers: tuple[str, ...]) -> Iterator[Line]:
    section = "at rest"
    for client in (OWN, *peers):
        run, ours = f"{client} at rest", client == OWN
        yield Line(section, f"{client}: import", run, "import_s", "s", Goal(0.3) if ours else None)
        if ours:
            yield Line(section, f"{client}: with connect and Fleet", run, "names_s", "s")
            yield Line(section, f"{client}: with all a running account needs", run, "everything_s", "s")
        yield Line(section, f"{client}: with one account", run, "one_account_mb", "MB", Goal(80) if ours else None)
        yield Line(section, f"{client}: each further idle one", run, "further_account_mb", "MB", Goal(1) if ours else None)
