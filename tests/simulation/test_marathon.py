"""A long run that is killed goes on where it was, and does not mix what does not belong together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.simulation.campaign import SEEDS_OF_A_TASK, Totals, run_some
from tests.simulation.marathon import BadState, Course, State, digest_of_sources, fault_table, main, run_rest, totals_of
from tests.simulation.plan import Profile

COURSE = Course(first=0, seeds=2 * SEEDS_OF_A_TASK, venue="binance-usdm", sources="s")
DONE = Totals(seeds=25, fills=3, cpu_s=0.5, hits=Counter({"cut": 2}), lateness_ms=Counter({9: 3}), traces=[(1, "ab")])


def test_what_was_kept_is_there_after_a_kill_and_a_torn_line_is_not(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.touch()  # killed before the first line
    State(path, COURSE).keep(range(25), DONE)
    State(path, COURSE).keep(range(25, 50), DONE)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    again = State(path, COURSE)
    assert again.done == {0: DONE}
    again.keep(range(25, 50), DONE)
    assert path.read_bytes() == whole
    assert State(path, COURSE).done == {0: DONE, 25: DONE}


@pytest.mark.parametrize("other", [{"first": 7}, {"seeds": 100}, {"venue": "binance-spot"}, {"sources": "t"}])
def test_the_state_of_another_run_is_refused_by_name(tmp_path: Path, other: dict[str, object]) -> None:
    State(tmp_path / "state", COURSE)
    with pytest.raises(BadState, match=f"{next(iter(other))}: "):
        State(tmp_path / "state", msgspec.structs.replace(COURSE, **other))


@pytest.mark.parametrize("content", [b"\n", b"what is this\n", b'{"first":1}\n'])
def test_a_file_that_is_no_state_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(BadState, match="no state"):
        State(path, COURSE)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_told_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--state", str(tmp_path / "not there" / "state"), "--seeds", "1"]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.timeout(120)
def test_a_run_in_parts_comes_to_what_a_run_in_one_comes_to(tmp_path: Path) -> None:
    path = tmp_path / "state"
    begun = run_rest(State(path, COURSE), COURSE, jobs=1)
    assert next(begun) == SEEDS_OF_A_TASK
    begun.close()
    again = State(path, COURSE)
    assert len(again.done) == 1
    assert list(run_rest(again, COURSE, jobs=1)) == [COURSE.seeds]
    totals = totals_of(State(path, COURSE).done.values())
    whole = run_some(range(COURSE.seeds), COURSE.venue, Profile.SWARM)
    assert (totals.trace, totals.hits, totals.lateness_ms, totals.fills) == (whole.trace, whole.hits, whole.lateness_ms, whole.fills)
    assert list(run_rest(again, COURSE, jobs=1)) == []


def test_the_table_marks_what_was_too_rare() -> None:
    lines = list(fault_table(Counter({"cut": 20, "kill": 19}), 2_000))
    assert lines[1:] == [f"{'kill':28}    19  too rare", f"{'cut':28}    20"]


def test_other_sources_have_another_digest(tmp_path: Path) -> None:
    source = tmp_path / "src" / "userstream" / "a.py"
    source.parent.mkdir(parents=True)
    source.write_text("one = 1\n", encoding="utf-8")
    before = digest_of_sources(tmp_path)
    assert digest_of_sources(tmp_path) == before
    source.write_text("one = 2\n", encoding="utf-8")
    assert digest_of_sources(tmp_path) != before
