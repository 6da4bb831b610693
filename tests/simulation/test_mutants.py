"""The table of mutants fits the source, and the runner tells a mutant that is caught from one that survives."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.simulation.lifeline import Lifeline
from tests.simulation.mutants import Edit, Layer, Mutant
from tests.simulation.mutation import ALL as MUTANTS
from tests.simulation.mutation import CONTROL, PACKAGE, ROOT, BadMutant, chosen, edited, main, mutated, try_out

LEAST_MUTANTS = 25
each_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


@pytest.fixture
def lifeline() -> Iterator[Lifeline]:
    with Lifeline() as held:
        yield held


def named(name: str) -> Mutant:
    return next(mutant for mutant in MUTANTS if mutant.name == name)


@each_mutant
def test_each_old_text_is_there_once_and_the_changed_files_compile(mutant: Mutant) -> None:
    changed = mutated(mutant, ROOT / PACKAGE)
    assert changed
    for name, source in changed.items():
        assert source != (ROOT / PACKAGE / name).read_text(encoding="utf-8")
        ast.parse(source, filename=name)


def test_the_table_is_long_enough_and_names_each_mutant_once() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) >= LEAST_MUTANTS
    assert all(mutant.safeguard for mutant in MUTANTS)


def test_tests_are_named_where_they_hunt_and_nowhere_else() -> None:
    assert [mutant.name for mutant in MUTANTS if bool(mutant.tests) is not (mutant.layer is Layer.TESTS)] == []


def test_a_mutant_of_the_shell_is_caught_by_seeds_of_the_shell(lifeline: Lifeline) -> None:
    row = try_out(named("the end of a socket is not told"), seeds=60, lifeline=lifeline)
    assert (row.verdict, row.is_good) == ("caught", True)


def test_a_mutant_may_be_caught_by_tests_that_it_names(lifeline: Lifeline) -> None:
    caught = try_out(named("a stale dial is kept"), seeds=0, lifeline=lifeline)
    assert (caught.verdict, caught.violation) == ("caught", "a test")


def test_each_edit_changes_its_text() -> None:
    assert [mutant.name for mutant in MUTANTS for edit in mutant.edits if edit.old == edit.new] == []


@pytest.mark.parametrize("source", ["", "a text twice: a text"])
def test_an_old_text_that_is_not_there_once_is_refused(source: str) -> None:
    with pytest.raises(BadMutant, match=r"books\.py"):
        edited(source, Edit("wire/books.py", "a text", "another"))


def test_the_second_edit_of_a_file_finds_the_first_done(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one = 1\n", encoding="utf-8")
    mutant = Mutant(name="two", safeguard="", edits=(Edit("a.py", "one = 1", "two = 2"), Edit("a.py", "two = 2", "three = 3")))
    assert mutated(mutant, tmp_path) == {"a.py": "three = 3\n"}


def test_a_mutant_is_caught_and_the_true_source_is_not(lifeline: Lifeline) -> None:
    caught = try_out(named("fills are not deduplicated"), seeds=3, lifeline=lifeline)
    assert (caught.verdict, caught.violation, caught.is_good) == ("caught", "I2", True)
    control = try_out(CONTROL, seeds=2, lifeline=lifeline)
    assert (control.verdict, control.seed, control.is_good) == ("survived", None, True)


def test_a_mutant_that_cannot_run_proves_nothing(lifeline: Lifeline) -> None:
    slip = Edit("wire/books.py", "        self._epoch = 0\n", "        self._epoch = no_such_name\n")
    row = try_out(Mutant(name="a slip", safeguard="", edits=(slip,)), seeds=1, lifeline=lifeline)
    assert (row.verdict, row.is_good) == ("broken", False)
    assert "NameError" in f"{row.violation}{row.text}"


def test_without_names_all_mutants_and_the_true_source_are_run() -> None:
    assert chosen([]) == [CONTROL, *MUTANTS]
    assert chosen(["no drain"]) == [named("no drain")]


def test_a_name_that_is_none_ends_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "no brain"]) == 2
    assert "no drain" in capsys.readouterr().err


def test_a_mutant_that_survives_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "forgotten fills are news again", "--seeds", "1"]) == 1
    told = capsys.readouterr().out
    assert "  1 of the 2,000 seeds of the measure\n" in told
    assert "not so: forgotten fills are news again" in told


def test_the_table_can_be_had_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "(none)", "--seeds", "1", "--json"]) == 0
    [row] = msgspec.json.decode(capsys.readouterr().out)
    assert (row["name"], row["verdict"]) == ("(none)", "survived")


def test_a_hunt_ends_when_nobody_holds_its_lifeline_any_more(lifeline: Lifeline) -> None:
    lifeline.let_go()
    row = try_out(CONTROL, seeds=1_000_000, lifeline=lifeline)
    assert (row.verdict, row.text) == ("broken", "the process ended without a word")


def test_tests_that_are_not_there_catch_nothing(lifeline: Lifeline) -> None:
    named_wrongly = msgspec.structs.replace(named("a stale dial is kept"), tests=("tests/unit/runtime/test_sockets.py::test_of_nothing",))
    assert try_out(named_wrongly, seeds=0, lifeline=lifeline).verdict == "broken"
