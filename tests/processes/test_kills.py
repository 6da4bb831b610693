"""kill -9 at a moment of chance, again and again: nothing lost, nothing doubled, and the certificate never said more than it knew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes.rounds import Figures, run_rounds

ROUNDS = 30
FEW = 4


def check(figures: Figures, kills: int) -> None:
    assert figures.is_sound, figures
    assert figures.kills == kills
    assert figures.fills > kills


async def test_a_few_kills(tmp_path: Path, seed: int) -> None:
    check(await run_rounds(tmp_path, FEW, seed), FEW)


@pytest.mark.processes
@pytest.mark.timeout(400)
async def test_many_kills(tmp_path: Path, seed: int) -> None:
    check(await run_rounds(tmp_path, ROUNDS, seed), ROUNDS)
