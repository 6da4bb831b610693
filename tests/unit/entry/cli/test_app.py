"""The command line as a whole: words it knows, words it does not, and what errors become."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from cyclopts import Parameter

from userstream.entry.cli import OK, USAGE, main, run_command
from userstream.entry.cli.app import COMMANDS

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_function_of_its_module_with_an_example(name: str, capsys: Capture) -> None:
    command = getattr(import_module(COMMANDS[name]), name)
    assert f"userstream {name}" in command.__doc__
    assert run_command([name, "--help"]) == OK
    assert f"userstream {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name: str, capsys: Capture) -> None:
    hints = get_type_hints(getattr(import_module(COMMANDS[name]), name), include_extras=True)
    told = {
        option: [note.help for note in get_args(hint)[1:] if isinstance(note, Parameter)]
        for option, hint in hints.items()
        if option != "return"
    }
    assert told
    assert [option for option, helps in told.items() if not any(helps)] == []
    assert run_command([name, "--help"]) == OK
    assert re.findall(r"--(?:no|empty)-\w+", capsys.readouterr().out) == []


@pytest.mark.parametrize(("name", "page"), [("simulate", "paper-exchange"), ("demo", "paper-exchange"), ("run", "configuration")])
def test_the_help_names_the_page_that_says_more(name: str, page: str, capsys: Capture) -> None:
    assert (Path(__file__).parents[4] / "docs" / "reference" / f"{page}.md").is_file()
    assert run_command([name, "--help"]) == OK
    assert f"docs/reference/{page}.md" in "".join(capsys.readouterr().out.replace("│", "").split())


def test_without_words_the_commands_are_listed(capsys: Capture) -> None:
    assert run_command([]) == OK
    told = capsys.readouterr().out
    assert all(name in told for name in COMMANDS)


def test_the_version_is_told(capsys: Capture) -> None:
    assert run_command(["--version"]) == OK
    assert capsys.readouterr().out.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("words", "help_line"),
    [(["nonsense"], "userstream --help"), (["tail"], "userstream tail --help"), (["decode", "--venue"], "userstream decode --help")],
)
def test_unknown_words_point_to_the_help(words: list[str], help_line: str, capsys: Capture) -> None:
    assert run_command(words) == USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(f"Try: {help_line}\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["decode"], "decode needs --venue, which is missing: Whose frames they are"),
        (["decode", "--venue"], "--venue needs a value: Whose frames they are"),
        (["tail"], "tail needs STORE, which is missing: The database file."),
        (["audit"], "audit needs ACCOUNT, which is missing: The account's name in the store."),
        (["accounts", "add"], "accounts add needs NAME, which is missing: The account's name."),
        (["run", "--config", "--nothing", "here"], "--config needs a value"),
        (["run", "my.toml"], "run has no use for 'my.toml'"),
        (["doctor", "a", "b"], "doctor has no use for 'a b'"),
    ],
)
def test_what_is_missing_or_left_over_is_named_and_an_example_is_given(words: list[str], told: str, capsys: Capture) -> None:
    assert run_command(words) == USAGE
    first, example, where = capsys.readouterr().err.splitlines()
    command = "accounts add" if words[0] == "accounts" else words[0]
    assert first.startswith(f"userstream: {told}")
    assert example.startswith("Example: ") and f"userstream {command} " in example
    assert where == f"Try: userstream {command} --help"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["simulate", "--port", "abc"], "--port 'abc' is not a whole number"),
        (["tail", "x.db", "--last", "many"], "--last 'many' is not a whole number"),
        (["demo", "--accounts", "1.5"], "--accounts '1.5' is not a whole number"),
        (["tail", "x.db", "--last", "1.5"], "--last '1.5' is not a whole number"),
        (["demo", "--rate", "fast"], "--rate 'fast' is not a number"),
        (["run", "--secnods", "3"], "Did you mean --seconds?"),
        (["state", "x.db", "--orders", "some"], 'Choose from: "open", "all".'),
    ],
)
def test_words_that_cannot_be_are_told_in_one_line(words: list[str], told: str, capsys: Capture) -> None:
    assert run_command(words) == USAGE
    first, where = capsys.readouterr().err.splitlines()
    assert first.startswith("userstream: ") and told in first
    assert where == f"Try: userstream {words[0]} --help"


def test_the_console_script_exits_with_the_code(tmp_path: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["state", str(tmp_path / "absent.db")])
    assert caught.value.code == USAGE
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--accounts", "0"],
        ["--accounts", "201"],
        ["--rate", "0"],
        ["--rate", "nan"],
        ["--rate", "inf"],
        ["--rate", "10001"],
        ["--seconds", "-1"],
        ["--seconds", "nan"],
        ["--port", "70000"],
    ],
)
def test_a_demo_that_cannot_be(words: list[str], capsys: Capture) -> None:
    assert run_command(["demo", *words]) == USAGE
    assert words[0] in capsys.readouterr().err


def test_a_demo_with_a_script_that_cannot_be(tmp_path: Path, capsys: Capture) -> None:
    assert run_command(["demo", "--script", str(tmp_path / "absent.json")]) == USAGE
    assert "absent.json" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_run_has_a_length(seconds: str, capsys: Capture) -> None:
    assert run_command(["run", "--seconds", seconds]) == USAGE
    assert "--seconds" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--seconds", "soon"], ["--config"], ["--nonsense"]])
def test_a_run_that_cannot_be(words: list[str], capsys: Capture) -> None:
    assert run_command(["run", *words]) == USAGE
    assert "Try: userstream run --help" in capsys.readouterr().err


@pytest.mark.parametrize("patience", ["0", "-1", "nan", "inf"])
def test_the_doctor_s_patience_has_a_length(patience: str, capsys: Capture) -> None:
    assert run_command(["doctor", "--patience", patience]) == USAGE
    assert "--patience" in capsys.readouterr().err
