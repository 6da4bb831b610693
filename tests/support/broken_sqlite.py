"""A SQLite connection whose statements fail when a test says so, before they do their work or after it (the answer is lost)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from userstream.adapters.sqlite_file import open_for_writing

WORDS: Final = {
    sqlite3.SQLITE_FULL: "database or disk is full",
    sqlite3.SQLITE_IOERR: "disk I/O error",
    sqlite3.SQLITE_BUSY: "database is locked",
    sqlite3.SQLITE_CORRUPT: "database disk image is malformed",
}


def error_of(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(WORDS[code])
    error.sqlite_errorcode = code
    return error


class Breakage:
    """Which statements fail: from the `first`th (counted from 1, after `arm`) on, `times` of them, with an error code of SQLite;
    `only` those that hold one of these words."""

    def __init__(self, code: int, *, first: int = 1, times: int = 1, after: bool = False, only: tuple[str, ...] = ()) -> None:
        self.code, self.first, self.times, self.after, self.only = code, first, times, after, only
        self.armed = False
        self.seen = 0
        self.hits = 0

    def arm(self) -> None:
        self.armed = True

    def mend(self) -> None:
        self.armed = False

    def strikes(self, query: str) -> bool:
        if not self.armed or (self.only and not any(word in query for word in self.only)):
            return False
        self.seen += 1
        struck = self.first <= self.seen < self.first + self.times
        self.hits += struck
        return struck

    def connect(self, path: Path) -> Callable[[], sqlite3.Connection]:
        """To be given to a writer instead of the usual way to open the file."""
        return partial(open_for_writing, path, factory=self._connection_class())

    def _connection_class(self) -> type[sqlite3.Connection]:
        breakage = self

        class BrokenConnection(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                struck = breakage.strikes(sql)
                if struck and not breakage.after:
                    raise error_of(breakage.code)
                cursor = super().execute(sql, *parameters)
                if struck:
                    raise error_of(breakage.code)
                return cursor

        return BrokenConnection
