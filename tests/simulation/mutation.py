"""Runs the simulation on copies of the source in which one safeguard is off: `python -m tests.simulation.mutation`.

Each mutant has a folder and a process of its own, and lives through seed after seed until an invariant does not hold. One that survives
them all shows a hole in the simulation, or a safeguard that another one makes superfluous.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from tests.simulation.commands import Parser, positive, until_interrupted
from tests.simulation.gap_mutants import GAP_MUTANTS
from tests.simulation.lifeline import Lifeline, command_on
from tests.simulation.mutants import MUTANTS, Edit, Layer, Mutant
from tests.simulation.shell.mutants import SHELL_MUTANTS
from tests.simulation.spot_mutants import SPOT_MUTANTS

if TYPE_CHECKING:
    from tests.simulation.run import Report

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = "src/userstream"
SEEDS: Final = 2_000
SHELL_SHARE: Final = 3
"""The shell's seeds take so many times longer: a mutant of it must be caught within so many times fewer."""
ALL: Final = (*MUTANTS, *GAP_MUTANTS, *SPOT_MUTANTS, *SHELL_MUTANTS)
LONGEST_HUNT_S: Final = 1_800
CONTROL: Final = Mutant(name="(none)", safeguard="the true source: no seed may be a violation", edits=())
SLIPS: Final = frozenset({"NameError", "UnboundLocalError", "AttributeError", "TypeError", "ImportError", "ModuleNotFoundError"})
"""What a mutant that cannot even run raises: catching that proves nothing."""


class BadMutant(Exception):
    """An edit does not fit the source."""


class Catch(msgspec.Struct, frozen=True, kw_only=True):
    """What a hunt found. `seed` is None when every one of the `seeds` held."""

    seeds: int
    seed: int | None = None
    violation: str = ""
    text: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the table."""

    name: str
    safeguard: str
    verdict: str
    seed: int | None
    violation: str
    text: str
    seconds: int

    @property
    def is_good(self) -> bool:
        return self.verdict == ("survived" if self.name == CONTROL.name else "caught")


def edited(source: str, edit: Edit) -> str:
    """The source with the edit in it. Raises BadMutant unless the old text is there exactly once."""
    found = source.count(edit.old)
    if found != 1:
        raise BadMutant(f"{edit.file}: the old text is there {found} times: {edit.old.strip()[:80]!r}")
    return source.replace(edit.old, edit.new)


def mutated(mutant: Mutant, package: Path) -> dict[str, str]:
    """The changed files of a mutant by their path below the package."""
    sources: dict[str, str] = {}
    for edit in mutant.edits:
        source = sources.get(edit.file)
        sources[edit.file] = edited((package / edit.file).read_text(encoding="utf-8") if source is None else source, edit)
    return sources


def hunt(seeds: Iterable[int], layer: Layer = Layer.PURE, venue: str = CONTROL.venue) -> Catch:
    """Lives through the seeds until one is a violation."""
    live = _life_of(layer, venue)
    count = 0
    for seed in seeds:
        count += 1
        report = live(seed)
        if report.violation:
            return Catch(seeds=count, seed=seed, violation=report.violation, text=report.text[:400])
    return Catch(seeds=count)


def _life_of(layer: Layer, venue: str) -> Callable[[int], Report]:
    """How a seed is lived through. The copy's own modules: the other side of this file never runs a simulation."""
    if layer is Layer.SHELL:
        from tests.simulation.shell import run as shell

        return lambda seed: shell.run(shell.plan_of(seed))
    from tests.simulation.plan import plan_of
    from tests.simulation.run import run

    return lambda seed: run(plan_of(seed, venue))


def try_out(mutant: Mutant, seeds: int, lifeline: Lifeline) -> Row:
    """Hunts a mutant in a folder and a process of its own, which ends when the lifeline is let go."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        try:
            _copy_with(mutant, copy)
            catch = _test_in(copy, mutant.tests, lifeline) if mutant.layer is Layer.TESTS else _hunt_in(copy, seeds, mutant, lifeline)
        except BadMutant as error:
            return _row(mutant, "broken", Catch(seeds=0, text=str(error)), began)
    if catch.seed is None:
        return _row(mutant, "survived", catch, began)
    return _row(mutant, "broken" if catch.violation in SLIPS else "caught", catch, began)


def _copy_with(mutant: Mutant, copy: Path) -> None:
    changed = mutated(mutant, ROOT / PACKAGE)
    shutil.copytree(ROOT / "src", copy / "src")
    shutil.copytree(ROOT / "tests" / "simulation", copy / "tests" / "simulation")
    for name, source in changed.items():
        (copy / PACKAGE / name).write_text(source, encoding="utf-8")


def _test_in(copy: Path, tests: Sequence[str], lifeline: Lifeline) -> Catch:
    """The tests of the true source, run against the copy: they must fail, and not for want of a test."""
    command = command_on("pytest", "-n", "0", "-q", "-x", "-p", "no:cacheprovider", *tests)
    done = _run(command, lifeline, ROOT, str(copy / "src"))
    if done.returncode not in (0, 1):
        raise BadMutant((done.stdout.strip().splitlines() or ["the tests ended without a word"])[-1])
    return Catch(seeds=0, seed=0, violation="a test", text=done.stdout[-400:]) if done.returncode else Catch(seeds=0)


def _run(command: Sequence[str], lifeline: Lifeline, folder: Path, *roots: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots), "PYTHONHASHSEED": "0"}
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=lifeline.end,
            capture_output=True,
            text=True,
            timeout=LONGEST_HUNT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadMutant(f"no end within {LONGEST_HUNT_S} s") from None


def _hunt_in(copy: Path, seeds: int, mutant: Mutant, lifeline: Lifeline) -> Catch:
    count = seeds if mutant.layer is Layer.PURE else -(-seeds // SHELL_SHARE)
    words = ("--hunt", "--seeds", str(count), "--layer", mutant.layer, "--venue", mutant.venue)
    done = _run(command_on("tests.simulation.mutation", *words), lifeline, copy, str(copy / "src"), str(copy))
    if done.returncode:
        raise BadMutant((done.stderr.strip().splitlines() or ["the process ended without a word"])[-1])
    catch = msgspec.json.decode(done.stdout, type=Catch)
    if catch.seed is None and seeds < SEEDS:
        return msgspec.structs.replace(catch, text=f"{seeds} of the {SEEDS:,} seeds of the measure")
    return catch


def _row(mutant: Mutant, verdict: str, catch: Catch, began: float) -> Row:
    return Row(
        name=mutant.name,
        safeguard=mutant.safeguard,
        verdict=verdict,
        seed=catch.seed,
        violation=catch.violation,
        text=catch.text,
        seconds=round(time.monotonic() - began),
    )


def _line(row: Row) -> str:
    seed = "" if row.seed is None else str(row.seed)
    note = f"  {row.text}" if row.text and row.verdict != "caught" else ""
    return f"{row.name:<44} {row.verdict:<9} {seed:>5}  {row.violation:<20} {row.seconds:>4} s{note}"


def try_all(mutants: Sequence[Mutant], seeds: int, jobs: int, *, quiet: bool) -> list[Row]:
    """All hunts, several side by side; the rows come in the order of the table."""
    rows: list[Row] = []
    if not quiet:
        sys.stdout.write(f"{'safeguard that is off':<44} {'verdict':<9} {'seed':>5}  {'by':<20} {'took':>6}\n")
    with Lifeline() as lifeline, ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            for row in pool.map(lambda mutant: try_out(mutant, seeds, lifeline), mutants):
                rows.append(row)
                if not quiet:
                    sys.stdout.write(_line(row) + "\n")
                    sys.stdout.flush()
        finally:  # whoever is interrupted waits for no hunt
            pool.shutdown(wait=False, cancel_futures=True)
            lifeline.let_go()
    return rows


def chosen(only: Sequence[str]) -> list[Mutant]:
    """The mutants of these names, all of them and the true source without any. Raises BadMutant for a name that is none."""
    known = {mutant.name: mutant for mutant in (CONTROL, *ALL)}
    if wrong := [name for name in only if name not in known]:
        raise BadMutant(f"no mutant is named {wrong[0]!r}; there are: {', '.join(known)}")
    return [known[name] for name in only] if only else list(known.values())


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m tests.simulation.mutation", description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this mutant; may be given several times")
    parser.add_argument("--seeds", type=positive, default=SEEDS, help="how many seeds a mutant must not survive")
    parser.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, help="how many hunts go on side by side")
    parser.add_argument("--json", action="store_true", help="the table as JSON")
    parser.add_argument("--hunt", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--layer", type=Layer, default=Layer.PURE, help=argparse.SUPPRESS)
    parser.add_argument("--venue", default=CONTROL.venue, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """0 if every mutant was caught and the true source was not, 2 for a mistake, 130 if interrupted."""
    wanted = _arguments(words)
    return until_interrupted(lambda: _run_hunts(wanted))


def _run_hunts(wanted: argparse.Namespace) -> int:
    if wanted.hunt:
        sys.stdout.write(msgspec.json.encode(hunt(range(wanted.seeds), wanted.layer, wanted.venue)).decode())
        return 0
    try:
        mutants = chosen(wanted.only)
    except BadMutant as error:
        sys.stderr.write(f"{error}\n")
        return 2
    rows = try_all(mutants, wanted.seeds, wanted.jobs, quiet=wanted.json)
    bad = [row.name for row in rows if not row.is_good]
    if wanted.json:
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
    else:
        caught = sum(row.is_good for row in rows)
        sys.stdout.write(f"{caught} of {len(rows)} as they should be" + (f"; not so: {', '.join(bad)}" if bad else "") + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
