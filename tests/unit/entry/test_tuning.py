"""What a process of ours sets for itself, tried in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from importlib.util import find_spec

from userstream.entry.tuning import HANDOVER_S, run_on_best_loop

PROGRAM = """
import gc
import sys
from userstream.entry.tuning import tune_interpreter
tune_interpreter()
print(*gc.get_threshold(), gc.get_freeze_count() > 0, gc.isenabled(), sys.getswitchinterval())
"""
LIBRARY_HABIT = 700


def test_the_collector_looks_at_little_at_a_time_and_threads_hand_over_soon() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30)
    young, turns, middle, frozen, enabled, handover_s = done.stdout.split()
    assert LIBRARY_HABIT < int(young) <= 5_000, "a look at the young ones stops the event loop"
    assert int(young) * int(turns) <= 50_000, "so does one at those that were young before"
    assert int(turns) * int(middle) >= 5_000, "a look at everything is rare"
    assert (frozen, enabled) == ("True", "True")
    assert float(handover_s) == HANDOVER_S


def test_a_process_of_ours_runs_on_uvloop_where_it_is_installed_and_a_program_of_a_user_on_its_own_loop() -> None:
    async def loop_of() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run_on_best_loop(loop_of()) == ("uvloop" if find_spec("uvloop") else "asyncio.unix_events")
    assert asyncio.run(loop_of()) == "asyncio.unix_events"


def test_the_collector_looks_at_the_young_again_and_again_while_the_loop_runs() -> None:
    looks: list[int] = []

    def note(phase: str, told: dict[str, int]) -> None:
        looks.append(told["generation"])

    async def wait_for_looks() -> None:
        while looks.count(1) < 6:
            await asyncio.sleep(0.001)

    gc.callbacks.append(note)
    try:
        run_on_best_loop(asyncio.wait_for(wait_for_looks(), 10), young_look_s=0.001)
    finally:
        gc.callbacks.remove(note)
    assert looks.count(1) >= 6
