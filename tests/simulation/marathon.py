"""`python -m tests.simulation.marathon`: a run of many seeds on all cores that goes on where it was when it was killed.

What is done is kept in a state file, a line for each portion of seeds: the same command goes on with the others, and prints the table when
nothing is left. A state of other seeds or of other sources is refused. Exit code 0, 1 when an invariant broke, 2 for a mistake
or a state that does not fit, 130 when it was interrupted.
"""

from __future__ import annotations

import hashlib
import os
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, get_args

import msgspec

from tests.simulation.campaign import Totals, figures_of, finished_portions, lines_of, portions_of, run_some
from tests.simulation.commands import PLAYED, Parser, positive, until_interrupted
from tests.simulation.faults import FAULTS
from tests.simulation.plan import Profile

SEEDS: Final = 100_000
LEAST_HITS: Final = 1_000
"""So often each fault must have struck in a whole run; a smaller one is held to its share."""

ROOT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = ROOT / ".marathon_cache"
SOURCES: Final = ("src/userstream", "tests/simulation")


class BadState(Exception):
    """The state file is of another run, or cannot be used. The message is for people."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What is run: the head of a state file. `sources`: a digest of the code that runs."""

    first: int
    seeds: int
    venue: str
    sources: str


class Portion(msgspec.Struct, frozen=True, kw_only=True):
    """Seeds from `begin` that are done, and what they came to."""

    begin: int
    totals: Totals


class State:
    """The portions that are done, on disk: what was written survives a kill, and a line that was torn is run again. Raises BadState."""

    def __init__(self, path: Path, course: Course) -> None:
        self._path = path
        self.done: dict[int, Totals] = {}
        if path.exists() and path.stat().st_size:
            self._read(course)
        else:
            self._write(course)

    def keep(self, seeds: range, totals: Totals) -> None:
        self._write(Portion(begin=seeds.start, totals=totals))
        self.done[seeds.start] = totals

    def _write(self, line: msgspec.Struct) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise BadState(f"{self._path} cannot be written: {error.strerror}") from None

    def _read(self, course: Course) -> None:
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise BadState(f"{self._path} cannot be read: {error.strerror}") from None
        whole, _, torn = content.rpartition(b"\n")
        lines = whole.split(b"\n")
        try:
            known = msgspec.json.decode(lines[0], type=Course)
            portions = [msgspec.json.decode(line, type=Portion, dec_hook=_counter) for line in lines[1:]]
        except msgspec.DecodeError:
            raise BadState(f"{self._path} is no state of a run: name another file") from None
        if known != course:
            raise BadState(f"{self._path} is the state of another run ({_differences(known, course)}): name another file, or delete it")
        self.done = {portion.begin: portion.totals for portion in portions}
        if torn:
            os.truncate(self._path, len(whole) + 1)


def _counter(kind: type, value: object) -> object:
    """Counters are written as objects, whose keys are text."""
    [key] = get_args(kind)
    return Counter({key(name): count for name, count in msgspec.convert(value, dict[str, int]).items()})


def _differences(known: Course, wanted: Course) -> str:
    fields = Course.__struct_fields__
    return ", ".join(
        f"{name}: {getattr(known, name)}, not {getattr(wanted, name)}" for name in fields if getattr(known, name) != getattr(wanted, name)
    )


def digest_of_sources(root: Path = ROOT) -> str:
    """The same for the same code, wherever it lies."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(file for folder in SOURCES for file in (root / folder).rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def run_rest(state: State, course: Course, jobs: int | None) -> Generator[int, None, None]:
    """Runs what is not done yet; how many seeds are done, each time that grows."""
    left = [seeds for seeds in portions_of(course.first, course.seeds) if seeds.start not in state.done]
    work = partial(run_some, venue=course.venue, profile=Profile.SWARM)
    count = sum(totals.seeds for totals in state.done.values())
    for seeds, totals in finished_portions(work, left, jobs=jobs):
        state.keep(seeds, totals)
        count += totals.seeds
        yield count


def totals_of(portions: Iterable[Totals]) -> Totals:
    totals = Totals()
    for portion in portions:
        totals.add(portion)
    return totals


def fault_table(hits: Counter[str], seeds: int) -> Iterator[str]:
    """Every fault that can be done at the venue, the rarest first; those that were too rare for the law are marked."""
    least = LEAST_HITS * seeds / SEEDS
    yield f"{'fault':28} times  (at least {least:.0f})"
    for kind, count in sorted(((kind, hits[kind]) for kind in FAULTS if hits[kind]), key=lambda entry: (entry[1], entry[0])):
        yield f"{kind:28} {count:5}{'  too rare' if count < least else ''}"


def main(words: Sequence[str] | None = None) -> int:
    """Runs what is left and prints the table of all."""
    wanted = _arguments(words)
    return until_interrupted(lambda: _run_course(wanted), "interrupted; the same command goes on")


def _run_course(wanted: Namespace) -> int:
    course = Course(first=wanted.first, seeds=wanted.seeds, venue=wanted.venue, sources=digest_of_sources())
    try:
        state = State(wanted.state or _usual_place(course), course)
        for count in run_rest(state, course, wanted.jobs):
            _tell_progress(count, course.seeds)
    except BadState as error:
        sys.stderr.write(f"{error}\n")
        return 2
    totals = totals_of(state.done.values())
    sys.stdout.write("\n".join([*lines_of(figures_of(totals, None), totals, json=wanted.json)]) + "\n")
    if not wanted.json:
        sys.stdout.write("\n".join(fault_table(totals.hits, totals.seeds)) + "\n")
    return 1 if totals.findings else 0


def _usual_place(course: Course) -> Path:
    CACHE.mkdir(exist_ok=True)
    return CACHE / f"{course.venue}-{course.first}-{course.seeds}.jsonl"


def _tell_progress(count: int, seeds: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{count} of {seeds} seeds")
        sys.stderr.flush()


def _arguments(words: Sequence[str] | None) -> Namespace:
    parser = Parser(prog="python -m tests.simulation.marathon", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seeds", type=positive, default=SEEDS, help="how many")
    parser.add_argument("--first", type=int, default=2_000_000, help="the first seed")
    parser.add_argument("--venue", choices=PLAYED, default="binance-usdm")
    parser.add_argument("--state", type=Path, help="the file that keeps what is done; without it one of this course in .marathon_cache")
    parser.add_argument("--jobs", type=positive, help="processes; one for each core if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser.parse_args(words)


if __name__ == "__main__":
    raise SystemExit(main())
