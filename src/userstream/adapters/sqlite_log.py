"""The log of the database: brought into the file beside the commits, by a thread of its own.

A database that does it by itself does it at the end of a commit: some megabytes are then written and waited for while everything else that
came in has to wait too.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from userstream.adapters.sqlite_file import BUSY_LIMIT_MS

PAGES_OF_A_TURN: Final = 1_000
"""About so much is written before it is copied. More at once would hold up the disk under the commits."""

LONGEST_LOG: Final = 8_000
"""Pages. Copied beside the commits alone it would hardly ever be empty, and grow: one so long is brought to its end by who writes."""

PATIENCE_PAGES: Final = 4 * LONGEST_LOG
"""From here on the database helps itself, because nobody else does."""


def leave_log_alone(connection: sqlite3.Connection) -> None:
    """The connection's commits copy nothing, unless the log has become so long that nobody else can be doing it."""
    connection.execute(f"PRAGMA wal_autocheckpoint = {PATIENCE_PAGES}")


def open_for_copying(path: Path) -> sqlite3.Connection:
    """A connection to a file that is open already, for this work alone."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_LIMIT_MS}")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


class LogCopier:
    """Belongs to the thread that writes, which alone calls it. What fails here is tried again later, and nothing is lost by it: the log
    has what the file has not."""

    def __init__(self, path: Path, connect: Callable[[Path], sqlite3.Connection] = open_for_copying) -> None:
        self._path, self._connect = path, connect
        self._wishes: SimpleQueue[bool] = SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None
        self._turn = threading.Lock()
        self._pages = 0
        self._is_asked = self._is_long = False

    def note(self, pages: int) -> None:
        """About so many pages were written to the log."""
        self._pages += pages

    def mind(self, connection: sqlite3.Connection | None) -> None:
        """Between two transactions of `connection`: has copied what is worth a turn. Hardly ever waits for the disk."""
        if self._is_long and connection is not None:
            self._is_long = False
            _finish(connection)
        if self._pages >= PAGES_OF_A_TURN and not self._is_asked:
            self._ask()

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Nothing is copied meanwhile; waits for what is being copied."""
        with self._turn:
            yield

    def end(self) -> None:
        """Waits for what is being copied, then ends. Called once."""
        if self._thread is not None:
            self._wishes.put(False)
            self._thread.join()

    def _ask(self) -> None:
        self._pages = 0
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=f"userstream-log-{self._path.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # the machine has no room for a thread now: the database helps itself
            self._thread = thread
        self._is_asked = True
        self._wishes.put(True)

    # ---- on the thread

    def _run(self) -> None:
        while self._wishes.get():
            with self._turn:
                self._copy()
            self._is_asked = False
        self._close()

    def _copy(self) -> None:
        try:
            if self._connection is None:
                self._connection = self._connect(self._path)
            _, length, _ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            self._close()
        else:
            self._is_long = length >= LONGEST_LOG

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _finish(connection: sqlite3.Connection) -> None:
    """Copies the little that came since the last turn; then the next commit begins the log anew, unless somebody still reads in it."""
    with contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
