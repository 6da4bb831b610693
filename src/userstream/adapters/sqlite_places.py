"""The index of accounts is extended for thousands of rows at once, but a few accounts at a time: a commit that comes meanwhile waits for
one step, not for all of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, TypeAlias

import msgspec

from userstream.adapters.sql import load_queries
from userstream.adapters.sqlite_batches import JournalRow
from userstream.kernel.ids import AccountId

ROWS_OF_A_PORTION: Final = 4_096
"""Rows without a place cost who reads one account more; small portions cost the writer more, for each touches a page of every account."""

ROWS_OF_A_STEP: Final = 256
MOST_STEPS: Final = 16
"""Where commits wait, one is taken after each: however large they are, a portion has come to its end when the next one is as large."""

_QUERIES: Final = load_queries("journal.sql")
_encoder: Final = msgspec.json.Encoder()

Step: TypeAlias = Callable[[sqlite3.Connection], None]


class Places:
    """Which rows were committed and have no place yet. Until all rows of a portion have one, whoever reads takes them for rows without."""

    def __init__(self, rows_of_a_portion: int = ROWS_OF_A_PORTION, rows_of_a_step: int = ROWS_OF_A_STEP) -> None:
        self._rows_of_a_portion, self._rows_of_a_step = rows_of_a_portion, rows_of_a_step
        self._rows: dict[AccountId, list[int]] = {}
        self._waiting = 0
        self._is_whole = True

    def note(self, rows: Sequence[JournalRow]) -> None:
        """The rows of a commit."""
        for row in rows:
            self._rows.setdefault(row.account, []).append(row.position)
        self._waiting += len(rows)

    def take_portion(self) -> list[Step]:
        """What is to be done once enough rows wait, in this order, each step whole by itself; else nothing. All of it is to be
        done before the next portion is taken."""
        if self._waiting < self._rows_of_a_portion:
            return []
        portion, count, self._rows, self._waiting = self._rows, self._waiting, {}, 0
        size = max(self._rows_of_a_step, -(-count // MOST_STEPS))
        steps: list[Step] = [partial(self._place, positions) for positions in _cut(portion.values(), size)]
        return [*steps, partial(self._finish, max(positions[-1] for positions in portion.values()), count)]

    def fail(self) -> None:
        """A step could not be done, or the file may have lost one that was: the end of its portion, or of a later one, finds in the file
        which rows have no place."""
        self._is_whole = False

    def _place(self, positions: list[int], connection: sqlite3.Connection) -> None:
        if self._is_whole:
            connection.execute(_QUERIES["place_rows"], (_encoder.encode(positions).decode(),))

    def _finish(self, until: int, count: int, connection: sqlite3.Connection) -> None:
        if self._is_whole:
            connection.execute(_QUERIES["move_placed"], (until,))
        else:  # more than the portion has, so that it comes to an end however many come
            self._is_whole = not place_next(connection, 2 * max(count, ROWS_OF_A_PORTION))


def _cut(portion: Iterable[list[int]], size: int) -> Iterator[list[int]]:
    """In steps of about that size, none of which parts the rows of an account."""
    step: list[int] = []
    for positions in portion:
        step += positions
        if len(step) >= size:
            yield step
            step = []
    if step:
        yield step


def place_next(connection: sqlite3.Connection, most: int = 2 * ROWS_OF_A_PORTION) -> bool:
    """Gives the next rows of the file their places, at most so many. Whether more are left. What was begun and not ended is
    begun again: `placed` moves last."""
    until, count = connection.execute(_QUERIES["read_unplaced"], (most,)).fetchone()
    if count:
        connection.execute(_QUERIES["place_next"], (until,))
        connection.execute(_QUERIES["move_placed"], (until,))
    return bool(count == most)
