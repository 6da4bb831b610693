"""The commands refuse what would do nothing, end in one line, leave no process behind, and play kept plans again."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import pytest

from tests.processes.__main__ import main as run_processes
from tests.simulation.__main__ import main as run_simulation
from tests.simulation.campaign import MOST_NAMED, Totals, figures_of, lines_of
from tests.simulation.commands import PLAYED, until_interrupted
from tests.simulation.lifeline import begin_worker
from tests.simulation.marathon import main as run_marathon
from tests.simulation.mutation import main as run_mutation
from tests.simulation.plan import plan_of
from tests.simulation.run import run
from tests.simulation.shell.__main__ import main as run_shell
from tests.simulation.shrink import REGRESSIONS
from userstream.venues import REGISTRY

ROOT = Path(__file__).parents[2]
WAIT_S = 60
A_REGRESSION = sorted(REGRESSIONS.glob("*.json"))[0]

with_seeds = pytest.mark.parametrize("command", [run_simulation, run_shell, run_marathon, run_mutation])


def refused(command: Callable[[Sequence[str]], int], words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line in which a command refused its words."""
    with pytest.raises(SystemExit) as end:
        command(words)
    told = capsys.readouterr()
    assert (end.value.code, told.out, told.err.count("\n")) == (2, "", 1)
    return told.err


@with_seeds
@pytest.mark.parametrize("option", ["--seeds", "--jobs"])
@pytest.mark.parametrize("number", ["0", "-5", "many"])
def test_a_number_of_things_to_do_is_one_at_least(
    command: Callable[[Sequence[str]], int], option: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"argument {option}: " in refused(command, [f"{option}={number}"], capsys)


def test_no_round_is_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert "argument --rounds: 0 must be 1 or more" in refused(run_processes, ["--rounds", "0"], capsys)


@pytest.mark.parametrize("venue", sorted(REGISTRY.keys() - set(PLAYED)))
def test_a_product_that_cannot_be_played_is_refused_and_leaves_no_state(
    venue: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "binance-usdm" in refused(run_simulation, ["--venue", venue], capsys)
    assert "binance-usdm" in refused(run_marathon, ["--venue", venue, "--state", str(tmp_path / "state")], capsys)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_command_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise KeyboardInterrupt

    assert until_interrupted(work) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert until_interrupted(lambda: 1) == 1


def be_killed(held: Connection) -> None:
    """The parent of a worker, which it leaves behind."""
    worker = get_context("spawn").Process(target=wait_for_ever, args=(held,))
    worker.start()
    held.close()
    os.kill(os.getpid(), 9)


def wait_for_ever(held: Connection) -> None:
    begin_worker()
    get_context("spawn").Event().wait()


def test_a_worker_ends_with_its_parent() -> None:
    here, there = get_context("spawn").Pipe()
    parent = get_context("spawn").Process(target=be_killed, args=(there,))
    parent.start()
    there.close()
    assert here.poll(WAIT_S), "the worker still holds the pipe"
    with pytest.raises(EOFError):
        here.recv()
    parent.join()


def test_a_module_on_a_lifeline_ends_with_whoever_holds_it() -> None:
    code = "from tests.simulation.lifeline import Lifeline, command_on; import os, subprocess, time; line = Lifeline();"
    code += "subprocess.Popen(command_on('timeit', '-s', 'import time; print(1, flush=True)', 'time.sleep(600)'), stdin=line.end);"
    code += "time.sleep(600)"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"1\n"
        holder.kill()
        ended, _, _ = select.select([holder.stdout], [], [], WAIT_S)
        assert ended and holder.stdout.read() == b""


def test_a_kept_regression_is_played_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_simulation(["--replay", str(A_REGRESSION)]) == 0
    told = capsys.readouterr().out
    assert A_REGRESSION.name in told
    assert "1 played, 0 broke an invariant" in told
    assert run_simulation(["--replay", str(A_REGRESSION), "--json"]) == 0
    [played] = msgspec.json.decode(capsys.readouterr().out)["runs"]
    assert (played["file"], played["violation"]) == (str(A_REGRESSION), "")
    assert played["trace"] in told


def test_a_plan_that_was_drawn_is_the_plan_that_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(msgspec.json.encode(plan_of(3)))
    assert run_simulation(["--replay", str(path)]) == 0
    assert run(plan_of(3)).trace in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read"),
        ("{}", "no plan"),
        ('{"seed": 1, "venue": "binance-margin-risk"}', "must be one of"),
        ('{"seed": 1, "strikes": [{"at_ms": 1, "kind": "hail", "account": "alice", "seed": 1}]}', "'hail' is no fault"),
        ('{"seed": 1, "strikes": [{"at_ms": 1, "kind": "cut", "account": "eve", "seed": 1}]}', "'eve' is none of alice"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_in_one_line(
    content: str | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert run_simulation(["--replay", str(A_REGRESSION), str(path)]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert f"{path}" in captured.err
    assert told in captured.err


def test_kinds_that_were_never_hit_do_not_fill_the_screen() -> None:
    totals = Totals()
    kinds = [f"kind {number}" for number in range(MOST_NAMED + 1)]
    figures = {**figures_of(totals, None), "never hit": kinds}
    assert f"{'never hit':28} {MOST_NAMED + 1} kinds (--json names them)" in list(lines_of(figures, totals, json=False))
    few = [*lines_of({"never hit": kinds[:2], "trace": "x"}, totals, json=False)]
    assert few == [f"{'never hit':28} kind 0", f"{'':28} kind 1", f"{'trace':28} x"]
    assert list(lines_of({"never hit": []}, totals, json=False)) == [f"{'never hit':28} none"]
    [line] = lines_of(figures, totals, json=True)
    assert msgspec.json.decode(line)["never hit"] == kinds
