"""A failing run made small: fewer faults, fewer kinds, as long as the same invariant breaks. What is left is kept as a regression."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from tests.simulation.plan import Plan, Strike
from tests.simulation.run import run

REGRESSIONS: Final = Path(__file__).parent / "regressions"
Breaks: TypeAlias = Callable[[tuple[Strike, ...]], bool]


def shrink(plan: Plan) -> Plan:
    """The smallest plan found that breaks the same invariant; the plan itself if it breaks none."""
    violation = run(plan).violation
    if not violation:
        return plan

    def breaks(strikes: tuple[Strike, ...]) -> bool:
        return run(msgspec.structs.replace(plan, strikes=strikes)).violation == violation

    strikes = _without_kinds(plan.strikes, breaks)
    return msgspec.structs.replace(plan, strikes=_without_parts(strikes, breaks))


def _without_kinds(strikes: tuple[Strike, ...], breaks: Breaks) -> tuple[Strike, ...]:
    for kind in dict.fromkeys(strike.kind for strike in strikes):
        fewer = tuple(strike for strike in strikes if strike.kind != kind)
        if len(fewer) < len(strikes) and breaks(fewer):
            strikes = fewer
    return strikes


def _without_parts(strikes: tuple[Strike, ...], breaks: Breaks) -> tuple[Strike, ...]:
    """Delta debugging: halves, quarters, ... down to single strikes."""
    size = max(1, len(strikes) // 2)
    while strikes:
        for begin in range(0, len(strikes), size):
            fewer = strikes[:begin] + strikes[begin + size :]
            if breaks(fewer):
                strikes = fewer
                break
        else:
            if size == 1:
                break
            size = max(1, size // 2)
        size = min(size, max(1, len(strikes)))
    return strikes


def keep(plan: Plan, name: str) -> Path:
    """Writes the plan where the test suite runs it from now on."""
    path = REGRESSIONS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n")
    return path


def read_regressions() -> list[tuple[str, Plan]]:
    return [(path.stem, msgspec.json.decode(path.read_bytes(), type=Plan)) for path in sorted(REGRESSIONS.glob("*.json"))]
