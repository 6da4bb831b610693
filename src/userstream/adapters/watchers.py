"""Who wants to hear of commits, and telling them so that one listener's mistake is not another's silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from userstream.ports import Record, StoredRecord

ItemT = TypeVar("ItemT", Record, StoredRecord)


class Watchers:
    """Call-backs of a journal, called on the event loop in the order in which they were added."""

    def __init__(self) -> None:
        self._of_records: list[Callable[[Sequence[Record]], None]] = []
        self._of_stored: list[Callable[[Sequence[StoredRecord]], None]] = []

    def add(self, callback: Callable[[Sequence[Record]], None]) -> None:
        self._of_records.append(callback)

    def add_stored(self, callback: Callable[[Sequence[StoredRecord]], None]) -> None:
        self._of_stored.append(callback)

    def tell(self, records: Sequence[Record], place: Callable[[], Sequence[StoredRecord]]) -> None:
        """`place` makes the records with their positions; it is asked only when somebody wants them."""
        for callback in self._of_records:
            self._tell_one(callback, records)
        if self._of_stored:
            placed = place()
            for callback_stored in self._of_stored:
                self._tell_one(callback_stored, placed)

    def _tell_one(self, callback: Callable[[Sequence[ItemT]], None], records: Sequence[ItemT]) -> None:
        try:
            callback(records)
        except Exception as error:
            context = {"message": "a watcher of the journal failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
