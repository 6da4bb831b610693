"""Plans that were kept are played again: what each broke, and its trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tests.simulation.commands import PLAYED
from tests.simulation.faults import FAULTS
from tests.simulation.plan import Plan
from tests.simulation.run import Report


class BadPlan(Exception):
    """A file is no plan that can be played. The message is for people."""


def read_plan(path: Path) -> Plan:
    """A plan as `--shrink` keeps it. Raises BadPlan."""
    try:
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
    except OSError as error:
        raise BadPlan(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise BadPlan(f"{path} is no plan of a run: {error}") from None
    if plan.venue not in PLAYED:
        raise BadPlan(f"{path}: venue {plan.venue!r} must be one of {', '.join(PLAYED)}")
    for strike in plan.strikes:
        if strike.kind not in FAULTS:
            raise BadPlan(f"{path}: kind {strike.kind!r} is no fault of this simulation")
        if strike.account not in plan.accounts:
            raise BadPlan(f"{path}: account {strike.account!r} is none of {', '.join(plan.accounts)}")
    return plan


def lines_of_replays(replays: Sequence[tuple[Path, Report]], *, json: bool) -> Iterator[str]:
    """A line for each file, with what did not hold below it, or one JSON object."""
    broken = sum(bool(report.violation) for _, report in replays)
    if json:
        runs = [{"file": str(path), **msgspec.structs.asdict(report)} for path, report in replays]
        yield msgspec.json.encode({"files": len(replays), "violations": broken, "runs": runs}).decode()
        return
    for path, report in replays:
        yield f"{report.violation or 'nothing broke':14} trace {report.trace}  {path.name}"
        if report.violation:
            yield f"  {report.text[:500]}"
    yield f"{len(replays)} played, {broken} broke an invariant"
