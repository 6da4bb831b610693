"""One account's way into the journal, and out of it again for whoever reads on.

What the journal refuses is held in memory and handed over again before anything later, so that the journal never holds what came after a
hole. What is more than memory may hold is lost for the journal: from then on this run gives it nothing more. The journal, not a
checkpoint, then tells the next start how far all was kept, and the rest is read from the venue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from userstream.kernel.errors import NotKept, StoreError
from userstream.kernel.ids import AccountId, Millis
from userstream.ports import Clock, Journal, Record, Timer

HELD_BYTES: Final = 64 << 20
"""How much memory the refused records of one account may take, about."""

RETRY_MS: Final = 500
READ_BATCH: Final = 1_000
PAUSE_MS: Final = 500
PATIENCE_MS: Final = 300_000
"""How long a reader that is behind waits for a store in trouble: a full disk may be emptied in that time."""


class Keeper:
    """Hands an account's records to its journal, in order, each once.

    `trouble`: why the journal refuses records now, which wait in memory meanwhile. `lost`: why this run keeps nothing more; it stays.
    `first_lost`: the sequence from which on nothing is kept.
    """

    def __init__(self, account: AccountId, journal: Journal, clock: Clock, *, held_bytes: int = HELD_BYTES) -> None:
        self._account, self._journal, self._clock = account, journal, clock
        self._held: deque[Record] = deque()
        self._bytes, self._most_bytes = 0, held_bytes
        self._timer: Timer | None = None
        self._closed = False
        self.trouble: StoreError | None = None
        self.lost: StoreError | None = None
        self.first_lost = 0

    @property
    def is_level(self) -> bool:
        """Whether the journal was given all: a checkpoint may only know what the journal knows."""
        return not self._held and self.lost is None

    def keep(self, record: Record) -> bool:
        """Hands over a record, now or as soon as the journal takes it; never waits. False if it is lost."""
        if self.lost is not None:
            return False
        if not self._held:
            try:
                self._journal.append(record)
                return True
            except StoreError as error:
                self.trouble = error
        return self._hold(record)

    def _hold(self, record: Record) -> bool:
        size = record.memory_bytes
        if self._held and self._bytes + size > self._most_bytes:
            self.first_lost = record.sequence
            self.lost = StoreError(
                f"{self.trouble}; more came than memory may hold: from event {record.sequence} on this run keeps nothing,"
                " the next start reads it from the venue"
            )
            return False
        self._held.append(record)
        self._bytes += size
        self._plan_retry()
        return True

    def _plan_retry(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = self._clock.call_at(Millis(self._clock.now() + RETRY_MS), self._retry)

    def _retry(self) -> None:
        self._timer = None
        if not self.hand_over():
            self._plan_retry()

    def hand_over(self) -> bool:
        """Gives the journal what it refused before. Returns whether nothing is left."""
        while self._held:
            try:
                self._journal.append(self._held[0])
            except StoreError as error:
                self.trouble = error
                return False
            self._bytes -= self._held.popleft().memory_bytes
        self.trouble = None
        return True

    def close(self) -> None:
        """No more tries; what is still held goes with the process."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    async def read_on(self, after: int, newest: int) -> list[Record]:
        """The next records above the sequence `after`: from the journal, then of what it refused; none when `after` is `newest`.

        Raises StoreError when the journal is in trouble, and when it no longer, or never, holds what comes next.
        """
        # looked at first: what is handed over while the journal is read is then still found here
        held = list(islice((record for record in self._held if record.last_sequence > after), READ_BATCH))
        trouble: StoreError | None = None
        try:
            await self._journal.flush()
        except StoreError as error:
            trouble = error
        records = await self._journal.read_account(self._account, after=after, limit=READ_BATCH, whole=True)
        if records or trouble is None:
            return records or held or self._end(after, newest)
        raise trouble

    def _end(self, after: int, newest: int) -> list[Record]:
        if after < newest:
            raise NotKept(f"{self._account}: events after {after} are not in the journal: {self.lost or 'it holds nothing there'}")
        return []


class CatchUp:
    """The way back for a reader that fell behind: reads on from the journal until it is level with the newest event."""

    def __init__(self, keeper: Keeper, clock: Clock, newest: Callable[[], int]) -> None:
        self._keeper, self._clock, self._newest = keeper, clock, newest
        self._stuck_since: Millis | None = None
        self.is_level = False

    async def read(self, after: int, *, is_over: Callable[[], bool]) -> list[Record]:
        """The next records above `after`; none when it waited, or is level: then what comes from now on is all there is. Raises
        StoreError when what comes next is in no journal, and when a journal stays in trouble for five minutes, or `is_over()`."""
        target, self.is_level = self._newest(), False
        try:
            records = await self._keeper.read_on(after, target)
        except NotKept:
            raise
        except StoreError as trouble:
            await self._bear(trouble, is_over)
            return []
        self._stuck_since = None
        self.is_level = not records and self._newest() == target
        return records

    async def _bear(self, trouble: StoreError, is_over: Callable[[], bool]) -> None:
        now = self._clock.now()
        if self._stuck_since is None:
            self._stuck_since = now
        if is_over() or now - self._stuck_since >= PATIENCE_MS:
            raise trouble
        await self._clock.sleep(PAUSE_MS)
