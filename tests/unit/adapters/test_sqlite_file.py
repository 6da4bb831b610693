"""Whose file it is, and what its errors mean."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.records import make_batch, row_of_records
from userstream.adapters.file_lock import FileLock
from userstream.adapters.sql import load_migrations, split_script
from userstream.adapters.sqlite_file import (
    APPLICATION_ID,
    Remedy,
    check_owner,
    check_place,
    check_sqlite_version,
    insert_many,
    migrate,
    open_for_reading,
    open_for_writing,
    remedy_of,
    store_error,
)
from userstream.adapters.sqlite_rows import insert_rows, read_last_sequences
from userstream.kernel.errors import StoreError

FORM_WITHOUT_PLACES: Final = 7


def number(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_file_says_whose_it_is_and_is_safe(tmp_path: Path) -> None:
    with closing(open_for_writing(tmp_path / "a.db")) as connection:
        assert number(connection, "application_id") == APPLICATION_ID
        assert number(connection, "user_version") == len(load_migrations())
        assert (number(connection, "journal_mode"), number(connection, "synchronous"), number(connection, "foreign_keys")) == ("wal", 2, 1)
        assert number(connection, "busy_timeout") == 5_000


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    open_for_writing(tmp_path / "a.db").close()
    open_for_reading(tmp_path / "a.db").close()


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("opener", [open_for_writing, open_for_reading, check_owner])
def test_another_programs_database_is_left_alone(tmp_path: Path, opener: object, mode: str) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute(f"PRAGMA journal_mode = {mode}")
        theirs.execute("CREATE TABLE recipes (name)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"theirs\.db is the database of another program: choose another path"):
        opener(path)  # type: ignore[operator]
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["theirs.db"]


def test_another_programs_mark_is_respected_even_without_tables(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as theirs:
        theirs.execute("PRAGMA application_id = 77")
    with pytest.raises(StoreError, match="another program"):
        open_for_writing(tmp_path / "a.db")


@pytest.mark.parametrize("opener", [open_for_writing, open_for_reading, check_owner])
def test_a_database_that_its_program_has_open_is_known_by_its_log(tmp_path: Path, opener: object) -> None:
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as theirs:
        theirs.execute("PRAGMA journal_mode = WAL")
        theirs.execute("CREATE TABLE recipes (name)")
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if not file.name.endswith("-shm")}
        with pytest.raises(StoreError, match="another program"):
            opener(tmp_path / "theirs.db")  # type: ignore[operator]
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if not file.name.endswith("-shm")} == before
        assert theirs.execute("SELECT count(*) FROM recipes").fetchone() == (0,)


@pytest.mark.parametrize("opener", [open_for_writing, open_for_reading, check_owner])
@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_the_log_of_another_programs_crash_is_not_folded_into_its_file(tmp_path: Path, opener: object, mode: str) -> None:
    leave_after_crash(tmp_path / "theirs.db", mode)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert len(before) == 2
    with pytest.raises(StoreError, match="another program"):
        opener(tmp_path / "theirs.db")  # type: ignore[operator]
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def leave_after_crash(path: Path, mode: str) -> None:
    """A database of another program as a crash leaves it: all that tells whose it is stands in the log, or the log undoes its loss."""
    with closing(sqlite3.connect(path.with_name("made.db"), isolation_level=None)) as theirs:
        theirs.execute(f"PRAGMA journal_mode = {mode}")
        theirs.execute("CREATE TABLE recipes (name)")
        if mode == "DELETE":
            theirs.execute("PRAGMA cache_size = 1")
            theirs.execute("PRAGMA cache_spill = 1")
            theirs.execute("BEGIN")
            theirs.execute("DROP TABLE recipes")
            theirs.execute(
                "CREATE TABLE later AS WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 900)"
                " SELECT hex(zeroblob(400)) AS x FROM n"
            )
            theirs.execute("DROP TABLE later")
        for end in ("", "-wal", "-journal"):
            with suppress(FileNotFoundError):
                path.with_name(f"{path.name}{end}").write_bytes(path.with_name(f"made.db{end}").read_bytes())
    for left in path.parent.glob("made.db*"):
        left.unlink()


def test_what_our_own_crash_left_in_the_log_is_taken_up(tmp_path: Path) -> None:
    with closing(open_for_writing(tmp_path / "made.db")) as ours:
        ours.execute("INSERT INTO removed (account, sequence) VALUES ('a', 1)")
        for end in ("", "-wal"):
            (tmp_path / f"a.db{end}").write_bytes((tmp_path / f"made.db{end}").read_bytes())
    check_owner(tmp_path / "a.db")
    with closing(open_for_writing(tmp_path / "a.db")) as connection:
        assert connection.execute("SELECT account FROM removed").fetchall() == [("a",)]


def test_who_waits_while_another_brings_the_file_up_finds_it_done(tmp_path: Path) -> None:
    path, scripts = tmp_path / "a.db", load_migrations()
    with closing(sqlite3.connect(path, isolation_level=None)) as quick, closing(sqlite3.connect(path, check_same_thread=False)) as slow:
        slow.isolation_level = None
        quick.execute("PRAGMA journal_mode = WAL")
        migrate(quick, path, scripts[:-1])
        waits = threading.Event()
        slow.execute("PRAGMA busy_timeout = 1")
        slow.set_trace_callback(lambda statement: waits.set() if statement.startswith("BEGIN") else None)
        quick.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as threads:
            ending = threads.submit(migrate, slow, path, scripts)
            assert waits.wait(10)
            for statement in split_script(scripts[-1]):
                quick.execute(statement)
            quick.execute(f"PRAGMA user_version = {len(scripts)}")
            quick.execute("COMMIT")
            ending.result(10)
        assert (number(slow, "user_version"), number(slow, "busy_timeout")) == (len(scripts), 1)


OPEN_WHEN_TOLD = (
    "import sys; from pathlib import Path; from userstream.adapters.sqlite_file import open_for_writing\n"
    "print('there', flush=True)\n"
    "for line in sys.stdin: open_for_writing(Path(line.strip())).close(); print('opened', flush=True)"
)


@pytest.mark.parametrize("form", [0, 2])
def test_two_processes_that_start_at_once_both_end_well(tmp_path: Path, form: int) -> None:
    command = [sys.executable, "-c", OPEN_WHEN_TOLD]
    with ExitStack() as stack:
        pair = [stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)) for _ in range(2)]
        assert [child.stdout.readline() for child in pair if child.stdout] == ["there\n"] * 2
        for turn in range(20):
            path = tmp_path / f"{turn}.db"
            if form:
                with closing(sqlite3.connect(path, isolation_level=None)) as old:
                    old.execute("PRAGMA journal_mode = WAL")
                    migrate(old, path, load_migrations()[:form])
            for child in pair:
                print(path, file=child.stdin, flush=True)
            assert [child.stdout.readline() for child in pair if child.stdout] == ["opened\n"] * 2
            open_for_reading(path).close()
        for child in pair:
            assert child.stdin is not None
            child.stdin.close()
    assert [child.returncode for child in pair] == [0, 0]


def test_what_may_be_begun_or_goes_on_has_no_other_owner(tmp_path: Path) -> None:
    check_owner(tmp_path / "new.db")
    assert list(tmp_path.iterdir()) == []
    with closing(open_for_writing(tmp_path / "a.db")):
        check_owner(tmp_path / "a.db")
        open_for_reading(tmp_path / "a.db").close()
    check_owner(tmp_path / "a.db")
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]


@pytest.mark.parametrize("opener", [open_for_writing, open_for_reading, check_owner])
def test_a_file_from_the_future_is_not_touched(tmp_path: Path, opener: object) -> None:
    with closing(open_for_writing(tmp_path / "a.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"newer version of userstream \(form 99\): update userstream"):
        opener(tmp_path / "a.db")  # type: ignore[operator]
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]


def test_a_file_from_the_past_is_brought_up_by_the_writer_only(tmp_path: Path) -> None:
    with closing(open_for_writing(tmp_path / "a.db")) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(StoreError, match="older version: start the program that writes it once with this version"):
        open_for_reading(tmp_path / "a.db")


def test_a_copy_without_its_log_is_told_what_it_lacks(tmp_path: Path) -> None:
    with closing(open_for_writing(tmp_path / "a.db")):
        (tmp_path / "copy.db").write_bytes((tmp_path / "a.db").read_bytes())
    with pytest.raises(StoreError, match="holds no tables yet: if it is a copy, copy the file together with its -wal, or stop the program"):
        open_for_reading(tmp_path / "copy.db")


@pytest.mark.parametrize("opener", [open_for_writing, open_for_reading, check_owner])
def test_what_is_no_database_is_called_so(tmp_path: Path, opener: object) -> None:
    (tmp_path / "notes.txt").write_text("buy low, sell high\n" * 100)
    with pytest.raises(StoreError, match=r"notes\.txt is not a database: choose another path"):
        opener(tmp_path / "notes.txt")  # type: ignore[operator]


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    for opener in (open_for_writing, open_for_reading):
        with pytest.raises(StoreError, match=rf"{re.escape(str(tmp_path))} is a folder: name a file in it, such as .*userstream\.db"):
            opener(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["", ".", "/", ".."])
def test_a_path_without_a_name_is_a_folder(path: str) -> None:
    with pytest.raises(StoreError, match="is a folder: name a file in it"):
        check_place(Path(path))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"the folder .*nowhere does not exist: create it, or choose another path"):
        open_for_writing(tmp_path / "nowhere" / "a.db")


@pytest.mark.parametrize("path", ["a\0b.db", "b" * 300])
def test_a_name_that_no_file_can_have(tmp_path: Path, path: str) -> None:
    with pytest.raises(StoreError, match=r"no file can have this name|File name too long"):
        check_place(tmp_path / path)


def test_a_reader_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        open_for_reading(tmp_path / "a.db")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    open_for_writing(tmp_path / "a.db").close()
    with closing(open_for_reading(tmp_path / "a.db")) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM journal")


def test_migrations_run_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    scripts = (*load_migrations(), "ALTER TABLE removed ADD COLUMN note TEXT;", "INSERT INTO removed VALUES ('a', 1, 'c');")
    with closing(open_for_writing(path)) as connection:
        migrate(connection, path, scripts)
        migrate(connection, path, scripts)
        assert connection.execute("SELECT * FROM removed").fetchall() == [("a", 1, "c")]
        assert number(connection, "user_version") == len(scripts)


def test_a_journal_of_the_form_before_is_taken_over_row_by_row(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.db", make_batch(row_of_records(5) + row_of_records(5, account="bob"), 7).rows
    with closing(sqlite3.connect(path, isolation_level=None)) as before:
        before.execute("PRAGMA journal_mode = WAL")
        migrate(before, path, load_migrations()[:FORM_WITHOUT_PLACES])
        insert_rows(before, rows)
    with closing(open_for_writing(path)) as connection:
        told = connection.execute("SELECT * FROM journal ORDER BY position").fetchall()
        assert told == [row.parameters() for row in rows]
        assert read_last_sequences(connection) == {"alice": 5, "bob": 5}


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    scripts = (*load_migrations(), "CREATE TABLE half (x);\nCREATE TABLE half (x);")
    with closing(open_for_writing(path)) as connection:
        with pytest.raises(StoreError, match="failed and changed nothing"):
            migrate(connection, path, scripts)
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone() == (0,)
        assert number(connection, "user_version") == len(load_migrations())


def test_an_old_library_is_named_with_its_version() -> None:
    check_sqlite_version((3, 38, 0))
    with pytest.raises(StoreError, match=r"is 3\.37\.2; the store needs 3\.38 or newer"):
        check_sqlite_version((3, 37, 2))


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (sqlite3.SQLITE_FULL, Remedy.RETRY),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Remedy.RETRY),
        (sqlite3.SQLITE_IOERR_FSYNC, Remedy.REOPEN),
        (sqlite3.SQLITE_IOERR_WRITE, Remedy.REOPEN),
        (sqlite3.SQLITE_READONLY, Remedy.REOPEN),
        (sqlite3.SQLITE_CORRUPT, Remedy.NONE),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, Remedy.NONE),
    ],
)
def test_each_error_has_its_remedy(code: int, remedy: Remedy) -> None:
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = code
    assert remedy_of(error) is remedy


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (sqlite3.SQLITE_FULL, "make room on its disk"),
        (sqlite3.SQLITE_IOERR_WRITE, "check the disk"),
        (sqlite3.SQLITE_CORRUPT, "put a backup in its place (then run userstream db rejoin where PostgreSQL is filled)"),
        (sqlite3.SQLITE_CORRUPT, "the registry with its encrypted keys, the tokens and the audit log"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "this user must be able to read and write the file and its folder"),
        (sqlite3.SQLITE_CANTOPEN, "this user must be able to read and write the file and its folder"),
        (sqlite3.SQLITE_PERM, "change their owner or mode"),
    ],
)
def test_an_error_is_told_with_what_a_person_can_do(code: int, advice: str) -> None:
    error = sqlite3.OperationalError("words of the database")
    error.sqlite_errorcode = code
    told = str(store_error(error, Path("a.db")))
    assert told.startswith("a.db: words of the database: ")
    assert advice in told
    assert str(store_error(OverflowError("too large"), Path("a.db"))) == "a.db: too large"


def test_a_damaged_file_is_told_with_what_a_person_can_do(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_for_writing(path).close()
    path.write_bytes(path.read_bytes()[:5_000])
    for opener in (open_for_writing, open_for_reading):
        with pytest.raises(StoreError, match=r"malformed: move it away and put a backup .* a new store reads what the venue still has"):
            opener(path)


def test_an_error_that_is_not_the_databases_has_no_remedy() -> None:
    assert remedy_of(OverflowError("too large")) is Remedy.NONE


@pytest.mark.parametrize("count", [0, 1, 5, 64, 65, 150])
def test_many_rows_of_any_number_arrive_in_order(tmp_path: Path, count: int) -> None:
    with closing(open_for_writing(tmp_path / "a.db")) as connection:
        insert_many(connection, "INSERT INTO removed (account, sequence) VALUES {rows}", [(str(place), place) for place in range(count)])
        found = connection.execute("SELECT account FROM removed ORDER BY rowid").fetchall()
        assert found == [(str(place),) for place in range(count)]


def test_one_lock_at_a_time_and_again_after_release(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "a.db.lock"), FileLock(tmp_path / "a.db.lock")
    first.take()
    with pytest.raises(StoreError, match=r"a\.db is in use by process \d+: stop it, or choose another path"):
        second.take()
    first.release()
    first.release()
    second.take()
    second.release()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from userstream.adapters.file_lock import FileLock;"
        "FileLock(Path(sys.argv[1])).take(); print('taken', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.db.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "taken\n"
        with pytest.raises(StoreError, match=f"in use by process {child.pid}:"):
            FileLock(tmp_path / "a.db.lock").take()
        child.kill()
    lock = FileLock(tmp_path / "a.db.lock")
    lock.take()
    lock.release()


def test_a_lock_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write .*: not a directory"):
        FileLock(tmp_path / "file" / "a.db.lock").take()
