"""The database file: whose it is, how new it is, how it is opened, and what its errors mean."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing, suppress
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Final

import structlog

from userstream.adapters.sql import load_migrations, split_script
from userstream.kernel.errors import StoreError

_log = structlog.stdlib.get_logger("userstream.store")

APPLICATION_ID: Final = 0x75737472
"""How the file says that it is ours ("ustr")."""
OLDEST_SQLITE: Final = (3, 38)
BUSY_LIMIT_MS: Final = 5_000
MIGRATION_LIMIT_MS: Final = 300_000
LOG_TRIES: Final = 20
LARGEST_IDLE_LOG: Final = 64 << 20
ROWS_OF_STATEMENTS: Final = (64, 16, 4, 1)
_CACHED_STATEMENTS: Final = 256
LOGS: Final = ("-wal", "-journal")
"""What stands beside a database that is open, or was left by a crash."""
_OWNER_ALONE: Final = 0o600

_WHY_NOT_NEW: Final = "was written by an older version: start the program that writes it once with this version, then read it"
_WHY_EMPTY: Final = "holds no tables yet: if it is a copy, copy the file together with its -wal, or stop the program that writes it first"


class Remedy(Enum):
    """What can be done after an error of the database."""

    RETRY = "retry"
    REOPEN = "reopen"
    NONE = "none"


_REMEDIES: Final = {
    sqlite3.SQLITE_FULL: Remedy.RETRY,
    sqlite3.SQLITE_BUSY: Remedy.RETRY,
    sqlite3.SQLITE_LOCKED: Remedy.RETRY,
    # After a failed write or fsync nobody knows what the disk has; only reading the file afresh tells.
    sqlite3.SQLITE_IOERR: Remedy.REOPEN,
    sqlite3.SQLITE_CANTOPEN: Remedy.REOPEN,
    sqlite3.SQLITE_READONLY: Remedy.REOPEN,
    sqlite3.SQLITE_PERM: Remedy.REOPEN,
    sqlite3.SQLITE_PROTOCOL: Remedy.REOPEN,
    sqlite3.SQLITE_NOMEM: Remedy.REOPEN,
    sqlite3.SQLITE_INTERRUPT: Remedy.RETRY,
}

NOT_WRITABLE: Final = "this user must be able to read and write the file and its folder: change their owner or mode, or choose another path"
ADVICE: Final = {
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_IOERR: "check the disk and the limit of file sizes (ulimit -f)",
    sqlite3.SQLITE_CORRUPT: (
        "move it away and put a backup in its place (then run userstream db rejoin where PostgreSQL is filled): it also holds the registry"
        " with its encrypted keys, the tokens and the audit log. Without a backup, a new store reads what the venue still has; accounts"
        " and tokens have to be added again"
    ),
    sqlite3.SQLITE_READONLY: NOT_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: NOT_WRITABLE,
    sqlite3.SQLITE_PERM: NOT_WRITABLE,
}
"""What a person can do."""


def remedy_of(error: Exception) -> Remedy:
    """NONE for what trying again cannot heal: a damaged file, a broken rule of the tables, a value that does not fit."""
    code = getattr(error, "sqlite_errorcode", None)
    return _REMEDIES.get(code & 0xFF, Remedy.NONE) if isinstance(code, int) else Remedy.NONE


def store_error(error: Exception, path: Path) -> StoreError:
    """The error of the database, with what a person can do about it; the text of the database stays in it."""
    code = getattr(error, "sqlite_errorcode", None)
    advice = ADVICE.get(code & 0xFF) if isinstance(code, int) else None
    return StoreError(f"{path}: {error}: {advice}" if advice else f"{path}: {error}")


def check_sqlite_version(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> None:
    """Raises StoreError for a library that cannot read JSON as we need it."""
    if version < OLDEST_SQLITE:
        have, need = ".".join(map(str, version)), ".".join(map(str, OLDEST_SQLITE))
        raise StoreError(f"the SQLite library of this Python is {have}; the store needs {need} or newer")


def check_place(path: Path) -> None:
    """Raises StoreError where no store can be, before anything is made there."""
    if not _is_there(path) and not path.parent.is_dir():
        raise StoreError(f"the folder {path.parent} does not exist: create it, or choose another path")


def _is_there(path: Path) -> bool:
    """Whether there is a file. Raises StoreError for a folder, and for what can be no file."""
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        reason = (error.strerror or "it cannot be opened") if isinstance(error, OSError) else "no file can have this name"
        raise StoreError(f"no store can be at {str(path)!r}: {reason}; choose another path") from None
    if is_folder:
        raise StoreError(f"{path} is a folder: name a file in it, such as {path / 'userstream.db'}")
    return True


def check_owner(path: Path) -> None:
    """Raises StoreError, as `open_for_writing` does, for a file that is not ours or from the future. Makes nothing, not even beside it."""
    check_sqlite_version()
    if not _is_there(path):
        return
    _check_unopened(path)
    try:
        with closing(_open_uri(path, "mode=rw")) as connection:
            check_identity(connection, path)
    except sqlite3.Error as error:
        raise _explain(error, path) from None


def open_for_writing(
    path: Path, *, max_pages: int | None = None, factory: type[sqlite3.Connection] = sqlite3.Connection
) -> sqlite3.Connection:
    """Opens or creates the store and brings it to the newest form. Raises StoreError, in one line, for a file that is not ours."""
    check_sqlite_version()
    check_place(path)
    if _is_there(path):
        _check_unopened(path)
    _make_private(path)
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=_CACHED_STATEMENTS, factory=factory
        )
    except sqlite3.Error as error:
        raise store_error(error, path) from None
    try:
        check_identity(connection, path)
        _set_up(connection, path, max_pages)
        migrate(connection, path, load_migrations())
    except sqlite3.Error as error:
        connection.close()
        raise _explain(error, path) from None
    except StoreError:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write; works while another process writes. Raises StoreError for what is no store of this version."""
    check_sqlite_version()
    if not _is_there(path):
        raise StoreError(f"there is no store at {path}")
    _check_unopened(path)
    try:
        connection = _open_uri(path, "mode=ro")
    except sqlite3.Error as error:
        raise store_error(error, path) from None
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_LIMIT_MS}")
        version = check_identity(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise _explain(error, path) from None
    except StoreError:
        connection.close()
        raise
    if version < len(load_migrations()):
        connection.close()
        raise StoreError(f"{path} {_WHY_NOT_NEW if version else _WHY_EMPTY}")
    return connection


def check_pages(path: Path) -> None:
    """Reads the whole file. Raises StoreError for damage, and as `open_for_reading`."""
    connection = open_for_reading(path)
    try:
        [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise store_error(error, path) from None
    finally:
        connection.close()
    if found != "ok":
        raise StoreError(f"{path} is damaged ({' '.join(str(found).split())}): {ADVICE[sqlite3.SQLITE_CORRUPT]}")


def check_identity(connection: sqlite3.Connection, path: Path) -> int:
    """The number of the file's form, 0 for a new file. Raises StoreError if it is another program's or from the future."""
    owner, version, tables = _read_identity(connection)
    if owner == APPLICATION_ID:
        if version > len(load_migrations()):
            raise StoreError(f"{path} was written by a newer version of userstream (form {version}): update userstream")
        return version
    if owner or tables:
        raise StoreError(f"{path} is the database of another program: choose another path")
    return 0


def _read_identity(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Owner, form, and how many tables there are, all of one moment: another process may be making them."""
    connection.execute("BEGIN")
    try:
        [tables] = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        return _number(connection, "application_id"), _number(connection, "user_version"), int(tables)
    finally:
        roll_back(connection)


def migrate(connection: sqlite3.Connection, path: Path, migrations: tuple[str, ...]) -> None:
    """Runs the scripts that the file has not seen, each in a transaction of its own together with its number; whoever else does the same
    at the same time waits, and finds it done."""
    for number, script in enumerate(migrations, 1):
        if number <= _number(connection, "user_version"):
            continue
        if number > 1 and connection.execute("SELECT EXISTS (SELECT 1 FROM journal)").fetchone()[0]:
            _log.info("the store is brought to a newer form, some seconds for a gigabyte", action="store_migrated", path=str(path))
        _begin_step(connection)
        try:
            # another process may have been quicker while this one waited
            if number > _number(connection, "user_version"):
                _take_step(connection, number, script)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            roll_back(connection)
            raise StoreError(f"{path}: migration {number} failed and changed nothing: {error}") from error


def _begin_step(connection: sqlite3.Connection) -> None:
    """Waits longer than for a writer: an index over years of rows takes its time, and whoever starts meanwhile needs it too."""
    usual = _number(connection, "busy_timeout")
    connection.execute(f"PRAGMA busy_timeout = {MIGRATION_LIMIT_MS}")
    try:
        connection.execute("BEGIN IMMEDIATE")
    finally:
        connection.execute(f"PRAGMA busy_timeout = {usual}")


def _take_step(connection: sqlite3.Connection, number: int, script: str) -> None:
    for statement in split_script(script):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {number}")


def insert_many(connection: sqlite3.Connection, query: str, rows: Sequence[tuple[str | int | bytes | None, ...]]) -> None:
    """Runs an INSERT whose text holds `{rows}` with many rows a statement. Few sizes of statement, so that all stay prepared."""
    begin = 0
    for size in ROWS_OF_STATEMENTS:
        while len(rows) - begin >= size:
            part = rows[begin : begin + size]
            place = f"({', '.join('?' * len(part[0]))})"
            connection.execute(query.format(rows=", ".join([place] * size)), [value for row in part for value in row])
            begin += size


def roll_back(connection: sqlite3.Connection) -> None:
    """Ends a transaction that failed, if the database has not ended it already."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _check_unopened(path: Path) -> None:
    """Raises StoreError where the file, or a log beside it, says that it is not ours or from the future. Nothing is opened as a database
    would be: that leaves files beside it, and the last to close one writes its log into it. What cannot be told so is left to the
    opening."""
    try:
        image = _image_of(path)
        if image is not None:
            _check_copy(path, image)
            # a log that was folded in while it was copied is in the file now
            _image_of(path)
    except sqlite3.Error:
        return
    except OSError as error:
        why = error.strerror or "it cannot be copied"
        raise StoreError(f"{path}: nobody can tell whose it is without a copy of its log in {gettempdir()}: {why.lower()}") from None


def _image_of(path: Path) -> bytes | None:
    """The file alone; None where it says whose it is, or has no log that could. Read by the library, because a file that this process has
    open as a database loses its locks when it is closed by another way."""
    with closing(_open_uri(path, "mode=ro&immutable=1")) as connection:
        if check_identity(connection, path) or not _logs_of(path):
            return None
        return connection.serialize()


def _logs_of(path: Path) -> list[Path]:
    place = path.resolve()
    logs = (place.with_name(f"{place.name}{end}") for end in LOGS)
    return [log for log in logs if log.is_file() and log.stat().st_size]


def _check_copy(path: Path, image: bytes) -> None:
    with TemporaryDirectory(prefix="userstream-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / path.resolve().name
        copy.write_bytes(image)
        with suppress(FileNotFoundError):
            for log in _logs_of(path):
                shutil.copyfile(log, copy.with_name(log.name))
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            check_identity(connection, path)


def _open_uri(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, isolation_level=None, check_same_thread=False)


def _make_private(path: Path) -> None:
    """A new file holds the affairs of its owner alone; what SQLite puts beside it gets the same rights."""
    if _is_there(path):
        return
    # what is wrong with the place, SQLite says when it comes there
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), _OWNER_ALONE))


def _set_up(connection: sqlite3.Connection, path: Path, max_pages: int | None) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_LIMIT_MS}")
    mode = _start_log(connection)
    if mode != "wal":
        raise StoreError(f"{path}: this file system cannot hold a write-ahead log (it offers {mode}): choose a local disk")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # Old rows are venue messages, not secrets: overwriting them with zeros would double the cost of retention.
    connection.execute("PRAGMA secure_delete = OFF")
    # The log grows while somebody reads; once it is empty again the disk gets back what is above this.
    connection.execute(f"PRAGMA journal_size_limit = {LARGEST_IDLE_LOG}")
    if max_pages is not None:
        connection.execute(f"PRAGMA max_page_count = {max_pages}")


def _start_log(connection: sqlite3.Connection) -> str:
    """The mode that the file has then. Two who start the log of a new file at once hold each other up, and one of them is told so at once:
    it waits for the other's end, as everybody waits for a writer, and looks again."""
    for _ in range(LOG_TRIES):
        with suppress(sqlite3.OperationalError):
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        connection.execute("BEGIN IMMEDIATE")
        roll_back(connection)
    return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])


def _number(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _explain(error: sqlite3.Error, path: Path) -> StoreError:
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
        return StoreError(f"{path} is not a database: choose another path")
    return store_error(error, path)
