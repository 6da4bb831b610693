"""Making room in the journal: what may go, a little at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Final

import msgspec

from userstream.adapters.sql import load_queries

MOST_ROWS: Final = 200
MOST_BYTES: Final = 2 << 20
ANY_AGE: Final = 1 << 62
_QUERIES: Final = load_queries("journal.sql")
_encoder: Final = msgspec.json.Encoder()


def find_removable(connection: sqlite3.Connection, older_than: int) -> list[int]:
    """Positions of the oldest rows received before `older_than` (ms, our clock) that nobody needs: every reader has passed them and
    a checkpoint of their account replaces them. As many as can go at once; none once all is done. A row found here stays removable."""
    found: list[int] = []
    size = 0
    with closing(connection.execute(_QUERIES["find_removable"], {"older_than": older_than, "most": MOST_ROWS})) as rows:
        for position, length in rows:
            found.append(position)
            size += length
            if size >= MOST_BYTES:
                break
    return found


def remove_rows(connection: sqlite3.Connection, positions: Sequence[int]) -> int:
    """To be called within a transaction. How far the records of each account are gone is noted for who reads on from there."""
    chosen = (_encoder.encode(positions).decode(),)
    connection.execute(_QUERIES["note_removed"], chosen)
    connection.execute(_QUERIES["remove_places"], chosen)
    return connection.execute(_QUERIES["remove_rows"], chosen).rowcount


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something; room that deleted rows left is used again and does not count."""
    pages, free, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * size
