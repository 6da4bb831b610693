"""Findings that need no venue: room, the database and its form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.postgres import drop_database, make_database
from userstream.adapters.postgres_migrations import Form, load_steps
from userstream.adapters.sqlite_file import open_for_writing
from userstream.entry.cli import run_command
from userstream.entry.cli.findings import check_database, is_ready_store, judge_form, judge_room
from userstream.entry.storage import PostgresTarget
from userstream.kernel.secret import Secret

NEWEST = len(load_steps())


@pytest.mark.parametrize(
    ("free", "verdict", "words"),
    [(5 << 30, "ok", "5.0 GiB"), (300 << 20, "warning", "300.0 MiB"), (3 << 20, "problem", "3.0 MiB free in here: make room")],
)
def test_the_less_room_is_left_the_louder_it_is_told(free: int, verdict: str, words: str) -> None:
    found = judge_room(free, Path("here"))
    assert found.verdict == verdict
    assert found.words.startswith(words)


@pytest.mark.parametrize(
    ("form", "migrates", "verdict", "words"),
    [
        (Form(NEWEST, 1), True, "ok", f"desk can be reached; its tables have the form {NEWEST}"),
        (Form(0, 0), True, "ok", f"desk can be reached; its tables are brought to the form {NEWEST} by the next start"),
        (Form(0, 0), False, "problem", "PostgreSQL at desk: the database holds no tables yet: run userstream db migrate"),
        (Form(1, 1), False, "problem", f"has the form 1, this version needs {NEWEST}: run userstream db migrate"),
        (Form(99, 99), True, "problem", "changed by a newer version of userstream (form 99): update userstream"),
        (Form(99, 1), False, "ok", "its tables have the form 99"),
    ],
)
def test_a_database_is_judged_by_its_form_and_by_who_may_change_it(form: Form, migrates: bool, verdict: str, words: str) -> None:
    found = judge_form(form, "desk", migrates=migrates)
    assert (found.verdict, words in found.words) == (verdict, True), found


async def test_a_server_that_is_away_is_a_problem_without_its_password() -> None:
    found = await check_database(PostgresTarget(url=Secret("postgresql://desk:canary@127.0.0.1:9/desk")))
    assert found.verdict == "problem" and "127.0.0.1:9/desk" in found.words and "canary" not in found.words
    assert (await check_database(PostgresTarget(url=Secret("mysql://x")))).verdict == "problem"


@pytest.mark.postgres
async def test_a_server_that_answers_is_looked_at_and_not_changed() -> None:
    url = await make_database()
    try:
        for migrates, verdict in ((True, "ok"), (False, "problem"), (False, "problem")):
            assert (await check_database(PostgresTarget(url=Secret(url), migrate=migrates))).verdict == verdict
    finally:
        await drop_database(url)


def test_only_a_store_of_this_version_is_ready(tmp_path: Path) -> None:
    assert not is_ready_store(tmp_path / "a.db")
    assert not (tmp_path / "a.db").exists()
    connection = open_for_writing(tmp_path / "a.db")
    assert is_ready_store(tmp_path / "a.db")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert not is_ready_store(tmp_path / "a.db")


def test_the_doctor_shows_its_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "--help"]) == 0
    assert "Example: userstream doctor" in capsys.readouterr().out
