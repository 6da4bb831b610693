"""Who wants to hear of commits, and telling them so that one listener's mistake is not another's silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from userstream.ports import Committed, Record, StoredRecord

ItemT = TypeVar("ItemT", Record, StoredRecord, Committed)


class Commit(Protocol):
    """What a commit made durable, in the forms in which somebody may want it."""

    def recall(self) -> Sequence[Record]: ...

    def place(self) -> Sequence[StoredRecord]: ...

    def summary(self) -> Sequence[Committed]: ...


class Watchers:
    """Call-backs of a journal, called on the event loop in the order in which they were added."""

    def __init__(self) -> None:
        self._of_records: list[Callable[[Sequence[Record]], None]] = []
        self._of_stored: list[Callable[[Sequence[StoredRecord]], None]] = []
        self._of_commits: list[Callable[[Sequence[Committed]], None]] = []
        self.want_records = False
        """Whether anybody looks at the records themselves."""

    def add(self, callback: Callable[[Sequence[Record]], None]) -> None:
        self._of_records.append(callback)
        self.want_records = True

    def add_stored(self, callback: Callable[[Sequence[StoredRecord]], None], *, packed: bool = False) -> None:
        """`packed`: for whom they may lie packed, as in `PackedRecords`."""
        self._of_stored.append(callback)
        self.want_records = self.want_records or not packed

    def add_of_commits(self, callback: Callable[[Sequence[Committed]], None]) -> None:
        self._of_commits.append(callback)

    def tell(self, commit: Commit) -> None:
        """Each form of a commit is made only when somebody wants it."""
        if self._of_commits:
            self._tell_all(self._of_commits, commit.summary())
        if self._of_records:
            self._tell_all(self._of_records, commit.recall())
        if self._of_stored:
            self._tell_all(self._of_stored, commit.place())

    def _tell_all(self, callbacks: Sequence[Callable[[Sequence[ItemT]], None]], items: Sequence[ItemT]) -> None:
        for callback in callbacks:
            self._tell_one(callback, items)

    def _tell_one(self, callback: Callable[[Sequence[ItemT]], None], records: Sequence[ItemT]) -> None:
        try:
            callback(records)
        except Exception as error:
            context = {"message": "a watcher of the journal failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
