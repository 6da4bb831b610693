"""Figures of rounds of sudden death: `python -m tests.processes --rounds N [--seed S] [--json]`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.processes.rounds import Figures, run_rounds
from tests.simulation.commands import Parser, positive, until_interrupted


def main(words: Sequence[str] | None = None) -> int:
    """Exit code 0 if every law held, 1 if not, 2 for a mistake, 130 if interrupted."""
    parser = Parser(prog="python -m tests.processes", description=__doc__)
    parser.add_argument("--rounds", type=positive, default=30, help="how many clients are killed")
    parser.add_argument("--seed", type=int, default=1, help="the number from which chance draws")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of words")
    given = parser.parse_args(words)
    return until_interrupted(lambda: _run(given))


def _run(given: Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(run_rounds(Path(folder), given.rounds, given.seed, _quiet if given.json else _show))
    sys.stdout.write((msgspec.json.encode(figures).decode() if given.json else _table(figures)) + "\n")
    return 0 if figures.is_sound else 1


def _show(number: int, figures: Figures) -> None:
    sys.stderr.write(f"\rround {number}: {figures.recoveries} recoveries, {len(figures.findings)} findings ")
    sys.stderr.flush()


def _quiet(number: int, figures: Figures) -> None:
    pass


def _table(figures: Figures) -> str:
    rows = {name.replace("_", " "): value for name, value in msgspec.structs.asdict(figures).items() if name != "findings"}
    return "\n".join(["", *(f"{name:22} {value}" for name, value in rows.items()), *figures.findings[:20]])


if __name__ == "__main__":
    sys.exit(main())
