"""The log is brought into the file beside the commits, begins anew when it is long, and is never in the way."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from userstream.adapters.sqlite_file import open_for_writing
from userstream.adapters.sqlite_log import LONGEST_LOG, PAGES_OF_A_TURN, PATIENCE_PAGES, LogCopier, leave_log_alone, open_for_copying

PAGE = 4_096
LIMIT_S = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_for_writing(path)) as connection:
        leave_log_alone(connection)
        connection.execute("CREATE TABLE blobs (data BLOB)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield connection


def write(connection: sqlite3.Connection, pages: int) -> None:
    connection.execute("INSERT INTO blobs VALUES (zeroblob(?))", (pages * PAGE,))


def log_of(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


class Copies:
    """Opens the copier's connections, and counts them; the first so many opens fail, and each copy waits for `gate`."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures, self.opened = failures, 0
        self.gate, self.arrived = threading.Event(), threading.Event()
        self.gate.set()

    def open(self, path: Path) -> sqlite3.Connection:
        self.opened += 1
        self.arrived.set()
        assert self.gate.wait(LIMIT_S)
        if self.opened <= self.failures:
            raise sqlite3.OperationalError("disk I/O error")
        return open_for_copying(path)


def test_commits_leave_the_log_alone_and_the_copier_brings_it_into_the_file(path: Path, writer: sqlite3.Connection) -> None:
    empty, copier = path.stat().st_size, LogCopier(path)
    write(writer, 2 * PAGES_OF_A_TURN)
    assert path.stat().st_size == empty
    copier.note(PAGES_OF_A_TURN)
    copier.mind(writer)
    copier.end()
    assert path.stat().st_size > empty + 2 * PAGES_OF_A_TURN * PAGE


def test_what_is_not_worth_a_turn_waits(path: Path, writer: sqlite3.Connection) -> None:
    copies = Copies()
    copier = LogCopier(path, copies.open)
    for _ in range(3):
        copier.note(PAGES_OF_A_TURN // 4)
        copier.mind(writer)
    assert not copies.arrived.is_set()
    copier.note(PAGES_OF_A_TURN // 4)
    copier.mind(writer)
    copier.end()
    assert copies.opened == 1


def test_commits_go_on_while_it_copies(path: Path, writer: sqlite3.Connection) -> None:
    copies = Copies()
    copies.gate.clear()
    copier = LogCopier(path, copies.open)
    copier.note(PAGES_OF_A_TURN)
    copier.mind(writer)
    assert copies.arrived.wait(LIMIT_S)
    for _ in range(10):
        write(writer, 1)
        copier.note(PAGES_OF_A_TURN)
        copier.mind(writer)
    copies.gate.set()
    copier.end()
    assert copies.opened == 1
    assert writer.execute("SELECT count(*) FROM blobs").fetchone() == (10,)


def test_a_long_log_begins_anew(path: Path, writer: sqlite3.Connection) -> None:
    copier = LogCopier(path)
    write(writer, LONGEST_LOG + 1)
    long = log_of(path)
    copier.note(LONGEST_LOG)
    copier.mind(writer)
    copier.end()  # what it copied is known then
    write(writer, 10)  # came since: with it nobody could begin the log anew
    copier.mind(writer)
    write(writer, LONGEST_LOG // 2)
    assert log_of(path) == long


def test_a_log_that_is_read_still_is_not_begun_anew(path: Path, writer: sqlite3.Connection) -> None:
    copier = LogCopier(path)
    write(writer, 1)
    with closing(open_for_copying(path)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM blobs").fetchone() == (1,)
        write(writer, LONGEST_LOG + 1)
        long = log_of(path)
        copier.note(LONGEST_LOG)
        copier.mind(writer)
        copier.end()
        copier.mind(writer)
        write(writer, LONGEST_LOG // 2)
        assert log_of(path) > long
        assert reader.execute("SELECT count(*) FROM blobs").fetchone() == (1,)


def test_who_gets_no_copier_is_helped_by_the_database(path: Path, writer: sqlite3.Connection) -> None:
    empty = path.stat().st_size
    write(writer, PATIENCE_PAGES + 1)
    assert path.stat().st_size > empty + PATIENCE_PAGES * PAGE


def test_a_copy_that_fails_is_made_later(path: Path, writer: sqlite3.Connection) -> None:
    copies = Copies(failures=1)
    copier = LogCopier(path, copies.open)
    empty = path.stat().st_size
    write(writer, PAGES_OF_A_TURN)
    while copies.opened < 2:
        copier.note(PAGES_OF_A_TURN)
        copier.mind(writer)
    copier.end()
    assert path.stat().st_size > empty + PAGES_OF_A_TURN // 2 * PAGE


def test_who_needs_the_log_at_rest_waits_for_the_copy(path: Path, writer: sqlite3.Connection) -> None:
    copies = Copies()
    copies.gate.clear()
    copier = LogCopier(path, copies.open)
    copier.note(PAGES_OF_A_TURN)
    copier.mind(writer)
    assert copies.arrived.wait(LIMIT_S)
    waiting = threading.Thread(target=lambda: _stand_still(copier))
    waiting.start()
    assert waiting.is_alive()
    copies.gate.set()
    waiting.join(LIMIT_S)
    copier.end()
    assert not waiting.is_alive()


def _stand_still(copier: LogCopier) -> None:
    with copier.standing_still():
        pass


def test_without_a_connection_there_is_nothing_to_mind(path: Path, writer: sqlite3.Connection) -> None:
    copier = LogCopier(path)
    write(writer, LONGEST_LOG + 1)
    copier.note(LONGEST_LOG)
    copier.mind(None)
    copier.end()
    copier.mind(None)
    assert log_of(path) > LONGEST_LOG * PAGE


def test_an_end_without_a_beginning(path: Path) -> None:
    LogCopier(path).end()
    assert not path.exists()
