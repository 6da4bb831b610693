"""The order of an account's records, kept by every journal: each is above all that were handed over before it."""

from __future__ import annotations

from collections.abc import Mapping

from userstream.kernel.errors import NotKept, StoreError
from userstream.kernel.ids import AccountId
from userstream.ports import Record


def last_of(record: Record) -> int:
    """The highest sequence of a record."""
    return record.last_sequence


def check_kept(account: AccountId, after: int, removed: int) -> None:
    """Raises NotKept for a reader that was given all up to `after`, when records above that and up to `removed` are gone."""
    if after < removed:
        raise NotKept(
            f"account {account}: the journal no longer holds what came after {after}: it was removed to make room;"
            f" what came after {removed} can be read"
        )


class Sequences:
    """The highest sequence handed over for each account."""

    def __init__(self, known: Mapping[AccountId, int] | None = None) -> None:
        self._last = dict(known or {})

    def take(self, record: Record) -> None:
        """Notes a record. Raises StoreError, and notes nothing, for one that is not above all before it: written, it would say the
        same thing twice or two things at one place."""
        account, sequence = record.account, record.sequence
        if sequence <= self._last.get(account, 0):
            raise StoreError(f"account {account}: sequence {sequence} is not above {self._last.get(account, 0)}, which the journal has")
        events = record.events
        self._last[account] = events[-1].sequence if events else sequence

    def last(self, account: AccountId) -> int:
        """0 for an account without records."""
        return self._last.get(account, 0)

    def raise_to(self, account: AccountId, sequence: int) -> None:
        """A checkpoint knows of a sequence whose record may be gone."""
        self._last[account] = max(self.last(account), sequence)
